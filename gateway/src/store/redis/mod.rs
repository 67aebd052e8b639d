//! The store on Redis: for gateways that keep their state beside them, or share it with a second process.
//!
//! In: batches from one thread, each one atomic script under the owner's fence. Out: rows as what they mean. Never here: group
//! commit, which is the caller's (`store/task.rs`); how batches become atomic, and what happens when Redis is away
//! (`schemas/redis/src`).

mod read;
mod write;

use std::collections::BTreeMap;

use intergroup_redis::{Batch, Engine, Key, Settings, Slot};
use intergroup_schemas::ids::{AccountId, GroupNumber, N, Seq};
use intergroup_schemas::list::AccountRow;
use ring::rand::{SecureRandom, SystemRandom};

use super::{Change, MissedRow, OutboxRow, PostedRow, Snapshot, Spot, Store, StoreError};

/// What the store is, as it is written under its prefix.
const KIND: &str = "gateway";
/// The version of the rows. `FORMAT.md` describes them.
const FORMAT: u32 = 2;

/// The tables, by the letter with which the keys of their rows begin. What a snapshot does not want sorts behind the rest.
mod table {
    pub(super) const MAPPING: u8 = b'M';
    pub(super) const ABSENT: u8 = b'A';
    pub(super) const ATTENDANCE: u8 = b'a';
    pub(super) const OCCUPANT: u8 = b'c';
    pub(super) const ENTERED: u8 = b'e';
    pub(super) const PARKED: u8 = b'k';
    pub(super) const NOTICE: u8 = b'n';
    pub(super) const OWN: u8 = b'o';
    pub(super) const POSTED: u8 = b'p';
    pub(super) const SEEN: u8 = b's';
    pub(super) const POSTED_AT: u8 = b'w';
    pub(super) const MISSED: u8 = b'v';
    pub(super) const POSTED_SEQ: u8 = b'x';
    pub(super) const OUTBOX: u8 = b'y';
    pub(super) const LISTED: u8 = b'z';
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
    key: [u8; 32],
    /// Messages parked since it was opened: their order.
    parked: u64,
}

fn slot(group: GroupNumber) -> Slot {
    Slot::Group(group.0)
}

impl RedisStore {
    /// Opens the store as its owner, or makes it: whoever had it open before cannot write any more. `component` is the gateway's
    /// domain, under which it is found unless the address has a prefix.
    ///
    /// # Errors
    /// Redis cannot be reached, or holds something else there, or what a newer version wrote.
    pub fn open(settings: &Settings, component: &str) -> Result<Self, StoreError> {
        let mut engine = Engine::open(settings, &format!("intergroup-gateway:{component}"), KIND, FORMAT)?;
        let mut key = [0_u8; 32];
        SystemRandom::new().fill(&mut key).map_err(|_| StoreError("the system gives no random numbers".into()))?;
        let key = engine.made_once("message-key", &key)?;
        let key = key.try_into().map_err(|_| super::text::damaged("the key of message ids has another length"))?;
        Ok(Self { engine, key, parked: 0 })
    }
}

impl Store for RedisStore {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        let mut all = Snapshot { key: self.key, ..Snapshot::default() };
        for group in self.engine.groups()? {
            let rows = self.engine.rows(Slot::Group(group), &Key::of(0), &Key::of(table::MISSED))?;
            read::group(&mut all, GroupNumber(group), &rows)?;
        }
        Ok(all)
    }

    fn commit(&mut self, batch: &[Change]) -> Result<(), StoreError> {
        let mut rows = Batch::default();
        for change in batch {
            // Openings come first in the order, so that it goes on behind a restart.
            let place = (self.engine.token(), self.parked);
            self.parked += u64::from(matches!(change, Change::Parked(_)));
            write::apply(&mut rows, change, place)?;
        }
        Ok(self.engine.commit(&rows)?)
    }

    fn outbox(&mut self, group: GroupNumber, from: N, max: usize) -> Result<Vec<OutboxRow>, StoreError> {
        let outbox = Key::of(table::OUTBOX);
        let rows = self.engine.page(slot(group), &outbox.clone().number(from.0), &outbox.end(), max)?;
        rows.iter().map(|row| read::outbox(group, row)).collect()
    }

    fn posted(&mut self, group: GroupNumber, after: Seq) -> Result<Vec<PostedRow>, StoreError> {
        let index = Key::of(table::POSTED_SEQ);
        let (from, to) = (index.clone().number(after.0).end(), index.end());
        let (_, rows) = self.engine.found(slot(group), (&from, &to), usize::MAX >> 1, &Key::of(table::MAPPING))?;
        let mut rows = rows.iter().map(|row| read::posted(group, row)).collect::<Result<Vec<_>, _>>()?;
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(rows)
    }

    fn listed(
        &mut self,
        group: GroupNumber,
        after: Option<&AccountId>,
        max: usize,
    ) -> Result<Vec<AccountRow>, StoreError> {
        let list = Key::of(table::LISTED);
        let from = after.map_or(list.clone(), |account| write::listed_key(account).behind());
        let rows = self.engine.page(slot(group), &from, &list.end(), max)?;
        rows.iter().map(read::listed).collect()
    }

    fn missed(&mut self, group: GroupNumber, from: Spot, max: usize) -> Result<Vec<MissedRow>, StoreError> {
        let missed = Key::of(table::MISSED);
        let rows = self.engine.page(slot(group), &missed.clone().number(from.0), &missed.end(), max)?;
        rows.iter().map(|row| read::missed(group, row)).collect()
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let (batches, again, waited) = self.engine.figures();
        vec![("store-transactions", batches), ("store-connected-again", again), ("store-waited-ms", waited)]
    }
}

/// A snapshot's messages that were dealt with: of each the newest generation, in order of id.
type Seen = BTreeMap<crate::ids::StanzaId, super::Generation>;
