//! Info/query stanzas: answers to what the bridge asked, and answers to what others ask of our occupants.

use intergroup_schemas::link::push_escaped;

use super::address::split;
use super::requests::{Asked, page, refused};
use super::session::Session;
use super::stanza::{self, DATA, DISCO_INFO, DISCO_ITEMS, MAM, OCCUPANT_ID, PING, RSM, STANZAS, VERSION};
use super::write;
use crate::bridge::{Answer, RoomEvent, RoomInfo};
use crate::payload::Element;

/// What the component and its occupants answer.
const FEATURES: &[&str] = &[DISCO_INFO, DISCO_ITEMS, PING, VERSION];
const NAME: &str = "Intergroup";

impl Session {
    /// Handles an iq to any of our JIDs.
    pub(super) fn iq(&mut self, iq: &Element, from: &str, to: &str) {
        let id = iq.attribute("id").unwrap_or_default();
        match iq.attribute("type") {
            Some("result") => self.answered(iq, from, id, true),
            Some("error") => self.answered(iq, from, id, false),
            // Our own ping, back from the server: that it came is all there is to it.
            Some("get" | "set") if self.addresses.ours(from) => {}
            Some("get" | "set") if self.asks_the_core(iq, from, to, id) => {}
            Some(kind @ ("get" | "set")) => self.answer(iq, kind, from, to, id),
            _ => {}
        }
    }

    fn answered(&mut self, iq: &Element, from: &str, id: &str, result: bool) {
        let Some(pending) = self.requests.take(id, split(from).0) else { return };
        let (room, request) = (pending.room, pending.request);
        let refusal = stanza::refusal(iq);
        let answer = match pending.asked {
            Asked::Fence => Answer::Done,
            // An occupant that does not know the ping is in all the same (XEP-0410 section 3).
            Asked::Ping if matches!(&*refusal.condition, "service-unavailable" | "feature-not-implemented") => {
                Answer::Done
            }
            _ if !result => {
                return self.tell(&room, refused(request, &refusal.condition, &refusal.text));
            }
            Asked::Done | Asked::Ping => Answer::Done,
            Asked::People => Answer::People(self.people(iq)),
            Asked::Form => return self.change_configuration(&room, request, iq),
            Asked::Info => {
                let info = info(iq.child("query", DISCO_INFO));
                if let Some(known) = self.rooms.get_mut(&room) {
                    known.occupant_ids = info.occupant_ids;
                }
                Answer::Info(info)
            }
            Asked::Page(messages) => {
                let fin = iq.child("fin", MAM);
                let last = fin.and_then(|fin| fin.child("set", RSM)?.child("last", RSM)).map(Element::text);
                // Anything but the word itself is no end: some servers answer with an empty page when their database fails.
                let complete = fin.is_some_and(|fin| matches!(fin.attribute("complete"), Some("true" | "1")));
                Answer::Page(page(messages, last.filter(|last| !last.is_empty()), complete))
            }
        };
        self.tell(&room, RoomEvent::Answer { request, answer: Ok(answer) });
    }

    /// Answers a question. Refusals are harmless here: only errors to messages and presences throw an occupant out.
    fn answer(&mut self, iq: &Element, kind: &str, from: &str, to: &str, id: &str) {
        let asked = iq.children().next();
        let (name, namespace) = asked.map_or(("", ""), |child| (&*child.name, &*child.namespace));
        let known = match (kind, name, namespace) {
            ("get", "query", DISCO_INFO | DISCO_ITEMS) => asked.and_then(|child| child.attribute("node")).is_none(),
            ("get", "query", VERSION) | ("get", "ping", PING) => true,
            _ => false,
        };
        stanza::begin(&mut self.out, "iq", Some(if known { "result" } else { "error" }), to, from, Some(id));
        let out = &mut self.out;
        match namespace {
            _ if !known => {
                out.push_str("<error type='cancel'><service-unavailable xmlns='");
                out.push_str(STANZAS);
                out.push_str("'/></error>");
            }
            DISCO_INFO => {
                let (category, kind) = if to.contains('@') { ("client", "bot") } else { ("gateway", "xmpp") };
                write::begin(out, "query", DISCO_INFO, None);
                write::identity(out, category, kind, NAME);
                FEATURES.iter().for_each(|feature| write::feature(out, feature));
                out.push_str("</query>");
            }
            DISCO_ITEMS => Element::new("query", DISCO_ITEMS).write(out, ""),
            VERSION => {
                write::begin(out, "query", VERSION, None);
                write::text(out, "name", NAME);
                write::text(out, "version", env!("CARGO_PKG_VERSION"));
                out.push_str("</query>");
            }
            _ => {}
        }
        out.push_str("</iq>");
    }
}

/// What a room says of itself (XEP-0045 section 6.4).
fn info(query: Option<&Element>) -> RoomInfo {
    let has = |feature: &str| {
        let is = |child: &Element| child.is("feature", DISCO_INFO) && child.attribute("var") == Some(feature);
        query.is_some_and(|query| query.children().any(is))
    };
    RoomInfo {
        archive: has(MAM),
        occupant_ids: has(OCCUPANT_ID),
        members_only: has("muc_membersonly"),
        persistent: has("muc_persistent"),
        moderated: has("muc_moderated"),
        non_anonymous: has("muc_nonanonymous"),
    }
}

/// The children of an archive query (XEP-0313 section 4) with that `queryid`.
pub(super) fn query(out: &mut String, queryid: &str, from: &crate::bridge::ReadFrom, max: u32) {
    use crate::bridge::ReadFrom;
    out.push_str("<query");
    stanza::attribute(out, "xmlns", MAM);
    stanza::attribute(out, "queryid", queryid);
    out.push('>');
    if let ReadFrom::Start { start: Some(start), .. } = from {
        out.push_str("<x");
        stanza::attribute(out, "xmlns", DATA);
        out.push_str(" type='submit'><field var='FORM_TYPE' type='hidden'><value>");
        out.push_str(MAM);
        out.push_str("</value></field><field var='start'><value>");
        push_escaped(out, &start.to_wire());
        out.push_str("</value></field></x>");
    }
    out.push_str("<set");
    stanza::attribute(out, "xmlns", RSM);
    out.push_str("><max>");
    out.push_str(&max.to_string());
    out.push_str("</max>");
    match from {
        ReadFrom::Start { after: Some(after), .. } => {
            out.push_str("<after>");
            push_escaped(out, after.as_str());
            out.push_str("</after>");
        }
        ReadFrom::Start { after: None, .. } => {}
        ReadFrom::Latest => out.push_str("<before/>"),
    }
    out.push_str("</set></query>");
}
