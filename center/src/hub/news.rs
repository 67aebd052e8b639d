//! Taking in what other nodes have done.

use std::collections::{BTreeMap, BTreeSet};

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{EnterpriseId, GatewayId, GroupNumber, Seq};
use intergroup_schemas::link::{Change as GroupChange, Timestamp};

use super::group::{Group, Sources};
use super::nodes::Intent;
use super::{Action, Hub, LinkId, PROGRESS_EVERY_MS, load_into};
use crate::store::shared::{News, Unit};
use crate::store::{MILESTONE, Milestone, Record, RecordKind, Snapshot};

impl Hub {
    /// A unit has been read.
    pub(super) fn news(&mut self, unit: Unit, news: News) {
        if !self.is_stale(unit) {
            return;
        }
        let version = news.version;
        let unseen = unit != Unit::Registry && news.since.is_none() && !news.snapshot.groups.is_empty();
        match unit {
            Unit::Registry => self.registry_news(news.snapshot),
            Unit::Group(number) => {
                if !self.group_news(number, news) {
                    return self.actions.push_back(Action::Lost);
                }
            }
        }
        self.has_version(unit, version);
        if unseen {
            // Its log may say that an enterprise is suspended, and was not read: the registry says it, too.
            return self.when_fresh(Unit::Registry, Intent::GoOn(unit));
        }
        self.go_on(unit);
    }

    fn registry_news(&mut self, snapshot: Snapshot) {
        self.enterprises = snapshot.enterprises.into_iter().map(|e| (e.id.clone(), e)).collect();
        self.gateways = snapshot.gateways.into_iter().map(|g| (g.id.clone(), g)).collect();
        self.enrolments = snapshot.enrolments.into_iter().map(|e| (e.secret, e)).collect();
        let judged: Vec<_> = self.links.iter().filter(|(_, link)| link.held.is_none()).map(|(id, _)| *id).collect();
        for id in judged {
            let Some(link) = self.links.get(&id) else { continue };
            if let Some(condition) = self.refusal_of(&link.gateway, &link.certificate) {
                self.close(id, condition, condition.admin_text());
            }
        }
    }

    /// Says no when the store has less than was known to be in it.
    fn group_news(&mut self, number: GroupNumber, news: News) -> bool {
        let News { snapshot, since, .. } = news;
        let mut old = self.groups.remove(&number);
        self.cached_bytes -= old.as_ref().map_or(0, |group| group.tail_bytes);
        let Some(state) = snapshot.groups.first().cloned() else {
            // Only what was never on disk may be gone.
            return old.is_none_or(|old| old.committed == Seq(0));
        };
        let (head, head_hash) = (state.head, state.head_hash);
        if old.as_ref().is_some_and(|old| head < old.committed) {
            return false;
        }
        let before = old.as_ref().map(|old| (old.settled(), old.fates.keys().cloned().collect::<BTreeSet<_>>()));
        let known = old.as_ref().map_or(Seq(0), |old| old.committed);
        let marks = old.as_mut().map(Group::take_marks).unwrap_or_default();
        let suspended = since.iter().flatten().filter_map(suspension).collect::<BTreeSet<_>>();
        let doubtful = since.is_none() || old.as_ref().is_some_and(|old| old.head > old.committed);
        let mut group = match (old, &since) {
            (Some(mut old), Some(records)) => {
                old.roll_back();
                old.meta = state.group.clone();
                records.iter().for_each(|record| old.take_in(record));
                old.trim_to(state.floor, state.floor_hash);
                old
            }
            (old, _) => {
                let mut group = Group::load(state.clone());
                group.committed = known;
                if let Some(old) = old {
                    (group.sources, group.seen) = (old.sources, old.seen);
                    (group.fates, group.members) = (old.fates, old.members);
                }
                group
            }
        };
        let settled: Vec<_> = std::mem::take(&mut group.members).into_values().collect();
        group.fates.clear();
        let mut loaded = BTreeMap::from([(number, group)]);
        load_into(&mut loaded, snapshot);
        let Some(mut group) = loaded.remove(&number) else { return false };
        if !group.keep_marks(marks, since.as_deref().unwrap_or_default()) {
            return false;
        }
        if doubtful {
            group.doubt_sources();
        }
        // How far a member has come its own node knows best, and tells the store only now and then.
        for member in settled {
            if let Some(now) = group.members.get_mut(&member.gateway).filter(|m| m.from == member.from)
                && member.settled.min(head) > now.settled
            {
                now.settled = member.settled.min(head);
                self.progress.insert((number, member.gateway));
                self.progress_at.get_or_insert(Timestamp(self.now.0 + PROGRESS_EVERY_MS));
            }
        }
        debug_assert_eq!((group.head, group.head_hash), (head, head_hash), "news end where the log ends");
        let newest = group.newest();
        self.cached_bytes += group.tail_bytes;
        let told = before.map(|(settled, fates)| group.told_since(&settled, &fates));
        self.groups.insert(number, group);
        for enterprise in suspended {
            // The registry says so by now; nobody comes in before that is read.
            self.when_fresh(Unit::Registry, Intent::Greet(LinkId::HUB));
            self.close_links_of(&enterprise, Condition::Suspended);
        }
        self.fan_out(number, newest);
        let (further, fates) = told.unwrap_or_default();
        self.tell_progress(number, further);
        for (member, seq) in fates {
            self.tell_fate(number, &member, seq);
        }
        self.bound_cache();
        true
    }
}

