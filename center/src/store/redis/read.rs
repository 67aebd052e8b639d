//! Rows as what they mean. A row that makes no sense is an error that names its table: the store was damaged.

use std::collections::BTreeMap;
use std::str::FromStr;

use bytes::Bytes;
use intergroup_redis::{LogRow, NUMBER, Row, Slot, Unit};
use intergroup_schemas::history;
use intergroup_schemas::ids::{AccountId, EnterpriseId, GroupNumber, HistoryHash, ListDigest, ListVersion, N, Seq};
use intergroup_schemas::link::Timestamp;
use intergroup_schemas::list::{self, AccountRow, ListPage, Listed, UserKey};
use serde::de::DeserializeOwned;

use super::table;
use crate::store::shared::{Known, Version, Word};
use crate::store::{
    Enrolment, Enterprise, Fate, Gateway, Group, GroupState, ListPart, Member, Milestone, PageRoom, Record, Snapshot,
    StoreError, damaged, pack,
};

type Result<T> = std::result::Result<T, StoreError>;

fn of_table(row: &Row, what: impl std::fmt::Display) -> StoreError {
    damaged(format!("a row of table {}: {what}", char::from(row.table())))
}

fn json<T: DeserializeOwned>(row: &Row, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| of_table(row, e))
}

/// The parts of a row's key behind `skip` bytes.
fn parts<const COUNT: usize>(row: &Row, skip: usize) -> Result<[&str; COUNT]> {
    row.parts(skip).and_then(|parts| parts.try_into().ok()).ok_or_else(|| of_table(row, "its key"))
}

