//! A hub with a store in memory and links that are lists: what comes out is decoded and kept for the test to look at.
//!
//! Commits and reads can be held back, so that a test decides what is on disk when.

mod crossing;
mod flow;
mod lists;
mod membership;
mod nodes;
mod rates;
mod restored;

use std::collections::BTreeMap;

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{GatewayId, GroupNumber, HistoryHash, ListVersion, N, Seq};
use intergroup_schemas::link::{
    GroupInfo, Hello, HelloGroup, Relay, Request, RequestBody, ResponseBody, Resume, Settled, Timestamp, ToCenter,
    ToGateway, VERSION, Welcome, decode,
};

use super::{Action, AdminId, AdminReply, AdminRequest, Config, Event, Hub, LinkId, Proof, Ticket};
use crate::store::memory::MemoryStore;
use crate::store::{Change, Store};

struct World {
    hub: Hub,
    store: MemoryStore,
    config: Config,
    now: Timestamp,
    /// Commits wait until [`World::release`].
    hold: bool,
    held: Vec<(Ticket, Vec<Change>)>,
    /// Reads of sources wait until [`World::release`].
    hold_reads: bool,
    held_reads: Vec<(GroupNumber, GatewayId)>,
    got: BTreeMap<LinkId, Vec<ToGateway>>,
    closed: BTreeMap<LinkId, Condition>,
    replies: BTreeMap<AdminId, AdminReply>,
    links: u64,
    /// The list version that relays name.
    list: ListVersion,
}

fn gateway(enterprise: &str) -> GatewayId {
    format!("{enterprise}/main").parse().unwrap()
}

fn certificate(enterprise: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..enterprise.len()].copy_from_slice(enterprise.as_bytes());
    hash
}

fn relay(group: GroupNumber, epoch: &str, n: u64, source: &str) -> Relay {
    Relay {
        group,
        epoch: epoch.parse().unwrap(),
        n: N(n),
        source: (!source.is_empty()).then(|| source.parse().unwrap()),
        list: ListVersion(3),
        user: "alice".parse().unwrap(),
        nick: "Alice".parse().unwrap(),
        at: Timestamp(5),
        late: false,
        payload: Bytes::from(format!("<body xmlns='jabber:client'>{epoch}.{n}</body>")),
    }
}

impl World {
    fn new() -> Self {
        Self::with(Config::default(), MemoryStore::default())
    }

    fn with(config: Config, mut store: MemoryStore) -> Self {
        let hub = Hub::new(store.load().unwrap(), config.clone());
        Self {
            hub,
            store,
            config,
            now: Timestamp(1_000_000_000),
            hold: false,
            held: Vec::new(),
            hold_reads: false,
            held_reads: Vec::new(),
            got: BTreeMap::new(),
            closed: BTreeMap::new(),
            replies: BTreeMap::new(),
            links: 0,
            list: ListVersion(3),
        }
    }

    /// The process dies and starts again with what is on disk; another process has other randomness.
    fn restart(self) -> Self {
        let mut config = self.config;
        config.entropy[0] += 1;
        Self { now: self.now, links: self.links, list: self.list, ..Self::with(config, self.store) }
    }

    fn event(&mut self, event: Event) {
        self.hub.handle(event, self.now);
        self.run();
    }

    fn later(&mut self, ms: i64) {
        self.now.0 += ms;
        self.hub.handle_timeout(self.now);
        self.run();
    }

