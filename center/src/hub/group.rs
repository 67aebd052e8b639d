//! One group: its log's end, its members, and how far each gateway's numbers have come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::history::{self, Identity};
use intergroup_schemas::ids::{
    EnterpriseId, Epoch, GatewayId, HistoryHash, Incarnation, ListDigest, ListVersion, N, OriginKey, Seq,
};
use intergroup_schemas::limits;
use intergroup_schemas::link::{Change, Edit, Relay, Timestamp};
use intergroup_schemas::list::Roster;

use crate::hub::event::LinkId;
use crate::hub::nodes::Seen;
use crate::hub::run::{Stretch, stretches};
use crate::store::{self, Fate, GroupState, MILESTONE, Member, Milestone, Record, RecordKind};

/// How far a group has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) seq: Seq,
    pub(super) hash: HistoryHash,
    pub(super) list: ListVersion,
    pub(super) digest: ListDigest,
}

/// A group in memory. Seqs up to `committed` are on disk; those up to `head` have been given.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) meta: store::Group,
    pub(super) floor: Seq,
    pub(super) floor_hash: HistoryHash,
    pub(super) head: Seq,
    pub(super) head_hash: HistoryHash,
    pub(super) committed: Seq,
    pub(super) committed_hash: HistoryHash,
    /// The list version there, and the digest of the user list.
    pub(super) committed_list: (ListVersion, ListDigest),
    pub(super) bytes: u64,
    pub(super) milestones: VecDeque<Milestone>,
    /// The log's last entries, contiguous up to `head`.
    pub(super) tail: VecDeque<Record>,
    pub(super) tail_bytes: usize,
    /// The entries of the commit that has just returned, in runs.
    pub(super) fresh: Vec<Stretch>,
    pub(super) members: BTreeMap<GatewayId, Member>,
    /// Who may speak, as of `head`.
    pub(super) roster: Roster,
    marks: Marks,
    /// Who gave out an epoch.
    origins: BTreeMap<Epoch, GatewayId>,
    pub(super) sources: BTreeMap<GatewayId, Sources>,
    pub(super) fates: BTreeMap<(GatewayId, Seq), Fate>,
    pub(super) expiring: Option<Expiring>,
    /// Which run of each gateway named the group in its last hello.
    pub(super) runs: BTreeMap<GatewayId, Incarnation>,
    /// What the last cut took is not told yet: the next cut would take that away.
    pub(super) untold: bool,
    /// The version of what is on disk, where nodes share it.
    pub(super) seen: Seen,
}

/// The log's beginning is to go; what members have not been sent of it is being read.
#[derive(Debug)]
pub(super) struct Expiring {
    pub(super) cut: Milestone,
    pub(super) fates: Vec<Fate>,
}

/// How far one gateway's numbers of one epoch have come.
#[derive(Debug, Default)]
pub(super) struct Mark {
    pub(super) given: N,
    /// What the commit under way will make durable.
    pub(super) flying: N,
    pub(super) committed: N,
    /// The next commit writes it.
    pub(super) dirty: bool,
    pub(super) refused: BTreeMap<N, Condition>,
    /// The sources of the last messages, by which an n that is given twice is told from a repeat.
    recent: VecDeque<(N, Source)>,
    /// The gateway had another epoch before: it may send again, under other numbers, what is in the log already.
    pub(super) fresh: bool,
}

/// The source of a message that was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Known(Option<u64>),
    /// Another node has decided it, and what it was is not in the log.
    Elsewhere,
}

impl Mark {
    pub(super) fn note(&mut self, n: N, source: Option<u64>) {
        self.given = n;
        self.remember(n, Source::Known(source));
    }

    fn remember(&mut self, n: N, source: Source) {
        self.recent.push_back((n, source));
        if self.recent.len() > 2 * limits::RELAY_WINDOW as usize {
            self.recent.pop_front();
        }
    }

    /// Whether n was given to a message with another source. Of an n so old that its source is no longer known it is
    /// assumed: welcome and decisions tell a gateway how far it has come, so only a copy or an old backup repeats such an n;
    /// and what it sends again under a new epoch is recognised by its source.
    pub(super) fn forks(&self, n: N, source: Option<u64>) -> bool {
        let known = self.recent.iter().rev().find(|(known, _)| *known == n);
        known.is_none_or(|(_, before)| *before != Source::Elsewhere && *before != Source::Known(source))
    }

