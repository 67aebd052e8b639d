//! What crosses the link between a gateway and the center: one stanza a WebSocket text frame, in the manner of RFC 7395.
//!
//! In: bytes of one frame. Out: one of the types below, and back. The payload of `relay` and `deliver` stays bytes: its
//! well-formedness, depth, size and characters are checked in the same pass that finds its end, and no tree is built.
//! Never here: sockets, clocks, and any opinion on what people say.

mod control;
pub mod decode;
pub mod encode;
mod node;
pub mod payload_check;
mod request;
mod scan;
mod timestamp;
mod write;

pub use write::push_escaped;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use request::{GroupInfo, MemberInfo, Request, RequestBody, Response, ResponseBody};

use crate::conditions::Condition;
use crate::ids::{
    DisplayName, EnterpriseId, Epoch, GatewayName, GroupNumber, HistoryHash, Incarnation, ListDigest, ListVersion, N,
    OriginKey, Seq, SourceId, UserId,
};
use crate::list::{AccountEdit, Policy};

/// The namespace of the link's stanzas; its last part is the major version.
pub const NAMESPACE: &str = "urn:intergroup:link:1";
/// The WebSocket subprotocol (RFC 6455 section 1.9) and the HTTP path at which the link is opened.
pub const SUBPROTOCOL: &str = "intergroup-link";
/// See [`SUBPROTOCOL`].
pub const PATH: &str = "/link";
/// The newest minor version spoken by this code.
pub const VERSION: u16 = 1;
/// The oldest minor version still understood.
pub const OLDEST_VERSION: u16 = 1;

/// A moment, in milliseconds since 1970 UTC; written as XEP-0082 with milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

// ---------------------------------------------------------------- gateway to center

/// Every stanza that a gateway sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToCenter {
    /// First stanza of a link.
    Hello(Hello),
    /// A message on its way to a group.
    Relay(Relay),
    /// An edit of a group's user list, in the same order as messages.
    Edit(Edit),
    /// From which seq a group's stream is to start, or to start anew.
    Resume(Resume),
    /// What became of the messages delivered.
    Settled(Settled),
    /// Link credit given back.
    Credit(Credit),
    /// Decisions that the gateway has on disk, so that the center may forget the refusals among them.
    Confirm(Confirm),
    /// A request of an administrator or of the gateway itself.
    Request(Request),
}

/// Who the gateway is (the certificate says so, this is only software) and what it remembers of each group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Highest minor version the gateway speaks.
    pub version: u16,
    /// Name and version of its software, for the operator's eyes.
    pub software: String,
    /// What it remembers of each mapped group.
    pub groups: Vec<HelloGroup>,
}

/// A gateway's memory of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelloGroup {
    /// The group.
    pub group: GroupNumber,
    /// The life of the log that `cursor` and `hash` belong to; none before the first welcome.
    pub incarnation: Option<Incarnation>,
    /// The last entry of the group's stream that it has: settled, or on its way into the room.
    pub cursor: Seq,
    /// The running hash there.
    pub hash: HistoryHash,
    /// The last entry that has its outcome in the room; at most `cursor`.
    pub settled: Seq,
    /// Older places that it remembers, newest first, with the running hash at each: should the log have forked, they
    /// tell how far back both histories are the same. At most [`crate::limits::HELLO_PLACES`].
    pub places: Vec<(Seq, HistoryHash)>,
    /// Its present epoch.
    pub epoch: Epoch,
    /// The last n that it gave in that epoch (0: none).
    pub last_n: N,
    /// This run of the gateway's process, by a random name; none for a gateway that does not give its runs names.
    pub run: Option<Incarnation>,
}

/// A message on its way from a room to a group. Its start tag is read without building a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// The group.
    pub group: GroupNumber,
    /// With `n`, the message's identity.
    pub epoch: Epoch,
    /// The center accepts only the next n of an epoch.
    pub n: N,
    /// Where the message stands in its room's archive; none for what no archive keeps (relayed at most once).
    pub source: Option<SourceId>,
    /// The list version that was announced in the room when the message was said.
    pub list: ListVersion,
    /// The author.
    pub user: UserId,
    /// The author's nick in the room.
    pub nick: DisplayName,
    /// When it was said, by the clock of the room's server.
    pub at: Timestamp,
    /// Found in the archive after later ones had gone: shown as late.
    pub late: bool,
    /// The children, as UTF-8 XML of any number of elements (see the payload table); well-formed, within limits.
    pub payload: Bytes,
}

