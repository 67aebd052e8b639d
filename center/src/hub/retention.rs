//! What is dropped, and when: old entries of logs, and recent ones from memory.

use intergroup_schemas::link::Timestamp;

use super::Hub;
use crate::store::Change;

/// How often logs are looked at, in milliseconds.
const EXPIRE_EVERY_MS: i64 = 10_000;

impl Hub {
    pub(super) fn expire_if_due(&mut self) {
        if self.expire_at.is_some_and(|at| at > self.now) {
            return;
        }
        let first = self.expire_at.is_none();
        self.expire_at = Some(Timestamp(self.now.0 + EXPIRE_EVERY_MS));
        if first && self.now.0 == 0 {
            return;
        }
        let older_than = Timestamp(self.now.0 - self.config.retention_age_ms);
        for (number, group) in &mut self.groups {
            let (floor, cached) = (group.floor, group.tail_bytes);
            if let Some(cut) = group.expire(older_than, self.config.retention_bytes) {
                self.counters.expired += cut.seq.0 - floor.0;
                self.batch.changes.push(Change::Trim { group: *number, upto: cut.seq, hash: cut.hash });
            }
            self.cached_bytes -= cached - group.tail_bytes;
        }
    }

    /// Keeps the recent entries of all groups within their share of memory: the largest tail gives first.
    pub(super) fn bound_cache(&mut self) {
        while self.cached_bytes > self.config.cache_bytes {
            let Some(group) = self.groups.values_mut().max_by_key(|g| g.tail_bytes) else { return };
            let before = group.tail_bytes;
            // An eighth at once, so that the search for the largest is worth it.
            while group.tail_bytes > before - before / 8 {
                if group.forget_oldest() == 0 {
                    break;
                }
            }
            if group.tail_bytes == before {
                return;
            }
            self.cached_bytes -= before - group.tail_bytes;
        }
    }
}
