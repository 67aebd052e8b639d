//! Rows as what they mean. A row that makes no sense is an error that names its table: the store was damaged.

use std::str::FromStr;

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{
    AccountId, EnterpriseId, Epoch, GatewayId, GroupNumber, HistoryHash, ListDigest, ListVersion, N, OriginKey, Seq,
};
use intergroup_schemas::limits;
use intergroup_schemas::link::{About, Timestamp};
use intergroup_schemas::list::{self, AccountRow, ListPage, Listed, UserKey};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{
    Enrolment, Enterprise, Fate, Gateway, Group, GroupState, ListPart, MILESTONE, Member, Milestone, PageQuery,
    PageRoom, Record, RecordKind, Snapshot, StoreError, damaged, pack,
};

type Result<T> = std::result::Result<T, StoreError>;

/// The serde name of a unit variant.
pub(super) fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
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
        parts: parts(db)?,
        versions: Vec::new(),
    })
}

/// What is needed of the lists at hand: not the names, of which there may be many.
fn parts(db: &Connection) -> Result<Vec<ListPart>> {
    let mut parts = rows(db, "SELECT grp, enterprise FROM part ORDER BY grp, enterprise", |row| {
        let (group, enterprise) = (GroupNumber(number(row, "grp")?), parsed(row, "enterprise")?);
        Ok(ListPart { group, enterprise, accounts: Vec::new() })
    })?;
    let mut statement = db.prepare_cached(
        "SELECT user, display, role FROM account WHERE grp = ? AND enterprise = ? AND role IS NOT NULL ORDER BY user",
    )?;
    for part in &mut parts {
        let mut rows = statement.query(params![part.group.0.cast_signed(), part.enterprise.as_str()])?;
        while let Some(row) = rows.next()? {
            let (user, listed) = (parsed(row, "user")?, listed(row)?);
            let Some(listed) = listed else { continue };
            let hash = list::row_hash(&part.enterprise, &user, &listed);
            part.accounts.push((UserKey::of(&user), hash, listed.role));
        }
    }
    Ok(parts)
}

/// How an account stands on its list; none when it was removed.
fn listed(row: &Row<'_>) -> Result<Option<Listed>> {
    let role: Option<String> = row.get("role")?;
    if role.is_none() {
        return Ok(None);
    }
    Ok(Some(Listed { display: parsed(row, "display")?, role: from_word(row, "role")? }))
}

pub(super) fn list_page(db: &Connection, query: &PageQuery) -> Result<ListPage> {
    let grp = query.group.0.cast_signed();
    let mut page =
        ListPage { version: ListVersion(0), digest: ListDigest::default(), accounts: 0, rows: Vec::new(), more: false };
    let mut state = db.prepare_cached("SELECT list, digest, accounts FROM grp WHERE number = ?")?;
    if let Some(row) = state.query([grp])?.next()? {
        page.version = ListVersion(number(row, "list")?);
        page.digest = ListDigest(row.get("digest")?);
        page.accounts = number(row, "accounts")?;
    }
    // An enterprise that sorts behind every other stands for "everything of that version is known".
    const BEHIND_ALL: &str = "~";
    let (enterprise, user) = match &query.after {
        Some(after) => (after.enterprise.as_str(), after.user.as_str()),
        None => (BEHIND_ALL, ""),
    };
    let mut statement = db.prepare_cached(
        "SELECT enterprise, user, version, display, role FROM account
         WHERE grp = ? AND (version, enterprise, user) > (?, ?, ?) ORDER BY version, enterprise, user LIMIT ?",
    )?;
    let most = i64::try_from(limits::ACCOUNTS_PER_PAGE + 1).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![grp, query.since.0.cast_signed(), enterprise, user, most])?;
    let (mut room, mut last): (_, Option<EnterpriseId>) = (PageRoom::new(), None);
    while let Some(row) = rows.next()? {
        // Many rows of one enterprise share its name in memory.
        let name = row.get_ref("enterprise")?.as_str().map_err(damaged)?;
        let enterprise = match last.take().filter(|last| last.as_str() == name) {
            Some(same) => same,
            None => parsed(row, "enterprise")?,
        };
        last = Some(enterprise.clone());
        let account = AccountId { enterprise, user: parsed(row, "user")? };
        let row = AccountRow { account, version: ListVersion(number(row, "version")?), listed: listed(row)? };
        if !room.take(&row) {
            page.more = true;
            break;
        }
        page.rows.push(row);
    }
    Ok(page)
}