/// An edit of the gateway's enterprise's part of a group's user list. It has its n among the gateway's messages, so that both
/// sides judge every message by the same list, and is decided like one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The group.
    pub group: GroupNumber,
    /// With `n`, the edit's identity.
    pub epoch: Epoch,
    /// See [`Relay::n`].
    pub n: N,
    /// Whose part is edited; the center takes only the enterprise of the certificate.
    pub enterprise: EnterpriseId,
    /// The list version on which it was based.
    pub base: ListVersion,
    /// Each account at most once; see [`crate::list::check`]. None: the enterprise has nobody on the list (yet).
    pub accounts: Vec<AccountEdit>,
}

/// Start (or start anew) a group's stream behind `after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The group.
    pub group: GroupNumber,
    /// The first entry sent is `after + 1`.
    pub after: Seq,
}

/// Everything up to `upto` has its outcome: `applied`, but for the named. Cumulative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The group.
    pub group: GroupNumber,
    /// The last settled entry.
    pub upto: Seq,
    /// Those at most `upto`, named for the first time or again, that did not enter the room.
    pub refused: Vec<(Seq, OriginKey, Condition)>,
}

/// `count` more deliveries are in the gateway's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// How many stanzas of groups' streams (deliver, own, skip, entry).
    pub count: u32,
}

/// The gateway has the decisions up to `n` on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirm {
    /// The group.
    pub group: GroupNumber,
    /// The epoch.
    pub epoch: Epoch,
    /// The last decision on disk.
    pub n: N,
}

// ---------------------------------------------------------------- center to gateway

/// Every stanza that the center sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToGateway {
    /// Answer to [`Hello`].
    Welcome(Welcome),
    /// What the center decided on messages of the gateway.
    Decided(Decided),
    /// Relayed n that is not the next: the gateway goes on from `n`.
    Expect(Expect),
    /// A group's stream starts (anew) behind `after`; what came of it before no longer counts.
    Resumed(Resume),
    /// A message of another gateway.
    Deliver(Deliver),
    /// In place of a message of the gateway's own.
    Own(Own),
    /// In place of entries that are not for the gateway.
    Skip(Skip),
    /// A change of the group.
    Entry(Entry),
    /// How far another member has come with a group, and what it refused of the gateway's messages.
    Fate(Fate),
    /// Answer to a [`Request`].
    Response(Response),
    /// The center ends the link, and why.
    Bye(Bye),
}

/// The center's answer to hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The version that both speak from here on.
    pub version: u16,
    /// Who the certificate says the gateway is.
    pub enterprise: EnterpriseId,
    /// Its name there.
    pub gateway: GatewayName,
    /// The enterprise's display name.
    pub display: DisplayName,
    /// Most stream stanzas that may be on their way without credit.
    pub credit: u32,
    /// Most entries of a group that may be unsettled.
    pub window: u32,
    /// Largest payload of a relay, in bytes.
    pub payload_bytes: u32,
    /// One for each group of hello, and each other group of which the gateway is a member.
    pub groups: Vec<WelcomeGroup>,
}

/// What the center remembers of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WelcomeGroup {
    /// The group.
    pub group: GroupNumber,
    /// Whether the gateway belongs to it.
    pub standing: Standing,
    /// The log's present life.
    pub incarnation: Incarnation,
    /// The last entry.
    pub head: Seq,
    /// How the gateway's history compares with the log's.
    pub history: History,
    /// The newest of the places named in hello up to which both are the same: the gateway's cursor unless they forked,
    /// 0 when none is known to be.
    pub common: Seq,
    /// The last n decided in the epoch that hello named (0: none).
    pub decided: N,
    /// The present list version.
    pub list: ListVersion,
    /// The digest of the list at that version.
    pub digest: ListDigest,
    /// The last entry of which the center knows that it has its outcome at the gateway: a store that is an older copy does
    /// not know it, and a room without archive cannot tell.
    pub settled: Seq,
    /// The run that named the group in the hello before this one, as far as the center remembers. Another one than the
    /// gateway's own last run: another copy of its store is, or was, at work.
    pub before: Option<Incarnation>,
}

/// Whether a gateway belongs to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It does.
    Member,
    /// It did, until it left or was made to.
    Left,
    /// The group has been deleted.
    Deleted,
    /// It never did, or the group never was. (The center does not tell which.)
    Unknown,
}

/// How a gateway's history of a group compares with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum History {
    /// The log continues the gateway's history.
    Same,
    /// The log no longer reaches back to the cursor; it cannot be compared.
    Trimmed,
    /// The log is shorter than the gateway's history, or different: the center lost its tail or was restored. Entries
    /// are recognised by origin key; the gateway feeds back what it has.
    Forked,
}

/// The center's decisions on a gateway's messages, cumulative: all up to `n` are stored, but for the refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The group.
    pub group: GroupNumber,
    /// The epoch.
    pub epoch: Epoch,
    /// The last n decided.
    pub n: N,
    /// The refused of those not yet confirmed.
    pub refused: Vec<(N, Condition)>,
}

