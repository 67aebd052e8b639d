//! Reading the room's archive: the only thing that moves the cursor.
//!
//! A read begins at a place that is known (the oldest checkpoint after a break, the cursor otherwise) and runs to the end.
//! Results before the place are passed over; should the place itself be gone, what is younger than its stamp counts.
//! Messages that live copies have brought before are known by their ids. The floor is such a place, too: what was said
//! before it is never taken.

use std::collections::{BTreeMap, BTreeSet};

use intergroup_schemas::ids::Seq;
use intergroup_schemas::link::Timestamp;

use super::Room;
use crate::bridge::action::{Level, ReadFrom, RequestId, RoomAction};
use crate::bridge::context::Context;
use crate::bridge::event::{Answer, Page, Refusal, RoomMessage};
use crate::bridge::limits::{
    CHECKPOINT_EVERY, CHECKPOINTS, DURABLE_AFTER, KEEP_POSTED, NAMELESS_READS, OUTBOX_ROWS, OVERLAP, PAGE, POLL_EVERY,
    READ_AGAIN_AFTER, READ_AGAIN_EVERY, RETRY,
};
use crate::ids::{MessageId, OccupantId, StanzaId, Who};
use crate::store::{Audience, Change, Checkpoint, Generation, ParkedRow, Place};

/// What is known of the archive.
#[derive(Debug)]
pub(super) struct Archive {
    /// Messages dealt with that a read may show again, on disk.
    pub(super) seen: BTreeMap<StanzaId, Generation>,
    /// Messages whose author is not known yet, on disk.
    pub(super) waiting: BTreeMap<OccupantId, Vec<ParkedRow>>,
    /// Messages of unknown occupants with ids like ours, as the last read found them: ours, should an occupant turn out to
    /// be one of us (this store may be older than the room).
    pub(super) perhaps_ours: BTreeMap<OccupantId, Vec<(MessageId, StanzaId)>>,
    /// Live messages that came while the archive was being read after a break.
    pub(super) held: Vec<RoomMessage>,
    /// Live messages were left to the archive: read it again as soon as there is room for them.
    pub(super) behind: bool,
    /// Live messages dealt with since the last read.
    pub(super) since_read: u64,
    read: Option<Read>,
    last_read: Timestamp,
    /// Entries have named their authors.
    names_authors: bool,
    /// Reads begun anew since entries named nobody.
    nameless: u32,
    /// The place to which the archive was reported not to reach back.
    gap_told: Option<StanzaId>,
    floor: Floor,
}

/// The room is told that it is shared; behind that notice messages may cross.
#[derive(Debug, Default)]
enum Floor {
    #[default]
    None,
    /// Said, and to be reflected until then.
    Said(MessageId, Timestamp),
    /// Reflected with this id; its stamp is being looked up.
    Looking(StanzaId, RequestId),
}

#[derive(Debug)]
struct Read {
    request: RequestId,
    /// After a break: what the archive has lost of ours is posted again.
    after_break: bool,
    /// Live messages wait for its end, or they would overtake what it finds.
    hold: bool,
    from: Place,
    /// Whom the room's people spoke to at the place that has been reached.
    audience: Audience,
    met: bool,
    /// Results before the place was met, in case that it is gone.
    before: Vec<RoomMessage>,
    /// The place is not where it was: what stood behind it may be gone, too.
    place_gone: bool,
    /// The archive is known to reach back beyond the place.
    reaches_back: bool,
    /// All has been read; whether the archive reaches back is to be seen by its oldest message, which is asked for.
    asks_oldest: bool,
    /// Messages behind this one are in order; unknown ones before it are late.
    in_order_after: Option<StanzaId>,
    last: Option<StanzaId>,
    end: Option<Place>,
    /// Ids of what we said, as the archive has it.
    ours: BTreeSet<MessageId>,
    /// The newest checkpoint whose place was met.
    intact: usize,
}

