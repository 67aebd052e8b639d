//! What the center keeps, behind one door.
//!
//! In: batches of changes, each all or nothing and on disk when `commit` returns. Out: the snapshot at start, and pages of
//! groups' logs. Never here: decisions. A store is blocking and owned by one thread; how its rows look is in `FORMAT.md`.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod contract_shared;
pub mod embedded;
pub mod memory;
mod pack;
pub mod place;
pub mod redis;
pub mod shared;

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::history::Identity;
use intergroup_schemas::ids::{
    AccountId, DisplayName, EnterpriseId, Epoch, GatewayId, GroupNumber, HistoryHash, Incarnation, ListDigest,
    ListVersion, N, OriginKey, Seq,
};
use intergroup_schemas::limits;
use intergroup_schemas::link::{About, Change as GroupChange, Timestamp};
use intergroup_schemas::list::{self, AccountRow, ListPage, Role, RowHash, UserKey};

use shared::{Claims, Known, News, Taken, Unit, Version};

/// Why a store cannot serve. The core treats every one alike: nothing was written, the store is read anew.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

fn not_shared() -> StoreError {
    StoreError("this store is not shared by nodes".into())
}

/// What was read makes no sense.
fn damaged(what: impl std::fmt::Display) -> StoreError {
    StoreError(format!("the store is damaged: {what}; restore it from a backup"))
}

/// One change. A batch of them is committed all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An enterprise is new or changed.
    Enterprise(Enterprise),
    /// A gateway is new, or has another certificate.
    Gateway(Gateway),
    /// An enrolment code was given out.
    Enrolment(Enrolment),
    /// An enrolment code was used or taken back.
    EnrolmentGone([u8; 32]),
    /// A group is new or changed (all but its log).
    Group(Group),
    /// A membership is new, ended, or has come further.
    Member(Member),
    /// An entry at the end of a group's log. One that changes the group's user list changes its accounts with it.
    Append(Record),
    /// The last n decided of a gateway's epoch in a group.
    Mark {
        /// The group.
        group: GroupNumber,
        /// The gateway.
        gateway: GatewayId,
        /// The epoch.
        epoch: Epoch,
        /// The last n decided.
        n: N,
    },
    /// A message was refused.
    Refused {
        /// The group.
        group: GroupNumber,
        /// The gateway.
        gateway: GatewayId,
        /// The epoch.
        epoch: Epoch,
        /// The message.
        n: N,
        /// Why.
        condition: Condition,
    },
    /// The gateway has the decisions up to n on disk; the refusals among them may go.
    Confirmed {
        /// The group.
        group: GroupNumber,
        /// The gateway.
        gateway: GatewayId,
        /// The epoch.
        epoch: Epoch,
        /// The last n confirmed.
        n: N,
    },
    /// A message did not enter a member's room.
    Fate(Fate),
    /// The oldest entries of a log, up to `upto`, may go.
    Trim {
        /// The group.
        group: GroupNumber,
        /// The last to go.
        upto: Seq,
        /// The running hash there.
        hash: HistoryHash,
    },
}

impl Change {
    /// What it is part of.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match self {
            Change::Enterprise(_) | Change::Gateway(_) | Change::Enrolment(_) | Change::EnrolmentGone(_) => {
                Unit::Registry
            }
            Change::Group(Group { number: group, .. })
            | Change::Member(Member { group, .. })
            | Change::Append(Record { group, .. })
            | Change::Mark { group, .. }
            | Change::Refused { group, .. }
            | Change::Confirmed { group, .. }
            | Change::Fate(Fate { group, .. })
            | Change::Trim { group, .. } => Unit::Group(*group),
        }
    }
}

/// An enterprise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enterprise {
    /// Its id.
    pub id: EnterpriseId,
    /// Its display name.
    pub display: DisplayName,
    /// Whether it may connect.
    pub state: EnterpriseState,
}

/// Whether an enterprise may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnterpriseState {
    /// It may.
    Active,
    /// Not until it is resumed; nothing is lost meanwhile.
    Suspended,
    /// Never again; the id is not reused.
    Removed,
}

/// A gateway that has enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Which.
    pub id: GatewayId,
    /// SHA-256 of its certificate (DER).
    pub certificate: [u8; 32],
    /// SHA-256 of the certificate before a renewal, good until the new one is first used.
    pub previous: Option<[u8; 32]>,
    /// When the certificate ends.
    pub expires: Timestamp,
}