/// The center needs `n` next: a gap, or the n given was used for another message (`fork`: take a new epoch).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// The group.
    pub group: GroupNumber,
    /// The epoch.
    pub epoch: Epoch,
    /// The next n.
    pub n: N,
    /// The n of a message was given before to a message with another source.
    pub fork: bool,
}

/// A message of another gateway; the same bytes for every receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deliver {
    /// The group.
    pub group: GroupNumber,
    /// Its place there.
    pub seq: Seq,
    /// The author's enterprise, from the origin link's certificate.
    pub enterprise: EnterpriseId,
    /// The message's identity.
    pub key: OriginKey,
    /// See [`Relay::list`].
    pub list: ListVersion,
    /// The author.
    pub user: UserId,
    /// The author's nick at home.
    pub nick: DisplayName,
    /// When it was said.
    pub at: Timestamp,
    /// See [`Relay::late`].
    pub late: bool,
    /// See [`Relay::payload`].
    pub payload: Bytes,
}

/// The gateway's own message has the place `seq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// The group.
    pub group: GroupNumber,
    /// Its place there.
    pub seq: Seq,
    /// The message's identity.
    pub key: OriginKey,
}

/// Entries that are not for this gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// The group.
    pub group: GroupNumber,
    /// The first of them.
    pub from: Seq,
    /// The last of them.
    pub to: Seq,
    /// Why.
    pub reason: SkipReason,
    /// The running hash after `to`.
    pub hash: HistoryHash,
}

/// Why entries are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// They were kept for as long and as much as configured, and are gone. Told in the room.
    Expired,
    /// They were said before the gateway's enterprise was announced in the room they come from.
    BeforeYouJoined,
    /// They were lost when the center was restored or failed over, and nobody fed them back. Told in the room.
    Lost,
}

/// A change of the group at a place in its sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The group.
    pub group: GroupNumber,
    /// Its place.
    pub seq: Seq,
    /// The list version from here on.
    pub list: ListVersion,
    /// What changed.
    pub change: Change,
}

/// What can change in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A gateway became a member.
    Joined {
        /// Its enterprise.
        enterprise: EnterpriseId,
        /// Its name there.
        gateway: GatewayName,
        /// The enterprise's display name.
        display: DisplayName,
    },
    /// A gateway is no longer a member.
    Left {
        /// Its enterprise.
        enterprise: EnterpriseId,
        /// Its name there.
        gateway: GatewayName,
        /// The enterprise's display name.
        display: DisplayName,
    },
    /// The group has ended; nothing follows.
    Deleted {},
    /// Accounts of an enterprise were added, changed or removed.
    Listed {
        /// Whose.
        enterprise: EnterpriseId,
        /// Which; never more than one edit may name.
        accounts: Vec<AccountEdit>,
        /// The digest of the whole list from here on.
        digest: ListDigest,
    },
    /// All accounts of an enterprise were removed, since its last gateway is no longer a member.
    Unlisted {
        /// Whose.
        enterprise: EnterpriseId,
        /// The digest of the whole list from here on.
        digest: ListDigest,
    },
    /// Name, description, subject or policy have changed; these are the present ones.
    Described(About),
    /// The group belongs to another enterprise.
    Owned {
        /// The owner from here on.
        enterprise: EnterpriseId,
    },
    /// The center's operator has suspended a member enterprise: nothing of it comes until it is resumed.
    Suspended {
        /// Which.
        enterprise: EnterpriseId,
    },
    /// A suspended member enterprise is back.
    Resumed {
        /// Which.
        enterprise: EnterpriseId,
    },
}

/// What a group says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// What people call it; at most [`crate::limits::GROUP_NAME_BYTES`].
    pub name: String,
    /// What it is for; at most [`crate::limits::GROUP_TEXT_BYTES`].
    #[serde(default)]
    pub description: String,
    /// What is being talked about; at most as long.
    #[serde(default)]
    pub subject: String,
    /// Who may speak.
    #[serde(default)]
    pub policy: Policy,
}

/// What became of messages at another member: all up to `upto` have their outcome there; of the gateway's own messages,
/// those named did not enter the room. Cumulative; told from time to time, at once when something was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// The group.
    pub group: GroupNumber,
    /// The member's enterprise.
    pub enterprise: EnterpriseId,
    /// Its gateway.
    pub gateway: GatewayName,
    /// The last settled entry there.
    pub upto: Seq,
    /// The gateway's own messages that were refused there.
    pub refused: Vec<(OriginKey, Condition)>,
}

/// The link's last stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bye {
    /// Why.
    pub condition: Condition,
    /// The same in words.
    pub text: String,
}
