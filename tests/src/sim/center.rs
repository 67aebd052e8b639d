//! The center's process: the shipped hub, its store on a disk that a crash can strike, and what the shell would do.

use std::collections::BTreeMap;

use intergroup_center::hub::{Action, AdminId, AdminRequest, Config, Event, Hub, LinkId, Proof, Reader, Ticket};
use intergroup_center::store::memory::MemoryStore;
use intergroup_center::store::{Change, Fate, Member, PageQuery, Record, RecordKind, Store};
use intergroup_schemas::ids::{EnterpriseId, GatewayId, GatewayName, GroupNumber, ListVersion, Seq};
use intergroup_schemas::link::{Bye, Change as GroupChange, Timestamp, ToCenter, ToGateway, encode};

use super::disk::{Disk, Image};
use super::lists_check::CentersList;
use super::names::Layout;
use super::net::{Due, LinkNo, Net};
use super::saboteur::Broken;

/// Companies' ids, by number.
pub(super) const COMPANIES: [&str; 3] = ["acme", "globex", "initech"];

impl Image for MemoryStore {
    type Change = Change;
    fn apply(&mut self, batch: &[Change]) {
        self.commit(batch).expect("memory takes everything");
    }
}

/// A read that the hub asked for.
#[derive(Debug)]
pub(super) enum Read {
    Log { link: LinkId, group: GroupNumber, after: Seq, entries: usize, bytes: usize },
    Hashes { link: LinkId, places: Vec<(GroupNumber, Seq)> },
    Sources { group: GroupNumber, gateway: GatewayId },
    List { reader: Reader, query: PageQuery },
}

/// How the center is set up.
#[derive(Debug, Clone)]
pub(super) struct CenterPlan {
    /// Bytes of messages in memory; few of them make it read its store.
    pub(super) cache_bytes: usize,
    /// Bytes a log may have.
    pub(super) retention_bytes: u64,
    /// Entries unsettled at a gateway, stanzas without credit, messages undecided.
    pub(super) window: u32,
    /// See above.
    pub(super) credit: u32,
    /// See above.
    pub(super) relay_window: u32,
    /// Which enterprises there are.
    pub(super) layout: Layout,
}

impl CenterPlan {
    /// Old entries go while people talk.
    pub(super) fn forgets(&self) -> bool {
        self.retention_bytes < 1 << 20
    }
}

impl Default for CenterPlan {
    fn default() -> Self {
        let Config { window, credit, relay_window, .. } = Config::default();
        let layout = Layout::default();
        Self { cache_bytes: 1 << 24, retention_bytes: 1 << 30, window, credit, relay_window, layout }
    }
}

/// From its `joined` entry to its `left` entry, or the group's end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Membership {
    pub(super) from: Seq,
    pub(super) until: Option<Seq>,
    /// The list version that its joining made.
    pub(super) list: ListVersion,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Center {
    hub: Option<Hub>,
    disk: Disk<MemoryStore, Ticket>,
    pub(super) plan: CenterPlan,
    /// Counts starts: what was due in an older life is not.
    life: u64,
    timeout: Option<Timestamp>,
    /// Every entry that was ever durable and was not taken back by a restore, trimmed or not.
    pub(super) book: BTreeMap<(GroupNumber, Seq), Record>,
    /// A backup was put back at least once.
    pub(super) restored: bool,
    /// Called off: the next commit fails.
    pub(super) fail_commit: bool,
    entropy: [u8; 32],
}

/// SHA-256 of a company's certificate.
pub(super) fn certificate(company: usize) -> [u8; 32] {
    [u8::try_from(company + 1).expect("few companies"); 32]
}

