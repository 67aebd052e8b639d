//! Into the room: the stream's entries in order, each said once, paced by the reflections.
//!
//! A message that is said is in flight until its reflection (done), an error (refused: known not to be in), or too long a
//! silence (in doubt: the room is begun anew, and its archive tells). While a refused one is in flight, nothing more is
//! said; when all the others have come back, it is tried again or given up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{EnterpriseId, HistoryHash, OriginKey, Seq};
use intergroup_schemas::link::{Change as GroupChange, Deliver, Entry, Timestamp};

use super::list::Off;
use super::posted::{Known, Posted};
use super::puppets::Voice;
use super::stream::{Item, Queued};
use super::{Account, After, Room};
use crate::bridge::action::RoomAction;
use crate::bridge::context::Context;
use crate::bridge::event::Refusal;
use crate::bridge::limits::{DEATHS, REFLECTED_WITHIN, REFUSED_KEPT, TRIES, UNREFLECTED};
use crate::ids::{MessageId, Mouth, StanzaId, Who};
use crate::payload;
use crate::store::{Change, Ending, Generation, PostedRow};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Post {
    flights: VecDeque<Flight>,
    posted: Posted,
}

#[derive(Debug)]
struct Flight {
    seq: Seq,
    hash: HistoryHash,
    id: Option<MessageId>,
    what: What,
    state: State,
    tries: u32,
    by_ear: bool,
    late: bool,
    /// Who has no part in the group any more from here on.
    off: Vec<Off>,
}

#[derive(Debug)]
enum What {
    Nothing,
    /// A line of the gateway itself; and whether the mapping ends with it.
    Notice(String, bool),
    Message(Box<Deliver>),
}

#[derive(Debug)]
enum State {
    /// Not said yet.
    New,
    /// Said; in doubt from then on.
    Said(Timestamp),
    /// Known not to be in.
    Refused(Refusal),
    /// In the room, or nothing to say.
    Done,
    /// Given up.
    GivenUp(Condition),
}

impl Post {
    pub(super) fn new(rows: Vec<PostedRow>) -> Self {
        let mut post = Self::default();
        post.posted.remember(rows);
        post
    }

    /// See [`Posted::forget`].
    pub(super) fn forget(&mut self, before: Generation, settled: Seq) {
        self.posted.forget(before, settled);
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.flights.iter().find_map(|f| if let State::Said(until) = f.state { Some(until) } else { None })
    }

    fn said(&self) -> usize {
        self.flights.iter().filter(|f| matches!(f.state, State::Said(_))).count()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.flights.is_empty()
    }
}

impl Room {
    pub(super) fn post_is_in_doubt(&self) -> bool {
        self.post.said() > 0
    }

    pub(super) fn stop_posting(&mut self, cx: &mut Context) {
        cx.came_back(self.post.said());
        self.post.flights.clear();
    }

    /// The log has forked behind `common`: which entries these are is not known any more.
    pub(super) fn displace(&mut self, cx: &mut Context, rows: Vec<PostedRow>, common: Seq) {
        // What should be in memory and is not, the server has lost since.
        let oldest = self.mapping.checkpoints.first().map_or(Generation(0), |c| c.generation);
        let lost = |row: &PostedRow| row.generation >= oldest && self.post.posted.get(&row.id).is_none();
        let rows: Vec<_> = rows.into_iter().filter(|row| !lost(row)).collect();
        let keys: BTreeMap<MessageId, Option<(EnterpriseId, OriginKey)>> =
            rows.iter().map(|row| (row.id.clone(), row.key.clone())).collect();
        self.post.posted.remember(rows);
        for (id, known) in self.post.posted.behind(common) {
            let key = keys.get(&id).cloned().flatten();
            self.write_row(cx, id, known, None, key);
        }
    }

    /// After a break: what a server forgot of ours is not in the room, whatever was reflected.
    pub(super) fn forget_lost_posts(&mut self, cx: &mut Context, archive: &BTreeSet<MessageId>) {
        let Some(oldest) = self.mapping.checkpoints.first().map(|c| c.generation) else { return };
        for _ in 0..self.post.posted.forget_lost(oldest, archive) {
            cx.count("posts-lost-by-the-server");
        }
    }

