//! From the center: the group's stream, without a gap, into memory.

use std::collections::VecDeque;

use intergroup_schemas::history::{self, Identity};
use intergroup_schemas::ids::{HistoryHash, ListVersion, OriginKey, Seq};
use intergroup_schemas::limits::HELLO_PLACES;
use intergroup_schemas::link::{
    Change as GroupChange, Deliver, Entry, History, Own, Resume, Skip, SkipReason, Standing, ToCenter, WelcomeGroup,
};

use super::Room;
use super::list::Off;
use crate::bridge::action::{Action, Level};
use crate::bridge::context::Context;
use crate::store::PostedRow;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Stream {
    state: State,
    /// The center has said on this link how we stand.
    welcome: bool,
    /// The last entry received, and the running hash there.
    received: Seq,
    hash: HistoryHash,
    /// The last entry that has its outcome in this run of the stream; behind `settled` while entries come again.
    pub(super) passed: Seq,
    /// What the center knows to have its outcome here; beyond `settled` in a store that is an older copy.
    pub(super) known_settled: Seq,
    /// The list version that the center was at when it welcomed us last; none before.
    pub(super) known_list: Option<ListVersion>,
    /// Requests on this link to begin somewhere that were not answered: the last answer is the one to the last of them.
    unanswered: u32,
    /// After a break the stream begins again at the oldest checkpoint.
    anew: bool,
    pub(super) queue: VecDeque<Queued>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is wanted (yet).
    #[default]
    Idle,
    /// What was posted before is being read, since the log has forked.
    Remembering(Seq),
    /// Asked to begin behind this entry; what comes before the answer does not count.
    Asked(Seq),
    Live,
}

/// An entry that waits for its turn in the room.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) seq: Seq,
    pub(super) hash: HistoryHash,
    pub(super) item: Item,
}

/// What an entry is.
#[derive(Debug)]
pub(super) enum Item {
    /// Nothing to be said here.
    Quiet,
    /// Our own: said here before, unless it was said to the group's number.
    Own(OriginKey),
    /// Entries are missing, and the room is to know.
    Missing {
        from: Seq,
        reason: SkipReason,
    },
    Change(Box<Entry>),
    Message(Box<Deliver>),
}

impl Stream {
    pub(super) fn new(settled: Seq) -> Self {
        Self { passed: settled, ..Self::default() }
    }

    pub(super) fn received(&self) -> Seq {
        self.received
    }

    /// With the running hash there; none before this process has asked for anything.
    pub(super) fn last_received(&self) -> Option<(Seq, HistoryHash)> {
        (self.received > Seq(0)).then_some((self.received, self.hash))
    }

    /// A group that was just joined needs no hello.
    pub(super) fn welcome_at_once(&mut self) {
        self.welcome = true;
    }

    pub(super) fn is_welcome(&self) -> bool {
        self.welcome
    }

    /// The room is not there: what is queued will come again.
    pub(super) fn stop(&mut self) {
        self.queue.clear();
        if !matches!(self.state, State::Remembering(_)) {
            self.state = State::Idle;
        }
    }

    pub(super) fn begin_anew(&mut self) {
        self.anew = true;
    }

    /// Whether entries up to this one are still to come by once more after a break: until then it is not known what of them
    /// the room has.
    pub(super) fn repeats_up_to(&self, settled: Seq) -> bool {
        self.anew || self.passed < settled
    }

