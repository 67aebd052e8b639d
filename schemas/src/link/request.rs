//! Requests of administrators and gateways, what the center answers, and a group as its members may see it.

use serde::{Deserialize, Serialize};

use super::{About, Standing};
use crate::conditions::Condition;
use crate::ids::{
    AccountId, DisplayName, EnterpriseId, GatewayName, GroupNumber, HistoryHash, Incarnation, ListDigest, ListVersion,
    Seq,
};
use crate::list::ListPage;

/// A request; answered by a [`Response`] with the same id. Typed with serde.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the gateway, unique on the link.
    pub id: u64,
    /// What is asked for.
    pub body: RequestBody,
}

/// What a gateway can ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestBody {
    /// Make a group owned by the asking enterprise, whose asking gateway is its first member.
    CreateGroup {
        /// What people call it.
        name: String,
    },
    /// Become a member of a group; the enterprise must be allowed.
    JoinGroup {
        /// The group.
        group: GroupNumber,
    },
    /// Stop being a member.
    LeaveGroup {
        /// The group.
        group: GroupNumber,
    },
    /// The owner allows an enterprise to join.
    AllowEnterprise {
        /// The group.
        group: GroupNumber,
        /// Who may join.
        enterprise: EnterpriseId,
    },
    /// The owner ends a group for all.
    DeleteGroup {
        /// The group.
        group: GroupNumber,
    },
    /// All groups that the enterprise owns, belongs to or may join.
    ListGroups {},
    /// One group.
    ShowGroup {
        /// The group.
        group: GroupNumber,
    },
    /// The owner changes name, description, subject or policy.
    DescribeGroup {
        /// The group.
        group: GroupNumber,
        /// All of them, as they are to be.
        about: About,
    },
    /// The owner gives the group to another member enterprise.
    TransferGroup {
        /// The group.
        group: GroupNumber,
        /// The owner to be.
        enterprise: EnterpriseId,
    },
    /// A page of the group's user list: what changed behind (`since`, `after`), in the order of [`ListPage`].
    FetchList {
        /// The group.
        group: GroupNumber,
        /// The version of the last row that is known; 0: all.
        since: ListVersion,
        /// The account of that row; none: all that changed after version `since`.
        after: Option<AccountId>,
    },
}

/// Answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The request's id.
    pub id: u64,
    /// What came of it.
    pub body: ResponseBody,
}

/// What can come of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResponseBody {
    /// Done; there is nothing to tell.
    Done {},
    /// The group, as it is now. Answers create, join, show. The gateway's stream starts behind `joined_at`.
    Group(GroupInfo),
    /// All groups that concern the enterprise.
    Groups {
        /// In order of number.
        groups: Vec<GroupInfo>,
    },
    /// A page of a group's user list.
    List {
        /// The group.
        group: GroupNumber,
        /// The page.
        page: ListPage,
    },
    /// It was not done.
    Refused {
        /// Why.
        condition: Condition,
        /// The same in words, with what to do.
        text: String,
    },
}

/// A group as its members may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupInfo {
    /// Its number.
    pub number: GroupNumber,
    /// Its name, description, subject and policy.
    #[serde(flatten)]
    pub about: Box<About>,
    /// The enterprise that owns it.
    pub owner: EnterpriseId,
    /// The log's life.
    pub incarnation: Incarnation,
    /// The last entry.
    pub head: Seq,
    /// The running hash there.
    pub head_hash: HistoryHash,
    /// The list version.
    pub list: ListVersion,
    /// The digest of the list.
    #[serde(default)]
    pub digest: ListDigest,
    /// Accounts on the list.
    #[serde(default)]
    pub accounts: u64,
    /// Whether the asking gateway belongs to it.
    pub standing: Standing,
    /// Where the asking gateway's present membership begins (its own `joined` entry).
    pub joined_at: Seq,
    /// The running hash at `joined_at`.
    pub joined_hash: HistoryHash,
    /// Enterprises that may join.
    pub allowed: Vec<EnterpriseId>,
    /// Member gateways.
    pub members: Vec<MemberInfo>,
}

/// A member gateway of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberInfo {
    /// Its enterprise.
    pub enterprise: EnterpriseId,
    /// The enterprise's display name.
    pub display: DisplayName,
    /// Its name.
    pub gateway: GatewayName,
    /// The last entry it settled.
    pub settled: Seq,
    /// Whether its link is up.
    pub online: bool,
}
