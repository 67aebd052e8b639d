//! What a gateway keeps, behind one door.
//!
//! In: batches of changes, each all or nothing and on disk when `commit` returns. Out: the snapshot at start, and pages of
//! the outbox. Never here: decisions. A store is blocking and owned by one thread; how its rows look is in `FORMAT.md`.
//!
//! All is kept by group, and one group has one room: ending a mapping removes everything of its group.

mod absent;
#[cfg(test)]
mod contract;
pub mod embedded;
mod mapping;
pub mod memory;
mod people;
pub mod place;
pub mod redis;
pub mod task;
mod text;

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{
    AccountId, DisplayName, EnterpriseId, GroupNumber, ListVersion, N, OriginKey, Seq, SourceId, UserId,
};
use intergroup_schemas::link::Timestamp;
use intergroup_schemas::list::{AccountEdit, AccountRow, Listed};

pub use absent::{Absence, AbsentRow, Kept, MissedRow, Offline, Part, Spot};
pub use mapping::{Audience, Checkpoint, Ending, Generation, Mapping, Place};
pub use people::{AttendanceRow, Source};

use crate::ids::{BareJid, Life, MessageId, Mouth, OccupantId, StanzaId, Who};

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
    /// Something was said that members who are not in the room may want.
    Missed(MissedRow),
    /// What was said before `before` is needed by nobody, or is not kept any longer.
    MissedTrim {
        /// The group.
        group: GroupNumber,
        /// The first to stay.
        before: Spot,
    },
    /// What a member has missed.
    Absent(AbsentRow),
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
            Change::Missed(row) => row.group,
            Change::Absent(row) => row.group,
            Change::MappingGone(group)
            | Change::OutboxClear(group)
            | Change::OutboxTrim { group, .. }
            | Change::Seen { group, .. }
            | Change::SeenTrim { group, .. }
            | Change::MissedTrim { group, .. }
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

/// Everything but the outbox's bodies, what was missed, and the user lists of others, as it is on disk.
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
    /// Who has missed what.
    pub absent: Vec<AbsentRow>,
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

    /// What was said in a group's room for those who were not there, from a spot on, in order, at most `max`.
    fn missed(&mut self, group: GroupNumber, from: Spot, max: usize) -> Result<Vec<MissedRow>, StoreError>;

    /// Figures for the administrator, as (name, value).
    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}
