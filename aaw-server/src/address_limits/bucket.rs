//! A bucket of tokens that refills over time, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::contention::Share;

/// How fast a bucket refills, and what it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    per_second: u64,
    burst: u64,
}

impl Rate {
    /// A rate of 0 counts as 1. The bucket holds what `burst_seconds` add to it.
    pub(super) fn new(per_second: u64, burst_seconds: u64) -> Self {
        let per_second = per_second.max(1);
        Self { per_second, burst: per_second.saturating_mul(burst_seconds) }
    }

    /// The rate of a group of addresses: a multiple of that of one address.
    pub(super) fn times(self, addresses: u64) -> Self {
        let times = |value: u64| value.saturating_mul(addresses);
        Self { per_second: times(self.per_second), burst: times(self.burst) }
    }

    /// Returns how long the bucket takes to refill by this many tokens, in nanoseconds.
    fn nanos(self, tokens: u64, share: Share) -> u64 {
        let nanos = u128::from(tokens) * 1_000_000_000 * u128::from(Share::ONE.eighths());
        let nanos = nanos / (u128::from(self.per_second) * u128::from(share.eighths()));
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

/// A rate that can change.
#[derive(Debug)]
pub(super) struct CurrentRate {
    per_second: AtomicU64,
    burst_seconds: u64,
}

impl CurrentRate {
    /// As [`Rate::new`].
    pub(super) fn new(per_second: u64, burst_seconds: u64) -> Self {
        Self { per_second: AtomicU64::new(per_second), burst_seconds }
    }

    pub(super) fn set(&self, per_second: u64) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }

    pub(super) fn load(&self) -> Rate {
        Rate::new(self.per_second.load(Ordering::Relaxed), self.burst_seconds)
    }
}

/// A bucket of tokens, stored as the time at which it will be full: what is missing now, it refills until then (the generic
/// cell rate algorithm, which ATM networks use). Times are in nanoseconds since any moment.
///
/// A new bucket is full.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    full_at: AtomicU64,
}

impl Bucket {
    /// Takes tokens, also those that are not there yet. Returns how long it takes until they would have been: what was
    /// taken before comes first, so those that wait have their turn in the order in which they took.
    pub(super) fn take(&self, now: u64, tokens: u64, rate: Rate, share: Share) -> Duration {
        let cost = rate.nanos(tokens, share);
        let refill = |full_at: u64| full_at.max(now).saturating_add(cost);
        // The closure never returns `None`.
        let before = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| Some(refill(at)));
        missing(refill(before.unwrap_or_else(|at| at)), now, rate, share)
    }

    /// Takes one token if it is there. Otherwise returns when it will be.
    pub(super) fn try_take(&self, now: u64, rate: Rate, share: Share) -> Result<(), Duration> {
        let cost = rate.nanos(1, share);
        let refill = |full_at: u64| full_at.max(now).saturating_add(cost);
        let taken = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| {
            missing(refill(at), now, rate, share).is_zero().then(|| refill(at))
        });
        taken.map(drop).map_err(|at| missing(refill(at), now, rate, share))
    }

    /// Gives back one token that was taken with this rate and share.
    pub(super) fn give_back(&self, rate: Rate, share: Share) {
        let cost = rate.nanos(1, share);
        // The closure never returns `None`.
        let _ = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| Some(at.saturating_sub(cost)));
    }

    /// Returns how long it takes until all that was taken would have been there.
    pub(super) fn wait(&self, now: u64, rate: Rate, share: Share) -> Duration {
        missing(self.full_at.load(Ordering::Relaxed), now, rate, share)
    }

    pub(super) fn is_full(&self, now: u64) -> bool {
        self.full_at.load(Ordering::Relaxed) <= now
    }
}

/// Returns for how long a bucket that is full at `full_at` has less than nothing.
fn missing(full_at: u64, now: u64, rate: Rate, share: Share) -> Duration {
    Duration::from_nanos(full_at.saturating_sub(now).saturating_sub(rate.nanos(rate.burst, share)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_is_free_and_what_follows_waits_for_the_rate() {
        let (bucket, rate) = (Bucket::default(), Rate::new(10, 2));
        assert_eq!(bucket.take(0, 20, rate, Share::ONE), Duration::ZERO);
        assert_eq!(bucket.take(0, 5, rate, Share::ONE), Duration::from_millis(500));
        assert_eq!(bucket.take(0, 5, rate, Share::ONE), Duration::from_secs(1), "behind those before");
        assert_eq!(bucket.wait(SECOND / 2, rate, Share::ONE), Duration::from_millis(500));
        assert!(!bucket.is_full(SECOND) && bucket.is_full(3 * SECOND));
    }

    #[test]
    fn a_token_that_is_not_there_is_not_taken() {
        let (bucket, rate) = (Bucket::default(), Rate::new(2, 1));
        assert_eq!([(); 2].map(|()| bucket.try_take(0, rate, Share::ONE)), [Ok(()); 2]);
        for _ in 0..100 {
            assert_eq!(bucket.try_take(0, rate, Share::ONE), Err(Duration::from_millis(500)));
        }
        assert_eq!(bucket.try_take(SECOND / 2, rate, Share::ONE), Ok(()));
    }

    #[test]
    fn a_larger_share_is_a_higher_rate_with_the_same_burst() {
        let (bucket, rate, share) = (Bucket::default(), Rate::new(10, 1), Share::of(4.0));
        assert_eq!(bucket.take(0, 10, rate, share), Duration::ZERO);
        assert_eq!(bucket.take(0, 40, rate, share), Duration::from_secs(1));
    }

    #[test]
    fn numbers_at_their_limits_overflow_nothing() {
        for (tokens, per_second, burst) in
            [(u64::MAX, 0, 1), (u64::MAX, u64::MAX, u64::MAX), (0, 0, 0), (1, u64::MAX, 10)]
        {
            let (bucket, rate) = (Bucket::default(), Rate::new(per_second, burst).times(u64::MAX));
            for now in [0, u64::MAX] {
                bucket.take(now, tokens, rate, Share::ONE);
                let _ = bucket.try_take(now, rate, Share::of(1000.0));
            }
        }
    }

    /// Whatever is taken when, and in whatever portions: those who wait as long as they are told take no more than the burst
    /// and the rate allow, and never less than the rate if they have enough to take.
    #[test]
    fn the_rate_holds_over_any_time() {
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        for _ in 0..200 {
            let (per_second, burst) = (1 + next(10_000), 1 + next(5));
            let (bucket, rate) = (Bucket::default(), Rate::new(per_second, burst));
            let start = next(1 << 40);
            let (mut now, mut taken, mut last) = (start, 0, 0);
            while now < start + 60 * SECOND {
                last = 1 + next(2 * per_second);
                taken += last;
                now += bucket.take(now, last, rate, Share::ONE).as_nanos() as u64;
            }
            let allowed = per_second as f64 * (burst as f64 + (now - start) as f64 / SECOND as f64);
            assert!(taken as f64 <= allowed + 1.0, "{taken} of {allowed}");
            assert!((taken + last) as f64 > per_second as f64 * 60.0, "{taken} of {allowed}");
        }
    }
}
