//! What the administrators and owners of rooms ask (XEP-0045 sections 9 and 10): who has which affiliation, and how the room is
//! configured. Asked by the ear's bare JID.

use super::address::split;
use super::requests::{Asked, refused};
use super::session::Session;
use super::stanza::{self, DATA, MUC_ADMIN, MUC_OWNER, affiliation_name};
use super::write;
use crate::bridge::{Affiliation, Answer, RequestId, RoomEvent};
use crate::ids::{BareJid, Nick, RoomJid};
use crate::payload::Element;

/// The field of a room's configuration that lets only members in.
const MEMBERS_ONLY: &str = "muc#roomconfig_membersonly";
/// Occupants need voice.
const MODERATED: &str = "muc#roomconfig_moderatedroom";
/// Everybody has voice all the same (ejabberd).
const VOICE_FOR_ALL: &str = "members_by_default";

impl Session {
    pub(super) fn read_affiliations(&mut self, room: &RoomJid, request: RequestId, affiliation: Affiliation) {
        self.ask(room, request, Asked::People, None, |out, _| {
            item(out, &[("affiliation", affiliation_name(affiliation))])
        });
    }

    pub(super) fn set_affiliation(
        &mut self,
        room: &RoomJid,
        request: RequestId,
        account: &BareJid,
        affiliation: Affiliation,
    ) {
        // One item an iq: some servers take the first only.
        let attributes = [("affiliation", affiliation_name(affiliation)), ("jid", account.as_str())];
        self.ask(room, request, Asked::Done, None, |out, _| item(out, &attributes));
    }

    pub(super) fn put_out(&mut self, room: &RoomJid, request: RequestId, nick: &Nick) {
        self.ask(room, request, Asked::Done, None, |out, _| item(out, &[("nick", nick.as_str()), ("role", "none")]));
    }

    pub(super) fn ask_for_configuration(&mut self, room: &RoomJid, request: RequestId) {
        self.ask(room, request, Asked::Form, None, |out, _| write::empty(out, "query", MUC_OWNER));
    }

    /// The form has come: it goes back as it was, but for what lets others in than members.
    pub(super) fn change_configuration(&mut self, room: &RoomJid, request: RequestId, iq: &Element) {
        let form = iq.child("query", MUC_OWNER).and_then(|query| query.child("x", DATA));
        let mut fields = form.map(fields).unwrap_or_default();
        if !fields.iter().any(|(var, _)| *var == MEMBERS_ONLY) {
            return self
                .tell(room, refused(request, "feature-not-implemented", "no form with a field for members only"));
        }
        if close(&mut fields) {
            self.ask(room, request, Asked::Done, None, |out, _| submit(out, &fields));
        } else {
            self.tell(room, RoomEvent::Answer { request, answer: Ok(Answer::Done) });
        }
    }

    /// The accounts of a list of affiliations; ours are no business of anybody's.
    pub(super) fn people(&self, iq: &Element) -> Vec<BareJid> {
        let items = iq.child("query", MUC_ADMIN).into_iter().flat_map(Element::children);
        let jids = items.filter(|item| item.is("item", MUC_ADMIN)).filter_map(|item| item.attribute("jid"));
        jids.filter(|jid| !self.addresses.ours(jid)).map(|jid| BareJid::from(split(jid).0)).collect()
    }
}

/// A query of administrators with one item.
fn item(out: &mut String, attributes: &[(&str, &str)]) {
    write::begin(out, "query", MUC_ADMIN, None);
    write::leaf(out, "item", attributes);
    out.push_str("</query>");
}

/// The fields of a form that have values. What has none stays so when it is not sent back, and some servers do not take an empty
/// value where they expect a JID or a number.
fn fields(form: &Element) -> Vec<(&str, Vec<String>)> {
    let field = |field: &'static str| move |child: &&Element| child.is(field, DATA);
    let values = |f: &Element| f.children().filter(field("value")).map(Element::text).collect::<Vec<_>>();
    let all = form.children().filter(field("field"));
    let all = all.filter(|f| f.attribute("type") != Some("fixed"));
    let all = all.filter_map(|f| Some((f.attribute("var")?, values(f))));
    all.filter(|(var, values)| *var == MEMBERS_ONLY || values.iter().any(|v| !v.is_empty())).collect()
}

/// Changes the form so that only members come in. Says whether anything was to be changed.
///
/// ejabberd lets people who were removed from a moderated room come in again, whatever it says of members (seen in 23.01). Where
/// moderation mutes nobody, it goes.
fn close(fields: &mut [(&str, Vec<String>)]) -> bool {
    let is = |fields: &[(&str, Vec<String>)], name: &str| {
        fields
            .iter()
            .any(|(var, values)| *var == name && matches!(values.first().map(String::as_str), Some("1" | "true")))
    };
    let lets_back_in = is(fields, MODERATED) && is(fields, VOICE_FOR_ALL);
    let changes = !is(fields, MEMBERS_ONLY) || lets_back_in;
    for (var, values) in fields {
        match *var {
            MEMBERS_ONLY => *values = vec!["1".to_owned()],
            MODERATED if lets_back_in => *values = vec!["0".to_owned()],
            _ => {}
        }
    }
    changes
}

fn submit(out: &mut String, fields: &[(&str, Vec<String>)]) {
    write::begin(out, "query", MUC_OWNER, None);
    out.push_str("<x");
    stanza::attribute(out, "xmlns", DATA);
    out.push_str(" type='submit'>");
    for (var, values) in fields {
        out.push_str("<field");
        stanza::attribute(out, "var", var);
        out.push('>');
        for value in values {
            write::text(out, "value", value);
        }
        out.push_str("</field>");
    }
    out.push_str("</x></query>");
}
