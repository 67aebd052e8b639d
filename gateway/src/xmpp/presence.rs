//! Presence from rooms: who is in, who came, who went.

use super::rooms::Seat;
use super::session::Session;
use super::stanza::{self, MUC_USER, OCCUPANT_ID};
use crate::bridge::{Gone, RoomEvent};
use crate::ids::{BareJid, Mouth, Nick, OccupantId, RoomJid};
use crate::payload::Element;

use super::address::split;

impl Session {
    /// Handles a presence to one of ours.
    pub(super) fn presence(&mut self, presence: &Element, room: &RoomJid, nick: Option<&str>, mouth: Mouth) {
        match presence.attribute("type") {
            Some("error") => self.presence_error(presence, room, mouth),
            // Some servers send presences of the room itself, which is no occupant.
            None => self.available(presence, room, nick, mouth),
            Some("unavailable") => self.unavailable(presence, room, nick, mouth),
            // Subscriptions are not answered: an error to a room would throw the occupant out.
            Some(_) => {}
        }
    }

    fn presence_error(&mut self, presence: &Element, room: &RoomJid, mouth: Mouth) {
        let Some(known) = self.rooms.get_mut(room) else { return };
        let asked = match known.seats.get(&mouth) {
            // Only what was asked can be refused; an echo of an older life's leaving is nobody's business.
            None => return,
            Some(seat) => *seat == Seat::Asked,
        };
        if asked {
            if known.is_ear(&mouth) {
                known.ear = None;
            }
            self.rooms.seat(room, &mouth, None);
        }
        self.tell(room, RoomEvent::JoinRefused { mouth, refusal: stanza::refusal(presence) });
    }

    fn available(&mut self, presence: &Element, room: &RoomJid, nick: Option<&str>, mouth: Mouth) {
        let (Some(nick), Some(x)) = (nick, room_s_word(presence)) else { return };
        let Some(item) = x.child("item", MUC_USER).map(stanza::item) else { return };
        let Some(known) = self.rooms.get_mut(room) else { return };
        let own = has(x, "110") && item.jid.is_none_or(|jid| self.addresses.who(jid).as_ref() == Some(&mouth.who));
        let (nick, is_ear) = (Nick::from(nick), known.is_ear(&mouth));
        let occupant_id = known.occupant_ids.then(|| occupant_id(presence)).flatten();
        if own {
            let seat = match known.seats.get(&mouth) {
                Some(Seat::In(_)) => Seat::In(nick.clone()),
                Some(_) => Seat::Joining(nick.clone()),
                // A ghost of an older life, which nobody asked to enter.
                None => return,
            };
            self.rooms.seat(room, &mouth, Some(seat));
            let (affiliation, role, created) = (item.affiliation, item.role, has(x, "201"));
            self.tell(room, RoomEvent::In { mouth, nick, affiliation, role, occupant_id, created });
        } else if is_ear {
            let ours = item.jid.and_then(|jid| self.addresses.mouth(jid));
            let real = item.jid.filter(|_| ours.is_none()).map(|jid| BareJid::from(split(jid).0));
            let (affiliation, role) = (item.affiliation, item.role);
            self.tell(room, RoomEvent::Occupant { nick, real, ours, occupant_id, affiliation, role });
        }
    }

    fn unavailable(&mut self, presence: &Element, room: &RoomJid, nick: Option<&str>, mouth: Mouth) {
        let Some(nick) = nick else { return };
        let x = room_s_word(presence);
        let Some(known) = self.rooms.get_mut(room) else { return };
        let is_ear = known.is_ear(&mouth);
        let seat = known.seats.get(&mouth).and_then(Seat::nick);
        // Not every server marks it as the occupant's own when a room is destroyed, so the nick tells; without one it is an older
        // life's leaving.
        let own = match seat {
            Some(seat) => seat.as_str() == nick,
            None => x.is_some_and(|x| has(x, "110")),
        };
        let renamed = x.filter(|x| has(x, "303")).and_then(|x| x.child("item", MUC_USER)?.attribute("nick"));
        if own {
            if renamed.is_some() {
                // It stays; its self-presence under the new nick follows.
                return;
            }
            if is_ear {
                known.ear = None;
            }
            self.rooms.seat(room, &mouth, None);
            self.tell(room, RoomEvent::Out { mouth, how: x.map_or(Gone::Left, how) });
        } else if is_ear {
            let how = renamed.map_or_else(|| x.map_or(Gone::Left, how), |nick| Gone::Renamed(Nick::from(nick)));
            self.tell(room, RoomEvent::Gone { nick: Nick::from(nick), how });
        }
    }
}

/// What the room says in a presence. Servers put their own behind what the occupant sent, and take the occupant's own out.
fn room_s_word(presence: &Element) -> Option<&Element> {
    stanza::only(presence, "x", MUC_USER)
}

pub(super) fn has(x: &Element, code: &str) -> bool {
    x.children().any(|child| child.is("status", MUC_USER) && child.attribute("code") == Some(code))
}

/// The occupant-id that a stanza carries, if it carries one only.
pub(super) fn occupant_id(stanza: &Element) -> Option<OccupantId> {
    stanza::only(stanza, "occupant-id", OCCUPANT_ID)?.attribute("id").map(OccupantId::from)
}

fn how(x: &Element) -> Gone {
    if x.child("destroy", MUC_USER).is_some() {
        Gone::Destroyed
    } else if has(x, "332") || has(x, "333") {
        // Before 307, which some servers add to it.
        Gone::Unreachable
    } else if has(x, "301") {
        Gone::Banned
    } else if has(x, "307") {
        Gone::Kicked
    } else if has(x, "321") || has(x, "322") {
        Gone::Removed
    } else {
        Gone::Left
    }
}
