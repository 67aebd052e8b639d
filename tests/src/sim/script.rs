//! A gateway played by a short script, with no room behind it: shakes the hub alone, and is strict with what it is sent.

use std::collections::BTreeMap;

use intergroup_center::store::Record;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::history::{self, Identity};
use intergroup_schemas::ids::{EnterpriseId, GroupNumber, HistoryHash, ListVersion, N, OriginKey, Seq};
use intergroup_schemas::link::{
    Confirm, Credit, Hello, HelloGroup, History, Relay, Request, RequestBody, ResponseBody, Resume, Settled, ToCenter,
    ToGateway, VERSION, Welcome, WelcomeGroup,
};

use super::center::COMPANIES;
use super::disk::Disk;
use super::faults::CompanyFault;
use super::memory::{Entry, Memory, Row};
use super::net::{LinkNo, Net};
use super::world::Company;

/// The one group.
pub(super) const GROUP: GroupNumber = GroupNumber(10_001);

/// What the script wakes itself with; the number is the life in which that was.
#[derive(Debug)]
pub(super) enum Wake {
    Start,
    Say,
    Dial(u64),
    Sync(u64),
    Settle(u64),
    Join(u64),
}

/// See the module.
pub(super) struct Script {
    me: usize,
    life: u64,
    up: bool,
    disk: Disk<Memory, ()>,
    memory: Memory,
    /// What was said, for ever: text and author.
    archive: Vec<(String, usize)>,
    left_to_say: usize,
    link: Option<LinkNo>,
    welcomed: bool,
    /// Relayed on this link up to here.
    sent: N,
    /// Durable in the outbox up to here.
    durable_n: N,
    resumed: bool,
    /// Received on this link, not settled: in order.
    waiting: Vec<(Seq, Entry, HistoryHash)>,
    next: Seq,
    tail_hash: HistoryHash,
    settling: bool,
    epochs: u64,
    forked: bool,
}

impl Script {
    pub(super) fn new(me: usize, messages: usize) -> Self {
        let memory = Memory {
            epoch: format!("{}x0", COMPANIES[me]).parse().expect("an epoch"),
            last_n: N(0),
            outbox: Vec::new(),
            taken: 0,
            decided: N(0),
            refused_by_center: Vec::new(),
            joined: false,
            list: ListVersion(0),
            incarnation: None,
            cursor: Seq(0),
            hash: HistoryHash::default(),
            history: BTreeMap::new(),
            refused: Vec::new(),
        };
        Self {
            me,
            life: 0,
            up: false,
            disk: Disk::new(memory.clone()),
            memory,
            archive: Vec::new(),
            left_to_say: messages,
            link: None,
            welcomed: false,
            sent: N(0),
            durable_n: N(0),
            resumed: false,
            waiting: Vec::new(),
            next: Seq(0),
            tail_hash: HistoryHash::default(),
            settling: false,
            epochs: 0,
            forked: false,
        }
    }

    fn boot(&mut self, net: &mut Net<Wake>) {
        self.life += 1;
        self.up = true;
        self.memory = self.disk.durable().clone();
        self.durable_n = self.memory.last_n;
        self.link = None;
        self.settling = false;
        net.wake(self.me, 1, Wake::Dial(self.life));
        self.take(net);
    }

    fn crash(&mut self, net: &mut Net<Wake>, back_ms: i64) {
        if !self.up {
            return;
        }
        self.up = false;
        self.life += 1;
        self.disk.crash(0);
        if let Some(link) = self.link.take() {
            let hears = net.rng.range(0, 3000);
            net.cut(link, hears, 0);
        }
        net.wake(self.me, back_ms, Wake::Start);
    }

    fn commit(&mut self, net: &mut Net<Wake>) {
        self.disk.write((), vec![self.memory.clone()]);
        let sync = net.rng.range(0, net.delays.sync);
        net.wake(self.me, sync, Wake::Sync(self.life));
    }

    fn hello(&mut self, net: &mut Net<Wake>) {
        let link = net.dial(self.me);
        self.link = Some(link);
        (self.welcomed, self.resumed, self.sent) = (false, false, N(0));
        self.waiting.clear();
        let m = &self.memory;
        // The newest places, and the oldest: where the membership began is the same in every life of the log.
        let older = m.history.iter().rev().filter(|(seq, _)| **seq < m.cursor);
        let places = older.clone().take(8).chain(older.skip(8).last());
        let known = HelloGroup {
            group: GROUP,
            incarnation: m.incarnation.clone(),
            cursor: m.cursor,
            hash: m.hash,
            settled: m.cursor,
            places: places.map(|(seq, (_, hash))| (*seq, *hash)).collect(),
            epoch: m.epoch.clone(),
            last_n: m.last_n,
            run: None,
        };
        let groups = if m.joined { vec![known] } else { Vec::new() };
        let hello = Hello { version: VERSION, software: "script".to_owned(), groups };
        net.send_up(link, &ToCenter::Hello(hello));
    }

