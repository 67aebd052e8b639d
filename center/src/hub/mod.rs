//! The core of the center: decides what is stored, in which order, and who gets it.
//!
//! In: an [`Event`] and the time. Out: [`Action`]s, to be performed in order. Nothing that depends on a change leaves before
//! `Committed` says that the change is on disk. Never here: sockets, disks, clocks, randomness, and any look at what people say.
//!
//! Start reading at [`Hub::handle`]; then `pace` (whose turn it is), `intake` (what gateways send), `stream` (what they
//! get) and `run` (many of it at once), `control` and `admin` (requests), `lists` (who is in a group, and what it says of
//! itself), `batch` (one commit for all that came meanwhile), `retention`; and `nodes` (other nodes that share the store).

mod action;
mod admin;
mod batch;
mod control;
mod event;
mod group;
mod hello;
mod intake;
mod link;
mod lists;
mod news;
mod nodes;
mod pace;
mod retention;
mod run;
mod states;
pub mod status;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{EnterpriseId, GatewayId, GroupNumber, Incarnation};
use intergroup_schemas::limits;
use intergroup_schemas::link::{Timestamp, ToGateway, encode};
use intergroup_schemas::rate::Rate;
use ring::digest;

pub use action::{Action, AdminReply, Frames};
pub use event::{AdminId, AdminRequest, Event, LinkId, Proof, Reader, Ticket};
pub use run::Run;

use crate::store::shared::Unit;
use crate::store::{Enrolment, Enterprise, EnterpriseState, Gateway, Snapshot};
use batch::Batch;
use group::{Group, Pending, Sources};
use link::Link;
use nodes::{Nodes, Seen};
use pace::Pace;
use status::Counters;

/// How often how far members have come is kept and told to the others, in milliseconds.
const PROGRESS_EVERY_MS: i64 = 1000;

/// What an enterprise may send: far more than its people say, so that a backlog passes in seconds; far less than the center
/// carries, so that no enterprise has it for itself.
pub const ENTERPRISE_RATE: Rate = Rate { per_second: 5_000, burst: 20_000 };
/// What all may send to one group.
pub const GROUP_RATE: Rate = Rate { per_second: 2_000, burst: 10_000 };

/// What the hub may be told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Entries older than this many milliseconds may go.
    pub retention_age_ms: i64,
    /// A group keeps at most so many bytes of messages.
    pub retention_bytes: u64,
    /// Bytes of recent messages held in memory for all groups together; who is further behind reads from the store.
    pub cache_bytes: usize,
    /// Most unsettled entries of one group at one gateway.
    pub window: u32,
    /// Most stream stanzas on their way to a gateway without credit.
    pub credit: u32,
    /// Most relayed but undecided messages of one gateway in one group; a gateway must not have a larger one.
    pub relay_window: u32,
    /// What comes faster from one enterprise waits its turn.
    pub enterprise_rate: Rate,
    /// What comes faster to one group waits its turn.
    pub group_rate: Rate,
    /// Other nodes share the store.
    pub shared: bool,
    /// Fresh random bytes of this process, from which the names of incarnations are derived.
    pub entropy: [u8; 32],
}

impl Default for Config {
    fn default() -> Self {
        Self {
            retention_age_ms: 30 * 24 * 3600 * 1000,
            retention_bytes: 1024 * 1024 * 1024,
            cache_bytes: 16 * 1024 * 1024,
            window: limits::GROUP_WINDOW,
            credit: limits::LINK_CREDIT,
            relay_window: limits::RELAY_WINDOW,
            enterprise_rate: ENTERPRISE_RATE,
            group_rate: GROUP_RATE,
            shared: false,
            entropy: [0; 32],
        }
    }
}

/// All of a snapshot that belongs into groups which have been loaded.
fn load_into(groups: &mut BTreeMap<GroupNumber, Group>, snapshot: Snapshot) {
    for member in snapshot.members {
        if let Some(group) = groups.get_mut(&member.group) {
            group.members.insert(member.gateway.clone(), member);
        }
    }
    for (number, gateway, epoch, n) in snapshot.marks {
        if let Some(group) = groups.get_mut(&number) {
            let mark = group.mark(&gateway, &epoch);
            (mark.given, mark.committed) = (n, n);
        }
    }
    for (number, gateway, epoch, n, condition) in snapshot.refusals {
        if let Some(group) = groups.get_mut(&number) {
            group.mark(&gateway, &epoch).refused.insert(n, condition);
        }
    }
    for fate in snapshot.fates {
        if let Some(group) = groups.get_mut(&fate.group) {
            group.fates.insert((fate.member.clone(), fate.seq), fate);
        }
    }
    for part in snapshot.parts {
        if let Some(group) = groups.get_mut(&part.group) {
            group.roster.begin(&part.enterprise);
            for (key, row, role) in part.accounts {
                group.roster.put(&part.enterprise, key, Some((row, role)));
            }
        }
    }
    for group in groups.values_mut() {
        group.doubt_epochs();
    }
}

