//! Typed identifiers. Each says where it is unique and who may look inside; parsing happens once, at the edge.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits;

/// Why a piece of text is not a valid identifier. The text says what is allowed, so that it can be shown as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} is not valid: {rule}")]
pub struct InvalidId {
    /// The kind of identifier, as a noun ("enterprise id").
    pub what: &'static str,
    /// What was given, cut to a length that is safe to show.
    pub given: String,
    /// What would have been accepted.
    pub rule: &'static str,
}

fn invalid(what: &'static str, given: &str, rule: &'static str) -> InvalidId {
    InvalidId { what, given: given.chars().take(64).collect(), rule }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(s: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> bool = $check;
                if check(s) { Ok(Self(Arc::from(s))) } else { Err(invalid($what, s, $rule)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(s: String) -> Result<Self, InvalidId> {
                s.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", &self.0)
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The number after this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(s: &str) -> Result<Self, InvalidId> {
                let plain = !s.is_empty() && s.len() <= 19 && s.bytes().all(|b| b.is_ascii_digit());
                match s.parse() {
                    Ok(n) if plain => Ok(Self(n)),
                    _ => Err(invalid($what, s, "a decimal number without sign, of at most 19 digits")),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

fn is_slug(s: &str) -> bool {
    (1..=limits::ID_BYTES).contains(&s.len())
        && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !s.starts_with('-')
        && !s.ends_with('-')
}

fn is_visible_text(s: &str, max_bytes: usize) -> bool {
    // U+FFFE and U+FFFF are no characters of XML.
    (1..=max_bytes).contains(&s.len()) && !s.chars().any(|c| c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}'))
}

text_id! {
    /// One company (`acme`). Unique in a center, chosen by its operator, never reused.
    EnterpriseId, "enterprise id", is_slug, "1 to 32 of a-z, 0-9 and -, not beginning or ending with -"
}
text_id! {
    /// One gateway of an enterprise (`main`). Unique in its enterprise.
    GatewayName, "gateway name", is_slug, "1 to 32 of a-z, 0-9 and -, not beginning or ending with -"
}
text_id! {
    /// A person within an enterprise: the local part in the enterprise's first domain, the bare JID in its others.
    UserId, "user id", |s| is_visible_text(s, limits::USER_ID_BYTES) && !s.contains(['/', ' ']),
    "1 to 512 bytes without spaces, slashes and control characters"
}
text_id! {
    /// One run of numbers of one gateway: a new epoch starts whenever the gateway cannot prove that it remembers
    /// every `n` it gave. Random, hence unique in the whole system.
    Epoch, "epoch", |s| (1..=16).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
    "1 to 16 of a-z and 0-9"
}
text_id! {
    /// One life of a group's log. Changes when a center was restored or lost its tail, so that positions of two
    /// lives are never taken for each other.
    Incarnation, "incarnation", |s| (1..=16).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
    "1 to 16 of a-z and 0-9"
}
text_id! {
    /// Where a message stood in its room's archive: `ROOM:STANZA-ID`, ROOM a short hash of the room's JID. Unique per
    /// gateway. The center compares it and never looks inside.
    SourceId, "source id", |s| is_visible_text(s, limits::SOURCE_ID_BYTES), "1 to 256 bytes without control characters"
}
text_id! {
    /// A name to show for a person: the nick it had in its room.
    DisplayName, "display name", |s| is_visible_text(s, limits::DISPLAY_NAME_BYTES),
    "1 to 256 bytes without control characters"
}

number_id! {
    /// A group's number (`10001`), given by the center, never reused.
    GroupNumber, "group number"
}
number_id! {
    /// A place in a group's log; the first entry is 1, and 0 stands for "before the first".
    Seq, "seq"
}
number_id! {
    /// A gateway's own count of what it relayed to one group in one epoch; the first is 1.
    N, "n"
}
number_id! {
    /// The version of a group's list; it only grows, and 0 stands for "none yet".
    ListVersion, "list version"
}

impl DisplayName {
    /// The name that remains of any text when what could deceive or disturb the eye is neutralised (see
    /// [`crate::text::neutral`]); none when nothing remains.
    #[must_use]
    pub fn neutral(text: &str) -> Option<Self> {
        crate::text::neutral(text, limits::DISPLAY_NAME_BYTES).and_then(|name| name.parse().ok())
    }
}

/// A gateway in the whole system: which enterprise, and which of its gateways. Comes from a certificate, never from a
/// stanza.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GatewayId {
    /// The enterprise that runs it.
    pub enterprise: EnterpriseId,
    /// Its name there.
    pub gateway: GatewayName,
}

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.enterprise, self.gateway)
    }
}

impl fmt::Debug for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for GatewayId {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        let (enterprise, gateway) =
            s.split_once('/').ok_or_else(|| invalid("gateway id", s, "ENTERPRISE/GATEWAY, as in acme/main"))?;
        Ok(Self { enterprise: enterprise.parse()?, gateway: gateway.parse()? })
    }
}

/// The identity of a message for ever, within its group and enterprise: `EPOCH.N`. Its seq is only its position.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginKey {
    /// The epoch in which the origin gateway numbered it.
    pub epoch: Epoch,
    /// Its number there.
    pub n: N,
}

impl fmt::Display for OriginKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.n)
    }
}

impl fmt::Debug for OriginKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for OriginKey {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        let (epoch, n) = s.split_once('.').ok_or_else(|| invalid("origin key", s, "EPOCH.N, as in k7.34"))?;
        Ok(Self { epoch: epoch.parse()?, n: n.parse()? })
    }
}

impl TryFrom<String> for OriginKey {
    type Error = InvalidId;
    fn try_from(s: String) -> Result<Self, InvalidId> {
        s.parse()
    }
}

impl From<OriginKey> for String {
    fn from(key: OriginKey) -> String {
        key.to_string()
    }
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(s: &str) -> Result<Self, InvalidId> {
                hex(s).map(Self).ok_or_else(|| invalid($what, s, "32 hexadecimal digits, in lower case"))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(s: String) -> Result<Self, InvalidId> {
                s.parse()
            }
        }

        impl From<$name> for String {
            fn from(hash: $name) -> String {
                hash.to_string()
            }
        }
    };
}

fn hex(s: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if s.len() != 32 || !s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(s.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

hash_id! {
    /// The running hash of a group's log up to and including one entry (the first 16 bytes of a SHA-256 chain over each
    /// entry's seq and identity, see `history`). Two logs with the same hash at a seq have the same entries up to there.
    HistoryHash, "history hash"
}
hash_id! {
    /// What a group's user list comes to: the sum, modulo 2^128, of the first 16 bytes of a SHA-256 of each account on it
    /// (see `list`). Two lists with the same digest name the same accounts, with the same names and roles.
    ListDigest, "list digest"
}

/// An account in the whole system: `ENTERPRISE/USER`, as in `acme/alice`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId {
    /// The enterprise.
    pub enterprise: EnterpriseId,
    /// The person there.
    pub user: UserId,
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.enterprise, self.user)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for AccountId {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        let (enterprise, user) =
            s.split_once('/').ok_or_else(|| invalid("account", s, "ENTERPRISE/USER, as in acme/alice"))?;
        Ok(Self { enterprise: enterprise.parse()?, user: user.parse()? })
    }
}

impl TryFrom<String> for AccountId {
    type Error = InvalidId;
    fn try_from(s: String) -> Result<Self, InvalidId> {
        s.parse()
    }
}

impl From<AccountId> for String {
    fn from(id: AccountId) -> String {
        id.to_string()
    }
}
