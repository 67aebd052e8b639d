//! What gateways get: each group's stream without a gap, as far as window and credit allow.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use intergroup_schemas::ids::{GatewayId, GroupNumber, HistoryHash, Seq};
use intergroup_schemas::limits;
use intergroup_schemas::link::{Entry, Fate, Own, Resume, Skip, SkipReason, ToGateway, encode};

use super::event::LinkId;
use super::group::Group;
use super::link::{Link, Pause, Stream};
use super::run::Stretch;
use super::status::Counters;
use super::{Action, Frames, Hub};
use crate::store::{Member, Record, RecordKind};

/// One read from the store for somebody who is behind: large enough to be worth it, small enough to wait for.
pub(super) const PAGE_ENTRIES: usize = 512;
/// See [`PAGE_ENTRIES`].
pub(super) const PAGE_BYTES: usize = 512 * 1024;

/// A window that has opened by less than this part of it is not worth a read; the gateway settles more, and all of it in the
/// end.
const WORTH_READING: u64 = 4;

/// Entries that one stream sends before another of the link has its turn.
const ROUND: usize = 256;

impl Hub {
    pub(super) fn resume(&mut self, id: LinkId, resume: &Resume) {
        let number = resume.group;
        let Some(gateway) = self.links.get(&id).map(|l| l.gateway.clone()) else { return };
        let Some(group) = self.groups.get(&number) else { return };
        let Some(member) = group.members.get(&gateway) else { return };
        // Nothing from before the membership, nothing that is not there yet.
        let after = resume.after.clamp(Seq(member.from.0.saturating_sub(1)), group.committed);
        let Some(link) = self.links.get_mut(&id) else { return };
        let stream = Stream { next: after.next(), base: after, pause: Pause::No };
        link.streams.insert(number, stream);
        self.send(id, &ToGateway::Resumed(Resume { group: number, after }));
        self.wake(id, number);
    }

