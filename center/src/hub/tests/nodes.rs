//! Several hubs over one store: commits, reads and words of each are held back, lost and mixed as a seed says, gateways move between
//! nodes and leave zombies behind, nodes die; and there is one order, nothing is lost and nothing is twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use intergroup_schemas::history;
use intergroup_schemas::ids::UserId;
use intergroup_schemas::link::{Edit, Entry};
use intergroup_schemas::list::{AccountEdit, Listed, Role};

use super::*;
use crate::hub::status::GroupStatus;
use crate::store::RecordKind;
use crate::store::shared::{Claims, Known, Unit, Version, Word};

const NAMES: [&str; 3] = ["acme", "globex", "initech"];
/// Each gateway gives so many numbers in each group.
const EACH: u64 = 40;

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }
}

enum Job {
    News(Unit, Option<Known>),
    Take(LinkId, GatewayId, Vec<(GroupNumber, intergroup_schemas::ids::Incarnation)>, Vec<Unit>),
    Log(LinkId, GroupNumber, Seq, usize, usize),
    Hashes(LinkId, Vec<(GroupNumber, Seq)>),
    Sources(GroupNumber, GatewayId),
    List(crate::hub::Reader, crate::store::PageQuery),
}

struct Node {
    hub: Option<Hub>,
    commits: VecDeque<(Ticket, Vec<Change>, Claims)>,
    news: VecDeque<Job>,
    reads: VecDeque<Job>,
    words: VecDeque<Word>,
}

/// A gateway's memory of a group.
#[derive(Default, Clone)]
struct Room {
    cursor: Seq,
    hash: HistoryHash,
    given: u64,
    decided: u64,
    got: Vec<(Seq, String)>,
}

struct Client {
    me: usize,
    link: Option<(usize, LinkId)>,
    up: bool,
    rooms: BTreeMap<GroupNumber, Room>,
}

