//! The tables, their version, and the settings that durability rests on. `FORMAT.md` describes them.

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, params};

use crate::store::StoreError;

/// Marks the file as ours (`PRAGMA application_id`): "IGgw".
const APPLICATION: i64 = 0x4947_6777;
/// The version of the tables (`PRAGMA user_version`).
const VERSION: i64 = 6;
/// How long another process that reads the file (an administrator's look) may hold a commit up, in milliseconds.
const BUSY_MS: i64 = 5000;

/// The tables of version 1; what later versions added follows.
const TABLES: &str = "
CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), message_key BLOB NOT NULL) STRICT;
CREATE TABLE mapping (grp INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE outbox (grp INTEGER NOT NULL, n INTEGER NOT NULL, source TEXT, list INTEGER NOT NULL, user TEXT NOT NULL,
    nick TEXT NOT NULL, at INTEGER NOT NULL, late INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (grp, n))
    STRICT, WITHOUT ROWID;
CREATE TABLE seen (grp INTEGER NOT NULL, id TEXT NOT NULL, generation INTEGER NOT NULL, PRIMARY KEY (grp, id))
    STRICT, WITHOUT ROWID;
CREATE INDEX seen_generation ON seen (grp, generation);
CREATE TABLE posted (grp INTEGER NOT NULL, id TEXT NOT NULL, stanza_id TEXT, generation INTEGER NOT NULL,
    at INTEGER NOT NULL, seq INTEGER, enterprise TEXT, key TEXT, PRIMARY KEY (grp, id)) STRICT, WITHOUT ROWID;
CREATE INDEX posted_at ON posted (grp, at);
CREATE INDEX posted_generation ON posted (grp, generation);
CREATE TABLE occupant (grp INTEGER NOT NULL, id TEXT NOT NULL, person TEXT, ours TEXT, PRIMARY KEY (grp, id),
    CHECK ((person IS NULL) <> (ours IS NULL))) STRICT, WITHOUT ROWID;
CREATE TABLE parked (place INTEGER PRIMARY KEY, grp INTEGER NOT NULL, id TEXT NOT NULL, occupant TEXT NOT NULL,
    nick TEXT NOT NULL, at INTEGER NOT NULL, list INTEGER NOT NULL, payload BLOB NOT NULL, UNIQUE (grp, id)) STRICT;
CREATE TABLE entered (grp INTEGER NOT NULL, who TEXT NOT NULL, life INTEGER NOT NULL, PRIMARY KEY (grp, who, life))
    STRICT, WITHOUT ROWID;
CREATE TABLE notice (grp INTEGER NOT NULL, author TEXT NOT NULL, condition TEXT NOT NULL, count INTEGER NOT NULL,
    told INTEGER NOT NULL, PRIMARY KEY (grp, author, condition)) STRICT, WITHOUT ROWID;
";

/// From version 1 to 2: edits of user lists wait in the outbox, too.
const EDITS: &str = "ALTER TABLE outbox ADD COLUMN edit TEXT;";

/// From version 3 to 4: who was seen when.
const ATTENDANCE: &str = "
CREATE TABLE attendance (grp INTEGER NOT NULL, user TEXT NOT NULL, day INTEGER NOT NULL, barred INTEGER NOT NULL,
    PRIMARY KEY (grp, user)) STRICT, WITHOUT ROWID;
";

/// From version 4 to 5: which accounts are on the list for the room here. Until then all were.
const HERE: &str = "ALTER TABLE own ADD COLUMN here INTEGER NOT NULL DEFAULT 1;";

/// From version 5 to 6: what was said while members were away.
const ABSENT: &str = "
CREATE TABLE missed (grp INTEGER NOT NULL, spot INTEGER NOT NULL, id TEXT NOT NULL, user TEXT, author TEXT NOT NULL,
    at INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (grp, spot)) STRICT, WITHOUT ROWID;
CREATE TABLE absent (grp INTEGER NOT NULL, user TEXT NOT NULL, absence TEXT NOT NULL, PRIMARY KEY (grp, user))
    STRICT, WITHOUT ROWID;
";

/// From version 2 to 3: the user lists are kept here, too.
const LISTS: &str = "
CREATE TABLE own (grp INTEGER NOT NULL, user TEXT NOT NULL, display TEXT, role TEXT, n INTEGER, PRIMARY KEY (grp, user))
    STRICT, WITHOUT ROWID;
CREATE TABLE listed (grp INTEGER NOT NULL, enterprise TEXT NOT NULL, user TEXT NOT NULL, version INTEGER NOT NULL,
    display TEXT NOT NULL, role TEXT NOT NULL, PRIMARY KEY (grp, enterprise, user)) STRICT, WITHOUT ROWID;
";

/// What each version has added to the one before, from version 2 on.
const STEPS: [&str; 5] = [EDITS, LISTS, ATTENDANCE, HERE, ABSENT];

pub(super) fn prepare(db: &Connection) -> Result<(), StoreError> {
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "busy_timeout", BUSY_MS)?;
    db.set_prepared_statement_cache_capacity(64);
    let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    match (pragma("application_id")?, pragma("user_version")?) {
        (0, 0) => make(db),
        (APPLICATION, VERSION) => Ok(()),
        (APPLICATION, older @ 1..VERSION) => migrate(db, &STEPS[usize::try_from(older - 1).unwrap_or_default()..]),
        (APPLICATION, newer) if newer > VERSION => Err(StoreError(format!(
            "the store has format {newer}, this program knows {VERSION}: install the version that wrote it, or a newer one"
        ))),
        _ => Err(StoreError("this file is not a gateway's store".into())),
    }
}

/// Adds what the versions since have added, all or nothing.
fn migrate(db: &Connection, steps: &[&str]) -> Result<(), StoreError> {
    let steps = steps.concat();
    Ok(db.execute_batch(&format!("BEGIN IMMEDIATE; {steps} PRAGMA user_version={VERSION}; COMMIT;"))?)
}

fn make(db: &Connection) -> Result<(), StoreError> {
    let mut key = [0_u8; 32];
    SystemRandom::new().fill(&mut key).map_err(|_| StoreError("the system gives no random numbers".into()))?;
    let tx = db.unchecked_transaction()?;
    tx.execute_batch(TABLES)?;
    tx.execute_batch(&STEPS.concat())?;
    tx.execute("INSERT INTO meta (id, message_key) VALUES (1, ?)", params![key])?;
    tx.pragma_update(None, "application_id", APPLICATION)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    Ok(tx.commit()?)
}
