//! The gateway's process as its shell holds it, what comes to it from its link, and a second process on a copy of its store.

use std::collections::{BTreeMap, VecDeque};

use intergroup_gateway::bridge::{Bridge, CommandId, Event, RequestId};
use intergroup_gateway::ids::RoomJid;
use intergroup_gateway::store::memory::MemoryStore;
use intergroup_schemas::ids::Seq;
use intergroup_schemas::link::{Hello, Timestamp, ToCenter, ToGateway, VERSION};

use super::center::COMPANIES;
use super::company::{Firm, Held, Job, Wake};
use super::disk::Disk;
use super::net::{LinkNo, Net};
use super::saboteur::Saboteur;
use super::server::ConnNo;

/// The gateway's process.
pub(super) struct Gateway {
    pub(super) bridge: Option<Bridge>,
    pub(super) life: u64,
    pub(super) disk: Disk<MemoryStore, Job>,
    pub(super) link: Option<LinkNo>,
    pub(super) welcomed: bool,
    /// The component connection, from when it is opened.
    pub(super) conn: Option<ConnNo>,
    /// The bridge knows of it.
    pub(super) server_up: bool,
    pub(super) timeout: Option<Timestamp>,
    pub(super) fail_commit: bool,
    /// It has been stopped,
    pub(super) is_frozen: bool,
    /// and this waits for it.
    pub(super) frozen: VecDeque<Held>,
    /// Until then no link to the center can be opened.
    pub(super) unreachable_until: i64,
    pub(super) commands: u64,
    pub(super) asked: Option<CommandId>,
    pub(super) unanswered: BTreeMap<RequestId, RoomJid>,
    /// Put back to an older state at least once.
    pub(super) restored: bool,
    /// What the center knew to be settled when that happened first.
    pub(super) told_at_restore: Option<Seq>,
    /// Crash when this has happened.
    pub(super) armed: Option<(String, i64)>,
    /// Reports that somebody must act.
    pub(super) alarms: Vec<String>,
    pub(super) saboteur: Saboteur,
}

impl Gateway {
    /// A process that has not been started yet.
    pub(super) fn new(store: MemoryStore) -> Self {
        Self {
            bridge: None,
            life: 0,
            disk: Disk::new(store),
            link: None,
            welcomed: false,
            conn: None,
            server_up: false,
            timeout: None,
            fail_commit: false,
            is_frozen: false,
            frozen: VecDeque::new(),
            unreachable_until: 0,
            commands: 0,
            asked: None,
            unanswered: BTreeMap::new(),
            restored: false,
            told_at_restore: None,
            armed: None,
            alarms: Vec::new(),
            saboteur: Saboteur::default(),
        }
    }
}

impl Firm {
    /// Lets the second process take the place of the first while it does something, if it is its business.
    pub(super) fn as_owner(&mut self, owns: impl Fn(&Gateway) -> bool, what: impl FnOnce(&mut Firm)) {
        let swaps = self.twin.as_ref().is_some_and(|twin| owns(twin));
        self.swap(swaps);
        what(self);
        self.swap(swaps);
    }

    fn swap(&mut self, swaps: bool) {
        if let Some(twin) = self.twin.as_deref_mut().filter(|_| swaps) {
            std::mem::swap(&mut self.gateway, twin);
        }
    }

    pub(super) fn new_life(&mut self) {
        self.lives += 1;
        self.gateway.life = self.lives;
    }

    /// A copy of the store is started beside it: a copied machine, or a second one that nobody knows of.
    pub(super) fn clone_gateway(&mut self, net: &mut Net<Wake>) {
        if self.twin.is_some() || !self.is_shared() {
            return;
        }
        net.coverage.note("fault", "second process on a copy of the store");
        let store = self.gateway.disk.durable().clone();
        self.twin = Some(Box::new(Gateway::new(store)));
        self.cloned = true;
        self.swap(true);
        self.new_life();
        let delay = net.rng.range(0, 3000);
        net.wake(self.me, delay, Wake::GatewayStart(self.gateway.life));
        self.swap(true);
    }

    /// One of the two is stopped for good: whichever it is.
    pub(super) fn stop_one(&mut self, net: &mut Net<Wake>) {
        if self.twin.is_none() {
            return;
        }
        let first = net.rng.chance(500);
        net.coverage.note("fault", if first { "first process stopped" } else { "second process stopped" });
        self.swap(first);
        if let Some(gone) = self.twin.take() {
            net.say(|| format!("{} gateway of life {} is stopped for good", COMPANIES[self.me], gone.life));
            self.gateway.alarms.extend(gone.alarms);
            self.gateway.restored |= gone.restored;
            if let Some(link) = gone.link {
                net.cut(link, 0, 0);
            }
            if let Some(conn) = gone.conn {
                let late = net.rng.range(0, 1500);
                self.cut_conn(net, conn, 0, late);
            }
        }
    }
}

