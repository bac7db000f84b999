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
    /// The factor by which each failure raises the ceiling. Default 2. Values below 1, and NaN, count as 1.
    pub factor: f64,
    /// The delay after an attempt that the server has [refused](RetryHint::Refused): random between half of this and
    /// this. It does not grow. Default 30 s: the server answers, and refuses the next attempt as well until a person
    /// changes its configuration or that of the client. With zero a refusal is a failure like any other; with
    /// `Duration::MAX` no further attempt follows.
    pub refused: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(100),
            max: Duration::from_secs(10),
            factor: 2.0,
            refused: Duration::from_secs(30),
        }
    }
}

/// When the next connection attempt may succeed, as far as the failed one has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RetryHint {
    /// Nothing is known. The next attempt follows after a delay between zero and the ceiling of the [`Backoff`].
    #[default]
    Unknown,
    /// The server has refused this client, for example with HTTP 403 or the close code 1008, and will do so again until
    /// something is changed. The next attempt follows after [`Backoff::refused`].
    Refused,
    /// The server has named the time, as `Retry-After` does (RFC 9110, section 10.2.3). The next attempt follows after
    /// this time, or one hour if that is shorter, and the usual delay on top, so that the clients of a server that
    /// sends all of them the same number do not all return at the same moment.
    After(Duration),
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

    /// Returns the delay before the next attempt.
    pub(super) fn next_delay(&mut self, hint: RetryHint) -> Duration {
        /// The longest time that a server can make its clients wait.
        const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
        let delay = self.next_backoff();
        match hint {
            RetryHint::Unknown => delay,
            RetryHint::Refused if self.config.refused.is_zero() => delay,
            RetryHint::Refused => {
                let half = self.config.refused / 2;
                half.saturating_add(half.mul_f64(self.random.next_fraction()))
            }
            RetryHint::After(wait) => wait.min(MAX_RETRY_AFTER).saturating_add(delay),
        }
    }

    fn next_backoff(&mut self) -> Duration {
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
                *highest = delays.next_delay(RetryHint::Unknown).max(*highest);
            }
        }
        for (failures, highest) in highest.iter().enumerate() {
            let ceiling = Duration::from_millis((100 << failures).min(10_000));
            assert!(*highest <= ceiling && *highest > ceiling.mul_f64(0.95), "{failures}: {highest:?} of {ceiling:?}");
        }
    }

    #[test]
    fn a_refusal_is_followed_by_a_long_delay_that_does_not_grow() {
        let seconds = Duration::from_secs;
        for seed in 0..100 {
            let mut delays = ReconnectDelays::new(Backoff::default(), seed);
            for _ in 0..20 {
                let delay = delays.next_delay(RetryHint::Refused);
                assert!((seconds(15)..=seconds(30)).contains(&delay), "{delay:?}");
            }
        }
        let refused_as_others = Backoff { refused: Duration::ZERO, ..Backoff::default() };
        let delay = ReconnectDelays::new(refused_as_others, 1).next_delay(RetryHint::Refused);
        assert!(delay <= Duration::from_millis(100), "{delay:?}");
        let never = Backoff { refused: Duration::MAX, ..Backoff::default() };
        assert!(ReconnectDelays::new(never, 1).next_delay(RetryHint::Refused) > seconds(1 << 60));
    }

    #[test]
    fn the_time_that_the_server_names_is_waited_up_to_an_hour() {
        let seconds = Duration::from_secs;
        let delay = |wait| ReconnectDelays::new(Backoff::default(), 1).next_delay(RetryHint::After(wait));
        for (wait, at_least) in [(0, 0), (5, 5), (3600, 3600), (u64::MAX, 3600)] {
            let delay = delay(seconds(wait));
            assert!(delay >= seconds(at_least) && delay <= seconds(at_least) + Duration::from_millis(100), "{delay:?}");
        }
    }

    #[test]
    fn no_configuration_panics() {
        let durations = [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1), Duration::MAX];
        let factors = [0.0, -1.0, 2.0, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        let hints = [RetryHint::Unknown, RetryHint::Refused, RetryHint::After(Duration::MAX)];
        for min in durations {
            for max in durations {
                for refused in durations {
                    for factor in factors {
                        let mut delays = ReconnectDelays::new(Backoff { min, max, factor, refused }, 1);
                        for hint in hints.into_iter().cycle().take(30) {
                            delays.next_delay(hint);
                        }
                        assert!(delays.next_delay(RetryHint::Unknown) <= max, "{min:?} {max:?} {factor}");
                    }
                }
            }
        }
    }

    #[test]
    fn different_seeds_give_different_delays() {
        let first = |seed| ReconnectDelays::new(Backoff::default(), seed).next_delay(RetryHint::Unknown);
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn only_a_connection_that_lasted_resets_the_delays() {
        let now = Instant::now();
        let mut delays = ReconnectDelays::new(Backoff::default(), 1);
        for _ in 0..5000 {
            assert!(delays.next_delay(RetryHint::Unknown) <= Duration::from_secs(10));
        }
        delays.handle_connection_ended(now + Duration::from_secs(9), now);
        assert_eq!(delays.failures, 5000);
        delays.handle_connection_ended(now + Duration::from_secs(10), now);
        assert!(delays.next_delay(RetryHint::Unknown) <= Duration::from_millis(100));
    }
}
