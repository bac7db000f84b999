//! What one connection has used of its address's rates.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aaw_protocol::Failure;

use uuid::Uuid;

use super::silent::{OfferedPlace, PlaceHolder};
use super::table::{Address, too_many_calls, whole_seconds};

/// What a frame costs beside its bytes. Handling an empty one takes about as long as copying so many.
const FRAME_COST: u32 = 64;

/// What a connection uses before it is taken from its address's buckets: so small that many connections together hold little
/// back, and so large that the shared memory is touched rarely.
const BYTES_PER_BATCH: u32 = 16 << 10;
const CALLS_PER_BATCH: u32 = 64;

/// The bytes of one read while the address has used up its rate. Many connections of it then have their turns soon.
const LIMITED_READ: usize = 2 << 10;

/// What a connection waits for. While nothing is read, no response to a ping can arrive, so it is one of the two.
#[derive(Debug)]
enum Wait {
    /// Until then nothing must be read.
    Paused(Instant),
    /// The response to a ping. A new connection may get the place meanwhile.
    Silent { _place: OfferedPlace },
}

/// Counts what a connection uses, and says when it may read. Without an address, it always may.
#[derive(Debug, Default)]
pub(crate) struct AddressMeter {
    address: Option<Arc<Address>>,
    /// What has not been taken from the buckets.
    bytes: u32,
    calls: u32,
    /// Boxed, since it is rare.
    wait: Option<Box<Wait>>,
    /// Whether the last batch had to wait.
    is_limited: bool,
    /// After how many seconds calls may be made again; 0 if they may now.
    refused_for: u32,
}

impl AddressMeter {
    pub(crate) fn new(address: Option<Arc<Address>>) -> Self {
        let mut meter = Self::default();
        meter.address = address;
        meter
    }

    /// Counts bytes that were read.
    pub(crate) fn count_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Counts frames that were decoded, also those that complete no message.
    pub(crate) fn count_frames(&mut self, frames: u32) {
        self.bytes = self.bytes.saturating_add(frames.saturating_mul(FRAME_COST));
    }

    /// Counts a call that was begun.
    pub(crate) fn count_call(&mut self, cost: u32) {
        self.calls = self.calls.saturating_add(cost);
    }

    /// Returns how many bytes may be read now, of at most `len`; `None` if the connection has to wait until
    /// [`due`](Self::due).
    pub(crate) fn before_read(&mut self, now: Instant, len: usize) -> Option<usize> {
        self.end_pause(now);
        if self.due().is_some() {
            return None;
        }
        let Some(address) = &self.address else { return Some(len) };
        let is_batch = self.bytes >= BYTES_PER_BATCH || self.calls >= CALLS_PER_BATCH;
        let Some(share) = address.share() else {
            if is_batch {
                (self.bytes, self.calls) = (0, 0);
            }
            (self.is_limited, self.refused_for) = (false, 0);
            return Some(len);
        };
        if is_batch {
            let (bytes, calls) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.calls));
            let wait = address.take(now, bytes, calls, share);
            self.is_limited = !wait.is_zero();
            if self.is_limited {
                self.wait = now.checked_add(wait).map(|until| Box::new(Wait::Paused(until)));
                return None;
            }
        }
        let refused_for = address.call_refusal(now, share).map_or(0, whole_seconds);
        self.refused_for = u32::try_from(refused_for).unwrap_or(u32::MAX);
        Some(if self.is_limited || refused_for > 0 { len.min(LIMITED_READ) } else { len })
    }

    /// Ends a pause that is over. To be called when time has passed: not every connection reads when it may.
    pub(crate) fn end_pause(&mut self, now: Instant) {
        self.wait.take_if(|wait| matches!(**wait, Wait::Paused(until) if until <= now));
    }

    /// Returns when the connection may read again, if it has to wait.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.wait.as_deref() {
            Some(Wait::Paused(until)) => Some(*until),
            Some(Wait::Silent { .. }) | None => None,
        }
    }

    /// Offers the place of a connection that has not responded to a ping, from the time `due` on, unless the connection
    /// has an offer already or reads nothing.
    pub(crate) fn offer_place(&mut self, id: Uuid, due: Instant, connection: impl FnOnce() -> Arc<dyn PlaceHolder>) {
        if self.wait.is_none()
            && let Some(address) = &self.address
        {
            let place = address.offer_place(id, due, connection());
            self.wait = Some(Box::new(Wait::Silent { _place: place }));
        }
    }

    /// The connection keeps its place.
    pub(crate) fn keep_place(&mut self) {
        self.wait.take_if(|wait| matches!(**wait, Wait::Silent { .. }));
    }

    /// Returns the failure of a call that has just arrived, if it must not run.
    pub(crate) fn refuse_call(&self) -> Option<Failure> {
        (self.refused_for > 0).then(|| too_many_calls(Duration::from_secs(self.refused_for.into())))
    }
}

/// What was not taken yet is, so that connections that end early use the rate as well.
impl Drop for AddressMeter {
    fn drop(&mut self) {
        if let Some(address) = &self.address
            && let Some(share) = address.share()
            && (self.bytes, self.calls) != (0, 0)
        {
            address.take(Instant::now(), self.bytes, self.calls, share);
        }
    }
}
