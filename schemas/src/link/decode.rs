//! From the bytes of one frame to a stanza.

use bytes::Bytes;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::node::Node;
use super::*;
use crate::conditions::Condition;
use crate::ids::InvalidId;
use crate::limits;

/// Why a frame is not a stanza.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The envelope of a relay is sound and its payload is not: this message alone is refused.
    #[error("message {epoch}.{n} of group {group}: {}", condition.as_str())]
    Relay {
        /// The group.
        group: GroupNumber,
        /// The epoch.
        epoch: Epoch,
        /// The message's n.
        n: N,
        /// Why it is refused.
        condition: Condition,
    },
    /// The peer broke the protocol; the link is ended.
    #[error("{text}")]
    Link {
        /// Why.
        condition: Condition,
        /// The same in words.
        text: String,
    },
}

fn broken(text: impl Into<String>) -> DecodeError {
    DecodeError::Link { condition: Condition::BadRequest, text: text.into() }
}

impl From<InvalidId> for DecodeError {
    fn from(e: InvalidId) -> Self {
        broken(e.to_string())
    }
}

impl From<quick_xml::Error> for DecodeError {
    fn from(e: quick_xml::Error) -> Self {
        DecodeError::Link { condition: Condition::Malformed, text: format!("not well-formed: {e}") }
    }
}

type Result<T> = std::result::Result<T, DecodeError>;

/// Decodes a frame from a gateway. Errors: see [`DecodeError`].
pub fn to_center(frame: &Bytes) -> Result<ToCenter> {
    let text = text(frame)?;
    let (tag, rest) = start_tag(text)?;
    let tag = Tag(&tag);
    if tag.name() == "relay" {
        return relay(frame, text, &tag, rest).map(ToCenter::Relay);
    }
    let node = Node::read(text)?;
    Ok(match node.name.as_str() {
        "hello" => ToCenter::Hello(Hello {
            version: node.number("version")?,
            software: node.text_attr("software")?,
            groups: node
                .children("group", limits::GROUPS_PER_GATEWAY)?
                .map(control::read_hello_group)
                .collect::<Result<_>>()?,
        }),
        "resume" => ToCenter::Resume(Resume { group: node.get("group")?, after: node.get("after")? }),
        "settled" => ToCenter::Settled(Settled {
            group: node.get("group")?,
            upto: node.get("upto")?,
            refused: node
                .children("refused", limits::REFUSED_PER_STANZA)?
                .map(|r| Ok((r.get("seq")?, r.get("key")?, r.condition()?)))
                .collect::<Result<_>>()?,
        }),
        "credit" => ToCenter::Credit(Credit { count: node.number("count")? }),
        "confirm" => {
            ToCenter::Confirm(Confirm { group: node.get("group")?, epoch: node.get("epoch")?, n: node.get("n")? })
        }
        "request" => {
            ToCenter::Request(Request { id: node.number("id")?, body: control::read_request(node.only_child()?)? })
        }
        other => return Err(broken(format!("a gateway does not send {other:?}"))),
    })
}

/// Decodes a frame from the center. Errors: always [`DecodeError::Link`].
pub fn to_gateway(frame: &Bytes) -> Result<ToGateway> {
    let text = text(frame)?;
    let (tag, rest) = start_tag(text)?;
    let tag = Tag(&tag);
    if tag.name() == "deliver" {
        return deliver(frame, text, &tag, rest).map(ToGateway::Deliver);
    }
    let node = Node::read(text)?;
    Ok(match node.name.as_str() {
        "welcome" => ToGateway::Welcome(Welcome {
            version: node.number("version")?,
            enterprise: node.get("enterprise")?,
            gateway: node.get("gateway")?,
            display: node.get("display")?,
            credit: node.number("credit")?,
            window: node.number("window")?,
            payload_bytes: node.number("payload-bytes")?,
            groups: node
                .children("group", 2 * limits::GROUPS_PER_GATEWAY)?
                .map(control::read_welcome_group)
                .collect::<Result<_>>()?,
        }),
        "decided" => ToGateway::Decided(Decided {
            group: node.get("group")?,
            epoch: node.get("epoch")?,
            n: node.get("n")?,
            refused: node
                .children("refused", limits::REFUSED_PER_STANZA)?
                .map(|r| Ok((r.get("n")?, r.condition()?)))
                .collect::<Result<_>>()?,
        }),
        "expect" => ToGateway::Expect(Expect {
            group: node.get("group")?,
            epoch: node.get("epoch")?,
            n: node.get("n")?,
            fork: node.flag("fork")?,
        }),
        "resumed" => ToGateway::Resumed(Resume { group: node.get("group")?, after: node.get("after")? }),
        "own" => ToGateway::Own(Own { group: node.get("group")?, seq: node.get("seq")?, key: node.get("key")? }),
        "skip" => ToGateway::Skip(Skip {
            group: node.get("group")?,
            from: node.get("from")?,
            to: node.get("to")?,
            reason: node.word("reason")?,
            hash: node.get("hash")?,
        }),
        "entry" => ToGateway::Entry(Entry {
            group: node.get("group")?,
            seq: node.get("seq")?,
            list: node.get("list")?,
            change: control::read_change(node.only_child()?)?,
        }),
        "fate" => ToGateway::Fate(Fate {
            group: node.get("group")?,
            enterprise: node.get("enterprise")?,
            gateway: node.get("gateway")?,
            upto: node.get("upto")?,
            refused: node
                .children("refused", limits::REFUSED_PER_STANZA)?
                .map(|r| Ok((r.get("key")?, r.condition()?)))
                .collect::<Result<_>>()?,
        }),
        "response" => {
            ToGateway::Response(Response { id: node.number("id")?, body: control::read_response(node.only_child()?)? })
        }
        "bye" => ToGateway::Bye(Bye { condition: node.condition()?, text: node.text_attr("text")? }),
        other => return Err(broken(format!("a center does not send {other:?}"))),
    })
}

