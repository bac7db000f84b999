//! Follows the memory of the server, on a thread of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::machine::memory_of;

/// The time between two looks at the memory.
const STEP: Duration = Duration::from_millis(20);

/// A server that needs more is killed, because the machine has other uses.
const MOST: u64 = 3 << 30;

/// The memory over time, until it is dropped.
pub(crate) struct Sampler {
    samples: Arc<Mutex<Vec<(Instant, u64)>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    pub(crate) fn start(pid: u32) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let stopped = Arc::new(AtomicBool::new(false));
        let (shared, stop) = (Arc::clone(&samples), Arc::clone(&stopped));
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let Some(memory) = memory_of(pid) else { return };
                shared.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), memory));
                if memory > MOST
                    && let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
                {
                    let _ = kill_process(pid, Signal::KILL);
                }
                std::thread::sleep(STEP);
            }
        });
        Self { samples, stopped, thread: Some(thread) }
    }

    /// The most memory since `from`.
    pub(crate) fn peak(&self, from: Instant) -> u64 {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter().filter(|(at, _)| *at >= from).map(|(_, memory)| *memory).max().unwrap_or_default()
    }

    /// The memory at the last look.
    pub(crate) fn now(&self) -> u64 {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.last().map_or(0, |(_, memory)| *memory)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
