//! Nodes over one store, and gateways that use them: one thing happens after the other, as a seed says.

use std::collections::{BTreeMap, VecDeque};

use intergroup_schemas::history;
use intergroup_schemas::ids::UserId;
use intergroup_schemas::link::{Edit, Entry};
use intergroup_schemas::list::{AccountEdit, Listed, Role};

use super::super::*;
use crate::store::shared::{Claims, Known, Unit, Word};

pub(super) const NAMES: [&str; 3] = ["acme", "globex", "initech"];

pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn below(&mut self, n: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }
}

pub(super) enum Job {
    News(Unit, Option<Known>),
    Take(LinkId, GatewayId, Vec<(GroupNumber, intergroup_schemas::ids::Incarnation)>, Vec<Unit>),
    Log(LinkId, GroupNumber, Seq, usize, usize),
    Hashes(LinkId, Vec<(GroupNumber, Seq)>),
    Sources(GroupNumber, GatewayId),
    List(crate::hub::Reader, crate::store::PageQuery),
}

pub(super) struct Node {
    pub(super) hub: Option<Hub>,
    pub(super) commits: VecDeque<(Ticket, Vec<Change>, Claims)>,
    pub(super) news: VecDeque<Job>,
    pub(super) reads: VecDeque<Job>,
    pub(super) words: VecDeque<Word>,
}

/// A gateway's memory of a group.
#[derive(Default, Clone)]
pub(super) struct Room {
    pub(super) cursor: Seq,
    pub(super) hash: HistoryHash,
    pub(super) given: u64,
    pub(super) decided: u64,
    pub(super) got: Vec<(Seq, String)>,
}

pub(super) struct Client {
    pub(super) me: usize,
    pub(super) link: Option<(usize, LinkId)>,
    pub(super) up: bool,
    pub(super) rooms: BTreeMap<GroupNumber, Room>,
}

pub(super) struct Nodes {
    pub(super) rng: Rng,
    pub(super) store: MemoryStore,
    pub(super) config: Config,
    pub(super) nodes: Vec<Node>,
    pub(super) clients: Vec<Client>,
    pub(super) to_center: BTreeMap<(usize, LinkId), VecDeque<ToCenter>>,
    pub(super) to_gateway: BTreeMap<(usize, LinkId), VecDeque<ToGateway>>,
    /// Every entry that was ever stored.
    pub(super) book: BTreeMap<(GroupNumber, Seq), crate::store::Record>,
    pub(super) now: Timestamp,
    pub(super) links: u64,
    pub(super) lives: u8,
    pub(super) replies: BTreeMap<AdminId, AdminReply>,
    pub(super) conflicts: u64,
    /// Each gateway gives so many numbers in each group.
    pub(super) each: u64,
    /// Old entries go.
    pub(super) forgets: bool,
    pub(super) asked: u64,
    pub(super) asked_at: usize,
    pub(super) asked_of_dead: bool,
    pub(super) created: u64,
}

fn what(me: usize, number: GroupNumber, n: u64) -> ToCenter {
    let epoch = format!("k{me}");
    if n.is_multiple_of(7) {
        let on = |user: String| AccountEdit {
            user: user.parse().unwrap(),
            listed: Some(Listed { display: "Somebody".parse().unwrap(), role: Role::Speak }),
        };
        let gone = AccountEdit { user: format!("u{}", n - 7).parse::<UserId>().unwrap(), listed: None };
        let accounts = vec![on("alice".to_owned()), on(format!("u{n}")), gone];
        let enterprise = NAMES[me].parse().unwrap();
        let (epoch, base) = (epoch.parse().unwrap(), ListVersion(3));
        return ToCenter::Edit(Edit { group: number, epoch, n: N(n), base, enterprise, accounts });
    }
    let user = if n.is_multiple_of(5) { "mallory" } else { "alice" };
    ToCenter::Relay(Relay { user: user.parse().unwrap(), ..relay(number, &epoch, n, &format!("s{me}-{number}-{n}")) })
}

