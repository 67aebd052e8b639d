//! All that can happen to the bridge.

use std::sync::Arc;

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{AccountId, EnterpriseId, GroupNumber, ListVersion};
use intergroup_schemas::link::{About, Timestamp, ToGateway, Welcome};
use intergroup_schemas::list::{self, AccountRow, Listed, Policy};
use serde::{Deserialize, Serialize};

use super::action::{CommandId, RequestId, Ticket};
use super::number::{Caller, Visit};
use crate::ids::{BareJid, MessageId, Mouth, Nick, OccupantId, RoomJid, StanzaId, Who};
use crate::store::{MissedRow, Offline, OutboxRow, PostedRow, Source};

/// What the shell tells the core.
#[derive(Debug, Clone)]
pub enum Event {
    /// The component link is up. `exclusive`: stanzas sent to ourselves all came back, so no other connection shares
    /// the stream; otherwise live copies may have holes and the archive is polled instead.
    ServerUp {
        /// See above.
        exclusive: bool,
    },
    /// The component link is down; what was on its way may or may not have arrived.
    ServerDown {
        /// The stream error with which the server ended it (RFC 6120 section 4.9.3), if that error can be about something
        /// we sent (`not-well-formed`, `policy-violation` and the like; never `conflict`, `system-shutdown` and the like):
        /// what we sent may be what it could not take.
        stream_error: Option<Arc<str>>,
    },
    /// Something from a room.
    Room {
        /// Which room.
        room: RoomJid,
        /// What.
        event: RoomEvent,
    },
    /// The link to the center is up.
    LinkUp(Welcome),
    /// The link to the center is down.
    LinkDown,
    /// A stanza from the center (never welcome).
    Link(ToGateway),
    /// A commit is on disk.
    Committed(Ticket),
    /// A commit failed; nothing of it is on disk. The core stops and is built again from the store.
    CommitFailed(Ticket),
    /// Rows that were asked for with `Action::LoadPosted`.
    Posted {
        /// Of which group.
        group: GroupNumber,
        /// In no order.
        rows: Vec<PostedRow>,
    },
    /// Rows that were asked for with `Action::LoadOutbox`.
    Outbox {
        /// Of which group.
        group: GroupNumber,
        /// In order of n.
        rows: Vec<OutboxRow>,
    },
    /// What was asked for with `Action::LoadMissed`.
    Missed {
        /// Of which group.
        group: GroupNumber,
        /// In order.
        rows: Vec<MissedRow>,
    },
    /// Somebody asks something of a group's address, or says something to it.
    Visit {
        /// Who.
        caller: Caller,
        /// Which group; none: the component itself.
        group: Option<GroupNumber>,
        /// What.
        visit: Visit,
    },
    /// Accounts that were asked for with `Action::LoadListed`.
    Listed {
        /// Of which group.
        group: GroupNumber,
        /// In order of account.
        rows: Vec<AccountRow>,
        /// As it was asked.
        visit: Option<u64>,
    },
    /// An administrator's command.
    Command {
        /// Echoed in `Action::Reply`.
        id: CommandId,
        /// What to do.
        command: Command,
    },
}

