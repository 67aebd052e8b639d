//! The JIDs of our occupants.
//!
//! The ear is `gateway@COMPONENT`, a puppet `USER+ENTERPRISE@COMPONENT`; the resource is the life. USER is the user id with every
//! byte but a-z, 0-9, `.`, `_` and `-` as `\xx`, in the manner of XEP-0106: no server's string preparation changes it, it needs
//! no escaping in XML, and two accounts never share it. An enterprise's id has no `+`, and neither has USER, so it can be read back.
//!
//! A user id too long for that is written as `SHA-256++ENTERPRISE`. Who that was is known for puppets that this process has
//! named; for others it is an account whose user id is the hash, which is no account's own: still one of ours, so that nothing it said
//! is ever taken for a person's.

use std::collections::HashMap;
use std::fmt::Write;

use intergroup_schemas::ids::GroupNumber;
use ring::digest;

use crate::ids::{Account, Life, Mouth, Who};

/// Longest local part of a JID (RFC 7622 section 3.3.1).
const LOCAL_PART_BYTES: usize = 1023;
/// The ear's local part. It has no `+`, so no puppet has it.
const EAR: &str = "gateway";

/// Splits a JID into bare JID and resource.
pub(super) fn split(jid: &str) -> (&str, Option<&str>) {
    match jid.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (jid, None),
    }
}

/// Names our occupants, and knows them again.
#[derive(Debug)]
pub(super) struct Addresses {
    component: String,
    /// Who stands behind a local part that is a hash.
    hashed: HashMap<String, Account>,
}

impl Addresses {
    pub(super) fn new(component: &str) -> Self {
        Self { component: component.to_owned(), hashed: HashMap::new() }
    }

    /// The bare JID of one of ours.
    pub(super) fn bare(&mut self, who: &Who) -> String {
        let account = match who {
            Who::Ear => return format!("{EAR}@{}", self.component),
            Who::Puppet(account) => account,
        };
        let mut local = String::with_capacity(64);
        for byte in account.user.as_str().bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => local.push(char::from(byte)),
                _ => {
                    let _ = write!(local, "\\{byte:02x}");
                }
            }
        }
        local.push('+');
        local.push_str(account.enterprise.as_str());
        if local.len() > LOCAL_PART_BYTES {
            let hash = digest::digest(&digest::SHA256, account.user.as_str().as_bytes());
            local = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            local.push_str("++");
            local.push_str(account.enterprise.as_str());
            self.hashed.entry(local.clone()).or_insert_with(|| account.clone());
        }
        format!("{local}@{}", self.component)
    }

    /// The full JID of one of ours.
    pub(super) fn full(&mut self, mouth: &Mouth) -> String {
        format!("{}/{}", self.bare(&mouth.who), mouth.life.0)
    }

    /// Who has this JID; none when it is not one that we gave. The resource is left out of account.
    pub(super) fn who(&self, jid: &str) -> Option<Who> {
        let (local, domain) = split(jid).0.split_once('@')?;
        if domain != self.component {
            return None;
        }
        if local == EAR {
            return Some(Who::Ear);
        }
        let (user, enterprise) = local.rsplit_once('+')?;
        let enterprise = enterprise.parse().ok()?;
        let account = match user.strip_suffix('+') {
            Some(hash) => match self.hashed.get(local) {
                Some(account) => account.clone(),
                None => Account { enterprise, user: hash.parse().ok()? },
            },
            None => Account { enterprise, user: unescape(user)?.parse().ok()? },
        };
        Some(Who::Puppet(account))
    }

    /// The address of a group.
    pub(super) fn number(&self, group: GroupNumber) -> String {
        format!("{group}@{}", self.component)
    }

    /// The group whose address this is (`10001@COMPONENT`); the resource is left out of account.
    pub(super) fn group(&self, jid: &str) -> Option<GroupNumber> {
        let (local, domain) = split(jid).0.split_once('@')?;
        // Written in one way only: neither signs nor leading zeros.
        let number = local.parse().ok().filter(|number: &u64| number.to_string() == local)?;
        (domain == self.component).then_some(GroupNumber(number))
    }

    /// Whether this looks like a group's address; the bytes are as they stand in a start tag.
    pub(super) fn is_number(&self, to: &[u8]) -> bool {
        let digits = to.iter().take_while(|b| b.is_ascii_digit()).count();
        digits > 0 && to.get(digits) == Some(&b'@')
    }

    /// Who has this full JID.
    pub(super) fn mouth(&self, jid: &str) -> Option<Mouth> {
        let life = split(jid).1?.parse().ok()?;
        Some(Mouth { who: self.who(jid)?, life: Life(life) })
    }

    /// Whether the JID lies in our domain, whoever it may be.
    pub(super) fn ours(&self, jid: &str) -> bool {
        let bare = split(jid).0;
        bare.rsplit_once('@').map_or(bare, |(_, domain)| domain) == self.component
    }

    /// Whether this is the ear, of whatever life; the bytes are as they stand in a start tag.
    pub(super) fn is_ear(&self, to: &[u8]) -> bool {
        to.strip_prefix(EAR.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'@'))
    }
}

