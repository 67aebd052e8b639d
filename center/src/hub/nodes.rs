//! Several nodes over one store: what another node has changed is read anew, and what was decided without knowing it is decided
//! again.
//!
//! In: refused parts of commits, words of other nodes' commits, news. Out: reads of news, and everything that waited, decided in
//! the order in which it came. Nothing had left the node before its commit, so nothing is lost by deciding it again. Never here:
//! anything, while the store is not shared.
//!
//! A unit whose news are being read is *stale*: whatever would decide on it waits until they are there. `news` takes them in.

use std::collections::{BTreeMap, BTreeSet};

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{EnterpriseId, GatewayId, GroupNumber};
use intergroup_schemas::link::{Change as GroupChange, Confirm, Request, ResponseBody, Settled, Welcome};

use super::batch::{KnownEpochs, Part};
use super::event::{AdminId, AdminRequest, LinkId};
use super::group::{Group, Pending, Sources};
use super::link::Greeting;
use super::states::Ending;
use super::{Action, Hub};
use crate::store::shared::{Taken, Unit, Version};
use crate::store::{EnterpriseState, RecordKind};

/// What may come of a link while a unit is read anew: so many windows. One that keeps to its window sends no more than that, with
/// what it settles and confirms meanwhile.
const WAITING_WINDOWS: usize = 8;
/// Nodes of which a unit remembers how far they have come, at most.
const REMEMBERED: usize = 8;

/// What is decided on a unit, kept until the decision is on disk.
#[derive(Debug)]
pub(super) enum Intent {
    /// A message or an edit of a user list.
    Pending(LinkId, Pending),
    /// A gateway has decisions on disk.
    Confirm(GatewayId, Confirm),
    /// What became of messages at a member.
    Settled(LinkId, GatewayId, Settled),
    /// A request of a gateway.
    Request(LinkId, Request),
    /// A request of the operator or of the enrolment service.
    Admin(AdminId, AdminRequest),
    /// An enterprise is suspended, resumed or removed: a group is told, or the registry.
    State(EnterpriseId, EnterpriseState, AdminId),
    /// A certificate was shown.
    CertificateUsed(GatewayId, [u8; 32]),
    /// A link is to be judged by what the registry says now.
    Open(LinkId),
    /// A link that says hello needed to know the unit as it is now.
    Greet(LinkId),
    /// A unit whose news have come waits for the registry's.
    GoOn(Unit),
    /// Not now, but when the unit has been read once more.
    Again(Box<Intent>),
}

/// What is known of other nodes' doings.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// The random name of this life of the hub.
    pub(super) life: u64,
    registry: Seen,
    stale: BTreeMap<Unit, Stale>,
    /// Units of the commit under way that another node has changed, too.
    heard: BTreeMap<Unit, Version>,
    /// What needs news of a unit that is in the commit under way.
    later: Vec<(Unit, Intent)>,
    /// Enterprises that are suspended, resumed or removed now, step by step.
    pub(super) endings: Vec<Ending>,
    /// Gateways that have their link at another node.
    pub(super) elsewhere: BTreeSet<GatewayId>,
}

/// The version of a unit, and how far each node had come that changed it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) version: Version,
    latest: BTreeMap<u64, u64>,
}

#[derive(Debug, Default)]
struct Stale {
    waiting: Vec<Intent>,
    /// How much has come of each link since the read began.
    of_link: BTreeMap<LinkId, usize>,
    /// The last version heard of since the read began.
    heard: Option<Version>,
}

impl Seen {
    pub(super) fn of(version: Version) -> Self {
        let mut seen = Self::default();
        seen.note(version);
        seen
    }

    fn note(&mut self, version: Version) {
        self.version = version;
        let (life, number) = version.parts();
        if self.latest.len() >= REMEMBERED && !self.latest.contains_key(&life) {
            self.latest.clear();
        }
        self.latest.insert(life, number);
    }

    /// Whether a version is this one, or one that came before.
    fn has(&self, version: Version) -> bool {
        let (life, number) = version.parts();
        version == Version::default() || self.latest.get(&life).is_some_and(|latest| *latest >= number)
    }
}

impl Nodes {
    pub(super) fn saw_registry(&mut self, version: Version) {
        self.registry = Seen::of(version);
    }

    pub(super) fn is_stale(&self, unit: Unit) -> bool {
        self.stale.contains_key(&unit)
    }
}

impl Hub {
    fn seen(&mut self, unit: Unit) -> Option<&mut Seen> {
        match unit {
            Unit::Registry => Some(&mut self.nodes.registry),
            Unit::Group(number) => self.groups.get_mut(&number).map(|group| &mut group.seen),
        }
    }

    /// The version that decisions on a unit are based on.
    pub(super) fn version_of(&self, unit: Unit) -> Version {
        match unit {
            Unit::Registry => self.nodes.registry.version,
            Unit::Group(number) => self.groups.get(&number).map(|group| group.seen.version).unwrap_or_default(),
        }
    }