    fn new_epoch(&mut self, net: &mut Net<Wake>) {
        self.epochs += 1;
        net.coverage.note("script", "new epoch");
        let m = &mut self.memory;
        m.epoch = format!("{}x{}l{}", COMPANIES[self.me], self.epochs, self.life).parse().expect("an epoch");
        // Everything undecided, under new numbers and the old sources. A script forgets nothing: all of it.
        for (at, row) in m.outbox.iter_mut().enumerate() {
            row.n = N(at as u64 + 1);
        }
        m.last_n = N(m.outbox.len() as u64);
        m.decided = N(0);
        self.sent = N(0);
        self.durable_n = N(0);
        self.commit(net);
    }

    fn welcome(&mut self, net: &mut Net<Wake>, link: LinkNo, welcome: &Welcome) {
        self.welcomed = true;
        let Some(of_group) = welcome.groups.iter().find(|g| g.group == GROUP).cloned() else {
            return self.join(net, link);
        };
        if !self.memory.joined {
            return self.join(net, link);
        }
        if self.me == 0 {
            let body = RequestBody::ShowGroup { group: GROUP };
            net.send_up(link, &ToCenter::Request(Request { id: 3, body }));
        }
        self.compare(net, &of_group);
        if of_group.decided > self.memory.last_n {
            self.new_epoch(net);
        } else {
            self.memory.decided = of_group.decided;
            self.sent = of_group.decided;
        }
        let after = self.memory.cursor;
        net.send_up(link, &ToCenter::Resume(Resume { group: GROUP, after }));
        if self.forked {
            self.settled(net);
        }
        self.relay(net);
    }

    fn compare(&mut self, net: &mut Net<Wake>, of_group: &WelcomeGroup) {
        let m = &mut self.memory;
        net.coverage.note("welcome", &format!("{:?}", of_group.history));
        if of_group.history == History::Forked {
            if !net.center.restored {
                net.violation(format!("{} is told of a fork that never was: {of_group:?}", COMPANIES[self.me]));
            }
            self.forked = true;
            m.cursor = of_group.common;
            m.history.retain(|seq, _| *seq <= of_group.common);
            m.hash = m.history.get(&m.cursor).map_or(HistoryHash::default(), |(_, hash)| *hash);
            m.refused.retain(|(seq, _, _)| *seq <= of_group.common);
        }
        m.incarnation = Some(of_group.incarnation.clone());
    }

    fn join(&mut self, net: &mut Net<Wake>, link: LinkNo) {
        let body = match self.me {
            0 => RequestBody::CreateGroup { name: "Apollo".to_owned() },
            _ => RequestBody::JoinGroup { group: GROUP },
        };
        net.send_up(link, &ToCenter::Request(Request { id: 1, body }));
    }

    /// Relays what is on disk and was not relayed on this link, a window at a time.
    fn relay(&mut self, net: &mut Net<Wake>) {
        let Some(link) = self.link.filter(|_| self.welcomed && self.memory.joined) else { return };
        let rows: Vec<Row> =
            self.memory.outbox.iter().filter(|r| r.n > self.sent && r.n <= self.durable_n).cloned().collect();
        for row in rows {
            let (text, user) = &self.archive[row.place];
            let relay = Relay {
                group: GROUP,
                epoch: self.memory.epoch.clone(),
                n: row.n,
                source: Some(format!("r:{}", row.place).parse().expect("a source id")),
                list: row.list,
                user: format!("user{user}").parse().expect("a user id"),
                nick: format!("User {user}").parse().expect("a name"),
                at: net.clock(),
                late: false,
                payload: format!("<body>{text}</body>").into(),
            };
            self.sent = row.n;
            net.send_up(link, &ToCenter::Relay(relay));
        }
    }