impl Archive {
    pub(super) fn new(seen: Vec<(StanzaId, Generation)>, parked: Vec<ParkedRow>, now: Timestamp) -> Self {
        let mut waiting: BTreeMap<OccupantId, Vec<ParkedRow>> = BTreeMap::new();
        for row in parked {
            waiting.entry(row.occupant.clone()).or_default().push(row);
        }
        Self {
            seen: seen.into_iter().collect(),
            waiting,
            perhaps_ours: BTreeMap::new(),
            held: Vec::new(),
            behind: false,
            since_read: 0,
            read: None,
            last_read: now,
            names_authors: false,
            nameless: 0,
            gap_told: None,
            floor: Floor::None,
        }
    }

    pub(super) fn stop(&mut self) {
        (self.read, self.floor) = (None, Floor::None);
        self.held.clear();
    }

    pub(super) fn awaits(&self, request: RequestId) -> bool {
        self.read.as_ref().is_some_and(|r| r.request == request)
            || matches!(&self.floor, Floor::Looking(_, r) if *r == request)
    }

    pub(super) fn is_holding(&self) -> bool {
        self.read.as_ref().is_some_and(|r| r.hold)
    }

    /// The room has been told that it is shared, and it is not yet known where.
    pub(super) fn makes_a_floor(&self) -> bool {
        !matches!(self.floor, Floor::None)
    }

    pub(super) fn parked(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
    }

    fn next_read(&self, exclusive: bool) -> Timestamp {
        let every = match () {
            () if !exclusive => POLL_EVERY,
            () if self.behind => RETRY,
            () => READ_AGAIN_EVERY,
        };
        Timestamp(self.last_read.0 + every)
    }

    pub(super) fn deadline(&self, in_room: bool, exclusive: bool, archive: bool) -> Option<Timestamp> {
        let reading = in_room && archive && self.read.is_none();
        match self.floor {
            Floor::Said(_, until) => Some(until),
            Floor::Looking(..) => None,
            Floor::None => reading.then(|| self.next_read(exclusive)),
        }
    }
}

impl Room {
    /// Reads what the room's people said while we were not there.
    pub(super) fn catch_up(&mut self, cx: &mut Context) {
        let from = self.mapping.checkpoints.first().map(|c| c.place.clone()).or_else(|| self.mapping.cursor.clone());
        match from.filter(|_| self.mapping.archive) {
            Some(place) => self.read(cx, place, true),
            None => self.caught_up(cx),
        }
    }

    fn read(&mut self, cx: &mut Context, from: Place, after_break: bool) {
        if after_break {
            self.archive.perhaps_ours.clear();
        }
        let hold = after_break || std::mem::take(&mut self.archive.behind);
        let newest = self.mapping.newest.clone().or_else(|| self.mapping.cursor.as_ref().map(|c| c.id.clone()));
        let in_order_after = newest.filter(|id| *id != from.id);
        let request = self.ask_for_page(cx, &from, None);
        self.archive.read = Some(Read {
            request,
            after_break,
            hold,
            audience: from.audience.unwrap_or(self.audience()),
            from,
            met: false,
            before: Vec::new(),
            place_gone: false,
            reaches_back: false,
            asks_oldest: false,
            in_order_after,
            last: None,
            end: None,
            ours: BTreeSet::new(),
            intact: 0,
        });
    }

    fn ask_for_page(&self, cx: &mut Context, from: &Place, after: Option<StanzaId>) -> RequestId {
        let request = cx.next_request();
        let start = Some(Timestamp(from.stamp.0 - OVERLAP));
        let (ear, from) = (self.mouth(Who::Ear), ReadFrom::Start { start, after });
        self.act(cx, RoomAction::ReadArchive { request, ear, from, max: PAGE });
        request
    }

    pub(super) fn page_came(&mut self, cx: &mut Context, answer: Result<Answer, Refusal>) {
        if let Floor::Looking(id, _) = &self.archive.floor {
            let id = id.clone();
            return self.floor_looked_up(cx, &id, answer);
        }
        let Some(read) = self.archive.read.take() else { return };
        match answer {
            Ok(Answer::Page(page)) if page.complete || page.last.is_some() => self.page(cx, read, page),
            // Some servers answer a failure of their database with an empty page that is not complete.
            other => {
                let why = other.err().map_or("an empty page".into(), |r| r.condition.to_string());
                cx.count("archive-read-failures");
                self.archive.last_read = cx.now;
                if read.after_break {
                    self.restart(cx, &format!("the archive could not be read ({why})"));
                } else if read.hold {
                    self.archive.held.clear();
                    self.archive.behind = true;
                }
            }
        }
    }

