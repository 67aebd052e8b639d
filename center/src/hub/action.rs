//! All that the hub can ask its shell to do.

use std::sync::Arc;

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{DisplayName, GatewayId, GroupNumber, Incarnation, Seq};
use intergroup_schemas::list::ListPage;
use serde::{Deserialize, Serialize};

use super::event::{AdminId, LinkId, Reader, Ticket};
use super::run::Run;
use super::status::{EnterpriseStatus, GroupStatus, Status};
use crate::store::shared::{Claims, Known, Unit};
use crate::store::{Change, PageQuery};

/// Stanzas to be sent, each the text of a frame of its own.
#[derive(Debug, Clone)]
pub enum Frames {
    /// One. The bytes of a `deliver` are shared by all links.
    One(Bytes),
    /// Many, shared whole.
    Run(Arc<Run>),
}

impl Frames {
    /// The stanzas, in order.
    #[must_use]
    pub fn stanzas(&self) -> &[Bytes] {
        match self {
            Frames::One(stanza) => std::slice::from_ref(stanza),
            Frames::Run(run) => run.stanzas(),
        }
    }

    /// Bytes of all of them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Frames::One(stanza) => stanza.len(),
            Frames::Run(run) => run.bytes(),
        }
    }
}

/// What the core asks for.
#[derive(Debug)]
pub enum Action {
    /// Put on disk, all or nothing (each unit by itself where nodes share the store); answered by `Committed`. One at a time.
    Commit {
        /// Names it.
        ticket: Ticket,
        /// What.
        changes: Vec<Change>,
        /// Where nodes share the store: on what it is based. Parts that are refused are named in the answer.
        claims: Claims,
    },
    /// Where nodes share the store: read a unit anew; answered by `News`.
    ReadNews {
        /// Which.
        unit: Unit,
        /// What is known of a group's log; none: all of it is wanted.
        known: Option<Known>,
    },
    /// Where nodes share the store: a gateway has its link here; answered by `Taken`.
    TakeLink {
        /// The link.
        link: LinkId,
        /// Whose.
        gateway: GatewayId,
        /// The run of its process, for each group that it names.
        runs: Vec<(GroupNumber, Incarnation)>,
        /// The units whose versions are wanted then.
        units: Vec<Unit>,
    },
    /// The store has lost what was in it: end all links, and begin anew from what is there.
    Lost,
    /// Send stanzas. Those of one link go out in the order given; many may share a write.
    Send {
        /// On which link.
        link: LinkId,
        /// What.
        frames: Frames,
    },
    /// Say bye and end the link.
    Close {
        /// Which.
        link: LinkId,
        /// Why.
        condition: Condition,
        /// In words.
        text: String,
    },
    /// Read entries; answered by `Log`.
    ReadLog {
        /// For which link.
        link: LinkId,
        /// Of which group.
        group: GroupNumber,
        /// Behind which entry.
        after: Seq,
        /// At most so many.
        entries: usize,
        /// At most so many bytes (but at least one entry).
        bytes: usize,
    },
    /// Read running hashes; answered by `Hashes`.
    ReadHashes {
        /// For which link.
        link: LinkId,
        /// At which places.
        places: Vec<(GroupNumber, Seq)>,
    },
    /// Read the sources of a gateway's messages in a group; answered by `Sources`.
    ReadSources {
        /// Of which group.
        group: GroupNumber,
        /// Of which gateway.
        gateway: GatewayId,
    },
    /// Read a page of a user list; answered by `List`.
    ReadList {
        /// For whom.
        reader: Reader,
        /// Which.
        query: PageQuery,
    },
    /// Answer a request.
    Reply {
        /// Which.
        id: AdminId,
        /// What came of it.
        reply: AdminReply,
    },
}

/// What came of an operator's request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminReply {
    /// Done.
    Done,
    /// Enterprises.
    Enterprises(Vec<EnterpriseStatus>),
    /// Groups.
    Groups(Vec<GroupStatus>),
    /// A page of a group's user list.
    Members(ListPage),
    /// Every figure.
    Status(Box<Status>),
    /// Whose a code or certificate is.
    Gateway {
        /// The gateway.
        gateway: GatewayId,
        /// Its enterprise's display name.
        display: DisplayName,
    },
    /// Refused.
    Refused {
        /// Why, where the table of conditions has a row for it.
        condition: Option<Condition>,
        /// In words: what happened, what it means, what to do.
        text: String,
    },
}
