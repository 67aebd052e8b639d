//! What our occupants do, as stanzas. Nothing written here can end the stream: every stanza has both addresses, ours inside our
//! domain; texts are escaped and cannot hold characters that XML forbids; payloads are checked anew; and sizes are bounded.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::link::push_escaped;

use super::iq::query;
use super::requests::{Asked, refused};
use super::rooms::Seat;
use super::session::Session;
use super::stanza::{self, DELAY, DISCO_INFO, HINTS, MUC, MUC_ADMIN, MUC_USER, PING, SID};
use super::write;
use crate::bridge::{Refusal, RequestId, RoomAction, RoomEvent};
use crate::ids::{MessageId, Mouth, Nick, RoomJid, Who};
use crate::payload::to_room;

/// Largest stanza written. Prosody ends a component's stream at 512 KiB, ejabberd at what its `max_stanza_size` says, for which
/// the README recommends the same.
const OUT_STANZA_BYTES: usize = 480 * 1024;

/// The nick in the address of a leave when it is not known: rooms go by the sender's JID there.
const ANY_NICK: &str = "gateway";

impl Session {
    /// Performs an action: what is to be written is appended to `out`, what is refused right here to `events`.
    pub(super) fn act(&mut self, room: &RoomJid, action: RoomAction) {
        match action {
            RoomAction::Enter { mouth, nick } => self.enter(room, mouth, &nick),
            RoomAction::Leave { mouth } => self.leave(room, &mouth),
            RoomAction::Say { mouth, id, payload, prefix, delay } => {
                let stamp = delay.map(|delay| delay.to_wire());
                let condition = match to_room(&payload, prefix.as_deref()) {
                    Ok((children, spoken)) => {
                        let stanza = self.say(room, &mouth, &id, &children, spoken, stamp.as_deref());
                        if self.put(&stanza) {
                            return;
                        }
                        Condition::TooLarge
                    }
                    Err(condition) => condition,
                };
                // The words of RFC 6120 for what the server would say.
                let name = if condition == Condition::TooLarge { "policy-violation" } else { "bad-request" };
                let refusal = Refusal { condition: name.into(), text: condition.as_str().into() };
                self.tell(room, RoomEvent::SayRefused { mouth, id, refusal });
            }
            RoomAction::Tell { mouth, nick, text } => {
                let mut out = String::new();
                let (from, to) = (self.addresses.full(&mouth), occupant(room, &nick));
                // Without an id: should it be refused, nobody is to take that for a refusal of something said.
                stanza::begin(&mut out, "message", Some("chat"), &from, &to, None);
                write::empty(&mut out, "x", MUC_USER);
                out.push_str("<body>");
                push_escaped(&mut out, &text);
                out.push_str("</body></message>");
                self.put(&out);
            }
            RoomAction::Send { group, to, id, payload, prefix, delay } => {
                self.send_from_number(group, &to, &id, &payload, prefix.as_deref(), delay);
            }
            RoomAction::Probe { group, to } => {
                let from = self.addresses.number(group);
                stanza::begin(&mut self.out, "presence", Some("probe"), &from, to.as_str(), None);
                self.out.push_str("</presence>");
            }
            RoomAction::SetSubject { mouth, text } => {
                let mut out = String::new();
                let from = self.addresses.full(&mouth);
                // Without an id, like what is told.
                stanza::begin(&mut out, "message", Some("groupchat"), &from, room.as_str(), None);
                out.push_str("<subject>");
                push_escaped(&mut out, &text);
                out.push_str("</subject></message>");
                self.put(&out);
            }
            RoomAction::Info { request } => {
                self.ask(room, request, Asked::Info, None, |out, _| write::empty(out, "query", DISCO_INFO));
            }
            // Answered by the room itself, in its turn, to anybody.
            RoomAction::Fence { request } => {
                self.ask(room, request, Asked::Fence, None, |out, _| write::empty(out, "query", DISCO_INFO));
            }
            RoomAction::ReadArchive { request, ear, from, max } => {
                let from_jid = self.addresses.full(&ear);
                self.ask(room, request, Asked::Page(Vec::new()), Some((from_jid, None)), |out, id| {
                    query(out, id, &from, max);
                });
            }
            RoomAction::Ping { request, mouth } => {
                let seat = self.rooms.named(room).seats.get(&mouth).and_then(Seat::nick).cloned();
                let Some(nick) = seat else {
                    // What a room would say to one that is not in.
                    return self.tell(room, refused(request, "not-acceptable", "not in the room"));
                };
                let addresses = (self.addresses.full(&mouth), Some(occupant(room, &nick)));
                self.ask(room, request, Asked::Ping, Some(addresses), |out, _| write::empty(out, "ping", PING));
            }
            RoomAction::SetMember { request, who } => {
                let jid = self.addresses.bare(&who);
                self.ask(room, request, Asked::Done, None, |out, _| {
                    out.push_str("<query");
                    stanza::attribute(out, "xmlns", MUC_ADMIN);
                    // One item an iq: some servers take the first only.
                    out.push_str("><item affiliation='member'");
                    stanza::attribute(out, "jid", &jid);
                    out.push_str("/></query>");
                });
            }
            RoomAction::ReadAffiliations { request, affiliation } => self.read_affiliations(room, request, affiliation),
            RoomAction::SetAffiliation { request, account, affiliation } => {
                self.set_affiliation(room, request, &account, affiliation);
            }
            RoomAction::MakeMembersOnly { request } => self.ask_for_configuration(room, request),
            RoomAction::PutOut { request, nick } => self.put_out(room, request, &nick),
        }
    }

