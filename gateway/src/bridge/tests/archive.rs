//! The room's archive, as the rig keeps it.

use intergroup_schemas::link::Timestamp;

use crate::bridge::{Content, RoomMessage};
use crate::ids::{BareJid, MessageId, Nick, StanzaId, Who};

/// An entry of the room's archive.
#[derive(Debug, Clone)]
pub(super) struct Archived {
    pub(super) id: StanzaId,
    pub(super) from: Speaker,
    pub(super) message: MessageId,
    pub(super) text: String,
    pub(super) at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Speaker {
    Person(&'static str),
    Ours(Who),
    /// The entry does not tell.
    Nobody,
}

pub(super) fn result(entry: &Archived) -> RoomMessage {
    let (real, ours) = match &entry.from {
        Speaker::Person(jid) => (Some(BareJid::from(*jid)), None),
        Speaker::Ours(who) => (None, Some(who.clone())),
        Speaker::Nobody => (None, None),
    };
    let content = if entry.text == "secret" {
        Content::Refused(intergroup_schemas::conditions::Condition::Encrypted)
    } else {
        Content::Speech(format!("<body>{}</body>", entry.text).into())
    };
    RoomMessage {
        nick: Some(Nick::from("somebody")),
        id: Some(entry.message.clone()),
        stanza_id: Some(entry.id.clone()),
        occupant_id: None,
        real,
        ours,
        stamp: Some(entry.at),
        content,
    }
}
