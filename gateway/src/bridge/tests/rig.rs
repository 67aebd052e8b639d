//! A bridge with a memory store, one well-behaved room and a link that writes down what is sent. What the room does besides is
//! set by the tests; the simulator is where rooms are nasty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{GroupNumber, ListVersion, N, Seq};
use intergroup_schemas::link::{
    GroupInfo, History, MemberInfo, Request, RequestBody, Response, ResponseBody, Resume, Standing, Timestamp,
    ToCenter, ToGateway, Welcome, WelcomeGroup,
};
use intergroup_schemas::list::ListPage;

use super::group::{incarnation, info, list_of, member, page, row};
use crate::bridge::*;
use crate::ids::{BareJid, MessageId, Mouth, Nick, RoomJid, StanzaId, Who};
use crate::store::memory::MemoryStore;
use crate::store::{Source, Store};

pub(super) use super::archive::{Archived, Speaker, result};

pub(super) const GROUP: GroupNumber = GroupNumber(10_001);

pub(super) struct Rig {
    pub(super) bridge: Bridge,
    pub(super) store: MemoryStore,
    pub(super) now: Timestamp,
    pub(super) archive: Vec<Archived>,
    pub(super) inside: BTreeMap<Mouth, Nick>,
    pub(super) sent: Vec<ToCenter>,
    pub(super) told: Vec<(Nick, String)>,
    pub(super) replies: Vec<Reply>,
    pub(super) answers: Vec<VisitAnswer>,
    pub(super) subjects: Vec<String>,
    pub(super) standing: StandingText,
    pub(super) reports: Vec<String>,
    pub(super) relays_on_disk: bool,
    /// What the next welcome says of what is settled, and of the run before.
    pub(super) settled: Seq,
    pub(super) before: Option<intergroup_schemas::ids::Incarnation>,
    /// What is said is not reflected: it is archived, or not even that.
    pub(super) mute: Option<bool>,
    /// Answers to what is said, by how many messages were said before.
    pub(super) refuse: BTreeMap<usize, &'static str>,
    pub(super) refuse_nicks: BTreeSet<&'static str>,
    pub(super) affiliation: Affiliation,
    /// Pages of the archive are held back.
    pub(super) slow_archive: Option<Vec<(RequestId, ReadFrom)>>,
    pub(super) says: usize,
    pub(super) members_only: bool,
    /// The room keeps an archive.
    pub(super) archives: bool,
    pub(super) offline: OfflineBounds,
    /// What was sent to people's own addresses: to whom, the id, what.
    pub(super) mail: Vec<(String, MessageId, String)>,
    pub(super) probed: Vec<BareJid>,
    /// Fences are held back.
    pub(super) slow_fences: Option<Vec<RequestId>>,
    /// Nobody may close the room to others.
    pub(super) stays_open: bool,
    pub(super) affiliations: BTreeMap<BareJid, Affiliation>,
    pub(super) put_out: Vec<Nick>,
    /// The center's list; none: what is asked of it is not answered.
    pub(super) list: Option<ListPage>,
    /// The center gives no list, as we have no part in the group any more.
    pub(super) list_is_denied: bool,
    pub(super) members: Vec<MemberInfo>,
    next_command: u64,
    /// Each has random bytes of its own.
    starts: u8,
}

pub(super) fn room() -> RoomJid {
    RoomJid::from("talk@rooms.acme.test")
}

fn config(start: u8, standing: StandingText, offline: OfflineBounds) -> Config {
    Config {
        standing,
        offline,
        domains: vec!["acme.test".into(), "acme.example".into()],
        entropy: [start; 32],
        ..Config::default()
    }
}

