//! The memory that clients make the server hold, counted while it grows: responses under construction, gathered arrays,
//! responses that wait for their connection's task, outgoing logs, and messages that have not arrived whole.
//!
//! At a connection's limit its handlers are not polled and its calls do not start, until some of it was sent. One call at a
//! time continues beyond the limit, so that a connection whose memory consists of unfinished responses still finishes them,
//! and a single response of the largest size always fits. At the limit of the process, calls are refused of those
//! connections that hold more than their share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use aaw_protocol::{Code, Failure};

/// What all connections hold together.
#[derive(Debug)]
pub(crate) struct ProcessBudget {
    used: AtomicUsize,
    limit: usize,
    connections: AtomicUsize,
}

impl ProcessBudget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), limit, connections: AtomicUsize::new(0) })
    }

    /// Returns what all connections hold, in bytes.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// What one connection holds.
#[derive(Debug)]
pub(crate) struct ConnectionBudget {
    process: Arc<ProcessBudget>,
    used: AtomicUsize,
    limit: usize,
    /// The call that may continue beyond the limit; 0 for none.
    exempt: AtomicU64,
    /// What waits until less is used, or until the exempt call is over.
    waiters: Mutex<Vec<Waker>>,
}

/// Whether a call may continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Its handler may be polled.
    Run,
    /// Not now. The task will be woken.
    Wait,
    /// The process is at its limit, and this connection holds more than its share.
    Refuse,
}

impl ConnectionBudget {
    pub(crate) fn new(process: Arc<ProcessBudget>, limit: usize) -> Arc<Self> {
        process.connections.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            process,
            used: AtomicUsize::new(0),
            limit,
            exempt: AtomicU64::new(0),
            waiters: Mutex::default(),
        })
    }

    /// Returns whether the limit is reached.
    pub(crate) fn is_used_up(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.limit
    }

    /// Returns whether the process is at its limit while this connection holds more than its share.
    pub(crate) fn exceeds_share(&self) -> bool {
        let total = self.process.used.load(Ordering::Relaxed);
        let connections = self.process.connections.load(Ordering::Relaxed).max(1);
        total >= self.process.limit && self.used.load(Ordering::Relaxed) >= (total / connections).max(1)
    }

    /// Decides whether the handler of a call may be polled. `call` is not 0, and identifies the call. Only a call that
    /// `grows` a response while it runs may become exempt: another one might wait for something else, and would keep the
    /// exemption from those that need it.
    fn admit(&self, call: u64, grows: bool, cx: &mut Context<'_>) -> Admission {
        if self.exceeds_share() {
            return Admission::Refuse;
        }
        if !self.is_used_up() || (grows && self.is_exempt(call)) {
            return Admission::Run;
        }
        self.wake_when_freed(cx.waker());
        // Checked again, since it may have been freed before the waker was registered.
        if !self.is_used_up() || (grows && self.is_exempt(call)) { Admission::Run } else { Admission::Wait }
    }

    /// Wakes a task when less is used.
    pub(crate) fn wake_when_freed(&self, waker: &Waker) {
        // Nothing panics while it holds the lock.
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiters.iter().any(|waiter| waiter.will_wake(waker)) {
            waiters.push(waker.clone());
        }
    }

    fn is_exempt(&self, call: u64) -> bool {
        match self.exempt.compare_exchange(0, call, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(exempt) => exempt == call,
        }
    }

    fn wake_all(&self) {
        let waiters = std::mem::take(&mut *self.waiters.lock().unwrap_or_else(PoisonError::into_inner));
        waiters.into_iter().for_each(Waker::wake);
    }

    fn change(&self, from: usize, to: usize) {
        if to > from {
            self.process.used.fetch_add(to - from, Ordering::Relaxed);
            self.used.fetch_add(to - from, Ordering::Relaxed);
        } else if from > to {
            self.process.used.fetch_sub(from - to, Ordering::Relaxed);
            let before = self.used.fetch_sub(from - to, Ordering::AcqRel);
            if before >= self.limit && before - (from - to) < self.limit {
                self.wake_all();
            }
        }
    }
}

/// Without a limit.
impl Default for ProcessBudget {
    fn default() -> Self {
        Self { used: AtomicUsize::new(0), limit: usize::MAX, connections: AtomicUsize::new(0) }
    }
}