impl Firm {
    pub(super) fn link_ended(&mut self, net: &mut Net<Wake>, link: LinkNo) {
        if self.gateway.is_frozen {
            return self.gateway.frozen.push_back(Held::LinkDown(link));
        }
        if self.gateway.link == Some(link) {
            self.gateway.link = None;
            let was = std::mem::take(&mut self.gateway.welcomed);
            let delay = net.rng.range(10, 1500);
            net.wake(self.me, delay, Wake::Dial(self.gateway.life));
            if was {
                self.event(net, Event::LinkDown);
            }
        }
    }

    pub(super) fn stanza_came(&mut self, net: &mut Net<Wake>, link: LinkNo, stanza: ToGateway) {
        if self.gateway.is_frozen {
            return self.gateway.frozen.push_back(Held::Stanza(link, stanza));
        }
        if self.gateway.link != Some(link) {
            return;
        }
        match stanza {
            ToGateway::Welcome(welcome) => {
                for group in &welcome.groups {
                    net.coverage.note("welcome", &format!("{:?}", group.history));
                    if group.history == intergroup_schemas::link::History::Forked
                        && group.standing == intergroup_schemas::link::Standing::Member
                        && !net.center.restored
                    {
                        net.violation(format!("{} is told of a fork that never was", COMPANIES[self.me]));
                    }
                }
                self.gateway.welcomed = true;
                self.event(net, Event::LinkUp(welcome));
            }
            ToGateway::Bye(bye) => net.coverage.note("bye", bye.condition.as_str()),
            ToGateway::Decided(decided) if self.gateway.welcomed => {
                self.note_decided(&decided);
                self.event(net, Event::Link(ToGateway::Decided(decided)));
            }
            stanza if self.gateway.welcomed => self.event(net, Event::Link(stanza)),
            _ => net.violation("the center spoke before its welcome"),
        }
    }

    pub(super) fn woken(&mut self, net: &mut Net<Wake>, wake: Wake) {
        let now = net.clock();
        if self.gateway.is_frozen && wake.is_for_the_gateway() {
            return self.gateway.frozen.push_back(Held::Wake(wake));
        }
        let alive = |life: u64| life == self.gateway.life && self.gateway.bridge.is_some();
        match wake {
            Wake::GatewayStart(life) if life == self.gateway.life => self.boot(net),
            Wake::Thaw(life) if alive(life) => self.thaw(net),
            Wake::Dial(life) if alive(life) && now.0 < self.gateway.unreachable_until => {
                net.wake(self.me, 1000, Wake::Dial(life));
            }
            Wake::Dial(life) if alive(life) && self.gateway.link.is_none() => {
                let link = net.dial(self.me);
                self.gateway.link = Some(link);
                let groups = self.gateway.bridge.as_ref().map(Bridge::hello).unwrap_or_default();
                net.send_up(link, &ToCenter::Hello(Hello { version: VERSION, software: "sim".to_owned(), groups }));
            }
            Wake::Connect(life) if alive(life) && self.gateway.conn.is_none() => self.connect(net),
            Wake::Tested(life, conn) if alive(life) && self.gateway.conn == Some(conn) => self.tested(net, conn),
            Wake::Sync(life) if alive(life) => self.sync(net),
            Wake::Timeout(life) if alive(life) => {
                self.gateway.timeout = None;
                if let Some(bridge) = self.gateway.bridge.as_mut() {
                    if bridge.next_timeout().is_some_and(|at| at <= now) {
                        bridge.handle_timeout(now);
                    }
                    self.turn(net);
                }
            }
            Wake::Ask(life) if alive(life) => {
                self.choose_queue(net);
                self.ask(net);
            }
            Wake::Unanswered(life, request) if alive(life) => self.unanswered(net, request),
            Wake::In(conn) => self.arrive_in(net, conn),
            Wake::Out(conn) => self.arrive_out(net, conn),
            Wake::Dead(conn) => self.server.dead(conn),
            Wake::ServerStart => self.server_start(net),
            Wake::Say(user, kind) => self.say(net, user, kind),
            Wake::Come(user) => self.come(net, user),
            Wake::Go(user) => self.go(net, user),
            Wake::Rename(user) => self.rename(net, user),
            Wake::Turn(user, turn) => self.turn_person(net, user, turn),
            _ => {}
        }
    }
}