impl Rig {
    pub(super) fn new() -> Self {
        let mut store = MemoryStore::new([9; 32]);
        let bridge = Bridge::new(store.load().unwrap(), config(0, StandingText::default(), OfflineBounds::default()));
        Self {
            bridge,
            store,
            now: Timestamp(1_000_000),
            archive: Vec::new(),
            inside: BTreeMap::new(),
            sent: Vec::new(),
            told: Vec::new(),
            replies: Vec::new(),
            answers: Vec::new(),
            subjects: Vec::new(),
            standing: StandingText::default(),
            reports: Vec::new(),
            relays_on_disk: true,
            settled: Seq(0),
            before: None,
            mute: None,
            refuse: BTreeMap::new(),
            refuse_nicks: BTreeSet::new(),
            affiliation: Affiliation::Owner,
            slow_archive: None,
            says: 0,
            members_only: false,
            archives: true,
            offline: OfflineBounds::default(),
            mail: Vec::new(),
            probed: Vec::new(),
            slow_fences: None,
            stays_open: false,
            affiliations: BTreeMap::new(),
            put_out: Vec::new(),
            list: Some(list_of(1, vec![row("acme/alice", "Alice", 1), row("acme/bob", "Bob", 1)])),
            members: vec![member("acme", "Acme"), member("globex", "Globex")],
            list_is_denied: false,
            next_command: 0,
            starts: 0,
        }
    }

    /// A rig whose room is mapped, shared and quiet.
    pub(super) fn mapped() -> Self {
        Self::new().map_room()
    }

    /// The same, while nobody else belongs to the group.
    pub(super) fn alone() -> Self {
        let mut rig = Self::new();
        rig.members.truncate(1);
        rig.map_room()
    }

    /// A rig whose list is empty, and whose room is empty.
    pub(super) fn bare() -> Self {
        let mut rig = Self::new();
        rig.list = Some(list_of(1, Vec::new()));
        rig.share(None);
        rig
    }

    /// The same, with members from there, in a room with these affiliations.
    pub(super) fn with_source(source: Source, affiliations: &[(&str, Affiliation)]) -> Self {
        let mut rig = Self::new();
        rig.list = Some(list_of(1, Vec::new()));
        rig.affiliations = affiliations.iter().map(|(jid, a)| (BareJid::from(*jid), *a)).collect();
        rig.share(Some(source));
        rig
    }

    pub(super) fn share(&mut self, members: Option<Source>) {
        self.up();
        self.command(Command::Create { name: "Apollo".into(), room: room(), members });
        self.resumed();
    }

    fn map_room(self) -> Self {
        let mut rig = self;
        rig.share(None);
        rig.person("Alice", "alice@acme.test");
        rig.person("Bob", "bob@acme.test");
        rig
    }

    pub(super) fn up(&mut self) {
        self.event(Event::ServerUp { exclusive: true });
        self.link_up(N(0), History::Same, Seq(0));
    }

    pub(super) fn link_up(&mut self, decided: N, history: History, common: Seq) {
        let groups = self.bridge.hello().into_iter().map(|g| WelcomeGroup {
            group: g.group,
            standing: Standing::Member,
            incarnation: incarnation(),
            head: Seq(1000),
            history,
            common: if history == History::Same { g.cursor } else { common },
            decided,
            list: self.list.as_ref().map_or(ListVersion(1), |list| list.version),
            digest: self.list.as_ref().map_or_else(Default::default, |list| list.digest),
            settled: self.settled,
            before: self.before.clone(),
        });
        let welcome = Welcome {
            version: 1,
            enterprise: "acme".parse().unwrap(),
            gateway: "main".parse().unwrap(),
            display: "Acme".parse().unwrap(),
            credit: 4096,
            window: 1024,
            payload_bytes: 100_000,
            groups: groups.collect(),
        };
        self.event(Event::LinkUp(welcome));
    }

    /// The process dies and begins again from what is on disk; the server has not noticed.
    pub(super) fn crash(&mut self) {
        self.starts += 1;
        self.bridge = Bridge::new(self.store.load().unwrap(), config(self.starts, self.standing, self.offline));
        self.sent.clear();
        self.told.clear();
    }

    pub(super) fn command(&mut self, command: Command) {
        self.next_command += 1;
        self.event(Event::Command { id: CommandId(self.next_command), command });
    }

