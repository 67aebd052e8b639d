//! What a scripted gateway remembers, and keeps on its disk.

use std::collections::BTreeMap;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{EnterpriseId, Epoch, HistoryHash, Incarnation, ListVersion, N, OriginKey, Seq};

use super::disk::Image;

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
