//! All that can happen to the hub.

use std::collections::BTreeSet;

use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{DisplayName, EnterpriseId, Epoch, GatewayId, GroupNumber, HistoryHash, N, Seq};
use intergroup_schemas::link::{Timestamp, ToCenter};
use intergroup_schemas::list::ListPage;

use crate::store::shared::{News, Taken, Unit, Version};
use crate::store::{PageQuery, Record};

/// Names a link for as long as the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl LinkId {
    /// No link has this number: for it the hub reads what it wants to know itself.
    pub const HUB: LinkId = LinkId(0);
}

/// Names a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names an operator's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdminId(pub u64);

/// Who asked for a page of a user list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A gateway.
    Link {
        /// Its link.
        link: LinkId,
        /// The request.
        request: u64,
    },
    /// The operator.
    Admin(AdminId),
}

/// What the shell tells the core.
#[derive(Debug)]
pub enum Event {
    /// A link is up; who it is comes from its certificate.
    LinkOpened {
        /// The link.
        link: LinkId,
        /// Whose.
        gateway: GatewayId,
        /// SHA-256 of the certificate it showed.
        certificate: [u8; 32],
    },
    /// A link is gone.
    LinkClosed {
        /// The link.
        link: LinkId,
    },
    /// A link broke the protocol, or asks for more than it reads: it is told why, and ended.
    LinkBroken {
        /// The link.
        link: LinkId,
        /// Why.
        condition: Condition,
        /// The same in words.
        text: String,
    },
    /// A stanza came.
    Stanza {
        /// On which link.
        link: LinkId,
        /// What.
        stanza: ToCenter,
    },
    /// A relay came whose envelope is sound and whose payload is not.
    BadRelay {
        /// On which link.
        link: LinkId,
        /// Its group.
        group: GroupNumber,
        /// Its epoch.
        epoch: Epoch,
        /// Its n.
        n: N,
        /// Why it is refused.
        condition: Condition,
    },
    /// A commit is on disk.
    Committed(Ticket),
    /// A commit is on disk but for these parts, which another node has changed.
    CommittedInPart(Ticket, Vec<Unit>),
    /// A unit that was to be read anew.
    News {
        /// Which.
        unit: Unit,
        /// As it is.
        news: Box<News>,
    },
    /// Other nodes may have changed units since the hub last knew; these are their versions.
    Versions(Vec<(Unit, Version)>),
    /// A gateway's link is known to all nodes.
    Taken {
        /// The link.
        link: LinkId,
        /// What became of it.
        taken: Taken,
        /// The versions that were asked for, as of then.
        versions: Vec<(Unit, Version)>,
    },
    /// A gateway has a link at some node.
    TakenElsewhere {
        /// Which.
        gateway: GatewayId,
        /// Which of its links it is.
        generation: u64,
    },
    /// These gateways have their links at other nodes.
    Elsewhere(BTreeSet<GatewayId>),
    /// Entries that were asked for.
    Log {
        /// For which link.
        link: LinkId,
        /// Of which group.
        group: GroupNumber,
        /// Behind which entry.
        after: Seq,
        /// In order.
        records: Vec<Record>,
    },
    /// The running hashes that were asked for, in the order asked.
    Hashes {
        /// For which link.
        link: LinkId,
        /// None where the log does not have the place.
        hashes: Vec<Option<HistoryHash>>,
    },
    /// The sources that were asked for.
    Sources {
        /// Of which group.
        group: GroupNumber,
        /// Of which gateway.
        gateway: GatewayId,
        /// All that the log has.
        sources: Vec<u64>,
    },
    /// A page of a user list that was asked for.
    List {
        /// By whom.
        reader: Reader,
        /// Of which group.
        group: GroupNumber,
        /// The page.
        page: ListPage,
    },
    /// An operator, or the enrolment service, asks.
    Admin {
        /// Echoed in the reply.
        id: AdminId,
        /// What.
        request: AdminRequest,
    },
}

/// What an operator, or the enrolment service, can ask.
#[derive(Debug, Clone)]
pub enum AdminRequest {
    /// Make an enterprise and an enrolment code for its gateway; or only another code when it exists and `again`.
    AddEnterprise {
        /// The gateway that the code makes.
        gateway: GatewayId,
        /// The enterprise's display name; its id by default.
        display: Option<DisplayName>,
        /// SHA-256 of the code's secret.
        secret: [u8; 32],
        /// When the code ends.
        expires: Timestamp,
        /// The enterprise must exist already.
        again: bool,
    },
    /// Let it connect, or not.
    Suspend(EnterpriseId),
    /// See above.
    Resume(EnterpriseId),
    /// End all its memberships and never let it connect again.
    Remove(EnterpriseId),
    /// All enterprises.
    ListEnterprises,
    /// One enterprise.
    ShowEnterprise(EnterpriseId),
    /// All groups.
    ListGroups,
    /// One group.
    ShowGroup(GroupNumber),
    /// A page of a group's user list.
    ListMembers(PageQuery),
    /// End a group for all.
    DeleteGroup(GroupNumber),
    /// Every figure.
    Status,
    /// Use an enrolment code: answers whose it is. The code is gone only with `Certify`.
    CheckCode([u8; 32]),
    /// A certificate was made; by a code (which is used up with it) or as a renewal.
    Certify {
        /// For whom.
        gateway: GatewayId,
        /// SHA-256 of the certificate.
        certificate: [u8; 32],
        /// When it ends.
        expires: Timestamp,
        /// By what right.
        proof: Proof,
    },
    /// Whether a certificate is (still) good for its gateway.
    CheckCertificate {
        /// Whose.
        gateway: GatewayId,
        /// SHA-256 of it.
        certificate: [u8; 32],
    },
}

/// By what right a gateway gets a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// An enrolment code (SHA-256 of its secret), which is used up with it.
    Code([u8; 32]),
    /// The certificate that it showed (SHA-256), which stays good until the new one is first used.
    Certificate([u8; 32]),
}
