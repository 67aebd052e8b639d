//! How long to wait before the next try: doubling, jittered so that a thousand gateways do not come back as one.

use std::time::Duration;

use intergroup_schemas::conditions::Condition;
use ring::rand::{SecureRandom, SystemRandom};

/// The first pause at most.
const FIRST: Duration = Duration::from_millis(250);
/// The longest pause at most.
const LONGEST: Duration = Duration::from_secs(30);
/// The pause, at most, where only a person can change the answer. It is still tried: that person may be at the center.
const HOPELESS: Duration = Duration::from_secs(60);

/// The pauses of one link.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The link came up: the next pause is the first again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next pause, after a failure with the condition that the center gave, if it gave one.
    pub(super) fn next(&mut self, condition: Option<Condition>) -> Duration {
        let most = if condition.is_some_and(is_hopeless) {
            HOPELESS
        } else {
            FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST)
        };
        self.failures = self.failures.saturating_add(1);
        // Between half and all of it.
        most.mul_f64(0.5 + fraction() / 2.0)
    }
}

/// Whether trying again soon cannot help.
fn is_hopeless(condition: Condition) -> bool {
    matches!(
        condition,
        Condition::Suspended
            | Condition::Removed
            | Condition::Replaced
            | Condition::BadCertificate
            | Condition::UnsupportedVersion
    )
}

/// A random number from 0 to 1.
fn fraction() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness there is no jitter, which alone harms nobody.
    let _ = SystemRandom::new().fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::default();
        let mut last = Duration::ZERO;
        for _ in 0..40 {
            last = backoff.next(None);
            assert!(last <= LONGEST);
        }
        assert!(last >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.next(None) <= FIRST);
        backoff.reset();
        assert!(backoff.next(Some(Condition::Suspended)) >= HOPELESS / 2);
        assert!(backoff.next(Some(Condition::ShuttingDown)) <= 2 * FIRST);
    }
}
