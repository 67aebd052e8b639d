//! The parts of stanzas that several kinds share: start tags written, errors and extensions read.

use intergroup_schemas::link::push_escaped;

use crate::bridge::{Affiliation, Refusal, Role};
use crate::payload::{CLIENT, Element};

/// Service discovery (XEP-0030).
pub(super) const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Commands (XEP-0050).
pub(super) const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// Invitations (XEP-0249).
pub(super) const INVITATION: &str = "jabber:x:conference";
/// See [`DISCO_INFO`].
pub(super) const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// Rooms (XEP-0045): joining.
pub(super) const MUC: &str = "http://jabber.org/protocol/muc";
/// Rooms: what a room tells its occupants.
pub(super) const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// Rooms: what administrators ask.
pub(super) const MUC_ADMIN: &str = "http://jabber.org/protocol/muc#admin";
/// Rooms: what owners ask.
pub(super) const MUC_OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// Archives (XEP-0313).
pub(super) const MAM: &str = "urn:xmpp:mam:2";
/// Paging (XEP-0059).
pub(super) const RSM: &str = "http://jabber.org/protocol/rsm";
/// Forms (XEP-0004).
pub(super) const DATA: &str = "jabber:x:data";
/// Forwarded stanzas (XEP-0297).
pub(super) const FORWARD: &str = "urn:xmpp:forward:0";
/// Times (XEP-0203).
pub(super) const DELAY: &str = "urn:xmpp:delay";
/// Ids (XEP-0359).
pub(super) const SID: &str = "urn:xmpp:sid:0";
/// Occupant-ids (XEP-0421).
pub(super) const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";
/// Pings (XEP-0199).
pub(super) const PING: &str = "urn:xmpp:ping";
/// Software versions (XEP-0092).
pub(super) const VERSION: &str = "jabber:iq:version";
/// Hints to servers (XEP-0334).
pub(super) const HINTS: &str = "urn:xmpp:hints";
/// Conditions of stanza errors (RFC 6120 section 8.3.3).
pub(super) const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// Conditions of stream errors (RFC 6120 section 4.9.3).
pub(super) const STREAMS: &str = "urn:ietf:params:xml:ns:xmpp-streams";

/// Longest text of a refusal that is passed on.
const REFUSAL_TEXT_CHARS: usize = 200;

/// Begins a stanza; children and the end tag follow. Every stanza of ours has both addresses: some servers end the
/// stream of a component that leaves one out.
pub(super) fn begin(out: &mut String, name: &str, kind: Option<&str>, from: &str, to: &str, id: Option<&str>) {
    out.push('<');
    out.push_str(name);
    let attributes = [("type", kind), ("from", Some(from)), ("to", Some(to)), ("id", id)];
    for (key, value) in attributes {
        if let Some(value) = value {
            attribute(out, key, value);
        }
    }
    out.push('>');
}

/// Appends an attribute.
pub(super) fn attribute(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("='");
    push_escaped(out, value);
    out.push('\'');
}

/// The error in a stanza of type `error`.
pub(super) fn refusal(stanza: &Element) -> Refusal {
    let error = stanza.child("error", CLIENT);
    let defined = |error: &&Element| &*error.namespace == STANZAS;
    let condition = error.and_then(|e| e.children().filter(defined).find(|c| c.name != "text"));
    let text = error.and_then(|e| e.child("text", STANZAS)).map(Element::text).unwrap_or_default();
    Refusal { condition: condition.map_or("undefined-condition", |c| &c.name).into(), text: safe(&text).into() }
}

/// A text of a server or a person, cut to what is safe to show in a log.
pub(super) fn safe(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REFUSAL_TEXT_CHARS).collect()
}

/// What is told of an occupant.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) jid: Option<&'a str>,
    pub(super) affiliation: Affiliation,
    pub(super) role: Role,
}

/// The words of XEP-0045 section 5.2.
const AFFILIATIONS: [(Affiliation, &str); 5] = [
    (Affiliation::Owner, "owner"),
    (Affiliation::Admin, "admin"),
    (Affiliation::Member, "member"),
    (Affiliation::None, "none"),
    (Affiliation::Outcast, "outcast"),
];

/// An affiliation as it is written.
pub(super) fn affiliation_name(affiliation: Affiliation) -> &'static str {
    AFFILIATIONS.iter().find(|(known, _)| *known == affiliation).map_or("none", |(_, name)| name)
}

fn affiliation(written: Option<&str>) -> Affiliation {
    AFFILIATIONS.iter().find(|(_, name)| Some(*name) == written).map_or(Affiliation::None, |(known, _)| *known)
}

/// Reads an `<item/>` of XEP-0045.
pub(super) fn item(item: &Element) -> Item<'_> {
    Item {
        jid: item.attribute("jid"),
        affiliation: affiliation(item.attribute("affiliation")),
        role: match item.attribute("role") {
            Some("moderator") => Role::Moderator,
            Some("participant") => Role::Participant,
            Some("visitor") => Role::Visitor,
            _ => Role::None,
        },
    }
}

/// The only child of that name and namespace; none when there is none, or several, of which one would be forged.
pub(super) fn only<'a>(parent: &'a Element, name: &str, namespace: &str) -> Option<&'a Element> {
    let mut found = parent.children().filter(|child| child.is(name, namespace));
    found.next().filter(|_| found.next().is_none())
}
