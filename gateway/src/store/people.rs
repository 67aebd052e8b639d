//! What is kept of a room's people besides the user list: where its members come from, and when they were seen.

use intergroup_schemas::ids::{GroupNumber, UserId};
use serde::{Deserialize, Serialize};

/// Where a company's people on a group's user list come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Members, admins and owners of the room are on it; only they can enter the room.
    Affiliations,
    /// Whoever enters the room is on it, until banned, removed or not seen for some days.
    Occupants,
    /// Whom administrators put on it by command; only they can enter the room.
    Explicit,
}

impl Source {
    /// Whether the list says who may read, too: the room is for members only.
    #[must_use]
    pub fn protects_reading(self) -> bool {
        self != Source::Occupants
    }

    /// What fits a room as it is.
    #[must_use]
    pub fn of_room(members_only: bool) -> Self {
        if members_only { Source::Affiliations } else { Source::Occupants }
    }
}

/// When somebody was seen last in a room whose members are whoever comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttendanceRow {
    /// The group.
    pub group: GroupNumber,
    /// Who.
    pub user: UserId,
    /// The last day on which that was: days since 1970 UTC, by our clock.
    pub day: i64,
    /// An administrator took them off the list: they stay off it until put on it again.
    pub barred: bool,
}
