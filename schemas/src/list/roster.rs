//! A list in memory: of each account a hash of its id, its role, and a hash of how it stands there. Names are on disk.

use std::collections::BTreeMap;

use ring::digest;

use super::{AccountEdit, Role, Standing, row_hash};
use crate::ids::{EnterpriseId, ListDigest, UserId};

/// The first 16 bytes of the SHA-256 of a user id: as good as the id itself to find an account by, and short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey(pub [u8; 16]);

/// See [`row_hash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowHash(pub [u8; 16]);

impl UserKey {
    /// The key of a user id.
    #[must_use]
    pub fn of(user: &UserId) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&digest::digest(&digest::SHA256, user.as_str().as_bytes()).as_ref()[..16]);
        Self(key)
    }
}

/// A group's list as far as it must be at hand. Order of insertion does not matter, nor do repeats.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    parts: BTreeMap<EnterpriseId, Part>,
}

/// One enterprise's part. There is one as soon as the enterprise has edited it, and for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Part {
    accounts: BTreeMap<UserKey, (RowHash, Role)>,
    sum: Sum,
}

/// A sum modulo 2^128: independent of the order, and undone by subtraction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum(u128);

impl Sum {
    fn add(&mut self, row: RowHash) {
        self.0 = self.0.wrapping_add(u128::from_be_bytes(row.0));
    }

    fn take(&mut self, row: RowHash) {
        self.0 = self.0.wrapping_sub(u128::from_be_bytes(row.0));
    }
}

impl Roster {
    /// Whether the enterprise has ever edited the list.
    #[must_use]
    pub fn judges(&self, enterprise: &EnterpriseId) -> bool {
        self.parts.contains_key(enterprise)
    }

    /// What the list says of an account.
    #[must_use]
    pub fn standing(&self, enterprise: &EnterpriseId, user: &UserId) -> Standing {
        match self.parts.get(enterprise) {
            None => Standing::Unjudged,
            Some(part) => match part.accounts.get(&UserKey::of(user)) {
                Some((_, role)) => Standing::On(*role),
                None => Standing::Off,
            },
        }
    }

    /// Whether an edit of one account would change anything.
    #[must_use]
    pub fn changes(&self, enterprise: &EnterpriseId, edit: &AccountEdit) -> bool {
        let row = self.parts.get(enterprise).and_then(|part| part.accounts.get(&UserKey::of(&edit.user)));
        match (row, &edit.listed) {
            (None, None) => false,
            (Some((row, _)), Some(listed)) => *row != row_hash(enterprise, &edit.user, listed),
            _ => true,
        }
    }

    /// Applies an edit. From now on the enterprise's accounts are judged.
    pub fn apply(&mut self, enterprise: &EnterpriseId, edits: &[AccountEdit]) {
        self.begin(enterprise);
        for edit in edits {
            let row = edit.listed.as_ref().map(|l| (row_hash(enterprise, &edit.user, l), l.role));
            self.put(enterprise, UserKey::of(&edit.user), row);
        }
    }

    /// From now on the enterprise's accounts are judged.
    pub fn begin(&mut self, enterprise: &EnterpriseId) {
        if !self.parts.contains_key(enterprise) {
            self.parts.insert(enterprise.clone(), Part::default());
        }
    }

    /// Puts an account on the list, or takes it off.
    pub fn put(&mut self, enterprise: &EnterpriseId, key: UserKey, row: Option<(RowHash, Role)>) {
        let Some(part) = self.parts.get_mut(enterprise) else { return };
        let before = match row {
            Some(row) => part.accounts.insert(key, row),
            None => part.accounts.remove(&key),
        };
        if let Some((before, _)) = before {
            part.sum.take(before);
        }
        if let Some((now, _)) = row {
            part.sum.add(now);
        }
    }

    /// Takes all accounts of an enterprise off the list; it stays judged.
    pub fn clear(&mut self, enterprise: &EnterpriseId) {
        if let Some(part) = self.parts.get_mut(enterprise) {
            *part = Part::default();
        }
    }

    /// The digest of the whole list.
    #[must_use]
    pub fn digest(&self) -> ListDigest {
        let sum = self.parts.values().fold(0u128, |sum, part| sum.wrapping_add(part.sum.0));
        ListDigest(sum.to_be_bytes())
    }

    /// Accounts on the whole list.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.values().map(|part| part.accounts.len()).sum()
    }

    /// Whether nobody is on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Accounts of one enterprise on the list; none when it is not judged.
    #[must_use]
    pub fn len_of(&self, enterprise: &EnterpriseId) -> Option<usize> {
        self.parts.get(enterprise).map(|part| part.accounts.len())
    }

    /// The enterprises that are judged.
    pub fn enterprises(&self) -> impl Iterator<Item = &EnterpriseId> {
        self.parts.keys()
    }
}
