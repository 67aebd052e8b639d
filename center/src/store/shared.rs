//! What nodes that share a store tell each other through it.
//!
//! Everything in a store belongs to a *unit*, and each unit has a version. A node names in each commit the versions that its
//! decisions were based on; what another node has changed meanwhile is refused, read anew and decided again.

use intergroup_schemas::ids::{GatewayId, GroupNumber, HistoryHash, Incarnation, Seq};
use serde::{Deserialize, Serialize};

use super::{Record, Snapshot};

/// Entries behind what is known that are read with news; who is further behind gets the unit as a whole, without entries.
pub const NEWS_ENTRIES: usize = 512;

/// What is decided, written and read anew as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// A group: its log, members, marks, refusals, fates and user list.
    Group(GroupNumber),
    /// Enterprises, gateways and enrolments.
    Registry,
}

/// The commit that changed a unit last, by a name that is never given again. 0: nothing ever did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Version(pub u128);

impl Version {
    /// That of a commit, by its number among those of one life of a hub, which has a random name.
    #[must_use]
    pub fn of(life: u64, number: u64) -> Self {
        Self((u128::from(life) << 64) | u128::from(number))
    }

    /// The two parts again.
    #[must_use]
    pub fn parts(self) -> (u64, u64) {
        ((self.0 >> 64) as u64, self.0 as u64)
    }
}

/// Under which versions a commit may be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// The version that what it changes has then.
    pub version: Version,
    /// Each unit that it changes, with the version that was decided on.
    pub bases: Vec<(Unit, Version)>,
}

/// What a node knows of a group's log: its last entry and the running hash there.
pub type Known = (Seq, HistoryHash);

/// A unit as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Its version.
    pub version: Version,
    /// What there is of it and of nothing else. With `since`, a group comes without user list, milestones and bytes.
    pub snapshot: Snapshot,
    /// All entries behind what was known; none: the snapshot is whole.
    pub since: Option<Vec<Record>>,
}

/// What became of a gateway's link being taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Grows with each link of the gateway, at whichever node.
    pub generation: u64,
    /// Which run named each group before.
    pub before: Vec<(GroupNumber, Incarnation)>,
}

/// A node, as it tells of itself every few seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Where gateways dial it, `HOST:PORT` each. The first is its name.
    pub addresses: Vec<String>,
    /// The gateways that have their link there, and which of their links it is.
    pub online: Vec<(GatewayId, u64)>,
    /// Whether it has told of itself lately. Of one that has not, `online` is empty.
    #[serde(default)]
    pub up: bool,
}

/// What nodes hear of each other at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// A commit has changed units.
    Changed(Version, Vec<Unit>),
    /// A gateway has its link at some node, of this generation.
    Taken(GatewayId, u64),
    /// A node is there, by its name.
    Met(String),
    /// Words may have been lost: everything is to be compared.
    Anew,
}

/// Hears words; blocking, and owned by one thread.
pub trait Ear: Send {
    /// Listens until `each` says no. It gets every word, and nothing after some seconds of silence. Words may be lost, but not
    /// without `Anew` behind them.
    fn listen(&mut self, each: &mut dyn FnMut(Option<Word>) -> bool);
}
