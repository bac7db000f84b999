//! Random numbers that a seed repeats.

use std::hash::{BuildHasher, RandomState};

/// A generator of random numbers, SplitMix64. The same seed gives the same numbers on every machine and in every version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random(u64);

impl Random {
    /// Returns a generator for this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a generator for a part of what `seed` decides, independent of the other parts.
    #[must_use]
    pub fn of_part(seed: u64, part: u64) -> Self {
        Self(Self(seed ^ part.wrapping_mul(0xD6E8_FEB8_6659_FD93)).next_u64())
    }

    /// Returns a seed that differs from run to run. A test prints it.
    #[must_use]
    pub fn new_seed() -> u64 {
        // Short enough to be typed.
        RandomState::new().hash_one(0) >> 32
    }

    /// Returns the next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from 0 to `end` − 1; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64().checked_rem(end).unwrap_or(0)
    }

    /// Returns true in `percent` of 100 cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Returns a number whose average is `mean` and which is often much smaller, as the times between events that do not
    /// depend on each other are.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        // From 0, exclusive, to 1, inclusive.
        let uniform = ((self.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        (-uniform.ln() * mean as f64) as u64
    }
}
