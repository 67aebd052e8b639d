//! All that the bridge can ask its shell to do. Performed in the order given, for each of server, link and store.

use std::sync::Arc;

use bytes::Bytes;
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::{AccountId, GroupNumber, N, Seq};
use intergroup_schemas::link::{GroupInfo, Timestamp, ToCenter};

use super::event::Affiliation;
use super::number::{Caller, Listing, VisitAnswer};
use crate::ids::{BareJid, MessageId, Mouth, Nick, RoomJid, StanzaId, Who};
use crate::store::{Change, Spot};

/// Names a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names a request to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names an administrator's command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// What the core asks for.
#[derive(Debug, Clone)]
pub enum Action {
    /// Send to a room.
    Room {
        /// Which room.
        room: RoomJid,
        /// What.
        action: RoomAction,
    },
    /// Send to the center.
    Link(ToCenter),
    /// Put on disk, all or nothing; answered by `Event::Committed`. Commits are performed in the order given, and
    /// several may share one fsync.
    Commit {
        /// Names it.
        ticket: Ticket,
        /// What.
        changes: Vec<Change>,
    },
    /// Read outbox rows; answered by `Event::Outbox`.
    LoadOutbox {
        /// Of which group.
        group: GroupNumber,
        /// From this n on.
        from: N,
        /// At most so many.
        max: usize,
    },
    /// Read what was posted into a group's room for entries behind `after`; answered by `Event::Posted`. Asked for only
    /// when the center's log has forked.
    LoadPosted {
        /// Of which group.
        group: GroupNumber,
        /// Behind which entry.
        after: Seq,
    },
    /// Read what was said for those who were not there; answered by `Event::Missed`.
    LoadMissed {
        /// Of which group.
        group: GroupNumber,
        /// From this spot on.
        from: Spot,
        /// At most so many.
        max: usize,
    },
    /// Read accounts of a group's user list, in order of account; answered by `Event::Listed`.
    LoadListed {
        /// Of which group.
        group: GroupNumber,
        /// Behind which account.
        after: Option<AccountId>,
        /// At most so many; fewer are the last.
        max: usize,
        /// Echoed in the answer: for which visitor of the group's address it is read; none: for the room.
        visit: Option<u64>,
    },
    /// Answer a command.
    Reply {
        /// Which.
        id: CommandId,
        /// What came of it.
        reply: Reply,
    },
    /// Answer whoever visited a group's address.
    Answer {
        /// Who.
        caller: Caller,
        /// What.
        answer: VisitAnswer,
    },
    /// Something that an administrator should know; the shell logs it.
    Report(Report),
}

