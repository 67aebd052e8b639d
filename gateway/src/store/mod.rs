//! What a gateway keeps, behind one door.
//!
//! In: batches of changes, each all or nothing and on disk when `commit` returns. Out: the snapshot at start, and pages of
//! the outbox. Never here: decisions. A store is blocking and owned by one thread; how its rows look is in `FORMAT.md`.
//!
//! All is kept by group, and one group has one room: ending a mapping removes everything of its group.

#[cfg(test)]
mod contract;
pub mod embedded;
pub mod memory;
mod people;
pub mod place;
pub mod redis;
pub mod task;
mod text;

use std::collections::BTreeSet;

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{
    AccountId, DisplayName, EnterpriseId, Epoch, GatewayId, GroupNumber, HistoryHash, Incarnation, ListVersion, N,
    OriginKey, Seq, SourceId, UserId,
};
use intergroup_schemas::link::Timestamp;
use intergroup_schemas::list::{AccountEdit, AccountRow, Listed};
use serde::{Deserialize, Serialize};

pub use people::{AttendanceRow, Source};

use crate::ids::{BareJid, Life, MessageId, Mouth, OccupantId, RoomJid, StanzaId, Who};

/// Why a store cannot serve. The core treats every one alike: nothing was written, and it is built again from the store.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// One change. A batch of them is committed all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A mapping is new or has changed in any way. Written once a batch, however much moved.
    Mapping(Box<Mapping>),
    /// A mapping has ended: every row of its group goes with it.
    MappingGone(GroupNumber),
    /// A message, or an edit of the user list, is on its way to a group.
    Outbox(OutboxRow),
    /// Outbox rows up to `upto` are no longer needed, not even to feed back what a center lost.
    OutboxTrim {
        /// The group.
        group: GroupNumber,
        /// The last to go.
        upto: N,
    },
    /// All outbox rows of a group go; those still needed follow in the same batch under new numbers (a new epoch).
    OutboxClear(GroupNumber),
    /// A message of the room's archive has been dealt with, in whatever way.
    Seen {
        /// The group.
        group: GroupNumber,
        /// The message.
        id: StanzaId,
        /// The generation in which that was.
        generation: Generation,
    },
    /// What was seen before `before` lies safely behind every place from which the archive will be read again.
    SeenTrim {
        /// The group.
        group: GroupNumber,
        /// The first generation to stay.
        before: Generation,
    },
    /// A message of ours is in the room.
    Posted(PostedRow),
    /// What was posted before `before` (by our clock) goes.
    PostedTrim {
        /// The group.
        group: GroupNumber,
        /// The oldest to stay.
        before: Timestamp,
    },
    /// Whose an occupant-id is, in the group's room. Learned once, kept for ever: archived messages are attributed by it.
    Occupant {
        /// The group.
        group: GroupNumber,
        /// The occupant-id.
        id: OccupantId,
        /// Whose: an account of the server, or one of ours.
        owner: Owner,
    },
    /// A message of an author who cannot be known yet.
    Parked(ParkedRow),
    /// A parked message has been dealt with.
    ParkedGone {
        /// The group.
        group: GroupNumber,
        /// The message.
        id: StanzaId,
    },
    /// One of ours is about to enter the room, and may be there until its life has been fenced.
    Entered {
        /// The group.
        group: GroupNumber,
        /// Who.
        mouth: Mouth,
    },
    /// All lives before this one have been fenced: none of theirs is in the room any more.
    Fenced {
        /// The group.
        group: GroupNumber,
        /// The first life that may still be in the room.
        life: Life,
    },
    /// What an author is to be told, or has been told, of messages that did not cross.
    Notice(NoticeRow),
    /// When somebody was seen last in a room whose members are whoever comes.
    Attendance(AttendanceRow),
    /// Somebody is not a member any more; nothing is kept of when they were seen.
    AttendanceGone {
        /// The group.
        group: GroupNumber,
        /// Who.
        user: UserId,
    },
    /// An account of the enterprise itself, as it is to stand on the group's user list.
    Own(OwnRow),
    /// Accounts of the group's user list have changed; those without `listed` are no longer on it.
    Listed {
        /// The group.
        group: GroupNumber,
        /// The accounts.
        rows: Vec<AccountRow>,
    },
    /// Nobody of an enterprise is on the group's user list any more; none: the whole list is forgotten.
    Unlisted {
        /// The group.
        group: GroupNumber,
        /// Whose accounts.
        enterprise: Option<EnterpriseId>,
    },
}

impl Change {
    /// The group that it concerns; each concerns one.
    #[must_use]
    pub fn group(&self) -> GroupNumber {
        match self {
            Change::Mapping(mapping) => mapping.group,
            Change::Outbox(row) => row.group,
            Change::Posted(row) => row.group,
            Change::Parked(row) => row.group,
            Change::Notice(row) => row.group,
            Change::Own(row) => row.group,
            Change::Attendance(row) => row.group,
            Change::MappingGone(group)
            | Change::OutboxClear(group)
            | Change::OutboxTrim { group, .. }
            | Change::Seen { group, .. }
            | Change::SeenTrim { group, .. }
            | Change::PostedTrim { group, .. }
            | Change::Occupant { group, .. }
            | Change::ParkedGone { group, .. }
            | Change::AttendanceGone { group, .. }
            | Change::Entered { group, .. }
            | Change::Fenced { group, .. }
            | Change::Listed { group, .. }
            | Change::Unlisted { group, .. } => *group,
        }
    }
}

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

