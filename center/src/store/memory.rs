//! A store in memory: for tests and the simulator. It can hold back what was committed until it is synced, and lose it
//! as a crash would; and it can be cloned, as careless administrators clone machines.

use std::collections::{BTreeMap, VecDeque};

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{
    AccountId, EnterpriseId, Epoch, GatewayId, GroupNumber, HistoryHash, Incarnation, ListVersion, N, Seq,
};
use intergroup_schemas::link::Change as GroupChange;
use intergroup_schemas::list::{self, AccountRow, ListPage, Listed, UserKey};

use super::shared::{Claims, Known, NEWS_ENTRIES, News, Node, Taken, Unit, Version};
use super::{
    Change, Enrolment, Enterprise, Fate, Gateway, Group, GroupState, ListPart, MILESTONE, Member, Milestone, PageQuery,
    PageRoom, Record, RecordKind, Snapshot, Store, StoreError,
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
    /// By group, the enterprises that have edited its list, and every account that ever was on it.
    lists: BTreeMap<GroupNumber, BTreeMap<EnterpriseId, Part>>,
    versions: BTreeMap<Unit, Version>,
    /// How many links each gateway has had, and the run that named each group last.
    links: BTreeMap<GatewayId, (u64, BTreeMap<GroupNumber, Incarnation>)>,
}