/// What our occupants do in a room.
#[derive(Debug, Clone)]
pub enum RoomAction {
    /// Enter without history (XEP-0045 section 7.2; `maxstanzas='0'`).
    Enter {
        /// Who.
        mouth: Mouth,
        /// The nick asked for.
        nick: Nick,
    },
    /// Leave; harmless when not in.
    Leave {
        /// Who.
        mouth: Mouth,
    },
    /// Say a group message.
    Say {
        /// Who.
        mouth: Mouth,
        /// Its id (and origin-id), by which the reflection is known.
        id: MessageId,
        /// A payload as it crossed, mentions already resolved.
        payload: Bytes,
        /// Put before every body: "Alice (Acme): " when the ear speaks for a person, or "[late] ".
        prefix: Option<Arc<str>>,
        /// The original time, when the message comes late (XEP-0203).
        delay: Option<Timestamp>,
    },
    /// Tell one occupant something in private, from the ear or from the puppet that was addressed.
    Tell {
        /// Who tells.
        mouth: Mouth,
        /// Whom.
        nick: Nick,
        /// What.
        text: String,
    },
    /// Send a member something of the group, from the group's number to their own address; type `chat`, so that a server keeps it for
    /// whoever is offline.
    Send {
        /// Which group.
        group: GroupNumber,
        /// To whom.
        to: BareJid,
        /// Its id: the same whenever it is sent again.
        id: MessageId,
        /// A payload, mentions already resolved.
        payload: Bytes,
        /// Put before every body: who said it.
        prefix: Option<Arc<str>>,
        /// When it was said (XEP-0203).
        delay: Option<Timestamp>,
    },
    /// Ask a member's server for their presence, for the group's number (RFC 6121 section 4.3).
    Probe {
        /// Which group.
        group: GroupNumber,
        /// Whose.
        to: BareJid,
    },
    /// Set the room's subject (XEP-0045 section 8.1).
    SetSubject {
        /// Who sets it.
        mouth: Mouth,
        /// To what.
        text: String,
    },
    /// disco#info of the room.
    Info {
        /// Echoed in the answer.
        request: RequestId,
    },
    /// Read one page of the archive, as the ear in its present life (some servers show real JIDs to that full JID only).
    ReadArchive {
        /// Echoed in the answer.
        request: RequestId,
        /// The ear.
        ear: Mouth,
        /// Where to start.
        from: ReadFrom,
        /// Most results; a server may give fewer.
        max: u32,
    },
    /// Self-ping of one of ours (XEP-0410).
    Ping {
        /// Echoed in the answer.
        request: RequestId,
        /// Who.
        mouth: Mouth,
    },
    /// Any harmless iq to the room: its answer (result or error alike) proves that the room has worked off everything
    /// that was sent before it on this connection.
    Fence {
        /// Echoed in the answer.
        request: RequestId,
    },
    /// Give one of ours the affiliation member.
    SetMember {
        /// Echoed in the answer.
        request: RequestId,
        /// Who.
        who: Who,
    },
    /// The accounts that have an affiliation (XEP-0045 sections 9.5, 9.8, 10.5, 10.8). Rooms tell their owners and admins to owners
    /// only.
    ReadAffiliations {
        /// Echoed in the answer.
        request: RequestId,
        /// Which.
        affiliation: Affiliation,
    },
    /// Give an account an affiliation, or take it. Who loses it in a room for members only is put out by the room.
    SetAffiliation {
        /// Echoed in the answer.
        request: RequestId,
        /// Whose: an account of a server, none of ours.
        account: BareJid,
        /// Which.
        affiliation: Affiliation,
    },
    /// Let only members into the room, and nobody who was one; everything else in its configuration stays as it is. For owners
    /// only. Done, too, when the room is so already.
    MakeMembersOnly {
        /// Echoed in the answer.
        request: RequestId,
    },
    /// Put an occupant out of the room (XEP-0045 section 8.2).
    PutOut {
        /// Echoed in the answer.
        request: RequestId,
        /// Whom.
        nick: Nick,
    },
}

/// Which page of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadFrom {
    /// The oldest results not older than `start` by the server's own clock, behind the result `after` of the page before
    /// (XEP-0313 section 4.1.2 with XEP-0059 paging). Reads begin at a stamp, because an unknown id is answered from
    /// anywhere, or with an empty page, by some servers.
    Start {
        /// The oldest stamp wanted; none: from the beginning.
        start: Option<Timestamp>,
        /// The last id of the page before.
        after: Option<StanzaId>,
    },
    /// The newest results (XEP-0059 section 2.5, an empty `<before/>`), in the archive's order all the same.
    Latest,
}

/// What came of a command.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Done.
    Done,
    /// The group and its room here, if mapped.
    Group(GroupInfo, Option<RoomJid>),
    /// All groups.
    Groups(Vec<(GroupInfo, Option<RoomJid>)>),
    /// How members get what they have missed, and who has missed what.
    Offline(super::status::OfflineStatus, Vec<super::status::AbsenceStatus>),
    /// A page of a group's user list.
    Members(Listing),
    /// The bridge's figures.
    Status(super::status::Status),
    /// Refused.
    Refused {
        /// Why, where the table has a row for it.
        condition: Option<Condition>,
        /// In words: what happened, what it means, what to do.
        text: String,
    },
}

/// Something that an administrator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Of which room, if of one.
    pub room: Option<RoomJid>,
    /// How bad it is.
    pub level: Level,
    /// What happened, what it means, what to do.
    pub text: String,
}

/// How bad a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody must act.
    Alarm,
}