    /// What was known of a mark that another node has moved, with the sources of its messages in the log.
    fn moved(&mut self, old: Mark, sources: &BTreeMap<N, Option<u64>>) {
        self.recent = old.recent;
        self.recent.retain(|(n, _)| *n <= old.committed);
        let oldest = self.given.0.saturating_sub(2 * u64::from(limits::RELAY_WINDOW));
        for n in (old.committed.0.max(oldest) + 1..=self.given.0).map(N) {
            let source = sources.get(&n).map_or(Source::Elsewhere, |source| Source::Known(*source));
            self.remember(n, source);
        }
    }
}

/// What cannot be judged yet: it waits for its turn, or until the gateway's sources are known.
#[derive(Debug)]
pub(super) enum Pending {
    /// A message.
    Relay(Relay),
    /// An edit of the user list.
    Edit(Edit),
    /// One whose payload is not sound.
    Bad(Epoch, N, Condition),
}

impl Pending {
    pub(super) fn epoch(&self) -> &Epoch {
        match self {
            Pending::Relay(relay) => &relay.epoch,
            Pending::Edit(edit) => &edit.epoch,
            Pending::Bad(epoch, _, _) => epoch,
        }
    }

    pub(super) fn n(&self) -> N {
        match self {
            Pending::Relay(relay) => relay.n,
            Pending::Edit(edit) => edit.n,
            Pending::Bad(_, n, _) => *n,
        }
    }
}

/// The sources of a gateway's messages, needed only where it has begun a new epoch.
#[derive(Debug)]
pub(super) enum Sources {
    /// Being read.
    Loading {
        /// What has come meanwhile, in order.
        waiting: Vec<(LinkId, Pending)>,
        /// Sources of what was stored meanwhile, and of what was not yet on disk when reading began.
        meanwhile: BTreeSet<u64>,
        /// Not to be trusted: another node has changed the group since.
        again: bool,
    },
    /// All of them.
    Known(BTreeSet<u64>),
}

type Marks = BTreeMap<GatewayId, BTreeMap<Epoch, Mark>>;

impl Group {
    pub(super) fn new(meta: store::Group) -> Self {
        Self::load(GroupState {
            group: meta,
            floor: Seq(0),
            floor_hash: HistoryHash::default(),
            head: Seq(0),
            head_hash: HistoryHash::default(),
            milestones: Vec::new(),
            bytes: 0,
        })
    }

