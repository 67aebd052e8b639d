//! Messages from rooms: what was said, what was refused, and what the room tells of affiliations.

use super::address::split;
use super::presence::{has, occupant_id};
use super::rooms::Seat;
use super::session::Session;
use super::stanza::{self, MAM, MUC_USER, SID};
use crate::bridge::{Content, RoomEvent, RoomMessage};
use crate::ids::{BareJid, MessageId, Mouth, Nick, RoomJid, StanzaId};
use crate::payload::{CLIENT, Element, reduce};

/// Longest id of a message or a place in an archive that is passed on; a longer one is as good as none.
const ID_BYTES: usize = 1024;

impl Session {
    /// Handles a message to one of ours.
    pub(super) fn message(&mut self, message: &Element, room: &RoomJid, nick: Option<&str>, mouth: Option<Mouth>) {
        match (message.attribute("type"), mouth) {
            (Some("error"), Some(mouth)) => {
                if let Some(id) = message.attribute("id") {
                    let (id, refusal) = (MessageId::from(id), stanza::refusal(message));
                    self.tell(room, RoomEvent::SayRefused { mouth, id, refusal });
                }
            }
            (Some("groupchat"), Some(mouth)) => self.groupchat(message, room, nick, &mouth),
            (Some("error" | "groupchat"), None) => {}
            (_, mouth) => self.direct(message, room, nick, mouth),
        }
    }

    fn groupchat(&mut self, message: &Element, room: &RoomJid, nick: Option<&str>, mouth: &Mouth) {
        let Some((_, known)) = self.rooms.get(room.as_str()) else { return };
        // History ends with the subject, and a join asks for none; a sender's own <delay/> proves nothing.
        if let (Some(_), Some(Seat::Joining(own))) = (subject(message), known.seats.get(mouth)) {
            let (seat, is_ear) = (Seat::In(own.clone()), known.is_ear(mouth));
            self.rooms.seat(room, mouth, Some(seat));
            if let Some(subject) = subject(message).filter(|_| is_ear) {
                self.tell(room, RoomEvent::Subject(subject.into()));
            }
            return self.tell(room, RoomEvent::JoinDone { mouth: mouth.clone() });
        }
        if known.is_ear(mouth) {
            if nick.is_none() && stanza::only(message, "x", MUC_USER).is_some_and(|x| has(x, "104")) {
                self.tell(room, RoomEvent::Configured);
                return;
            }
            let occupant_ids = known.occupant_ids;
            if let Some(subject) = subject(message) {
                self.tell(room, RoomEvent::Subject(subject.into()));
            }
            let message = said(message, room, nick, occupant_ids);
            self.tell(room, RoomEvent::Message(message));
        }
    }

    /// Neither a group message nor an error.
    fn direct(&mut self, message: &Element, room: &RoomJid, nick: Option<&str>, mouth: Option<Mouth>) {
        match (nick, mouth) {
            (None, _) if message.child("result", MAM).is_some() => self.archived(message, room),
            (None, _) => self.affiliation(message, room),
            (Some(nick), Some(mouth)) if message.child("body", CLIENT).is_some_and(|body| !body.text().is_empty()) => {
                self.tell(room, RoomEvent::Private { mouth, from: Nick::from(nick) });
            }
            _ => {}
        }
    }

    /// A room tells its owners of an affiliation that changes while its holder is away. From the room's bare JID, where no
    /// occupant can speak.
    fn affiliation(&mut self, message: &Element, room: &RoomJid) {
        let Some(x) = stanza::only(message, "x", MUC_USER) else { return };
        let Some(item) = stanza::only(x, "item", MUC_USER).filter(|item| item.attribute("affiliation").is_some())
        else {
            return;
        };
        let item = stanza::item(item);
        if let (Some(jid), false) = (item.jid, x.children().any(|child| matches!(&*child.name, "invite" | "decline"))) {
            let (real, ours) = (BareJid::from(split(jid).0), self.addresses.who(jid));
            self.tell(room, RoomEvent::AffiliationChanged { real, ours, affiliation: item.affiliation });
        }
    }
}

/// The subject, if the message is nothing else (XEP-0045 section 8.1).
fn subject(message: &Element) -> Option<String> {
    let subject = message.child("subject", CLIENT)?;
    message.child("body", CLIENT).is_none().then(|| subject.text())
}

/// An id, if it is one.
pub(super) fn id(text: Option<&str>) -> Option<&str> {
    text.filter(|id| !id.is_empty() && id.len() <= ID_BYTES)
}

/// A group message. Who really said it is known from presence or from an archive only: servers pass on a forged
/// `<item jid=…/>` in a live message.
pub(super) fn said(message: &Element, room: &RoomJid, nick: Option<&str>, occupant_ids: bool) -> RoomMessage {
    let content = match subject(message) {
        Some(subject) => Content::Subject(subject.into()),
        None => reduce(message.children()),
    };
    RoomMessage {
        nick: nick.map(Nick::from),
        id: id(message.attribute("id")).map(MessageId::from),
        stanza_id: stanza_id(message, room),
        occupant_id: occupant_ids.then(|| occupant_id(message)).flatten(),
        real: None,
        ours: None,
        stamp: None,
        content,
    }
}

/// The room's own id. Others' are passed on by servers, and say nothing.
fn stanza_id(message: &Element, room: &RoomJid) -> Option<StanzaId> {
    let mut by_room = message.children().filter(|child| is_stanza_id(child, room));
    let first = by_room.next()?;
    // Two would mean that one is forged.
    if by_room.next().is_some() { None } else { id(first.attribute("id")).map(StanzaId::from) }
}

/// Whether this is an id given by the room. Servers strip those that a sender made up.
pub(super) fn is_stanza_id(element: &Element, room: &RoomJid) -> bool {
    element.is("stanza-id", SID) && element.attribute("by") == Some(room.as_str())
}
