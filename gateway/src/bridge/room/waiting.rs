//! The room is told when what is said in it waits for the link to the center, and when that has gone out. Nothing is lost meanwhile, with
//! or without these words.

use super::{After, Room};
use crate::bridge::context::Context;
use crate::bridge::limits::WAITS_AFTER;
use intergroup_schemas::link::Timestamp;

const WAITS: &str = "There is no link to the other companies at this moment. What is said here is kept, and goes to them when the link \
                     is back.";
const GONE: &str = "The link to the other companies is back: what was said here meanwhile has gone out.";

impl Room {
    /// Something is said that has to wait.
    pub(super) fn note_waiting(&mut self, cx: &Context) {
        if cx.link.is_none() {
            self.said_unlinked = true;
        }
    }

    pub(super) fn waiting_deadline(&self, cx: &Context) -> Option<Timestamp> {
        let due = self.said_unlinked && !self.mapping.waits && self.mapping.ending.is_none();
        let since = cx.unlinked.filter(|_| due)?;
        Some(Timestamp(since.0 + WAITS_AFTER))
    }

    pub(super) fn watch_waiting(&mut self, cx: &mut Context) {
        if !self.door.is_ready() || self.mapping.ending.is_some() {
            return;
        }
        if self.waiting_deadline(cx).is_some_and(|at| at <= cx.now) {
            self.tell_waiting(cx, true, WAITS);
        } else if cx.link.is_some() && self.stream.is_welcome() && self.undecided() == 0 {
            self.said_unlinked = false;
            if self.mapping.waits {
                self.tell_waiting(cx, false, GONE);
            }
        }
    }

    fn tell_waiting(&mut self, cx: &mut Context, waits: bool, text: &str) {
        self.mapping.waits = waits;
        self.dirty(cx);
        let id = cx.ids.line(&["waits", &self.group().to_string(), &cx.now.0.to_string(), text]);
        let action = self.notice_action(id, text);
        cx.after(self.group(), After::Say(Box::new(action)));
    }
}