    fn page(&mut self, cx: &mut Context, mut read: Read, page: Page) {
        if read.asks_oldest {
            let oldest = page.messages.first().and_then(|m| m.stamp);
            // An empty archive has lost its end in a crash, if the place may have been too young to survive one; or it keeps nothing
            // for long. What we said is said again then, and somebody must know.
            read.reaches_back = oldest.map_or(!self.place_is_durable(), |stamp| stamp < read.from.stamp);
            if oldest.is_none() || !read.reaches_back {
                self.does_not_reach_back(cx, &read.from);
            }
            return self.finished(cx, read);
        }
        if self.is_nameless(cx, &page) {
            self.archive.last_read = cx.now;
            return self.restart(cx, "the archive does not name authors any more, as if we were not in the room");
        }
        for message in page.messages {
            self.result(cx, &mut read, message);
        }
        read.last = page.last.or(read.last);
        if !page.complete {
            read.request = self.ask_for_page(cx, &read.from, read.last.clone());
            self.archive.read = Some(read);
            return;
        }
        if !read.met {
            self.place_is_gone(cx, &mut read);
        }
        if !read.reaches_back {
            read.asks_oldest = true;
            read.request = cx.next_request();
            let (request, ear) = (read.request, self.mouth(Who::Ear));
            let from = ReadFrom::Start { start: None, after: None };
            self.act(cx, RoomAction::ReadArchive { request, ear, from, max: 1 });
            self.archive.read = Some(read);
            return;
        }
        self.finished(cx, read);
    }

    /// Some servers name authors only to an ear that is in the room; another process with our stanzas may know that it is out.
    fn is_nameless(&mut self, cx: &Context, page: &Page) -> bool {
        let named = |m: &RoomMessage| m.real.is_some() || m.ours.is_some() || m.occupant_id.is_some();
        let nobody = page.messages.iter().any(|m| m.nick.is_some() && !named(m));
        if !nobody && !page.messages.is_empty() {
            (self.archive.names_authors, self.archive.nameless) = (true, 0);
        }
        let doubtful = nobody && (self.archive.names_authors || cx.server != Some(true));
        self.archive.nameless += u32::from(doubtful);
        doubtful && self.archive.nameless <= NAMELESS_READS
    }

    fn result(&mut self, cx: &mut Context, read: &mut Read, message: RoomMessage) {
        let (Some(id), Some(stamp)) = (message.stanza_id.clone(), message.stamp) else { return };
        if read.met {
            return self.in_archive(cx, read, message, Place { id, stamp, audience: None });
        }
        if id == read.from.id {
            read.met = true;
            read.reaches_back = true;
            read.before.clear();
        } else if stamp.0 > read.from.stamp.0 + OVERLAP {
            // The place is not where it was.
            self.place_is_gone(cx, read);
            self.in_archive(cx, read, message, Place { id, stamp, audience: None });
        } else {
            read.reaches_back |= stamp < read.from.stamp;
            read.before.push(message);
        }
    }

    /// The message at which the read was to begin is not in the archive any more: it was removed, or the archive has lost
    /// its end, or no longer reaches back so far. What is younger than it counts.
    fn place_is_gone(&mut self, cx: &mut Context, read: &mut Read) {
        read.met = true;
        read.place_gone = true;
        cx.count("archive-places-gone");
        let is_floor = self.mapping.floor.as_ref() == Some(&read.from);
        for message in std::mem::take(&mut read.before) {
            let (Some(id), Some(stamp)) = (message.stanza_id.clone(), message.stamp) else { continue };
            // In the same second as the floor it cannot be told what came first: then nothing leaks.
            if stamp > read.from.stamp || (stamp == read.from.stamp && !is_floor) {
                self.in_archive(cx, read, message, Place { id, stamp, audience: None });
            }
        }
    }