    pub(super) fn go_on_posting(&mut self, cx: &mut Context) {
        if !self.door.is_ready() || self.members.is_checking() || self.ending.is_ready() {
            return;
        }
        if self.post.deadline().is_some_and(|until| until <= cx.now) {
            cx.count("unreflected");
            return self.restart(cx, "a message was not reflected in time, so its fate is in doubt");
        }
        while self.post.flights.len() < UNREFLECTED && self.next_entry_is_known(cx) && self.next_entry_has_its_list(cx)
        {
            let Some(queued) = self.stream.queue.pop_front() else { break };
            let flight = self.flight(cx, queued);
            self.post.flights.push_back(flight);
        }
        if self.post.flights.iter().any(|f| matches!(f.state, State::Refused(_))) {
            if self.post.said() > 0 {
                return self.settle(cx);
            }
            self.judge_refused(cx);
        }
        for at in 0..self.post.flights.len() {
            let new = matches!(self.post.flights[at].state, State::New);
            if new && (self.refusal_is_not_durable(at) || !self.say(cx, at)) {
                break;
            }
        }
        self.settle(cx);
    }

    /// A refusal is on disk before anything later is said: judged again after a crash, it might go the other way.
    fn refusal_is_not_durable(&self, at: usize) -> bool {
        let given_up = self.post.flights.iter().take(at).any(|f| matches!(f.state, State::GivenUp(_)));
        given_up || self.mapping.refused.last().is_some_and(|(seq, ..)| *seq > self.durable.settled)
    }

    fn flight(&mut self, cx: &mut Context, queued: Queued) -> Flight {
        let Queued { seq, hash, item } = queued;
        // What was said to the number is said here like a message from elsewhere.
        let item = match item {
            Item::Own(key) => self.own_message(cx, seq, &key).map_or(Item::Quiet, |d| Item::Message(Box::new(d))),
            other => other,
        };
        let mut off = Vec::new();
        let (id, what) = match item {
            Item::Quiet | Item::Own(_) => (None, What::Nothing),
            Item::Missing { from, reason } => {
                if seq > self.mapping.settled {
                    self.list_missed_changes(cx);
                }
                let text = super::announcements::missing(from, seq, reason);
                (Some(cx.ids.entry(self.group(), seq)), What::Notice(text, false))
            }
            Item::Change(entry) => {
                off = self.changed(cx, &entry);
                let ends = self.ends_with(cx, &entry);
                // What the room was told at the beginning already, it is not told again.
                let news = entry.list > self.mapping.announced || ends;
                match self.change_text(cx, &entry).filter(|_| news) {
                    None => (None, What::Nothing),
                    Some(text) => (Some(cx.ids.announcement(self.group(), entry.list)), What::Notice(text, ends)),
                }
            }
            Item::Message(deliver) => {
                let id = cx.ids.message(self.group(), &deliver.enterprise, &deliver.key);
                (Some(id), What::Message(deliver))
            }
        };
        // A refusal is an outcome, also when the entry comes by once more.
        let refused = |d: &Deliver| self.mapping.refused.iter().any(|(known, key, _)| *known == seq && *key == d.key);
        let (id, what) = match what {
            What::Message(deliver) if refused(&deliver) => (None, What::Nothing),
            // Nothing but the center's word tells an older copy of this store that it was said.
            What::Message(_) | What::Notice(_, false) if !self.mapping.archive && seq <= self.stream.known_settled => {
                (None, What::Nothing)
            }
            what => (id, what),
        };
        // Before a break, a later one may have gone in while this one was refused.
        let overtaken = seq <= self.mapping.settled || seq < self.post.posted.newest();
        let late = overtaken || matches!(&what, What::Message(d) if d.late);
        let mut flight = Flight { seq, hash, id, what, state: State::New, tries: 0, by_ear: false, late, off };
        match flight.id.as_ref().map(|id| self.post.posted.get(id).cloned()) {
            None => flight.state = State::Done,
            Some(None) => {
                if let What::Message(deliver) = &flight.what
                    && let Some(condition) = self.list_refuses(cx, deliver)
                {
                    flight.state = State::GivenUp(condition);
                }
            }
            Some(Some(known)) => {
                flight.state = State::Done;
                if known.seq != Some(flight.seq) {
                    self.write_posted(cx, &flight, known);
                }
            }
        }
        flight
    }

    /// Whether our membership, or the group, ends with an entry.
    fn ends_with(&self, cx: &Context, entry: &Entry) -> bool {
        match &entry.change {
            GroupChange::Deleted {} => true,
            GroupChange::Left { enterprise, gateway, .. } => {
                cx.me.as_ref().is_some_and(|me| me.enterprise == *enterprise && me.gateway == *gateway)
            }
            _ => false,
        }
    }

