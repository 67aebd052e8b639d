//! The table of conditions: everything that can be refused, what it means, and whom it tells what.

use serde::{Deserialize, Serialize};

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident = $wire:literal, $author:expr, $admin:literal;)*) => {
        /// Why something was refused. One row of the table each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Condition {
            $($(#[$doc])* $name,)*
        }

        impl Condition {
            /// Every row.
            pub const ALL: &'static [Condition] = &[$(Condition::$name,)*];

            /// The name on the wire, in counters and in logs.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Condition::$name => $wire,)* }
            }

            /// The condition of that name.
            #[must_use]
            pub fn from_wire(name: &str) -> Option<Condition> {
                match name { $($wire => Some(Condition::$name),)* _ => None }
            }

            /// What the author of a message is told privately in the room; none where no person's message is concerned.
            #[must_use]
            pub fn author_text(self) -> Option<&'static str> {
                match self { $(Condition::$name => $author,)* }
            }

            /// What administrators are told: what happened, what it means, what to do.
            #[must_use]
            pub fn admin_text(self) -> &'static str {
                match self { $(Condition::$name => $admin,)* }
            }
        }
    };
}

conditions! {
    /// The payload is not well-formed XML, or has characters that XML forbids.
    Malformed = "malformed",
        Some("it is not well-formed; send it again as plain text"),
        "A payload was not well-formed XML. The message was refused; the client that sent it has a fault.";
    /// A stanza, its depth or one of its parts is over a limit.
    TooLarge = "too-large",
        Some("it is too large; send less at once"),
        "A message was over the size or depth limit and was refused.";
    /// The stanza's version or form is not known.
    BadRequest = "bad-request",
        None,
        "A stanza was not understood. One of the two programs is older than the other: update it.";
    /// Hello and center share no version.
    UnsupportedVersion = "unsupported-version",
        None,
        "The gateway and the center have no protocol version in common: update the older of the two.";
    /// The group is unknown, deleted, or not the asking enterprise's business.
    UnknownGroup = "unknown-group",
        Some("the group no longer exists"),
        "There is no such group, or this enterprise has no part in it. `group list` shows those it has.";
    /// The gateway is not a member of the group.
    NotAMember = "not-a-member",
        Some("this room is not connected to the group any more"),
        "This gateway is not a member of the group. Join it with `group join NUMBER --room ROOM`.";
    /// Only the owner may do that.
    NotOwner = "not-owner",
        None,
        "Only the enterprise that owns the group may do this. `group show NUMBER` names the owner.";
    /// The enterprise is not among those that the owner allowed.
    NotAllowed = "not-allowed",
        None,
        "The group's owner has not allowed this enterprise. Ask for `group allow NUMBER ENTERPRISE`.";
    /// The list version named lies in the future.
    UnknownListVersion = "unknown-list-version",
        None,
        "A message named a list version that the center never gave: its store was restored from an older backup.";
    /// The author is not an account of the enterprise.
    ForeignAuthor = "foreign-author",
        Some("only members of this company can speak to the other companies from this room"),
        "Somebody from another server spoke in a mapped room. Add the domain to the enterprise's domains if it is yours.";
    /// The author is not on the group's user list.
    NotOnList = "not-on-list",
        Some("you are not on the group's user list; ask your administrator to add you to it"),
        "Somebody spoke who is not on the group's user list. `member add NUMBER ACCOUNT` adds a person, or make them a member of the room.";
    /// The author may read and not speak.
    ReadOnly = "read-only",
        Some("you may read in this group but not speak; ask your administrator for the right to speak"),
        "Somebody spoke who may only read in the group. `member role NUMBER ACCOUNT speak` lets a person speak.";
    /// An edit of a list names another enterprise's accounts.
    NotYours = "not-yours",
        None,
        "An edit of a user list was for the accounts of another enterprise, and was refused: each enterprise edits its own.";
    /// An edit of a list names what is no account, names one twice, or names too many.
    InvalidAccount = "invalid-account",
        None,
        "An edit of a user list named what is no account, an account twice, or too many at once, and was refused as a whole.";
    /// A list has no room for another account.
    ListFull = "list-full",
        None,
        "The group's user list has as many accounts as it can hold. Remove some, or use another group.";
    /// The author of an archived message cannot be known.
    UnknownAuthor = "unknown-author",
        Some("it was said while the bridge could not see who you are; say it again"),
        "An archived message names neither a JID nor a known occupant-id. Make the room show JIDs to anyone (whois).";
    /// The content is encrypted for the people in the room alone.
    Encrypted = "encrypted",
        Some("encrypted messages stay in this room; turn encryption off to reach the other companies"),
        "A message encrypted for the room alone was not relayed.";
    /// The kind of content does not cross.
    UnsupportedContent = "unsupported-content",
        Some("this kind of message cannot be passed on"),
        "A message had nothing that the payload table lets cross.";
    /// The author says more in a time than the gateway's rate lets through.
    TooFast = "too-fast",
        Some("it came too fast after others of yours; wait a little, then say it again"),
        "A person said more in a room than `author_rate` in gateway.toml lets through. A program that speaks there may need a higher rate.";
    /// The receiving room refused the message.
    RefusedByRoom = "refused-by-room",
        Some("the room of the other company refused it"),
        "The room's server answered with an error. The gateway's log names it.";
    /// The receiving room's moderators banned the author.
    Banned = "banned",
        Some("you have been banned from the other company's room"),
        "A moderator banned this person's puppet. Lift the ban in the room's settings to let the person speak again.";
    /// The receiving room's moderators kicked the author a short while ago.
    Kicked = "kicked",
        Some("a moderator of the other company has muted you for a while"),
        "A moderator kicked this person's puppet; the person is quiet in that room for a while.";
    /// The server ended the component's stream for this message, twice.
    Poisonous = "poisonous",
        Some("the other company's server cannot take it"),
        "The server closed the component link when it got this message, twice. It was set aside.";
    /// It was kept for as long and as much as configured, and is gone.
    Expired = "expired",
        Some("the other company was away for too long; it was not kept"),
        "Entries were dropped by the retention set in the center's configuration before this gateway took them.";
    /// The enterprise is suspended.
    Suspended = "suspended",
        None,
        "The center's operator has suspended this enterprise. Ask the operator; nothing is lost meanwhile.";
    /// The enterprise was removed.
    Removed = "removed",
        None,
        "The center's operator has removed this enterprise. Ask the operator for a new enrolment.";
    /// The certificate is not (or no longer) one that the center accepts.
    BadCertificate = "bad-certificate",
        None,
        "The certificate is expired, replaced or from another authority. Enrol again: nothing queued is lost.";
    /// The enrolment code is wrong, used or expired.
    BadCode = "bad-code",
        None,
        "The enrolment code is wrong, was used, or has expired. Ask the center's operator for a new one.";
    /// A newer link of the same gateway took the place of this one.
    Replaced = "replaced",
        None,
        "Another process opened a link with the same certificate. Run only one process for each gateway.";
    /// The peer sent more than its window, rate or credit allows.
    OverLimit = "over-limit",
        None,
        "A peer sent more than it may. The link was closed and will be opened again.";
    /// The store cannot take anything now.
    StoreUnavailable = "store-unavailable",
        None,
        "The store cannot be written (disk full?). Nothing was acknowledged, so nothing is lost; free some space.";
    /// The program is shutting down.
    ShuttingDown = "shutting-down",
        None,
        "The center is being restarted. Gateways connect again by themselves.";
}
