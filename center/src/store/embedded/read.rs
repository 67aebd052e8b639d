//! Rows as what they mean. A row that makes no sense is an error that names its table: the store was damaged.

use std::str::FromStr;

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{Epoch, GatewayId, GroupNumber, HistoryHash, ListVersion, N, OriginKey, Seq};
use intergroup_schemas::link::Timestamp;
use rusqlite::{Connection, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{
    Enrolment, Enterprise, Fate, Gateway, Group, GroupState, MILESTONE, Member, Milestone, Record, RecordKind,
    Snapshot, StoreError,
};

type Result<T> = std::result::Result<T, StoreError>;

/// The serde name of a unit variant.
pub(super) fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn damaged(what: impl std::fmt::Display) -> StoreError {
    StoreError(format!("the store is damaged: {what}; restore it from a backup"))
}

fn number(row: &Row<'_>, at: &str) -> Result<u64> {
    Ok(row.get::<_, i64>(at)?.cast_unsigned())
}

fn parsed<T: FromStr>(row: &Row<'_>, at: &str) -> Result<T>
where
    T::Err: std::fmt::Display,
{
    row.get_ref(at)?.as_str().map_err(damaged)?.parse().map_err(|e| damaged(format!("{at}: {e}")))
}

fn from_word<T: DeserializeOwned>(row: &Row<'_>, at: &str) -> Result<T> {
    serde_json::from_value(serde_json::Value::String(row.get(at)?)).map_err(damaged)
}

fn hash(row: &Row<'_>, at: &str) -> Result<HistoryHash> {
    Ok(HistoryHash(row.get(at)?))
}

fn condition(row: &Row<'_>) -> Result<Condition> {
    let name: String = row.get("condition")?;
    Condition::from_wire(&name).ok_or_else(|| damaged(format!("condition {name}")))
}

fn rows<T>(db: &Connection, sql: &str, read: impl Fn(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

pub(super) fn snapshot(db: &Connection) -> Result<Snapshot> {
    let grp = |row: &Row<'_>| number(row, "grp").map(GroupNumber);
    Ok(Snapshot {
        enterprises: rows(db, "SELECT * FROM enterprise ORDER BY id", |row| {
            Ok(Enterprise { id: parsed(row, "id")?, display: parsed(row, "display")?, state: from_word(row, "state")? })
        })?,
        gateways: rows(db, "SELECT * FROM gateway ORDER BY id", |row| {
            Ok(Gateway {
                id: parsed(row, "id")?,
                certificate: row.get("certificate")?,
                previous: row.get("previous")?,
                expires: Timestamp(row.get("expires")?),
            })
        })?,
        enrolments: rows(db, "SELECT * FROM enrolment ORDER BY secret", |row| {
            let expires = Timestamp(row.get("expires")?);
            Ok(Enrolment { secret: row.get("secret")?, gateway: parsed(row, "gateway")?, expires })
        })?,
        groups: rows(db, "SELECT * FROM grp ORDER BY number", |row| group(db, row))?,
        members: rows(db, "SELECT * FROM member ORDER BY grp, gateway", |row| {
            let until: Option<i64> = row.get("until")?;
            Ok(Member {
                group: grp(row)?,
                gateway: parsed(row, "gateway")?,
                from: Seq(number(row, "joined")?),
                from_hash: hash(row, "joined_hash")?,
                list: ListVersion(number(row, "list")?),
                until: until.map(|s| Seq(s.unsigned_abs())),
                settled: Seq(number(row, "settled")?),
            })
        })?,
        marks: rows(db, "SELECT * FROM mark ORDER BY grp, gateway, epoch", |row| {
            Ok((grp(row)?, parsed(row, "gateway")?, parsed::<Epoch>(row, "epoch")?, N(number(row, "n")?)))
        })?,
        refusals: rows(db, "SELECT * FROM refusal ORDER BY grp, gateway, epoch, n", |row| {
            let n = N(number(row, "n")?);
            Ok((grp(row)?, parsed(row, "gateway")?, parsed::<Epoch>(row, "epoch")?, n, condition(row)?))
        })?,
        fates: rows(db, "SELECT * FROM fate ORDER BY grp, member, seq", |row| {
            Ok(Fate {
                group: grp(row)?,
                member: parsed(row, "member")?,
                seq: Seq(number(row, "seq")?),
                key: parsed(row, "key")?,
                condition: condition(row)?,
            })
        })?,
    })
}

fn group(db: &Connection, row: &Row<'_>) -> Result<GroupState> {
    let number_ = number(row, "number")?;
    let allowed: String = row.get("allowed")?;
    let allowed = allowed.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>().map_err(damaged)?;
    let group = Group {
        number: GroupNumber(number_),
        name: row.get("name")?,
        owner: parsed(row, "owner")?,
        incarnation: parsed(row, "incarnation")?,
        list: ListVersion(number(row, "list")?),
        allowed,
        deleted: row.get("deleted")?,
    };
    let (floor, floor_hash) = (Seq(number(row, "floor")?), hash(row, "floor_hash")?);
    let mut state =
        GroupState { group, floor, floor_hash, head: floor, head_hash: floor_hash, milestones: Vec::new(), bytes: 0 };
    let mut sizes = db.prepare_cached("SELECT seq, hash, stored, size FROM log WHERE grp = ? ORDER BY seq")?;
    let mut log = sizes.query([row.get::<_, i64>("number")?])?;
    while let Some(entry) = log.next()? {
        let seq = Seq(number(entry, "seq")?);
        if seq != state.head.next() {
            return Err(damaged(format!("group {number_} has no entry {}", state.head.next())));
        }
        (state.head, state.head_hash) = (seq, hash(entry, "hash")?);
        state.bytes += number(entry, "size")?;
        if seq.0.is_multiple_of(MILESTONE) {
            let stored = Timestamp(entry.get("stored")?);
            state.milestones.push(Milestone { seq, hash: state.head_hash, stored, bytes: state.bytes });
        }
    }
    Ok(state)
}

pub(super) fn log(
    db: &Connection,
    group: GroupNumber,
    after: Seq,
    entries: usize,
    bytes: usize,
) -> Result<Vec<Record>> {
    let mut statement = db.prepare_cached("SELECT * FROM log WHERE grp = ? AND seq > ? ORDER BY seq LIMIT ?")?;
    let limit = i64::try_from(entries).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![group.0.cast_signed(), after.0.cast_signed(), limit])?;
    let (mut records, mut left) = (Vec::new(), bytes as u64);
    while let Some(row) = rows.next()? {
        let record = record(group, row)?;
        if !records.is_empty() && record.bytes() > left {
            break;
        }
        left = left.saturating_sub(record.bytes());
        records.push(record);
    }
    Ok(records)
}

fn record(group: GroupNumber, row: &Row<'_>) -> Result<Record> {
    let body: Vec<u8> = row.get("body")?;
    let origin: Option<String> = row.get("gateway")?;
    let kind = match origin {
        None => RecordKind::Change(serde_json::from_slice(&body).map_err(damaged)?),
        Some(origin) => RecordKind::Message {
            origin: origin.parse().map_err(damaged)?,
            key: OriginKey { epoch: parsed(row, "epoch")?, n: N(number(row, "n")?) },
            source: row.get::<_, Option<i64>>("source")?.map(i64::cast_unsigned),
            deliver: Bytes::from(body),
        },
    };
    Ok(Record {
        group,
        seq: Seq(number(row, "seq")?),
        hash: hash(row, "hash")?,
        stored: Timestamp(row.get("stored")?),
        list: ListVersion(number(row, "list")?),
        kind,
    })
}

pub(super) fn hash_at(db: &Connection, group: GroupNumber, seq: Seq) -> Result<Option<HistoryHash>> {
    let mut statement = db.prepare_cached(
        "SELECT hash FROM log WHERE grp = ?1 AND seq = ?2
         UNION ALL SELECT floor_hash AS hash FROM grp WHERE number = ?1 AND floor = ?2",
    )?;
    let mut rows = statement.query(params![group.0.cast_signed(), seq.0.cast_signed()])?;
    rows.next()?.map(|row| hash(row, "hash")).transpose()
}

pub(super) fn sources(db: &Connection, group: GroupNumber, gateway: &GatewayId) -> Result<Vec<u64>> {
    let mut statement =
        db.prepare_cached("SELECT source FROM log WHERE grp = ? AND gateway = ? AND source IS NOT NULL ORDER BY seq")?;
    let mut rows = statement.query(params![group.0.cast_signed(), gateway.to_string()])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(row.get::<_, i64>("source")?.cast_unsigned());
    }
    Ok(all)
}
