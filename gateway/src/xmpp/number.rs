//! Groups' own addresses (`10001@COMPONENT`), as stanzas: service discovery (XEP-0030) with pages (XEP-0059), one command (XEP-0050),
//! joining, presence, and messages both ways. What is asked goes to the bridge; what it answers is written here.
//!
//! A group says that it is a conference, so that clients show it among those, and has no feature of rooms, so that none takes it for
//! one. Who joins it all the same is sent to the room: by the error `gone` with the room's address (RFC 6120 section 8.3.3.5; clients
//! follow it, and few know `redirect`), and by an invitation (XEP-0249), which any client can show.

use std::sync::Arc;

use intergroup_schemas::ids::GroupNumber;
use intergroup_schemas::link::{Timestamp, push_escaped};
use intergroup_schemas::list::Role;

use super::message::id;
use super::session::Session;
use super::stanza::{self, COMMANDS, DATA, DELAY, DISCO_INFO, DISCO_ITEMS, INVITATION, MUC, PING, RSM, SID, STANZAS};
use super::write;
use crate::bridge::{Caller, CommandsOf, Declined, Event, Member, MemberAt, Members, Span, Visit, VisitAnswer};
use crate::ids::{BareJid, MessageId, RoomJid};
use crate::payload::{Element, reduce, to_room};

/// What the address of a group answers.
const FEATURES: &[&str] = &[DISCO_INFO, DISCO_ITEMS, COMMANDS, RSM, PING];
/// The node of the one command.
const WHO: &str = "who";
/// What it is called.
const WHO_NAME: &str = "Who is in this group";

impl Session {
    /// A message or a presence to a group's address.
    pub(super) fn visitor(&mut self, stanza: &Element, from: &str, to: &str, group: GroupNumber) {
        // A room that sends to one of our numbers passes on what some occupant made it send: nobody waits for an answer.
        if self.rooms.get(super::address::split(from).0).is_some() {
            return;
        }
        let visit = match (&*stanza.name, stanza.attribute("type")) {
            ("presence", None) if stanza.child("x", MUC).is_some() => Visit::Join,
            ("presence", None) => Visit::Presence(true),
            ("presence", Some("unavailable")) => Visit::Presence(false),
            ("presence", Some("subscribe")) => Visit::Follow(true),
            ("presence", Some("unsubscribe" | "unsubscribed")) => Visit::Follow(false),
            ("presence", Some("probe")) => Visit::Probe,
            ("message", Some("error")) => match id(stanza.attribute("id")).map(MessageId::from) {
                Some(id) => Visit::Bounce(id),
                None => return,
            },
            ("message", None | Some("normal" | "chat" | "groupchat")) => {
                let id = id(stanza.attribute("id")).map(MessageId::from);
                Visit::Say { id, content: reduce(stanza.children()) }
            }
            _ => return,
        };
        self.events.push(Event::Visit { caller: caller(stanza, from, to), group: Some(group), visit });
    }

    /// Passes a question on to the bridge, if it is one for it.
    pub(super) fn asks_the_core(&mut self, iq: &Element, from: &str, to: &str, id: &str) -> bool {
        let Some(asked) = iq.children().next().filter(|_| !id.is_empty()) else { return false };
        let (kind, node) = (iq.attribute("type").unwrap_or_default(), asked.attribute("node"));
        let question = (kind, &*asked.name, &*asked.namespace, node);
        let (group, visit) = match (self.addresses.group(to), question) {
            (None, ("get", "query", DISCO_ITEMS, None)) if !to.contains(['@', '/']) => (None, Visit::Groups),
            (None, _) => return false,
            (group, ("get", "query", DISCO_INFO, None)) => (group, Visit::Group),
            (group, ("get", "query", DISCO_ITEMS, None)) => (group, Visit::Members(span(asked))),
            (group, ("get", "query", DISCO_ITEMS, Some(COMMANDS))) => (group, Visit::Commands(CommandsOf::Items)),
            (group, ("get", "query", DISCO_INFO, Some(COMMANDS))) => (group, Visit::Commands(CommandsOf::Info)),
            (group, ("get", "query", DISCO_INFO, Some(WHO))) => (group, Visit::Commands(CommandsOf::WhoInfo)),
            (group, ("set", "command", COMMANDS, Some(WHO))) if executes(asked) => (group, Visit::Who),
            _ => return false,
        };
        self.events.push(Event::Visit { caller: caller(iq, from, to), group, visit });
        true
    }

