//! Every bound of the bridge, in one place. Times are milliseconds.

use intergroup_schemas::rate::Rate;

/// Most messages said in a room and not yet reflected. The server buffers them: some take everything off the wire and slow
/// down with what they hold.
pub(super) const UNREFLECTED: usize = 64;
/// A message without reflection after this long is in doubt: the room is fenced and its archive looked up.
pub(super) const REFLECTED_WITHIN: i64 = 30_000;
/// Who has not come in after this long is taken for kept out.
pub(super) const ENTERED_WITHIN: i64 = 20_000;
/// How often a message that a room refused is tried before that is its outcome.
pub(super) const TRIES: u32 = 3;

/// The archive is read again this often, though live copies seem complete,
pub(super) const READ_AGAIN_EVERY: i64 = 60_000;
/// or when so many live messages were dealt with, since each is remembered until then;
pub(super) const READ_AGAIN_AFTER: u64 = 10_000;
/// or this often while the live stream is shared with another connection.
pub(super) const POLL_EVERY: i64 = 1_000;
/// Results asked for in one page; a server may give fewer.
pub(super) const PAGE: u32 = 500;
/// A read begins so much before the stamp of its place: some servers' stamps are whole seconds.
pub(super) const OVERLAP: i64 = 2_000;
/// Live messages held while the archive is being read; more are left to the next read.
pub(super) const HELD: usize = 20_000;
/// An archive that names no authors is read anew so often, in case that it only takes us for absent.
pub(super) const NAMELESS_READS: u32 = 3;
/// A checkpoint is made at most this often.
pub(super) const CHECKPOINT_EVERY: i64 = 20_000;
/// What was in a server's archive for so long is durable there, whatever the archive is made of.
pub(super) const DURABLE_AFTER: i64 = 60_000;
/// Most checkpoints of a room.
pub(super) const CHECKPOINTS: usize = 16;

/// Undecided messages of a room; when there are more, its archive is where the rest waits.
pub(super) const OUTBOX_ROWS: u64 = 20_000;
/// Outbox rows read from the store at once.
pub(super) const LOAD_ROWS: usize = 512;
/// Messages of a room whose author is not known yet; more are refused.
pub(super) const PARKED: usize = 1_000;
/// Decided messages are kept so long, to feed back what a center lost.
pub(super) const KEEP_DECIDED: i64 = 6 * 3_600_000;
/// How finely that is measured.
pub(super) const KEEP_STEP: i64 = 600_000;
/// How long it is known which message of ours is which in the room.
pub(super) const KEEP_POSTED: i64 = 30 * 24 * 3_600_000;

/// What a person may say across from one room: more than hands can type, so that only programs meet it.
pub const AUTHOR_RATE: Rate = Rate { per_second: 20, burst: 200 };
/// Most people of a room whose pace is watched; who was silent longest makes way.
pub(super) const PACED: usize = 1_000;

/// Members of a group in one answer to a visitor of its address; the rest is counted, or follows on the next page.
pub(super) const MEMBERS_SHOWN: usize = 100;
/// Most visitors who wait for members at once; others are asked to come again.
pub(super) const VISITS_WAITING: usize = 64;
/// A message to a group's number that comes again within this time, with the same id, is the same message;
pub(super) const SAID_AGAIN_WITHIN: i64 = 60_000;
/// so many are known in each group.
pub(super) const SAID_KNOWN: usize = 4_096;

/// Accounts of user lists that memory holds over all rooms, some 80 bytes each; those of the list that was not needed for longest
/// make way, and come from the disk again.
pub(super) const LISTED_AT_HAND: usize = 250_000;
/// Rows of a list read from the store at once.
pub(super) const LISTED_ROWS: usize = 2_000;
/// What changed in a list is asked for this often, though the stream brings it.
pub(super) const LIST_CHECK_EVERY: i64 = 5 * 60_000;

/// The room's own lists of affiliations are read again this often, though the room tells what changes in them.
pub(super) const LISTS_EVERY: i64 = 5 * 60_000;
/// Affiliations that are being set in one room at a time.
pub(super) const AFFILIATIONS_AT_ONCE: usize = 16;
/// Where whoever comes is a member, who was not seen for so many days is not any more.
pub const UNSEEN_DAYS: u32 = 30;

/// What is kept for members who are away, in each room, unless `gateway.toml` says otherwise: messages,
pub const OFFLINE_MESSAGES: u64 = 20_000;
/// bytes,
pub const OFFLINE_BYTES: u64 = 32 * 1024 * 1024;
/// and days.
pub const OFFLINE_DAYS: u32 = 30;
/// Messages that a room shows to whoever comes in; what Prosody and ejabberd do by default.
pub const JOIN_HISTORY: usize = 20;
/// What is kept goes by parts as large as this part of the bound.
pub(super) const KEPT_PARTS: u64 = 16;
/// Spans that a person has missed are kept apart up to so many.
pub(super) const SPANS: usize = 32;
/// What nobody has missed is let go of this often.
pub(super) const TRIM_EVERY: i64 = 60_000;
/// Messages that go to a person before the server is asked whether it has taken them,
pub(super) const PORTION: usize = 64;
/// and people of a room who are sent to at a time.
pub(super) const DELIVERIES: usize = 8;
/// What a person's server refused is tried again after this long, or when the person is back.
pub(super) const REFUSED_FOR: i64 = 5 * 60_000;
/// The room is told that what is said waits when the link has been down for so long.
pub(super) const WAITS_AFTER: i64 = 10_000;

/// Most puppets in one room; the one that was silent longest makes way.
pub(super) const PUPPETS: usize = 100;
/// A puppet that was silent for so long leaves.
pub(super) const PUPPET_IDLE: i64 = 30 * 60_000;
/// How long a kick keeps a person quiet.
pub(super) const MUTED_FOR: i64 = 10 * 60_000;
/// How long a person counts as banned before it is tried again.
pub(super) const BANNED_FOR: i64 = 5 * 60_000;
/// How long the ear speaks for a person who could not come in.
pub(super) const EAR_SPEAKS_FOR: i64 = 5 * 60_000;

/// What went wrong for a moment is tried again after this long,
pub(super) const RETRY: i64 = 2_000;
/// and what an administrator must look at after this long.
pub(super) const PARKED_RETRY: i64 = 30_000;
/// An author is told of further messages of one kind this often.
pub(super) const NOTICE_EVERY: i64 = 60_000;

/// Refusals by our rooms that are named again on a new link.
pub(super) const REFUSED_KEPT: usize = intergroup_schemas::limits::REFUSED_PER_STANZA;
/// Members of whom it is kept up to where their refusals were told.
pub(super) const FATES_KEPT: usize = 256;
/// Entries that come again after a break are told as settled, and credit is given back, whenever so small a part of the
/// window or of the credit that the center announced has been used,
pub(super) const PARTS: u32 = 8;
/// or, for credit, so many bytes.
pub(super) const CREDIT_BYTES: usize = intergroup_schemas::limits::LINK_CREDIT_BYTES / 8;
/// After the server ended the stream for something that we said, so many messages are said one at a time.
pub(super) const CAUTIOUS_FOR: u32 = 200;
/// So many deaths of the stream convict the message that was under way.
pub(super) const DEATHS: u32 = 2;
