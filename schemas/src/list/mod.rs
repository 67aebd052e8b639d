//! A group's user list: which accounts are on it, by enterprise, and what an account there may do.
//!
//! In: edits of enterprises, in the order in which the center took them. Out: whether an account may speak, and a digest by
//! which two lists are compared. Whoever judges authors keeps a [`Roster`]: the center does, and a reader that applies the
//! same edits comes to the same one. Never here: names for people's eyes in memory (they are on disk), sockets, clocks.

mod roster;

use ring::digest;
use serde::{Deserialize, Serialize};

pub use roster::{Roster, RowHash, UserKey};

use crate::conditions::Condition;
use crate::ids::{AccountId, DisplayName, EnterpriseId, ListDigest, ListVersion, UserId};
use crate::{limits, text};

/// What an account on a list may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Read and speak.
    Speak,
    /// Read only.
    ReadOnly,
}

impl Role {
    /// As it is written on the wire and on disk.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Speak => "speak",
            Role::ReadOnly => "read-only",
        }
    }

    /// The role that is written so, if there is one.
    #[must_use]
    pub fn from_wire(word: &str) -> Option<Self> {
        [Role::Speak, Role::ReadOnly].into_iter().find(|role| role.as_str() == word)
    }
}

/// Who may speak in a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Everybody whose role lets them.
    #[default]
    Open,
    /// Of those only the accounts of the enterprise that owns the group; the others read.
    Announcements,
}

/// An account as it stands on a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What people call it; without anything that does not show (see [`text::neutral`]).
    pub display: DisplayName,
    /// What it may do.
    pub role: Role,
}

/// One account of an edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountEdit {
    /// Whose, within the enterprise that edits.
    pub user: UserId,
    /// How it is to stand on the list; none: it is removed.
    pub listed: Option<Listed>,
}

/// An account of a list that is fetched: present, or removed (a removal is kept, so that nobody can miss it).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Which.
    pub account: AccountId,
    /// The list version at which it changed last.
    pub version: ListVersion,
    /// How it stands on the list; none: it was removed.
    pub listed: Option<Listed>,
}

/// Part of a list: accounts that changed behind some place in the order (version, enterprise, user), in that order. Who
/// goes on with the last row of each page has, at the end, every change up to `version`, whatever changed meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPage {
    /// The list version when the page was read.
    pub version: ListVersion,
    /// The digest of the whole list at that version.
    pub digest: ListDigest,
    /// Accounts on the whole list at that version.
    pub accounts: u64,
    /// The rows.
    pub rows: Vec<AccountRow>,
    /// Others follow.
    pub more: bool,
}

/// What a list says of an author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The account's enterprise has never edited this list: it does not say who speaks for it.
    Unjudged,
    /// The account is on the list.
    On(Role),
    /// It is not.
    Off,
}

impl Standing {
    /// Whether the account is not on the list.
    #[must_use]
    pub fn is_off(self) -> bool {
        !matches!(self, Standing::On(_))
    }

    /// Why a message of such an author is refused, if it is.
    #[must_use]
    pub fn refusal(self) -> Option<Condition> {
        match self {
            Standing::Unjudged | Standing::On(Role::Speak) => None,
            Standing::On(Role::ReadOnly) => Some(Condition::ReadOnly),
            Standing::Off => Some(Condition::NotOnList),
        }
    }
}

/// Bytes that an account takes at most in a stanza, besides its enterprise.
#[must_use]
pub fn weight(user: &UserId, listed: Option<&Listed>) -> usize {
    /// Names of elements and attributes, role and version.
    const FIXED: usize = 128;
    let display = listed.map_or(0, |l| escaped(l.display.as_str()));
    FIXED + escaped(user.as_str()) + display
}

fn escaped(text: &str) -> usize {
    // The longest reference that stands for a character has six bytes.
    text.len() + 5 * text.bytes().filter(|b| matches!(b, b'&' | b'<' | b'>' | b'"' | b'\'' | b'\t')).count()
}

/// How many of these accounts, from the first on, one edit can name.
#[must_use]
pub fn fits(edits: &[AccountEdit]) -> usize {
    let mut left = limits::ACCOUNTS_BYTES;
    let fits = edits.iter().take(limits::ACCOUNTS_PER_EDIT).take_while(|edit| {
        let weight = weight(&edit.user, edit.listed.as_ref());
        let fits = weight <= left;
        left = left.saturating_sub(weight);
        fits
    });
    fits.count()
}

/// Whether an edit is one that the center takes: some accounts, not too many, none twice, all with ids that can be shown.
///
/// # Errors
/// The condition for which it is refused as a whole.
pub fn check(edits: &[AccountEdit]) -> Result<(), Condition> {
    let mut users: Vec<_> = edits.iter().map(|edit| &edit.user).collect();
    users.sort_unstable();
    let twice = users.windows(2).any(|pair| pair[0] == pair[1]);
    let shown = users.iter().all(|user| text::is_neutral(user.as_str()));
    let named = edits.iter().filter_map(|edit| edit.listed.as_ref()).all(|l| text::is_neutral(l.display.as_str()));
    if fits(edits) < edits.len() || twice || !shown || !named { Err(Condition::InvalidAccount) } else { Ok(()) }
}

/// The hash of an account as it stands on a list: what the digest is the sum of.
#[must_use]
pub fn row_hash(enterprise: &EnterpriseId, user: &UserId, listed: &Listed) -> RowHash {
    let mut context = digest::Context::new(&digest::SHA256);
    // Neither id has a slash, and nothing has a NUL.
    for part in [enterprise.as_str().as_bytes(), b"/", user.as_str().as_bytes(), b"\0"] {
        context.update(part);
    }
    for part in [listed.display.as_str().as_bytes(), b"\0", listed.role.as_str().as_bytes()] {
        context.update(part);
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&context.finish().as_ref()[..16]);
    RowHash(hash)
}

#[cfg(test)]
mod tests;