    /// Writes the bridge's answer.
    pub(super) fn answer_visitor(&mut self, caller: &Caller, answer: VisitAnswer) {
        let mut out = String::new();
        match answer {
            VisitAnswer::Refused(declined) => refuse(&mut out, caller, &declined),
            VisitAnswer::Moved { group, name, room } => moved(&mut out, caller, group, &name, &room),
            VisitAnswer::Groups(groups) => result(&mut out, caller, |out| {
                write::begin(out, "query", DISCO_ITEMS, None);
                for (group, name) in groups {
                    write::leaf(out, "item", &[("jid", &format!("{group}@{}", caller.to)), ("name", &name)]);
                }
                out.push_str("</query>");
            }),
            VisitAnswer::Group(name) => result(&mut out, caller, |out| {
                write::begin(out, "query", DISCO_INFO, None);
                write::identity(out, "conference", "text", &name);
                FEATURES.iter().for_each(|feature| write::feature(out, feature));
                out.push_str("</query>");
            }),
            VisitAnswer::Commands(of) => result(&mut out, caller, |out| commands(out, of, &caller.to)),
            VisitAnswer::Members(members) => {
                let items: Vec<_> =
                    members.members.iter().map(|member| (self.address(member), called(member))).collect();
                result(&mut out, caller, |out| {
                    write::begin(out, "query", DISCO_ITEMS, None);
                    for (jid, name) in &items {
                        write::leaf(out, "item", &[("jid", jid), ("name", name)]);
                    }
                    page(out, &members);
                    out.push_str("</query>");
                });
            }
            VisitAnswer::Followed(name) => followed(&mut out, caller, name.as_deref()),
            VisitAnswer::Present(name) => present(&mut out, caller, &name),
            VisitAnswer::Who(name, members) => result(&mut out, caller, |out| who(out, &name, &members)),
        }
        self.put(&out);
    }

    /// Something of the group for one of its members, who is not in the room.
    pub(super) fn send_from_number(
        &mut self,
        group: GroupNumber,
        to: &BareJid,
        id: &MessageId,
        payload: &[u8],
        prefix: Option<&str>,
        delay: Option<Timestamp>,
    ) {
        // It was said in the room here, or crossed, so that it is as it may be.
        let Ok((children, _)) = to_room(payload, prefix) else { return };
        let from = self.addresses.number(group);
        let mut out = String::with_capacity(children.len() + 300);
        stanza::begin(&mut out, "message", Some("chat"), &from, to.as_str(), Some(id.as_str()));
        out.push_str(&children);
        write::leaf(&mut out, "origin-id", &[("xmlns", SID), ("id", id.as_str())]);
        if let Some(delay) = delay {
            write::leaf(&mut out, "delay", &[("xmlns", DELAY), ("from", &from), ("stamp", &delay.to_wire())]);
        }
        out.push_str("</message>");
        self.put(&out);
    }

    fn address(&mut self, member: &Member) -> String {
        match &member.at {
            MemberAt::Own(account) => account.to_string(),
            MemberAt::Remote(who) => self.addresses.bare(who),
        }
    }
}

fn caller(stanza: &Element, from: &str, to: &str) -> Caller {
    let id = Arc::from(stanza.attribute("id").unwrap_or_default());
    let kind = match &*stanza.name {
        "iq" => "iq",
        "presence" => "presence",
        _ => "message",
    };
    Caller { from: Arc::from(from), to: Arc::from(to), id, kind }
}

