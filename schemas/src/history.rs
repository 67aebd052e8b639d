//! The running hash of a group's log, computed alike by the center and by every gateway.

use ring::digest;

use crate::ids::{EnterpriseId, HistoryHash, OriginKey, Seq};

/// The hash after an entry, from the hash before it and the entry's identity. A message is identified by its origin
/// (enterprise and origin key); an entry that the center made itself (join, leave, delete) has no origin.
#[must_use]
pub fn advance(before: HistoryHash, seq: Seq, origin: Option<(&EnterpriseId, &OriginKey)>) -> HistoryHash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&before.0);
    context.update(&seq.0.to_be_bytes());
    if let Some((enterprise, key)) = origin {
        for part in [enterprise.as_str(), key.epoch.as_str()] {
            context.update(part.as_bytes());
            context.update(b"/");
        }
        context.update(&key.n.0.to_be_bytes());
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&context.finish().as_ref()[..16]);
    HistoryHash(hash)
}
