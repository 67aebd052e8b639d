//! Changes as SQL. Each is one prepared statement, or two; what a batch appends to a log is a row or a few.

use intergroup_schemas::ids::{EnterpriseId, GatewayId, GroupNumber, Seq};
use intergroup_schemas::link::Change as GroupChange;
use rusqlite::{OptionalExtension, Transaction, params};

use super::read::{self, place, word};
use crate::store::{Change, MILESTONE, Record, RecordKind, StoreError, pack};

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
            "INSERT INTO grp (number, name, description, subject, policy, owner, incarnation, list, digest, accounts, allowed,
             deleted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (number) DO UPDATE SET name = excluded.name, description = excluded.description,
             subject = excluded.subject, policy = excluded.policy, owner = excluded.owner,
             incarnation = excluded.incarnation, list = excluded.list, digest = excluded.digest,
             accounts = excluded.accounts, allowed = excluded.allowed, deleted = excluded.deleted",
            params![
                int(g.number.0),
                g.about.name,
                g.about.description,
                g.about.subject,
                word(&g.about.policy),
                g.owner.as_str(),
                g.incarnation.as_str(),
                int(g.list.0),
                g.digest.0,
                int(g.accounts),
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
        // Together with the others of its group: see `append`.
        Change::Append(record) => {
            if let RecordKind::Change(change) = &record.kind {
                put_list(tx, record, change)?;
            }
            0
        }
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
            trim(tx, *group, *upto)?;
            run("DELETE FROM fate WHERE grp = ? AND seq <= ?", params![int(group.0), int(upto.0)])?;
            run("UPDATE grp SET floor = ?, floor_hash = ? WHERE number = ?", params![int(upto.0), hash.0, int(group.0)])?
        }
    };
    Ok(())
}

/// Appends entries of one group's log, in order, in as few rows as they fit in.
pub(super) fn append(tx: &Transaction<'_>, records: &[&Record]) -> Result<(), StoreError> {
    let mut insert =
        tx.prepare_cached("INSERT INTO log (id, last, hash, stored, size, entries) VALUES (?, ?, ?, ?, ?, ?)")?;
    let mut entries = Vec::new();
    for row in pack::rows(records) {
        let (Some(first), Some(last)) = (row.first(), row.last()) else { continue };
        entries.clear();
        row.iter().try_for_each(|record| pack::push(&mut entries, record))?;
        let size: u64 = row.iter().map(|record| record.bytes()).sum();
        let id = place(first.group, first.seq)?;
        insert.execute(params![id, int(last.seq.0), last.hash.0, last.stored.0, int(size), entries])?;
    }
    Ok(())
}

/// Removes the oldest entries of a log; of a row in the middle of which the cut is, the rest is kept.
fn trim(tx: &Transaction<'_>, group: GroupNumber, upto: Seq) -> Result<(), StoreError> {
    let rest = read::log(tx, group, upto, usize::try_from(MILESTONE).unwrap_or(usize::MAX), usize::MAX)?;
    let (begin, end) = (place(group, Seq(0))?, place(group, upto)?);
    let straddling = "SELECT last FROM log WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1";
    let last: Option<i64> =
        tx.prepare_cached(straddling)?.query_row(params![begin, end], |row| row.get(0)).optional()?;
    tx.prepare_cached("DELETE FROM log WHERE id BETWEEN ? AND ?")?.execute(params![begin, end])?;
    let kept: Vec<_> = rest.iter().filter(|record| last.is_some_and(|last| int(record.seq.0) <= last)).collect();
    append(tx, &kept)
}

/// The accounts that an entry changes.
fn put_list(tx: &Transaction<'_>, record: &Record, change: &GroupChange) -> Result<(), StoreError> {
    let (group, version) = (int(record.group.0), int(record.list.0));
    let part = |enterprise: &EnterpriseId| {
        let mut insert = tx.prepare_cached("INSERT OR IGNORE INTO part (grp, enterprise) VALUES (?, ?)")?;
        insert.execute(params![group, enterprise.as_str()])
    };
    match change {
        GroupChange::Listed { enterprise, accounts, .. } => {
            part(enterprise)?;
            let mut put = tx.prepare_cached(
                "INSERT OR REPLACE INTO account (grp, enterprise, user, version, display, role) VALUES (?, ?, ?, ?, ?, ?)",
            )?;
            for edit in accounts {
                let display = edit.listed.as_ref().map(|l| l.display.as_str());
                let role = edit.listed.as_ref().map(|l| word(&l.role));
                put.execute(params![group, enterprise.as_str(), edit.user.as_str(), version, display, role])?;
            }
        }
        GroupChange::Unlisted { enterprise, .. } => {
            part(enterprise)?;
            let mut clear = tx.prepare_cached(
                "UPDATE account SET version = ?, display = NULL, role = NULL
                 WHERE grp = ? AND enterprise = ? AND role IS NOT NULL",
            )?;
            clear.execute(params![version, group, enterprise.as_str()])?;
        }
        _ => {}
    }
    Ok(())
}
