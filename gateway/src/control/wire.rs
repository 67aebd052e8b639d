//! What crosses the local socket, and what the commands print with `--json`: a line of JSON each. Fields may be added; none is
//! renamed, and none changes its meaning.

use std::collections::BTreeMap;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{AccountId, EnterpriseId, GatewayId, GroupNumber, ListDigest, ListVersion};
use intergroup_schemas::link::{GroupInfo, Timestamp};
use intergroup_schemas::list::{AccountRow, Role};
use serde::{Deserialize, Serialize};

use crate::bridge::status::{AbsenceStatus, OfflineStatus, RoomStatus};
use crate::bridge::{AboutEdit, PersonEdit};
use crate::ids::RoomJid;
use crate::store::{Offline, Source};

/// What a command asks for: `{"command":"create","name":"Apollo","room":"apollo"}`. A room is written as people write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// Everything about the gateway.
    Status,
    /// Open the link to the center anew: the identity has changed.
    Reconnect,
    /// Make a group and map a room to it.
    Create {
        /// Its name.
        name: String,
        /// The room.
        room: String,
        /// Where the company's people on the user list come from; none: from what fits the room as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        members: Option<Source>,
    },
    /// Join a group and map a room to it.
    Join {
        /// The group.
        group: GroupNumber,
        /// The room.
        room: String,
        /// Where the company's people on the user list come from; none: from what fits the room as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        members: Option<Source>,
    },
    /// Map a room to a group that the gateway belongs to.
    Map {
        /// The group.
        group: GroupNumber,
        /// The room.
        room: String,
        /// Where the company's people on the user list come from; none: from what fits the room as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        members: Option<Source>,
    },
    /// Change where the company's people on a group's user list come from.
    SetSource {
        /// The group.
        group: GroupNumber,
        /// From where.
        members: Source,
    },
    /// How members get what was said while they were not in the room, and who has missed what.
    Offline {
        /// The group.
        group: GroupNumber,
        /// From now on so; none: as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        how: Option<Offline>,
    },
    /// End a mapping; membership stays.
    Unmap {
        /// The group.
        group: GroupNumber,
    },
    /// End the mapping and leave the group.
    Leave {
        /// The group.
        group: GroupNumber,
    },
    /// Allow an enterprise to join.
    Allow {
        /// The group.
        group: GroupNumber,
        /// Who may join.
        enterprise: EnterpriseId,
    },
    /// Change what a group says of itself; what is none stays as it is.
    Describe {
        /// The group.
        group: GroupNumber,
        /// What changes.
        #[serde(flatten)]
        changes: AboutEdit,
    },
    /// Give a group to another member enterprise.
    Transfer {
        /// The group.
        group: GroupNumber,
        /// The owner to be.
        enterprise: EnterpriseId,
    },
    /// End a group for all.
    Delete {
        /// The group.
        group: GroupNumber,
    },
    /// All groups of the enterprise.
    List,
    /// One group.
    Show {
        /// The group.
        group: GroupNumber,
    },
    /// Put people of this company on a group's user list, change them there, or remove them.
    Edit {
        /// The group.
        group: GroupNumber,
        /// Whom.
        people: Vec<PersonEdit>,
    },
    /// Change what a person of this company may do in a group.
    Role {
        /// The group.
        group: GroupNumber,
        /// Whom: a user name, or a JID of one of the company's domains.
        person: String,
        /// What the person may do from now on.
        role: Role,
    },
    /// A page of a group's user list: of the one that is kept by the gateway, or, while there is none, of the center's.
    Members {
        /// The group.
        group: GroupNumber,
        /// 0, or, to go on in the center's list, the version of the last row known.
        since: ListVersion,
        /// The last row's account; none: from the beginning.
        after: Option<AccountId>,
    },
}

