//! A store in memory: for tests and the simulator. It can hold back what was committed until it is synced, and lose it
//! as a crash would; and it can be cloned, as careless administrators clone machines.

use std::collections::{BTreeMap, VecDeque};

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{EnterpriseId, Epoch, GatewayId, GroupNumber, HistoryHash, N, Seq};

use super::{
    Change, Enrolment, Enterprise, Fate, Gateway, Group, GroupState, MILESTONE, Member, Milestone, Record, RecordKind,
    Snapshot, Store, StoreError,
};

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    disk: Tables,
    /// Batches that were written and not yet synced, oldest first; empty unless `hold` is set.
    unsynced: VecDeque<Vec<Change>>,
    hold: bool,
}

#[derive(Debug, Clone, Default)]
struct Tables {
    enterprises: BTreeMap<EnterpriseId, Enterprise>,
    gateways: BTreeMap<GatewayId, Gateway>,
    enrolments: BTreeMap<[u8; 32], Enrolment>,
    groups: BTreeMap<GroupNumber, Group>,
    floors: BTreeMap<GroupNumber, (Seq, HistoryHash)>,
    logs: BTreeMap<GroupNumber, VecDeque<Record>>,
    members: BTreeMap<(GroupNumber, GatewayId), Member>,
    marks: BTreeMap<(GroupNumber, GatewayId, Epoch), N>,
    refusals: BTreeMap<(GroupNumber, GatewayId, Epoch, N), Condition>,
    fates: BTreeMap<(GroupNumber, GatewayId, Seq), Fate>,
}

impl MemoryStore {
    /// A store whose commits are lost by [`MemoryStore::crash`] unless [`MemoryStore::sync`] came between.
    #[must_use]
    pub fn holding_back() -> Self {
        Self { hold: true, ..Self::default() }
    }

    /// Writes the oldest unsynced batch; says whether there was one.
    pub fn sync(&mut self) -> bool {
        match self.unsynced.pop_front() {
            Some(batch) => {
                batch.iter().for_each(|change| self.disk.apply(change));
                true
            }
            None => false,
        }
    }

    /// Loses what was not synced.
    pub fn crash(&mut self) {
        self.unsynced.clear();
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        let t = &self.disk;
        let groups = t.groups.values().map(|group| t.state(group)).collect();
        Ok(Snapshot {
            enterprises: t.enterprises.values().cloned().collect(),
            gateways: t.gateways.values().cloned().collect(),
            enrolments: t.enrolments.values().cloned().collect(),
            groups,
            members: t.members.values().cloned().collect(),
            marks: t.marks.iter().map(|((g, w, e), n)| (*g, w.clone(), e.clone(), *n)).collect(),
            refusals: t.refusals.iter().map(|((g, w, e, n), c)| (*g, w.clone(), e.clone(), *n, *c)).collect(),
            fates: t.fates.values().cloned().collect(),
        })
    }

    fn commit(&mut self, batch: &[Change]) -> Result<(), StoreError> {
        if self.hold {
            self.unsynced.push_back(batch.to_vec());
        } else {
            batch.iter().for_each(|change| self.disk.apply(change));
        }
        Ok(())
    }

    fn read_log(
        &mut self,
        group: GroupNumber,
        after: Seq,
        entries: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let mut left = bytes as u64;
        let records = self.disk.log(group).filter(|r| r.seq > after).take(entries);
        let mut first = true;
        let fits = records.take_while(|r| {
            let fits = first || r.bytes() <= left;
            first = false;
            left = left.saturating_sub(r.bytes());
            fits
        });
        Ok(fits.cloned().collect())
    }

    fn hash_at(&mut self, group: GroupNumber, seq: Seq) -> Result<Option<HistoryHash>, StoreError> {
        let floor = self.disk.floors.get(&group).copied().unwrap_or_default();
        if seq == floor.0 {
            return Ok(self.disk.groups.contains_key(&group).then_some(floor.1));
        }
        Ok(self.disk.log(group).find(|r| r.seq == seq).map(|r| r.hash))
    }

    fn sources(&mut self, group: GroupNumber, gateway: &GatewayId) -> Result<Vec<u64>, StoreError> {
        let source = |r: &Record| match &r.kind {
            RecordKind::Message { origin, source, .. } if origin == gateway => *source,
            _ => None,
        };
        Ok(self.disk.log(group).filter_map(source).collect())
    }
}

impl Tables {
    fn log(&self, group: GroupNumber) -> impl Iterator<Item = &Record> {
        self.logs.get(&group).into_iter().flatten()
    }

    fn state(&self, group: &Group) -> GroupState {
        let (floor, floor_hash) = self.floors.get(&group.number).copied().unwrap_or_default();
        let mut state = GroupState {
            group: group.clone(),
            floor,
            floor_hash,
            head: floor,
            head_hash: floor_hash,
            milestones: Vec::new(),
            bytes: 0,
        };
        for record in self.log(group.number) {
            state.head = record.seq;
            state.head_hash = record.hash;
            state.bytes += record.bytes();
            if record.seq.0.is_multiple_of(MILESTONE) {
                let (seq, hash, stored, bytes) = (record.seq, record.hash, record.stored, state.bytes);
                state.milestones.push(Milestone { seq, hash, stored, bytes });
            }
        }
        state
    }

    fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::Enterprise(e) => drop(self.enterprises.insert(e.id.clone(), e)),
            Change::Gateway(g) => drop(self.gateways.insert(g.id.clone(), g)),
            Change::Enrolment(e) => drop(self.enrolments.insert(e.secret, e)),
            Change::EnrolmentGone(secret) => drop(self.enrolments.remove(&secret)),
            Change::Group(g) => drop(self.groups.insert(g.number, g)),
            Change::Member(m) => drop(self.members.insert((m.group, m.gateway.clone()), m)),
            Change::Append(record) => self.logs.entry(record.group).or_default().push_back(record),
            Change::Mark { group, gateway, epoch, n } => drop(self.marks.insert((group, gateway, epoch), n)),
            Change::Refused { group, gateway, epoch, n, condition } => {
                self.refusals.insert((group, gateway, epoch, n), condition);
            }
            Change::Confirmed { group, gateway, epoch, n } => {
                self.refusals.retain(|(g, w, e, m), _| !(*g == group && *w == gateway && *e == epoch && *m <= n));
            }
            Change::Fate(fate) => drop(self.fates.insert((fate.group, fate.member.clone(), fate.seq), fate)),
            Change::Trim { group, upto, hash } => {
                self.floors.insert(group, (upto, hash));
                if let Some(log) = self.logs.get_mut(&group) {
                    log.retain(|r| r.seq > upto);
                }
                self.fates.retain(|(g, _, seq), _| *g != group || *seq > upto);
            }
        }
    }
}
