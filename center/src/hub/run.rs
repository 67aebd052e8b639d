//! Runs: consecutive `deliver`s of one origin, made once a commit and shared whole by every link that gets all of them.
//!
//! Most links have all there is when a commit returns, and then get the same bytes. A run lets them share not only each stanza
//! but the work of counting, queueing and framing them: a link costs one step for a run, not one for a message.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use intergroup_schemas::ids::{GatewayId, ListVersion, Seq};

use crate::store::{Member, Record, RecordKind};

/// Most stanzas of a run, so that a stream does not keep another of its link waiting.
const RUN_STANZAS: usize = 256;
/// Most bytes of a run: what is copied once to be sent to all.
const RUN_BYTES: usize = 256 * 1024;

/// Stanzas that are sent together. See the module.
#[derive(Debug, Default)]
pub struct Run {
    stanzas: Vec<Bytes>,
    bytes: usize,
    wire: OnceLock<Bytes>,
}

impl Run {
    /// The stanzas, in order.
    #[must_use]
    pub fn stanzas(&self) -> &[Bytes] {
        &self.stanzas
    }

    /// Bytes of all stanzas.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All stanzas as they go over a connection. Whoever comes first makes it, for all.
    pub fn wire(&self, make: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.wire.get_or_init(|| make(self)).clone()
    }

    fn push(&mut self, stanza: &Bytes) {
        self.bytes += stanza.len();
        self.stanzas.push(stanza.clone());
    }
}

/// A run and its place in a group's log.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) first: Seq,
    pub(super) last: Seq,
    origin: GatewayId,
    /// The oldest list version that a message of it names.
    list: ListVersion,
    pub(super) run: Arc<Run>,
}

impl Stretch {
    /// Whether a member gets every message of it as a `deliver`.
    pub(super) fn is_for(&self, member: &Member) -> bool {
        self.origin != member.gateway && self.list >= member.list
    }
}

/// Cuts consecutive entries into runs; entries that are no messages lie between them.
pub(super) fn stretches<'r>(records: impl Iterator<Item = &'r Record>) -> Vec<Stretch> {
    let mut all: Vec<(Seq, GatewayId, ListVersion, Run)> = Vec::new();
    for record in records {
        let RecordKind::Message { origin, deliver, .. } = &record.kind else { continue };
        match all.last_mut() {
            Some((first, of, list, run))
                if of == origin
                    && first.0 + run.stanzas.len() as u64 == record.seq.0
                    && run.stanzas.len() < RUN_STANZAS
                    && run.bytes + deliver.len() <= RUN_BYTES =>
            {
                *list = (*list).min(record.list);
                run.push(deliver);
            }
            _ => {
                let mut run = Run::default();
                run.push(deliver);
                all.push((record.seq, origin.clone(), record.list, run));
            }
        }
    }
    let stretch = |(first, origin, list, run): (Seq, GatewayId, ListVersion, Run)| {
        let last = Seq(first.0 + run.stanzas.len() as u64 - 1);
        Stretch { first, last, origin, list, run: Arc::new(run) }
    };
    all.into_iter().map(stretch).collect()
}

#[cfg(test)]
mod tests {
    use intergroup_schemas::ids::{GroupNumber, HistoryHash, N, OriginKey};
    use intergroup_schemas::link::{Change, Timestamp};

    use super::*;

    fn record(seq: u64, origin: Option<&str>, list: u64, bytes: usize) -> Record {
        let kind = match origin {
            None => RecordKind::Change(Change::Deleted {}),
            Some(origin) => RecordKind::Message {
                origin: format!("{origin}/main").parse().unwrap(),
                key: OriginKey { epoch: "e".parse().unwrap(), n: N(seq) },
                source: None,
                deliver: vec![b'x'; bytes].into(),
            },
        };
        let (group, hash, stored) = (GroupNumber(1), HistoryHash::default(), Timestamp(0));
        Record { group, seq: Seq(seq), hash, stored, list: ListVersion(list), kind }
    }

    fn cut(records: &[Record]) -> Vec<(u64, u64, usize)> {
        let all = stretches(records.iter());
        assert!(all.iter().all(|s| s.last.0 - s.first.0 + 1 == s.run.stanzas().len() as u64));
        all.iter().map(|s| (s.first.0, s.last.0, s.run.bytes())).collect()
    }

    #[test]
    fn a_run_ends_where_another_speaks_and_where_something_else_lies_between() {
        let of = |seq, origin| record(seq, origin, 1, 10);
        let records = [of(5, Some("a")), of(6, Some("a")), of(7, Some("b")), of(8, None), of(9, Some("b"))];
        assert_eq!(cut(&records), [(5, 6, 20), (7, 7, 10), (9, 9, 10)]);
    }

    #[test]
    fn runs_are_bounded_in_number_and_in_bytes() {
        let many: Vec<_> = (1..=300).map(|seq| record(seq, Some("a"), 1, 10)).collect();
        assert_eq!(cut(&many), [(1, 256, 2560), (257, 300, 440)]);
        let large: Vec<_> = (1..=3).map(|seq| record(seq, Some("a"), 1, 100 * 1024)).collect();
        assert_eq!(cut(&large).len(), 2);
        assert_eq!(cut(&[record(1, Some("a"), 1, RUN_BYTES + 1)]).len(), 1, "one that is too large goes alone");
    }

    #[test]
    fn nobody_gets_a_run_of_its_own_or_with_a_message_from_before_it_joined() {
        let member = |gateway: &str, list| Member {
            group: GroupNumber(1),
            gateway: format!("{gateway}/main").parse().unwrap(),
            from: Seq(1),
            from_hash: HistoryHash::default(),
            list: ListVersion(list),
            until: None,
            settled: Seq(0),
        };
        let all = stretches([record(1, Some("a"), 3, 10), record(2, Some("a"), 2, 10)].iter());
        assert!(all[0].is_for(&member("b", 2)));
        assert!(!all[0].is_for(&member("b", 3)));
        assert!(!all[0].is_for(&member("a", 1)));
    }

    #[test]
    fn what_goes_over_connections_is_made_once() {
        let run = &stretches([record(1, Some("a"), 1, 10)].iter())[0].run;
        assert_eq!(run.wire(|_| "once".into()), "once");
        assert_eq!(run.wire(|_| "twice".into()), "once");
    }
}
