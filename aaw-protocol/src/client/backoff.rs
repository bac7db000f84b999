//! How long to wait before connecting again.

use std::time::{Duration, Instant};

/// Waits between attempts: random between nothing and a ceiling that grows with each failure ("full jitter"), so that
/// the clients of a server that restarted do not come back all at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    /// The ceiling of the first wait. Default 100 ms. Zero waits for nothing.
    pub min: Duration,
    /// No ceiling is higher. A connection that stayed this long begins the next series at `min` again; one that broke
    /// earlier goes on with the old series, or a server that accepts and hangs up would be called without pause.
    /// Default 10 s. With `Duration::MAX` the waits of a server that is never there have no bound.
    pub max: Duration,
    /// What each failure multiplies the ceiling by. Default 2.
    pub factor: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min: Duration::from_millis(100), max: Duration::from_secs(10), factor: 2.0 }
    }
}

/// A series of waits, and the chance in them.
#[derive(Debug)]
pub(super) struct Waits {
    config: Backoff,
    failures: i32,
    random: SplitMix,
}

impl Waits {
    pub(super) fn new(config: Backoff, seed: u64) -> Self {
        Self { config, failures: 0, random: SplitMix(seed) }
    }

    /// A connection that was made at `since` has ended.
    pub(super) fn connection_ended(&mut self, now: Instant, since: Instant) {
        if now.saturating_duration_since(since) >= self.config.max {
            self.failures = 0;
        }
    }

    /// The next wait.
    pub(super) fn next_wait(&mut self) -> Duration {
        let ceiling = self.config.min.as_secs_f64() * self.config.factor.max(1.0).powi(self.failures);
        self.failures = self.failures.saturating_add(1);
        // `min` takes the number where the other is none: an overflow to infinity, or 0 times that, ends at `max`.
        let wait = ceiling.min(self.config.max.as_secs_f64()) * self.random.next_fraction();
        Duration::try_from_secs_f64(wait).unwrap_or(self.config.max)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): good enough to spread clients, and nothing else rests on it.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    /// A number from 0 up to, and without, 1.
    fn next_fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // A double holds 53 bits exactly.
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_below_its_ceiling_and_the_ceilings_grow_up_to_the_most() {
        let mut highest = [Duration::ZERO; 12];
        for seed in 0..2000 {
            let mut waits = Waits::new(Backoff::default(), seed);
            for highest in &mut highest {
                *highest = waits.next_wait().max(*highest);
            }
        }
        for (failures, highest) in highest.iter().enumerate() {
            let ceiling = Duration::from_millis((100 << failures).min(10_000));
            assert!(*highest <= ceiling && *highest > ceiling.mul_f64(0.95), "{failures}: {highest:?} of {ceiling:?}");
        }
    }

    #[test]
    fn the_waits_of_two_seeds_differ() {
        let first = |seed| Waits::new(Backoff::default(), seed).next_wait();
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn only_a_connection_that_stayed_begins_the_series_again() {
        let now = Instant::now();
        let mut waits = Waits::new(Backoff::default(), 1);
        for _ in 0..5000 {
            assert!(waits.next_wait() <= Duration::from_secs(10));
        }
        waits.connection_ended(now + Duration::from_secs(9), now);
        assert_eq!(waits.failures, 5000);
        waits.connection_ended(now + Duration::from_secs(10), now);
        assert!(waits.next_wait() <= Duration::from_millis(100));
    }
}
