//! Messages of a room's archive (XEP-0313), and who really said them.
//!
//! A server that shows the real JID in an archived message puts `<x muc#user><item jid='…'/></x>` among what the sender
//! wrote, and **does not strip one that the sender wrote**. So only the place tells whose it is, and each server has a place of
//! its own, next to something that senders cannot forge:
//!
//! - ejabberd puts it first of all, with its `<stanza-id by=ROOM/>` behind it (or behind an `<archived/>` behind it). Senders'
//!   stanza-ids by the room are stripped.
//! - Prosody appends it behind everything, right after its `<occupant-id/>`, and its archived messages hold no stanza-id by
//!   the room. Senders' occupant-ids are stripped wherever the room announces them.
//!
//! Anything else is not believed, and the author is known by the occupant-id or not at all.

use super::address::{Addresses, split};
use super::message::{id, is_stanza_id, said};
use super::session::Session;
use super::stanza::{self, DELAY, FORWARD, MAM, MUC_USER, OCCUPANT_ID};
use crate::bridge::{Content, RoomMessage};
use crate::ids::{BareJid, RoomJid, StanzaId};
use crate::payload::{CLIENT, Element};
use intergroup_schemas::link::Timestamp;

/// The element of old that some servers put beside their stanza-id.
const ARCHIVED: (&str, &str) = ("archived", "urn:xmpp:mam:tmp");

impl Session {
    /// A result of an archive query, from the room's bare JID. Those that nobody asked for are dropped.
    pub(super) fn archived(&mut self, message: &Element, room: &RoomJid) {
        let Some(result) = stanza::only(message, "result", MAM) else { return };
        let Some(query) = result.attribute("queryid") else { return };
        let occupant_ids = self.rooms.get(room.as_str()).is_some_and(|(_, known)| known.occupant_ids);
        let now = self.now;
        let Some(page) = self.requests.result(query, room.as_str(), now) else { return };
        if let Some(entry) = entry(result, room, occupant_ids, &self.addresses) {
            page.push(entry);
        }
    }
}

/// An archived message; none when it has no id. One that cannot be read keeps its place, with nothing in it.
fn entry(result: &Element, room: &RoomJid, occupant_ids: bool, addresses: &Addresses) -> Option<RoomMessage> {
    let place = StanzaId::from(id(result.attribute("id"))?);
    let forwarded = result.child("forwarded", FORWARD);
    let stamp = forwarded.and_then(|f| f.child("delay", DELAY)?.attribute("stamp")).and_then(Timestamp::from_wire);
    let message = forwarded.and_then(|f| f.child("message", CLIENT));
    let from = message.and_then(|m| m.attribute("from")).map(split).filter(|(bare, _)| *bare == room.as_str());
    let mut entry = match (message, from) {
        (Some(message), Some((_, nick))) if message.attribute("type") == Some("groupchat") => {
            let mut entry = said(message, room, nick, occupant_ids);
            if let Some(jid) = real(message, room, occupant_ids) {
                entry.ours = addresses.who(jid);
                entry.real = entry.ours.is_none().then(|| BareJid::from(split(jid).0));
            }
            entry
        }
        _ => RoomMessage {
            nick: None,
            id: None,
            stanza_id: None,
            occupant_id: None,
            real: None,
            ours: None,
            stamp: None,
            content: Content::Nothing,
        },
    };
    entry.stanza_id = Some(place);
    entry.stamp = stamp;
    Some(entry)
}

/// The real JID that the server put into an archived message; see the head of this file.
fn real<'a>(message: &'a Element, room: &RoomJid, occupant_ids: bool) -> Option<&'a str> {
    let children: Vec<&Element> = message.children().collect();
    let x = if children.iter().any(|child| is_stanza_id(child, room)) {
        let mut behind = children.iter().skip(1).skip_while(|child| child.is(ARCHIVED.0, ARCHIVED.1));
        behind.next().filter(|child| is_stanza_id(child, room))?;
        children.first()?
    } else {
        let (x, before) = children.split_last()?;
        before.last().filter(|child| occupant_ids && child.is("occupant-id", OCCUPANT_ID))?;
        x
    };
    if !x.is("x", MUC_USER) {
        return None;
    }
    stanza::only(x, "item", MUC_USER)?.attribute("jid")
}