    fn run(&mut self) {
        while let Some(action) = self.hub.poll_action() {
            match action {
                Action::Commit { ticket, changes, .. } if self.hold => self.held.push((ticket, changes)),
                Action::Commit { ticket, changes, .. } => {
                    self.store.commit(&changes).unwrap();
                    self.hub.handle(Event::Committed(ticket), self.now);
                }
                Action::Send { link, frames } => {
                    assert!(!self.closed.contains_key(&link), "nothing is sent on a closed link");
                    let stanzas = frames.stanzas().iter().map(|frame| decode::to_gateway(frame).unwrap());
                    self.got.entry(link).or_default().extend(stanzas);
                }
                Action::Close { link, condition, .. } => drop(self.closed.insert(link, condition)),
                Action::ReadLog { link, group, after, entries, bytes } => {
                    let records = self.store.read_log(group, after, entries, bytes).unwrap();
                    self.hub.handle(Event::Log { link, group, after, records }, self.now);
                }
                Action::ReadHashes { link, places } => {
                    let hashes = places.iter().map(|(group, seq)| self.store.hash_at(*group, *seq).unwrap()).collect();
                    self.hub.handle(Event::Hashes { link, hashes }, self.now);
                }
                Action::ReadSources { group, gateway } if self.hold_reads => self.held_reads.push((group, gateway)),
                Action::ReadSources { group, gateway } => {
                    let sources = self.store.sources(group, &gateway).unwrap();
                    self.hub.handle(Event::Sources { group, gateway, sources }, self.now);
                }
                Action::ReadList { reader, query } => {
                    let page = self.store.list_page(&query).unwrap();
                    self.hub.handle(Event::List { reader, group: query.group, page }, self.now);
                }
                Action::Reply { id, reply } => drop(self.replies.insert(id, reply)),
                other => panic!("nothing is shared here: {other:?}"),
            }
        }
    }

    /// What was held back happens.
    fn release(&mut self) {
        (self.hold, self.hold_reads) = (false, false);
        for (ticket, changes) in std::mem::take(&mut self.held) {
            self.store.commit(&changes).unwrap();
            self.event(Event::Committed(ticket));
        }
        for (group, gateway) in std::mem::take(&mut self.held_reads) {
            let sources = self.store.sources(group, &gateway).unwrap();
            self.event(Event::Sources { group, gateway, sources });
        }
    }

    fn admin(&mut self, request: AdminRequest) -> Option<AdminReply> {
        let id = AdminId(u64::try_from(self.replies.len()).unwrap() + 1_000);
        self.event(Event::Admin { id, request });
        self.replies.get(&id).cloned()
    }

    fn enrol(&mut self, enterprise: &str) {
        let (gateway, expires) = (gateway(enterprise), Timestamp(i64::MAX));
        let secret = certificate(&format!("{enterprise} code"));
        let add =
            AdminRequest::AddEnterprise { gateway: gateway.clone(), display: None, secret, expires, again: false };
        assert!(matches!(self.admin(add), Some(AdminReply::Done)));
        let certificate = certificate(enterprise);
        let certify = AdminRequest::Certify { gateway, certificate, expires, proof: Proof::Code(secret) };
        assert!(matches!(self.admin(certify), Some(AdminReply::Gateway { .. })));
    }

    /// A link that has not said hello.
    fn open(&mut self, enterprise: &str) -> LinkId {
        self.links += 1;
        let link = LinkId(self.links);
        let (gateway, certificate) = (gateway(enterprise), certificate(enterprise));
        self.event(Event::LinkOpened { link, gateway, certificate });
        link
    }

    fn say(&mut self, link: LinkId, stanza: ToCenter) {
        self.event(Event::Stanza { link, stanza });
    }

    fn greet(&mut self, enterprise: &str, groups: Vec<HelloGroup>) -> (LinkId, Welcome) {
        let link = self.open(enterprise);
        self.say(link, ToCenter::Hello(Hello { version: VERSION, software: "test".into(), groups }));
        let Some(ToGateway::Welcome(welcome)) = self.take(link).into_iter().next() else { panic!("no welcome") };
        (link, welcome)
    }

    fn ask(&mut self, link: LinkId, body: RequestBody) -> ResponseBody {
        self.say(link, ToCenter::Request(Request { id: 7, body }));
        let got = self.got.get_mut(&link).unwrap();
        let at = got.iter().position(|s| matches!(s, ToGateway::Response(_))).expect("an answer");
        let ToGateway::Response(response) = got.remove(at) else { unreachable!() };
        response.body
    }

