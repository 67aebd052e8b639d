//! A company: its room server, its people, and the shipped bridge beside them, on a disk that a crash can strike.

use std::collections::{BTreeMap, BTreeSet};

use intergroup_gateway::bridge::{Action, Affiliation, Bridge, Event, Level, RequestId, RoomAction, Ticket};
use intergroup_gateway::ids::RoomJid;
use intergroup_gateway::store::memory::MemoryStore;
use intergroup_gateway::store::{Change, Mapping, Source, Spot, Store};
use intergroup_schemas::ids::{AccountId, Epoch, GroupNumber, N, Seq};
use intergroup_schemas::link::{Decided, ToCenter, ToGateway};

use super::center::COMPANIES;
use super::disk::Image;
use super::faults::CompanyFault;
use super::flavour::Flavour;
use super::gateway::Gateway;
use super::lists::{Lists, Turn};
use super::mail::Mail;
use super::moves::{Moves, Wish};
use super::names::{self, Layout, action_names, brief, change_name, request_of};
use super::net::{LinkNo, Net};
use super::people::{Kind, People};
use super::saboteur::Broken;
use super::server::{ConnNo, Server};
use super::world::Company;

/// The one group.
pub(super) const GROUP: GroupNumber = GroupNumber(10_001);

/// What is not answered after so long is answered by the shell, in milliseconds.
const ANSWERED_WITHIN: i64 = 30_000;

impl Image for MemoryStore {
    type Change = Change;
    fn apply(&mut self, batch: &[Change]) {
        self.commit(batch).expect("memory takes everything");
    }
}

/// What the store's thread has to do, in order.
#[derive(Debug, Clone)]
pub(super) enum Job {
    Commit(Ticket),
    Outbox(GroupNumber, N, usize),
    Posted(GroupNumber, Seq),
    Listed(GroupNumber, Option<AccountId>, usize, Option<u64>),
    Missed(GroupNumber, Spot, usize),
}

/// What waits for a frozen gateway.
#[derive(Debug)]
pub(super) enum Held {
    Stanza(LinkNo, ToGateway),
    LinkDown(LinkNo),
    Wake(Wake),
}

/// What a company wakes itself with. A `u64` is the gateway's life in which that was.
#[derive(Debug)]
pub(super) enum Wake {
    GatewayStart(u64),
    Thaw(u64),
    Dial(u64),
    Connect(u64),
    Tested(u64, ConnNo),
    Sync(u64),
    Timeout(u64),
    Ask(u64),
    Unanswered(u64, RequestId),
    /// The next stanza of a component connection arrives at the server.
    In(ConnNo),
    /// The next one arrives at the gateway.
    Out(ConnNo),
    /// The server hears that a connection has ended.
    Dead(ConnNo),
    ServerStart,
    Say(usize, Kind),
    Come(usize),
    Go(usize),
    Rename(usize),
    /// Something is done about a person.
    Turn(usize, Turn),
}

impl Wake {
    /// The life of the gateway that it is for.
    pub(super) fn life(&self) -> Option<u64> {
        match self {
            Wake::GatewayStart(life)
            | Wake::Thaw(life)
            | Wake::Dial(life)
            | Wake::Connect(life)
            | Wake::Tested(life, _)
            | Wake::Sync(life)
            | Wake::Timeout(life)
            | Wake::Ask(life)
            | Wake::Unanswered(life, _) => Some(*life),
            _ => None,
        }
    }

    /// The gateway's process would do it.
    pub(super) fn is_for_the_gateway(&self) -> bool {
        let of_the_core = matches!(self, Wake::Sync(_) | Wake::Timeout(_) | Wake::Ask(_) | Wake::Unanswered(..));
        of_the_core || matches!(self, Wake::Dial(_) | Wake::Connect(_) | Wake::Tested(..) | Wake::Out(_))
    }
}

/// See the module.
pub(super) struct Firm {
    pub(super) me: usize,
    pub(super) layout: Layout,
    pub(super) room: RoomJid,
    pub(super) gateway: Gateway,
    /// A second process on a copy of the store, while there is one.
    pub(super) twin: Option<Box<Gateway>>,
    /// Counts the lives of both.
    pub(super) lives: u64,
    /// There was a second process.
    pub(super) cloned: bool,
    pub(super) server: Server,
    pub(super) people: People,
    pub(super) moves: Moves,
    pub(super) lists: Lists,
    /// Where the company's part of the list comes from.
    pub(super) source: Source,
    pub(super) mail: Mail,
    /// What the center refused of what was said here.
    pub(super) refused: BTreeSet<String>,
    /// What is on its way, by its number.
    relayed: BTreeMap<(Epoch, N), String>,
}

