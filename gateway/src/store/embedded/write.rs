//! Changes as SQL. Each is one prepared statement, but for the end of a mapping.

use intergroup_schemas::ids::GroupNumber;
use rusqlite::{Transaction, params};

use crate::store::text::who_text;
use crate::store::{Change, Outgoing, Owner, StoreError};

/// SQLite has signed integers only; our counters never come near their end.
fn int(n: u64) -> i64 {
    n.cast_signed()
}

/// Every table with rows of a group.
const OF_A_GROUP: [&str; 13] = [
    "mapping",
    "outbox",
    "seen",
    "posted",
    "occupant",
    "parked",
    "entered",
    "notice",
    "own",
    "listed",
    "attendance",
    "missed",
    "absent",
];

pub(super) fn apply(tx: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    let grp = |group: GroupNumber| int(group.0);
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| tx.prepare_cached(sql)?.execute(values);
    match change {
        Change::Mapping(m) => {
            let body = serde_json::to_string(m).map_err(|e| StoreError(e.to_string()))?;
            run("INSERT OR REPLACE INTO mapping (grp, body) VALUES (?, ?)", params![grp(m.group), body])?
        }
        Change::MappingGone(group) => {
            for table in OF_A_GROUP {
                run(&format!("DELETE FROM {table} WHERE grp = ?"), params![grp(*group)])?;
            }
            0
        }
        Change::Outbox(r) => match &r.what {
            Outgoing::Message(m) => run(
                "INSERT OR REPLACE INTO outbox (grp, n, source, list, user, nick, at, late, payload)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    grp(r.group),
                    int(r.n.0),
                    m.source.as_ref().map(|s| s.as_str()),
                    int(m.list.0),
                    m.user.as_str(),
                    m.nick.as_str(),
                    m.at.0,
                    m.late,
                    m.payload.as_ref()
                ],
            )?,
            Outgoing::Edit { base, accounts } => {
                let edit = serde_json::to_string(accounts).map_err(|e| StoreError(e.to_string()))?;
                run(
                    "INSERT OR REPLACE INTO outbox (grp, n, list, user, nick, at, late, payload, edit)
                     VALUES (?, ?, ?, '', '', 0, 0, x'', ?)",
                    params![grp(r.group), int(r.n.0), int(base.0), edit],
                )?
            }
        },
        Change::OutboxTrim { group, upto } => {
            run("DELETE FROM outbox WHERE grp = ? AND n <= ?", params![grp(*group), int(upto.0)])?
        }
        Change::OutboxClear(group) => run("DELETE FROM outbox WHERE grp = ?", params![grp(*group)])?,
        Change::Seen { group, id, generation } => run(
            "INSERT OR REPLACE INTO seen (grp, id, generation) VALUES (?, ?, ?)",
            params![grp(*group), id.as_str(), int(generation.0)],
        )?,
        Change::SeenTrim { group, before } => {
            run("DELETE FROM seen WHERE grp = ? AND generation < ?", params![grp(*group), int(before.0)])?
        }
        Change::Posted(r) => run(
            "INSERT OR REPLACE INTO posted (grp, id, stanza_id, generation, at, seq, enterprise, key)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                grp(r.group),
                r.id.as_str(),
                r.stanza_id.as_ref().map(|s| s.as_str()),
                int(r.generation.0),
                r.at.0,
                r.seq.map(|s| int(s.0)),
                r.key.as_ref().map(|(enterprise, _)| enterprise.as_str()),
                r.key.as_ref().map(|(_, key)| key.to_string())
            ],
        )?,
        Change::PostedTrim { group, before } => {
            run("DELETE FROM posted WHERE grp = ? AND at < ?", params![grp(*group), before.0])?
        }
        Change::Occupant { group, id, owner } => {
            let (person, ours) = match owner {
                Owner::Person(jid) => (Some(jid.as_str()), None),
                Owner::Ours(who) => (None, Some(who_text(who))),
            };
            run(
                "INSERT OR REPLACE INTO occupant (grp, id, person, ours) VALUES (?, ?, ?, ?)",
                params![grp(*group), id.as_str(), person, ours],
            )?
        }
        Change::Parked(r) => run(
            "INSERT INTO parked (grp, id, occupant, nick, at, list, payload) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (grp, id) DO UPDATE SET occupant = excluded.occupant, nick = excluded.nick, at = excluded.at,
                list = excluded.list, payload = excluded.payload",
            params![
                grp(r.group),
                r.id.as_str(),
                r.occupant.as_str(),
                r.nick.as_str(),
                r.at.0,
                int(r.list.0),
                r.payload.as_ref()
            ],
        )?,
        Change::ParkedGone { group, id } => {
            run("DELETE FROM parked WHERE grp = ? AND id = ?", params![grp(*group), id.as_str()])?
        }
        Change::Entered { group, mouth } => run(
            "INSERT OR REPLACE INTO entered (grp, who, life) VALUES (?, ?, ?)",
            params![grp(*group), who_text(&mouth.who), int(mouth.life.0)],
        )?,
        Change::Fenced { group, life } => {
            run("DELETE FROM entered WHERE grp = ? AND life < ?", params![grp(*group), int(life.0)])?
        }
        Change::Notice(r) => run(
            "INSERT OR REPLACE INTO notice (grp, author, condition, count, told) VALUES (?, ?, ?, ?, ?)",
            params![grp(r.group), r.author.as_str(), r.condition.as_str(), int(r.count), int(r.told)],
        )?,
        Change::Attendance(r) => run(
            "INSERT OR REPLACE INTO attendance (grp, user, day, barred) VALUES (?, ?, ?, ?)",
            params![grp(r.group), r.user.as_str(), r.day, r.barred],
        )?,
        Change::AttendanceGone { group, user } => {
            run("DELETE FROM attendance WHERE grp = ? AND user = ?", params![grp(*group), user.as_str()])?
        }
        Change::Missed(r) => run(
            "INSERT OR REPLACE INTO missed (grp, spot, id, user, author, at, payload) VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                grp(r.group),
                int(r.spot.0),
                r.id.as_str(),
                r.user.as_ref().map(|user| user.as_str()),
                r.author.as_str(),
                r.at.0,
                r.payload.as_ref()
            ],
        )?,
        Change::MissedTrim { group, before } => {
            run("DELETE FROM missed WHERE grp = ? AND spot < ?", params![grp(*group), int(before.0)])?
        }
        Change::Absent(r) if r.absence.is_nothing() => {
            run("DELETE FROM absent WHERE grp = ? AND user = ?", params![grp(r.group), r.user.as_str()])?
        }
        Change::Absent(r) => {
            let absence = serde_json::to_string(&r.absence).map_err(|e| StoreError(e.to_string()))?;
            run(
                "INSERT OR REPLACE INTO absent (grp, user, absence) VALUES (?, ?, ?)",
                params![grp(r.group), r.user.as_str(), absence],
            )?
        }
        Change::Own(r) if r.listed.is_none() && r.n.is_none() => {
            run("DELETE FROM own WHERE grp = ? AND user = ?", params![grp(r.group), r.user.as_str()])?
        }
        Change::Own(r) => run(
            "INSERT OR REPLACE INTO own (grp, user, display, role, n, here) VALUES (?, ?, ?, ?, ?, ?)",
            params![
                grp(r.group),
                r.user.as_str(),
                r.listed.as_ref().map(|l| l.display.as_str()),
                r.listed.as_ref().map(|l| l.role.as_str()),
                r.n.map(|n| int(n.0)),
                r.here
            ],
        )?,
        Change::Listed { group, rows } => {
            for row in rows {
                let (enterprise, user) = (row.account.enterprise.as_str(), row.account.user.as_str());
                match &row.listed {
                    Some(listed) => run(
                        "INSERT OR REPLACE INTO listed (grp, enterprise, user, version, display, role)
                         VALUES (?, ?, ?, ?, ?, ?)",
                        params![
                            grp(*group),
                            enterprise,
                            user,
                            int(row.version.0),
                            listed.display.as_str(),
                            listed.role.as_str()
                        ],
                    )?,
                    None => run(
                        "DELETE FROM listed WHERE grp = ? AND enterprise = ? AND user = ?",
                        params![grp(*group), enterprise, user],
                    )?,
                };
            }
            0
        }
        Change::Unlisted { group, enterprise: Some(enterprise) } => {
            run("DELETE FROM listed WHERE grp = ? AND enterprise = ?", params![grp(*group), enterprise.as_str()])?
        }
        Change::Unlisted { group, enterprise: None } => run("DELETE FROM listed WHERE grp = ?", params![grp(*group)])?,
    };
    Ok(())
}