    pub(super) fn event(&mut self, event: Event) {
        self.bridge.handle(event, self.now);
        self.run();
    }

    pub(super) fn room_event(&mut self, event: RoomEvent) {
        self.event(Event::Room { room: room(), event });
    }

    pub(super) fn pass(&mut self, ms: i64) {
        self.now = Timestamp(self.now.0 + ms);
        while self.bridge.next_timeout().is_some_and(|at| at <= self.now) {
            let before = self.bridge.next_timeout();
            self.bridge.handle_timeout(self.now);
            self.run();
            assert_ne!(self.bridge.next_timeout(), before, "what is due is done, not asked for again and again");
        }
    }

    pub(super) fn run(&mut self) {
        while let Some(action) = self.bridge.poll_action() {
            match action {
                Action::Commit { ticket, changes } => {
                    self.store.commit(&changes).unwrap();
                    self.bridge.handle(Event::Committed(ticket), self.now);
                }
                Action::Link(stanza) => self.link(stanza),
                Action::Room { room: at, action } => {
                    assert_eq!(at, room());
                    self.room(action);
                }
                Action::LoadOutbox { group, from, max } => {
                    let rows = self.store.outbox(group, from, max).unwrap();
                    self.bridge.handle(Event::Outbox { group, rows }, self.now);
                }
                Action::LoadMissed { group, from, max } => {
                    let rows = self.store.missed(group, from, max).unwrap();
                    self.bridge.handle(Event::Missed { group, rows }, self.now);
                }
                Action::LoadPosted { group, after } => {
                    let rows = self.store.posted(group, after).unwrap();
                    self.bridge.handle(Event::Posted { group, rows }, self.now);
                }
                Action::Answer { answer, .. } => self.answers.push(answer),
                Action::LoadListed { group, after, max, visit } => {
                    let rows = self.store.listed(group, after.as_ref(), max).unwrap();
                    self.bridge.handle(Event::Listed { group, rows, visit }, self.now);
                }
                Action::Reply { reply, .. } => self.replies.push(reply),
                Action::Report(report) => self.reports.push(report.text),
            }
        }
    }

    fn link(&mut self, stanza: ToCenter) {
        match &stanza {
            ToCenter::Request(Request { id, body: RequestBody::FetchList { .. } }) if self.list_is_denied => {
                let condition = Condition::NotAMember;
                let body = ResponseBody::Refused { condition, text: condition.admin_text().to_owned() };
                self.bridge.handle(Event::Link(ToGateway::Response(Response { id: *id, body })), self.now);
            }
            ToCenter::Request(Request { body: RequestBody::FetchList { .. }, .. }) if self.list.is_none() => {}
            ToCenter::Request(Request { id, body }) => {
                let body = match (body, &self.list) {
                    (RequestBody::FetchList { since, after, .. }, Some(list)) => page(list, *since, after.as_ref()),
                    _ => ResponseBody::Group(GroupInfo { members: self.members.clone(), ..info() }),
                };
                self.bridge.handle(Event::Link(ToGateway::Response(Response { id: *id, body })), self.now);
            }
            ToCenter::Relay(relay) => {
                let rows = self.store.outbox(relay.group, relay.n, 1).unwrap();
                self.relays_on_disk &= rows.first().is_some_and(|row| row.n == relay.n);
            }
            _ => {}
        }
        self.sent.push(stanza);
    }

    /// Answers the last resume as the center does.
    pub(super) fn resumed(&mut self) -> Seq {
        let after = self.sent.iter().rev().find_map(|s| match s {
            ToCenter::Resume(r) => Some(r.after),
            _ => None,
        });
        let after = after.expect("the stream was asked for");
        self.event(Event::Link(ToGateway::Resumed(Resume { group: GROUP, after })));
        after
    }

    pub(super) fn settled(&self) -> Option<u64> {
        self.sent.iter().rev().find_map(|s| match s {
            ToCenter::Settled(s) => Some(s.upto.0),
            _ => None,
        })
    }

