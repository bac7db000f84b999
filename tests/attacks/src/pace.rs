//! The speed of an attack, which is bounded, so that what is measured is the server and not a race for the processors.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How far behind its schedule an attack may fall and still catch up.
const BURST: Duration = Duration::from_millis(20);

/// Lets so many units pass in a second: bytes, connections or calls.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: f64,
    next: Cell<Instant>,
    passed: Cell<u64>,
}

impl Pace {
    pub(crate) fn new(per_second: f64) -> Self {
        Self { per_second, next: Cell::new(Instant::now()), passed: Cell::new(0) }
    }

    /// Waits until it is the turn of `units` more.
    pub(crate) async fn pass(&self, units: usize) {
        let now = Instant::now();
        let at = self.next.get().max(now.checked_sub(BURST).unwrap_or(now));
        self.next.set(at + Duration::from_secs_f64(units as f64 / self.per_second));
        self.passed.set(self.passed.get() + units as u64);
        if at > now {
            sleep_until(at).await;
        }
    }

    /// How many units have passed.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.get()
    }
}