fn number(row: &Row) -> Result<u64> {
    row.number(0).ok_or_else(|| of_table(row, "the number in its key"))
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T> {
    text.parse().map_err(damaged)
}

/// The last entry that was trimmed, out of the rows of a group; none where there is no group.
pub(super) fn floor(rows: &[Row]) -> Result<Option<(Seq, HistoryHash)>> {
    let (mut floor, mut group) = (Default::default(), false);
    for row in rows {
        match row.table() {
            table::FLOOR => floor = json(row, row.value())?,
            table::GROUP => group = true,
            _ => break,
        }
    }
    Ok(group.then_some(floor))
}

/// What belongs to no group.
pub(super) fn main(all: &mut Snapshot, rows: &[Row]) -> Result<()> {
    for row in rows {
        let [name] = parts(row, 0)?;
        match row.table() {
            table::ENTERPRISE => {
                let (display, state) = json(row, row.value())?;
                all.enterprises.push(Enterprise { id: parsed(name)?, display, state });
            }
            table::GATEWAY => {
                let (certificate, previous, expires) = json(row, row.value())?;
                all.gateways.push(Gateway { id: parsed(name)?, certificate, previous, expires });
            }
            table::ENROLMENT => {
                let mut secret = [0; 32];
                let digits = |at: usize| u8::from_str_radix(name.get(2 * at..2 * at + 2)?, 16).ok();
                for (at, byte) in secret.iter_mut().enumerate() {
                    *byte = digits(at).ok_or_else(|| of_table(row, "its key"))?;
                }
                let (gateway, expires) = json(row, row.value())?;
                all.enrolments.push(Enrolment { secret, gateway, expires });
            }
            _ => return Err(of_table(row, "there is no such table")),
        }
    }
    Ok(())
}

/// A version, as `write::version` puts it down.
pub(super) fn version(text: Option<&str>) -> Result<Version> {
    text.filter(|text| !text.is_empty()).map_or(Ok(Version::default()), |text| {
        u128::from_str_radix(text, 16).map(Version).map_err(|e| damaged(format!("the version {text:?}: {e}")))
    })
}

/// A word of another node. None: it says nothing, or is not understood.
pub(super) fn word(text: &str) -> Option<Word> {
    let mut words = text.split(' ');
    match words.next()? {
        "" => Some(Word::Anew),
        "changed" => {
            let version = version(words.next()).ok()?;
            let units = words.filter_map(Slot::named).map(super::of_slot).collect();
            Some(Word::Changed(version, units))
        }
        "taken" => {
            let generation = words.next()?.parse().ok()?;
            Some(Word::Taken(words.next()?.parse().ok()?, generation))
        }
        "met" => Some(Word::Met(words.next()?.to_owned())),
        _ => None,
    }
}

/// Where a log ends: the last entry, the running hash there, and the bytes of all that was ever in the log.
type End = Option<(u64, Vec<u8>, u64)>;

fn end(end: End, floor: (Seq, HistoryHash)) -> Result<(Seq, HistoryHash, u64)> {
    match end {
        Some((last, hash, total)) => {
            Ok((Seq(last), HistoryHash(hash.try_into().map_err(|_| damaged("a hash"))?), total))
        }
        None => Ok((floor.0, floor.1, 0)),
    }
}

/// What has come of a group behind an entry. None: not all of it was read, or it is not kept any more.
pub(super) fn group_since(
    group: GroupNumber,
    unit: Unit,
    (seq, hash): Known,
) -> Result<Option<(Snapshot, Vec<Record>)>> {
    let mut all = Snapshot::default();
    let (state, _) = self::rows(&mut all, group, &unit.rows)?;
    let Some(state) = state else { return Ok(None) };
    let (floor, floor_hash) = floor(&unit.rows)?.unwrap_or_default();
    let (head, head_hash, _) = end(unit.end, (floor, floor_hash))?;
    let mut since = Vec::new();
    for row in unit.log {
        for record in records(group, row)? {
            let record = record?;
            if record.seq > seq {
                since.push(record);
            }
        }
    }
    let follows = match since.first() {
        None => head != seq || head_hash == hash,
        Some(first) => first.seq != seq.next() || first.hash == history::advance(hash, first.seq, first.identity()),
    };
    if head < seq || !follows {
        return Err(intergroup_redis::Error::Lost.into());
    }
    if floor > seq || since.last().map_or(seq, |last| last.seq) != head {
        return Ok(None);
    }
    let (milestones, bytes) = (Vec::new(), 0);
    all.groups.push(GroupState { group: state, floor, floor_hash, head, head_hash, milestones, bytes });
    Ok(Some((all, since)))
}

/// Everything of a group that a snapshot has. `first` holds the first entry that is not trimmed.
pub(super) fn group(
    all: &mut Snapshot,
    group: GroupNumber,
    rows: &[Row],
    first: Option<LogRow>,
    end: End,
) -> Result<()> {
    let (state, mut milestones) = self::rows(all, group, rows)?;
    let Some(of) = state else { return Ok(()) };
    let (floor, floor_hash) = floor(rows)?.unwrap_or_default();
    let (head, head_hash, total) = self::end(end, (floor, floor_hash))?;
    let gone = match first {
        Some(row) if row.first > floor.next().0 => {
            return Err(damaged(format!("group {group} has no entry {}", floor.next())));
        }
        Some(row) => {
            let mut gone = row.before;
            for record in records(group, row)? {
                let record = record?;
                if record.seq <= floor {
                    gone += record.bytes();
                }
            }
            gone
        }
        None if head > floor => return Err(damaged(format!("group {group} has no entry {}", floor.next()))),
        None => total,
    };
    for milestone in &mut milestones {
        milestone.bytes = milestone.bytes.saturating_sub(gone);
    }
    let bytes = total.saturating_sub(gone);
    all.groups.push(GroupState { group: of, floor, floor_hash, head, head_hash, milestones, bytes });
    Ok(())
}

/// The rows of a group, taken apart.
fn rows(all: &mut Snapshot, group: GroupNumber, rows: &[Row]) -> Result<(Option<Group>, Vec<Milestone>)> {
    let (mut state, mut milestones) = (None, Vec::new());
    let mut parts_: BTreeMap<EnterpriseId, ListPart> = BTreeMap::new();
    let part = |enterprise: EnterpriseId| ListPart { group, enterprise, accounts: Vec::new() };
    for row in rows {
        match row.table() {
            table::FLOOR => {}
            table::GROUP => state = Some(group_row(group, row)?),
            table::MEMBER => {
                let [gateway] = parts(row, 0)?;
                let (from, from_hash, list, until, settled) = json(row, row.value())?;
                all.members.push(Member { group, gateway: parsed(gateway)?, from, from_hash, list, until, settled });
            }
            table::MARK => {
                let [gateway, epoch] = parts(row, 0)?;
                all.marks.push((group, parsed(gateway)?, parsed(epoch)?, json(row, row.value())?));
            }
            table::REFUSAL => {
                let [gateway, epoch, n] = parts(row, 0)?;
                let n = N(u64::from_str_radix(n, 16).map_err(damaged)?);
                all.refusals.push((group, parsed(gateway)?, parsed(epoch)?, n, json(row, row.value())?));
            }
            table::FATE => {
                let [member] = parts(row, NUMBER)?;
                let (key, condition) = json(row, row.value())?;
                all.fates.push(Fate { group, member: parsed(member)?, seq: Seq(number(row)?), key, condition });
            }
            table::MILESTONE => milestones.push(milestone(row)?),
            table::PART => {
                let [enterprise] = parts(row, 0)?;
                let enterprise: EnterpriseId = parsed(enterprise)?;
                parts_.entry(enterprise.clone()).or_insert_with(|| part(enterprise));
            }
            table::ACCOUNT => {
                let row = account(row)?;
                if let Some(listed) = &row.listed {
                    let AccountId { enterprise, user } = &row.account;
                    let of = parts_.entry(enterprise.clone()).or_insert_with(|| part(enterprise.clone()));
                    let hash = list::row_hash(enterprise, user, listed);
                    of.accounts.push((UserKey::of(user), hash, listed.role));
                }
            }
            _ => return Err(of_table(row, "there is no such table")),
        }
    }
    all.parts.extend(parts_.into_values());
    Ok((state, milestones))
}

fn group_row(number: GroupNumber, row: &Row) -> Result<Group> {
    let (about, owner, incarnation, list, digest, accounts, allowed, deleted) = json(row, row.value())?;
    Ok(Group { number, about, owner, incarnation, list, digest, accounts, allowed, deleted })
}

/// `bytes` counts from the log's very beginning.
fn milestone(row: &Row) -> Result<Milestone> {
    let text = std::str::from_utf8(row.value()).map_err(damaged)?;
    let mut words = text.split(' ');
    let mut word = || words.next().ok_or_else(|| of_table(row, "it is cut short"));
    let (hash, stored, bytes) = (parsed(word()?)?, Timestamp(parsed(word()?)?), parsed(word()?)?);
    Ok(Milestone { seq: Seq(number(row)?), hash, stored, bytes })
}

/// The entries that a commit has appended.
pub(super) fn records(group: GroupNumber, row: LogRow) -> Result<impl Iterator<Item = Result<Record>>> {
    Ok(pack::records(group, Seq(row.first), Bytes::from(row.entries)))
}

fn account(row: &Row) -> Result<AccountRow> {
    let [enterprise, user] = parts(row, 0)?;
    let version = row.first_index(1).ok_or_else(|| of_table(row, "its version"))?;
    let listed: Option<Listed> = match row.indexed() {
        None => return Err(of_table(row, "it is cut short")),
        Some([]) => None,
        Some(value) => Some(json(row, value)?),
    };
    let account = AccountId { enterprise: parsed(enterprise)?, user: parsed(user)? };
    Ok(AccountRow { account, version: ListVersion(version), listed })
}

/// As much of the rows as a page has room for.
pub(super) fn list_page(number: GroupNumber, group: Option<Row>, rows: &[Row]) -> Result<ListPage> {
    let group = group.map(|row| group_row(number, &row)).transpose()?;
    let mut page = ListPage {
        version: group.as_ref().map_or(ListVersion(0), |g| g.list),
        digest: group.as_ref().map_or(ListDigest::default(), |g| g.digest),
        accounts: group.as_ref().map_or(0, |g| g.accounts),
        rows: Vec::new(),
        more: false,
    };
    let mut room = PageRoom::new();
    for row in rows {
        let row = account(row)?;
        if !room.take(&row) {
            page.more = true;
            break;
        }
        page.rows.push(row);
    }
    Ok(page)
}
