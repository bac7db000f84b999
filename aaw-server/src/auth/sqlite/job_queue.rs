//! The operations that wait for a thread of the database.
//!
//! Clients take turns, and one client has a share of the queue. Resuming a session needs no password and counts in no
//! limit of attempts, so a client can have as many of these in flight as it has connections; those of other clients, and
//! their log-ins, wait for one of them and not for all.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::auth::fair_queue::{Class, FairQueue};
use crate::client_turns::Client;

/// The maximum number of operations that wait for one thread. Reading takes some tens of microseconds, writing some
/// milliseconds.
const CAPACITY: usize = 4096;

/// How many of these may be of one client. The program itself, which is no client, may use the whole queue.
const CAPACITY_OF_CLIENT: usize = 1024;

/// Which operation runs first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// Those whose number is limited otherwise: by the attempts that may fail, by the time that a hash takes, or since the
    /// program itself is their caller.
    Limited,
    /// Those that a client may cause as often as it wants.
    Unlimited,
}

/// A queue of jobs for one thread. A job for which there is no place is dropped.
pub(super) struct JobQueue<T> {
    state: Mutex<JobQueueState<T>>,
    /// Wakes the thread when a job was added, and when the queue is closed.
    changed: Condvar,
}

struct JobQueueState<T> {
    jobs: FairQueue<T>,
    is_closed: bool,
}

/// Why a job was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotQueued {
    Full,
    Closed,
}

impl<T> JobQueue<T> {
    pub(super) fn new() -> Self {
        let state = JobQueueState { jobs: FairQueue::new(CAPACITY), is_closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds a job. Returns the job whose place it has taken, if the queue was full.
    pub(super) fn push(&self, priority: Priority, client: Client, job: T) -> Result<Option<T>, NotQueued> {
        let class = match priority {
            Priority::Limited => Class::Urgent,
            Priority::Unlimited => Class::Normal,
        };
        let mut state = self.lock();
        if state.is_closed {
            return Err(NotQueued::Closed);
        }
        if client.is_some() && state.jobs.len_of(class, client) >= CAPACITY_OF_CLIENT {
            return Err(NotQueued::Full);
        }
        let displaced = state.jobs.push(class, client, job).map_err(|_| NotQueued::Full)?;
        drop(state);
        self.changed.notify_one();
        Ok(displaced)
    }

    /// Waits for the next job, and blocks meanwhile. `None` when the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            let job = state.jobs.pop();
            if job.is_some() || state.is_closed {
                return job;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets no further job in. Those that wait still run.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Closes the queue, and returns the jobs that will not run: the thread has ended.
    pub(super) fn abandon(&self) -> Vec<T> {
        let mut state = self.lock();
        state.is_closed = true;
        std::iter::from_fn(|| state.jobs.pop()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, JobQueueState<T>> {
        // No code panics while it holds the lock, so the state of a poisoned one is valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::client_turns;

    fn client(n: u32) -> Client {
        client_turns::client(Some(IpAddr::V4(Ipv4Addr::from_bits(n))))
    }

    #[test]
    fn a_client_has_a_share_and_the_others_take_turns_with_it() {
        let queue = JobQueue::new();
        for n in 0..CAPACITY_OF_CLIENT {
            assert_eq!(queue.push(Priority::Unlimited, client(1), (1, n)), Ok(None));
        }
        assert_eq!(queue.push(Priority::Unlimited, client(1), (1, 9999)), Err(NotQueued::Full));
        queue.push(Priority::Unlimited, client(2), (2, 0)).unwrap();
        queue.push(Priority::Limited, client(1), (1, 5000)).unwrap();
        queue.push(Priority::Limited, client(3), (3, 0)).unwrap();
        let first: Vec<_> = (0..5).filter_map(|_| queue.pop()).collect();
        assert_eq!(first, [(1, 5000), (3, 0), (1, 0), (2, 0), (1, 1)]);
    }

    #[test]
    fn clients_that_fill_the_queue_together_make_place_for_others() {
        let queue = JobQueue::new();
        for n in 0..4 {
            for _ in 0..CAPACITY_OF_CLIENT {
                queue.push(Priority::Unlimited, client(n), n).unwrap();
            }
        }
        assert!(queue.push(Priority::Unlimited, client(4), 4).unwrap().is_some_and(|displaced| displaced < 4));
        assert!(queue.push(Priority::Limited, client(5), 5).unwrap().is_some_and(|displaced| displaced < 4));
        assert_eq!(queue.pop(), Some(5));
    }

    #[test]
    fn the_program_itself_may_use_the_whole_queue() {
        let queue = JobQueue::new();
        for _ in 0..CAPACITY {
            queue.push(Priority::Limited, None, 0).unwrap();
        }
        assert_eq!(queue.push(Priority::Limited, None, 0), Err(NotQueued::Full));
    }

    #[test]
    fn a_closed_queue_is_emptied_and_an_abandoned_one_is_empty() {
        let queue = JobQueue::new();
        for n in 0..3 {
            queue.push(Priority::Limited, None, n).unwrap();
        }
        queue.close();
        assert_eq!(queue.push(Priority::Limited, None, 3), Err(NotQueued::Closed));
        assert_eq!(queue.pop(), Some(0));
        assert_eq!(queue.abandon(), [1, 2]);
        assert_eq!(queue.pop(), None);
    }
}