impl Drop for ConnectionBudget {
    fn drop(&mut self) {
        self.process.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes that are held, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldBytes {
    budget: Arc<ConnectionBudget>,
    bytes: usize,
}

impl HeldBytes {
    pub(crate) fn new(budget: &Arc<ConnectionBudget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    pub(crate) fn set(&mut self, bytes: usize) {
        self.budget.change(self.bytes, bytes);
        self.bytes = bytes;
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.budget.change(self.bytes, 0);
    }
}

/// The part of a budget that belongs to a running call: what it holds, and whether it is exempt from the limit.
#[derive(Debug)]
pub(crate) struct CallBudget {
    held: HeldBytes,
    call: u64,
}

impl CallBudget {
    /// `call` is not 0, and identifies the call within its connection.
    pub(crate) fn new(budget: &Arc<ConnectionBudget>, call: u64) -> Self {
        Self { held: HeldBytes::new(budget), call }
    }

    /// Decides whether the call's handler may be polled. One that `grows` its response may continue beyond the limit.
    pub(crate) fn admit(&self, grows: bool, cx: &mut Context<'_>) -> Admission {
        self.held.budget.admit(self.call, grows, cx)
    }

    /// Counts what the call holds now.
    pub(crate) fn set(&mut self, bytes: usize) {
        self.held.set(bytes);
    }
}

impl Drop for CallBudget {
    fn drop(&mut self) {
        let budget = &self.held.budget;
        if budget.exempt.compare_exchange(self.call, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            budget.wake_all();
        }
    }
}

/// The failure of a call that is refused because the process is at its limit.
pub(crate) fn out_of_memory_budget() -> Failure {
    let error = "The server is at its memory limit, and this connection holds more than its share";
    Failure::new(Code::BUSY, error)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn admit(call: &CallBudget) -> (Admission, Arc<Flag>) {
        let flag = Arc::<Flag>::default();
        let waker = Waker::from(Arc::clone(&flag));
        (call.admit(true, &mut Context::from_waker(&waker)), flag)
    }

    fn call(budget: &Arc<ConnectionBudget>, number: u64, bytes: usize) -> CallBudget {
        let mut call = CallBudget::new(budget, number);
        call.set(bytes);
        call
    }

    #[test]
    fn at_the_limit_one_call_continues_and_the_others_wait_for_it() {
        let process = ProcessBudget::new(1000);
        let budget = ConnectionBudget::new(Arc::clone(&process), 100);
        let (mut a, mut b) = (call(&budget, 1, 60), call(&budget, 2, 30));
        assert_eq!((admit(&a).0, admit(&b).0), (Admission::Run, Admission::Run));
        b.set(50);
        assert_eq!(admit(&b).0, Admission::Run, "the first that asks is exempt");
        let (admission, woken) = admit(&a);
        assert_eq!(admission, Admission::Wait);
        b.set(90);
        assert_eq!((admit(&b).0, process.used()), (Admission::Run, 150));
        drop(b);
        assert!(woken.0.load(Ordering::SeqCst));
        assert_eq!((admit(&a).0, process.used()), (Admission::Run, 60));
        a.set(0);
        drop(a);
        assert_eq!(process.used(), 0);
    }

    #[test]
    fn what_is_freed_wakes_those_that_wait() {
        let budget = ConnectionBudget::new(ProcessBudget::new(1000), 100);
        let mut log = HeldBytes::new(&budget);
        log.set(150);
        let (exempt, waits) = (call(&budget, 1, 0), call(&budget, 2, 0));
        assert_eq!(admit(&exempt).0, Admission::Run);
        let (admission, woken) = admit(&waits);
        assert_eq!(admission, Admission::Wait);
        log.set(120);
        assert!(!woken.0.load(Ordering::SeqCst), "the limit is still reached");
        log.set(99);
        assert!(woken.0.load(Ordering::SeqCst));
        assert_eq!(admit(&waits).0, Admission::Run);
    }

    #[test]
    fn at_the_limit_of_the_process_those_are_refused_that_hold_more_than_their_share() {
        let process = ProcessBudget::new(100);
        let (large, small) = (ConnectionBudget::new(Arc::clone(&process), 80), ConnectionBudget::new(process, 80));
        let (large, mut small) = (call(&large, 1, 79), call(&small, 1, 20));
        assert_eq!((admit(&large).0, admit(&small).0), (Admission::Run, Admission::Run));
        small.set(21);
        assert_eq!((admit(&large).0, admit(&small).0), (Admission::Refuse, Admission::Run));
        drop(large);
        assert_eq!(admit(&small).0, Admission::Run);
    }
}