    pub(super) fn has_version(&mut self, unit: Unit, version: Version) {
        if let Some(seen) = self.seen(unit) {
            seen.note(version);
        }
    }

    /// Whether nothing may be decided on a unit now.
    pub(super) fn is_stale(&self, unit: Unit) -> bool {
        self.nodes.is_stale(unit)
    }

    pub(super) fn is_stale_group(&self, number: GroupNumber) -> bool {
        self.is_stale(Unit::Group(number))
    }

    // ------------------------------------------------------------ deciding, now or later

    /// Decides now, or when the unit's news have come.
    pub(super) fn act(&mut self, unit: Unit, intent: Intent) {
        let Some(stale) = self.nodes.stale.get_mut(&unit) else { return self.perform(unit, intent) };
        let link = match &intent {
            Intent::Pending(link, _) | Intent::Settled(link, ..) | Intent::Request(link, _) => Some(*link),
            Intent::Confirm(gateway, _) => self.online.get(gateway).copied(),
            _ => None,
        };
        if let Some(link) = link {
            let waiting = stale.of_link.entry(link).or_default();
            *waiting += 1;
            if *waiting > WAITING_WINDOWS * self.config.relay_window as usize {
                return self.close(link, Condition::OverLimit, "more than the window allows waits for the store");
            }
        }
        stale.waiting.push(intent);
    }

    fn perform(&mut self, unit: Unit, intent: Intent) {
        match (unit, intent) {
            (Unit::Group(number), Intent::Pending(link, pending)) => self.pending(link, number, pending),
            (_, Intent::Confirm(gateway, confirm)) => self.confirm(&gateway, confirm),
            (_, Intent::Settled(link, gateway, settled)) => self.settled(link, &gateway, settled),
            (_, Intent::Request(link, request)) => self.request_now(link, request, true),
            (_, Intent::Admin(id, request)) => self.admin_now(id, request),
            (unit, Intent::State(enterprise, state, id)) => self.state_now(unit, enterprise, state, id),
            (_, Intent::CertificateUsed(gateway, certificate)) => self.certificate_used(&gateway, &certificate),
            (_, Intent::Open(link)) => self.judge_link(link),
            (_, Intent::Greet(link)) => self.greet(link),
            (_, Intent::GoOn(unit)) => self.go_on(unit),
            (unit, Intent::Again(intent)) => self.when_fresh(unit, *intent),
            (Unit::Registry, Intent::Pending(..)) => {}
        }
    }

    /// Decides on a unit as it is now or later, not as it was some time ago.
    pub(super) fn when_fresh(&mut self, unit: Unit, intent: Intent) {
        if !self.config.shared {
            return self.perform(unit, intent);
        }
        if let Some(stale) = self.nodes.stale.get_mut(&unit) {
            // The read under way may have begun too early.
            stale.waiting.push(Intent::Again(Box::new(intent)));
        } else if self.is_flying(unit) {
            self.nodes.later.push((unit, intent));
        } else {
            self.refresh(unit);
            self.act(unit, intent);
        }
    }

    /// Whether a unit is read anew, or will be as soon as it can be.
    pub(super) fn is_in_doubt(&self, unit: Unit) -> bool {
        self.is_stale(unit) || self.nodes.later.iter().any(|(later, _)| *later == unit)
    }

    /// Keeps what was decided on until the decision is on disk; only where it may be refused.
    pub(super) fn keep(&mut self, unit: Unit, intent: Intent) {
        if self.config.shared {
            self.batch.part(unit).intents.push(intent);
        }
    }

    pub(super) fn is_flying(&self, unit: Unit) -> bool {
        self.flying.as_ref().is_some_and(|(_, flying)| flying.parts.contains_key(&unit))
    }

    // ------------------------------------------------------------ reading anew

    /// Another node has changed a unit.
    pub(super) fn changed(&mut self, unit: Unit, version: Version) {
        if self.seen(unit).is_some_and(|seen| seen.has(version)) {
            return;
        }
        if let Some(stale) = self.nodes.stale.get_mut(&unit) {
            stale.heard = Some(version);
        } else if self.is_flying(unit) {
            self.nodes.heard.insert(unit, version);
        } else {
            self.refresh(unit);
        }
    }

    /// Reads a unit anew that is in no commit under way.
    pub(super) fn refresh(&mut self, unit: Unit) {
        let part = self.batch.parts.remove(&unit);
        let had = part.is_some();
        self.block(unit, part.unwrap_or_default(), Part::default());
        if had {
            let (welcomes, answers) =
                (std::mem::take(&mut self.batch.welcomes), std::mem::take(&mut self.batch.answers));
            self.say_again(unit, welcomes, answers);
        }
    }

    /// A part of a commit was refused: what it was based on is no longer so.
    pub(super) fn refused(&mut self, unit: Unit, part: Part) {
        self.counters.conflicts += 1;
        let next = self.batch.parts.remove(&unit).unwrap_or_default();
        self.nodes.heard.remove(&unit);
        self.block(unit, part, next);
    }