/// Of each account the version at which it changed last, and how it stands on the list.
type Part = BTreeMap<AccountId, (ListVersion, Option<Listed>)>;

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
            parts: t.parts(),
            versions: t.versions.iter().map(|(unit, version)| (*unit, *version)).collect(),
        })
    }

    fn commit_shared(&mut self, batch: &[Change], claims: &Claims) -> Result<Vec<Unit>, StoreError> {
        let is = |unit: &Unit| self.disk.versions.get(unit).copied().unwrap_or_default();
        let refused: Vec<Unit> =
            claims.bases.iter().filter(|(unit, base)| is(unit) != *base).map(|(unit, _)| *unit).collect();
        for (unit, _) in claims.bases.iter().filter(|(unit, _)| !refused.contains(unit)) {
            self.disk.versions.insert(*unit, claims.version);
        }
        batch.iter().filter(|change| !refused.contains(&change.unit())).for_each(|change| self.disk.apply(change));
        Ok(refused)
    }

    fn news(&mut self, unit: Unit, known: Option<Known>) -> Result<News, StoreError> {
        let all = self.load()?;
        let version = self.disk.versions.get(&unit).copied().unwrap_or_default();
        let number = match unit {
            Unit::Registry => {
                let Snapshot { enterprises, gateways, enrolments, .. } = all;
                let snapshot = Snapshot { enterprises, gateways, enrolments, ..Snapshot::default() };
                return Ok(News { version, snapshot, since: None });
            }
            Unit::Group(number) => number,
        };
        let mut snapshot = Snapshot {
            groups: all.groups.into_iter().filter(|g| g.group.number == number).collect(),
            members: all.members.into_iter().filter(|m| m.group == number).collect(),
            marks: all.marks.into_iter().filter(|m| m.0 == number).collect(),
            refusals: all.refusals.into_iter().filter(|r| r.0 == number).collect(),
            fates: all.fates.into_iter().filter(|f| f.group == number).collect(),
            parts: all.parts.into_iter().filter(|p| p.group == number).collect(),
            ..Snapshot::default()
        };
        let (Some((seq, hash)), Some(state)) = (known, snapshot.groups.first_mut()) else {
            return Ok(News { version, snapshot, since: None });
        };
        let trimmed = state.floor > seq;
        if !trimmed && self.hash_at(number, seq)? != Some(hash) {
            return Err(StoreError("the store has lost entries".into()));
        }
        let since = if trimmed || state.head.0 - seq.0 > NEWS_ENTRIES as u64 {
            None
        } else {
            snapshot.parts.clear();
            (state.milestones, state.bytes) = (Vec::new(), 0);
            Some(self.read_log(number, seq, NEWS_ENTRIES, usize::MAX)?)
        };
        Ok(News { version, snapshot, since })
    }

    fn versions(&mut self, units: Option<&[Unit]>) -> Result<Vec<(Unit, Version)>, StoreError> {
        let all = &self.disk.versions;
        Ok(match units {
            None => all.iter().map(|(unit, version)| (*unit, *version)).collect(),
            Some(units) => units.iter().map(|unit| (*unit, all.get(unit).copied().unwrap_or_default())).collect(),
        })
    }

    fn take_link(&mut self, gateway: &GatewayId, runs: &[(GroupNumber, Incarnation)]) -> Result<Taken, StoreError> {
        let (generation, named) = self.disk.links.entry(gateway.clone()).or_default();
        *generation += 1;
        let name = |(group, run): &(GroupNumber, Incarnation)| Some((*group, named.insert(*group, run.clone())?));
        Ok(Taken { before: runs.iter().filter_map(name).collect(), generation: *generation })
    }

    fn meet(&mut self, _here: &Node) -> Result<Vec<Node>, StoreError> {
        Ok(Vec::new())
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

    fn list_page(&mut self, query: &PageQuery) -> Result<ListPage, StoreError> {
        let t = &self.disk;
        let accounts = || t.lists.get(&query.group).into_iter().flat_map(BTreeMap::values).flatten();
        let mut rows: Vec<_> = accounts()
            .map(|(account, (version, listed))| AccountRow {
                account: account.clone(),
                version: *version,
                listed: listed.clone(),
            })
            .filter(|row| match &query.after {
                Some(after) => (row.version, &row.account) > (query.since, after),
                None => row.version > query.since,
            })
            .collect();
        rows.sort_by(|a, b| (a.version, &a.account).cmp(&(b.version, &b.account)));
        let (all, mut room) = (rows.len(), PageRoom::new());
        let fits = rows.iter().take_while(|row| room.take(row)).count();
        rows.truncate(fits);
        let group = t.groups.get(&query.group);
        Ok(ListPage {
            version: group.map_or(ListVersion(0), |g| g.list),
            digest: group.map(|g| g.digest).unwrap_or_default(),
            accounts: group.map_or(0, |g| g.accounts),
            more: fits < all,
            rows,
        })
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

    fn parts(&self) -> Vec<ListPart> {
        let row = |(account, (_, listed)): (&AccountId, &(ListVersion, Option<Listed>))| {
            let listed = listed.as_ref()?;
            let row = list::row_hash(&account.enterprise, &account.user, listed);
            Some((UserKey::of(&account.user), row, listed.role))
        };
        let part = |group: GroupNumber, enterprise: &EnterpriseId, accounts: &Part| ListPart {
            group,
            enterprise: enterprise.clone(),
            accounts: accounts.iter().filter_map(row).collect(),
        };
        self.lists.iter().flat_map(|(g, parts)| parts.iter().map(|(e, accounts)| part(*g, e, accounts))).collect()
    }

    /// The accounts that an entry changes.
    fn list(&mut self, record: &Record) {
        let RecordKind::Change(change) = &record.kind else { return };
        match change {
            GroupChange::Listed { enterprise, accounts, .. } => {
                let part = self.lists.entry(record.group).or_default().entry(enterprise.clone()).or_default();
                for edit in accounts {
                    let account = AccountId { enterprise: enterprise.clone(), user: edit.user.clone() };
                    part.insert(account, (record.list, edit.listed.clone()));
                }
            }
            GroupChange::Unlisted { enterprise, .. } => {
                let part = self.lists.entry(record.group).or_default().entry(enterprise.clone()).or_default();
                for row in part.values_mut().filter(|(_, listed)| listed.is_some()) {
                    *row = (record.list, None);
                }
            }
            _ => {}
        }
    }

    fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::Enterprise(e) => drop(self.enterprises.insert(e.id.clone(), e)),
            Change::Gateway(g) => drop(self.gateways.insert(g.id.clone(), g)),
            Change::Enrolment(e) => drop(self.enrolments.insert(e.secret, e)),
            Change::EnrolmentGone(secret) => drop(self.enrolments.remove(&secret)),
            Change::Group(g) => drop(self.groups.insert(g.number, g)),
            Change::Member(m) => drop(self.members.insert((m.group, m.gateway.clone()), m)),
            Change::Append(record) => {
                self.list(&record);
                self.logs.entry(record.group).or_default().push_back(record);
            }
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
