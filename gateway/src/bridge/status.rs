//! The bridge's figures, as `status` shows them.

use std::collections::BTreeMap;

use intergroup_schemas::ids::{GroupNumber, ListVersion, Seq, UserId};
use serde::{Deserialize, Serialize};

use crate::store::{Offline, Source};

/// The bridge's figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The component link is up.
    pub server: bool,
    /// The link to the center is up.
    pub link: bool,
    /// Each mapped room.
    pub rooms: Vec<RoomStatus>,
    /// Counters, by name.
    pub counters: BTreeMap<String, u64>,
}

/// One mapped room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomStatus {
    /// The group.
    pub group: GroupNumber,
    /// Its name.
    pub name: String,
    /// The room.
    pub room: String,
    /// What the room link is doing, in words.
    pub state: String,
    /// What an administrator must do before it goes on, if anything.
    pub alarm: Option<String>,
    /// Where the company's people on the group's user list come from; none before the room was looked at.
    pub source: Option<Source>,
    /// Messages on disk that the center has not decided yet.
    pub waiting: u64,
    /// The last entry of the group's stream that has its outcome here.
    pub settled: Seq,
    /// The last entry of the stream that the gateway has got.
    pub received: Seq,
    /// Puppets in the room.
    pub puppets: usize,
    /// Messages whose author cannot be known yet.
    pub parked: usize,
    /// The version of the group's user list that is kept here; none while it is being fetched.
    #[serde(default)]
    pub list: Option<ListVersion>,
    /// Accounts on the list; none while memory does not hold it.
    #[serde(default)]
    pub accounts: Option<usize>,
    /// How often the list was found to be wrong since the gateway was started, and fetched anew.
    #[serde(default)]
    pub list_repairs: u64,
    /// The enterprise's own accounts on it.
    #[serde(default)]
    pub own: usize,
    /// What is kept for members who are not in the room; none from an older program.
    #[serde(default)]
    pub offline: Option<OfflineStatus>,
}

/// What is kept for members who are not in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflineStatus {
    /// How they get it.
    pub how: Offline,
    /// Messages that are kept for all of them together,
    pub messages: u64,
    /// and their bytes.
    pub bytes: u64,
    /// Members who have missed something.
    pub people: usize,
    /// Messages that the one with most of them has missed.
    pub most: u64,
}

/// What one member has missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsenceStatus {
    /// Who.
    pub user: UserId,
    /// Messages that wait for them,
    pub missed: u64,
    /// of which so many were not kept.
    pub dropped: u64,
    /// They are not in the room.
    pub away: bool,
}