    fn entry(&mut self, net: &mut Net<Wake>, seq: Seq, to: Seq, entry: Entry, hash: HistoryHash) {
        if !self.resumed {
            return net.violation(format!("entry {seq} before the stream was resumed"));
        }
        if seq != self.next {
            return net.violation(format!("{} got entry {seq} where {} was next", COMPANIES[self.me], self.next));
        }
        self.next = to.next();
        self.tail_hash = hash;
        self.waiting.push((to, entry, hash));
        if let Some(link) = self.link {
            net.send_up(link, &ToCenter::Credit(Credit { count: 1 }));
        }
        if !self.settling {
            self.settling = true;
            let delay = net.rng.range(0, 300);
            net.wake(self.me, delay, Wake::Settle(self.life));
        }
    }

    fn settle(&mut self, net: &mut Net<Wake>) {
        self.settling = false;
        for (seq, entry, hash) in std::mem::take(&mut self.waiting) {
            if let Entry::Message(enterprise, key, Some(_)) = &entry
                && enterprise.as_str() != COMPANIES[self.me]
                && net.rng.chance(30)
            {
                self.memory.refused.push((seq, key.clone(), Condition::RefusedByRoom));
            }
            self.memory.cursor = seq;
            self.memory.hash = hash;
            self.memory.history.insert(seq, (entry, hash));
        }
        self.commit(net);
    }

    fn settled(&mut self, net: &mut Net<Wake>) {
        let Some(link) = self.link.filter(|_| self.resumed || self.forked) else { return };
        let durable = self.disk.durable().clone();
        let upto = durable.cursor.min(self.memory.cursor);
        let refused = durable.refused.into_iter().filter(|(seq, _, _)| *seq <= upto).collect();
        net.send_up(link, &ToCenter::Settled(Settled { group: GROUP, upto, refused }));
    }

    /// What the script has against the log, now that all should be well.
    pub(super) fn complaints(&self, book: &BTreeMap<(GroupNumber, Seq), Record>) -> Vec<String> {
        self.memory.complaints(self.me, &self.archive, book)
    }

    /// What its room refused, as far as it is on disk.
    pub(super) fn refused(&self) -> &[(Seq, OriginKey, Condition)] {
        &self.memory.refused
    }
}

impl Company for Script {
    type Wake = Wake;

    fn start(&mut self, net: &mut Net<Wake>) {
        self.boot(net);
        for _ in 0..self.left_to_say {
            let at = net.rng.range(0, 20_000);
            net.wake(self.me, at, Wake::Say);
        }
    }

    fn link_down(&mut self, net: &mut Net<Wake>, link: LinkNo) {
        if self.link == Some(link) {
            self.link = None;
            let delay = net.rng.range(10, 1500);
            net.wake(self.me, delay, Wake::Dial(self.life));
        }
    }

    fn stanza(&mut self, net: &mut Net<Wake>, link: LinkNo, stanza: ToGateway) {
        if self.link != Some(link) {
            return;
        }
        let enterprise: EnterpriseId = COMPANIES[self.me].parse().expect("an enterprise id");
        match stanza {
            ToGateway::Welcome(welcome) => self.welcome(net, link, &welcome),
            ToGateway::Resumed(resume) => {
                if resume.after < self.memory.cursor {
                    net.violation(format!("resumed behind {}, asked for {}", resume.after, self.memory.cursor));
                }
                self.resumed = true;
                self.next = resume.after.next();
                self.tail_hash = self.memory.hash;
                self.waiting.clear();
            }
            ToGateway::Deliver(d) => {
                let hash = history::advance(self.tail_hash, d.seq, Identity::Message(&d.enterprise, &d.key));
                let text = String::from_utf8_lossy(&d.payload).replace("<body>", "").replace("</body>", "");
                self.entry(net, d.seq, d.seq, Entry::Message(d.enterprise, d.key, Some(text)), hash);
            }
            ToGateway::Own(own) => {
                let hash = history::advance(self.tail_hash, own.seq, Identity::Message(&enterprise, &own.key));
                self.entry(net, own.seq, own.seq, Entry::Message(enterprise, own.key, None), hash);
            }
            ToGateway::Skip(skip) => self.entry(net, skip.from, skip.to, Entry::Skipped, skip.hash),
            ToGateway::Entry(e) => {
                let hash = history::advance(self.tail_hash, e.seq, Identity::Change(&e.change));
                self.memory.list = self.memory.list.max(e.list);
                self.entry(net, e.seq, e.seq, Entry::Change, hash);
            }
            ToGateway::Decided(decided) if decided.epoch == self.memory.epoch => {
                if decided.n > self.memory.last_n {
                    net.violation(format!("decided {} of {}", decided.n, self.memory.last_n));
                }
                self.memory.decided = self.memory.decided.max(decided.n);
                for (n, condition) in decided.refused {
                    if !self.memory.refused_by_center.iter().any(|(known, _)| *known == n) {
                        self.memory.refused_by_center.push((n, condition));
                    }
                }
                self.commit(net);
            }
            ToGateway::Decided(_) | ToGateway::Fate(_) | ToGateway::Bye(_) => {}
            ToGateway::Expect(expect) if expect.epoch == self.memory.epoch => {
                if expect.fork {
                    self.new_epoch(net);
                } else {
                    self.sent = N(expect.n.0 - 1);
                    self.relay(net);
                }
            }
            ToGateway::Expect(_) => {}
            ToGateway::Response(response) => match response.body {
                ResponseBody::Group(info) => {
                    let first = !self.memory.joined;
                    self.memory.joined = true;
                    if first {
                        self.memory.list = info.list;
                        self.memory.cursor = info.joined_at;
                        self.memory.hash = info.joined_hash;
                        self.memory.history.insert(info.joined_at, (Entry::Change, info.joined_hash));
                        self.memory.incarnation = Some(info.incarnation);
                        self.commit(net);
                    }
                    if self.me == 0 && info.allowed.len() + 1 < COMPANIES.len() {
                        let enterprise = COMPANIES[1 + info.allowed.len()].parse().expect("an enterprise id");
                        let body = RequestBody::AllowEnterprise { group: GROUP, enterprise };
                        net.send_up(link, &ToCenter::Request(Request { id: 2, body }));
                    }
                    if first {
                        let after = self.memory.cursor;
                        net.send_up(link, &ToCenter::Resume(Resume { group: GROUP, after }));
                    }
                }
                ResponseBody::Refused { .. } => net.wake(self.me, 200, Wake::Join(self.life)),
                ResponseBody::Done {} | ResponseBody::Groups { .. } | ResponseBody::List { .. } => {}
            },
        }
    }