/// An enrolment code that was given out and not yet used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// SHA-256 of the code's secret.
    pub secret: [u8; 32],
    /// Whom it makes a gateway of.
    pub gateway: GatewayId,
    /// When it ends.
    pub expires: Timestamp,
}

/// A group, all but its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub number: GroupNumber,
    /// Its name, description, subject and policy.
    pub about: About,
    /// Who owns it.
    pub owner: EnterpriseId,
    /// The log's present life.
    pub incarnation: Incarnation,
    /// The present list version.
    pub list: ListVersion,
    /// The digest of the user list at that version.
    pub digest: ListDigest,
    /// Accounts on it.
    pub accounts: u64,
    /// Who may join.
    pub allowed: Vec<EnterpriseId>,
    /// Whether it has ended.
    pub deleted: bool,
}

/// A gateway's membership in a group, present or past (the latest only).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The group.
    pub group: GroupNumber,
    /// The gateway.
    pub gateway: GatewayId,
    /// Its `joined` entry.
    pub from: Seq,
    /// The running hash at that entry.
    pub from_hash: HistoryHash,
    /// The list version that its joining made.
    pub list: ListVersion,
    /// Its last entry, when it is no longer a member.
    pub until: Option<Seq>,
    /// The last entry it settled.
    pub settled: Seq,
}

/// An entry of a group's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The group.
    pub group: GroupNumber,
    /// Its place.
    pub seq: Seq,
    /// The running hash up to and including it.
    pub hash: HistoryHash,
    /// When the center took it.
    pub stored: Timestamp,
    /// The list version from this entry on (a change), or the one that a message names.
    pub list: ListVersion,
    /// A message or a change.
    pub kind: RecordKind,
}

impl Record {
    /// What it adds to the running hash.
    #[must_use]
    pub fn identity(&self) -> Identity<'_> {
        match &self.kind {
            RecordKind::Message { origin, key, .. } => Identity::Message(&origin.enterprise, key),
            RecordKind::Change(change) => Identity::Change(change),
        }
    }

    /// Bytes that count against a group's retention.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match &self.kind {
            RecordKind::Message { deliver, .. } => deliver.len() as u64,
            RecordKind::Change(change) => change.weight() as u64,
        }
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordKind {
    /// A message.
    Message {
        /// Whose.
        origin: GatewayId,
        /// Its identity.
        key: OriginKey,
        /// First 8 bytes of the SHA-256 of its source id; none when it has none.
        source: Option<u64>,
        /// The `deliver` stanza, as it is sent to everybody.
        deliver: Bytes,
    },
    /// A change of the group.
    Change(GroupChange),
}

/// A message that did not enter a member's room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// The group.
    pub group: GroupNumber,
    /// The member that refused.
    pub member: GatewayId,
    /// The message's place.
    pub seq: Seq,
    /// Its identity.
    pub key: OriginKey,
    /// Why.
    pub condition: Condition,
}

/// Everything but the logs' bodies, as it is on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Enterprises, by id.
    pub enterprises: Vec<Enterprise>,
    /// Gateways, by id.
    pub gateways: Vec<Gateway>,
    /// Unused enrolment codes.
    pub enrolments: Vec<Enrolment>,
    /// Groups with their logs' ends, by number.
    pub groups: Vec<GroupState>,
    /// Memberships.
    pub members: Vec<Member>,
    /// Marks: the last n decided.
    pub marks: Vec<(GroupNumber, GatewayId, Epoch, N)>,
    /// Refusals not yet confirmed.
    pub refusals: Vec<(GroupNumber, GatewayId, Epoch, N, Condition)>,
    /// Fates not yet trimmed with their entries.
    pub fates: Vec<Fate>,
    /// User lists, by group and enterprise.
    pub parts: Vec<ListPart>,
    /// In a store that nodes share: the versions of what is there.
    pub versions: Vec<(Unit, Version)>,
}

/// What an enterprise has on the user list of a group, as far as it must be at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPart {
    /// The group.
    pub group: GroupNumber,
    /// Whose.
    pub enterprise: EnterpriseId,
    /// The accounts on the list.
    pub accounts: Vec<(UserKey, RowHash, Role)>,
}