    // ------------------------------------------------------------ the room

    pub(super) fn person(&mut self, nick: &str, jid: &str) {
        self.person_as(nick, jid, Affiliation::Member);
    }

    pub(super) fn person_as(&mut self, nick: &str, jid: &str, affiliation: Affiliation) {
        self.room_event(RoomEvent::Occupant {
            nick: Nick::from(nick),
            real: Some(BareJid::from(jid)),
            ours: None,
            occupant_id: None,
            affiliation,
            role: Role::Participant,
        });
    }

    /// Somebody speaks while we may not be there.
    pub(super) fn spoken(&mut self, jid: &'static str, text: &str) -> Archived {
        let id = StanzaId::from(format!("s{}", self.archive.len() + 1).as_str());
        let message = MessageId::from(format!("m-{text}").as_str());
        let entry = Archived { id, from: Speaker::Person(jid), message, text: text.into(), at: self.now };
        self.archive.push(entry.clone());
        entry
    }

    /// Somebody speaks and we hear it.
    pub(super) fn says(&mut self, nick: &str, jid: &'static str, text: &str) {
        let entry = self.spoken(jid, text);
        self.hears(nick, &entry);
    }

    pub(super) fn hears(&mut self, nick: &str, entry: &Archived) {
        let message = self.live(Some(Nick::from(nick)), entry);
        self.room_event(RoomEvent::Message(message));
    }

    /// A message as the ear gets it.
    fn live(&self, nick: Option<Nick>, entry: &Archived) -> RoomMessage {
        let archived = result(entry);
        let stanza_id = archived.stanza_id.clone().filter(|_| self.archives);
        RoomMessage { nick, real: None, ours: None, stamp: None, stanza_id, ..archived }
    }

    /// Somebody is not in the room any more.
    pub(super) fn leaves(&mut self, nick: &str) {
        self.room_event(RoomEvent::Gone { nick: Nick::from(nick), how: Gone::Left });
    }

    pub(super) fn answer(&mut self, request: RequestId, answer: Answer) {
        let event = RoomEvent::Answer { request, answer: Ok(answer) };
        self.bridge.handle(Event::Room { room: room(), event }, self.now);
    }

