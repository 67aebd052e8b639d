//! The store on Redis: for centers that keep their state beside them, or have a Redis that is watched and copied anyway.
//!
//! In: batches from one thread, each one atomic script under the owner's fence. Out: the snapshot, and pages of logs and lists.
//! Never here: how batches become atomic, and what happens when Redis is away (`schemas/redis/src`).
//!
//! What a commit appends to a group is one entry of the group's stream, packed as in the embedded store.

mod read;
mod write;

use intergroup_redis::{Engine, Key, Settings, Slot};
use intergroup_schemas::ids::{GatewayId, GroupNumber, HistoryHash, Seq};
use intergroup_schemas::limits;
use intergroup_schemas::list::ListPage;

use super::{Change, PageQuery, Record, RecordKind, Snapshot, Store, StoreError};

/// Under which the store is found, unless the address has a prefix.
const PREFIX: &str = "intergroup-center";
/// What the store is, as it is written there.
const KIND: &str = "center";
/// The version of the rows. `FORMAT.md` describes them.
const FORMAT: u32 = 1;
/// What commits have added to a log is asked for so many at once, at most; each can be half a megabyte.
const ROWS_AT_ONCE: usize = 16;

/// The tables, by the letter with which the keys of their rows begin. What a snapshot does not want sorts behind the rest.
mod table {
    pub(super) const FLOOR: u8 = b'F';
    pub(super) const GROUP: u8 = b'G';
    pub(super) const ACCOUNT: u8 = b'a';
    pub(super) const FATE: u8 = b'f';
    pub(super) const MARK: u8 = b'k';
    pub(super) const MEMBER: u8 = b'm';
    pub(super) const PART: u8 = b'p';
    pub(super) const REFUSAL: u8 = b'r';
    pub(super) const MILESTONE: u8 = b's';
    pub(super) const ACCOUNT_VERSION: u8 = b'v';
    // Of what belongs to no group:
    pub(super) const ENROLMENT: u8 = b'c';
    pub(super) const ENTERPRISE: u8 = b'e';
    pub(super) const GATEWAY: u8 = b'w';
}

impl From<intergroup_redis::Error> for StoreError {
    fn from(e: intergroup_redis::Error) -> Self {
        StoreError(e.to_string())
    }
}

/// See the module.
#[derive(Debug)]
pub struct RedisStore {
    engine: Engine,
}

fn slot(group: GroupNumber) -> Slot {
    Slot::Group(group.0)
}

impl RedisStore {
    /// Opens the store as its owner, or makes it: whoever had it open before cannot write any more.
    ///
    /// # Errors
    /// Redis cannot be reached, or holds something else there, or what a newer version wrote.
    pub fn open(settings: &Settings) -> Result<Self, StoreError> {
        Ok(Self { engine: Engine::open(settings, PREFIX, KIND, FORMAT)? })
    }

    /// Opens a store that has an owner, for reading.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub fn look(settings: &Settings) -> Result<Self, StoreError> {
        Ok(Self { engine: Engine::look(settings, PREFIX)? })
    }

    /// The last entry that was trimmed from a log, with the running hash there; none for a group that there is not.
    fn floor(&mut self, group: GroupNumber) -> Result<Option<(Seq, HistoryHash)>, StoreError> {
        let rows = self.engine.page(slot(group), &Key::of(table::FLOOR), &Key::of(table::GROUP).end(), 2)?;
        read::floor(&rows)
    }

    /// Walks over the entries of a log from a place on, until `each` says no.
    fn walk(&mut self, group: GroupNumber, from: Seq, mut each: impl FnMut(Record) -> bool) -> Result<(), StoreError> {
        let floor = self.floor(group)?.unwrap_or_default().0;
        let (mut from, mut at_once) = (from.max(floor.next()), 1);
        loop {
            let rows = self.engine.log(slot(group), from.0, at_once)?;
            let last = rows.len() < at_once;
            for row in rows {
                for record in read::records(group, row)? {
                    let record = record?;
                    if record.seq < from {
                        continue;
                    }
                    from = record.seq.next();
                    if !each(record) {
                        return Ok(());
                    }
                }
            }
            if last {
                return Ok(());
            }
            at_once = (at_once * 2).min(ROWS_AT_ONCE);
        }
    }
}

impl Store for RedisStore {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        let mut all = Snapshot::default();
        read::main(&mut all, &self.engine.rows(Slot::Main, &Key::of(b'A'), &Key::of(u8::MAX))?)?;
        for number in self.engine.groups()? {
            let (group, slot) = (GroupNumber(number), Slot::Group(number));
            let rows = self.engine.rows(slot, &Key::of(0), &Key::of(table::ACCOUNT_VERSION))?;
            let floor = read::floor(&rows)?.unwrap_or_default().0;
            let first = self.engine.log(slot, floor.next().0, 1)?.pop();
            let end = self.engine.log_end(slot)?;
            read::group(&mut all, group, &rows, first, end)?;
        }
        all.fates.sort_by(|a, b| (a.group, &a.member, a.seq).cmp(&(b.group, &b.member, b.seq)));
        Ok(all)
    }

    fn commit(&mut self, batch: &[Change]) -> Result<(), StoreError> {
        Ok(self.engine.commit(&write::batch(batch)?)?)
    }

    fn read_log(
        &mut self,
        group: GroupNumber,
        after: Seq,
        entries: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let (mut records, mut left) = (Vec::new(), bytes as u64);
        self.walk(group, after.next(), |record| {
            if records.len() >= entries || (!records.is_empty() && record.bytes() > left) {
                return false;
            }
            left = left.saturating_sub(record.bytes());
            records.push(record);
            records.len() < entries && left > 0
        })?;
        Ok(records)
    }

    fn hash_at(&mut self, group: GroupNumber, seq: Seq) -> Result<Option<HistoryHash>, StoreError> {
        match self.floor(group)? {
            None => return Ok(None),
            Some((floor, hash)) if floor == seq => return Ok(Some(hash)),
            Some((floor, _)) if seq < floor => return Ok(None),
            Some(_) => {}
        }
        let mut found = None;
        self.walk(group, seq, |record| {
            found = (record.seq == seq).then_some(record.hash);
            false
        })?;
        Ok(found)
    }

    fn sources(&mut self, group: GroupNumber, gateway: &GatewayId) -> Result<Vec<u64>, StoreError> {
        let mut all = Vec::new();
        self.walk(group, Seq(0), |record| {
            if let RecordKind::Message { origin, source, .. } = record.kind
                && origin == *gateway
            {
                all.extend(source);
            }
            true
        })?;
        Ok(all)
    }

    fn list_page(&mut self, query: &PageQuery) -> Result<ListPage, StoreError> {
        let version = Key::of(table::ACCOUNT_VERSION).number(query.since.0);
        let from = match &query.after {
            Some(after) => version.part(after.enterprise.as_str()).text(after.user.as_str()).behind(),
            None => version.end(),
        };
        let to = Key::of(table::ACCOUNT_VERSION).end();
        let most = limits::ACCOUNTS_PER_PAGE + 1;
        let (group, rows) = self.engine.found(slot(query.group), (&from, &to), most, &Key::of(table::GROUP))?;
        read::list_page(query.group, group, &rows)
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let (commits, again, waited) = self.engine.figures();
        vec![("commits", commits), ("connected-again", again), ("waited-ms", waited)]
    }
}
