//! The running hash of a group's log, computed alike by the center and by every gateway.

use ring::digest;

use crate::ids::{EnterpriseId, HistoryHash, OriginKey, Seq};
use crate::link::Change;

/// What an entry is known by.
#[derive(Debug, Clone, Copy)]
pub enum Identity<'a> {
    /// A message, by its origin: the enterprise and its origin key.
    Message(&'a EnterpriseId, &'a OriginKey),
    /// A change that the center made or took, by what it changed.
    Change(&'a Change),
}

/// The hash after an entry, from the hash before it and the entry's identity.
#[must_use]
pub fn advance(before: HistoryHash, seq: Seq, entry: Identity<'_>) -> HistoryHash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&before.0);
    context.update(&seq.0.to_be_bytes());
    match entry {
        Identity::Message(enterprise, key) => {
            add(&mut context, &[enterprise.as_str().as_bytes(), key.epoch.as_str().as_bytes()]);
            context.update(&key.n.0.to_be_bytes());
        }
        Identity::Change(change) => add_change(&mut context, change),
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&context.finish().as_ref()[..16]);
    HistoryHash(hash)
}

/// No enterprise has an empty id: a change is never taken for a message.
fn add_change(context: &mut digest::Context, change: &Change) {
    let mut change_of = |kind: &str, enterprise: &EnterpriseId, what: &[u8]| {
        add(context, &[b"", kind.as_bytes(), enterprise.as_str().as_bytes(), what]);
    };
    match change {
        Change::Joined { enterprise, gateway, .. } => change_of("joined", enterprise, gateway.as_str().as_bytes()),
        Change::Left { enterprise, gateway, .. } => change_of("left", enterprise, gateway.as_str().as_bytes()),
        Change::Listed { enterprise, digest, .. } => change_of("listed", enterprise, &digest.0),
        Change::Unlisted { enterprise, digest } => change_of("unlisted", enterprise, &digest.0),
        Change::Owned { enterprise } => change_of("owned", enterprise, b""),
        Change::Suspended { enterprise } => change_of("suspended", enterprise, b""),
        Change::Resumed { enterprise } => change_of("resumed", enterprise, b""),
        Change::Deleted {} => add(context, &[b"", b"deleted"]),
        Change::Described(about) => {
            let texts = [&about.name, &about.description, &about.subject].map(|text| text.as_bytes());
            add(context, &[b"", b"described", texts[0], texts[1], texts[2], format!("{:?}", about.policy).as_bytes()]);
        }
    }
}

fn add(context: &mut digest::Context, parts: &[&[u8]]) {
    for part in parts {
        context.update(part);
        context.update(b"/");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ListDigest;

    #[test]
    fn what_is_changed_is_part_of_the_history() {
        let listed = |enterprise: &str, digest: u8| Change::Listed {
            enterprise: enterprise.parse().unwrap(),
            accounts: Vec::new(),
            digest: ListDigest([digest; 16]),
        };
        let after = |change: &Change| advance(HistoryHash::default(), Seq(7), Identity::Change(change));
        let one = after(&listed("acme", 1));
        assert_eq!(one, after(&listed("acme", 1)));
        assert_ne!(one, after(&listed("acme", 2)));
        assert_ne!(one, after(&listed("globex", 1)));
        assert_ne!(one, after(&Change::Deleted {}));
    }

    #[test]
    fn a_message_is_known_by_its_origin_alone() {
        let (acme, globex) = ("acme".parse().unwrap(), "globex".parse().unwrap());
        let key = |n| OriginKey { epoch: "k7".parse().unwrap(), n: crate::ids::N(n) };
        let after = |enterprise: &EnterpriseId, n| {
            advance(HistoryHash::default(), Seq(7), Identity::Message(enterprise, &key(n)))
        };
        assert_eq!(after(&acme, 1), after(&acme, 1));
        assert_ne!(after(&acme, 1), after(&acme, 2));
        assert_ne!(after(&acme, 1), after(&globex, 1));
    }
}