    fn block(&mut self, unit: Unit, part: Part, next: Part) {
        let trims = part.trims || next.trims;
        let mut waiting = part.intents;
        waiting.extend(next.intents);
        if let Unit::Group(number) = unit
            && let Some(group) = self.groups.get_mut(&number)
        {
            // What waits for a gateway's sources came behind all of that.
            for sources in group.sources.values_mut() {
                if let Sources::Loading { waiting: for_sources, .. } = sources {
                    waiting.extend(for_sources.drain(..).map(|(link, pending)| Intent::Pending(link, pending)));
                }
            }
        }
        self.nodes.stale.insert(unit, Stale { waiting, ..Stale::default() });
        let known = match unit {
            Unit::Registry => None,
            Unit::Group(number) => {
                let group = self.groups.get(&number).filter(|group| !trims && !group.has_open_edits());
                group.map(|group| (group.committed, group.committed_hash))
            }
        };
        self.actions.push_back(Action::ReadNews { unit, known });
    }

    /// What was to be said when all was on disk is thought over when the unit is known again.
    pub(super) fn say_again(
        &mut self,
        unit: Unit,
        welcomes: Vec<(LinkId, Welcome, KnownEpochs)>,
        answers: Vec<(LinkId, Request, ResponseBody)>,
    ) {
        for (id, ..) in welcomes {
            if let Some(link) = self.links.get_mut(&id) {
                link.waits += 1;
                link.greeting = match std::mem::take(&mut link.greeting) {
                    Greeting::Writing(Some(hello)) => Greeting::Refreshing(hello),
                    other => other,
                };
            }
            self.act(unit, Intent::Greet(id));
        }
        for (link, request, _) in answers {
            self.act(unit, Intent::Request(link, request));
        }
    }

    /// What waited for a unit that is known again is decided, in order.
    pub(super) fn go_on(&mut self, unit: Unit) {
        let Some(Stale { waiting, heard, .. }) = self.nodes.stale.remove(&unit) else { return };
        for intent in waiting {
            self.act(unit, intent);
        }
        // What is decided now tries its commit first: it may be in time, and others must not hold it up for ever.
        if let Some(version) = heard
            && !self.batch.parts.contains_key(&unit)
        {
            self.changed(unit, version);
        }
    }

    /// What was heard while a commit was under way.
    pub(super) fn after_flight(&mut self, version: Version) {
        for (unit, heard) in std::mem::take(&mut self.nodes.heard) {
            if heard != version {
                self.changed(unit, heard);
            }
        }
        for (unit, intent) in std::mem::take(&mut self.nodes.later) {
            self.when_fresh(unit, intent);
        }
    }

    // ------------------------------------------------------------ links

    /// A gateway's link is its newest, at whichever node.
    pub(super) fn taken_elsewhere(&mut self, gateway: &GatewayId, generation: u64) {
        let Some(id) = self.online.get(gateway).copied() else { return };
        let Some(link) = self.links.get_mut(&id) else { return };
        link.newest = link.newest.max(generation);
        if link.generation.is_some_and(|own| own < link.newest) {
            self.close(id, Condition::Replaced, Condition::Replaced.admin_text());
        }
    }

    /// This node has the gateway's link. Its groups must be known as they are now before what it remembers is compared.
    pub(super) fn taken(&mut self, id: LinkId, Taken { generation, before }: Taken, versions: &[(Unit, Version)]) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Greeting::Taking(hello) = std::mem::take(&mut link.greeting) else { return };
        link.greeting = Greeting::Refreshing(hello);
        link.generation = Some(generation);
        if generation < link.newest {
            return self.close(id, Condition::Replaced, Condition::Replaced.admin_text());
        }
        link.before = before.into_iter().collect();
        link.waits = 1;
        for (unit, version) in versions {
            let known = self.version_of(*unit) == *version && !self.is_stale(*unit) && !self.is_flying(*unit);
            if !known {
                self.wait_for(id, *unit);
            }
        }
        self.greet(id);
    }

    /// A hello waits until a unit is known as it is now.
    pub(super) fn wait_for(&mut self, id: LinkId, unit: Unit) {
        if let Some(link) = self.links.get_mut(&id) {
            link.waits += 1;
        }
        self.when_fresh(unit, Intent::Greet(id));
    }

    /// One thing less that a hello waits for.
    fn greet(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.waits = link.waits.saturating_sub(1);
        if link.waits > 0 {
            return;
        }
        match std::mem::take(&mut link.greeting) {
            Greeting::Refreshing(hello) => self.compare(id, hello),
            other => link.greeting = other,
        }
    }
}

impl Group {
    /// Whether the user list has changes that are not on disk: they cannot be taken back one by one.
    fn has_open_edits(&self) -> bool {
        let open = self.tail.iter().rev().take_while(|record| record.seq > self.committed);
        open.into_iter().any(|record| {
            matches!(&record.kind, RecordKind::Change(GroupChange::Listed { .. } | GroupChange::Unlisted { .. }))
        })
    }
}
