//! Rows as what they mean. A row that makes no sense is an error that names its table: the store was damaged.

use bytes::Bytes;
use intergroup_redis::{NUMBER, Row};
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{AccountId, GroupNumber, N};
use intergroup_schemas::list::AccountRow;
use serde::de::DeserializeOwned;

use super::{Seen, table};
use crate::ids::{BareJid, Life, MessageId, Mouth, OccupantId, StanzaId};
use crate::store::text::{damaged, who};
use crate::store::{
    AbsentRow, AttendanceRow, Generation, Mapping, MissedRow, NoticeRow, OutMessage, OutboxRow, Outgoing, OwnRow,
    Owner, ParkedRow, PostedRow, Snapshot, Spot, StoreError,
};

type Result<T> = std::result::Result<T, StoreError>;

fn json<T: DeserializeOwned>(row: &Row, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| damaged(format!("a row of table {}: {e}", char::from(row.table()))))
}

/// The parts of a row's key behind `skip` bytes.
fn parts<const COUNT: usize>(row: &Row, skip: usize) -> Result<[&str; COUNT]> {
    let parts = row.parts(skip).and_then(|parts| parts.try_into().ok());
    parts.ok_or_else(|| damaged(format!("a key of table {}", char::from(row.table()))))
}

fn number(row: &Row) -> Result<u64> {
    row.number(0).ok_or_else(|| damaged(format!("a number in a key of table {}", char::from(row.table()))))
}

/// What stands before the first zero, and behind it.
fn split(bytes: &[u8]) -> (&[u8], Option<Bytes>) {
    match bytes.iter().position(|b| *b == 0) {
        Some(zero) => (&bytes[..zero], Some(Bytes::copy_from_slice(&bytes[zero + 1..]))),
        None => (bytes, None),
    }
}

/// Everything of a group that a snapshot has.
pub(super) fn group(all: &mut Snapshot, group: GroupNumber, rows: &[Row]) -> Result<()> {
    let (mut mapping, mut seen, mut parked): (Option<Mapping>, Seen, Vec<_>) = (None, Seen::new(), Vec::new());
    for row in rows {
        match row.table() {
            table::MAPPING => mapping = Some(json(row, row.value())?),
            table::SEEN => {
                let [id] = parts(row, NUMBER)?;
                seen.insert(StanzaId::from(id), Generation(number(row)?));
            }
            table::PARKED => {
                let (place, body) = row.value().split_at_checked(NUMBER).ok_or_else(|| damaged("a parked message"))?;
                parked.push((place, parked_row(group, row, body)?));
            }
            table::POSTED => {
                let row = posted(group, row)?;
                let oldest = mapping.as_ref().and_then(|m| m.checkpoints.first());
                let (oldest, settled) = oldest.map_or_else(Default::default, |c| (c.generation, c.settled));
                if row.generation >= oldest || row.seq.is_none_or(|seq| seq > settled) {
                    all.posted.push(row);
                }
            }
            table::OCCUPANT => {
                let [id] = parts(row, 0)?;
                let owner = match json::<(Option<BareJid>, Option<String>)>(row, row.value())? {
                    (Some(jid), _) => Owner::Person(jid),
                    (None, ours) => Owner::Ours(who(&ours.unwrap_or_default())?),
                };
                all.occupants.push((group, OccupantId::from(id), owner));
            }
            table::ENTERED => {
                let [who_] = parts(row, NUMBER)?;
                all.entered.push((group, Mouth { who: who(who_)?, life: Life(number(row)?) }));
            }
            table::NOTICE => {
                let [author, condition] = parts(row, 0)?;
                let name = condition;
                let condition = Condition::from_wire(name).ok_or_else(|| damaged(format!("condition {name}")))?;
                let (count, told) = json(row, row.value())?;
                all.notices.push(NoticeRow { group, author: author.into(), condition, count, told });
            }
            table::ATTENDANCE => {
                let [user] = parts(row, 0)?;
                let (day, barred) = json(row, row.value())?;
                all.attendance.push(AttendanceRow { group, user: user.parse().map_err(damaged)?, day, barred });
            }
            table::ABSENT => {
                let [user] = parts(row, 0)?;
                let absence = json(row, row.value())?;
                all.absent.push(AbsentRow { group, user: user.parse().map_err(damaged)?, absence });
            }
            table::OWN => {
                let [user] = parts(row, 0)?;
                let (listed, n, here) = json(row, row.value())?;
                all.own.push(OwnRow { group, user: user.parse().map_err(damaged)?, listed, n, here });
            }
            other => return Err(damaged(format!("table {}", char::from(other)))),
        }
    }
    parked.sort_by_key(|(place, _)| *place);
    all.parked.extend(parked.into_iter().map(|(_, row)| row));
    all.seen.extend(seen.into_iter().map(|(id, generation)| (group, id, generation)));
    all.mappings.extend(mapping);
    Ok(())
}

fn parked_row(group: GroupNumber, row: &Row, body: &[u8]) -> Result<ParkedRow> {
    let [id] = parts(row, 0)?;
    let (head, payload) = split(body);
    let (occupant, nick, at, list) = json(row, head)?;
    Ok(ParkedRow { group, id: id.into(), occupant, nick, at, list, payload: payload.unwrap_or_default() })
}

pub(super) fn posted(group: GroupNumber, row: &Row) -> Result<PostedRow> {
    let [id] = parts(row, 0)?;
    let value = row.indexed().ok_or_else(|| damaged("a posted message"))?;
    let (stanza_id, generation, at, seq, key) = json(row, value)?;
    Ok(PostedRow { group, id: MessageId::from(id), stanza_id, generation, at, seq, key })
}

pub(super) fn outbox(group: GroupNumber, row: &Row) -> Result<OutboxRow> {
    let what = match split(row.value()) {
        (head, Some(payload)) => {
            let (source, list, user, nick, at, late) = json(row, head)?;
            Outgoing::Message(OutMessage { source, list, user, nick, at, late, payload })
        }
        (edit, None) => {
            let (base, accounts) = json(row, edit)?;
            Outgoing::Edit { base, accounts }
        }
    };
    Ok(OutboxRow { group, n: N(number(row)?), what })
}

pub(super) fn missed(group: GroupNumber, row: &Row) -> Result<MissedRow> {
    let (head, payload) = split(row.value());
    let (id, user, author, at) = json::<(String, _, _, _)>(row, head)?;
    let (spot, id) = (Spot(number(row)?), MessageId::from(id.as_str()));
    Ok(MissedRow { group, spot, id, user, author, at, payload: payload.unwrap_or_default() })
}

pub(super) fn listed(row: &Row) -> Result<AccountRow> {
    let [enterprise, user] = parts(row, 0)?;
    let account = AccountId { enterprise: enterprise.parse().map_err(damaged)?, user: user.parse().map_err(damaged)? };
    let (version, listed) = json(row, row.value())?;
    Ok(AccountRow { account, version, listed: Some(listed) })
}