impl Firm {
    /// A company whose members come from what fits its room, or, `by_command`, from commands.
    pub(super) fn new(
        (me, layout): (usize, Layout),
        flavour: Flavour,
        key: [u8; 32],
        skew_ms: i64,
        by_command: bool,
    ) -> Self {
        let source = if by_command { Source::Explicit } else { Source::of_room(flavour.members_only) };
        let mut server = Server::new(flavour, skew_ms);
        if server.room.members_only {
            for user in 0..names::STRANGER {
                server.room.affiliations.insert(names::jid(me, user).to_string(), Affiliation::Member);
            }
        }
        Self {
            me,
            layout,
            room: names::room(me),
            gateway: Gateway::new(MemoryStore::new(key)),
            twin: None,
            lives: 0,
            cloned: false,
            server,
            people: People::default(),
            moves: Moves::default(),
            lists: Lists::default(),
            source,
            mail: Mail::default(),
            refused: BTreeSet::new(),
            relayed: BTreeMap::new(),
        }
    }

    /// The mapping as it is on disk.
    pub(super) fn mapping(&mut self) -> Option<Mapping> {
        let snapshot = self.gateway.disk.durable().load().expect("memory can be read");
        snapshot.mappings.into_iter().find(|m| m.group == GROUP)
    }

    /// The room is shared: its floor is on disk, or it needs none.
    pub(super) fn is_shared(&mut self) -> bool {
        self.mapping().is_some_and(|m| m.floor.is_some() || !m.archive)
    }

    /// Tells the bridge something, and does what it asks for.
    pub(super) fn event(&mut self, net: &mut Net<Wake>, event: Event) {
        let now = net.clock();
        let Some(event) = self.gateway.saboteur.event(net.broken, event) else { return };
        if let Some(bridge) = self.gateway.bridge.as_mut() {
            bridge.handle(event, now);
            self.turn(net);
        }
    }

    pub(super) fn turn(&mut self, net: &mut Net<Wake>) {
        self.arm(net);
        let mut point = None;
        while let Some(action) = self.gateway.bridge.as_mut().and_then(Bridge::poll_action) {
            let (name, kinds) = action_names(&action);
            net.coverage.note("action", &name);
            for kind in &kinds {
                net.coverage.note("gateway commits", kind);
            }
            if let Some((armed, _)) = &self.gateway.armed {
                let met = name == *armed || kinds.iter().any(|k| armed.strip_prefix("before ") == Some(k));
                point = point.or(met.then(|| armed.clone()));
            }
            self.perform(net, action);
        }
        let life = self.gateway.life;
        if let Some(point) = point {
            return self.strike_point(net, &point);
        }
        let next = self.gateway.bridge.as_ref().and_then(Bridge::next_timeout);
        if let Some(at) = next.filter(|at| self.gateway.timeout.is_none_or(|set| *at < set)) {
            self.gateway.timeout = Some(at);
            net.wake(self.me, at.0 - net.now, Wake::Timeout(life));
        }
    }

    fn strike_point(&mut self, net: &mut Net<Wake>, point: &str) {
        let Some((_, back_ms)) = self.gateway.armed.take() else { return };
        net.coverage.note("crash at", point);
        self.crash(net, back_ms, false);
    }

