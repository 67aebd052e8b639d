//! A store in memory: for tests and the simulator. It can hold back what was committed until it is synced, and lose it
//! as a crash would; and it can be cloned, as careless administrators clone machines.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{AccountId, GroupNumber, N, Seq, UserId};
use intergroup_schemas::list::AccountRow;

use super::{
    AbsentRow, AttendanceRow, Change, Generation, Mapping, MissedRow, NoticeRow, OutboxRow, OwnRow, Owner, ParkedRow,
    PostedRow, Snapshot, Spot, Store, StoreError,
};
use crate::ids::{BareJid, MessageId, Mouth, OccupantId, StanzaId};

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    key: [u8; 32],
    disk: BTreeMap<GroupNumber, Tables>,
    /// Batches that were written and not yet synced, oldest first; empty unless `hold` is set.
    unsynced: VecDeque<Vec<Change>>,
    hold: bool,
}

/// Everything of one group.
#[derive(Debug, Clone, Default)]
struct Tables {
    mapping: Option<Mapping>,
    outbox: BTreeMap<N, OutboxRow>,
    seen: BTreeMap<StanzaId, Generation>,
    posted: BTreeMap<MessageId, PostedRow>,
    occupants: BTreeMap<OccupantId, Owner>,
    parked: Vec<ParkedRow>,
    entered: BTreeMap<Mouth, ()>,
    notices: BTreeMap<(BareJid, Condition), NoticeRow>,
    own: BTreeMap<UserId, OwnRow>,
    attendance: BTreeMap<UserId, AttendanceRow>,
    listed: BTreeMap<AccountId, AccountRow>,
    missed: BTreeMap<Spot, MissedRow>,
    absent: BTreeMap<UserId, AbsentRow>,
}

impl MemoryStore {
    /// An empty store with the given key of message ids.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, ..Self::default() }
    }

    /// A store whose commits are lost by [`MemoryStore::crash`] unless [`MemoryStore::sync`] came between.
    #[must_use]
    pub fn holding_back(key: [u8; 32]) -> Self {
        Self { hold: true, ..Self::new(key) }
    }

    /// Writes the oldest unsynced batch; says whether there was one.
    pub fn sync(&mut self) -> bool {
        let Some(batch) = self.unsynced.pop_front() else { return false };
        self.write(&batch);
        true
    }

    /// Loses what was not synced.
    pub fn crash(&mut self) {
        self.unsynced.clear();
    }

    fn write(&mut self, batch: &[Change]) {
        for change in batch {
            if let Change::MappingGone(group) = change {
                self.disk.remove(group);
            } else {
                self.disk.entry(change.group()).or_default().apply(change);
            }
        }
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        let mut all = Snapshot { key: self.key, ..Snapshot::default() };
        for (group, t) in &self.disk {
            let oldest = t.mapping.as_ref().and_then(|m| m.checkpoints.first());
            let (oldest, settled) = oldest.map_or_else(Default::default, |c| (c.generation, c.settled));
            let wanted = |p: &&PostedRow| p.generation >= oldest || p.seq.is_none_or(|seq| seq > settled);
            all.mappings.extend(t.mapping.clone());
            all.seen.extend(t.seen.iter().map(|(id, g)| (*group, id.clone(), *g)));
            all.posted.extend(t.posted.values().filter(wanted).cloned());
            all.occupants.extend(t.occupants.iter().map(|(id, owner)| (*group, id.clone(), owner.clone())));
            all.parked.extend(t.parked.iter().cloned());
            all.entered.extend(t.entered.keys().map(|mouth| (*group, mouth.clone())));
            all.notices.extend(t.notices.values().cloned());
            all.own.extend(t.own.values().cloned());
            all.attendance.extend(t.attendance.values().cloned());
            all.absent.extend(t.absent.values().cloned());
        }
        Ok(all)
    }

    fn commit(&mut self, batch: &[Change]) -> Result<(), StoreError> {
        if self.hold {
            self.unsynced.push_back(batch.to_vec());
        } else {
            self.write(batch);
        }
        Ok(())
    }

    fn outbox(&mut self, group: GroupNumber, from: N, max: usize) -> Result<Vec<OutboxRow>, StoreError> {
        let tables = self.disk.get(&group).into_iter();
        Ok(tables.flat_map(|t| t.outbox.range(from..).map(|(_, row)| row.clone())).take(max).collect())
    }

    fn posted(&mut self, group: GroupNumber, after: Seq) -> Result<Vec<PostedRow>, StoreError> {
        let behind = |row: &&PostedRow| row.seq.is_some_and(|seq| seq > after);
        let tables = self.disk.get(&group).into_iter();
        Ok(tables.flat_map(|t| t.posted.values().filter(behind).cloned()).collect())
    }

    fn listed(
        &mut self,
        group: GroupNumber,
        after: Option<&AccountId>,
        max: usize,
    ) -> Result<Vec<AccountRow>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let tables = self.disk.get(&group).into_iter();
        let rows = tables.flat_map(|t| t.listed.range((from, Bound::Unbounded)).map(|(_, row)| row.clone()));
        Ok(rows.take(max).collect())
    }

    fn missed(&mut self, group: GroupNumber, from: Spot, max: usize) -> Result<Vec<MissedRow>, StoreError> {
        let tables = self.disk.get(&group).into_iter();
        Ok(tables.flat_map(|t| t.missed.range(from..).map(|(_, row)| row.clone())).take(max).collect())
    }
}

