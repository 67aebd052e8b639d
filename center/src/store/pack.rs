//! Entries of a log as stores keep them: what one commit has appended to a group is one row, its entries one after the
//! other in one blob. `FORMAT.md` describes the bytes.
//!
//! A row for each message would cost a search, a statement and a share of a page's splitting for each; a busy group's commit
//! has a hundred.

use std::str::FromStr;

use bytes::{Buf, BufMut, Bytes};
use intergroup_schemas::ids::{GatewayId, GroupNumber, HistoryHash, ListVersion, N, OriginKey, Seq};
use intergroup_schemas::link::Timestamp;

use super::{MILESTONE, Record, RecordKind, StoreError, damaged};

/// A row's blob ends when it is longer than this: what a reader takes into memory for one entry of it.
const ROW_BYTES: usize = 512 * 1024;

/// The entry is a change; its body is JSON.
const CHANGE: u8 = 0;
/// The entry is a message; its body is the `deliver` stanza.
const MESSAGE: u8 = 1;
/// The entry is a message that has a source.
const MESSAGE_WITH_SOURCE: u8 = 2;

/// Entries of one row: consecutive, and none but the last at a milestone, so that retention cuts between rows.
pub(super) fn rows<'r>(records: &'r [&'r Record]) -> impl Iterator<Item = &'r [&'r Record]> {
    let mut bytes = 0;
    records.chunk_by(move |before, after| {
        bytes += usize::try_from(before.bytes()).unwrap_or(ROW_BYTES);
        let together = after.seq == before.seq.next() && !before.seq.0.is_multiple_of(MILESTONE) && bytes < ROW_BYTES;
        if !together {
            bytes = 0;
        }
        together
    })
}

/// Appends an entry to a row's blob.
pub(super) fn push(blob: &mut Vec<u8>, record: &Record) -> Result<(), StoreError> {
    let begin = blob.len();
    blob.put_u32_le(0);
    blob.put_slice(&record.hash.0);
    blob.put_i64_le(record.stored.0);
    blob.put_u64_le(record.list.0);
    match &record.kind {
        RecordKind::Change(change) => {
            blob.put_u8(CHANGE);
            serde_json::to_writer(&mut *blob, change).map_err(|e| StoreError(e.to_string()))?;
        }
        RecordKind::Message { origin, key, source, deliver } => {
            blob.put_u8(if source.is_some() { MESSAGE_WITH_SOURCE } else { MESSAGE });
            push_text(blob, &[origin.enterprise.as_str(), "/", origin.gateway.as_str()])?;
            push_text(blob, &[key.epoch.as_str()])?;
            blob.put_u64_le(key.n.0);
            if let Some(source) = source {
                blob.put_u64_le(*source);
            }
            blob.put_slice(deliver);
        }
    }
    let length = u32::try_from(blob.len() - begin - size_of::<u32>()).map_err(damaged)?;
    blob[begin..begin + size_of::<u32>()].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

fn push_text(blob: &mut Vec<u8>, parts: &[&str]) -> Result<(), StoreError> {
    blob.put_u8(u8::try_from(parts.iter().map(|p| p.len()).sum::<usize>()).map_err(damaged)?);
    parts.iter().for_each(|part| blob.put_slice(part.as_bytes()));
    Ok(())
}

/// The entries of a row, of which the first has the place `first`. Bodies share the blob's memory.
pub(super) fn records(
    group: GroupNumber,
    first: Seq,
    mut blob: Bytes,
) -> impl Iterator<Item = Result<Record, StoreError>> {
    let mut seq = first;
    std::iter::from_fn(move || {
        if blob.is_empty() {
            return None;
        }
        let record = record(group, seq, &mut blob);
        seq = seq.next();
        Some(record)
    })
}

fn record(group: GroupNumber, seq: Seq, blob: &mut Bytes) -> Result<Record, StoreError> {
    let short = |_| damaged("an entry of a log is cut short");
    let length = usize::try_from(blob.try_get_u32_le().map_err(short)?).map_err(damaged)?;
    if blob.len() < length {
        return Err(damaged("an entry of a log is cut short"));
    }
    let mut entry = blob.split_to(length);
    let mut hash = HistoryHash::default();
    entry.try_copy_to_slice(&mut hash.0).map_err(short)?;
    let stored = Timestamp(entry.try_get_i64_le().map_err(short)?);
    let list = ListVersion(entry.try_get_u64_le().map_err(short)?);
    let kind = match entry.try_get_u8().map_err(short)? {
        CHANGE => RecordKind::Change(serde_json::from_slice(&entry).map_err(damaged)?),
        kind @ (MESSAGE | MESSAGE_WITH_SOURCE) => {
            let origin: GatewayId = text(&mut entry)?;
            let epoch = text(&mut entry)?;
            let n = N(entry.try_get_u64_le().map_err(short)?);
            let source = (kind == MESSAGE_WITH_SOURCE).then(|| entry.try_get_u64_le()).transpose().map_err(short)?;
            RecordKind::Message { origin, key: OriginKey { epoch, n }, source, deliver: entry }
        }
        other => return Err(damaged(format!("an entry of a log has kind {other}"))),
    };
    Ok(Record { group, seq, hash, stored, list, kind })
}

fn text<T: FromStr<Err: std::fmt::Display>>(entry: &mut Bytes) -> Result<T, StoreError> {
    let length = usize::from(entry.try_get_u8().map_err(damaged)?);
    if entry.len() < length {
        return Err(damaged("an id in a log is cut short"));
    }
    std::str::from_utf8(&entry.split_to(length)).map_err(damaged)?.parse().map_err(damaged)
}

#[cfg(test)]
mod tests {
    use intergroup_schemas::link::Change;

    use super::*;

    fn message(seq: u64, source: Option<u64>, deliver: &str) -> Record {
        Record {
            group: GroupNumber(10_001),
            seq: Seq(seq),
            hash: HistoryHash([7; 16]),
            stored: Timestamp(1_795_343_122_123),
            list: ListVersion(3),
            kind: RecordKind::Message {
                origin: "acme/main".parse().unwrap(),
                key: OriginKey { epoch: "k7".parse().unwrap(), n: N(seq + 1) },
                source,
                deliver: Bytes::copy_from_slice(deliver.as_bytes()),
            },
        }
    }

    fn packed(of: &[Record]) -> Vec<u8> {
        let mut blob = Vec::new();
        of.iter().for_each(|record| push(&mut blob, record).unwrap());
        blob
    }

    fn all() -> Vec<Record> {
        let change = RecordKind::Change(Change::Deleted {});
        vec![
            message(7, Some(u64::MAX), "<deliver/>"),
            Record { kind: change, ..message(8, None, "") },
            message(9, None, ""),
        ]
    }

    #[test]
    fn what_was_packed_comes_back() {
        let back: Vec<_> =
            records(GroupNumber(10_001), Seq(7), packed(&all()).into()).collect::<Result<_, _>>().unwrap();
        assert_eq!(back, all());
    }

    /// The bytes are in files that companies have: a change of them is a new version of the format.
    #[test]
    fn the_bytes_are_those_of_the_format() {
        let expected = concat!(
            "48000000",
            "07070707070707070707070707070707",
            "cbfec902a2010000",
            "0300000000000000",
            "02",
            "09",
            "61636d652f6d61696e",
            "02",
            "6b37",
            "0800000000000000",
            "ffffffffffffffff",
            "3c64656c697665722f3e",
        );
        let hex: String = packed(&all()[..1]).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn a_damaged_row_is_an_error_wherever_it_is_cut() {
        let blob = packed(&all());
        let whole = [packed(&all()[..1]).len(), packed(&all()[..2]).len()];
        for end in (1..blob.len()).filter(|end| !whole.contains(end)) {
            let cut = Bytes::copy_from_slice(&blob[..end]);
            assert!(records(GroupNumber(1), Seq(7), cut).any(|r| r.is_err()), "cut at {end}");
        }
    }

    #[test]
    fn rows_end_at_milestones_at_gaps_and_when_they_are_long() {
        let cut = |records: &[Record]| {
            let all: Vec<_> = records.iter().collect();
            rows(&all).map(|row| (row[0].seq.0, row.len())).collect::<Vec<_>>()
        };
        let many: Vec<_> = (200..=600).filter(|n| *n != 300).map(|n| message(n, None, "x")).collect();
        assert_eq!(cut(&many), [(200, 57), (257, 43), (301, 212), (513, 88)]);
        let large = "x".repeat(ROW_BYTES / 2);
        let large: Vec<_> = (1..=5).map(|n| message(n, None, &large)).collect();
        assert_eq!(cut(&large), [(1, 2), (3, 2), (5, 1)]);
    }
}
