//! How fast a person may speak across, judged by the room's own time: the stamps of its archive. However late the archive is
//! read, what was said at a human pace is within the rate.
//!
//! A live copy has no stamp, and after a pause of ours many come at once. One that seems too fast is left to the archive.
//! Where there is no archive, arrival is all there is to judge by.

use std::collections::BTreeMap;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::link::Timestamp;
use intergroup_schemas::rate::{Bucket, Rate};

use super::Room;
use crate::bridge::context::Context;
use crate::bridge::event::{Content, RoomMessage};
use crate::bridge::limits::PACED;
use crate::ids::BareJid;

/// What people have used of their rates.
#[derive(Debug, Default)]
pub(super) struct Pace {
    people: BTreeMap<BareJid, Used>,
}

/// By arrival, and by the archive's stamps. Everything passes through the archive in the end, so the second holds in the
/// long run; the first only keeps the live stream from outrunning it.
#[derive(Debug, Default, Clone, Copy)]
struct Used {
    live: Bucket,
    archived: Bucket,
}

impl Pace {
    fn used(&mut self, author: &BareJid) -> &mut Used {
        if !self.people.contains_key(author) && self.people.len() >= PACED {
            // Who was silent longest has most of the rate back.
            let silent = self.people.iter().min_by_key(|(_, used)| used.live.last().max(used.archived.last()));
            if let Some(author) = silent.map(|(author, _)| author.clone()) {
                self.people.remove(&author);
            }
        }
        self.people.entry(author.clone()).or_default()
    }

    fn archived(&mut self, rate: Rate, author: &BareJid, at: Timestamp, late: bool) -> bool {
        let bucket = &mut self.used(author).archived;
        // What is found late does not turn the time back for what follows.
        let at = if late { at.max(bucket.last()) } else { at };
        bucket.take(rate, at)
    }

    /// It was dealt with before, by its live copy or in a former read. Some servers' stamps are whole seconds, so what has
    /// the stamp of the one before counts, too.
    fn passed(&mut self, rate: Rate, author: &BareJid, at: Timestamp) {
        let bucket = &mut self.used(author).archived;
        if at >= bucket.last() {
            bucket.take(rate, at);
        }
    }
}

impl Room {
    /// Whether a live copy is within the rate of its author.
    pub(super) fn live_in_time(&mut self, cx: &mut Context, author: &BareJid, message: &RoomMessage) -> bool {
        !self.is_paced(cx, author, message) || self.pace.used(author).live.take(cx.config.author_rate, cx.now)
    }

    /// Whether a message out of the archive is within the rate of its author; refuses it otherwise.
    pub(super) fn archived_in_time(
        &mut self,
        cx: &mut Context,
        author: &BareJid,
        message: &RoomMessage,
        late: bool,
    ) -> bool {
        let at = message.stamp.unwrap_or(cx.now);
        let in_time =
            !self.is_paced(cx, author, message) || self.pace.archived(cx.config.author_rate, author, at, late);
        if !in_time {
            self.refuse_here(cx, author, Condition::TooFast);
        }
        in_time
    }

    /// A message passes by again that was dealt with before.
    pub(super) fn archived_again(&mut self, cx: &mut Context, author: &BareJid, message: &RoomMessage) {
        if let Some(at) = message.stamp.filter(|_| self.is_paced(cx, author, message)) {
            self.pace.passed(cx.config.author_rate, author, at);
        }
    }

    /// Whether something said to the group's number is within the rate of its author. No archive has it, so arrival is all
    /// there is to judge by.
    pub(super) fn in_time_by_number(&mut self, cx: &Context, author: &BareJid) -> bool {
        self.pace.used(author).live.take(cx.config.author_rate, cx.now)
    }

    /// Only what would cross counts.
    fn is_paced(&self, cx: &Context, author: &BareJid, message: &RoomMessage) -> bool {
        let speech = matches!(message.content, Content::Speech(_));
        speech && !self.is_closed() && cx.config.user(author).is_some()
    }
}