    /// A stream may have something to send.
    pub(super) fn wake(&mut self, id: LinkId, number: GroupNumber) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.streams.get(&number).is_some_and(|s| s.pause != Pause::Reading) {
            link.ready.insert(number);
            self.pump(id);
        }
    }

    /// Credit came back: every stream that waited for it may go on.
    pub(super) fn wake_all(&mut self, id: LinkId) {
        self.pump(id);
    }

    /// Sends what may be sent on a link, a stream at a time.
    fn pump(&mut self, id: LinkId) {
        while let Some(link) = self.links.get_mut(&id) {
            if !link.has_credit() {
                let waiting: Vec<_> = link.ready.iter().copied().collect();
                for number in waiting {
                    if let Some(stream) = link.streams.get_mut(&number) {
                        stream.pause = Pause::Credit;
                    }
                }
                return;
            }
            let Some(number) = link.ready.pop_first() else { return };
            self.pump_stream(id, number);
        }
    }

    fn pump_stream(&mut self, id: LinkId, number: GroupNumber) {
        let Some((mut stream, group, member)) = self.stream(id, number) else { return };
        let next = stream.next();
        let last = member.until.unwrap_or(group.committed).min(group.committed);
        let pause = if next <= group.floor {
            let (to, hash) = (group.floor, group.floor_hash);
            stream.send(&ToGateway::Skip(Skip { group: number, from: next, to, reason: SkipReason::Expired, hash }));
            stream.advance(to.next());
            Pause::No
        } else if next > last {
            Pause::CaughtUp
        } else if next > stream.window_end() {
            Pause::Window
        } else if group.cached(next).is_none() {
            let (room, wanted) = (stream.window_end().0 + 1 - next.0, last.0 + 1 - next.0);
            if room < wanted && room < u64::from(stream.window) / WORTH_READING {
                Pause::Window
            } else {
                // No more than can be sent: the rest would have to be read again.
                let (credit, credit_bytes) = stream.link.credit();
                let entries = PAGE_ENTRIES.min(credit).min(usize::try_from(room.min(wanted)).unwrap_or(PAGE_ENTRIES));
                let (after, bytes) = (Seq(next.0 - 1), PAGE_BYTES.min(credit_bytes));
                stream.actions.push_back(Action::ReadLog { link: id, group: number, after, entries, bytes });
                stream.counters.pages += 1;
                Pause::Reading
            }
        } else if let Some(stretch) = group.fresh_at(next)
            && stretch.is_for(member)
            && stretch.last <= last.min(stream.window_end())
            && stream.link.has_credit_for(&stretch.run)
        {
            stream.run(stretch);
            Pause::No
        } else {
            let cached = (next.0..=last.0).map_while(|seq| group.cached(Seq(seq)));
            stream.records(member, cached.take(ROUND))
        };
        self.pause(id, number, pause);
    }

    /// One stream of a link, with its group and membership: the parts of the hub that sending it touches.
    fn stream(&mut self, id: LinkId, number: GroupNumber) -> Option<(Sending<'_>, &Group, &Member)> {
        let link = self.links.get_mut(&id)?;
        let group = self.groups.get(&number)?;
        let member = group.members.get(&link.gateway)?;
        link.streams.get(&number)?;
        let window = self.config.window;
        let (actions, counters) = (&mut self.actions, &mut self.counters);
        Some((Sending { id, number, link, window, actions, counters }, group, member))
    }

    pub(super) fn log_read(&mut self, id: LinkId, number: GroupNumber, after: Seq, records: &[Record]) {
        let Some(stream) = self.links.get_mut(&id).and_then(|l| l.streams.get_mut(&number)) else { return };
        if stream.pause != Pause::Reading {
            return; // resumed from elsewhere meanwhile
        }
        stream.pause = Pause::No;
        let Some((mut stream, group, member)) = self.stream(id, number) else { return };
        let last = member.until.unwrap_or(group.committed).min(group.committed);
        if stream.next() == after.next() {
            let pause = stream.records(member, records.iter().take_while(|r| r.seq <= last));
            self.pause(id, number, pause);
        }
        self.wake(id, number);
    }

    fn pause(&mut self, id: LinkId, number: GroupNumber, pause: Pause) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(stream) = link.streams.get_mut(&number) else { return };
        stream.pause = pause;
        match pause {
            // Looked at again when there is credit, or at once.
            Pause::No | Pause::Credit => drop(link.ready.insert(number)),
            // Woken by `settled`, by an append, by the page.
            Pause::Window | Pause::CaughtUp | Pause::Reading => drop(link.ready.remove(&number)),
        }
    }

    // ------------------------------------------------------------ fates

    /// Tells the origin at once that a member's room refused its message.
    pub(super) fn tell_fate(&mut self, number: GroupNumber, member: &GatewayId, seq: Seq) {
        let Some(group) = self.groups.get(&number) else { return };
        let Some(fate) = group.fates.get(&(member.clone(), seq)) else { return };
        let Some(link) = group.gateway_of(&fate.key).and_then(|origin| self.listening(origin)) else {
            return;
        };
        let upto = group.members.get(member).map_or(Seq(0), |m| m.settled);
        let fate = Fate {
            group: number,
            enterprise: member.enterprise.clone(),
            gateway: member.gateway.clone(),
            upto,
            refused: vec![(fate.key.clone(), fate.condition)],
        };
        self.send(link, &ToGateway::Fate(fate));
    }

    /// Tells a gateway that has come back how far the others are, and everything of its own that they refused.
    pub(super) fn tell_fates(&mut self, id: LinkId, number: GroupNumber, gateway: &GatewayId) {
        let Some(group) = self.groups.get(&number) else { return };
        let mut fates = Vec::new();
        for member in group.members.values().filter(|m| m.gateway != *gateway) {
            let refused: Vec<_> = group
                .fates
                .range((member.gateway.clone(), Seq(0))..=(member.gateway.clone(), Seq(u64::MAX)))
                .filter(|(_, fate)| group.gateway_of(&fate.key) == Some(gateway))
                .map(|(_, fate)| (fate.key.clone(), fate.condition))
                .collect();
            let (enterprise, name) = (&member.gateway.enterprise, &member.gateway.gateway);
            let mut pages: Vec<_> = refused.chunks(limits::REFUSED_PER_STANZA).map(<[_]>::to_vec).collect();
            if pages.is_empty() {
                pages.push(Vec::new());
            }
            fates.extend(pages.into_iter().map(|refused| Fate {
                group: number,
                enterprise: enterprise.clone(),
                gateway: name.clone(),
                upto: member.settled,
                refused,
            }));
        }
        for fate in fates {
            self.send(id, &ToGateway::Fate(fate));
        }
    }

    /// Tells everybody how far those have come who came further.
    pub(super) fn tell_progress(&mut self, number: GroupNumber, members: BTreeSet<GatewayId>) {
        for member in members {
            let Some(group) = self.groups.get(&number) else { continue };
            let Some(upto) = group.members.get(&member).map(|m| m.settled) else { continue };
            let others = group.members.keys().filter(|m| **m != member);
            let links: Vec<_> = others.filter_map(|m| self.listening(m)).collect();
            let (enterprise, gateway) = (member.enterprise, member.gateway);
            let fate = ToGateway::Fate(Fate { group: number, enterprise, gateway, upto, refused: Vec::new() });
            for link in links {
                self.send(link, &fate);
            }
        }
    }
}