/// Something on its way to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// The group.
    pub group: GroupNumber,
    /// Its n in the mapping's epoch.
    pub n: N,
    /// What is on its way.
    pub what: Outgoing,
}

/// What a gateway sends to a group, in one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// What somebody said.
    Message(OutMessage),
    /// An edit of the enterprise's part of the group's user list.
    Edit {
        /// The list version on which it was based.
        base: ListVersion,
        /// What is to change.
        accounts: Vec<AccountEdit>,
    },
}

/// What somebody said in the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutMessage {
    /// Where it stands in the room's archive; none for what no archive keeps.
    pub source: Option<SourceId>,
    /// The list version that was announced in the room when it was said.
    pub list: ListVersion,
    /// The author.
    pub user: UserId,
    /// The author's nick in the room.
    pub nick: DisplayName,
    /// When it was said.
    pub at: Timestamp,
    /// It was found after later ones had gone.
    pub late: bool,
    /// What crosses.
    pub payload: Bytes,
}

/// A message of ours that is in the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedRow {
    /// The group.
    pub group: GroupNumber,
    /// The id that we gave it: a MAC of what it is.
    pub id: MessageId,
    /// The id that the room gave it; none in a room without archive.
    pub stanza_id: Option<StanzaId>,
    /// The generation in which its reflection was seen.
    pub generation: Generation,
    /// When its reflection was seen, by our clock.
    pub at: Timestamp,
    /// Its entry, once it is known which one it was.
    pub seq: Option<Seq>,
    /// Its identity, once it is known; none for notices.
    pub key: Option<(EnterpriseId, OriginKey)>,
}

/// Whose an occupant-id is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// An account of the server, or of another.
    Person(BareJid),
    /// One of ours.
    Ours(Who),
}

/// A message of an author who cannot be known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedRow {
    /// The group.
    pub group: GroupNumber,
    /// The message.
    pub id: StanzaId,
    /// By what the author will be known.
    pub occupant: OccupantId,
    /// The nick it was said under.
    pub nick: DisplayName,
    /// When it was said.
    pub at: Timestamp,
    /// The list version that was announced then.
    pub list: ListVersion,
    /// What would cross.
    pub payload: Bytes,
}

/// What an author is told of messages that did not cross.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeRow {
    /// The group.
    pub group: GroupNumber,
    /// The author.
    pub author: BareJid,
    /// Why.
    pub condition: Condition,
    /// How many messages there were.
    pub count: u64,
    /// How many of them the author has been told of.
    pub told: u64,
}

/// An account of the enterprise itself on the group's user list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRow {
    /// The group.
    pub group: GroupNumber,
    /// Whose.
    pub user: UserId,
    /// How the account is to stand on the list; none: not at all.
    pub listed: Option<Listed>,
    /// The edit by which it changed last, as long as the outbox keeps it. A row without it and without `listed` goes.
    pub n: Option<N>,
    /// It is on the list for the room here. Others were put there by another gateway of the enterprise, or nobody knows by whom.
    pub here: bool,
}

/// Everything but the outbox's bodies and the user lists of others, as it is on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The key of the ids that we give to messages. Random, made with the store, never leaves it.
    pub key: [u8; 32],
    /// Mappings, by group.
    pub mappings: Vec<Mapping>,
    /// Messages dealt with that the archive may show again.
    pub seen: Vec<(GroupNumber, StanzaId, Generation)>,
    /// Messages of ours that the stream may bring again: of generations not older than the oldest checkpoint of their group,
    /// of entries behind its place in the stream, and of entries not known yet.
    pub posted: Vec<PostedRow>,
    /// Owners of occupant-ids.
    pub occupants: Vec<(GroupNumber, OccupantId, Owner)>,
    /// Parked messages, oldest first.
    pub parked: Vec<ParkedRow>,
    /// Occupants of ours that may be in the room.
    pub entered: Vec<(GroupNumber, Mouth)>,
    /// Notices.
    pub notices: Vec<NoticeRow>,
    /// The enterprise's own accounts on the user lists.
    pub own: Vec<OwnRow>,
    /// Who was seen when, in rooms whose members are whoever comes.
    pub attendance: Vec<AttendanceRow>,
}

/// A place to keep all this.
pub trait Store: Send {
    /// Everything but the outbox's bodies. Errors: unreadable, or written by a newer version.
    fn load(&mut self) -> Result<Snapshot, StoreError>;

    /// Puts a batch on disk, all or nothing. After an error nothing of it is there.
    fn commit(&mut self, batch: &[Change]) -> Result<(), StoreError>;

    /// Outbox rows from `from` on, in order of n, at most `max`.
    fn outbox(&mut self, group: GroupNumber, from: N, max: usize) -> Result<Vec<OutboxRow>, StoreError>;

    /// Posted rows of entries behind `after`.
    fn posted(&mut self, group: GroupNumber, after: Seq) -> Result<Vec<PostedRow>, StoreError>;

    /// Accounts of the group's user list behind `after`, in order of account, at most `max`.
    fn listed(
        &mut self,
        group: GroupNumber,
        after: Option<&AccountId>,
        max: usize,
    ) -> Result<Vec<AccountRow>, StoreError>;

    /// Figures for the administrator, as (name, value).
    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}
