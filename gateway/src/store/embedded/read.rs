//! Rows as what they mean. A row that makes no sense is an error that names its column: the store was damaged.

use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{AccountId, GroupNumber, ListVersion, N, Seq};
use intergroup_schemas::link::Timestamp;
use intergroup_schemas::list::{AccountRow, Listed, Role};
use rusqlite::{Connection, Params, Row, params};

use crate::ids::{BareJid, Life, MessageId, Mouth, Nick, OccupantId, StanzaId};
use crate::store::text::{damaged, who};
use crate::store::{
    AbsentRow, AttendanceRow, Generation, Mapping, MissedRow, NoticeRow, OutMessage, OutboxRow, Outgoing, OwnRow,
    Owner, ParkedRow, PostedRow, Snapshot, Spot, StoreError,
};

type Result<T> = std::result::Result<T, StoreError>;

fn number(row: &Row<'_>, at: &str) -> Result<u64> {
    Ok(row.get::<_, i64>(at)?.cast_unsigned())
}

fn group(row: &Row<'_>) -> Result<GroupNumber> {
    Ok(GroupNumber(number(row, "grp")?))
}

fn text(row: &Row<'_>, at: &str) -> Result<Arc<str>> {
    Ok(row.get(at)?)
}

fn parsed<T: FromStr>(row: &Row<'_>, at: &str) -> Result<T>
where
    T::Err: std::fmt::Display,
{
    row.get_ref(at)?.as_str().map_err(damaged)?.parse().map_err(|e| damaged(format!("{at}: {e}")))
}

fn parsed_if<T: FromStr>(row: &Row<'_>, at: &str) -> Result<Option<T>>
where
    T::Err: std::fmt::Display,
{
    if row.get_ref(at)? == rusqlite::types::ValueRef::Null { Ok(None) } else { parsed(row, at).map(Some) }
}

fn bytes(row: &Row<'_>, at: &str) -> Result<Bytes> {
    Ok(Bytes::from(row.get::<_, Vec<u8>>(at)?))
}

fn rows<T>(db: &Connection, sql: &str, values: impl Params, read: impl Fn(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

pub(super) fn snapshot(db: &Connection) -> Result<Snapshot> {
    let mappings = rows(db, "SELECT body FROM mapping ORDER BY grp", [], |row| {
        let body: String = row.get("body")?;
        serde_json::from_str::<Mapping>(&body).map_err(|e| damaged(format!("mapping: {e}")))
    })?;
    let mut all = Snapshot {
        key: db.query_row("SELECT message_key FROM meta", [], |row| row.get(0))?,
        seen: rows(db, "SELECT * FROM seen ORDER BY grp, id", [], |row| {
            Ok((group(row)?, StanzaId(text(row, "id")?), Generation(number(row, "generation")?)))
        })?,
        occupants: rows(db, "SELECT * FROM occupant ORDER BY grp, id", [], |row| {
            let owner = match row.get::<_, Option<Arc<str>>>("person")? {
                Some(jid) => Owner::Person(BareJid(jid)),
                None => Owner::Ours(who(&text(row, "ours")?)?),
            };
            Ok((group(row)?, OccupantId(text(row, "id")?), owner))
        })?,
        parked: rows(db, "SELECT * FROM parked ORDER BY grp, place", [], |row| {
            Ok(ParkedRow {
                group: group(row)?,
                id: StanzaId(text(row, "id")?),
                occupant: OccupantId(text(row, "occupant")?),
                nick: parsed(row, "nick")?,
                at: Timestamp(row.get("at")?),
                list: ListVersion(number(row, "list")?),
                payload: bytes(row, "payload")?,
            })
        })?,
        entered: rows(db, "SELECT * FROM entered ORDER BY grp, who, life", [], |row| {
            Ok((group(row)?, Mouth { who: who(&text(row, "who")?)?, life: Life(number(row, "life")?) }))
        })?,
        notices: rows(db, "SELECT * FROM notice ORDER BY grp, author, condition", [], |row| {
            let name: String = row.get("condition")?;
            Ok(NoticeRow {
                group: group(row)?,
                author: BareJid(text(row, "author")?),
                condition: Condition::from_wire(&name).ok_or_else(|| damaged(format!("condition {name}")))?,
                count: number(row, "count")?,
                told: number(row, "told")?,
            })
        })?,
        attendance: rows(db, "SELECT * FROM attendance ORDER BY grp, user", [], |row| {
            let (day, barred) = (row.get("day")?, row.get("barred")?);
            Ok(AttendanceRow { group: group(row)?, user: parsed(row, "user")?, day, barred })
        })?,
        absent: rows(db, "SELECT * FROM absent ORDER BY grp, user", [], |row| {
            let absence = row.get_ref("absence")?.as_str().map_err(damaged)?;
            let absence = serde_json::from_str(absence).map_err(|e| damaged(format!("absence: {e}")))?;
            Ok(AbsentRow { group: group(row)?, user: parsed(row, "user")?, absence })
        })?,
        own: rows(db, "SELECT * FROM own ORDER BY grp, user", [], |row| {
            Ok(OwnRow {
                group: group(row)?,
                user: parsed(row, "user")?,
                listed: listed_as(row)?,
                n: row.get::<_, Option<i64>>("n")?.map(|n| N(n.cast_unsigned())),
                here: row.get("here")?,
            })
        })?,
        ..Snapshot::default()
    };
    for mapping in &mappings {
        let (oldest, settled) = mapping.checkpoints.first().map_or((0, 0), |c| (c.generation.0, c.settled.0));
        let sql = "SELECT * FROM posted WHERE grp = ? AND (generation >= ? OR seq IS NULL OR seq > ?) ORDER BY id";
        let (group, oldest, settled) = (mapping.group.0.cast_signed(), oldest.cast_signed(), settled.cast_signed());
        all.posted.extend(rows(db, sql, params![group, oldest, settled], posted_row)?);
    }
    all.mappings = mappings;
    Ok(all)
}

pub(super) fn outbox(db: &Connection, of: GroupNumber, from: N, max: usize) -> Result<Vec<OutboxRow>> {
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    let sql = "SELECT * FROM outbox WHERE grp = ? AND n >= ? ORDER BY n LIMIT ?";
    rows(db, sql, params![of.0.cast_signed(), from.0.cast_signed(), limit], |row| {
        let list = ListVersion(number(row, "list")?);
        let what = match row.get::<_, Option<String>>("edit")? {
            Some(edit) => {
                let accounts = serde_json::from_str(&edit).map_err(|e| damaged(format!("edit: {e}")))?;
                Outgoing::Edit { base: list, accounts }
            }
            None => Outgoing::Message(OutMessage {
                source: parsed_if(row, "source")?,
                list,
                user: parsed(row, "user")?,
                nick: parsed(row, "nick")?,
                at: Timestamp(row.get("at")?),
                late: row.get("late")?,
                payload: bytes(row, "payload")?,
            }),
        };
        Ok(OutboxRow { group: of, n: N(number(row, "n")?), what })
    })
}

pub(super) fn posted(db: &Connection, of: GroupNumber, after: Seq) -> Result<Vec<PostedRow>> {
    let sql = "SELECT * FROM posted WHERE grp = ? AND seq > ? ORDER BY id";
    rows(db, sql, params![of.0.cast_signed(), after.0.cast_signed()], posted_row)
}

/// How an account stands on a list.
fn listed_as(row: &Row<'_>) -> Result<Option<Listed>> {
    let Some(display) = parsed_if(row, "display")? else { return Ok(None) };
    let role: String = row.get("role")?;
    let role = Role::from_wire(&role).ok_or_else(|| damaged(format!("role {role}")))?;
    Ok(Some(Listed { display, role }))
}

pub(super) fn listed(
    db: &Connection,
    of: GroupNumber,
    after: Option<&AccountId>,
    max: usize,
) -> Result<Vec<AccountRow>> {
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    // Every id is behind the empty text.
    let (enterprise, user) = after.map_or(("", ""), |a| (a.enterprise.as_str(), a.user.as_str()));
    let sql = "SELECT * FROM listed WHERE grp = ? AND (enterprise, user) > (?, ?) ORDER BY enterprise, user LIMIT ?";
    rows(db, sql, params![of.0.cast_signed(), enterprise, user, limit], |row| {
        let account = AccountId { enterprise: parsed(row, "enterprise")?, user: parsed(row, "user")? };
        Ok(AccountRow { account, version: ListVersion(number(row, "version")?), listed: listed_as(row)? })
    })
}

pub(super) fn missed(db: &Connection, of: GroupNumber, from: Spot, max: usize) -> Result<Vec<MissedRow>> {
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    let sql = "SELECT * FROM missed WHERE grp = ? AND spot >= ? ORDER BY spot LIMIT ?";
    rows(db, sql, params![of.0.cast_signed(), from.0.cast_signed(), limit], |row| {
        Ok(MissedRow {
            group: of,
            spot: Spot(number(row, "spot")?),
            id: MessageId(text(row, "id")?),
            user: parsed_if(row, "user")?,
            author: Nick(text(row, "author")?),
            at: Timestamp(row.get("at")?),
            payload: bytes(row, "payload")?,
        })
    })
}

fn posted_row(row: &Row<'_>) -> Result<PostedRow> {
    let key = match parsed_if(row, "enterprise")? {
        Some(enterprise) => Some((enterprise, parsed(row, "key")?)),
        None => None,
    };
    Ok(PostedRow {
        group: group(row)?,
        id: MessageId(text(row, "id")?),
        stanza_id: row.get::<_, Option<Arc<str>>>("stanza_id")?.map(StanzaId),
        generation: Generation(number(row, "generation")?),
        at: Timestamp(row.get("at")?),
        seq: row.get::<_, Option<i64>>("seq")?.map(|s| Seq(s.cast_unsigned())),
        key,
    })
}
