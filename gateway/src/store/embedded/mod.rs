//! The embedded store: one SQLite file, write-ahead log, `synchronous=FULL`, so that a commit that has returned survives
//! the loss of power.
//!
//! In: batches (each one transaction, hence one fsync) from one thread. Out: rows as what they mean. Never here: group
//! commit, which is the caller's (`store/task.rs`), and any second try after an error.

mod read;
mod schema;
mod write;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use intergroup_schemas::ids::{AccountId, GroupNumber, N, Seq};
use intergroup_schemas::list::AccountRow;
use rusqlite::Connection;

use super::{Change, MissedRow, OutboxRow, PostedRow, Snapshot, Spot, Store, StoreError};

/// See the module.
#[derive(Debug)]
pub struct EmbeddedStore {
    db: Connection,
    commits: u64,
}

impl From<rusqlite::Error> for StoreError {
    fn from(e: rusqlite::Error) -> Self {
        StoreError(e.to_string())
    }
}

impl EmbeddedStore {
    /// Opens the file, or makes it, for its owner alone. Errors: not readable, not ours, or written by a newer version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let named = |e: StoreError| StoreError(format!("{}: {e}", path.display()));
        // SQLite would make it for all to read; the files beside it get the rights that this one has.
        let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        made.map_err(|e| named(StoreError(e.to_string())))?;
        let db = Connection::open(path).map_err(|e| named(e.into()))?;
        schema::prepare(&db).map_err(named)?;
        Ok(Self { db, commits: 0 })
    }
}

impl Store for EmbeddedStore {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        read::snapshot(&self.db)
    }

    fn commit(&mut self, batch: &[Change]) -> Result<(), StoreError> {
        let tx = self.db.transaction()?;
        batch.iter().try_for_each(|change| write::apply(&tx, change))?;
        tx.commit()?;
        self.commits += 1;
        Ok(())
    }

    fn outbox(&mut self, group: GroupNumber, from: N, max: usize) -> Result<Vec<OutboxRow>, StoreError> {
        read::outbox(&self.db, group, from, max)
    }

    fn posted(&mut self, group: GroupNumber, after: Seq) -> Result<Vec<PostedRow>, StoreError> {
        read::posted(&self.db, group, after)
    }

    fn listed(
        &mut self,
        group: GroupNumber,
        after: Option<&AccountId>,
        max: usize,
    ) -> Result<Vec<AccountRow>, StoreError> {
        read::listed(&self.db, group, after, max)
    }

    fn missed(&mut self, group: GroupNumber, from: Spot, max: usize) -> Result<Vec<MissedRow>, StoreError> {
        read::missed(&self.db, group, from, max)
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("store-transactions", self.commits)]
    }
}