/// Which page of a user list: what changed behind (`since`, `after`) in the order of [`ListPage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// The group.
    pub group: GroupNumber,
    /// The version of the last row known.
    pub since: ListVersion,
    /// Its account; none: everything that changed after `since`.
    pub after: Option<AccountId>,
}

/// Counts what a page can hold.
#[derive(Debug)]
struct PageRoom {
    rows: usize,
    bytes: usize,
}

impl PageRoom {
    fn new() -> Self {
        Self { rows: limits::ACCOUNTS_PER_PAGE, bytes: limits::ACCOUNTS_BYTES }
    }

    /// Whether another row fits.
    fn take(&mut self, row: &AccountRow) -> bool {
        let weight = list::weight(&row.account.user, row.listed.as_ref());
        let fits = self.rows > 0 && weight <= self.bytes;
        if fits {
            self.rows -= 1;
            self.bytes -= weight;
        }
        fits
    }
}

/// A group and where its log begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupState {
    /// The group.
    pub group: Group,
    /// The last entry that was trimmed (0: none).
    pub floor: Seq,
    /// The running hash there.
    pub floor_hash: HistoryHash,
    /// The last entry.
    pub head: Seq,
    /// The running hash there.
    pub head_hash: HistoryHash,
    /// Every [`MILESTONE`]th entry, oldest first: by these retention finds where to cut.
    pub milestones: Vec<Milestone>,
    /// Bytes of deliver stanzas in the log.
    pub bytes: u64,
}

/// How many entries lie between two milestones: as fine as retention needs, as few as memory likes.
pub const MILESTONE: u64 = 256;

/// A place in a log at which it may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Milestone {
    /// The entry.
    pub seq: Seq,
    /// The running hash there.
    pub hash: HistoryHash,
    /// When it was stored.
    pub stored: Timestamp,
    /// Bytes of deliver stanzas in the log up to and including it.
    pub bytes: u64,
}

/// A place to keep all this.
pub trait Store: Send {
    /// Everything but the logs' bodies. Errors: unreadable, or written by a newer version.
    fn load(&mut self) -> Result<Snapshot, StoreError>;

    /// Puts a batch on disk, all or nothing. After an error nothing of it is there.
    fn commit(&mut self, batch: &[Change]) -> Result<(), StoreError>;

    /// Entries behind `after`, in order, at most `entries` and (but for the first) `bytes`.
    fn read_log(
        &mut self,
        group: GroupNumber,
        after: Seq,
        entries: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// The running hash at a place; none where the log does not have it.
    fn hash_at(&mut self, group: GroupNumber, seq: Seq) -> Result<Option<HistoryHash>, StoreError>;

    /// The sources of a gateway's messages in a group, oldest first.
    fn sources(&mut self, group: GroupNumber, gateway: &GatewayId) -> Result<Vec<u64>, StoreError>;

    /// A page of a group's user list, as of one moment. A group that is not there has an empty list of version 0.
    fn list_page(&mut self, query: &PageQuery) -> Result<ListPage, StoreError>;

    /// Puts on disk what each unit's claim allows; says what was refused, since another node has changed it. A store that is
    /// not shared refuses nothing.
    fn commit_shared(&mut self, batch: &[Change], _claims: &Claims) -> Result<Vec<Unit>, StoreError> {
        self.commit(batch).map(|()| Vec::new())
    }

    /// A unit anew, as of one moment: what has come behind what is known, or all of it.
    ///
    /// # Errors
    /// What is known is not there any more: the store has lost it.
    fn news(&mut self, _unit: Unit, _known: Option<Known>) -> Result<News, StoreError> {
        Err(not_shared())
    }

    /// The versions of some units; none: of all that there are.
    fn versions(&mut self, _units: Option<&[Unit]>) -> Result<Vec<(Unit, Version)>, StoreError> {
        Err(not_shared())
    }

    /// A gateway has its link here from now on; with the runs of its process that name groups from now on.
    fn take_link(&mut self, _gateway: &GatewayId, _runs: &[(GroupNumber, Incarnation)]) -> Result<Taken, StoreError> {
        Err(not_shared())
    }

    /// Tells the other nodes of this one, and this one of them.
    fn meet(&mut self, _here: &shared::Node) -> Result<Vec<shared::Node>, StoreError> {
        Err(not_shared())
    }

    /// Figures for the operator, as (name, value).
    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}