    /// The oldest checkpoint was in the archive for long enough to be durable there.
    fn place_is_durable(&self) -> bool {
        let (first, last) = (self.mapping.checkpoints.first(), self.mapping.checkpoints.last());
        first.zip(last).is_some_and(|(first, last)| first.made.0 + DURABLE_AFTER <= last.made.0)
    }

    fn does_not_reach_back(&mut self, cx: &mut Context, place: &Place) {
        // A room that is quiet for longer than its archive keeps is reported once.
        if self.archive.gap_told.replace(place.id.clone()).as_ref() == Some(&place.id) {
            return;
        }
        cx.count("archive-gaps");
        self.report(
            cx,
            Level::Alarm,
            "the room's archive no longer reaches back to the last message read: messages said while the gateway was away \
             may be missing. Let the archive keep more (see the README)",
        );
    }

    fn in_archive(&mut self, cx: &mut Context, read: &mut Read, message: RoomMessage, place: Place) {
        if read.in_order_after.as_ref() == Some(&place.id) {
            read.in_order_after = None;
        }
        let checkpoint = self.mapping.checkpoints.iter().rposition(|checkpoint| checkpoint.place.id == place.id);
        read.intact = read.intact.max(checkpoint.unwrap_or(0));
        let late = read.in_order_after.is_some();
        if std::mem::take(&mut read.place_gone) && !read.reaches_back {
            read.audience = self.audience_at(place.stamp, read.audience);
        }
        let id = message.id.clone();
        if let Some(who) = self.archived(cx, message, late, read.audience) {
            let announcement = id.as_ref().filter(|_| who == Who::Ear);
            if let Some(news) = announcement.and_then(|id| self.announced_at(cx, id, place.stamp)) {
                read.audience = news;
            }
            read.ours.extend(id);
        }
        let place = Place { audience: Some(read.audience), ..place };
        // The cursor never goes back: while what was known already passes by, it stays.
        if !late {
            self.mapping.cursor = Some(place.clone());
            self.dirty(cx);
        }
        read.end = Some(place);
    }

    fn finished(&mut self, cx: &mut Context, read: Read) {
        self.archive.last_read = cx.now;
        self.archive.since_read = 0;
        self.mapping.newest = None;
        self.archive_was_read();
        // Everything up to the end has been dealt with, also when what was waited for is gone.
        if let Some(end) = read.end {
            self.mapping.cursor = Some(end);
            self.dirty(cx);
        }
        if read.after_break && read.reaches_back {
            self.forget_lost_posts(cx, &read.ours);
        }
        if read.after_break {
            // What was settled when a checkpoint was made stands before the place of the next one: where an archive that has lost
            // its end still has that, nothing of it was lost.
            self.mapping.checkpoints.truncate(read.intact.max(1));
            self.dirty(cx);
        }
        if !read.after_break || self.mapping.checkpoints.is_empty() {
            self.make_checkpoint(cx);
        }
        if read.after_break {
            self.caught_up(cx);
        }
        let held = std::mem::take(&mut self.archive.held);
        for message in held {
            self.live(cx, message);
        }
    }

    fn make_checkpoint(&mut self, cx: &mut Context) {
        let Some(place) = self.mapping.cursor.clone() else { return };
        let m = &mut self.mapping;
        let recent = m.checkpoints.last().is_some_and(|c| c.made.0 + CHECKPOINT_EVERY > cx.now.0 && c.made <= cx.now);
        // What was settled before a break is not in the room for certain before the stream has come by it again.
        if recent || self.stream.repeats_up_to(m.settled) {
            return;
        }
        m.generation.0 += 1;
        let (settled, hash) = (m.settled, m.hash);
        m.checkpoints.push(Checkpoint { generation: m.generation, place, settled, hash, made: cx.now });
        // The newest one that is old enough is where to begin; older ones are of no use.
        let safe = m.checkpoints.iter().rposition(|c| c.made.0 + DURABLE_AFTER <= cx.now.0).unwrap_or(0);
        let surplus = m.checkpoints.len().saturating_sub(CHECKPOINTS);
        m.checkpoints.drain(..safe.max(surplus));
        // Live messages that came during the read before may lie behind its end.
        let oldest = m.checkpoints.first().map_or(Generation(0), |c| c.generation);
        let before = Generation(oldest.0.saturating_sub(1));
        let group = m.group;
        if let Some(audience) = m.checkpoints.first().and_then(|c| c.place.audience) {
            self.forget_news(audience.list);
        }
        self.archive.seen.retain(|_, generation| *generation >= before);
        self.post.forget(before, self.mapping.checkpoints.first().map_or(Seq(0), |c| c.settled));
        cx.change(Change::SeenTrim { group, before });
        cx.change(Change::PostedTrim { group, before: cx.in_ms(-KEEP_POSTED) });
        self.dirty(cx);
    }

