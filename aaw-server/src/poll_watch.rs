//! Watches for handlers that block their thread, and keeps them from stopping the server.
//!
//! tokio's I/O driver is run by one worker at a time. A worker that received an I/O event and then runs a task that blocks
//! does not hand the driver on, while the other workers sleep: nothing is accepted, read or timed any more. A thread outside
//! of the runtime therefore spawns an empty task in short intervals. It wakes a sleeping worker, which then runs the driver
//! if nobody does. (tokio has no call that does so directly.) For the same reason it checks that pushes are flushed, by what
//! [`PollWatch::start`] receives.
//!
//! The same thread reports polls that take long. A poll stores its event and the time in a slot of its thread, and the
//! thread reads the slots: a few atomic stores for each poll, and no clock.

use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::throttle::Throttle;

/// How often the thread wakes a worker and looks at the slots. The longest time that a blocked worker delays the others.
const INTERVAL: Duration = Duration::from_millis(20);

/// A longer poll is reported.
const MAX_POLL: Duration = Duration::from_millis(100);

/// The part of an event's name that is reported, in words of eight bytes.
const NAME_WORDS: usize = 12;

/// The thread. It ends when this is dropped.
pub(crate) struct PollWatch {
    _stop: Sender<()>,
}

impl PollWatch {
    /// Starts the thread, for the current runtime. With several workers, `check` runs in each interval: it finds what no
    /// worker may have begun because one of them is blocked.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(crate) fn start(check: impl Fn() + Send + 'static) -> io::Result<Self> {
        let runtime = Handle::current();
        let (stop, stopped) = channel::<()>();
        thread::Builder::new().name("aaw-poll-watch".into()).spawn(move || {
            let reports = Throttle::default();
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if runtime.runtime_flavor() == RuntimeFlavor::MultiThread {
                    // Its end is not awaited. If the runtime is gone, the task is dropped.
                    drop(runtime.spawn(async {}));
                    check();
                }
                report_long_polls(coarse_now(), &reports);
            }
        })?;
        Ok(Self { _stop: stop })
    }
}

/// Marks the current thread as polling a handler of this event, until the guard is dropped.
#[must_use]
pub(crate) fn polling(event: &str) -> PollGuard {
    let has_begun = SLOT.try_with(|slot| {
        // Within a poll of another handler, that one is reported.
        let is_outermost = slot.started.load(Ordering::Relaxed) == IDLE;
        if is_outermost {
            slot.begin(event, COARSE_MS.load(Ordering::Relaxed));
        }
        is_outermost
    });
    // Fails while the thread is shutting down.
    PollGuard { has_begun: has_begun.unwrap_or(false), _not_send: PhantomData }
}

/// See [`polling`].
pub(crate) struct PollGuard {
    has_begun: bool,
    /// The guard belongs to its thread.
    _not_send: PhantomData<*const ()>,
}

impl Drop for PollGuard {
    fn drop(&mut self) {
        if self.has_begun {
            let _ = SLOT.try_with(|slot| slot.started.store(IDLE, Ordering::Release));
        }
    }
}

/// The value of [`Slot::started`] while no handler is polled.
const IDLE: u64 = 0;

/// The time in milliseconds since the first use, updated by the thread. Starts at 1.
static COARSE_MS: AtomicU64 = AtomicU64::new(1);

/// The slots of all threads.
static SLOTS: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());

thread_local! {
    static SLOT: Arc<Slot> = Slot::register();
}

/// What a thread polls. Written by that thread, read by the one that watches. A text that is read while it is replaced is
/// recognized by `started`, and discarded.
#[derive(Default)]
struct Slot {
    /// [`COARSE_MS`] when the poll began, or [`IDLE`].
    started: AtomicU64,
    name: [AtomicU64; NAME_WORDS],
    name_len: AtomicU64,
    /// Whether this poll was reported.
    reported: AtomicBool,
}

impl Slot {
    fn register() -> Arc<Self> {
        let slot = Arc::<Self>::default();
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        slot
    }

    fn begin(&self, event: &str, now: u64) {
        let bytes = event.as_bytes();
        for (word, chunk) in self.name.iter().zip(bytes.chunks(8)) {
            let mut buffer = [0; 8];
            buffer[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(buffer), Ordering::Relaxed);
        }
        self.name_len.store(bytes.len() as u64, Ordering::Relaxed);
        self.reported.store(false, Ordering::Relaxed);
        self.started.store(now, Ordering::Release);
    }

    /// Returns the event of a poll that began at least [`MAX_POLL`] before `now` and was not reported yet.
    fn take_long_poll(&self, now: u64) -> Option<String> {
        let started = self.started.load(Ordering::Acquire);
        if started == IDLE || u128::from(now.saturating_sub(started)) < MAX_POLL.as_millis() {
            return None;
        }
        if self.reported.load(Ordering::Relaxed) {
            return None;
        }
        let len = self.name_len.load(Ordering::Relaxed) as usize;
        let bytes: Vec<u8> = self.name.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        let mut name = String::from_utf8_lossy(&bytes[..len.min(bytes.len())]).into_owned();
        if len > bytes.len() {
            name.push('…');
        }
        if self.started.load(Ordering::Acquire) != started {
            return None;
        }
        self.reported.store(true, Ordering::Relaxed);
        Some(name)
    }
}

/// Updates and returns [`COARSE_MS`].
fn coarse_now() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let now = FIRST.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1;
    COARSE_MS.fetch_max(now, Ordering::Relaxed).max(now)
}

fn report_long_polls(now: u64, reports: &Throttle) {
    let slots: Vec<_> = {
        let slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().filter_map(Weak::upgrade).collect()
    };
    for event in slots.iter().filter_map(|slot| slot.take_long_poll(now)) {
        if let Some(suppressed) = reports.pass() {
            tracing::warn!(
                event,
                suppressed,
                "a handler has blocked its thread for more than {MAX_POLL:?}: other calls wait for the thread. Move blocking \
                 work to tokio::task::spawn_blocking, and await in long computations"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_poll_is_reported_once_with_its_event() {
        let slot = Slot::default();
        assert_eq!(slot.take_long_poll(1000), None);
        slot.begin("orders/list", 1000);
        assert_eq!(slot.take_long_poll(1099), None);
        assert_eq!(slot.take_long_poll(1100).as_deref(), Some("orders/list"));
        assert_eq!(slot.take_long_poll(1200), None);
        slot.begin("b", 2000);
        assert_eq!(slot.take_long_poll(2100).as_deref(), Some("b"));
        slot.begin(&"x".repeat(100), 3000);
        assert_eq!(slot.take_long_poll(3100), Some(format!("{}…", "x".repeat(96))));
    }

    #[test]
    fn a_poll_within_a_poll_leaves_the_outer_one() {
        let is_idle = || SLOT.with(|slot| slot.started.load(Ordering::Relaxed) == IDLE);
        let outer = polling("outer");
        drop(polling("inner"));
        assert!(!is_idle());
        drop(outer);
        assert!(is_idle());
    }
}
