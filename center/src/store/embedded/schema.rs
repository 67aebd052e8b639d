//! The tables, their version, and the settings that durability rests on. `FORMAT.md` describes them.

use rusqlite::Connection;

use super::{read, write};
use crate::store::{MILESTONE, Record, StoreError};

/// Marks the file as ours (`PRAGMA application_id`): "IGcn".
const APPLICATION: i64 = 0x4947_636E;
/// The version of the tables (`PRAGMA user_version`).
const VERSION: i64 = 3;

/// Four of the default: what a busy commit appends goes through the log in few pages.
const PAGE_BYTES: i64 = 16384;
/// The write-ahead log is moved into the file at this length, 16 MiB: each time costs two syncs and a pass over the log.
const CHECKPOINT_PAGES: i64 = 1024;

const TABLES: &str = "
CREATE TABLE enterprise (id TEXT PRIMARY KEY, display TEXT NOT NULL, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE gateway (id TEXT PRIMARY KEY, certificate BLOB NOT NULL, previous BLOB, expires INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE enrolment (secret BLOB PRIMARY KEY, gateway TEXT NOT NULL, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE grp (number INTEGER PRIMARY KEY, name TEXT NOT NULL, owner TEXT NOT NULL, incarnation TEXT NOT NULL,
    list INTEGER NOT NULL, allowed TEXT NOT NULL, deleted INTEGER NOT NULL,
    floor INTEGER NOT NULL DEFAULT 0, floor_hash BLOB NOT NULL DEFAULT (zeroblob(16))) STRICT;
CREATE TABLE member (grp INTEGER NOT NULL, gateway TEXT NOT NULL, joined INTEGER NOT NULL, joined_hash BLOB NOT NULL,
    list INTEGER NOT NULL, until INTEGER, settled INTEGER NOT NULL, PRIMARY KEY (grp, gateway)) STRICT, WITHOUT ROWID;
CREATE TABLE mark (grp INTEGER NOT NULL, gateway TEXT NOT NULL, epoch TEXT NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (grp, gateway, epoch)) STRICT, WITHOUT ROWID;
CREATE TABLE refusal (grp INTEGER NOT NULL, gateway TEXT NOT NULL, epoch TEXT NOT NULL, n INTEGER NOT NULL,
    condition TEXT NOT NULL, PRIMARY KEY (grp, gateway, epoch, n)) STRICT, WITHOUT ROWID;
CREATE TABLE fate (grp INTEGER NOT NULL, member TEXT NOT NULL, seq INTEGER NOT NULL, key TEXT NOT NULL,
    condition TEXT NOT NULL, PRIMARY KEY (grp, member, seq)) STRICT, WITHOUT ROWID;
";

/// The log of version 1, which had a row for each entry.
const LOG_OF_1: &str =
    "SELECT grp, seq, hash, stored, list, gateway, epoch, n, source, body FROM log_1 ORDER BY grp, seq";

const LOG: &str = "
CREATE TABLE log (id INTEGER PRIMARY KEY, last INTEGER NOT NULL, hash BLOB NOT NULL, stored INTEGER NOT NULL,
    size INTEGER NOT NULL, entries BLOB NOT NULL) STRICT;
";

/// Version 1 had a row for each entry of a log.
fn from_1(db: &Connection) -> Result<(), StoreError> {
    let tx = db.unchecked_transaction()?;
    tx.execute_batch(&format!("ALTER TABLE log RENAME TO log_1; {LOG}"))?;
    {
        let mut old = tx.prepare(LOG_OF_1)?;
        let mut rows = old.query([])?;
        let mut together: Vec<Record> = Vec::new();
        while let Some(row) = rows.next()? {
            let record = read::record_of_1(row)?;
            if together.first().is_some_and(|r| r.group != record.group) || together.len() as u64 == MILESTONE {
                write::append(&tx, &together.iter().collect::<Vec<_>>())?;
                together.clear();
            }
            together.push(record);
        }
        write::append(&tx, &together.iter().collect::<Vec<_>>())?;
    }
    tx.execute_batch("DROP TABLE log_1; PRAGMA user_version=2;")?;
    tx.commit()?;
    Ok(())
}

/// From version 2 to 3: user lists, and what a group says of itself.
const LISTS: &str = "
ALTER TABLE grp ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE grp ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE grp ADD COLUMN policy TEXT NOT NULL DEFAULT 'open';
ALTER TABLE grp ADD COLUMN digest BLOB NOT NULL DEFAULT X'00000000000000000000000000000000';
ALTER TABLE grp ADD COLUMN accounts INTEGER NOT NULL DEFAULT 0;
CREATE TABLE part (grp INTEGER NOT NULL, enterprise TEXT NOT NULL, PRIMARY KEY (grp, enterprise)) STRICT, WITHOUT ROWID;
CREATE TABLE account (grp INTEGER NOT NULL, enterprise TEXT NOT NULL, user TEXT NOT NULL, version INTEGER NOT NULL,
    display TEXT, role TEXT, PRIMARY KEY (grp, enterprise, user)) STRICT, WITHOUT ROWID;
CREATE INDEX account_change ON account (grp, version, enterprise, user);
";

/// Version 2 had no user lists.
fn from_2(db: &Connection) -> Result<(), StoreError> {
    // All or nothing: a crash in between leaves version 2 as it was.
    Ok(db.execute_batch(&format!("BEGIN IMMEDIATE; {LISTS} PRAGMA user_version=3; COMMIT;"))?)
}

pub(super) fn prepare(db: &Connection) -> Result<(), StoreError> {
    // Counts only while the file is empty.
    db.pragma_update(None, "page_size", PAGE_BYTES)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "busy_timeout", 5000)?;
    db.set_prepared_statement_cache_capacity(64);
    let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    match (pragma("application_id")?, pragma("user_version")?) {
        (0, 0) => {
            db.execute_batch(&format!(
                "BEGIN; {TABLES} {LOG} {LISTS} PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION}; COMMIT;"
            ))?;
            Ok(())
        }
        (APPLICATION, VERSION) => Ok(()),
        (APPLICATION, 1) => from_1(db).and_then(|()| from_2(db)),
        (APPLICATION, 2) => from_2(db),
        (APPLICATION, newer) if newer > VERSION => Err(StoreError(format!(
            "the store has format {newer}, this program knows {VERSION}: install the version that wrote it, or a newer one"
        ))),
        _ => Err(StoreError("this file is not a center's store".into())),
    }
}
