//! What the link knows of each room: which of ours are in, under which nick, and what the room announces.

use std::collections::HashMap;

use crate::ids::{Life, Mouth, Nick, RoomJid, Who};

/// How far one of ours has come into a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seat {
    /// It asked to enter.
    Asked,
    /// Its self-presence came; the subject that ends the join sequence did not yet.
    Joining(Nick),
    /// It is in.
    In(Nick),
}

impl Seat {
    pub(super) fn nick(&self) -> Option<&Nick> {
        match self {
            Seat::Asked => None,
            Seat::Joining(nick) | Seat::In(nick) => Some(nick),
        }
    }
}

/// One room.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// The ear's present life here: only its copies become events.
    pub(super) ear: Option<Life>,
    /// Ours. Bounded by the bridge, which bounds its puppets.
    pub(super) seats: HashMap<Mouth, Seat>,
    /// The room announces occupant-ids (XEP-0421): those of others are forgeries (some servers pass them).
    pub(super) occupant_ids: bool,
}

impl Room {
    pub(super) fn is_ear(&self, mouth: &Mouth) -> bool {
        mouth.who == Who::Ear && self.ear == Some(mouth.life)
    }
}

/// All rooms that the bridge has named. Nothing from other addresses becomes an event.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    rooms: HashMap<RoomJid, Room>,
    /// How many of ours have not yet seen the end of their join sequence, in all rooms: while there are none,
    /// puppets' copies of messages are dropped without a look at the room.
    pub(super) joining: usize,
}

impl Rooms {
    pub(super) fn named(&mut self, room: &RoomJid) -> &mut Room {
        self.rooms.entry(room.clone()).or_default()
    }

    pub(super) fn get(&self, bare: &str) -> Option<(&RoomJid, &Room)> {
        // The key is text behind a newtype; rooms are few and this is a lookup for each stanza that is read.
        self.rooms.get_key_value(&RoomJid::from(bare))
    }

    pub(super) fn get_mut(&mut self, room: &RoomJid) -> Option<&mut Room> {
        self.rooms.get_mut(room)
    }

    /// Sets or ends a seat.
    pub(super) fn seat(&mut self, room: &RoomJid, mouth: &Mouth, seat: Option<Seat>) {
        let open = |seat: Option<&Seat>| usize::from(matches!(seat, Some(Seat::Asked | Seat::Joining(_))));
        let Some(room) = self.rooms.get_mut(room) else { return };
        let after = open(seat.as_ref());
        let before = match seat {
            Some(seat) => room.seats.insert(mouth.clone(), seat),
            None => room.seats.remove(mouth),
        };
        self.joining = self.joining + after - open(before.as_ref());
    }

    /// Forgets who is in: the connection is new. What rooms announce stays.
    pub(super) fn forget_seats(&mut self) {
        self.joining = 0;
        for room in self.rooms.values_mut() {
            room.ear = None;
            room.seats.clear();
        }
    }
}