    pub(super) fn is_drained(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Room {
    pub(in crate::bridge) fn link_up(&mut self, cx: &mut Context, welcome: Option<&WelcomeGroup>) {
        self.told.0 = Seq(0);
        let Some(welcome) = welcome else { return };
        if welcome.standing == Standing::Unknown {
            self.park(
                cx,
                "the center does not know this group, or we have no part in it: end the mapping with `unmap`",
            );
            return;
        }
        self.stream.welcome = true;
        self.list.check_soon(cx.now, welcome.standing == Standing::Member);
        let known = self.mapping.incarnation.replace(welcome.incarnation.clone());
        if known.as_ref() != Some(&welcome.incarnation) {
            self.dirty(cx);
        }
        self.stream.known_settled = welcome.settled;
        self.stream.known_list = Some(welcome.list);
        if welcome.history == History::Forked {
            self.forked(cx, welcome);
        }
        let copied = self.another_copy(cx, welcome);
        self.outbox_welcome(cx, welcome.decided, copied);
    }

    pub(in crate::bridge) fn link_down(&mut self, cx: &mut Context) {
        self.list_link_down(cx);
        self.stream.welcome = false;
        self.stream.unanswered = 0;
        if !matches!(self.stream.state, State::Remembering(_)) {
            self.stream.state = State::Idle;
        }
    }

    /// Whether another copy of this store has been at work under our certificate since we were welcomed last: what the center
    /// says of our numbers may be said of its messages. (Who was killed before it could note its welcome is taken for one,
    /// too, which costs a new epoch and nothing else.)
    fn another_copy(&mut self, cx: &mut Context, welcome: &WelcomeGroup) -> bool {
        let own = self.mapping.run.replace(cx.run.clone());
        if own.as_ref() != Some(&cx.run) {
            self.dirty(cx);
        }
        own.zip(welcome.before.as_ref()).is_some_and(|(own, before)| own != *before && cx.run != *before)
    }

    /// The center's log is not the one that we remember: both are the same up to `common`. From there on entries are known
    /// again by their origin keys.
    fn forked(&mut self, cx: &mut Context, welcome: &WelcomeGroup) {
        let (common, list) = (welcome.common, welcome.list);
        cx.count("forks");
        self.report(
            cx,
            Level::Warning,
            format!(
                "the center's log has changed behind entry {common} (restored from a backup?): compared by origin key"
            ),
        );
        let m = &mut self.mapping;
        let settled = (self.durable.settled, self.durable.hash);
        let known = [settled].into_iter().chain(m.places.iter().copied()).find(|(seq, _)| *seq == common);
        let hash = known.map_or(HistoryHash::default(), |(_, hash)| hash);
        m.places.retain(|(seq, _)| *seq <= common);
        for checkpoint in &mut m.checkpoints {
            if checkpoint.settled > common {
                (checkpoint.settled, checkpoint.hash) = (common, hash);
            }
        }
        (m.settled, m.hash) = (common, hash);
        m.refused.clear();
        m.suspect = None;
        // Versions behind the center's are of the end that was lost, and will be others'.
        (m.list, m.list_from) = (m.list.min(list), welcome.head);
        m.announced = m.announced.min(list);
        m.news.retain(|news| news.list <= list);
        self.list_missed_changes(cx);
        self.stream.known_settled = Seq(0);
        let in_doubt = self.post_is_in_doubt();
        self.stop_posting(cx);
        self.stream.queue.clear();
        (self.stream.received, self.stream.hash, self.stream.passed) = (common, hash, common);
        self.stream.state = State::Remembering(common);
        self.durable.settled = common;
        self.durable.hash = hash;
        self.era += 1;
        self.dirty(cx);
        cx.act(Action::LoadPosted { group: self.group(), after: common });
        if in_doubt {
            self.restart(cx, "the log has changed while messages were on their way into the room");
        }
    }

    pub(in crate::bridge) fn posted_rows(&mut self, cx: &mut Context, rows: Vec<PostedRow>) {
        if let State::Remembering(common) = self.stream.state {
            self.displace(cx, rows, common);
            self.stream.state = State::Idle;
        }
    }

    /// Asks for the stream, when the room can take it.
    pub(super) fn resume(&mut self, cx: &mut Context) {
        let shared = self.mapping.floor.is_some() || !self.mapping.archive;
        let can = self.stream.welcome && cx.link.is_some() && self.door.is_ready() && shared;
        if !can || self.stream.state != State::Idle {
            return;
        }
        if std::mem::take(&mut self.stream.anew) {
            let m = &self.mapping;
            let place = m.checkpoints.first().filter(|_| m.archive).map(|c| (c.settled, c.hash));
            (self.stream.received, self.stream.hash) = place.unwrap_or((m.settled, m.hash));
            self.stream.queue.clear();
            self.stream.passed = self.stream.received;
            self.told.0 = self.stream.received;
            self.begin_own_anew();
        }
        let after = self.stream.received;
        cx.send(ToCenter::Resume(Resume { group: self.group(), after }));
        self.stream.unanswered += 1;
        self.stream.state = State::Asked(after);
    }

    pub(in crate::bridge) fn resumed(&mut self, cx: &mut Context, after: Seq) {
        self.stream.unanswered = self.stream.unanswered.saturating_sub(1);
        if let State::Asked(asked) = self.stream.state
            && self.stream.unanswered == 0
        {
            if after != asked {
                // The log does not go on where we left it; the next hello finds out where both part.
                cx.count("resumed-elsewhere");
            }
            self.stream.state = State::Live;
            self.stream.received = after;
        }
    }

    pub(in crate::bridge) fn own(&mut self, cx: &mut Context, own: &Own) {
        let Some(me) = cx.enterprise() else { return };
        let hash = history::advance(self.stream.hash, own.seq, Identity::Message(me, &own.key));
        self.received(cx, own.seq, own.seq, hash, Item::Own(own.key.clone()));
    }

    pub(in crate::bridge) fn deliver(&mut self, cx: &mut Context, deliver: Deliver) {
        let hash =
            history::advance(self.stream.hash, deliver.seq, Identity::Message(&deliver.enterprise, &deliver.key));
        self.received(cx, deliver.seq, deliver.seq, hash, Item::Message(Box::new(deliver)));
    }

    pub(in crate::bridge) fn skip(&mut self, cx: &mut Context, skip: &Skip) {
        let item = match skip.reason {
            SkipReason::BeforeYouJoined => Item::Quiet,
            reason => Item::Missing { from: skip.from, reason },
        };
        self.received(cx, skip.from, skip.to, skip.hash, item);
    }

    pub(in crate::bridge) fn entry(&mut self, cx: &mut Context, entry: Entry) {
        let hash = history::advance(self.stream.hash, entry.seq, Identity::Change(&entry.change));
        self.received(cx, entry.seq, entry.seq, hash, Item::Change(Box::new(entry)));
    }

    fn received(&mut self, cx: &mut Context, from: Seq, to: Seq, hash: HistoryHash, item: Item) {
        if self.stream.state != State::Live {
            return;
        }
        if from != self.stream.received.next() || to < from {
            cx.count("stream-faults");
            self.stream.state = State::Idle;
            return;
        }
        (self.stream.received, self.stream.hash) = (to, hash);
        self.stream.queue.push_back(Queued { seq: to, hash, item });
    }

    /// The group has changed. Says who has no part in it any more.
    pub(super) fn changed(&mut self, cx: &mut Context, entry: &Entry) -> Vec<Off> {
        let mut off = self.list_entry(cx, entry);
        let m = &mut self.mapping;
        match &entry.change {
            GroupChange::Joined { enterprise, gateway, display } => {
                let id =
                    intergroup_schemas::ids::GatewayId { enterprise: enterprise.clone(), gateway: gateway.clone() };
                m.members.retain(|(member, _)| *member != id);
                m.members.push((id, display.clone()));
            }
            GroupChange::Left { enterprise, gateway, .. } => {
                m.members.retain(|(member, _)| member.enterprise != *enterprise || member.gateway != *gateway);
                if !m.members.iter().any(|(member, _)| member.enterprise == *enterprise) {
                    off.push(Off::Enterprise(enterprise.clone()));
                } else if cx.enterprise() == Some(enterprise) {
                    // Whom that gateway had put on the list may be nobody's now.
                    self.read_soon(cx);
                }
            }
            GroupChange::Suspended { enterprise } if !m.suspended.contains(enterprise) => {
                m.suspended.push(enterprise.clone());
            }
            GroupChange::Resumed { enterprise } => m.suspended.retain(|suspended| suspended != enterprise),
            GroupChange::Described(about) => m.name.clone_from(&about.name),
            // No news for the room: whoever knew all there was still does.
            GroupChange::Listed { .. } | GroupChange::Unlisted { .. } if m.announced == m.list => {
                m.announced = m.announced.max(entry.list);
            }
            _ => {}
        }
        self.note_news(cx, entry);
        let m = &mut self.mapping;
        if entry.list > m.list {
            (m.list, m.list_from) = (entry.list, entry.seq);
        }
        cx.dirty(m.group);
        off
    }

    /// Keeps some places of the stream, ever further apart, by which a forked log is compared.
    pub(super) fn remember_place(&mut self) {
        const STEP: u64 = 32;
        let m = &mut self.mapping;
        if m.places.first().is_some_and(|(seq, _)| m.settled.0 < seq.0 + STEP) {
            return;
        }
        m.places.insert(0, (m.settled, m.hash));
        let newest = m.settled.0;
        let mut at = 1;
        while at + 1 < m.places.len() {
            let (before, after) = (m.places[at - 1].0.0, m.places[at + 1].0.0);
            if before - after <= (newest - before) / 2 + STEP {
                m.places.remove(at);
            } else {
                at += 1;
            }
        }
        m.places.truncate(HELLO_PLACES);
    }
}