impl Nodes {
    pub(super) fn new(seed: u64, nodes: usize, config: Config) -> Self {
        let mut world = World::with(Config { shared: false, ..config.clone() }, MemoryStore::default());
        NAMES.iter().for_each(|name| world.enrol(name));
        let links = NAMES.map(|name| world.greet(name, Vec::new()).0);
        let members = [0, 1, 2].map(|me| (NAMES[me], links[me]));
        let groups = [world.group(&members), world.group(&members)];
        let forgets = config.retention_bytes < 1 << 20;
        let mut new = Self {
            rng: Rng(seed),
            store: world.store,
            config: Config { shared: true, ..config },
            nodes: Vec::new(),
            clients: Vec::new(),
            to_center: BTreeMap::new(),
            to_gateway: BTreeMap::new(),
            book: BTreeMap::new(),
            now: Timestamp(1_000_100_000),
            links: 0,
            lives: 0,
            replies: BTreeMap::new(),
            conflicts: 0,
            each: 40,
            forgets,
            asked: 0,
            asked_at: 0,
            asked_of_dead: false,
            created: 0,
        };
        for number in groups {
            for record in new.store.read_log(number, Seq(0), 100, usize::MAX).unwrap() {
                new.book.insert((number, record.seq), record);
            }
        }
        let all = new.store.load().unwrap();
        for (me, name) in NAMES.iter().enumerate() {
            let joined = |number: &GroupNumber| {
                let members: Vec<_> = all.members.iter().filter(|m| m.group == *number).cloned().collect();
                let own = members.into_iter().find(|m| m.gateway == gateway(name)).unwrap();
                // As from its answer to the request to join.
                (*number, Room { cursor: own.from, hash: own.from_hash, ..Room::default() })
            };
            let rooms = groups.iter().map(joined).collect();
            new.clients.push(Client { me, link: None, up: false, rooms });
        }
        for _ in 0..nodes {
            let (commits, news, reads, words) = Default::default();
            new.nodes.push(Node { hub: None, commits, news, reads, words });
        }
        (0..nodes).for_each(|at| new.start(at));
        new
    }

    pub(super) fn start(&mut self, at: usize) {
        self.lives += 1;
        let mut config = self.config.clone();
        config.entropy[0] = self.lives;
        self.nodes[at].hub = Some(Hub::new(self.store.load().unwrap(), config));
    }

    pub(super) fn crash(&mut self, at: usize) {
        self.asked_of_dead |= self.asked_at == at;
        let node = &mut self.nodes[at];
        node.hub = None;
        (node.news, node.reads, node.words) = Default::default();
        let flying = std::mem::take(&mut node.commits);
        for (_, changes, claims) in flying {
            // Done, and nobody knows.
            if self.rng.below(2) == 0 {
                self.apply(at, &changes, &claims);
            }
        }
        self.to_center.retain(|(of, _), _| *of != at);
        self.to_gateway.retain(|(of, _), _| *of != at);
        for client in self.clients.iter_mut().filter(|c| c.link.is_some_and(|(of, _)| of == at)) {
            (client.link, client.up) = (None, false);
        }
        self.start(at);
    }

    pub(super) fn apply(&mut self, at: usize, changes: &[Change], claims: &Claims) -> Vec<Unit> {
        let refused = self.store.commit_shared(changes, claims).unwrap();
        self.conflicts += refused.len() as u64;
        let mut units = Vec::new();
        for (unit, _) in claims.bases.iter().filter(|(unit, _)| !refused.contains(unit)) {
            units.push(*unit);
            for change in changes.iter().filter(|change| change.unit() == *unit) {
                if let Change::Append(record) = change {
                    let of = (record.group, Seq(0))..=(record.group, Seq(u64::MAX));
                    let last = self.book.range(of).next_back().map_or(Seq(0), |((_, seq), _)| *seq);
                    assert_eq!(last.next(), record.seq, "a log has no gap and no place twice");
                    self.book.insert((record.group, record.seq), record.clone());
                }
            }
        }
        for (other, node) in self.nodes.iter_mut().enumerate() {
            // Some words are lost; the timer is behind them.
            if !units.is_empty() && (other == at || self.rng.below(10) > 0) {
                node.words.push_back(Word::Changed(claims.version, units.clone()));
            }
        }
        refused
    }