fn text(frame: &Bytes) -> Result<&str> {
    if frame.len() > limits::FRAME_BYTES {
        return Err(DecodeError::Link {
            condition: Condition::TooLarge,
            text: format!("a frame of {} bytes", frame.len()),
        });
    }
    std::str::from_utf8(frame).map_err(|_| broken("a frame that is not UTF-8"))
}

/// The frame's start tag (checked to be in our namespace) and what follows it; none when the element is empty.
fn start_tag(text: &str) -> Result<(BytesStart<'_>, Option<usize>)> {
    let mut reader = Reader::from_str(text);
    let (tag, rest) = match reader.read_event()? {
        Event::Start(tag) => (tag, usize::try_from(reader.buffer_position()).ok()),
        Event::Empty(tag) => (tag, None),
        _ => return Err(broken("a frame must begin with its element")),
    };
    if Tag(&tag).raw("xmlns").as_deref() != Some(NAMESPACE) {
        return Err(broken(format!("a stanza must be in {NAMESPACE}")));
    }
    Ok((tag, rest))
}

/// A start tag whose attributes are read where they stand.
struct Tag<'a>(&'a BytesStart<'a>);

impl Tag<'_> {
    fn name(&self) -> &str {
        self.0.name().0
    }

    fn raw(&self, name: &str) -> Option<String> {
        self.0.attributes().with_checks(false).flatten().find(|a| a.key.as_ref() == name).map(|a| a.value.into_owned())
    }
}

/// The attributes of relay and deliver, in one walk over the tag.
#[derive(Default)]
struct Envelope {
    group: Option<GroupNumber>,
    epoch: Option<Epoch>,
    n: Option<N>,
    seq: Option<Seq>,
    key: Option<OriginKey>,
    enterprise: Option<EnterpriseId>,
    source: Option<SourceId>,
    list: Option<ListVersion>,
    user: Option<UserId>,
    nick: Option<DisplayName>,
    at: Option<Timestamp>,
    late: bool,
}

impl Envelope {
    fn read(tag: &Tag<'_>) -> Result<Self> {
        let mut envelope = Self::default();
        for attribute in tag.0.attributes() {
            let attribute = attribute.map_err(|e| broken(format!("an attribute: {e}")))?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0)?;
            let value = value.as_ref();
            match attribute.key.as_ref() {
                "group" => envelope.group = Some(value.parse()?),
                "epoch" => envelope.epoch = Some(value.parse()?),
                "n" => envelope.n = Some(value.parse()?),
                "seq" => envelope.seq = Some(value.parse()?),
                "key" => envelope.key = Some(value.parse()?),
                "enterprise" => envelope.enterprise = Some(value.parse()?),
                "src" => envelope.source = Some(value.parse()?),
                "list" => envelope.list = Some(value.parse()?),
                "user" => envelope.user = Some(value.parse()?),
                "nick" => envelope.nick = Some(value.parse()?),
                "at" => envelope.at = Some(moment(value)?),
                "late" => envelope.late = value == "true",
                _ => {}
            }
        }
        Ok(envelope)
    }
}

fn moment(value: &str) -> Result<Timestamp> {
    Timestamp::from_wire(value)
        .ok_or_else(|| broken(format!("{:?} is not a time", &value[..value.floor_char_boundary(40)])))
}

fn need<T>(field: Option<T>, name: &str) -> Result<T> {
    field.ok_or_else(|| broken(format!("attribute {name} is missing")))
}

/// The payload behind the start tag, as a slice of the frame; the element must end the frame.
fn payload(frame: &Bytes, text: &str, name: &str, rest: Option<usize>) -> std::result::Result<Bytes, Condition> {
    let Some(from) = rest else { return Ok(Bytes::new()) };
    let (content, after) = payload_check::content(&text[from..], name)?;
    if !after.is_empty() {
        return Err(Condition::Malformed);
    }
    Ok(frame.slice(from..from + content.len()))
}

fn relay(frame: &Bytes, text: &str, tag: &Tag<'_>, rest: Option<usize>) -> Result<Relay> {
    let e = Envelope::read(tag)?;
    let (group, epoch, n) = (need(e.group, "group")?, need(e.epoch, "epoch")?, need(e.n, "n")?);
    match payload(frame, text, "relay", rest) {
        Err(condition) => Err(DecodeError::Relay { group, epoch, n, condition }),
        Ok(payload) => Ok(Relay {
            group,
            epoch,
            n,
            source: e.source,
            list: need(e.list, "list")?,
            user: need(e.user, "user")?,
            nick: need(e.nick, "nick")?,
            at: need(e.at, "at")?,
            late: e.late,
            payload,
        }),
    }
}

fn deliver(frame: &Bytes, text: &str, tag: &Tag<'_>, rest: Option<usize>) -> Result<Deliver> {
    let e = Envelope::read(tag)?;
    let payload = payload(frame, text, "deliver", rest).map_err(|condition| DecodeError::Link {
        condition,
        text: "the center delivered a payload that is not sound".into(),
    })?;
    Ok(Deliver {
        group: need(e.group, "group")?,
        seq: need(e.seq, "seq")?,
        enterprise: need(e.enterprise, "enterprise")?,
        key: need(e.key, "key")?,
        list: need(e.list, "list")?,
        user: need(e.user, "user")?,
        nick: need(e.nick, "nick")?,
        at: need(e.at, "at")?,
        late: e.late,
        payload,
    })
}
