//! How much may come in a time: a token bucket in whole numbers, which asks no clock.
//!
//! In: a rate, and moments that the caller names. Out: whether one more may pass, or when. Both cores judge by it.

use crate::link::Timestamp;

/// Tokens are counted in thousandths, so that a rate a second is as many thousandths a millisecond.
const TOKEN: u64 = 1000;

/// So many a second, and so many at once after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// What passes in the long run, each second. A larger value lets one sender take more of everybody's disk and time.
    pub per_second: u32,
    /// What passes at once after a rest. A larger value lets longer bursts through unchecked.
    pub burst: u32,
}

impl Rate {
    /// The smallest and the largest value of either number that makes sense.
    pub const RANGE: std::ops::RangeInclusive<u32> = 1..=1_000_000;

    /// Whether both numbers are in [`Rate::RANGE`].
    #[must_use]
    pub fn is_sound(self) -> bool {
        Self::RANGE.contains(&self.per_second) && Self::RANGE.contains(&self.burst)
    }

    fn room(self) -> u64 {
        u64::from(self.burst) * TOKEN
    }
}

/// What one sender has used of its rate. A new one has used nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Thousandths of a token that are used and not given back by time.
    used: u64,
    at: Timestamp,
}

impl Bucket {
    /// Takes a token, if there is one at that moment. When time goes back (a server's clock was set), counting goes on from
    /// the earlier moment: what was used stays used, and is given back from there.
    pub fn take(&mut self, rate: Rate, at: Timestamp) -> bool {
        self.used = self.used_at(rate, at);
        self.at = at;
        let free = self.used + TOKEN <= rate.room();
        if free {
            self.used += TOKEN;
        }
        free
    }

    /// The first moment, not before `now`, at which there is a token.
    #[must_use]
    pub fn ready_at(&self, rate: Rate, now: Timestamp) -> Timestamp {
        let over = (self.used_at(rate, now) + TOKEN).saturating_sub(rate.room());
        let wait = over.div_ceil(u64::from(rate.per_second.max(1)));
        Timestamp(now.0.saturating_add(i64::try_from(wait).unwrap_or(i64::MAX)))
    }

    /// The moment of the last try.
    #[must_use]
    pub fn last(&self) -> Timestamp {
        self.at
    }

    fn used_at(&self, rate: Rate, at: Timestamp) -> u64 {
        let passed = u64::try_from(at.0.saturating_sub(self.at.0)).unwrap_or(0);
        self.used.saturating_sub(passed.saturating_mul(u64::from(rate.per_second)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rates() -> impl Strategy<Value = Rate> {
        (1..5000u32, 1..500u32).prop_map(|(per_second, burst)| Rate { per_second, burst })
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_lets_more_pass_than_burst_and_rate(
            rate in rates(), gaps in prop::collection::vec(0..50i64, 1..400),
        ) {
            let (mut bucket, mut now) = (Bucket::default(), 1_000_000);
            let mut passed = Vec::new();
            for gap in gaps {
                now += gap;
                if bucket.take(rate, Timestamp(now)) {
                    passed.push(now);
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let count = (last - first + 1) as u64;
                    let most = rate.room() + u64::from(rate.per_second) * (to - from) as u64;
                    prop_assert!(count * TOKEN <= most, "{count} in {} ms", to - from);
                }
            }
        }

        #[test]
        fn who_keeps_to_the_rate_is_never_stopped(rate in rates(), count in 1..2000u32) {
            let gap = i64::from(1000u32.div_ceil(rate.per_second));
            let mut bucket = Bucket::default();
            for n in 0..i64::from(count) {
                prop_assert!(bucket.take(rate, Timestamp(n * gap)));
            }
        }

        #[test]
        fn the_moment_named_is_the_first_at_which_one_passes(
            rate in rates(), before in prop::collection::vec(0..20i64, 0..600), later in 0..500i64,
        ) {
            let (mut bucket, mut now) = (Bucket::default(), 0);
            for gap in before {
                now += gap;
                bucket.take(rate, Timestamp(now));
            }
            now += later;
            let ready = bucket.ready_at(rate, Timestamp(now));
            prop_assert!(ready.0 >= now);
            prop_assert!(bucket.clone().take(rate, ready));
            if ready.0 > now {
                prop_assert!(!bucket.clone().take(rate, Timestamp(ready.0 - 1)));
            }
        }

        #[test]
        fn no_clock_makes_it_fail(at in prop::collection::vec(any::<i64>(), 1..50), rate in rates()) {
            let mut bucket = Bucket::default();
            for at in at {
                bucket.take(rate, Timestamp(at));
                let _ = bucket.ready_at(rate, Timestamp(at));
            }
        }
    }

    #[test]
    fn a_clock_set_back_neither_gives_tokens_nor_stops_the_count() {
        let rate = Rate { per_second: 10, burst: 2 };
        let mut bucket = Bucket::default();
        assert!(bucket.take(rate, Timestamp(3_600_000)) && bucket.take(rate, Timestamp(3_600_000)));
        assert!(!bucket.take(rate, Timestamp(0)), "what was used stays used");
        assert!(bucket.take(rate, Timestamp(100)), "and is given back from the earlier moment on");
    }
}