/// One group's stream on one link, being sent.
struct Sending<'a> {
    id: LinkId,
    number: GroupNumber,
    link: &'a mut Link,
    window: u32,
    actions: &'a mut VecDeque<Action>,
    counters: &'a mut Counters,
}

impl Sending<'_> {
    fn next(&self) -> Seq {
        self.link.streams.get(&self.number).map_or(Seq(0), |stream| stream.next)
    }

    fn window_end(&self) -> Seq {
        let base = self.link.streams.get(&self.number).map_or(Seq(0), |stream| stream.base);
        Seq(base.0 + u64::from(self.window))
    }

    fn advance(&mut self, next: Seq) {
        if let Some(stream) = self.link.streams.get_mut(&self.number) {
            stream.next = next;
        }
    }

    /// Sends consecutive entries as far as window and credit allow; says what to wait for.
    fn records<'r>(&mut self, member: &Member, records: impl Iterator<Item = &'r Record>) -> Pause {
        let window_end = self.window_end();
        let mut next = self.next();
        let mut pause = Pause::No;
        // Entries left out one after the other, told as one: the first, the last, the hash there.
        let mut gap: Option<(Seq, Seq, HistoryHash)> = None;
        for record in records {
            if record.seq != next {
                break;
            }
            if next > window_end {
                pause = Pause::Window;
                break;
            }
            if !self.link.has_credit() {
                pause = Pause::Credit;
                break;
            }
            next = next.next();
            if unannounced(record, member) {
                gap = Some((gap.map_or(record.seq, |(from, _, _)| from), record.seq, record.hash));
            } else {
                self.gap(gap.take());
                self.record(member, record);
            }
        }
        self.gap(gap);
        self.advance(next);
        pause
    }

    fn gap(&mut self, gap: Option<(Seq, Seq, HistoryHash)>) {
        if let Some((from, to, hash)) = gap {
            let (group, reason) = (self.number, SkipReason::BeforeYouJoined);
            self.send(&ToGateway::Skip(Skip { group, from, to, reason, hash }));
        }
    }

    fn record(&mut self, member: &Member, record: &Record) {
        match &record.kind {
            RecordKind::Message { origin, key, .. } if *origin == member.gateway => {
                let own = Own { group: record.group, seq: record.seq, key: key.clone() };
                self.send(&ToGateway::Own(own));
            }
            RecordKind::Message { deliver, .. } => {
                self.counters.delivered += 1;
                self.send_shared(deliver.clone());
            }
            RecordKind::Change(change) => {
                let (group, seq, list) = (record.group, record.seq, record.list);
                self.send(&ToGateway::Entry(Entry { group, seq, list, change: change.clone() }));
            }
        }
    }

    /// Sends a stanza of the stream, which costs credit.
    fn send(&mut self, stanza: &ToGateway) {
        self.counters.placeholders += 1;
        self.send_shared(encode::to_gateway(stanza).into());
    }

    fn send_shared(&mut self, frame: Bytes) {
        self.link.out.push_back(frame.len());
        self.link.out_bytes += frame.len();
        self.actions.push_back(Action::Send { link: self.id, frames: Frames::One(frame) });
    }

    /// Sends a whole run.
    fn run(&mut self, stretch: &Stretch) {
        let run = &stretch.run;
        self.counters.delivered += run.stanzas().len() as u64;
        self.link.out.extend(run.stanzas().iter().map(Bytes::len));
        self.link.out_bytes += run.bytes();
        self.actions.push_back(Action::Send { link: self.id, frames: Frames::Run(run.clone()) });
        self.advance(stretch.last.next());
    }
}

/// A message that was said before its room was told that this member reads along.
pub(super) fn unannounced(record: &Record, member: &Member) -> bool {
    matches!(&record.kind, RecordKind::Message { origin, .. } if *origin != member.gateway) && record.list < member.list
}