impl Center {
    /// A center that knows the three companies, not yet started.
    pub(super) fn new(plan: CenterPlan, entropy: [u8; 32]) -> Self {
        let mut store = MemoryStore::default();
        let mut hub = Hub::new(store.load().expect("memory can be read"), Config { entropy, ..Config::default() });
        let now = Timestamp(super::net::EPOCH_MS);
        for company in 0..COMPANIES.len() {
            let (gateway, secret) = (plan.layout.gateway(company), certificate(company));
            let expires = Timestamp(i64::MAX);
            let display = None;
            let again = plan.layout.branches && company == 1;
            let add = AdminRequest::AddEnterprise { gateway: gateway.clone(), display, secret, expires, again };
            let certify = AdminRequest::Certify { gateway, certificate: secret, expires, proof: Proof::Code(secret) };
            for request in [add, certify] {
                hub.handle(Event::Admin { id: AdminId(0), request }, now);
                while let Some(action) = hub.poll_action() {
                    if let Action::Commit { ticket, changes, .. } = action {
                        store.apply(&changes);
                        hub.handle(Event::Committed(ticket), now);
                    }
                }
            }
        }
        Self {
            hub: None,
            disk: Disk::new(store),
            plan,
            life: 0,
            timeout: None,
            book: BTreeMap::new(),
            restored: false,
            fail_commit: false,
            entropy,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.hub.is_some()
    }

    pub(super) fn disk(&mut self) -> &mut Disk<MemoryStore, Ticket> {
        &mut self.disk
    }

    /// How many companies have ever joined the group.
    pub(super) fn joined(&self) -> usize {
        (0..COMPANIES.len()).filter(|company| !self.memberships(*company).is_empty()).count()
    }

    /// When a company belonged to the group.
    pub(super) fn memberships(&self, company: usize) -> Vec<Membership> {
        let mut all: Vec<Membership> = Vec::new();
        let id = self.plan.layout.gateway(company);
        let is_it =
            |enterprise: &EnterpriseId, gateway: &GatewayName| *enterprise == id.enterprise && *gateway == id.gateway;
        for record in self.book.values() {
            let RecordKind::Change(change) = &record.kind else { continue };
            let mut ends = false;
            match change {
                GroupChange::Joined { enterprise, gateway, .. } if is_it(enterprise, gateway) => {
                    all.push(Membership { from: record.seq, until: None, list: record.list });
                }
                GroupChange::Left { enterprise, gateway, .. } => ends = is_it(enterprise, gateway),
                GroupChange::Deleted {} => ends = true,
                _ => {}
            }
            if let Some(last) = all.last_mut().filter(|m| ends && m.until.is_none()) {
                last.until = Some(record.seq);
            }
        }
        all
    }

    pub(super) fn is_member(&self, company: usize) -> bool {
        self.memberships(company).last().is_some_and(|m| m.until.is_none())
    }

    /// The group was deleted.
    pub(super) fn has_ended(&self) -> bool {
        self.book.values().any(|r| matches!(r.kind, RecordKind::Change(GroupChange::Deleted {})))
    }

    /// The fates on disk.
    pub(super) fn fates(&mut self) -> Vec<Fate> {
        self.disk.durable().load().expect("memory can be read").fates
    }

    /// Up to where a group's log is gone.
    pub(super) fn floor(&mut self, group: GroupNumber) -> Seq {
        let groups = self.disk.durable().load().expect("memory can be read").groups;
        groups.iter().find(|g| g.group.number == group).map_or(Seq(0), |g| g.floor)
    }

    /// The group's user list on disk; none where there is no group.
    pub(super) fn list(&mut self, group: GroupNumber) -> Option<CentersList> {
        let store = self.disk.durable();
        store.load().expect("memory can be read").groups.iter().find(|g| g.group.number == group)?;
        let query = PageQuery { group, since: ListVersion(0), after: None };
        let mut page = store.list_page(&query).expect("memory can be read");
        let mut rows = std::mem::take(&mut page.rows);
        while page.more {
            let last = rows.last().cloned()?;
            let query = PageQuery { group, since: last.version, after: Some(last.account) };
            page = store.list_page(&query).expect("memory can be read");
            rows.append(&mut page.rows);
        }
        Some(CentersList { version: page.version, digest: page.digest, rows })
    }

    /// The memberships on disk.
    pub(super) fn members(&mut self) -> Vec<Member> {
        self.disk.durable().load().expect("memory can be read").members
    }

    fn note_durable(&mut self) {
        let records: Vec<Record> = self
            .disk
            .unsynced()
            .flatten()
            .filter_map(|c| if let Change::Append(r) = c { Some(r.clone()) } else { None })
            .collect();
        for record in records {
            self.book.insert((record.group, record.seq), record);
        }
    }
}

impl<W> Net<W> {
    pub(super) fn center_start(&mut self) {
        if self.center.is_up() {
            return;
        }
        self.say(|| "center starts".to_owned());
        let entropy = self.rng.bytes32();
        let center = &mut self.center;
        center.entropy = entropy;
        center.life += 1;
        center.timeout = None;
        let config = Config {
            cache_bytes: center.plan.cache_bytes,
            retention_bytes: center.plan.retention_bytes,
            window: center.plan.window,
            credit: center.plan.credit,
            relay_window: center.plan.relay_window,
            entropy: center.entropy,
            ..Config::default()
        };
        let snapshot = center.disk.durable().load().expect("memory can be read");
        center.hub = Some(Hub::new(snapshot, config));
        self.center_turn();
    }