    /// Says one; false when it and what follows must wait.
    fn say(&mut self, cx: &mut Context, at: usize) -> bool {
        if !cx.may_say() {
            return false;
        }
        let flight = &self.post.flights[at];
        let (Some(id), seq) = (flight.id.clone(), flight.seq) else { return true };
        if self.mapping.suspect.is_some_and(|(suspect, deaths)| suspect == seq && deaths >= DEATHS) {
            self.post.flights[at].state = State::GivenUp(Condition::Poisonous);
            self.mapping.suspect = None;
            self.dirty(cx);
            return true;
        }
        let action = match &flight.what {
            What::Nothing => return true,
            What::Notice(text, _) => self.notice_action(id, text),
            What::Message(deliver) => {
                let deliver = deliver.clone();
                let by_ear = flight.by_ear;
                match self.voice(cx, &deliver, by_ear) {
                    Voice::NotYet => return false,
                    Voice::Refused(condition) => {
                        self.post.flights[at].state = State::GivenUp(condition);
                        return true;
                    }
                    Voice::Puppet(mouth) => {
                        self.message_action(cx, mouth, None, id, &deliver, self.post.flights[at].late)
                    }
                    Voice::Ear(prefix) => {
                        self.post.flights[at].by_ear = true;
                        let late = self.post.flights[at].late;
                        self.message_action(cx, self.mouth(Who::Ear), Some(prefix), id, &deliver, late)
                    }
                }
            }
        };
        if !self.mapping.archive {
            return self.say_once(cx, at, action);
        }
        self.post.flights[at].state = State::Said(cx.in_ms(REFLECTED_WITHIN));
        cx.said();
        cx.count("said");
        if cx.caution > 0 {
            let deaths = self.mapping.suspect.filter(|(suspect, _)| *suspect == seq).map_or(0, |(_, deaths)| deaths);
            self.mapping.suspect = Some((seq, deaths + 1));
            self.dirty(cx);
            cx.after(self.group(), After::Say(Box::new(action)));
        } else {
            self.act(cx, action);
        }
        true
    }

    /// In a room without archive nobody could tell after a crash whether it was said: so it is settled first, and said at
    /// most once.
    fn say_once(&mut self, cx: &mut Context, at: usize, action: RoomAction) -> bool {
        if at > 0 {
            self.settle(cx);
        }
        let Some(flight) = self.post.flights.iter_mut().find(|f| matches!(f.state, State::New)) else { return false };
        flight.state = State::Done;
        let (seq, key) = (Some(flight.seq), flight.key());
        if let Some(id) = flight.id.clone() {
            // Known also where a log forks, though the reflection may never come.
            let known = Known { generation: self.mapping.generation, stanza_id: None, seq };
            self.write_row(cx, id, known, seq, key);
        }
        cx.count("said");
        // Before what the next entries bring: its speaker may be off the list with them.
        cx.after(self.group(), After::Say(Box::new(action)));
        self.settle(cx);
        self.dirty(cx);
        false
    }

    pub(super) fn say_suspect(&mut self, cx: &mut Context, action: RoomAction) {
        let ours = matches!(&action, RoomAction::Say { mouth, .. } if mouth.life == self.mapping.life);
        if ours && self.door.is_ready() {
            self.act(cx, action);
        }
    }

    pub(super) fn notice_action(&self, id: MessageId, text: &str) -> RoomAction {
        let payload = format!("<body>{}</body>", quick_xml::escape::escape(text)).into();
        RoomAction::Say { mouth: self.mouth(Who::Ear), id, payload, prefix: None, delay: None }
    }

    fn message_action(
        &self,
        cx: &Context,
        mouth: Mouth,
        prefix: Option<String>,
        id: MessageId,
        deliver: &Deliver,
        late: bool,
    ) -> RoomAction {
        let payload =
            payload::resolve_mentions(&deliver.payload, &mut |account: &Account| self.account_nick(cx, account));
        let prefix = match (prefix, late) {
            (prefix, true) => Some(format!("{}[late] ", prefix.unwrap_or_default())),
            (prefix, false) => prefix,
        };
        let delay = late.then_some(deliver.at);
        RoomAction::Say { mouth, id, payload, prefix: prefix.map(Into::into), delay }
    }

    /// Something that we said is in the room.
    pub(super) fn reflected(&mut self, cx: &mut Context, id: &MessageId, stanza_id: Option<&StanzaId>) {
        let at = self.post.flights.iter().position(|f| f.id.as_ref() == Some(id));
        if let Some(flight) = at.map(|at| &mut self.post.flights[at]) {
            if matches!(flight.state, State::Said(_)) {
                cx.came_back(1);
                cx.caution = cx.caution.saturating_sub(1);
            }
            flight.state = State::Done;
            if self.mapping.suspect.is_some_and(|(suspect, _)| suspect == flight.seq) {
                self.mapping.suspect = None;
            }
        }
        if self.post.posted.get(id).is_some() {
            return;
        }
        let generation = self.mapping.generation;
        let known = Known { generation, stanza_id: stanza_id.cloned(), seq: None };
        match at.and_then(|at| self.post.flights.get(at)) {
            Some(flight) => {
                let (seq, key) = (Some(flight.seq), flight.key());
                self.write_row(cx, id.clone(), known, seq, key);
            }
            None => self.write_row(cx, id.clone(), known, None, None),
        }
    }

