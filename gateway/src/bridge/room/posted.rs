//! What is in the room already, of what we said: by the id that we gave it, as far back as entries may come again.

use std::collections::{BTreeMap, BTreeSet};

use intergroup_schemas::ids::Seq;

use crate::ids::{MessageId, StanzaId};
use crate::store::{Generation, PostedRow};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Posted {
    known: BTreeMap<MessageId, Known>,
    newest: Seq,
}

#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) generation: Generation,
    pub(super) stanza_id: Option<StanzaId>,
    /// Which entry it is, where that is on disk; a message found in the archive does not say.
    pub(super) seq: Option<Seq>,
}

impl Posted {
    pub(super) fn remember(&mut self, rows: Vec<PostedRow>) {
        for PostedRow { id, generation, stanza_id, seq, .. } in rows {
            self.insert(id, Known { generation, stanza_id, seq });
        }
    }

    pub(super) fn insert(&mut self, id: MessageId, known: Known) {
        self.newest = self.newest.max(known.seq.unwrap_or_default());
        let before = self.known.insert(id, known);
        if before.is_some_and(|before| before.seq == Some(self.newest)) {
            self.find_newest();
        }
    }

    pub(super) fn get(&self, id: &MessageId) -> Option<&Known> {
        self.known.get(id)
    }

    /// The last entry of those: what comes before it and is not in comes late.
    pub(super) fn newest(&self) -> Seq {
        self.newest
    }

    fn find_newest(&mut self) {
        self.newest = self.known.values().filter_map(|known| known.seq).max().unwrap_or_default();
    }

    /// Nothing of these generations will be delivered again, but for entries behind `settled` and those not known yet: a
    /// message may stand in the archive before a checkpoint whose stream begins before its entry.
    pub(super) fn forget(&mut self, before: Generation, settled: Seq) {
        self.known.retain(|_, known| known.generation >= before || known.seq.is_none_or(|seq| seq > settled));
    }

    /// What a server does not have in its archive is not in the room, whatever was reflected. Says how many it lost.
    pub(super) fn forget_lost(&mut self, oldest: Generation, archive: &BTreeSet<MessageId>) -> usize {
        let before = self.known.len();
        self.known.retain(|id, known| known.generation < oldest || known.stanza_id.is_none() || archive.contains(id));
        self.find_newest();
        before - self.known.len()
    }

    /// Those of entries behind a place.
    pub(super) fn behind(&self, place: Seq) -> Vec<(MessageId, Known)> {
        let behind = self.known.iter().filter(|(_, known)| known.seq.is_some_and(|seq| seq > place));
        behind.map(|(id, known)| (id.clone(), known.clone())).collect()
    }
}