/// The command is asked to run. A second stage there is none of, and to cancel what is done means nothing.
fn executes(command: &Element) -> bool {
    matches!(command.attribute("action"), None | Some("execute" | "complete"))
        && command.attribute("sessionid").is_none()
}

/// Which members are wanted. What is no mark of ours is as good as none.
fn span(query: &Element) -> Span {
    let set = query.child("set", RSM);
    let text = |name: &str| set.and_then(|set| set.child(name, RSM)).map(Element::text);
    let most = Span::default().max;
    let max = text("max").and_then(|max| max.trim().parse().ok()).map_or(most, |max: usize| max.min(most));
    Span { after: text("after").and_then(|after| after.parse().ok()), max }
}

fn called(member: &Member) -> String {
    format!("{} ({})", member.name, member.company)
}

// ---------------------------------------------------------------- writing

fn result(out: &mut String, caller: &Caller, content: impl FnOnce(&mut String)) {
    stanza::begin(out, "iq", Some("result"), &caller.to, &caller.from, Some(&caller.id));
    content(out);
    out.push_str("</iq>");
}

/// Where the page lies among all members (XEP-0059 section 2.6).
fn page(out: &mut String, members: &Members) {
    write::begin(out, "set", RSM, None);
    if let (Some(first), Some(last)) = (members.members.first(), members.members.last()) {
        write::text(out, "first", &first.mark.to_string());
        write::text(out, "last", &last.mark.to_string());
    }
    if let Some(count) = members.count {
        write::text(out, "count", &count.to_string());
    }
    out.push_str("</set>");
}

fn commands(out: &mut String, of: CommandsOf, group: &str) {
    match of {
        CommandsOf::Items => {
            write::begin(out, "query", DISCO_ITEMS, Some(COMMANDS));
            write::leaf(out, "item", &[("jid", group), ("node", WHO), ("name", WHO_NAME)]);
        }
        CommandsOf::Info => {
            write::begin(out, "query", DISCO_INFO, Some(COMMANDS));
            write::identity(out, "automation", "command-list", "Commands");
            write::feature(out, COMMANDS);
        }
        CommandsOf::WhoInfo => {
            write::begin(out, "query", DISCO_INFO, Some(WHO));
            write::identity(out, "automation", "command-node", WHO_NAME);
            [COMMANDS, DATA].iter().for_each(|feature| write::feature(out, feature));
        }
    }
    out.push_str("</query>");
}

/// The outcome of the command: a form of results (XEP-0004 section 3.4), and a note of what it does not hold.
fn who(out: &mut String, group: &str, members: &Members) {
    begin_command(out);
    if members.more {
        let shown = u64::try_from(members.members.len()).unwrap_or(u64::MAX);
        let rest = members.count.map(|count| format!("and {} more", count.saturating_sub(shown)));
        out.push_str("<note type='info'>");
        push_escaped(out, rest.as_deref().unwrap_or("and others"));
        out.push_str("</note>");
    }
    begin_form(out);
    write::text(out, "title", &format!("{WHO_NAME}: {group}"));
    out.push_str("<reported>");
    for (var, label) in [("name", "Name"), ("company", "Company"), ("role", "May")] {
        out.push_str("<field type='text-single'");
        stanza::attribute(out, "var", var);
        stanza::attribute(out, "label", label);
        out.push_str("/>");
    }
    out.push_str("</reported>");
    for member in &members.members {
        let role = if member.role == Role::Speak { "speak" } else { "read only" };
        out.push_str("<item>");
        for (var, value) in [("name", &*member.name), ("company", &member.company), ("role", role)] {
            out.push_str("<field");
            stanza::attribute(out, "var", var);
            out.push('>');
            write::text(out, "value", value);
            out.push_str("</field>");
        }
        out.push_str("</item>");
    }
    out.push_str("</x></command>");
}

