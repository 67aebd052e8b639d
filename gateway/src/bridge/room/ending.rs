//! The end of a mapping: the room is told first, what was said before that notice still goes, and nothing of it remains.
//!
//! The notice is to the end what the floor is to the beginning: the archive is read up to it, and nothing behind it crosses.

use intergroup_schemas::ids::Seq;
use intergroup_schemas::link::Timestamp;

use super::{After, Room};
use crate::bridge::action::{CommandId, Level, RoomAction};
use crate::bridge::context::Context;
use crate::bridge::limits::{READ_AGAIN_AFTER, REFLECTED_WITHIN};
use crate::ids::{MessageId, Who};
use crate::store::Ending;

/// Who waits for the end.
#[derive(Debug, Default)]
pub(super) struct End {
    commands: Vec<CommandId>,
    ready: bool,
    /// That it ends is on disk: the room may be told.
    durable: bool,
    /// The notice was said, and is to be reflected until then.
    said: Option<Timestamp>,
    /// It was reflected: the archive will show what came before it.
    reflected: bool,
}

impl End {
    pub(super) fn new(is_ending: bool) -> Self {
        Self { durable: is_ending, ..Self::default() }
    }

    /// Nothing more is taken, neither in nor out.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// What is heard live may stand behind the notice already.
    pub(super) fn is_said(&self) -> bool {
        self.said.is_some()
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.said.filter(|_| !self.reflected)
    }

    /// The room is begun anew: whether the notice is in it is seen in its archive.
    pub(super) fn stop(&mut self) {
        (self.said, self.reflected) = (None, false);
    }
}

impl Room {
    pub(super) fn begin_ending(&mut self, cx: &mut Context, how: Ending, command: Option<CommandId>) {
        self.mapping.ending = Some(how);
        self.ending.commands.extend(command);
        self.goes_on_without_list(cx);
        self.dirty(cx);
        cx.after(self.group(), After::End);
    }

    pub(super) fn end_is_durable(&mut self) {
        self.ending.durable = true;
    }

    fn goodbye(&self, cx: &Context) -> MessageId {
        cx.ids.entry(self.group(), Seq(u64::MAX))
    }

    /// Nothing is on its way any more, neither out nor in.
    pub(super) fn watch_ending(&mut self, cx: &mut Context) {
        if self.mapping.ending.is_none() || self.ending.ready {
            return;
        }
        if !self.mapping.closed {
            self.close(cx);
        }
        if self.mapping.closed && self.mapping.ending == Some(Ending::Leave) {
            // Not before: who said something before the notice is on the list until it has gone out.
            self.leave_part(cx);
        }
        let written = self.durable.n == self.mapping.last_n;
        let drained = self.undecided() == 0 && self.stream.is_drained() && self.post.is_idle() && written;
        // Refusals are told with what is settled.
        let settled = self.durable.settled == self.mapping.settled;
        let told = settled && self.told.0 >= self.durable.settled.min(self.stream.passed);
        self.ending.ready = self.mapping.closed && drained && told;
    }

    fn close(&mut self, cx: &mut Context) {
        // A room that was never shared, or that nobody can look at any more, has nothing to wait for.
        let never_shared = self.mapping.floor.is_none() && !self.archive.makes_a_floor();
        if never_shared || self.door.alarm().is_some() {
            self.mapping.closed = true;
            return self.dirty(cx);
        }
        let can_tell = self.door.is_ready() && self.ending.durable && !self.archive.makes_a_floor();
        if !can_tell || self.ending.reflected {
            return;
        }
        match self.ending.said {
            None => {
                self.say_that_it_ends(cx);
                self.ending.said = Some(cx.in_ms(REFLECTED_WITHIN));
            }
            Some(until) if until <= cx.now => self.restart(cx, "our notice was not reflected"),
            Some(_) => {}
        }
    }

    fn say_that_it_ends(&mut self, cx: &mut Context) {
        let text = format!("This room is not shared with group {} any more.", self.group());
        let action = self.notice_action(self.goodbye(cx), &text);
        self.act(cx, action);
    }

    /// The ear's own words came back, live or out of the archive.
    pub(super) fn heard_goodbye(&mut self, cx: &mut Context, id: &MessageId, live: bool) {
        if self.mapping.ending.is_none() || self.mapping.closed || *id != self.goodbye(cx) {
            return;
        }
        if live {
            // What the live stream did not bring stands in the archive before it; what is heard from now on stands behind it.
            self.ending.reflected = true;
            self.archive.behind = true;
            self.archive.since_read = READ_AGAIN_AFTER;
        } else {
            self.mapping.closed = true;
            // Nothing more is awaited of it.
            self.ending.reflected = true;
            self.dirty(cx);
        }
    }

    /// A notice that is not in the archive any more is said again.
    pub(super) fn archive_was_read(&mut self) {
        if self.ending.reflected && !self.mapping.closed {
            self.ending.stop();
        }
    }

    /// How a mapping ends that can end now.
    pub(in crate::bridge) fn can_end(&self) -> Option<Ending> {
        self.mapping.ending.filter(|_| self.ending.ready)
    }

    /// Goes, and gives back who waits for it.
    pub(in crate::bridge) fn say_goodbye(&mut self, cx: &mut Context) -> Vec<CommandId> {
        self.stop_posting(cx);
        if self.door.is_ready() && self.ending.said.is_none() {
            self.say_that_it_ends(cx);
        }
        if self.archive.parked() > 0 {
            let count = self.archive.parked();
            let text = format!("{count} messages of authors who are not known did not cross, and will not any more");
            self.report(cx, Level::Warning, text);
        }
        for who in self.puppets.everybody().into_iter().chain([Who::Ear]) {
            self.act(cx, RoomAction::Leave { mouth: self.mouth(who) });
        }
        std::mem::take(&mut self.ending.commands)
    }
}