struct Nodes {
    rng: Rng,
    store: MemoryStore,
    config: Config,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    to_center: BTreeMap<(usize, LinkId), VecDeque<ToCenter>>,
    to_gateway: BTreeMap<(usize, LinkId), VecDeque<ToGateway>>,
    /// Every entry that was ever stored.
    book: BTreeMap<(GroupNumber, Seq), crate::store::Record>,
    now: Timestamp,
    links: u64,
    lives: u8,
    replies: BTreeMap<AdminId, AdminReply>,
    conflicts: u64,
    asked: u64,
    asked_at: usize,
    asked_of_dead: bool,
    created: u64,
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
    fn new(seed: u64, nodes: usize, config: Config) -> Self {
        let mut world = World::with(Config { shared: false, ..config.clone() }, MemoryStore::default());
        NAMES.iter().for_each(|name| world.enrol(name));
        let links = NAMES.map(|name| world.greet(name, Vec::new()).0);
        let members = [0, 1, 2].map(|me| (NAMES[me], links[me]));
        let groups = [world.group(&members), world.group(&members)];
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
        for me in 0..NAMES.len() {
            let joined = |number: &GroupNumber| {
                let members: Vec<_> = all.members.iter().filter(|m| m.group == *number).cloned().collect();
                let own = members.into_iter().find(|m| m.gateway == gateway(NAMES[me])).unwrap();
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

    fn start(&mut self, at: usize) {
        self.lives += 1;
        let mut config = self.config.clone();
        config.entropy[0] = self.lives;
        self.nodes[at].hub = Some(Hub::new(self.store.load().unwrap(), config));
    }

    fn crash(&mut self, at: usize) {
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

    fn apply(&mut self, at: usize, changes: &[Change], claims: &Claims) -> Vec<Unit> {
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

    fn event(&mut self, at: usize, event: Event) {
        let now = self.now;
        if let Some(hub) = &mut self.nodes[at].hub {
            hub.handle(event, now);
            self.turn(at);
        }
    }

    fn turn(&mut self, at: usize) {
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

    fn job(&mut self, at: usize, job: Job) {
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
    fn step(&mut self, trouble: bool) {
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

    fn ask(&mut self, at: usize, request: AdminRequest) {
        self.asked += 1;
        self.asked_at = at;
        let id = AdminId(1_000 + self.asked);
        self.event(at, Event::Admin { id, request });
    }

    fn connect(&mut self, who: usize, at: usize) {
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

    fn send(&mut self, link: (usize, LinkId), stanza: ToCenter) {
        if let Some(queue) = self.to_center.get_mut(&link) {
            queue.push_back(stanza);
        }
    }

    fn speak(&mut self, who: usize) {
        let (link, up, me) = (self.clients[who].link, self.clients[who].up, self.clients[who].me);
        let numbers: Vec<_> = self.clients[who].rooms.keys().copied().collect();
        let number = numbers[self.rng.below(numbers.len())];
        let room = self.clients[who].rooms.get_mut(&number).unwrap();
        if room.given >= EACH {
            return;
        }
        room.given += 1;
        let stanza = what(me, number, room.given);
        if let Some(link) = link.filter(|_| up) {
            self.send(link, stanza);
        }
    }

    fn hear(&mut self, who: usize) {
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
            ToGateway::Skip(skip) => panic!("nothing is skipped here: {skip:?}"),
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

    fn all_well(&self) -> bool {
        let done = |client: &Client| {
            client.up
                && client.rooms.iter().all(|(number, room)| {
                    let head = self.book.range(..=(*number, Seq(u64::MAX))).next_back().map(|((_, seq), _)| *seq);
                    room.given == EACH && room.decided == EACH && Some(room.cursor) == head
                })
        };
        self.clients.iter().all(done)
    }

    fn group_at(&mut self, at: usize, number: GroupNumber) -> GroupStatus {
        self.ask(at, AdminRequest::ShowGroup(number));
        match self.replies.get(&AdminId(1_000 + self.asked)) {
            Some(AdminReply::Groups(all)) => all[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    /// One order, everything in it once, and all nodes know the same.
    fn check(&mut self) {
        let numbers: BTreeSet<_> = self.book.keys().map(|(number, _)| *number).collect();
        for number in numbers {
            let mut stored = BTreeMap::new();
            let mut suspended = BTreeSet::new();
            let joined = |record: &&crate::store::Record| {
                matches!(&record.kind, RecordKind::Change(intergroup_schemas::link::Change::Joined { .. }))
            };
            let of = || self.book.range((number, Seq(0))..=(number, Seq(u64::MAX))).map(|(_, record)| record);
            assert!(of().filter(joined).count() <= 3, "a group is made once");
            for record in self.book.range((number, Seq(0))..=(number, Seq(u64::MAX))).map(|(_, record)| record) {
                if let RecordKind::Message { key, .. } = &record.kind {
                    assert_eq!(stored.insert(key.to_string(), record.seq), None, "{key} is there twice");
                }
                match &record.kind {
                    RecordKind::Change(intergroup_schemas::link::Change::Suspended { enterprise }) => {
                        suspended.insert(enterprise.clone());
                    }
                    RecordKind::Change(intergroup_schemas::link::Change::Resumed { enterprise }) => {
                        suspended.remove(enterprise);
                    }
                    RecordKind::Message { origin, .. } => {
                        assert!(!suspended.contains(&origin.enterprise), "who is suspended does not speak");
                    }
                    RecordKind::Change(_) => {}
                }
            }
            for client in &self.clients {
                let Some(room) = client.rooms.get(&number) else { continue };
                let mut before = Seq(0);
                for n in (1..=EACH).filter(|n| !n.is_multiple_of(7) && !n.is_multiple_of(5)) {
                    let seq = *stored.get(&format!("k{}.{n}", client.me)).expect("nothing is lost");
                    assert!(seq > before, "a sender's messages keep their order");
                    before = seq;
                }
                for (seq, word) in room.got.iter().filter(|(_, word)| word != "entry") {
                    assert_eq!(stored.get(word), Some(seq), "all see the log's order");
                }
            }
            let known: Vec<_> = (0..self.nodes.len())
                .map(|at| {
                    let status = self.group_at(at, number);
                    (status.head, status.list, status.digest, status.accounts, status.bytes, status.listed)
                })
                .collect();
            assert!(known.windows(2).all(|pair| pair[0] == pair[1]), "all nodes know the same: {known:?}");
            let on_disk = self.store.load().unwrap().groups.into_iter().find(|g| g.group.number == number).unwrap();
            assert_eq!((known[0].2, known[0].4), (on_disk.group.digest, on_disk.bytes));
        }
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step(true);
        }
        for (at, name) in NAMES.iter().enumerate() {
            let node = at % self.nodes.len();
            self.ask(node, AdminRequest::Resume(name.parse().unwrap()));
        }
        let mut left = 400_000;
        while !self.all_well() {
            self.step(false);
            left -= 1;
            assert!(left > 0, "all heals");
        }
        for at in 0..self.nodes.len() {
            while self.nodes[at].commits.len() + self.nodes[at].news.len() + self.nodes[at].words.len() > 0 {
                self.step(false);
            }
            let versions = self.store.versions(None).unwrap();
            self.event(at, Event::Versions(versions));
            while let Some(job) = self.nodes[at].news.pop_front() {
                self.job(at, job);
            }
        }
        self.check();
    }
}

#[test]
fn whatever_happens_there_is_one_order_and_nothing_is_lost_or_twice() {
    let mut conflicts = 0;
    for seed in 0..60 {
        let nodes = 2 + usize::try_from(seed % 2).unwrap();
        let cache_bytes = [0, 2000, 1 << 24][usize::try_from(seed % 3).unwrap()];
        println!("seed {seed}");
        let mut all = Nodes::new(seed, nodes, Config { cache_bytes, ..Config::default() });
        all.run(6000);
        conflicts += all.conflicts;
    }
    assert!(conflicts > 1000, "nodes were in each other's way: {conflicts}");
}

#[test]
fn a_version_is_never_taken_for_another() {
    assert_ne!(Version::of(1, 2), Version::of(2, 1));
    assert_eq!(Version::of(7, 9).parts(), (7, 9));
}