    fn info(&mut self, link: LinkId, body: RequestBody) -> GroupInfo {
        match self.ask(link, body) {
            ResponseBody::Group(info) => info,
            other => panic!("no group but {other:?}"),
        }
    }

    /// A group of the first enterprise that all others have joined, each with a running stream. Its list version is the
    /// number of members, its log has an entry for each.
    fn group(&mut self, links: &[(&str, LinkId)]) -> GroupNumber {
        let owner = links[0].1;
        let group = self.info(owner, RequestBody::CreateGroup { name: "Apollo".into() }).number;
        for (enterprise, link) in links {
            if *link != owner {
                let enterprise = enterprise.parse().unwrap();
                self.info(owner, RequestBody::AllowEnterprise { group, enterprise });
                self.info(*link, RequestBody::JoinGroup { group });
            }
            self.say(*link, ToCenter::Resume(Resume { group, after: Seq(0) }));
        }
        links.iter().for_each(|(_, link)| drop(self.take(*link)));
        self.list = ListVersion(u64::try_from(links.len()).unwrap());
        group
    }

    /// Three enterprises in one group of list version 3.
    fn three() -> (Self, GroupNumber, [LinkId; 3]) {
        let mut world = Self::new();
        let names = ["acme", "globex", "initech"];
        names.iter().for_each(|name| world.enrol(name));
        let links = names.map(|name| world.greet(name, Vec::new()).0);
        let group = world.group(&[(names[0], links[0]), (names[1], links[1]), (names[2], links[2])]);
        (world, group, links)
    }

    fn relays(&mut self, link: LinkId, group: GroupNumber, epoch: &str, ns: std::ops::RangeInclusive<u64>) {
        for n in ns {
            let relay = Relay { list: self.list, ..relay(group, epoch, n, &format!("{epoch}-{n}")) };
            self.say(link, ToCenter::Relay(relay));
        }
    }

    fn take(&mut self, link: LinkId) -> Vec<ToGateway> {
        self.got.remove(&link).unwrap_or_default()
    }

    fn settle(&mut self, link: LinkId, group: GroupNumber, upto: Seq) {
        self.say(link, ToCenter::Settled(Settled { group, upto, refused: Vec::new() }));
    }
}

/// The places that stanzas of a group's stream cover, and the messages among them.
fn stream(got: &[ToGateway], group: GroupNumber) -> Vec<(Seq, Seq, String)> {
    let of = |s: &ToGateway| match s {
        ToGateway::Deliver(d) if d.group == group => Some((d.seq, d.seq, d.key.to_string())),
        ToGateway::Own(o) if o.group == group => Some((o.seq, o.seq, format!("own {}", o.key))),
        ToGateway::Skip(s) if s.group == group => Some((s.from, s.to, format!("skip {:?}", s.reason))),
        ToGateway::Entry(e) if e.group == group => Some((e.seq, e.seq, "entry".to_owned())),
        _ => None,
    };
    got.iter().filter_map(of).collect()
}

/// The same as words, after a check that nothing is missing between them.
fn words(got: &[ToGateway], group: GroupNumber) -> Vec<String> {
    let stream = stream(got, group);
    for pair in stream.windows(2) {
        assert_eq!(pair[0].1.next(), pair[1].0, "a stream has no gap: {stream:?}");
    }
    stream.into_iter().map(|(_, _, word)| word).collect()
}

fn decided(got: &[ToGateway]) -> Vec<(u64, Vec<(u64, Condition)>)> {
    let of = |s: &ToGateway| match s {
        ToGateway::Decided(d) => Some((d.n.0, d.refused.iter().map(|(n, c)| (n.0, *c)).collect())),
        _ => None,
    };
    got.iter().filter_map(of).collect()
}

fn memory(group: GroupNumber, cursor: Seq, hash: HistoryHash, epoch: &str, last_n: u64) -> HelloGroup {
    let (incarnation, places) = (None, Vec::new());
    HelloGroup {
        group,
        incarnation,
        cursor,
        hash,
        settled: cursor,
        places,
        epoch: epoch.parse().unwrap(),
        last_n: N(last_n),
        run: None,
    }
}
