//! The embedded store: one SQLite file, write-ahead log, `synchronous=FULL`, so that a commit that has returned survives
//! the loss of power. One writer; group commit is the caller's (a batch is one transaction, hence one fsync).

mod read;
mod schema;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use intergroup_schemas::ids::{GatewayId, GroupNumber, HistoryHash, Seq};
use rusqlite::Connection;

use intergroup_schemas::list::ListPage;

use super::{Change, PageQuery, Record, Snapshot, Store, StoreError};

/// See the module.
#[derive(Debug)]
pub struct EmbeddedStore {
    db: Connection,
    commits: u64,
}

impl From<rusqlite::Error> for StoreError {
    fn from(e: rusqlite::Error) -> Self {
        StoreError(format!("the store cannot be used: {e}"))
    }
}

impl EmbeddedStore {
    /// Opens the file, or makes it. Errors: not readable, not ours, or written by a newer version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let db = Connection::open(path).map_err(|e| StoreError(format!("{}: {e}", path.display())))?;
        schema::prepare(&db).map_err(|e| StoreError(format!("{}: {e}", path.display())))?;
        Ok(Self { db, commits: 0 })
    }

    /// Opens a file that [`EmbeddedStore::open`] has prepared, for reading beside the one that writes.
    pub fn open_reader(path: &Path) -> Result<Self, StoreError> {
        let store = Self::open(path)?;
        store.db.pragma_update(None, "query_only", true)?;
        Ok(store)
    }

    /// After a failure: moves all that the write-ahead log holds into the file and begins a new log, so that nothing rests
    /// on pages whose sync may have failed. Errors: the disk still does not take it.
    pub fn recover(&mut self) -> Result<(), StoreError> {
        let busy: i64 = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy == 0 { Ok(()) } else { Err(StoreError("the store is in use by another program".into())) }
    }
}

impl Store for EmbeddedStore {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        read::snapshot(&self.db)
    }

    fn commit(&mut self, batch: &[Change]) -> Result<(), StoreError> {
        let tx = self.db.transaction()?;
        batch.iter().try_for_each(|change| write::apply(&tx, change))?;
        let mut logs: BTreeMap<GroupNumber, Vec<&Record>> = BTreeMap::new();
        for change in batch {
            if let Change::Append(record) = change {
                logs.entry(record.group).or_default().push(record);
            }
        }
        logs.values().try_for_each(|records| write::append(&tx, records))?;
        tx.commit()?;
        self.commits += 1;
        Ok(())
    }

    fn read_log(
        &mut self,
        group: GroupNumber,
        after: Seq,
        entries: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        read::log(&self.db, group, after, entries, bytes)
    }

    fn hash_at(&mut self, group: GroupNumber, seq: Seq) -> Result<Option<HistoryHash>, StoreError> {
        read::hash_at(&self.db, group, seq)
    }

    fn sources(&mut self, group: GroupNumber, gateway: &GatewayId) -> Result<Vec<u64>, StoreError> {
        read::sources(&self.db, group, gateway)
    }

    fn list_page(&mut self, query: &PageQuery) -> Result<ListPage, StoreError> {
        // One transaction: rows, version and digest are of the same moment.
        let tx = self.db.transaction()?;
        read::list_page(&tx, query)
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("commits", self.commits)]
    }
}