fn group(db: &Connection, row: &Row<'_>) -> Result<GroupState> {
    let number_ = number(row, "number")?;
    let allowed: String = row.get("allowed")?;
    let allowed = allowed.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>().map_err(damaged)?;
    let group = Group {
        number: GroupNumber(number_),
        about: About {
            name: row.get("name")?,
            description: row.get("description")?,
            subject: row.get("subject")?,
            policy: from_word(row, "policy")?,
        },
        owner: parsed(row, "owner")?,
        incarnation: parsed(row, "incarnation")?,
        list: ListVersion(number(row, "list")?),
        digest: ListDigest(row.get("digest")?),
        accounts: number(row, "accounts")?,
        allowed,
        deleted: row.get("deleted")?,
    };
    let (floor, floor_hash) = (Seq(number(row, "floor")?), hash(row, "floor_hash")?);
    let mut state =
        GroupState { group, floor, floor_hash, head: floor, head_hash: floor_hash, milestones: Vec::new(), bytes: 0 };
    let mut sizes =
        db.prepare_cached("SELECT id, last, hash, stored, size FROM log WHERE id BETWEEN ? AND ? ORDER BY id")?;
    let mut log = sizes.query(params![place(state.group.number, Seq(0))?, place(state.group.number, LAST)?])?;
    while let Some(entries) = log.next()? {
        let (first, last) = (seq_of(entries.get("id")?), Seq(number(entries, "last")?));
        if first != state.head.next() || last < first {
            return Err(damaged(format!("group {number_} has no entry {}", state.head.next())));
        }
        (state.head, state.head_hash) = (last, hash(entries, "hash")?);
        state.bytes += number(entries, "size")?;
        if last.0.is_multiple_of(MILESTONE) {
            let stored = Timestamp(entries.get("stored")?);
            state.milestones.push(Milestone { seq: last, hash: state.head_hash, stored, bytes: state.bytes });
        }
    }
    Ok(state)
}

/// A row of the log of version 1, which had one for each entry.
pub(super) fn record_of_1(row: &Row<'_>) -> Result<Record> {
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
        group: GroupNumber(number(row, "grp")?),
        seq: Seq(number(row, "seq")?),
        hash: hash(row, "hash")?,
        stored: Timestamp(row.get("stored")?),
        list: ListVersion(number(row, "list")?),
        kind,
    })
}

/// Entries of a group that one number can tell apart.
const SEQ_BITS: u32 = 40;
/// The last place that a log can have.
const LAST: Seq = Seq((1 << SEQ_BITS) - 1);

/// The key of the row that begins with an entry: group and place in one number, so that a log's end is appended to.
pub(super) fn place(group: GroupNumber, seq: Seq) -> Result<i64> {
    if group.0 >= 1 << (i64::BITS - 1 - SEQ_BITS) || seq > LAST {
        return Err(StoreError(format!("the store has no room for entry {seq} of group {group}")));
    }
    Ok(((group.0 << SEQ_BITS) | seq.0).cast_signed())
}

fn seq_of(id: i64) -> Seq {
    Seq(id.cast_unsigned() & LAST.0)
}

/// Walks over the entries of a log from a place on, a row at a time, until `each` says no.
fn walk(db: &Connection, group: GroupNumber, from: Seq, mut each: impl FnMut(Record) -> bool) -> Result<()> {
    // The row that has the place may begin before it.
    let mut statement = db.prepare_cached(
        "SELECT id, entries FROM log
         WHERE id BETWEEN ifnull((SELECT max(id) FROM log WHERE id BETWEEN ?1 AND ?2), ?2) AND ?3 ORDER BY id",
    )?;
    let (begin, at, end) = (place(group, Seq(0))?, place(group, from.min(LAST))?, place(group, LAST)?);
    let mut rows = statement.query(params![begin, at, end])?;
    while let Some(row) = rows.next()? {
        let entries: Vec<u8> = row.get("entries")?;
        for record in pack::records(group, seq_of(row.get("id")?), Bytes::from(entries)) {
            let record = record?;
            if record.seq >= from && !each(record) {
                return Ok(());
            }
        }
    }
    Ok(())
}

pub(super) fn log(
    db: &Connection,
    group: GroupNumber,
    after: Seq,
    entries: usize,
    bytes: usize,
) -> Result<Vec<Record>> {
    let (mut records, mut left) = (Vec::new(), bytes as u64);
    walk(db, group, after.next(), |record| {
        if records.len() >= entries || (!records.is_empty() && record.bytes() > left) {
            return false;
        }
        left = left.saturating_sub(record.bytes());
        records.push(record);
        true
    })?;
    Ok(records)
}

pub(super) fn hash_at(db: &Connection, group: GroupNumber, seq: Seq) -> Result<Option<HistoryHash>> {
    let floor = "SELECT floor_hash FROM grp WHERE number = ? AND floor = ?";
    let floor = db
        .prepare_cached(floor)?
        .query_row(params![group.0.cast_signed(), seq.0.cast_signed()], |row| row.get(0))
        .optional()?;
    let mut found = floor.map(HistoryHash);
    walk(db, group, seq, |record| {
        if record.seq == seq {
            found = Some(record.hash);
        }
        false
    })?;
    Ok(found)
}

pub(super) fn sources(db: &Connection, group: GroupNumber, gateway: &GatewayId) -> Result<Vec<u64>> {
    let mut all = Vec::new();
    walk(db, group, Seq(0), |record| {
        if let RecordKind::Message { origin, source, .. } = record.kind
            && origin == *gateway
        {
            all.extend(source);
        }
        true
    })?;
    Ok(all)
}
