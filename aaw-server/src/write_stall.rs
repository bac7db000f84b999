//! The rule by which a peer counts as stalled, for WebSockets and HTTP: it accepts less than [`MIN_PROGRESS`] bytes within
//! [`Config::write_timeout`](crate::Config::write_timeout), while there is something to write.

use std::time::{Duration, Instant};

use aaw_protocol::clock;

/// The bytes that a peer must accept within the timeout.
const MIN_PROGRESS: u64 = 16 << 10;

/// Whether a peer accepts what is written to it.
#[derive(Debug)]
pub(crate) struct WriteStall {
    timeout: Duration,
    /// Since when the peer has accepted less than [`MIN_PROGRESS`] bytes, and how many had been written by then.
    since: Option<(Instant, u64)>,
}

impl WriteStall {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, since: None }
    }

    /// The peer accepts nothing at present. `written` bytes were written so far, in all.
    pub(crate) fn note_blocked(&mut self, now: Instant, written: u64) {
        match self.since {
            Some((_, then)) if written < then + MIN_PROGRESS => {}
            _ => self.since = Some((now, written)),
        }
    }

    /// Some bytes were accepted, perhaps not all.
    pub(crate) fn note_written(&mut self, written: u64) {
        if self.since.is_some_and(|(_, then)| written >= then + MIN_PROGRESS) {
            self.since = None;
        }
    }

    /// Everything was accepted.
    pub(crate) fn note_flushed(&mut self) {
        self.since = None;
    }

    /// Returns when the peer counts as stalled, unless it accepts bytes by then.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.since.map(|(since, _)| clock::after(since, self.timeout))
    }

    /// Returns whether the peer counts as stalled.
    pub(crate) fn is_stalled(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_accepts_too_little_is_stalled() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut stall = WriteStall::new(10 * second);
        assert_eq!(stall.due(), None);
        stall.note_blocked(start, 1000);
        stall.note_blocked(start + 5 * second, 1000 + MIN_PROGRESS - 1);
        stall.note_written(1000 + MIN_PROGRESS - 1);
        assert!(!stall.is_stalled(start + 9 * second));
        assert!(stall.is_stalled(start + 10 * second));
        // Enough progress begins a new period.
        stall.note_blocked(start + 9 * second, 1000 + MIN_PROGRESS);
        assert_eq!(stall.due(), Some(start + 19 * second));
        stall.note_flushed();
        assert!(!stall.is_stalled(start + 100 * second));
    }
}
