//! The end of a mapping: what is on its way still goes, then the room is told, and nothing of it remains.

use super::Room;
use crate::bridge::action::{CommandId, RoomAction};
use crate::bridge::context::Context;
use crate::ids::Who;
use crate::store::Ending;

/// Who waits for the end.
#[derive(Debug, Default)]
pub(super) struct End {
    commands: Vec<CommandId>,
    ready: bool,
}

impl Room {
    pub(super) fn begin_ending(&mut self, cx: &mut Context, how: Ending, command: Option<CommandId>) {
        if how == Ending::Leave {
            self.leave_part(cx);
        }
        self.mapping.ending = Some(how);
        self.ending.commands.extend(command);
        self.dirty(cx);
    }

    /// Nothing is on its way any more, neither out nor in.
    pub(super) fn watch_ending(&mut self, _: &mut Context) {
        let written = self.durable.n == self.mapping.last_n;
        let drained = self.undecided() == 0 && self.stream.is_drained() && self.post.is_idle() && written;
        self.ending.ready = self.mapping.ending.is_some() && drained;
    }

    /// How a mapping ends that can end now.
    pub(in crate::bridge) fn can_end(&self) -> Option<Ending> {
        self.mapping.ending.filter(|_| self.ending.ready)
    }

    /// Says goodbye and gives back who waits for it.
    pub(in crate::bridge) fn say_goodbye(&mut self, cx: &mut Context) -> Vec<CommandId> {
        if self.door.is_ready() {
            let id = cx.ids.entry(self.group(), intergroup_schemas::ids::Seq(u64::MAX));
            let text = format!("This room is not shared with group {} any more.", self.group());
            let action = self.notice_action(id, &text);
            self.act(cx, action);
        }
        for who in self.puppets.everybody().into_iter().chain([Who::Ear]) {
            self.act(cx, RoomAction::Leave { mouth: self.mouth(who) });
        }
        std::mem::take(&mut self.ending.commands)
    }
}
