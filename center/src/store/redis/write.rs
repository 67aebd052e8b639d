//! Changes as rows, and what a batch appends to a log as few entries of its stream. `FORMAT.md` describes them.

use std::collections::BTreeMap;

use intergroup_redis::{Append, Batch, Key, Slot};
use intergroup_schemas::ids::{EnterpriseId, GroupNumber};
use intergroup_schemas::link::Change as GroupChange;
use serde::Serialize;

use super::{slot, table};
use crate::store::shared::Version;
use crate::store::{Change, Fate, Group, MILESTONE, Member, Record, RecordKind, StoreError, pack};

/// A version as text; nothing for none.
pub(super) fn version(version: Version) -> String {
    if version == Version::default() { String::new() } else { format!("{:032x}", version.0) }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|e| StoreError(e.to_string()))
}

/// All of a batch; entries of logs come behind everything else.
pub(super) fn batch(changes: &[Change]) -> Result<Batch, StoreError> {
    let mut rows = Batch::default();
    let mut logs: BTreeMap<GroupNumber, Vec<&Record>> = BTreeMap::new();
    for change in changes {
        apply(&mut rows, change)?;
        if let Change::Append(record) = change {
            logs.entry(record.group).or_default().push(record);
        }
    }
    logs.values().try_for_each(|records| append(&mut rows, records))?;
    Ok(rows)
}

fn apply(rows: &mut Batch, change: &Change) -> Result<(), StoreError> {
    let key = Key::of;
    let name = |gateway: &intergroup_schemas::ids::GatewayId| gateway.to_string();
    match change {
        Change::Enterprise(e) => {
            rows.put(Slot::Main, key(table::ENTERPRISE).text(e.id.as_str()), json(&(&e.display, e.state))?);
        }
        Change::Gateway(g) => {
            let value = json(&(g.certificate, g.previous, g.expires))?;
            rows.put(Slot::Main, key(table::GATEWAY).text(&name(&g.id)), value);
        }
        Change::Enrolment(e) => rows.put(Slot::Main, enrolment(&e.secret), json(&(&e.gateway, e.expires))?),
        Change::EnrolmentGone(secret) => rows.delete(Slot::Main, enrolment(secret)),
        Change::Group(g) => {
            let Group { about, owner, incarnation, list, digest, accounts, allowed, deleted, .. } = g;
            let value = json(&(about, owner, incarnation, list, digest, accounts, allowed, deleted))?;
            rows.put(slot(g.number), key(table::GROUP), value);
        }
        Change::Member(m) => {
            let Member { from, from_hash, list, until, settled, .. } = m;
            let value = json(&(from, from_hash, list, until, settled))?;
            rows.put(slot(m.group), key(table::MEMBER).text(&name(&m.gateway)), value);
        }
        Change::Append(record) => {
            if let RecordKind::Change(change) = &record.kind {
                list(rows, record, change)?;
            }
        }
        Change::Mark { group, gateway, epoch, n } => {
            rows.put(slot(*group), key(table::MARK).part(&name(gateway)).text(epoch.as_str()), json(n)?);
        }
        Change::Refused { group, gateway, epoch, n, condition } => {
            let refusal = key(table::REFUSAL).part(&name(gateway)).part(epoch.as_str()).number(n.0);
            rows.put(slot(*group), refusal, json(condition)?);
        }
        Change::Confirmed { group, gateway, epoch, n } => {
            let of = key(table::REFUSAL).part(&name(gateway)).part(epoch.as_str());
            rows.delete_range(slot(*group), of.clone(), of.number(n.0).end());
        }
        Change::Fate(Fate { group, member, seq, key: origin, condition }) => {
            let fate = key(table::FATE).number(seq.0).text(&name(member));
            rows.put(slot(*group), fate, json(&(origin, condition))?);
        }
        Change::Trim { group, upto, hash } => {
            let slot = slot(*group);
            rows.put(slot, key(table::FLOOR), json(&(upto, hash))?);
            for table in [table::FATE, table::MILESTONE] {
                rows.delete_range(slot, key(table), key(table).number(upto.0).end());
            }
            rows.trim(slot, upto.0);
        }
    }
    Ok(())
}

fn enrolment(secret: &[u8; 32]) -> Key {
    let hex: String = secret.iter().map(|b| format!("{b:02x}")).collect();
    Key::of(table::ENROLMENT).text(&hex)
}

fn append(rows: &mut Batch, records: &[&Record]) -> Result<(), StoreError> {
    for row in pack::rows(records) {
        let (Some(first), Some(last)) = (row.first(), row.last()) else { continue };
        let mut entries = Vec::new();
        row.iter().try_for_each(|record| pack::push(&mut entries, record))?;
        let milestone = if last.seq.0.is_multiple_of(MILESTONE) {
            let value = format!("{} {} ", last.hash, last.stored.0);
            Some((Key::of(table::MILESTONE).number(last.seq.0), value.into_bytes()))
        } else {
            None
        };
        let size = row.iter().map(|record| record.bytes()).sum();
        let state = last.hash.0.to_vec();
        let append = Append { first: first.seq.0, last: last.seq.0, size, state, milestone, entries };
        rows.append(slot(first.group), append);
    }
    Ok(())
}

/// The accounts that an entry changes.
fn list(rows: &mut Batch, record: &Record, change: &GroupChange) -> Result<(), StoreError> {
    let slot = slot(record.group);
    let changed = Key::of(table::ACCOUNT_VERSION).number(record.list.0);
    let part = |rows: &mut Batch, enterprise: &EnterpriseId| {
        rows.put(slot, Key::of(table::PART).text(enterprise.as_str()), Vec::new());
    };
    match change {
        GroupChange::Listed { enterprise, accounts, .. } => {
            part(rows, enterprise);
            for edit in accounts {
                let of = |key: Key| key.part(enterprise.as_str()).text(edit.user.as_str());
                let value = edit.listed.as_ref().map(json).transpose()?.unwrap_or_default();
                rows.put_indexed(slot, of(Key::of(table::ACCOUNT)), &[of(changed.clone())], &value);
            }
        }
        GroupChange::Unlisted { enterprise, .. } => {
            part(rows, enterprise);
            let of = Key::of(table::ACCOUNT).part(enterprise.as_str());
            rows.empty(slot, of.clone(), of.end(), changed);
        }
        _ => {}
    }
    Ok(())
}