    /// kill -9: all that is not durable is gone, links included. Some of it may be durable without anybody knowing.
    pub(super) fn center_crash(&mut self, back_ms: i64) {
        if !self.center.is_up() {
            return;
        }
        self.say(|| "center crashes".to_owned());
        let flying = self.center.disk.unsynced().count();
        self.coverage.note("crash point, center", if flying > 0 { "commit under way" } else { "nothing under way" });
        let kinds: Vec<&str> = self.center.disk.unsynced().flatten().map(kind).collect();
        for kind in kinds {
            self.coverage.note("crash with uncommitted, center", kind);
        }
        let kept = if flying > 0 && self.rng.chance(300) { flying } else { 0 };
        if kept > 0 {
            self.coverage.note("crash point, center", "commit done, nobody told");
            self.center.note_durable();
        }
        self.center.disk.crash(kept);
        self.center.hub = None;
        self.center_gone();
        self.after(back_ms, Due::CenterStart);
    }

    /// The center's machine is put back to an older state.
    pub(super) fn center_restore(&mut self, back_ms: i64) {
        self.center_crash(back_ms);
        if self.center.disk.restore() {
            self.say(|| "center restored from a backup".to_owned());
            self.center.restored = true;
            let snapshot = self.center.disk.durable().load().expect("memory can be read");
            let heads: BTreeMap<_, _> = snapshot.groups.iter().map(|g| (g.group.number, g.head)).collect();
            self.center.book.retain(|(group, seq), _| heads.get(group).is_some_and(|head| seq <= head));
        }
    }

    pub(super) fn center_link_opened(&mut self, link: LinkNo, company: usize) {
        let (gateway, certificate) = (self.center.plan.layout.gateway(company), certificate(company));
        self.center_event(Event::LinkOpened { link: LinkId(link), gateway, certificate });
    }

    pub(super) fn center_link_closed(&mut self, link: LinkNo) {
        self.center_event(Event::LinkClosed { link: LinkId(link) });
    }

    pub(super) fn center_stanza(&mut self, link: LinkNo, stanza: ToCenter) {
        self.center_event(Event::Stanza { link: LinkId(link), stanza });
    }

    pub(super) fn center_event(&mut self, event: Event) {
        let now = self.clock();
        if let Some(hub) = self.center.hub.as_mut() {
            hub.handle(event, now);
            self.center_turn();
        }
    }

    pub(super) fn center_timeout(&mut self, life: u64) {
        if life != self.center.life {
            return;
        }
        self.center.timeout = None;
        let now = self.clock();
        if let Some(hub) = self.center.hub.as_mut() {
            if hub.next_timeout().is_some_and(|at| at <= now) {
                hub.handle_timeout(now);
            }
            self.center_turn();
        }
    }

    pub(super) fn center_sync(&mut self, life: u64) {
        if life != self.center.life || !self.center.is_up() {
            return;
        }
        if self.center.fail_commit {
            self.center.fail_commit = false;
            self.coverage.note("fault", "center commit fails");
            let back = self.rng.range(50, 3000);
            self.center.disk.crash(0);
            return self.center_crash(back);
        }
        self.center.note_durable();
        let tickets = self.center.disk.sync();
        if self.broken != Some(Broken::CenterActsBeforeCommit) {
            tickets.into_iter().for_each(|ticket| self.center_event(Event::Committed(ticket)));
        }
    }