/// A presence from the number, between bare JIDs as those about subscriptions are.
fn presence(out: &mut String, caller: &Caller, kind: Option<&str>, to: &str) {
    stanza::begin(out, "presence", kind, super::address::split(&caller.to).0, to, None);
}

/// The group is a contact that shares its presence and asks for the other's; or it is not.
fn followed(out: &mut String, caller: &Caller, name: Option<&str>) {
    let to = super::address::split(&caller.from).0;
    let Some(name) = name else {
        presence(out, caller, Some("unsubscribed"), to);
        return out.push_str("</presence>");
    };
    for kind in ["subscribed", "subscribe"] {
        presence(out, caller, Some(kind), to);
        out.push_str("</presence>");
    }
    presence(out, caller, None, to);
    write::text(out, "status", name);
    out.push_str("</presence>");
}

fn present(out: &mut String, caller: &Caller, name: &str) {
    presence(out, caller, None, &caller.from);
    write::text(out, "status", name);
    out.push_str("</presence>");
}

fn begin_command(out: &mut String) {
    out.push_str("<command");
    // There is one stage, so nobody ever comes back with this.
    let attributes = [("xmlns", COMMANDS), ("node", WHO), ("sessionid", WHO), ("status", "completed")];
    attributes.iter().for_each(|(name, value)| stanza::attribute(out, name, value));
    out.push('>');
}

fn begin_form(out: &mut String) {
    out.push_str("<x");
    stanza::attribute(out, "xmlns", DATA);
    out.push_str(" type='result'>");
}

fn refuse(out: &mut String, caller: &Caller, declined: &Declined) {
    let kind = match declined.condition {
        "forbidden" => "auth",
        "resource-constraint" => "wait",
        "not-acceptable" | "policy-violation" => "modify",
        _ => "cancel",
    };
    let id = Some(&*caller.id).filter(|id| !id.is_empty());
    stanza::begin(out, caller.kind, Some("error"), &caller.to, &caller.from, id);
    out.push_str("<error");
    stanza::attribute(out, "type", kind);
    out.push_str("><");
    out.push_str(declined.condition);
    stanza::attribute(out, "xmlns", STANZAS);
    out.push_str("/><text");
    stanza::attribute(out, "xmlns", STANZAS);
    out.push('>');
    push_escaped(out, &declined.text);
    out.push_str("</text></error></");
    out.push_str(caller.kind);
    out.push('>');
}

/// Who joins the number is sent to the room.
fn moved(out: &mut String, caller: &Caller, group: GroupNumber, name: &str, room: &RoomJid) {
    let number = super::address::split(&caller.to).0;
    let id = Some(&*caller.id).filter(|id| !id.is_empty());
    stanza::begin(out, "presence", Some("error"), &caller.to, &caller.from, id);
    out.push_str("<x");
    stanza::attribute(out, "xmlns", MUC);
    out.push_str("/><error type='cancel'");
    stanza::attribute(out, "by", number);
    out.push_str("><gone");
    stanza::attribute(out, "xmlns", STANZAS);
    out.push('>');
    push_escaped(out, &format!("xmpp:{}?join", escaped(room)));
    out.push_str("</gone></error></presence>");
    stanza::begin(out, "message", None, number, &caller.from, None);
    write::text(out, "body", &format!("Group {group} ({name}) is the room {room} here: join that one."));
    out.push_str("<x");
    stanza::attribute(out, "xmlns", INVITATION);
    stanza::attribute(out, "jid", room.as_str());
    out.push_str("/></message>");
}

/// A JID as part of a URI (RFC 5122 section 2.2): what is not surely allowed there is percent-encoded.
fn escaped(jid: &RoomJid) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~@".contains(&b);
    let byte = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    jid.as_str().bytes().map(byte).collect()
}