/// What came of it: `{"result":"done"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Answer {
    /// Done; there is nothing to tell.
    Done,
    /// A group, as it is now.
    Group(Group),
    /// All groups.
    Groups {
        /// In order of number.
        groups: Vec<Group>,
    },
    /// How members get what they have missed.
    Offline {
        /// What is kept for all of them.
        #[serde(flatten)]
        kept: OfflineStatus,
        /// Who has missed something.
        absent: Vec<AbsenceStatus>,
    },
    /// A page of a group's user list.
    Members(Members),
    /// Everything about the gateway.
    Status(Box<Status>),
    /// It was not done.
    Refused {
        /// Why, where the table of conditions has a row for it.
        condition: Option<Condition>,
        /// In words: what happened, what it means, what to do.
        text: String,
    },
}

/// A page of a group's user list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Of the center's list, what changed, removals included; of the gateway's own, who is on it, by account, the company's own
    /// edits that are on their way included.
    pub rows: Vec<AccountRow>,
    /// Others follow.
    pub more: bool,
    /// The list's version.
    pub version: ListVersion,
    /// The digest of the whole list at that version, if it is at hand.
    pub digest: Option<ListDigest>,
    /// Accounts on the whole list at that version, if it is at hand.
    pub accounts: Option<u64>,
    /// It is the center's list; else the gateway's own, and the center was not asked.
    pub center_asked: bool,
    /// There is a link to the center; without one, the gateway's own list may be older than the center's.
    pub link: bool,
}

/// A group, with its room here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The group.
    #[serde(flatten)]
    pub info: GroupInfo,
    /// The room that is mapped to it here, if one is.
    pub room: Option<RoomJid>,
}

/// Everything about the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// When the process began, in milliseconds since 1970 UTC.
    pub started: Timestamp,
    /// Who the gateway is to the center; none: not enrolled.
    pub identity: Option<GatewayId>,
    /// When its certificate ends, in milliseconds since 1970 UTC.
    pub certificate_ends: Option<Timestamp>,
    /// The link to the enterprise's own server.
    pub server: Server,
    /// The link to the center.
    pub center: Center,
    /// The store.
    pub store: StoreHealth,
    /// Each mapped room.
    pub rooms: Vec<RoomStatus>,
    /// The last things that an administrator should know, oldest first.
    pub reports: Vec<Report>,
    /// Counts since the process began, by name.
    pub counters: BTreeMap<String, u64>,
}

/// The link to the enterprise's own server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// It is up.
    pub up: bool,
    /// `HOST:PORT`.
    pub address: String,
    /// What is wrong, what it means, what to do.
    pub text: Option<String>,
}

/// The link to the center.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Center {
    /// It is up.
    pub up: bool,
    /// Over which address.
    pub address: Option<String>,
    /// What is wrong, what it means, what to do.
    pub text: Option<String>,
}

/// The store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreHealth {
    /// It serves.
    pub ok: bool,
    /// What is wrong, what it means, what to do.
    pub text: Option<String>,
}

/// Something that an administrator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When it was said, in milliseconds since 1970 UTC.
    pub at: Timestamp,
    /// `info`, `warning` or `alarm`.
    pub level: String,
    /// Of which room, if of one.
    pub room: Option<RoomJid>,
    /// What happened, what it means, what to do.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_as_documented() {
        let line = |request: &Request| serde_json::to_string(request).unwrap();
        let create = Request::Create { name: "Apollo".into(), room: "apollo".into(), members: None };
        assert_eq!(line(&create), r#"{"command":"create","name":"Apollo","room":"apollo"}"#);
        let allow = Request::Allow { group: GroupNumber(10_001), enterprise: "globex".parse().unwrap() };
        assert_eq!(line(&allow), r#"{"command":"allow","group":10001,"enterprise":"globex"}"#);
        assert_eq!(line(&Request::Status), r#"{"command":"status"}"#);
        assert_eq!(serde_json::to_string(&Answer::Done).unwrap(), r#"{"result":"done"}"#);
        let refused = Answer::Refused { condition: Some(Condition::NotOwner), text: "no".into() };
        let text = serde_json::to_string(&refused).unwrap();
        assert_eq!(text, r#"{"result":"refused","condition":"not-owner","text":"no"}"#);
        assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), refused);
        assert_eq!(serde_json::from_str::<Request>(&line(&create)).unwrap(), create);
    }
}
