//! Lines that the gateway itself says in the room.

use intergroup_schemas::ids::{DisplayName, EnterpriseId, Seq};
use intergroup_schemas::link::{Change as GroupChange, Entry, SkipReason};

use super::Room;

impl Room {
    /// The group has changed.
    pub(super) fn change_text(&self, entry: &Entry) -> String {
        let (number, name) = (self.mapping.group, &self.mapping.name);
        match &entry.change {
            GroupChange::Joined { display, .. } => {
                format!("{display} has joined group {number} ({name}) and reads along from now on.")
            }
            GroupChange::Left { display, .. } => format!("{display} has left group {number} ({name})."),
            GroupChange::Deleted {} => format!("Group {number} ({name}) has ended. This room is not shared any more."),
        }
    }

    /// What a person is called, and that person's company.
    pub(super) fn display_of(&self, enterprise: &EnterpriseId) -> DisplayName {
        let member = self.mapping.members.iter().find(|(m, _)| m.enterprise == *enterprise);
        member.map_or_else(
            || enterprise.as_str().parse().expect("an enterprise id is a display name"),
            |(_, display)| display.clone(),
        )
    }
}

/// Entries are missing.
pub(super) fn missing(from: Seq, to: Seq, reason: SkipReason) -> String {
    let count = to.0 - from.0 + 1;
    match reason {
        SkipReason::Lost => format!("Up to {count} messages of other companies were lost at the center."),
        _ => format!("Up to {count} older messages of other companies were not kept long enough to be shown here."),
    }
}