    pub(super) fn event(&mut self, at: usize, event: Event) {
        let now = self.now;
        if let Some(hub) = &mut self.nodes[at].hub {
            hub.handle(event, now);
            self.turn(at);
        }
    }

    pub(super) fn turn(&mut self, at: usize) {
        while let Some(action) = self.nodes[at].hub.as_mut().and_then(Hub::poll_action) {
            let node = &mut self.nodes[at];
            match action {
                Action::Commit { ticket, changes, claims } => node.commits.push_back((ticket, changes, claims)),
                Action::Send { link, frames } => {
                    let stanzas = frames.stanzas().iter().map(|frame| decode::to_gateway(frame).unwrap());
                    self.to_gateway.entry((at, link)).or_default().extend(stanzas);
                }
                Action::Close { link, condition, .. } => {
                    assert!(matches!(condition, Condition::Replaced | Condition::Suspended), "{condition:?}");
                    self.to_gateway.remove(&(at, link));
                    self.to_center.remove(&(at, link));
                    for client in self.clients.iter_mut().filter(|c| c.link == Some((at, link))) {
                        (client.link, client.up) = (None, false);
                    }
                }
                Action::ReadNews { unit, known } => node.news.push_back(Job::News(unit, known)),
                Action::TakeLink { link, gateway, runs, units } => {
                    node.news.push_back(Job::Take(link, gateway, runs, units));
                }
                Action::ReadLog { link, group, after, entries, bytes } => {
                    node.reads.push_back(Job::Log(link, group, after, entries, bytes));
                }
                Action::ReadHashes { link, places } => node.reads.push_back(Job::Hashes(link, places)),
                Action::ReadSources { group, gateway } => node.reads.push_back(Job::Sources(group, gateway)),
                Action::ReadList { reader, query } => node.reads.push_back(Job::List(reader, query)),
                Action::Reply { id, reply } => drop(self.replies.insert(id, reply)),
                Action::Lost => panic!("nothing was lost"),
            }
        }
    }

    pub(super) fn job(&mut self, at: usize, job: Job) {
        let store = &mut self.store;
        let event = match job {
            Job::News(unit, known) => Event::News { unit, news: Box::new(store.news(unit, known).unwrap()) },
            Job::Take(link, gateway, runs, units) => {
                let taken = store.take_link(&gateway, &runs).unwrap();
                let versions = store.versions(Some(&units)).unwrap();
                let word = Word::Taken(gateway, taken.generation);
                self.nodes.iter_mut().for_each(|node| node.words.push_back(word.clone()));
                Event::Taken { link, taken, versions }
            }
            Job::Log(link, group, after, entries, bytes) => {
                let records = store.read_log(group, after, entries, bytes).unwrap();
                Event::Log { link, group, after, records }
            }
            Job::Hashes(link, places) => {
                let hashes = places.iter().map(|(group, seq)| store.hash_at(*group, *seq).unwrap()).collect();
                Event::Hashes { link, hashes }
            }
            Job::Sources(group, gateway) => {
                let sources = store.sources(group, &gateway).unwrap();
                Event::Sources { group, gateway, sources }
            }
            Job::List(reader, query) => {
                let page = store.list_page(&query).unwrap();
                Event::List { reader, group: query.group, page }
            }
        };
        self.event(at, event);
    }

