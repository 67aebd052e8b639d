//! From the bytes of one frame to a stanza.

use bytes::Bytes;

use super::node::Node;
use super::scan::{Malformed, Scanner, TagEnd};
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

impl From<Malformed> for DecodeError {
    fn from(_: Malformed) -> Self {
        DecodeError::Link { condition: Condition::Malformed, text: "not well-formed".into() }
    }
}

type Result<T> = std::result::Result<T, DecodeError>;

/// Decodes a frame from a gateway. Errors: see [`DecodeError`].
pub fn to_center(frame: &Bytes) -> Result<ToCenter> {
    let text = text(frame)?;
    let (name, scanner) = begin(text)?;
    if name == "relay" {
        return relay(frame, text, scanner).map(ToCenter::Relay);
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
        "edit" => ToCenter::Edit(edit(&node)?),
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
    let (name, scanner) = begin(text)?;
    if name == "deliver" {
        return deliver(frame, text, scanner).map(ToGateway::Deliver);
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

/// An edit whose accounts are not sound is refused like a message whose payload is not.
fn edit(node: &Node) -> Result<Edit> {
    let (group, epoch, n) = (node.get("group")?, node.get("epoch")?, node.get("n")?);
    let (enterprise, base) = (node.get("enterprise")?, node.get("base")?);
    match control::read_accounts(node, limits::ACCOUNTS_PER_EDIT) {
        Ok(accounts) => Ok(Edit { group, epoch, n, enterprise, base, accounts }),
        Err(_) => Err(DecodeError::Relay { group, epoch, n, condition: Condition::InvalidAccount }),
    }
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

/// The name of the frame's element, and the place behind it.
fn begin(text: &str) -> Result<(&str, Scanner<'_>)> {
    let mut scanner = Scanner::new(text);
    if !scanner.skip(b"<") {
        return Err(broken("a frame must begin with its element"));
    }
    Ok((scanner.name()?, scanner))
}

/// The attributes of relay and deliver, in one walk over the tag. Those of a newer minor version are passed over.
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
    late: Option<bool>,
}

impl Envelope {
    /// Reads to the end of the start tag.
    fn read(scanner: &mut Scanner<'_>) -> Result<(Self, TagEnd)> {
        let mut envelope = Self::default();
        let mut ours = false;
        let end = loop {
            let attribute = match scanner.attribute()? {
                Ok(attribute) => attribute,
                Err(end) => break end,
            };
            let value = attribute.value();
            let value = value.as_ref();
            match attribute.name {
                "xmlns" => ours = value == NAMESPACE,
                "group" => once(&mut envelope.group, value.parse()?)?,
                "epoch" => once(&mut envelope.epoch, value.parse()?)?,
                "n" => once(&mut envelope.n, value.parse()?)?,
                "seq" => once(&mut envelope.seq, value.parse()?)?,
                "key" => once(&mut envelope.key, value.parse()?)?,
                "enterprise" => once(&mut envelope.enterprise, value.parse()?)?,
                "src" => once(&mut envelope.source, value.parse()?)?,
                "list" => once(&mut envelope.list, value.parse()?)?,
                "user" => once(&mut envelope.user, value.parse()?)?,
                "nick" => once(&mut envelope.nick, value.parse()?)?,
                "at" => once(&mut envelope.at, moment(value)?)?,
                "late" => once(&mut envelope.late, truth(value)?)?,
                _ => {}
            }
        };
        if ours { Ok((envelope, end)) } else { Err(foreign()) }
    }
}

fn once<T>(field: &mut Option<T>, value: T) -> Result<()> {
    if field.replace(value).is_some() { Err(broken("an attribute stands twice")) } else { Ok(()) }
}

pub(super) fn foreign() -> DecodeError {
    broken(format!("a stanza must be in {NAMESPACE}"))
}

pub(super) fn truth(value: &str) -> Result<bool> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(broken("an attribute is neither true nor false")),
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
fn payload(frame: &Bytes, text: &str, name: &str, from: usize, end: TagEnd) -> std::result::Result<Bytes, Condition> {
    let behind = &text[from..];
    let (content, after) = match end {
        TagEnd::Empty => ("", behind),
        TagEnd::Open => payload_check::content(behind, name)?,
    };
    if after.is_empty() { Ok(frame.slice(from..from + content.len())) } else { Err(Condition::Malformed) }
}

fn relay(frame: &Bytes, text: &str, mut scanner: Scanner<'_>) -> Result<Relay> {
    let (e, end) = Envelope::read(&mut scanner)?;
    let (group, epoch, n) = (need(e.group, "group")?, need(e.epoch, "epoch")?, need(e.n, "n")?);
    match payload(frame, text, "relay", scanner.position(), end) {
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
            late: e.late.unwrap_or_default(),
            payload,
        }),
    }
}

fn deliver(frame: &Bytes, text: &str, mut scanner: Scanner<'_>) -> Result<Deliver> {
    let (e, end) = Envelope::read(&mut scanner)?;
    let payload = payload(frame, text, "deliver", scanner.position(), end).map_err(|condition| DecodeError::Link {
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
        late: e.late.unwrap_or_default(),
        payload,
    })
}