    pub(super) fn load(state: GroupState) -> Self {
        let committed_list = (state.group.list, state.group.digest);
        Self {
            meta: state.group,
            floor: state.floor,
            floor_hash: state.floor_hash,
            head: state.head,
            head_hash: state.head_hash,
            committed: state.head,
            committed_hash: state.head_hash,
            committed_list,
            bytes: state.bytes,
            milestones: state.milestones.into(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            fresh: Vec::new(),
            members: BTreeMap::new(),
            roster: Roster::default(),
            marks: BTreeMap::new(),
            origins: BTreeMap::new(),
            sources: BTreeMap::new(),
            fates: BTreeMap::new(),
            expiring: None,
            runs: BTreeMap::new(),
            untold: false,
            seen: Seen::default(),
        }
    }

    /// Gives the next place to a message or a change.
    pub(super) fn append(&mut self, kind: RecordKind, list: ListVersion, now: Timestamp) -> Record {
        let seq = self.head.next();
        let identity = match &kind {
            RecordKind::Message { origin, key, .. } => Identity::Message(&origin.enterprise, key),
            RecordKind::Change(change) => Identity::Change(change),
        };
        let hash = history::advance(self.head_hash, seq, identity);
        let record = Record { group: self.meta.number, seq, hash, stored: now, list, kind };
        self.head = seq;
        self.head_hash = hash;
        self.bytes += record.bytes();
        if seq.0.is_multiple_of(MILESTONE) {
            self.milestones.push_back(Milestone { seq, hash, stored: now, bytes: self.bytes });
        }
        self.tail_bytes += cost(&record);
        self.tail.push_back(record.clone());
        record
    }

    /// A change makes a new list version.
    pub(super) fn change(&mut self, change: Change, now: Timestamp) -> Record {
        self.meta.list = ListVersion(self.meta.list.0 + 1);
        self.append(RecordKind::Change(change), self.meta.list, now)
    }

    /// The entry that was given last, with the user list there.
    pub(super) fn newest(&self) -> Head {
        Head { seq: self.head, hash: self.head_hash, list: self.meta.list, digest: self.meta.digest }
    }

    /// Everything up to there is on disk.
    pub(super) fn commit(&mut self, head: Head) {
        let new = (self.committed.next().0..=head.seq.0).map_while(|seq| self.cached(Seq(seq)));
        self.fresh = stretches(new);
        self.committed_list = (head.list, head.digest);
        self.committed = head.seq;
        self.committed_hash = head.hash;
    }

    /// The run that begins at a place, of those that have just come on disk.
    pub(super) fn fresh_at(&self, seq: Seq) -> Option<&Stretch> {
        self.fresh.binary_search_by_key(&seq, |stretch| stretch.first).ok().and_then(|at| self.fresh.get(at))
    }

    /// A change of the user list itself: its digest is that of the roster, which has it already.
    pub(super) fn list_change(&mut self) {
        self.meta.digest = self.roster.digest();
        self.meta.accounts = self.roster.len() as u64;
    }

    /// The entry at a place, where memory has it.
    pub(super) fn cached(&self, seq: Seq) -> Option<&Record> {
        let first = self.tail.front()?.seq;
        self.tail.get(usize::try_from(seq.0.checked_sub(first.0)?).ok()?)
    }

    /// Forgets the oldest committed entry that memory holds; says how many bytes that gave.
    pub(super) fn forget_oldest(&mut self) -> usize {
        match self.tail.front() {
            Some(record) if record.seq <= self.committed => {
                let freed = cost(record);
                self.tail.pop_front();
                self.tail_bytes -= freed;
                freed
            }
            _ => 0,
        }
    }

    pub(super) fn is_member(&self, gateway: &GatewayId) -> bool {
        self.members.get(gateway).is_some_and(|m| m.until.is_none())
    }

    /// Whether an enterprise may join.
    pub(super) fn may_join(&self, enterprise: &EnterpriseId) -> bool {
        self.meta.owner == *enterprise || self.meta.allowed.contains(enterprise)
    }

    /// Whether an enterprise may know of the group.
    pub(super) fn concerns(&self, enterprise: &EnterpriseId) -> bool {
        self.may_join(enterprise) || self.members.keys().any(|m| m.enterprise == *enterprise)
    }

    /// Whether an enterprise is a member now.
    pub(super) fn has_present(&self, enterprise: &EnterpriseId) -> bool {
        self.members.values().any(|m| m.until.is_none() && m.gateway.enterprise == *enterprise)
    }

    /// Whether anything changes here when an enterprise is removed.
    pub(super) fn concerns_removal_of(&self, enterprise: &EnterpriseId) -> bool {
        self.has_present(enterprise) || (self.meta.owner == *enterprise && !self.meta.deleted)
    }

    /// The gateway that gave out an epoch.
    pub(super) fn gateway_of(&self, key: &OriginKey) -> Option<&GatewayId> {
        self.origins.get(&key.epoch)
    }

    /// The mark of a gateway's epoch, if there is one.
    pub(super) fn known_mark(&mut self, gateway: &GatewayId, epoch: &Epoch) -> Option<&mut Mark> {
        self.marks.get_mut(gateway)?.get_mut(epoch)
    }

    /// The last n decided in an epoch and on disk.
    pub(super) fn decided(&self, gateway: &GatewayId, epoch: &Epoch) -> N {
        self.marks.get(gateway).and_then(|m| m.get(epoch)).map_or(N(0), |m| m.committed)
    }

    /// The mark of a gateway's epoch, made when it is new.
    pub(super) fn mark(&mut self, gateway: &GatewayId, epoch: &Epoch) -> &mut Mark {
        if !self.marks.contains_key(gateway) {
            self.marks.insert(gateway.clone(), BTreeMap::new());
        }
        let of_gateway = self.marks.get_mut(gateway).expect("it was just made");
        if !of_gateway.contains_key(epoch) {
            self.origins.entry(epoch.clone()).or_insert_with(|| gateway.clone());
            let fresh = !of_gateway.is_empty();
            // Two copies of a store may both be at work: the older epoch may repeat what the newer one said, too.
            of_gateway.values_mut().for_each(|mark| mark.fresh = true);
            of_gateway.insert(epoch.clone(), Mark { fresh, ..Mark::default() });
        }
        of_gateway.get_mut(epoch).expect("it was just made")
    }

    /// The next n of an epoch, behind what waits for the gateway's sources.
    pub(super) fn expected(&mut self, gateway: &GatewayId, epoch: &Epoch) -> N {
        let waiting = match self.sources.get(gateway) {
            Some(Sources::Loading { waiting, .. }) => waiting.iter().filter(|(_, p)| p.epoch() == epoch).count() as u64,
            _ => 0,
        };
        N(self.mark(gateway, epoch).given.0 + waiting + 1)
    }

    /// The marks, which are about to be loaded anew.
    pub(super) fn take_marks(&mut self) -> Marks {
        self.origins.clear();
        std::mem::take(&mut self.marks)
    }

    /// Keeps what was known of marks that were loaded anew behind some entries; says no where one has gone back.
    pub(super) fn keep_marks(&mut self, old: Marks, records: &[Record]) -> bool {
        let mut sources: BTreeMap<(&GatewayId, &Epoch), BTreeMap<N, Option<u64>>> = BTreeMap::new();
        for record in records {
            if let RecordKind::Message { origin, key, source, .. } = &record.kind {
                sources.entry((origin, &key.epoch)).or_default().insert(key.n, *source);
            }
        }
        let none = BTreeMap::new();
        let mut old = old;
        for (gateway, of_gateway) in &mut self.marks {
            for (epoch, mark) in of_gateway {
                let before = old.get_mut(gateway).and_then(|marks| marks.remove(epoch)).unwrap_or_default();
                if before.committed > mark.given {
                    return false;
                }
                mark.moved(before, sources.get(&(gateway, epoch)).unwrap_or(&none));
            }
        }
        old.values().flat_map(BTreeMap::values).all(|mark| mark.committed == N(0))
    }

    /// After loading: of several epochs of a gateway nobody knows which is the newest, and any may repeat the past.
    pub(super) fn doubt_epochs(&mut self) {
        for of_gateway in self.marks.values_mut().filter(|m| m.len() > 1) {
            of_gateway.values_mut().for_each(|mark| mark.fresh = true);
        }
    }

    /// The sources of a gateway's messages that memory holds.
    pub(super) fn sources_in_memory(&self, gateway: &GatewayId) -> BTreeSet<u64> {
        let source = |r: &Record| match &r.kind {
            RecordKind::Message { origin, source, .. } if origin == gateway => *source,
            _ => None,
        };
        self.tail.iter().filter_map(source).collect()
    }

    pub(super) fn may_expire(&self) -> bool {
        self.expiring.is_none() && !self.untold
    }

    /// The oldest milestone, when it is too old or too many bytes follow it: what lies before it may go. The last entry stays:
    /// it may be the group's end, which every member must hear of.
    pub(super) fn to_cut(&self, older_than: Timestamp, most_bytes: u64) -> Option<Milestone> {
        let first = *self.milestones.front()?;
        let due = first.stored < older_than || self.bytes > most_bytes;
        (first.seq < self.committed && due).then_some(first)
    }

    /// Cuts the log behind its oldest milestone.
    pub(super) fn cut(&mut self, cut: Milestone) {
        self.milestones.pop_front();
        self.floor = cut.seq;
        self.floor_hash = cut.hash;
        self.bytes -= cut.bytes;
        for later in &mut self.milestones {
            later.bytes -= cut.bytes;
        }
        while self.tail.front().is_some_and(|r| r.seq <= cut.seq) {
            self.forget_oldest();
        }
        self.fates.retain(|(_, seq), _| *seq > cut.seq);
    }
}

pub(super) fn cost(record: &Record) -> usize {
    // The record itself and its share of the containers, besides the stanza.
    200 + usize::try_from(record.bytes()).unwrap_or(usize::MAX)
}
