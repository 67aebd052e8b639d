//! The link without its socket: stanzas in, events out; actions in, stanzas out. Outlives connections, since what rooms announce
//! and how our occupants are named does.

use std::time::Instant;

use memchr::memmem::Finder;

use super::address::{Addresses, split};
use super::handshake::STREAM;
use super::head::{Head, head};
use super::requests::Requests;
use super::rooms::{Rooms, Seat};
use super::stanza;
use crate::bridge::{Event, RoomEvent};
use crate::ids::{Mouth, RoomJid, Who};
use crate::payload::{CLIENT, COMPONENT, Element, parse};

/// Stanzas sent to ourselves to see whether another connection gets a part of what is ours: one that shares evenly goes
/// unnoticed once in a million times.
pub(super) const TEST_STANZAS: u32 = 20;

/// What became of a stanza.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was handled.
    Read,
    /// It was a puppet's copy of what the ear gets as well.
    Copy,
    /// It cannot be read.
    Malformed,
    /// The server ends the stream.
    StreamError {
        /// The condition (RFC 6120 section 4.9.3).
        condition: String,
        /// The server's own words, cut to what is safe to show.
        text: String,
    },
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) addresses: Addresses,
    pub(super) rooms: Rooms,
    pub(super) requests: Requests,
    /// What has happened and was not yet taken.
    pub(super) events: Vec<Event>,
    /// What is to be written and was not yet taken.
    pub(super) out: String,
    /// The time of the call, which the caller sets.
    pub(super) now: Instant,
    nonce: String,
    /// Which of the test's stanzas have come back.
    returned: u32,
    own_status: Finder<'static>,
}

impl Session {
    pub(super) fn new(component: &str, now: Instant) -> Self {
        Self {
            addresses: Addresses::new(component),
            rooms: Rooms::default(),
            requests: Requests::new(""),
            events: Vec::new(),
            out: String::new(),
            now,
            nonce: String::new(),
            returned: 0,
            own_status: Finder::new("110"),
        }
    }

    /// Begins a new connection: nothing asked on an older one is answered on this one. `nonce` cannot be guessed.
    pub(super) fn begin(&mut self, nonce: &str) {
        self.requests = Requests::new(nonce);
        self.rooms.forget_seats();
        self.events.clear();
        self.out.clear();
        self.returned = 0;
        nonce.clone_into(&mut self.nonce);
    }

    pub(super) fn tell(&mut self, room: &RoomJid, event: RoomEvent) {
        self.events.push(Event::Room { room: room.clone(), event });
    }

    /// Sends the test's stanzas.
    pub(super) fn test(&mut self) {
        let ear = self.addresses.bare(&Who::Ear);
        for n in 0..TEST_STANZAS {
            let (to, id) = (format!("{ear}/test-{n}"), format!("{}-test-{n}", self.nonce));
            stanza::begin(&mut self.out, "message", Some("headline"), &ear, &to, Some(&id));
            self.out.push_str("</message>");
        }
    }

    /// Whether all of the test's stanzas have come back.
    pub(super) fn exclusive(&self) -> bool {
        self.returned.count_ones() == TEST_STANZAS
    }

    /// Asks the server for a sign of life: a ping to ourselves, which it must route, whatever else it serves.
    pub(super) fn ping(&mut self) {
        let (ear, id) = (self.addresses.bare(&Who::Ear), format!("{}-ping", self.nonce));
        stanza::begin(&mut self.out, "iq", Some("get"), &ear, &ear, Some(&id));
        self.out.push_str("<ping xmlns='urn:xmpp:ping'/></iq>");
    }

    /// Gives up requests that were not answered in time; says how many.
    pub(super) fn expire(&mut self) -> usize {
        let expired = self.requests.expire(self.now);
        let count = expired.len();
        for (room, event) in expired {
            self.tell(&room, event);
        }
        count
    }

