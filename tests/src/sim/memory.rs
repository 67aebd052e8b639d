//! What a scripted gateway remembers, and keeps on its disk.

use std::collections::BTreeMap;

use intergroup_center::store::{Record, RecordKind};
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{
    EnterpriseId, Epoch, GroupNumber, HistoryHash, Incarnation, ListVersion, N, OriginKey, Seq,
};

use super::center::COMPANIES;
use super::disk::Image;
use super::names::Layout;
use super::script::GROUP;

/// A message of the pretended archive.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) n: N,
    /// Its place in the archive.
    pub(super) place: usize,
    /// The list version that its room was told of.
    pub(super) list: ListVersion,
}

/// What a stream entry is, as far as the script compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Message(EnterpriseId, OriginKey, Option<String>),
    Skipped,
    Change,
}

/// What the script keeps on its disk.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    pub(super) epoch: Epoch,
    pub(super) last_n: N,
    pub(super) outbox: Vec<Row>,
    pub(super) taken: usize,
    pub(super) decided: N,
    pub(super) refused_by_center: Vec<(N, Condition)>,
    pub(super) joined: bool,
    pub(super) list: ListVersion,
    pub(super) incarnation: Option<Incarnation>,
    pub(super) cursor: Seq,
    pub(super) hash: HistoryHash,
    /// Every entry up to the cursor.
    pub(super) history: BTreeMap<Seq, (Entry, HistoryHash)>,
    /// What the pretended room refused.
    pub(super) refused: Vec<(Seq, OriginKey, Condition)>,
}

impl Image for Memory {
    type Change = Memory;
    fn apply(&mut self, batch: &[Memory]) {
        if let Some(last) = batch.last() {
            *self = last.clone();
        }
    }
}

impl Memory {
    /// What is wrong with the log, beside what is remembered here and what was said, now that all should be well.
    pub(super) fn complaints(
        &self,
        me: usize,
        archive: &[(String, usize)],
        book: &BTreeMap<(GroupNumber, Seq), Record>,
    ) -> Vec<String> {
        let mut out = Vec::new();
        let (gateway, me) = (Layout::default().gateway(me), COMPANIES[me]);
        let head = book.keys().rfind(|(g, _)| *g == GROUP).map_or(Seq(0), |(_, seq)| *seq);
        if self.cursor != head {
            out.push(format!("{me} stands at {} of {head}", self.cursor));
        }
        if self.taken < archive.len() || self.decided != self.last_n {
            out.push(format!("{me} has {} decided of {}", self.decided, self.last_n));
        }
        if !self.refused_by_center.is_empty() {
            out.push(format!("{me} was refused {:?}", self.refused_by_center));
        }
        let from = self.history.keys().next().copied().unwrap_or(Seq(u64::MAX));
        let mut places = Vec::new();
        for record in book.values().filter(|r| r.group == GROUP) {
            if let RecordKind::Message { origin, deliver, key, .. } = &record.kind {
                let text = String::from_utf8_lossy(deliver);
                let text = text.split("<body>").nth(1).and_then(|t| t.split('<').next()).unwrap_or_default();
                if *origin == gateway {
                    places.push(text.to_owned());
                } else if (from..=self.cursor).contains(&record.seq) {
                    match self.history.range(record.seq..).next() {
                        Some((at, (Entry::Message(e, k, Some(t)), hash)))
                            if *at == record.seq
                                && *e == origin.enterprise
                                && k == key
                                && t == text
                                && *hash == record.hash => {}
                        Some((_, (Entry::Skipped, _))) => {}
                        other => out.push(format!("{me} has {other:?} at {} for {text}", record.seq)),
                    }
                }
            }
        }
        let said: Vec<String> = archive.iter().map(|(text, _)| text.clone()).collect();
        if places != said {
            out.push(format!("{me} said {said:?}, the log has {places:?}"));
        }
        out
    }
}