/// The hub.
#[derive(Debug)]
pub struct Hub {
    config: Config,
    enterprises: BTreeMap<EnterpriseId, Enterprise>,
    gateways: BTreeMap<GatewayId, Gateway>,
    enrolments: BTreeMap<[u8; 32], Enrolment>,
    groups: BTreeMap<GroupNumber, Group>,
    links: BTreeMap<LinkId, Link>,
    pace: Pace,
    online: BTreeMap<GatewayId, LinkId>,
    /// What has come since the last commit began.
    batch: Batch,
    /// The commit that is under way.
    flying: Option<(Ticket, Batch)>,
    tickets: u64,
    incarnations: u64,
    cached_bytes: usize,
    /// Members that came further since that was last kept and told.
    progress: BTreeSet<(GroupNumber, GatewayId)>,
    progress_at: Option<Timestamp>,
    expire_at: Option<Timestamp>,
    actions: VecDeque<Action>,
    counters: Counters,
    now: Timestamp,
    nodes: Nodes,
}

impl Hub {
    /// A hub that goes on from what is on disk.
    #[must_use]
    pub fn new(snapshot: Snapshot, config: Config) -> Self {
        let mut groups: BTreeMap<_, _> =
            snapshot.groups.iter().cloned().map(|state| (state.group.number, Group::load(state))).collect();
        let life = config.entropy.first_chunk().copied().map_or(0, u64::from_le_bytes);
        let mut nodes = Nodes::default();
        nodes.life = life;
        for (unit, version) in &snapshot.versions {
            match unit {
                Unit::Registry => nodes.saw_registry(*version),
                Unit::Group(number) => {
                    groups.entry(*number).and_modify(|group: &mut Group| group.seen = Seen::of(*version));
                }
            }
        }
        let Snapshot { enterprises, gateways, enrolments, .. } = &snapshot;
        let (enterprises, gateways, enrolments) = (enterprises.clone(), gateways.clone(), enrolments.clone());
        load_into(&mut groups, snapshot);
        Self {
            config,
            enterprises: enterprises.into_iter().map(|e| (e.id.clone(), e)).collect(),
            gateways: gateways.into_iter().map(|g| (g.id.clone(), g)).collect(),
            enrolments: enrolments.into_iter().map(|e| (e.secret, e)).collect(),
            groups,
            links: BTreeMap::new(),
            pace: Pace::default(),
            online: BTreeMap::new(),
            batch: Batch::default(),
            flying: None,
            tickets: 0,
            incarnations: 0,
            cached_bytes: 0,
            progress: BTreeSet::new(),
            progress_at: None,
            expire_at: None,
            actions: VecDeque::new(),
            counters: Counters::default(),
            now: Timestamp(0),
            nodes,
        }
    }

    /// Takes in one event. `now` never goes back.
    pub fn handle(&mut self, event: Event, now: Timestamp) {
        self.now = self.now.max(now);
        self.expire_at.get_or_insert(self.now);
        // Not only by the timer: who is busy with others must not keep anybody waiting beyond his turn.
        self.pace_if_due();
        match event {
            Event::LinkOpened { link, gateway, certificate } => self.link_opened(link, gateway, certificate),
            Event::LinkClosed { link } => self.link_closed(link),
            Event::LinkBroken { link, condition, text } => {
                self.count_refusal(condition);
                self.close(link, condition, text);
            }
            Event::Stanza { link, stanza } => self.stanza(link, stanza),
            Event::BadRelay { link, group, epoch, n, condition } => {
                self.paced(link, group, Pending::Bad(epoch, n, condition));
            }
            Event::Committed(ticket) => self.committed(ticket, &[]),
            Event::CommittedInPart(ticket, refused) => self.committed(ticket, &refused),
            Event::News { unit, news } => self.news(unit, *news),
            Event::Versions(versions) => versions.into_iter().for_each(|(unit, version)| self.changed(unit, version)),
            Event::Taken { link, taken, versions } => self.taken(link, taken, &versions),
            Event::TakenElsewhere { gateway, generation } => self.taken_elsewhere(&gateway, generation),
            Event::Elsewhere(gateways) => self.nodes.elsewhere = gateways,
            Event::Log { link: LinkId::HUB, group, after, records } => self.expiring_read(group, after, &records),
            Event::Log { link, group, after, records } => self.log_read(link, group, after, &records),
            Event::Hashes { link, hashes } => self.hashes_read(link, &hashes),
            Event::Sources { group, gateway, sources } => self.sources_read(group, &gateway, sources),
            Event::List { reader, group, page } => self.list_read(reader, group, page),
            Event::Admin { id, request } => self.admin(id, request),
        }
    }

