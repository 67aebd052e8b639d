//! Changes as rows. `FORMAT.md` describes them.

use intergroup_redis::{Batch, Key, NUMBER};
use intergroup_schemas::ids::AccountId;
use serde::Serialize;

use super::{slot, table};
use crate::store::text::who_text;
use crate::store::{Change, MissedRow, OutMessage, OutboxRow, Outgoing, Owner, ParkedRow, PostedRow, StoreError};

fn json(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|e| StoreError(e.to_string()))
}

/// JSON, which holds no zero, with bytes behind one.
fn json_and(value: &impl Serialize, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    Ok([&json(value)?, &[0][..], bytes].concat())
}

pub(super) fn listed_key(account: &AccountId) -> Key {
    Key::of(table::LISTED).part(account.enterprise.as_str()).text(account.user.as_str())
}

/// `place` tells the order of what is parked.
pub(super) fn apply(rows: &mut Batch, change: &Change, place: (u64, u64)) -> Result<(), StoreError> {
    let slot = slot(change.group());
    let key = Key::of;
    match change {
        Change::Mapping(mapping) => rows.put(slot, key(table::MAPPING), json(mapping)?),
        Change::MappingGone(_) => rows.clear(slot),
        Change::Outbox(row) => rows.put(slot, key(table::OUTBOX).number(row.n.0), outbox(row)?),
        Change::OutboxTrim { upto, .. } => {
            let outbox = key(table::OUTBOX);
            rows.delete_range(slot, outbox.clone(), outbox.number(upto.0).end());
        }
        Change::OutboxClear(_) => rows.delete_range(slot, key(table::OUTBOX), key(table::OUTBOX).end()),
        Change::Seen { id, generation, .. } => {
            rows.put(slot, key(table::SEEN).number(generation.0).text(id.as_str()), Vec::new());
        }
        Change::SeenTrim { before, .. } => {
            rows.delete_range(slot, key(table::SEEN), key(table::SEEN).number(before.0));
        }
        Change::Posted(row) => posted(rows, row)?,
        Change::PostedTrim { before, .. } => {
            rows.delete_indexed(slot, key(table::POSTED_AT), key(table::POSTED_AT).signed(before.0));
        }
        Change::Occupant { id, owner, .. } => {
            let value = match owner {
                Owner::Person(jid) => (Some(jid), None),
                Owner::Ours(who) => (None, Some(who_text(who))),
            };
            rows.put(slot, key(table::OCCUPANT).text(id.as_str()), json(&value)?);
        }
        Change::Parked(row) => {
            let ParkedRow { occupant, nick, at, list, payload, .. } = row;
            let body = json_and(&(occupant, nick, at, list), payload)?;
            let order = format!("{:08x}{:08x}", place.0, place.1);
            debug_assert_eq!(order.len(), NUMBER);
            rows.put_in_place(slot, key(table::PARKED).text(row.id.as_str()), [order.as_bytes(), &body].concat());
        }
        Change::ParkedGone { id, .. } => rows.delete(slot, key(table::PARKED).text(id.as_str())),
        Change::Entered { mouth, .. } => {
            let entered = key(table::ENTERED).number(mouth.life.0).text(&who_text(&mouth.who));
            rows.put(slot, entered, Vec::new());
        }
        Change::Fenced { life, .. } => {
            rows.delete_range(slot, key(table::ENTERED), key(table::ENTERED).number(life.0));
        }
        Change::Notice(row) => {
            let notice = key(table::NOTICE).part(row.author.as_str()).text(row.condition.as_str());
            rows.put(slot, notice, json(&(row.count, row.told))?);
        }
        Change::Attendance(row) => {
            rows.put(slot, key(table::ATTENDANCE).text(row.user.as_str()), json(&(row.day, row.barred))?);
        }
        Change::AttendanceGone { user, .. } => rows.delete(slot, key(table::ATTENDANCE).text(user.as_str())),
        Change::Missed(row) => {
            let MissedRow { spot, id, user, author, at, payload, .. } = row;
            let value = json_and(&(id.as_str(), user, author, at), payload)?;
            rows.put(slot, key(table::MISSED).number(spot.0), value);
        }
        Change::MissedTrim { before, .. } => {
            rows.delete_range(slot, key(table::MISSED), key(table::MISSED).number(before.0));
        }
        Change::Absent(row) if row.absence.is_nothing() => {
            rows.delete(slot, key(table::ABSENT).text(row.user.as_str()));
        }
        Change::Absent(row) => rows.put(slot, key(table::ABSENT).text(row.user.as_str()), json(&row.absence)?),
        Change::Own(row) if row.listed.is_none() && row.n.is_none() => {
            rows.delete(slot, key(table::OWN).text(row.user.as_str()));
        }
        Change::Own(row) => {
            rows.put(slot, key(table::OWN).text(row.user.as_str()), json(&(&row.listed, row.n, row.here))?)
        }
        Change::Listed { rows: accounts, .. } => {
            for row in accounts {
                match &row.listed {
                    Some(listed) => rows.put(slot, listed_key(&row.account), json(&(row.version, listed))?),
                    None => rows.delete(slot, listed_key(&row.account)),
                }
            }
        }
        Change::Unlisted { enterprise, .. } => {
            let of = enterprise.as_ref().map_or(key(table::LISTED), |e| key(table::LISTED).part(e.as_str()));
            rows.delete_range(slot, of.clone(), of.end());
        }
    }
    Ok(())
}

fn outbox(row: &OutboxRow) -> Result<Vec<u8>, StoreError> {
    match &row.what {
        Outgoing::Message(OutMessage { source, list, user, nick, at, late, payload }) => {
            json_and(&(source, list, user, nick, at, late), payload)
        }
        Outgoing::Edit { base, accounts } => json(&(base, accounts)),
    }
}

fn posted(rows: &mut Batch, row: &PostedRow) -> Result<(), StoreError> {
    let mut indexes = vec![Key::of(table::POSTED_AT).signed(row.at.0).text(row.id.as_str())];
    indexes.extend(row.seq.map(|seq| Key::of(table::POSTED_SEQ).number(seq.0).text(row.id.as_str())));
    let value = json(&(&row.stanza_id, row.generation, row.at, row.seq, &row.key))?;
    rows.put_indexed(slot(row.group), Key::of(table::POSTED).text(row.id.as_str()), &indexes, &value);
    Ok(())
}
