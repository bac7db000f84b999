//! Locking and waking, as every structure shared between the driver and the handles does it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// Locks a mutex and ignores poisoning.
///
/// Each critical section of this crate leaves the data valid at every point where it can panic (an allocation, a
/// waker), and none runs an application's code, except for the wakers
/// of tasks that listen: those must not call the client, which the wakers of all common runtimes do not.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Unlocks, then wakes the task whose waker `take` removed: a task woken earlier would only block on the lock.
pub(crate) fn unlock_and_wake<T>(mut guard: MutexGuard<'_, T>, take: impl FnOnce(&mut T) -> Option<Waker>) {
    let waker = take(&mut guard);
    drop(guard);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Stores the waker of the polling task. Does not clone it if the stored one already wakes that task.
pub(crate) fn store_waker(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}
