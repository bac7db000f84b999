//! The delays between connection attempts.

use std::time::{Duration, Instant};

/// The delays between connection attempts: random between zero and a ceiling that grows with each failure ("full
/// jitter"), so that the clients of a restarted server do not all reconnect at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    /// The ceiling of the first delay. Default 100 ms. With zero there is no delay.
    pub min: Duration,
    /// The highest ceiling. After a connection that lasted at least this long, the delays start at `min` again. After a
    /// shorter one they continue to grow; otherwise a server that accepts connections and drops them would be contacted
    /// without pause. Default 10 s. With `Duration::MAX` the delays grow without bound while the server is unreachable.
    pub max: Duration,
    /// The factor by which each failure raises the ceiling. Default 2. Values below 1 count as 1.
    pub factor: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min: Duration::from_millis(100), max: Duration::from_secs(10), factor: 2.0 }
    }
}

/// The current series of delays, with its random numbers.
#[derive(Debug)]
pub(super) struct ReconnectDelays {
    config: Backoff,
    failures: i32,
    random: SplitMix64,
}

impl ReconnectDelays {
    pub(super) fn new(config: Backoff, seed: u64) -> Self {
        Self { config, failures: 0, random: SplitMix64(seed) }
    }

    /// Handles the end of a connection that was established at `since`.
    pub(super) fn handle_connection_ended(&mut self, now: Instant, since: Instant) {
        if now.saturating_duration_since(since) >= self.config.max {
            self.failures = 0;
        }
    }

    /// Returns the next delay.
    pub(super) fn next_delay(&mut self) -> Duration {
        let ceiling = self.config.min.as_secs_f64() * self.config.factor.max(1.0).powi(self.failures);
        self.failures = self.failures.saturating_add(1);
        // `f64::min` ignores a NaN, so a ceiling of infinity, or of zero times infinity, becomes `max`.
        let delay = ceiling.min(self.config.max.as_secs_f64()) * self.random.next_fraction();
        Duration::try_from_secs_f64(delay).unwrap_or(self.config.max)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014). It only spreads reconnections, for which its quality suffices.
#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    /// Returns a number in the range `0.0..1.0`.
    fn next_fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // An `f64` represents 53 bits exactly.
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_delay_is_below_its_ceiling_and_the_ceilings_grow_up_to_the_maximum() {
        let mut highest = [Duration::ZERO; 12];
        for seed in 0..2000 {
            let mut delays = ReconnectDelays::new(Backoff::default(), seed);
            for highest in &mut highest {
                *highest = delays.next_delay().max(*highest);
            }
        }
        for (failures, highest) in highest.iter().enumerate() {
            let ceiling = Duration::from_millis((100 << failures).min(10_000));
            assert!(*highest <= ceiling && *highest > ceiling.mul_f64(0.95), "{failures}: {highest:?} of {ceiling:?}");
        }
    }

    #[test]
    fn different_seeds_give_different_delays() {
        let first = |seed| ReconnectDelays::new(Backoff::default(), seed).next_delay();
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn only_a_connection_that_lasted_resets_the_delays() {
        let now = Instant::now();
        let mut delays = ReconnectDelays::new(Backoff::default(), 1);
        for _ in 0..5000 {
            assert!(delays.next_delay() <= Duration::from_secs(10));
        }
        delays.handle_connection_ended(now + Duration::from_secs(9), now);
        assert_eq!(delays.failures, 5000);
        delays.handle_connection_ended(now + Duration::from_secs(10), now);
        assert!(delays.next_delay() <= Duration::from_millis(100));
    }
}