    /// Does what is due. Call it when [`Hub::next_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if self.progress_at.is_some_and(|at| at <= self.now) {
            self.progress_at = None;
            for (number, gateway) in std::mem::take(&mut self.progress) {
                if self.is_stale_group(number) {
                    self.progress.insert((number, gateway));
                    self.progress_at = Some(Timestamp(self.now.0 + PROGRESS_EVERY_MS));
                } else if self.groups.contains_key(&number) {
                    self.batch.group(number).members.insert(gateway);
                }
            }
        }
        self.pace_if_due();
        self.expire_if_due();
    }

    /// The gateways that have their link here; where nodes share the store, with which of their links it is.
    pub fn online(&self) -> impl Iterator<Item = (&GatewayId, u64)> {
        let generation = |id: &LinkId| self.links.get(id).and_then(|link| link.generation).unwrap_or_default();
        self.online.iter().map(move |(gateway, id)| (gateway, generation(id)))
    }

    /// When [`Hub::handle_timeout`] is to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Timestamp> {
        [self.progress_at, self.expire_at, self.pace.deadline()].into_iter().flatten().min()
    }

    /// What to do next. Call it until it has nothing more to say; a commit is proposed last, so that everything that came
    /// before shares it.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front().or_else(|| self.begin_commit())
    }

    /// The gateways' certificates and states, for those who must judge a connection before there is a link.
    fn refusal_of(&self, gateway: &GatewayId, certificate: &[u8; 32]) -> Option<Condition> {
        match self.barred(&gateway.enterprise) {
            Some(EnterpriseState::Active) => {}
            Some(EnterpriseState::Suspended) => return Some(Condition::Suspended),
            Some(EnterpriseState::Removed) => return Some(Condition::Removed),
            None => return Some(Condition::BadCertificate),
        }
        let known = self.gateways.get(gateway);
        let good = known.is_some_and(|g| g.certificate == *certificate || g.previous.as_ref() == Some(certificate));
        if good { None } else { Some(Condition::BadCertificate) }
    }

    /// A gateway's link, once it has been welcomed: before that nothing else is said on it.
    fn listening(&self, gateway: &GatewayId) -> Option<LinkId> {
        self.online.get(gateway).copied().filter(|link| self.links.get(link).is_some_and(Link::is_greeted))
    }

    fn send(&mut self, link: LinkId, stanza: &ToGateway) {
        self.actions.push_back(Action::Send { link, frames: Frames::One(encode::to_gateway(stanza).into()) });
    }

    fn close(&mut self, link: LinkId, condition: Condition, text: impl Into<String>) {
        if self.forget_link(link) {
            *self.counters.closed.entry(condition.as_str().to_owned()).or_default() += 1;
            self.actions.push_back(Action::Close { link, condition, text: text.into() });
        }
    }

    /// Says whether there was such a link.
    fn forget_link(&mut self, link: LinkId) -> bool {
        let Some(gone) = self.links.remove(&link) else { return false };
        self.pace.forget(link);
        if self.online.get(&gone.gateway) == Some(&link) {
            self.online.remove(&gone.gateway);
        }
        for group in self.groups.values_mut() {
            match group.sources.get_mut(&gone.gateway) {
                // What was not judged will be sent again.
                Some(Sources::Loading { waiting, .. }) => waiting.retain(|(from, _)| *from != link),
                // Read anew if it is ever needed again.
                Some(Sources::Known(_)) => drop(group.sources.remove(&gone.gateway)),
                None => {}
            }
        }
        true
    }

    /// Whether a gateway's link is up, at whichever node.
    fn is_online(&self, gateway: &GatewayId) -> bool {
        self.online.contains_key(gateway) || self.nodes.elsewhere.contains(gateway)
    }

    fn count_refusal(&mut self, condition: Condition) {
        *self.counters.refused.entry(condition.as_str().to_owned()).or_default() += 1;
    }

    /// A name for a new life of a log, that no other process and no other call gives.
    fn new_incarnation(&mut self) -> Incarnation {
        self.incarnations += 1;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.config.entropy);
        context.update(&self.incarnations.to_be_bytes());
        let name: String = context.finish().as_ref()[..12]
            .iter()
            .map(|b| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[usize::from(b % 32)]))
            .collect();
        name.parse().expect("12 letters and digits are an incarnation")
    }
}