    fn write_posted(&mut self, cx: &mut Context, flight: &Flight, known: Known) {
        if let Some(id) = flight.id.clone() {
            self.write_row(cx, id, known, Some(flight.seq), flight.key());
        }
    }

    fn write_row(
        &mut self,
        cx: &mut Context,
        id: MessageId,
        known: Known,
        seq: Option<Seq>,
        key: Option<(EnterpriseId, OriginKey)>,
    ) {
        let (group, at, generation, stanza_id) = (self.group(), cx.now, known.generation, known.stanza_id.clone());
        self.post.posted.insert(id.clone(), Known { seq, ..known });
        cx.change(Change::Posted(PostedRow { group, id, stanza_id, generation, at, seq, key }));
    }

    /// The room's server answered with an error: it is not in the room.
    pub(super) fn was_refused(&mut self, cx: &mut Context, id: &MessageId, refusal: &Refusal) {
        let flight = self.post.flights.iter_mut().find(|f| f.id.as_ref() == Some(id));
        if let Some(flight) = flight.filter(|f| matches!(f.state, State::Said(_))) {
            cx.came_back(1);
            cx.count("said-and-refused");
            flight.state = State::Refused(refusal.clone());
        }
    }

    /// Everything else has come back: what is to become of the refused?
    fn judge_refused(&mut self, cx: &mut Context) {
        let last_done = self.post.flights.iter().rposition(|f| matches!(f.state, State::Done));
        let mut ear_is_out = false;
        for at in 0..self.post.flights.len() {
            let flight = &mut self.post.flights[at];
            let State::Refused(refusal) = &flight.state else { continue };
            let condition = refusal.condition.clone();
            flight.tries += 1;
            flight.late |= last_done.is_some_and(|done| done > at);
            let by_ear = flight.by_ear || matches!(flight.what, What::Notice(..));
            let author = match &flight.what {
                What::Message(d) => Some(Account { enterprise: d.enterprise.clone(), user: d.user.clone() }),
                _ => None,
            };
            let tried = flight.tries >= TRIES;
            flight.state = match condition.as_ref() {
                _ if tried => State::GivenUp(Condition::RefusedByRoom),
                "not-acceptable" => {
                    ear_is_out |= by_ear;
                    State::New
                }
                "forbidden" if !by_ear => {
                    flight.by_ear = true;
                    State::New
                }
                "forbidden" => State::GivenUp(Condition::RefusedByRoom),
                _ => State::New,
            };
            if let (Some(author), "not-acceptable", false) = (author, condition.as_ref(), by_ear) {
                self.puppets.lost(&author);
            }
        }
        if ear_is_out {
            self.restart(cx, "the room says that we are not in it");
        }
    }

    /// Moves past what has its outcome.
    fn settle(&mut self, cx: &mut Context) {
        while self.post.flights.front().is_some_and(|f| matches!(f.state, State::Done | State::GivenUp(_))) {
            let Some(flight) = self.post.flights.pop_front() else { return };
            self.show_out(cx, flight.off);
            if let (State::GivenUp(condition), What::Message(deliver)) = (&flight.state, &flight.what) {
                cx.count(condition.as_str());
                self.mapping.refused.push((flight.seq, deliver.key.clone(), *condition));
                let surplus = self.mapping.refused.len().saturating_sub(REFUSED_KEPT);
                self.mapping.refused.drain(..surplus);
            }
            if matches!(flight.what, What::Notice(_, true)) && self.mapping.ending.is_none() {
                self.begin_ending(cx, Ending::Unmap, None);
            }
            self.stream.passed = self.stream.passed.max(flight.seq);
            if flight.seq > self.mapping.settled {
                if let (State::Done, What::Message(deliver), Some(id)) = (&flight.state, &flight.what, &flight.id) {
                    self.keep_posted(cx, id.clone(), deliver);
                }
                (self.mapping.settled, self.mapping.hash) = (flight.seq, flight.hash);
                self.remember_place();
                cx.count("settled");
            }
            self.dirty(cx);
        }
    }
}

impl Flight {
    fn key(&self) -> Option<(EnterpriseId, OriginKey)> {
        match &self.what {
            What::Message(deliver) => Some((deliver.enterprise.clone(), deliver.key.clone())),
            _ => None,
        }
    }
}
