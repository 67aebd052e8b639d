//! Every bound that two processes share, with its unit last in its name and what a larger value would cost.

/// Longest enterprise id and gateway name. They stand in certificates and in every delivered message.
pub const ID_BYTES: usize = 32;
/// Longest user id: a bare JID at most, of which RFC 7622 would allow 2047; every message carries one.
pub const USER_ID_BYTES: usize = 512;
/// Longest display name of a person or an enterprise.
pub const DISPLAY_NAME_BYTES: usize = 256;
/// Longest name of a group.
pub const GROUP_NAME_BYTES: usize = 256;
/// Longest source id. The center keeps one (hashed) for each message.
pub const SOURCE_ID_BYTES: usize = 256;
/// Largest payload of a message. Servers close a component's stream at 512 KiB (Prosody's default) and take 256 KiB
/// from people; a window of these is what a slow room can cost in memory.
pub const PAYLOAD_BYTES: usize = 128 * 1024;
/// Deepest nesting of elements in a payload.
pub const PAYLOAD_DEPTH: usize = 16;
/// Largest frame on the link: a payload and a generous envelope, or a page of control data.
pub const FRAME_BYTES: usize = PAYLOAD_BYTES + 32 * 1024;
/// Most stream stanzas on their way to a gateway without credit. The gateway must be able to hold them.
pub const LINK_CREDIT: u32 = 4096;
/// Most bytes of stream stanzas on their way to a gateway without credit; never below [`FRAME_BYTES`].
pub const LINK_CREDIT_BYTES: usize = 4 * 1024 * 1024;
/// Most unsettled entries of one group at one gateway.
pub const GROUP_WINDOW: u32 = 1024;
/// Most relayed but undecided messages of one gateway in one group.
pub const RELAY_WINDOW: u32 = 1024;
/// Most refusals named in one `settled`, `decided` or `fate`; the rest follow in the next.
pub const REFUSED_PER_STANZA: usize = 64;
/// Most groups a gateway may be a member of.
pub const GROUPS_PER_GATEWAY: usize = 500;
/// How long an enrolment code is good, in hours.
pub const ENROLMENT_HOURS: u64 = 72;
/// How long a gateway's certificate is good, in days. It is renewed when a third of it is left.
pub const CERTIFICATE_DAYS: u64 = 90;
/// A link on which nothing was heard is pinged after this many seconds,
pub const LINK_PING_S: u64 = 15;
/// and ended after this many.
pub const LINK_DEAD_S: u64 = 45;
/// Most older places that a hello names for each group; spaced exponentially, they reach back over any log.
pub const HELLO_PLACES: usize = 24;
/// Most attributes of one element of a payload. They are compared with each other, each with each.
pub const PAYLOAD_ATTRIBUTES: usize = 32;
/// Longest description and longest subject of a group.
pub const GROUP_TEXT_BYTES: usize = 1024;
/// Most accounts on the list of a group, of all enterprises together. The center and every member gateway hold a hundred
/// bytes of each in memory, and a row on disk.
pub const ACCOUNTS_PER_GROUP: usize = 200_000;
/// Most accounts that one edit of a list names; larger uploads are several edits.
pub const ACCOUNTS_PER_EDIT: usize = 256;
/// Most accounts on one page of a list.
pub const ACCOUNTS_PER_PAGE: usize = 1024;
/// Most bytes of accounts in one edit, and on one page (by `list::weight`); a frame holds them, however they are escaped.
pub const ACCOUNTS_BYTES: usize = 96 * 1024;
