//! What is dropped, and when: old entries of logs, and recent ones from memory.

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{GroupNumber, Seq};
use intergroup_schemas::link::Timestamp;

use super::event::LinkId;
use super::group::Expiring;
use super::stream::{PAGE_BYTES, PAGE_ENTRIES, unannounced};
use super::{Action, Hub};
use crate::store::{Change, Fate, Member, Milestone, Record, RecordKind};

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
        for number in self.groups.keys().copied().collect::<Vec<_>>() {
            self.expire(number);
        }
    }

    /// Cuts a group's log where it is too old or too large. What a member has not been sent is looked at before, so that its
    /// origin can be told.
    pub(super) fn expire(&mut self, number: GroupNumber) {
        let older_than = Timestamp(self.now.0 - self.config.retention_age_ms);
        if self.is_stale_group(number) {
            return; // looked at again soon enough
        }
        while let Some(group) = self.groups.get_mut(&number).filter(|g| g.may_expire()) {
            let Some(cut) = group.to_cut(older_than, self.config.retention_bytes) else { return };
            let floor = group.floor;
            let taken = self.behind(number, cut.seq).into_iter().map(|(_, taken)| taken).min();
            let Some(after) = taken.map(|taken| taken.max(floor)) else {
                self.cut(number, cut, Vec::new());
                continue;
            };
            if let Some(group) = self.groups.get_mut(&number) {
                group.expiring = Some(Expiring { cut, fates: Vec::new() });
            }
            self.read_expiring(number, after);
        }
    }

    fn read_expiring(&mut self, group: GroupNumber, after: Seq) {
        let (link, entries, bytes) = (LinkId::HUB, PAGE_ENTRIES, PAGE_BYTES);
        self.actions.push_back(Action::ReadLog { link, group, after, entries, bytes });
    }

    /// Members that have not been sent all up to there, with the last entry that they have.
    fn behind(&self, number: GroupNumber, upto: Seq) -> Vec<(Member, Seq)> {
        let Some(group) = self.groups.get(&number) else { return Vec::new() };
        let sent = |member: &Member| {
            let stream = self.links.get(self.online.get(&member.gateway)?)?.streams.get(&number)?;
            Some(Seq(stream.next.0.saturating_sub(1)))
        };
        let taken = |member: &Member| member.settled.max(member.from).max(sent(member).unwrap_or(Seq(0)));
        let current = group.members.values().filter(|member| member.until.is_none());
        current.map(|member| (member.clone(), taken(member))).filter(|(_, taken)| *taken < upto).collect()
    }

    /// Entries that are about to go have been read.
    pub(super) fn expiring_read(&mut self, number: GroupNumber, after: Seq, records: &[Record]) {
        if self.is_stale_group(number) {
            return;
        }
        let Some(Expiring { cut, mut fates }) = self.groups.get_mut(&number).and_then(|g| g.expiring.take()) else {
            return;
        };
        for (member, taken) in self.behind(number, cut.seq) {
            for record in records.iter().filter(|r| r.seq > taken && r.seq <= cut.seq) {
                let RecordKind::Message { origin, key, .. } = &record.kind else { continue };
                if *origin == member.gateway || unannounced(record, &member) {
                    continue;
                }
                let (member, seq, key) = (member.gateway.clone(), record.seq, key.clone());
                fates.push(Fate { group: number, member, seq, key, condition: Condition::Expired });
            }
        }
        match records.last().map(|last| last.seq).filter(|last| *last > after && *last < cut.seq) {
            Some(last) => {
                if let Some(group) = self.groups.get_mut(&number) {
                    group.expiring = Some(Expiring { cut, fates });
                }
                self.read_expiring(number, last);
            }
            None => {
                let told = fates.is_empty();
                self.cut(number, cut, fates);
                if told {
                    self.expire(number);
                }
            }
        }
    }

    fn cut(&mut self, number: GroupNumber, cut: Milestone, fates: Vec<Fate>) {
        let Some(group) = self.groups.get_mut(&number) else { return };
        let (floor, cached) = (group.floor, group.tail_bytes);
        group.cut(cut);
        self.counters.expired += cut.seq.0 - floor.0;
        self.cached_bytes -= cached - group.tail_bytes;
        let part = self.batch.group(number);
        part.trims = true;
        part.changes.push(Change::Trim { group: number, upto: cut.seq, hash: cut.hash });
        if !fates.is_empty() {
            group.untold = true;
            part.expired = true;
        }
        // Behind the cut, which takes older ones with it: these stay until the next, for an origin that is away.
        for fate in fates {
            let place = (fate.member.clone(), fate.seq);
            *self.counters.fates.entry(fate.condition.as_str().to_owned()).or_default() += 1;
            part.fates.push((fate.member.clone(), fate.seq));
            part.changes.push(Change::Fate(fate.clone()));
            group.fates.insert(place, fate);
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