    fn wake(&mut self, net: &mut Net<Wake>, wake: Wake) {
        match wake {
            Wake::Start => {
                if !self.up {
                    self.boot(net);
                }
            }
            Wake::Say => {
                let user = net.rng.index(3);
                self.archive.push((format!("{}-{user}-{}", COMPANIES[self.me], self.archive.len()), user));
                self.take(net);
            }
            Wake::Dial(life) if life == self.life && self.link.is_none() => self.hello(net),
            Wake::Sync(life) if life == self.life => {
                if !self.disk.sync().is_empty() {
                    self.durable_n = self.memory.last_n.min(self.disk.durable().last_n);
                    self.relay(net);
                    self.settled(net);
                    if let Some(link) = self.link.filter(|_| self.welcomed && self.memory.joined) {
                        let (epoch, n) = (self.memory.epoch.clone(), self.memory.decided);
                        net.send_up(link, &ToCenter::Confirm(Confirm { group: GROUP, epoch, n }));
                    }
                }
            }
            Wake::Settle(life) if life == self.life => self.settle(net),
            Wake::Join(life) if life == self.life => {
                if let Some(link) = self.link.filter(|_| !self.memory.joined) {
                    self.join(net, link);
                }
            }
            Wake::Dial(_) | Wake::Sync(_) | Wake::Settle(_) | Wake::Join(_) => {}
        }
    }

    fn fault(&mut self, net: &mut Net<Wake>, fault: &CompanyFault) {
        match fault {
            CompanyFault::GatewayCrash { back_ms } => self.crash(net, *back_ms),
            CompanyFault::GatewayBackup => self.disk.back_up(),
            CompanyFault::GatewayRestore { back_ms } => {
                self.crash(net, *back_ms);
                self.disk.restore();
            }
            CompanyFault::GatewayCommitFails => self.crash(net, 500),
            CompanyFault::LinkCut { center_hears_ms, gateway_hears_ms } => {
                if let Some(link) = self.link {
                    net.cut(link, *center_hears_ms, *gateway_hears_ms);
                }
            }
            // A script has no room.
            _ => {}
        }
    }

    fn heal(&mut self, net: &mut Net<Wake>) {
        self.take(net);
    }
}

impl Script {
    /// Takes what is in the archive and not in the outbox.
    fn take(&mut self, net: &mut Net<Wake>) {
        if !self.up || !self.memory.joined || self.memory.taken == self.archive.len() {
            return;
        }
        let m = &mut self.memory;
        while m.taken < self.archive.len() {
            m.last_n = m.last_n.next();
            m.outbox.push(Row { n: m.last_n, place: m.taken, list: m.list });
            m.taken += 1;
        }
        self.commit(net);
    }
}