fn unescape(user: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(user.len());
    let mut rest = user.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'\\' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use intergroup_schemas::ids::UserId;
    use proptest::prelude::*;

    use super::*;

    fn puppet(user: &str) -> Who {
        Who::Puppet(Account { enterprise: "acme".parse().unwrap(), user: user.parse().unwrap() })
    }

    #[test]
    fn readable_where_possible() {
        let mut addresses = Addresses::new("groups.globex.test");
        assert_eq!(addresses.bare(&Who::Ear), "gateway@groups.globex.test");
        assert_eq!(addresses.bare(&puppet("alice")), "alice+acme@groups.globex.test");
        assert_eq!(addresses.bare(&puppet("Zoë@acme.org")), "\\5ao\\c3\\ab\\40acme.org+acme@groups.globex.test");
        let mouth = Mouth { who: puppet("alice"), life: Life(7) };
        assert_eq!(addresses.full(&mouth), "alice+acme@groups.globex.test/7");
        assert_eq!(addresses.mouth("alice+acme@groups.globex.test/7"), Some(mouth));
    }

    #[test]
    fn others_are_nobody() {
        let addresses = Addresses::new("g.test");
        for jid in [
            "alice@g.test",
            "alice+acme@h.test",
            "g.test",
            "alice+AC@g.test",
            "\\zz+acme@g.test",
            "\\4+acme@g.test",
            "+acme@g.test",
        ] {
            assert_eq!(addresses.who(jid), None, "{jid}");
        }
        assert!(addresses.ours("alice@g.test/x") && addresses.ours("g.test") && !addresses.ours("a@h.test"));
    }

    #[test]
    fn long_user_ids_stay_apart_and_are_known_again() {
        let mut addresses = Addresses::new("g.test");
        let (a, b) = (puppet(&"ä".repeat(250)), puppet(&("ä".repeat(249) + "bb")));
        let (jid_a, jid_b) = (addresses.bare(&a), addresses.bare(&b));
        assert_ne!(jid_a, jid_b);
        assert_eq!(addresses.who(&jid_a), Some(a.clone()));
        assert_eq!(addresses.who(&jid_b), Some(b));
        // Another process: still one of ours, though not known by name.
        let stranger = Addresses::new("g.test").who(&jid_a);
        assert!(matches!(stranger, Some(Who::Puppet(_))) && stranger != Some(a));
    }

    proptest! {
        #[test]
        fn there_and_back(user in "[^\\p{Cc} /]{1,120}", other in "[a-z\\\\+@.0-9A-F]{1,20}") {
            let mut addresses = Addresses::new("g.test");
            // Too long, or with a character that XML has not.
            prop_assume!(user.parse::<UserId>().is_ok());
            let (user, other) = (puppet(&user), puppet(&other));
            let (first, second) = (addresses.bare(&user), addresses.bare(&other));
            prop_assert!(first.len() <= LOCAL_PART_BYTES + "@g.test".len());
            prop_assert_eq!(user == other, first == second);
            prop_assert_eq!(addresses.who(&first), Some(user));
            prop_assert_eq!(addresses.who(&second), Some(other));
        }
    }
}
