//! A mapped room, with how far everything of it has come.

use std::collections::BTreeSet;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{
    DisplayName, EnterpriseId, Epoch, GatewayId, GroupNumber, HistoryHash, Incarnation, ListVersion, N, OriginKey, Seq,
};
use intergroup_schemas::link::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Kept, Offline, Source};
use crate::ids::{Life, RoomJid, StanzaId};

/// Counts checkpoints of a group: which of the places that the archive may be read again from was the newest when something
/// happened. Unlike a clock it never goes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// A room that is mapped to a group, with how far everything has come. All of it changes together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The group.
    pub group: GroupNumber,
    /// Its name.
    pub name: String,
    /// The room.
    pub room: RoomJid,
    /// Whether the room kept an archive when it was mapped. It must still do so, or not, as then.
    pub archive: bool,
    /// Where the company's people on the group's user list come from; none: not chosen yet, by the room itself when it is looked
    /// at next.
    #[serde(default)]
    pub source: Option<Source>,
    /// How members get what was said while they were not in the room; none: as fits the room.
    #[serde(default)]
    pub offline: Option<Offline>,
    /// How much of what was said is kept for them.
    #[serde(default)]
    pub kept: Kept,
    /// The room was told that what is said waits for the link to come back.
    #[serde(default)]
    pub waits: bool,
    /// Set while the mapping is being ended.
    pub ending: Option<Ending>,
    /// The archive has been read up to the notice that the room is not shared any more: nothing behind it crosses.
    #[serde(default)]
    pub closed: bool,
    /// The member gateways as of `list`, with their enterprises' display names.
    pub members: Vec<(GatewayId, DisplayName)>,
    /// Those of the members' enterprises that are suspended.
    #[serde(default)]
    pub suspended: Vec<EnterpriseId>,
    /// The list version that the gateway knows.
    pub list: ListVersion,
    /// The entry that made `list`. Messages up to it that come by once more were judged by older lists.
    #[serde(default)]
    pub list_from: Seq,
    /// The version of the group's user list as it is kept here; none while it is being fetched as a whole.
    #[serde(default)]
    pub list_at: Option<ListVersion>,
    /// The enterprises whose accounts that list judges, also those of which nobody is on it any more.
    #[serde(default)]
    pub judged: BTreeSet<EnterpriseId>,
    /// As of `announced`, no other gateway belonged to the group: what is said is for nobody outside.
    #[serde(default)]
    pub alone: bool,
    /// What the room is told, or was told not so long ago that the archive will not be read across it again; oldest first.
    #[serde(default)]
    pub news: Vec<Audience>,

    /// The notice behind which messages of the room may cross; none until it has been found in the archive.
    pub floor: Option<Place>,
    /// The list version with which a company joined or left that was announced in the room last.
    pub announced: ListVersion,
    /// The last message of the archive up to which every message has been dealt with.
    pub cursor: Option<Place>,
    /// The newest message that was dealt with out of the live stream, which the cursor may not have reached yet.
    pub newest: Option<StanzaId>,
    /// Places from which the archive may be read again, oldest first; see the core for how they move.
    pub checkpoints: Vec<Checkpoint>,
    /// The newest checkpoint.
    pub generation: Generation,
    /// The life of our occupants. On disk before it is used.
    pub life: Life,

    /// The epoch of our numbers.
    pub epoch: Epoch,
    /// The last n given.
    pub last_n: N,
    /// The last n that this store may have sent; on disk before it is sent. A center that knows of later ones has them from a
    /// store that this one is an older copy of, whatever was given since and however often we started. A store of a program
    /// that did not keep it yet begins a new epoch.
    #[serde(default)]
    pub offered: N,
    /// The run of the process that the center welcomed last. When the center names another one, another copy of this store
    /// has been at work since.
    #[serde(default)]
    pub run: Option<Incarnation>,
    /// The last n of which the center's decision is known.
    pub decided: N,
    /// How far `decided` was at past times, oldest first: how long decided rows are kept.
    pub decided_at: Vec<(Timestamp, N)>,

    /// The log's life; none before the first welcome.
    pub incarnation: Option<Incarnation>,
    /// The last entry of the group's stream that has its outcome here.
    pub settled: Seq,
    /// The running hash there.
    pub hash: HistoryHash,
    /// Older places of the stream with the running hash at each, newest first, ever further apart.
    pub places: Vec<(Seq, HistoryHash)>,
    /// The entry that may be what the server ends our stream for, and how often it did.
    pub suspect: Option<(Seq, u32)>,
    /// The last refusals by our room, by entry: named again on each new link, since the center does not confirm them.
    pub refused: Vec<(Seq, OriginKey, Condition)>,
    /// Up to which of our messages each member's refusals have been told to their authors.
    pub fates_told: Vec<(GatewayId, OriginKey)>,
}

/// Whom the room's people speak to, as far as they know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// The list version that was announced last.
    pub list: ListVersion,
    /// Nobody but us belonged to the group at that version.
    pub alone: bool,
    /// When the server took the announcement, by the server's clock, once the archive has told.
    #[serde(default)]
    pub since: Option<Timestamp>,
}

/// How a mapping ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The outbox is emptied; then the mapping goes, and membership stays.
    Unmap,
    /// The outbox is emptied; then the group is left; then the mapping goes.
    Leave,
}

/// A message of a room's archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its id.
    pub id: StanzaId,
    /// When the server took it, by the server's clock.
    pub stamp: Timestamp,
    /// Whom the room's people spoke to there; none in a place that an older program wrote.
    #[serde(default)]
    pub audience: Option<Audience>,
}

/// A place from which the archive may be read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Which.
    pub generation: Generation,
    /// Where in the archive.
    pub place: Place,
    /// The last entry of the stream that had its outcome then.
    pub settled: Seq,
    /// The running hash there.
    pub hash: HistoryHash,
    /// When it was made, by our clock.
    pub made: Timestamp,
}
