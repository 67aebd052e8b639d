//! The admin commands' way to the running daemon: a socket in the center's directory, for its owner alone.
//!
//! In: one JSON line with an [`Ask`]. Out: one JSON line with an [`Answer`]. Never here: the network, or the store's files.

mod client;
mod server;

use intergroup_schemas::ids::{AccountId, DisplayName, EnterpriseId, GatewayId, GroupNumber, ListVersion};
use serde::{Deserialize, Serialize};

use crate::hub::AdminReply;
use crate::hub::status::Status;

pub use client::ask;
pub use server::serve;

/// Longest line in either direction.
const LINE_BYTES: u64 = 16 * 1024 * 1024;

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Make an enterprise and a code for its gateway, or (`again`) another code.
    Code {
        /// The gateway that the code makes.
        gateway: GatewayId,
        /// The enterprise's display name; its id by default.
        display: Option<DisplayName>,
        /// How long the code is good, in minutes; [`intergroup_schemas::limits::ENROLMENT_HOURS`] by default. With 0 it never was: it only takes
        /// the place of a code that was given before.
        minutes: Option<u32>,
        /// The enterprise exists already.
        again: bool,
    },
    /// Let it connect no more, until it is resumed.
    Suspend(EnterpriseId),
    /// Let it connect again.
    Resume(EnterpriseId),
    /// Let it connect never again.
    Remove(EnterpriseId),
    /// All enterprises.
    Enterprises,
    /// One enterprise.
    Enterprise(EnterpriseId),
    /// All groups.
    Groups,
    /// One group.
    Group(GroupNumber),
    /// A page of a group's user list: what changed behind this place.
    Members {
        /// The group.
        group: GroupNumber,
        /// The version of the last row known.
        since: ListVersion,
        /// Its account.
        after: Option<AccountId>,
    },
    /// End a group for all.
    DeleteGroup(GroupNumber),
    /// Every figure.
    Status,
}

/// What the daemon answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// An enrolment code.
    Code {
        /// The line to send.
        code: String,
        /// For which gateway.
        gateway: GatewayId,
        /// When it ends (RFC 3339).
        expires: String,
    },
    /// Every figure, and who speaks.
    Status {
        /// The center's name.
        name: String,
        /// Where gateways dial.
        addresses: Vec<String>,
        /// Figures.
        status: Box<Status>,
    },
    /// The hub's own answer.
    Reply(AdminReply),
}