    /// Something happens, if there is anything of its kind.
    pub(super) fn step(&mut self, trouble: bool) {
        self.now.0 += i64::try_from(self.rng.below(4)).unwrap();
        let at = self.rng.below(self.nodes.len());
        let who = self.rng.below(self.clients.len());
        match self.rng.below(if trouble { 28 } else { 24 }) {
            0..=3 => {
                if let Some((ticket, changes, claims)) = self.nodes[at].commits.pop_front() {
                    let refused = self.apply(at, &changes, &claims);
                    let done = Event::CommittedInPart(ticket, refused);
                    self.event(at, done);
                }
            }
            4..=6 => {
                if let Some(job) = self.nodes[at].news.pop_front() {
                    self.job(at, job);
                }
            }
            7..=8 => {
                if let Some(job) = self.nodes[at].reads.pop_front() {
                    self.job(at, job);
                }
            }
            9..=11 => match self.nodes[at].words.pop_front() {
                Some(Word::Changed(version, units)) => {
                    self.event(at, Event::Versions(units.into_iter().map(|unit| (unit, version)).collect()));
                }
                Some(Word::Taken(gateway, generation)) => self.event(at, Event::TakenElsewhere { gateway, generation }),
                Some(Word::Anew | Word::Met(_)) | None => {}
            },
            12 => {
                // The timer.
                let versions = self.store.versions(None).unwrap();
                self.event(at, Event::Versions(versions));
                self.now.0 += 1;
                let now = self.now;
                if let Some(hub) = self.nodes[at].hub.as_mut() {
                    hub.handle_timeout(now);
                }
                self.turn(at);
            }
            13..=16 => {
                let links: Vec<_> = self.to_center.keys().copied().collect();
                if !links.is_empty() {
                    let (at, link) = links[self.rng.below(links.len())];
                    let stanza = self.to_center.get_mut(&(at, link)).and_then(VecDeque::pop_front);
                    match stanza {
                        Some(stanza) => self.event(at, Event::Stanza { link, stanza }),
                        // A zombie's connection ends at last.
                        None if self.clients.iter().all(|c| c.link != Some((at, link))) => {
                            self.to_center.remove(&(at, link));
                            self.event(at, Event::LinkClosed { link });
                        }
                        None => {}
                    }
                }
            }
            17..=20 => self.hear(who),
            21 => {
                if self.clients[who].link.is_none() {
                    self.connect(who, at);
                }
            }
            22..=23 => self.speak(who),
            24 => {
                // It moves, and what it has sent is still on its way to the node where it was.
                if self.rng.below(10) == 0 && self.clients[who].link.is_some() {
                    let link = self.clients[who].link;
                    link.map(|link| self.to_gateway.remove(&link));
                    (self.clients[who].link, self.clients[who].up) = (None, false);
                    self.connect(who, at);
                }
            }
            25 => {
                if self.rng.below(60) == 0 {
                    self.crash(at);
                }
            }
            26 => {
                // An operator waits for the answer, but not for that of a node that died.
                let answered = self.asked == 0 || self.replies.contains_key(&AdminId(1_000 + self.asked));
                if self.rng.below(20) == 0 && (answered || self.asked_of_dead) {
                    self.asked_of_dead = false;
                    let id = NAMES[who].parse().unwrap();
                    let request = match self.rng.below(2) {
                        0 => AdminRequest::Suspend(id),
                        _ => AdminRequest::Resume(id),
                    };
                    self.ask(at, request);
                }
            }
            _ => {
                if let Some(link) = self.clients[who].link.filter(|_| self.clients[who].up && self.created < 12) {
                    self.created += 1;
                    let body = RequestBody::CreateGroup { name: format!("G{}", self.created) };
                    self.send(link, ToCenter::Request(Request { id: self.created, body }));
                }
            }
        }
    }

    pub(super) fn ask(&mut self, at: usize, request: AdminRequest) {
        self.asked += 1;
        self.asked_at = at;
        let id = AdminId(1_000 + self.asked);
        self.event(at, Event::Admin { id, request });
    }

    pub(super) fn connect(&mut self, who: usize, at: usize) {
        self.links += 1;
        let (link, name) = (LinkId(self.links), NAMES[who]);
        self.clients[who].link = Some((at, link));
        self.to_center.insert((at, link), VecDeque::new());
        self.event(at, Event::LinkOpened { link, gateway: gateway(name), certificate: certificate(name) });
        let groups = self.clients[who].rooms.iter().map(|(number, room)| HelloGroup {
            incarnation: None,
            ..memory(*number, room.cursor, room.hash, &format!("k{who}"), room.given)
        });
        let hello = ToCenter::Hello(Hello { version: VERSION, software: "test".into(), groups: groups.collect() });
        self.send((at, link), hello);
    }