    fn enter(&mut self, room: &RoomJid, mouth: Mouth, nick: &Nick) {
        let known = self.rooms.named(room);
        if mouth.who == Who::Ear {
            known.ear = Some(mouth.life);
        }
        let seat = match known.seats.get(&mouth) {
            // A change of nick: until it is granted the old one holds.
            Some(seat @ (Seat::In(old) | Seat::Joining(old))) if old != nick => seat.clone(),
            Some(Seat::In(old) | Seat::Joining(old)) => Seat::Joining(old.clone()),
            _ => Seat::Asked,
        };
        self.rooms.seat(room, &mouth, Some(seat));
        let from = self.addresses.full(&mouth);
        let mut out = String::new();
        stanza::begin(&mut out, "presence", None, &from, &occupant(room, nick), None);
        out.push_str("<x");
        stanza::attribute(&mut out, "xmlns", MUC);
        out.push_str("><history maxstanzas='0'/></x></presence>");
        if nick.as_str().is_empty() || !self.put(&out) {
            self.rooms.seat(room, &mouth, None);
            let refusal = Refusal { condition: "jid-malformed".into(), text: "not a nick".into() };
            self.tell(room, RoomEvent::JoinRefused { mouth, refusal });
        }
    }

    fn leave(&mut self, room: &RoomJid, mouth: &Mouth) {
        let seat = self.rooms.named(room).seats.get(mouth).cloned();
        let nick = seat.as_ref().and_then(Seat::nick).cloned().unwrap_or_else(|| Nick::from(ANY_NICK));
        if seat == Some(Seat::Asked) {
            // Its own presence may never come; should it, its leaving comes right behind.
            self.rooms.seat(room, mouth, None);
        }
        let from = self.addresses.full(mouth);
        stanza::begin(&mut self.out, "presence", Some("unavailable"), &from, &occupant(room, &nick), None);
        self.out.push_str("</presence>");
    }

    fn say(
        &mut self,
        room: &RoomJid,
        mouth: &Mouth,
        id: &MessageId,
        children: &str,
        spoken: bool,
        stamp: Option<&str>,
    ) -> String {
        let from = self.addresses.full(mouth);
        let mut out = String::with_capacity(children.len() + 300);
        stanza::begin(&mut out, "message", Some("groupchat"), &from, room.as_str(), Some(id.as_str()));
        out.push_str(children);
        out.push_str("<origin-id");
        stanza::attribute(&mut out, "xmlns", SID);
        stanza::attribute(&mut out, "id", id.as_str());
        out.push_str("/>");
        if let Some(stamp) = stamp {
            out.push_str("<delay");
            stanza::attribute(&mut out, "xmlns", DELAY);
            stanza::attribute(&mut out, "stamp", stamp);
            out.push_str("/>");
        }
        if !spoken {
            // Rooms archive nothing without a body unless they are asked to.
            write::empty(&mut out, "store", HINTS);
        }
        out.push_str("</message>");
        out
    }

    /// Sends a request and remembers it. Without addresses it goes from the ear's bare JID to the room itself; the ear's bare JID
    /// has the rights of the room's owner whether the ear is in or not.
    pub(super) fn ask(
        &mut self,
        room: &RoomJid,
        request: RequestId,
        asked: Asked,
        addresses: Option<(String, Option<String>)>,
        child: impl FnOnce(&mut String, &str),
    ) {
        self.rooms.named(room);
        let kind = if matches!(asked, Asked::Done | Asked::Page(_)) { "set" } else { "get" };
        let id = self.requests.add(room, request, asked, self.now);
        let (from, to) = addresses.unwrap_or_else(|| (self.addresses.bare(&Who::Ear), None));
        let to = to.as_deref().unwrap_or(room.as_str());
        stanza::begin(&mut self.out, "iq", Some(kind), &from, to, Some(&id));
        child(&mut self.out, &id);
        self.out.push_str("</iq>");
    }

    /// Writes a stanza, unless it is too large.
    pub(super) fn put(&mut self, stanza: &str) -> bool {
        let fits = stanza.len() <= OUT_STANZA_BYTES;
        if fits {
            self.out.push_str(stanza);
        }
        fits
    }
}

fn occupant(room: &RoomJid, nick: &Nick) -> String {
    format!("{room}/{nick}")
}