    fn perform(&mut self, net: &mut Net<Wake>, action: Action) {
        let life = self.gateway.life;
        let mut extra = Vec::new();
        let Some(action) = self.gateway.saboteur.action(net.broken, action, &mut extra) else {
            return extra.into_iter().for_each(|e| self.event(net, e));
        };
        match action {
            Action::Room { action, .. } => {
                net.say(|| format!("{} room < {action:?}", COMPANIES[self.me]));
                if let Some(request) = request_of(&action) {
                    self.gateway.unanswered.insert(request, self.room.clone());
                    net.wake(self.me, ANSWERED_WITHIN, Wake::Unanswered(life, request));
                }
                if let Some(conn) = self.gateway.conn.filter(|_| self.gateway.server_up) {
                    let said = matches!(action, RoomAction::Say { .. });
                    let mailed = matches!(action, RoomAction::Send { .. });
                    self.send_in(net, conn, action);
                    if mailed {
                        self.is_sent(net);
                    }
                    if let Some(late_ms) = self.server.cut_at_say.take_if(|_| said) {
                        self.cut_late(net, conn, late_ms);
                    }
                }
            }
            Action::Link(stanza) => {
                if let ToCenter::Edit(edit) = &stanza {
                    self.lists.note_sent(edit);
                }
                if let ToCenter::Relay(relay) = &stanza {
                    if relay.source.is_none() && !self.server.room.flavour.archive {
                        net.coverage.note("event", "message of a room without archive relayed");
                    }
                    self.relayed.insert((relay.epoch.clone(), relay.n), super::archive::text(&relay.payload));
                    let rows = self.gateway.disk.durable().outbox(relay.group, relay.n, 1).expect("memory can be read");
                    if rows.first().is_none_or(|row| row.n != relay.n)
                        && net.broken != Some(Broken::OutboxTrimmedAtSend)
                    {
                        net.violation(format!("{} relayed {} before it was on disk", COMPANIES[self.me], relay.n));
                    }
                }
                if let Some(link) = self.gateway.link.filter(|_| self.gateway.welcomed) {
                    net.send_up(link, &stanza);
                }
            }
            Action::Commit { ticket, changes } => {
                net.say(|| format!("{} commit {ticket:?} {}", COMPANIES[self.me], brief(&changes)));
                self.store(net, Job::Commit(ticket), changes);
            }
            Action::LoadOutbox { group, from, max } => self.store(net, Job::Outbox(group, from, max), Vec::new()),
            Action::LoadPosted { group, after } => self.store(net, Job::Posted(group, after), Vec::new()),
            Action::LoadMissed { group, from, max } => self.store(net, Job::Missed(group, from, max), Vec::new()),
            Action::Answer { .. } => {}
            Action::LoadListed { group, after, max, visit } => {
                self.store(net, Job::Listed(group, after, max, visit), Vec::new());
            }
            Action::Reply { id, reply } => self.replied(net, id, &reply),
            Action::Report(report) => {
                net.say(|| format!("{} {:?}: {}", COMPANIES[self.me], report.level, report.text));
                if report.level == Level::Alarm {
                    self.gateway.alarms.push(report.text);
                }
            }
        }
        extra.into_iter().for_each(|e| self.event(net, e));
    }

    fn store(&mut self, net: &mut Net<Wake>, job: Job, changes: Vec<Change>) {
        self.gateway.disk.write(job, changes);
        let sync = net.rng.range(0, net.delays.sync);
        net.wake(self.me, sync, Wake::Sync(self.gateway.life));
    }

    pub(super) fn sync(&mut self, net: &mut Net<Wake>) {
        let g = &mut self.gateway;
        if std::mem::take(&mut g.fail_commit) && g.disk.unsynced().any(|b| !b.is_empty()) {
            net.coverage.note("fault", "gateway commit fails");
            g.disk.crash(0);
            let back = net.rng.range(50, 2000);
            return self.crash(net, back, false);
        }
        let kinds: Vec<&str> = g.disk.unsynced().flatten().map(change_name).collect();
        self.note_durable(net.now, true);
        self.note_kept();
        let g = &mut self.gateway;
        let jobs = g.disk.sync();
        let met = g.armed.as_ref().map(|(a, _)| a.clone());
        if let Some(point) = met.filter(|a| kinds.iter().any(|k| a.strip_prefix("after ") == Some(k))) {
            return self.strike_point(net, &point);
        }
        let life = g.life;
        for job in jobs {
            if self.gateway.life != life {
                return;
            }
            let store = self.gateway.disk.durable();
            let event = match job {
                Job::Commit(ticket) => Event::Committed(ticket),
                Job::Outbox(group, from, max) => {
                    Event::Outbox { group, rows: store.outbox(group, from, max).expect("memory can be read") }
                }
                Job::Posted(group, after) => {
                    Event::Posted { group, rows: store.posted(group, after).expect("memory can be read") }
                }
                Job::Missed(group, from, max) => {
                    Event::Missed { group, rows: store.missed(group, from, max).expect("memory can be read") }
                }
                Job::Listed(group, after, max, visit) => {
                    let rows = store.listed(group, after.as_ref(), max).expect("memory can be read");
                    Event::Listed { group, rows, visit }
                }
            };
            self.event(net, event);
        }
    }
}

impl Company for Firm {
    type Wake = Wake;

    fn start(&mut self, net: &mut Net<Wake>) {
        self.begin_talking(net);
        net.wake(self.me, 1000, Wake::GatewayStart(0));
    }

    fn link_down(&mut self, net: &mut Net<Wake>, link: LinkNo) {
        self.as_owner(|g| g.link == Some(link), |firm| firm.link_ended(net, link));
    }