    fn room(&mut self, action: RoomAction) {
        let event = match action {
            RoomAction::Info { request } => {
                let info = RoomInfo {
                    archive: self.archives,
                    occupant_ids: false,
                    members_only: self.members_only,
                    persistent: true,
                    moderated: false,
                    non_anonymous: false,
                };
                return self.answer(request, Answer::Info(info));
            }
            RoomAction::Fence { request } if self.slow_fences.is_some() => {
                return self.slow_fences.iter_mut().for_each(|held| held.push(request));
            }
            RoomAction::Fence { request }
            | RoomAction::Ping { request, .. }
            | RoomAction::SetMember { request, .. } => {
                return self.answer(request, Answer::Done);
            }
            RoomAction::MakeMembersOnly { request } if self.stays_open => {
                let answer = Err(refusal("forbidden"));
                RoomEvent::Answer { request, answer }
            }
            RoomAction::MakeMembersOnly { request } => {
                self.members_only = true;
                return self.answer(request, Answer::Done);
            }
            RoomAction::ReadAffiliations { request, affiliation } => {
                let has = |(_, a): &(&BareJid, &Affiliation)| **a == affiliation;
                let people = self.affiliations.iter().filter(has).map(|(jid, _)| jid.clone()).collect();
                return self.answer(request, Answer::People(people));
            }
            RoomAction::SetAffiliation { request, account, affiliation } => {
                self.affiliations.insert(account, affiliation);
                return self.answer(request, Answer::Done);
            }
            RoomAction::PutOut { request, nick } => {
                self.put_out.push(nick);
                return self.answer(request, Answer::Done);
            }
            RoomAction::ReadArchive { request, from, .. } => {
                if let Some(held) = &mut self.slow_archive {
                    return held.push((request, from));
                }
                return self.page(request, &from);
            }
            RoomAction::Enter { mouth, nick } => return self.enter(mouth, nick),
            RoomAction::Leave { mouth } => {
                self.inside.remove(&mouth);
                return;
            }
            RoomAction::Send { to, id, payload, prefix, .. } => {
                let text = String::from_utf8_lossy(&payload).replace("<body>", "").replace("</body>", "");
                let text = format!("{}{text}", prefix.unwrap_or_else(|| Arc::from("")));
                return self.mail.push((to.to_string(), id, text));
            }
            RoomAction::Probe { to, .. } => return self.probed.push(to),
            RoomAction::SetSubject { text, .. } => return self.subjects.push(text),
            RoomAction::Tell { nick, text, .. } => return self.told.push((nick, text)),
            RoomAction::Say { mouth, id, payload, prefix, .. } => {
                self.says += 1;
                if let Some(condition) = self.refuse.get(&self.says) {
                    RoomEvent::SayRefused { mouth, id, refusal: refusal(condition) }
                } else if !self.inside.contains_key(&mouth) {
                    RoomEvent::SayRefused { mouth, id, refusal: refusal("not-acceptable") }
                } else {
                    let text = String::from_utf8_lossy(&payload).into_owned();
                    let text = format!("{}{text}", prefix.unwrap_or_else(|| Arc::from("")));
                    let stanza = StanzaId::from(format!("s{}", self.archive.len() + 1).as_str());
                    let from = Speaker::Ours(mouth.who.clone());
                    let entry = Archived { id: stanza, from, message: id, text, at: self.now };
                    if self.mute != Some(false) {
                        self.archive.push(entry.clone());
                    }
                    if self.mute.is_some() {
                        return;
                    }
                    let nick = self.inside.get(&mouth).cloned();
                    RoomEvent::Message(self.live(nick, &entry))
                }
            }
        };
        self.bridge.handle(Event::Room { room: room(), event }, self.now);
    }

    pub(super) fn page(&mut self, request: RequestId, from: &ReadFrom) {
        let messages: Vec<_> = match from {
            ReadFrom::Latest => self.archive.iter().map(result).collect(),
            ReadFrom::Start { start, after } => {
                let begin = after.as_ref().map_or(0, |id| self.archive.iter().position(|e| e.id == *id).unwrap() + 1);
                let young = |e: &&Archived| start.is_none_or(|start| e.at >= start);
                self.archive[begin..].iter().filter(young).map(result).take(3).collect()
            }
        };
        let last = messages.last().and_then(|m| m.stanza_id.clone());
        let complete = last.is_none() || last == self.archive.last().map(|e| e.id.clone());
        self.answer(request, Answer::Page(Page { messages, last, complete }));
    }

    fn enter(&mut self, mouth: Mouth, nick: Nick) {
        let mut tell = |event| self.bridge.handle(Event::Room { room: room(), event }, self.now);
        if self.refuse_nicks.contains(nick.as_str()) {
            return tell(RoomEvent::JoinRefused { mouth, refusal: refusal("conflict") });
        }
        for (other, nick) in self.inside.iter().filter(|(other, _)| mouth.who == Who::Ear && other.who != Who::Ear) {
            let (nick, ours) = (nick.clone(), Some(other.clone()));
            let (affiliation, role) = (Affiliation::None, Role::Participant);
            tell(RoomEvent::Occupant { nick, real: None, ours, occupant_id: None, affiliation, role });
        }
        self.inside.insert(mouth.clone(), nick.clone());
        let (affiliation, role) = (self.affiliation, Role::Participant);
        tell(RoomEvent::In { mouth: mouth.clone(), nick, affiliation, role, occupant_id: None, created: false });
        tell(RoomEvent::JoinDone { mouth });
    }
}

pub(super) fn refusal(condition: &str) -> Refusal {
    Refusal { condition: condition.into(), text: "".into() }
}