/// What an administrator can ask of a running gateway.
#[derive(Debug, Clone)]
pub enum Command {
    /// Make a group and map a room to it.
    Create {
        /// The group's name.
        name: String,
        /// The room.
        room: RoomJid,
        /// Where the company's people on the group's user list come from; none: from what fits the room as it is.
        members: Option<Source>,
    },
    /// Join a group and map a room to it.
    Join {
        /// The group.
        group: GroupNumber,
        /// The room.
        room: RoomJid,
        /// Where the company's people on the group's user list come from; none: from what fits the room as it is.
        members: Option<Source>,
    },
    /// Map a room to a group that the gateway belongs to but has no room for.
    Map {
        /// The group.
        group: GroupNumber,
        /// The room.
        room: RoomJid,
        /// Where the company's people on the group's user list come from; none: from what fits the room as it is.
        members: Option<Source>,
    },
    /// Change where the company's people on a group's user list come from.
    SetSource {
        /// The group.
        group: GroupNumber,
        /// From where.
        source: Source,
    },
    /// How members get what was said while they were not in the room, and who has missed what.
    Offline {
        /// The group.
        group: GroupNumber,
        /// From now on so; none: as it is.
        how: Option<Offline>,
    },
    /// End the mapping of a group, after its outbox has drained; membership stays.
    Unmap {
        /// The group.
        group: GroupNumber,
    },
    /// Unmap and leave the group.
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
    /// Change what a group says of itself.
    Describe {
        /// The group.
        group: GroupNumber,
        /// What changes.
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
    /// Edit the enterprise's part of a group's user list.
    Edit {
        /// The group.
        group: GroupNumber,
        /// Whom, as people write them: a user id, or a bare JID of one of the enterprise's domains.
        people: Vec<PersonEdit>,
    },
    /// Change what a person on a group's user list may do.
    Role {
        /// The group.
        group: GroupNumber,
        /// A user id, or a bare JID of one of the enterprise's domains.
        person: String,
        /// What the person may do from now on.
        role: list::Role,
    },
    /// A page of a group's user list: of the one that is kept here, or, while there is none, of the center's.
    Members {
        /// The group.
        group: GroupNumber,
        /// 0, or, to go on in the center's list, the version of the last row known.
        since: ListVersion,
        /// The last row's account; none: from the beginning.
        after: Option<AccountId>,
    },
    /// Every figure of the bridge.
    Status,
}

/// What of a group's description is to change; what is none stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutEdit {
    /// What people call it.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What is being talked about.
    pub subject: Option<String>,
    /// Who may speak.
    pub policy: Option<Policy>,
}

impl AboutEdit {
    /// The description with the changes made.
    #[must_use]
    pub fn applied(self, to: About) -> About {
        About {
            name: self.name.unwrap_or(to.name),
            description: self.description.unwrap_or(to.description),
            subject: self.subject.unwrap_or(to.subject),
            policy: self.policy.unwrap_or(to.policy),
        }
    }
}

/// A person to be put on a list, changed there, or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonEdit {
    /// A user id, or a bare JID of one of the enterprise's domains.
    pub person: String,
    /// What people call the person, and what the person may do; none: removed.
    pub listed: Option<Listed>,
}

/// What comes from a room, for the ear unless it names one of our occupants.
#[derive(Debug, Clone)]
pub enum RoomEvent {
    /// The self-presence (status 110) of one of ours: it is in.
    In {
        /// Who.
        mouth: Mouth,
        /// Under which nick.
        nick: Nick,
        /// Its affiliation.
        affiliation: Affiliation,
        /// Its role.
        role: Role,
        /// Its occupant-id.
        occupant_id: Option<OccupantId>,
        /// The room was made by this join (status 201).
        created: bool,
    },
    /// The subject that ends the join sequence of one of ours.
    JoinDone {
        /// Who.
        mouth: Mouth,
    },
    /// A join (or nick change) was refused.
    JoinRefused {
        /// Who.
        mouth: Mouth,
        /// Why.
        refusal: Refusal,
    },
    /// An occupant is in, or changed; as the ear sees it.
    Occupant {
        /// The nick.
        nick: Nick,
        /// The real account, where the ear may see it; none for our own.
        real: Option<BareJid>,
        /// Set when the occupant is one of ours.
        ours: Option<Mouth>,
        /// The occupant-id.
        occupant_id: Option<OccupantId>,
        /// The affiliation.
        affiliation: Affiliation,
        /// The role.
        role: Role,
    },
    /// An occupant is no longer in under this nick; as the ear sees it.
    Gone {
        /// The nick.
        nick: Nick,
        /// How.
        how: Gone,
    },
    /// One of ours is no longer in (its own unavailable self-presence).
    Out {
        /// Who.
        mouth: Mouth,
        /// How.
        how: Gone,
    },
    /// A group message, as the ear gets it live.
    Message(RoomMessage),
    /// The room's subject, as the ear hears it: at the end of its joining, and when it changes.
    Subject(Arc<str>),
    /// A message of one of ours was refused.
    SayRefused {
        /// Who.
        mouth: Mouth,
        /// The id it was sent with.
        id: MessageId,
        /// Why.
        refusal: Refusal,
    },
    /// The answer to a request (all actions that have a request id). A request that is not answered
    /// within the server's time-out is answered by the shell with the refusal `remote-server-timeout`.
    Answer {
        /// The request.
        request: RequestId,
        /// What came.
        answer: Result<Answer, Refusal>,
    },
    /// A private message to one of ours.
    Private {
        /// To whom.
        mouth: Mouth,
        /// From whom.
        from: Nick,
    },
    /// The room's configuration has changed (status 104); how, disco#info tells.
    Configured,
    /// An affiliation changed of somebody who is not in the room.
    AffiliationChanged {
        /// Whose: an account of the server, or one of ours.
        real: BareJid,
        /// Set when it is one of ours.
        ours: Option<Who>,
        /// The new affiliation.
        affiliation: Affiliation,
    },
}

