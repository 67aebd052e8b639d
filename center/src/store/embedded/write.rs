//! Changes as SQL. Each is one prepared statement, or two.

use intergroup_schemas::ids::GatewayId;
use rusqlite::{Transaction, params};

use super::read::word;
use crate::store::{Change, Record, RecordKind, StoreError};

/// SQLite has signed integers only; the bits come back as they went.
fn int(n: u64) -> i64 {
    n.cast_signed()
}

fn name(gateway: &GatewayId) -> String {
    gateway.to_string()
}

pub(super) fn apply(tx: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| tx.prepare_cached(sql)?.execute(values);
    match change {
        Change::Enterprise(e) => run(
            "INSERT OR REPLACE INTO enterprise (id, display, state) VALUES (?, ?, ?)",
            params![e.id.as_str(), e.display.as_str(), word(&e.state)],
        )?,
        Change::Gateway(g) => run(
            "INSERT OR REPLACE INTO gateway (id, certificate, previous, expires) VALUES (?, ?, ?, ?)",
            params![name(&g.id), g.certificate, g.previous, g.expires.0],
        )?,
        Change::Enrolment(e) => run(
            "INSERT OR REPLACE INTO enrolment (secret, gateway, expires) VALUES (?, ?, ?)",
            params![e.secret, name(&e.gateway), e.expires.0],
        )?,
        Change::EnrolmentGone(secret) => run("DELETE FROM enrolment WHERE secret = ?", params![secret])?,
        Change::Group(g) => run(
            "INSERT INTO grp (number, name, owner, incarnation, list, allowed, deleted) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (number) DO UPDATE SET name = excluded.name, owner = excluded.owner,
             incarnation = excluded.incarnation, list = excluded.list, allowed = excluded.allowed, deleted = excluded.deleted",
            params![
                int(g.number.0),
                g.name,
                g.owner.as_str(),
                g.incarnation.as_str(),
                int(g.list.0),
                g.allowed.iter().map(|e| e.as_str()).collect::<Vec<_>>().join(" "),
                g.deleted
            ],
        )?,
        Change::Member(m) => run(
            "INSERT OR REPLACE INTO member (grp, gateway, joined, joined_hash, list, until, settled)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                int(m.group.0),
                name(&m.gateway),
                int(m.from.0),
                m.from_hash.0,
                int(m.list.0),
                m.until.map(|s| int(s.0)),
                int(m.settled.0)
            ],
        )?,
        Change::Append(record) => return append(tx, record),
        Change::Mark { group, gateway, epoch, n } => run(
            "INSERT OR REPLACE INTO mark (grp, gateway, epoch, n) VALUES (?, ?, ?, ?)",
            params![int(group.0), name(gateway), epoch.as_str(), int(n.0)],
        )?,
        Change::Refused { group, gateway, epoch, n, condition } => run(
            "INSERT OR REPLACE INTO refusal (grp, gateway, epoch, n, condition) VALUES (?, ?, ?, ?, ?)",
            params![int(group.0), name(gateway), epoch.as_str(), int(n.0), condition.as_str()],
        )?,
        Change::Confirmed { group, gateway, epoch, n } => run(
            "DELETE FROM refusal WHERE grp = ? AND gateway = ? AND epoch = ? AND n <= ?",
            params![int(group.0), name(gateway), epoch.as_str(), int(n.0)],
        )?,
        Change::Fate(f) => run(
            "INSERT OR REPLACE INTO fate (grp, member, seq, key, condition) VALUES (?, ?, ?, ?, ?)",
            params![int(f.group.0), name(&f.member), int(f.seq.0), f.key.to_string(), f.condition.as_str()],
        )?,
        Change::Trim { group, upto, hash } => {
            run("DELETE FROM log WHERE grp = ? AND seq <= ?", params![int(group.0), int(upto.0)])?;
            run("DELETE FROM fate WHERE grp = ? AND seq <= ?", params![int(group.0), int(upto.0)])?;
            run("UPDATE grp SET floor = ?, floor_hash = ? WHERE number = ?", params![int(upto.0), hash.0, int(group.0)])?
        }
    };
    Ok(())
}

fn append(tx: &Transaction<'_>, record: &Record) -> Result<(), StoreError> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO log (grp, seq, hash, stored, list, gateway, epoch, n, source, size, body)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let Record { group, seq, hash, stored, list, kind } = record;
    match kind {
        RecordKind::Message { origin, key, source, deliver } => insert.execute(params![
            int(group.0),
            int(seq.0),
            hash.0,
            stored.0,
            int(list.0),
            name(origin),
            key.epoch.as_str(),
            int(key.n.0),
            source.map(int),
            int(deliver.len() as u64),
            deliver.as_ref()
        ])?,
        RecordKind::Change(change) => {
            let body = serde_json::to_vec(change).map_err(|e| StoreError(e.to_string()))?;
            let none: Option<i64> = None;
            insert.execute(params![
                int(group.0),
                int(seq.0),
                hash.0,
                stored.0,
                int(list.0),
                none,
                none,
                none,
                none,
                0,
                body
            ])?
        }
    };
    Ok(())
}