impl Tables {
    fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::Mapping(mapping) => self.mapping = Some(*mapping),
            Change::MappingGone(_) => *self = Self::default(),
            Change::Outbox(row) => drop(self.outbox.insert(row.n, row)),
            Change::OutboxTrim { upto, .. } => self.outbox.retain(|n, _| *n > upto),
            Change::OutboxClear(_) => self.outbox.clear(),
            Change::Seen { id, generation, .. } => drop(self.seen.insert(id, generation)),
            Change::SeenTrim { before, .. } => self.seen.retain(|_, generation| *generation >= before),
            Change::Posted(row) => drop(self.posted.insert(row.id.clone(), row)),
            Change::PostedTrim { before, .. } => self.posted.retain(|_, row| row.at >= before),
            Change::Occupant { id, owner, .. } => drop(self.occupants.insert(id, owner)),
            Change::Parked(row) => match self.parked.iter_mut().find(|p| p.id == row.id) {
                Some(known) => *known = row,
                None => self.parked.push(row),
            },
            Change::ParkedGone { id, .. } => self.parked.retain(|row| row.id != id),
            Change::Entered { mouth, .. } => drop(self.entered.insert(mouth, ())),
            Change::Fenced { life, .. } => self.entered.retain(|mouth, ()| mouth.life >= life),
            Change::Notice(row) => drop(self.notices.insert((row.author.clone(), row.condition), row)),
            Change::Own(OwnRow { user, listed: None, n: None, .. }) => drop(self.own.remove(&user)),
            Change::Attendance(row) => drop(self.attendance.insert(row.user.clone(), row)),
            Change::AttendanceGone { user, .. } => drop(self.attendance.remove(&user)),
            Change::Missed(row) => drop(self.missed.insert(row.spot, row)),
            Change::MissedTrim { before, .. } => self.missed.retain(|spot, _| *spot >= before),
            Change::Absent(row) if row.absence.is_nothing() => drop(self.absent.remove(&row.user)),
            Change::Absent(row) => drop(self.absent.insert(row.user.clone(), row)),
            Change::Own(row) => drop(self.own.insert(row.user.clone(), row)),
            Change::Listed { rows, .. } => {
                for row in rows {
                    match row.listed {
                        Some(_) => drop(self.listed.insert(row.account.clone(), row)),
                        None => drop(self.listed.remove(&row.account)),
                    }
                }
            }
            Change::Unlisted { enterprise: Some(gone), .. } => self.listed.retain(|a, _| a.enterprise != gone),
            Change::Unlisted { enterprise: None, .. } => self.listed.clear(),
        }
    }
}