/// A group message, live or from the archive.
#[derive(Debug, Clone)]
pub struct RoomMessage {
    /// Who said it; none: the room itself.
    pub nick: Option<Nick>,
    /// The sender's id.
    pub id: Option<MessageId>,
    /// The room's id; none: not archived. Always set in an archive page.
    pub stanza_id: Option<StanzaId>,
    /// The occupant-id (only where the room announces the feature).
    pub occupant_id: Option<OccupantId>,
    /// The real account that the entry itself names (archive entries only).
    pub real: Option<BareJid>,
    /// Set when the entry itself names one of ours (archive entries only); `real` is none then.
    pub ours: Option<Who>,
    /// When the server took it (archive entries only).
    pub stamp: Option<Timestamp>,
    /// What was said.
    pub content: Content,
}

/// What a message comes to by the payload table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// To be relayed.
    Speech(Bytes),
    /// Cannot cross; the author is told why.
    Refused(Condition),
    /// Nothing that concerns other companies (chat states, markers, status of the room).
    Nothing,
    /// The room's subject.
    Subject(Arc<str>),
}

/// How an occupant went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    /// By itself.
    Left,
    /// It goes on under another nick (303).
    Renamed(Nick),
    /// Kicked by a moderator (307).
    Kicked,
    /// Banned (301).
    Banned,
    /// No longer a member of a members-only room (321, 322).
    Removed,
    /// The server thinks it unreachable (333), or shuts down (332).
    Unreachable,
    /// The room was destroyed.
    Destroyed,
}

/// XEP-0045 section 5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affiliation {
    /// Owner.
    Owner,
    /// Admin.
    Admin,
    /// Member.
    Member,
    /// None.
    None,
    /// Outcast.
    Outcast,
}

/// XEP-0045 section 5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Moderator.
    Moderator,
    /// Participant.
    Participant,
    /// Visitor: may not speak.
    Visitor,
    /// None.
    None,
}

/// A stanza error (RFC 6120 section 8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The defined condition, as written on the wire ("conflict", "forbidden").
    pub condition: Arc<str>,
    /// The text, if any, cut to what is safe to show.
    pub text: Arc<str>,
}

/// Answers to requests.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To `info`.
    Info(RoomInfo),
    /// To `read archive`.
    Page(Page),
    /// To `read affiliations`: the accounts that have it, our own left out.
    People(Vec<BareJid>),
    /// To everything else.
    Done,
}

/// What disco#info says of a room (XEP-0045 section 6.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomInfo {
    /// The room keeps an archive (`urn:xmpp:mam:2`).
    pub archive: bool,
    /// The room gives occupant-ids.
    pub occupant_ids: bool,
    /// Only members may enter.
    pub members_only: bool,
    /// The room outlives its last occupant.
    pub persistent: bool,
    /// Occupants need voice.
    pub moderated: bool,
    /// Everybody sees real JIDs.
    pub non_anonymous: bool,
}

/// One page of an archive, complete: the results as they came, with the `fin` that ended them (XEP-0313 section 4).
#[derive(Debug, Clone)]
pub struct Page {
    /// In the archive's order.
    pub messages: Vec<RoomMessage>,
    /// The id of the last result.
    pub last: Option<StanzaId>,
    /// The server says that nothing follows.
    pub complete: bool,
}