fn suspension(record: &Record) -> Option<EnterpriseId> {
    match &record.kind {
        RecordKind::Change(GroupChange::Suspended { enterprise }) => Some(enterprise.clone()),
        _ => None,
    }
}

impl Group {
    /// Takes back what is not on disk, but for the user list.
    fn roll_back(&mut self) {
        while let Some(record) = self.tail.back().filter(|record| record.seq > self.committed) {
            self.bytes -= record.bytes();
            self.tail_bytes -= super::group::cost(record);
            self.tail.pop_back();
        }
        while self.milestones.back().is_some_and(|m| m.seq > self.committed) {
            self.milestones.pop_back();
        }
        (self.head, self.head_hash) = (self.committed, self.committed_hash);
        (self.expiring, self.untold) = (None, false);
    }

    /// An entry of another node.
    fn take_in(&mut self, record: &Record) {
        self.bytes += record.bytes();
        if record.seq.0.is_multiple_of(MILESTONE) {
            let Record { seq, hash, stored, .. } = *record;
            self.milestones.push_back(Milestone { seq, hash, stored, bytes: self.bytes });
        }
        match &record.kind {
            RecordKind::Change(GroupChange::Listed { enterprise, accounts, .. }) => {
                self.roster.apply(enterprise, accounts);
            }
            RecordKind::Change(GroupChange::Unlisted { enterprise, .. }) => self.roster.clear(enterprise),
            RecordKind::Message { origin, source, .. } => {
                if let Some(Sources::Known(known) | Sources::Loading { meanwhile: known, .. }) =
                    self.sources.get_mut(origin)
                {
                    known.extend(source);
                }
            }
            RecordKind::Change(_) => {}
        }
        (self.head, self.head_hash) = (record.seq, record.hash);
        self.tail_bytes += super::group::cost(record);
        self.tail.push_back(record.clone());
    }

    /// Another node has cut the log.
    fn trim_to(&mut self, floor: Seq, hash: intergroup_schemas::ids::HistoryHash) {
        while let Some(first) = self.milestones.front().copied().filter(|m| m.seq <= floor) {
            self.cut(first);
        }
        (self.floor, self.floor_hash) = (floor, hash);
    }

    /// What was known of a gateway's messages may hold some that were taken back: it is read anew.
    fn doubt_sources(&mut self) {
        self.sources.retain(|_, sources| matches!(sources, Sources::Loading { .. }));
        for sources in self.sources.values_mut() {
            if let Sources::Loading { meanwhile, again, .. } = sources {
                meanwhile.clear();
                *again = true;
            }
        }
    }

    fn settled(&self) -> Vec<(GatewayId, Seq)> {
        self.members.values().map(|m| (m.gateway.clone(), m.settled)).collect()
    }

    /// Members that came further, and refusals of rooms, that were not known before.
    fn told_since(
        &self,
        settled: &[(GatewayId, Seq)],
        fates: &BTreeSet<(GatewayId, Seq)>,
    ) -> (BTreeSet<GatewayId>, Vec<(GatewayId, Seq)>) {
        let further = settled.iter().filter(|(g, before)| self.members.get(g).is_some_and(|m| m.settled > *before));
        let new = self.fates.keys().filter(|place| !fates.contains(place));
        (further.map(|(gateway, _)| gateway.clone()).collect(), new.cloned().collect())
    }
}
