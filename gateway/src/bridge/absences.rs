//! The command for what is kept for members who are not in their room.

use intergroup_schemas::ids::GroupNumber;

use super::Bridge;
use super::action::{CommandId, Reply};
use super::commands::{no_room, refused};
use crate::store::Offline;

impl Bridge {
    /// Changes how members get it, if that is asked for, and says who has missed what.
    pub(super) fn offline(&mut self, id: CommandId, group: GroupNumber, how: Option<Offline>) {
        let Some(room) = self.rooms.get(&group) else { return self.cx.reply(id, no_room(group)) };
        if how == Some(Offline::Archive) && !room.mapping.archive {
            let text = "the room keeps no archive that could serve people who were away: choose `queue` or `inbox`";
            return self.cx.reply(id, refused(text));
        }
        self.with(group, |room, cx| {
            if let Some(how) = how {
                room.set_offline(cx, how);
            }
            cx.reply_after(id, Reply::Offline(room.offline_status(), room.absences()));
        });
    }
}
