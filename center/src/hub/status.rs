//! The hub's figures, as operators see them.

use std::collections::BTreeMap;

use intergroup_schemas::ids::{EnterpriseId, GatewayId, GroupNumber, ListDigest, ListVersion, Seq};
use intergroup_schemas::link::{About, Timestamp};
use serde::{Deserialize, Serialize};

use crate::store::EnterpriseState;

/// What has been counted since the process began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Messages stored.
    pub stored: u64,
    /// Edits of user lists that changed them.
    pub edits: u64,
    /// Pages of user lists that were read.
    pub list_pages: u64,
    /// `deliver` stanzas sent.
    pub delivered: u64,
    /// `own` and `skip` and `entry` stanzas sent.
    pub placeholders: u64,
    /// Commits.
    pub commits: u64,
    /// Parts of commits that another node was quicker with.
    #[serde(default)]
    pub conflicts: u64,
    /// Repeats of decided messages, answered as before.
    pub repeats: u64,
    /// Messages that came again under another n or epoch, recognised by their source.
    pub same_source: u64,
    /// Relays that were not the next.
    pub out_of_turn: u64,
    /// n given twice for different messages.
    pub forks: u64,
    /// Messages that had to wait since their enterprise or group was over its rate.
    pub paced: u64,
    /// Messages that waited for their turn with too many bytes before them, and were asked for again.
    pub fallen: u64,
    /// Links ended by the center, by condition.
    pub closed: BTreeMap<String, u64>,
    /// Pages read from the store for those who are behind.
    pub pages: u64,
    /// Entries dropped by retention.
    pub expired: u64,
    /// Refusals, by condition.
    pub refused: BTreeMap<String, u64>,
    /// Messages that a member's room refused, by condition.
    pub fates: BTreeMap<String, u64>,
}

/// One enterprise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnterpriseStatus {
    /// Its id.
    pub id: EnterpriseId,
    /// Its display name.
    pub display: String,
    /// Whether it may connect.
    pub state: EnterpriseState,
    /// Its gateways.
    pub gateways: Vec<GatewayStatus>,
    /// Codes given out and not used.
    pub open_codes: usize,
    /// Messages that had to wait, since this enterprise or a group was over its rate, since the center was started.
    pub paced: u64,
    /// Messages that wait now.
    pub waiting: usize,
}

/// One gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// Which.
    pub gateway: GatewayId,
    /// Whether its link is up.
    pub online: bool,
    /// When its certificate ends.
    pub certificate_ends: Timestamp,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Its number.
    pub number: GroupNumber,
    /// Its name, description, subject and policy.
    #[serde(flatten)]
    pub about: About,
    /// Who owns it.
    pub owner: EnterpriseId,
    /// Whether it has ended.
    pub deleted: bool,
    /// The list version.
    pub list: ListVersion,
    /// The digest of the user list.
    pub digest: ListDigest,
    /// Accounts on it.
    pub accounts: u64,
    /// The same by enterprise; one that is not named has never edited the list, so that it does not judge its people.
    pub listed: BTreeMap<EnterpriseId, usize>,
    /// The oldest entry kept.
    pub oldest: Seq,
    /// The last entry.
    pub head: Seq,
    /// Bytes of messages kept.
    pub bytes: u64,
    /// Who may join.
    pub allowed: Vec<EnterpriseId>,
    /// Messages for it that had to wait, since it or their enterprise was over its rate, since the center was started.
    pub paced: u64,
    /// Messages that wait now.
    pub waiting: usize,
    /// Its members.
    pub members: Vec<MemberStatus>,
}

/// How far a member has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Which gateway.
    pub gateway: GatewayId,
    /// Whether its link is up.
    pub online: bool,
    /// The last entry it settled.
    pub settled: Seq,
    /// How many entries it has still to settle.
    pub waiting: u64,
    /// Why nothing is sent to it now, if nothing is.
    pub paused: Option<String>,
}

/// Every figure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Links that are up.
    pub links: usize,
    /// Enterprises, by state.
    pub enterprises: BTreeMap<String, usize>,
    /// Groups that have not ended.
    pub groups: usize,
    /// Bytes of messages held in memory for those who are nearly up to date.
    pub cached_bytes: usize,
    /// What has been counted.
    pub counters: Counters,
    /// What the store counts.
    #[serde(default)]
    pub store: BTreeMap<String, u64>,
}