    fn stanza(&mut self, net: &mut Net<Wake>, link: LinkNo, stanza: ToGateway) {
        self.as_owner(|g| g.link == Some(link), |firm| firm.stanza_came(net, link, stanza));
    }

    fn wake(&mut self, net: &mut Net<Wake>, wake: Wake) {
        let (life, conn) = (wake.life(), if let Wake::Out(conn) = wake { Some(conn) } else { None });
        let owns = move |g: &Gateway| life == Some(g.life) || conn.is_some_and(|conn| g.conn == Some(conn));
        self.as_owner(owns, |firm| firm.woken(net, wake));
    }

    fn fault(&mut self, net: &mut Net<Wake>, fault: &CompanyFault) {
        match fault {
            CompanyFault::GatewayCrash { back_ms } => {
                let kept = net.rng.chance(300);
                self.crash(net, *back_ms, kept);
            }
            CompanyFault::GatewayCrashAt { point, back_ms } => {
                self.gateway.armed = Some(((*point).to_owned(), *back_ms));
            }
            CompanyFault::GatewayBackup => {
                if self.is_shared() {
                    self.gateway.disk.back_up();
                }
            }
            // What a log does not keep any more cannot be compared with what an older store sends again.
            CompanyFault::GatewayRestore { .. } if net.center.plan.forgets() => {}
            CompanyFault::GatewayRestore { back_ms } => {
                // Putting a backup back takes longer than any stanza stays under way.
                self.crash(net, 8000 + back_ms, false);
                if self.gateway.disk.restore() {
                    net.coverage.note("fault", "gateway restored");
                    self.gateway.restored = true;
                    let told = net
                        .center
                        .members()
                        .iter()
                        .find(|m| m.group == GROUP && m.gateway == self.layout.gateway(self.me))
                        .map(|m| m.settled);
                    self.gateway.told_at_restore = self.gateway.told_at_restore.or(told);
                }
            }
            CompanyFault::GatewayCloned if net.center.plan.forgets() => {}
            CompanyFault::GatewayCloned => self.clone_gateway(net),
            CompanyFault::CloneStopped => self.stop_one(net),
            CompanyFault::GatewayCommitFails => self.gateway.fail_commit = true,
            CompanyFault::LinkCut { center_hears_ms, gateway_hears_ms } => {
                if let Some(link) = self.gateway.link {
                    net.cut(link, *center_hears_ms, *gateway_hears_ms);
                }
            }
            CompanyFault::GatewayFrozen { ms, center_hears_ms } => {
                if self.gateway.bridge.is_some() && !self.gateway.is_frozen {
                    self.gateway.is_frozen = true;
                    net.wake(self.me, *ms, Wake::Thaw(self.gateway.life));
                    if let (Some(link), Some(center_hears_ms)) = (self.gateway.link, center_hears_ms) {
                        net.cut(link, *center_hears_ms, *ms);
                    }
                }
            }
            CompanyFault::CenterUnreachable { ms } => {
                self.gateway.unreachable_until = net.now + ms;
                if let Some(link) = self.gateway.link {
                    net.cut(link, 0, 0);
                }
            }
            CompanyFault::Wish(wish) => self.wishes(net, *wish),
            CompanyFault::DeleteGroup => {
                self.moves.deletes = true;
                self.wishes(net, Wish::In);
            }
            other => self.server_fault(net, other),
        }
    }

    fn heal(&mut self, net: &mut Net<Wake>) {
        self.stop_one(net);
        self.gateway.armed = None;
        self.gateway.fail_commit = false;
        self.gateway.unreachable_until = 0;
        self.server.cut_at_say = None;
        self.everybody_comes(net);
    }
}

impl Firm {
    pub(super) fn unanswered(&mut self, net: &mut Net<Wake>, request: RequestId) {
        if let Some(room) = self.gateway.unanswered.remove(&request).filter(|_| self.gateway.server_up) {
            net.coverage.note("event", "request timed out");
            self.event(net, Event::Room { room, event: names::timed_out(request) });
        }
    }

    /// A request has its answer; none where nobody waits for it any more.
    pub(super) fn answered(&mut self, request: RequestId) -> bool {
        self.gateway.unanswered.remove(&request).is_some()
    }

    /// The component link has ended: what was asked over it is forgotten.
    pub(super) fn forget_requests(&mut self) {
        self.gateway.unanswered.clear();
    }
}

impl Firm {
    /// What the center has decided of what was said here.
    pub(super) fn note_decided(&mut self, decided: &Decided) {
        for (n, _) in &decided.refused {
            self.refused.extend(self.relayed.get(&(decided.epoch.clone(), *n)).cloned());
        }
    }
}