    pub(super) fn watch_archive(&mut self, cx: &mut Context) {
        if !self.door.is_ready() || !self.mapping.archive {
            return;
        }
        if self.mapping.floor.is_none() {
            return self.watch_floor(cx);
        }
        if self.archive.read.is_some() {
            return;
        }
        let exclusive = cx.server == Some(true);
        let room_for_more = !self.archive.behind || self.undecided() < OUTBOX_ROWS / 2;
        let due = self.archive.next_read(exclusive) <= cx.now || self.archive.since_read >= READ_AGAIN_AFTER;
        if due && !room_for_more {
            self.archive.last_read = cx.now;
        } else if due && let Some(place) = self.mapping.cursor.clone() {
            self.read(cx, place, false);
        }
    }

    /// The archive has what the live stream did not bring, or brought in a way that cannot be used.
    pub(super) fn leave_to_archive(&mut self, _: &Context) {
        self.archive.behind = true;
    }

    // ------------------------------------------------------------ the floor

    fn watch_floor(&mut self, cx: &mut Context) {
        match self.archive.floor {
            Floor::None if self.mapping.ending.is_some() => {}
            Floor::None => {
                let id = cx.ids.announcement(self.group(), self.mapping.list);
                self.announce(cx, id.clone());
                self.archive.floor = Floor::Said(id, cx.in_ms(crate::bridge::limits::REFLECTED_WITHIN));
            }
            Floor::Said(_, until) if until <= cx.now => self.restart(cx, "our notice was not reflected"),
            Floor::Said(..) | Floor::Looking(..) => {}
        }
    }

    /// Our own notice came back: where does the archive have it, by the server's clock?
    pub(super) fn floor_reflected(&mut self, cx: &mut Context, id: &MessageId, stanza_id: &StanzaId) {
        if !matches!(&self.archive.floor, Floor::Said(said, _) if said == id) {
            return;
        }
        let request = cx.next_request();
        let ear = self.mouth(Who::Ear);
        self.act(cx, RoomAction::ReadArchive { request, ear, from: ReadFrom::Latest, max: PAGE });
        self.archive.floor = Floor::Looking(stanza_id.clone(), request);
    }

    fn floor_looked_up(&mut self, cx: &mut Context, id: &StanzaId, answer: Result<Answer, Refusal>) {
        self.archive.floor = Floor::None;
        let Ok(Answer::Page(page)) = answer else {
            return self.restart(cx, "the archive could not be read");
        };
        let found = page.messages.iter().find(|m| m.stanza_id.as_ref() == Some(id)).and_then(|m| m.stamp);
        let Some(stamp) = found else {
            return self.restart(cx, "our notice is not in the archive yet");
        };
        let audience = Some(self.told_all(cx));
        let place = Place { id: id.clone(), stamp, audience };
        let m = &mut self.mapping;
        m.floor = Some(place.clone());
        m.cursor = Some(place);
        self.archive.last_read = cx.now;
        self.make_checkpoint(cx);
        self.dirty(cx);
        self.report(cx, Level::Info, "the room is shared from now on");
        // What was said since the notice has been let pass; the archive has it.
        self.archive.behind = true;
        self.archive.since_read = READ_AGAIN_AFTER;
    }
}