    /// Handles one stanza.
    pub(super) fn stanza(&mut self, bytes: &[u8]) -> Outcome {
        let head = head(bytes);
        if !self.wanted(&head, bytes) {
            return Outcome::Copy;
        }
        let elements = std::str::from_utf8(bytes).ok().and_then(|text| parse(text, COMPONENT, &[STREAM]).ok());
        let Some([element]) = elements.as_deref() else { return Outcome::Malformed };
        if element.is("error", STREAM.1) {
            let defined = |e: &&Element| &*e.namespace == stanza::STREAMS && e.name != "text";
            let condition = element.children().find(defined).map_or("undefined-condition", |e| &e.name).to_owned();
            let text = element.child("text", stanza::STREAMS).map(Element::text).unwrap_or_default();
            return Outcome::StreamError { condition, text: stanza::safe(&text) };
        }
        if &*element.namespace == CLIENT {
            self.route(element);
        }
        Outcome::Read
    }

    fn route(&mut self, element: &Element) {
        let (Some(from), Some(to)) = (element.attribute("from"), element.attribute("to")) else { return };
        if !self.addresses.ours(to) {
            return;
        }
        if element.name == "iq" {
            return self.iq(element, from, to);
        }
        if self.addresses.ours(from) {
            return self.came_back(element);
        }
        if let Some(group) = self.addresses.group(to) {
            return self.visitor(element, from, to, group);
        }
        let (bare, nick) = split(from);
        // Rooms alone are spoken with; anybody else who writes to us gets no answer.
        let Some((room, _)) = self.rooms.get(bare) else { return };
        let (room, mouth) = (room.clone(), self.addresses.mouth(to));
        match (&*element.name, mouth) {
            ("presence", Some(mouth)) => self.presence(element, &room, nick, mouth),
            ("message", mouth) => self.message(element, &room, nick, mouth),
            _ => {}
        }
    }

    /// A stanza that we sent to ourselves.
    fn came_back(&mut self, element: &Element) {
        let test = element.attribute("id").and_then(|id| id.strip_prefix(self.nonce.as_str())?.strip_prefix("-test-"));
        if let Some(n) = test.and_then(|n| n.parse().ok()).filter(|n: &u32| *n < TEST_STANZAS) {
            self.returned |= 1 << n;
        }
    }

    /// Whether a stanza is more than a puppet's copy of what the ear gets as well. Rooms send every message and every presence
    /// to each of our occupants, so this runs many times for each stanza that matters; it allocates only when it looks at seats.
    fn wanted(&self, head: &Head<'_>, bytes: &[u8]) -> bool {
        if self.addresses.is_ear(head.to) || self.addresses.is_number(head.to) {
            return true;
        }
        match (head.name, head.kind) {
            (b"message", b"groupchat") => {
                self.rooms.joining > 0 && self.seat(head).is_some_and(|(seat, _)| matches!(seat, Seat::Joining(_)))
            }
            (b"presence", b"") => self.own_status.find(bytes).is_some(),
            (b"presence", b"unavailable") => {
                self.own_status.find(bytes).is_some()
                    || self
                        .seat(head)
                        .is_some_and(|(seat, nick)| seat.nick().is_some_and(|n| Some(n.as_str()) == nick.as_deref()))
            }
            _ => true,
        }
    }

    /// The seat of the receiver in the sender's room, and the sender's nick.
    fn seat(&self, head: &Head<'_>) -> Option<(&Seat, Option<String>)> {
        let text = |raw| quick_xml::escape::unescape(std::str::from_utf8(raw).ok()?).ok();
        let (from, to) = (text(head.from)?, text(head.to)?);
        let (bare, nick) = split(&from);
        let mouth: Mouth = self.addresses.mouth(&to)?;
        let (_, room) = self.rooms.get(bare)?;
        Some((room.seats.get(&mouth)?, nick.map(str::to_owned)))
    }
}