    pub(super) fn center_read(&mut self, life: u64, read: Read) {
        if life != self.center.life || !self.center.is_up() {
            return;
        }
        let store = self.center.disk.durable();
        let event = match read {
            Read::Log { link, group, after, entries, bytes } => {
                let records = store.read_log(group, after, entries, bytes).expect("memory can be read");
                Event::Log { link, group, after, records }
            }
            Read::Hashes { link, places } => {
                let hash = |(group, seq): (GroupNumber, Seq)| store.hash_at(group, seq).expect("memory can be read");
                Event::Hashes { link, hashes: places.into_iter().map(hash).collect() }
            }
            Read::Sources { group, gateway } => {
                let sources = store.sources(group, &gateway).expect("memory can be read");
                Event::Sources { group, gateway, sources }
            }
            Read::List { reader, query } => {
                let page = store.list_page(&query).expect("memory can be read");
                Event::List { reader, group: query.group, page }
            }
        };
        self.center_event(event);
    }

    /// Does what the hub asks for, and looks when it wants to be called again.
    fn center_turn(&mut self) {
        let life = self.center.life;
        while let Some(action) = self.center.hub.as_mut().and_then(Hub::poll_action) {
            match action {
                Action::Commit { ticket, mut changes, .. } => {
                    super::lists_saboteur::center_changes(self.broken, &mut changes);
                    for change in &changes {
                        self.coverage.note("center commits", kind(change));
                    }
                    self.center.disk.write(ticket, changes);
                    let sync = self.rng.range(0, self.delays.sync);
                    self.after(sync, Due::CenterSync(life));
                    if self.broken == Some(Broken::CenterActsBeforeCommit) {
                        let now = self.clock();
                        if let Some(hub) = self.center.hub.as_mut() {
                            hub.handle(Event::Committed(ticket), now);
                        }
                    }
                }
                Action::Send { link, frames } => {
                    frames.stanzas().iter().for_each(|frame| self.send_down(link.0, frame.clone()));
                }
                Action::Close { link, condition, text } => {
                    self.coverage.note("center closes", condition.as_str());
                    let bye = ToGateway::Bye(Bye { condition, text });
                    self.send_down(link.0, encode::to_gateway(&bye).into());
                    self.center_closes(link.0);
                }
                Action::ReadLog { link, group, after, entries, bytes } => {
                    self.coverage.note("center reads", "log");
                    self.later(life, Read::Log { link, group, after, entries, bytes });
                }
                Action::ReadHashes { link, places } => self.later(life, Read::Hashes { link, places }),
                Action::ReadSources { group, gateway } => {
                    self.coverage.note("center reads", "sources");
                    self.later(life, Read::Sources { group, gateway });
                }
                Action::ReadList { reader, query } => {
                    self.coverage.note("center reads", "list");
                    self.later(life, Read::List { reader, query });
                }
                Action::Reply { .. } => {}
                other => unreachable!("nothing is shared here: {other:?}"),
            }
        }
        let next = self.center.hub.as_ref().and_then(Hub::next_timeout);
        if let Some(at) = next.filter(|at| self.center.timeout.is_none_or(|set| *at < set)) {
            self.center.timeout = Some(at);
            self.at(at.0, Due::CenterTimeout(life));
        }
    }

    fn later(&mut self, life: u64, read: Read) {
        let delay = self.rng.range(0, self.delays.sync);
        self.after(delay, Due::CenterRead(life, read));
    }
}

/// What a change is called in the coverage.
fn kind(change: &Change) -> &'static str {
    match change {
        Change::Enterprise(_) => "enterprise",
        Change::Gateway(_) => "gateway",
        Change::Enrolment(_) => "enrolment",
        Change::EnrolmentGone(_) => "enrolment gone",
        Change::Group(_) => "group",
        Change::Member(_) => "member",
        Change::Append(_) => "append",
        Change::Mark { .. } => "mark",
        Change::Refused { .. } => "refused",
        Change::Confirmed { .. } => "confirmed",
        Change::Fate(_) => "fate",
        Change::Trim { .. } => "trim",
    }
}