    pub(super) fn send(&mut self, link: (usize, LinkId), stanza: ToCenter) {
        if let Some(queue) = self.to_center.get_mut(&link) {
            queue.push_back(stanza);
        }
    }

    pub(super) fn speak(&mut self, who: usize) {
        let (link, up, me) = (self.clients[who].link, self.clients[who].up, self.clients[who].me);
        let numbers: Vec<_> = self.clients[who].rooms.keys().copied().collect();
        let number = numbers[self.rng.below(numbers.len())];
        let room = self.clients[who].rooms.get_mut(&number).unwrap();
        if room.given >= self.each {
            return;
        }
        room.given += 1;
        let stanza = what(me, number, room.given);
        if let Some(link) = link.filter(|_| up) {
            self.send(link, stanza);
        }
    }

    pub(super) fn hear(&mut self, who: usize) {
        let Some(link) = self.clients[who].link else { return };
        let Some(stanza) = self.to_gateway.get_mut(&link).and_then(VecDeque::pop_front) else { return };
        let client = &mut self.clients[who];
        let (me, mut answers) = (client.me, Vec::new());
        let resend = |from: u64, number: GroupNumber, given: u64| (from..=given).map(move |n| what(me, number, n));
        let entry = match stanza {
            ToGateway::Welcome(welcome) => {
                client.up = true;
                for group in welcome.groups {
                    let Some(room) = client.rooms.get_mut(&group.group) else { continue };
                    let history = intergroup_schemas::link::History::Forked;
                    assert_ne!(group.history, history, "nothing forks here");
                    assert!(group.decided.0 >= room.decided && group.decided.0 <= room.given, "decisions stay");
                    room.decided = group.decided.0;
                    answers.push(ToCenter::Resume(Resume { group: group.group, after: room.cursor }));
                    answers.extend(resend(room.decided + 1, group.group, room.given));
                }
                None
            }
            ToGateway::Decided(decided) => {
                let room = client.rooms.get_mut(&decided.group).unwrap();
                room.decided = room.decided.max(decided.n.0);
                None
            }
            ToGateway::Expect(expect) => {
                assert!(!expect.fork, "nobody gives a number twice");
                let given = client.rooms[&expect.group].given;
                answers.extend(resend(expect.n.0, expect.group, given));
                None
            }
            ToGateway::Deliver(d) => Some((d.group, d.seq, d.key.to_string(), Some((d.enterprise, d.key)), None)),
            ToGateway::Own(o) => {
                Some((o.group, o.seq, o.key.to_string(), Some((NAMES[me].parse().unwrap(), o.key)), None))
            }
            ToGateway::Entry(Entry { group, seq, change, .. }) => {
                Some((group, seq, "entry".to_owned(), None, Some(change)))
            }
            ToGateway::Skip(skip) => {
                assert!(self.forgets, "nothing is skipped here: {skip:?}");
                let room = client.rooms.get_mut(&skip.group).unwrap();
                assert_eq!(room.cursor.next(), skip.from, "a stream has no gap");
                (room.cursor, room.hash) = (skip.to, skip.hash);
                let settled = Settled { group: skip.group, upto: skip.to, refused: Vec::new() };
                answers.push(ToCenter::Settled(settled));
                answers.push(ToCenter::Credit(intergroup_schemas::link::Credit { count: 1 }));
                None
            }
            _ => None,
        };
        if let Some((group, seq, word, message, change)) = entry {
            let room = client.rooms.get_mut(&group).unwrap();
            assert_eq!(room.cursor.next(), seq, "a stream has no gap");
            let identity = match (&message, &change) {
                (Some((enterprise, key)), _) => history::Identity::Message(enterprise, key),
                (None, Some(change)) => history::Identity::Change(change),
                (None, None) => unreachable!(),
            };
            room.hash = history::advance(room.hash, seq, identity);
            room.cursor = seq;
            room.got.push((seq, word));
            answers.push(ToCenter::Settled(Settled { group, upto: seq, refused: Vec::new() }));
            answers.push(ToCenter::Credit(intergroup_schemas::link::Credit { count: 1 }));
        }
        answers.into_iter().for_each(|answer| self.send(link, answer));
    }
}
