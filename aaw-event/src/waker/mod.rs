//! Wakers that cross the ABI, in either direction: the polling side lends its waker, the polled side borrows it.
//!
//! The host lends its waker to a package's call; the package lends its waker to the host's uploads and operations.

mod foreign;
mod lent;

use std::mem::ManuallyDrop;
use std::task::Waker;

use crate::abi;

/// Lends `waker` to the other side while `poll` runs, without an allocation.
///
/// A waker that came from the other side is passed back as it is. A handler that awaits its caller's items lends the
/// very waker that the host has lent to it; wrapping it in each direction would cost two more allocations per wait.
pub(crate) fn lend<R>(waker: &Waker, poll: impl FnOnce(*const abi::Waker) -> R) -> R {
    match foreign::unwrap(waker) {
        Some(foreign) => poll(foreign),
        None => lent::lend(waker, poll),
    }
}

/// The waker that the other side has lent, for the length of one poll and without an allocation.
///
/// It is `ManuallyDrop` because the other side still owns it.
///
/// # Safety
/// `waker` lives for as long as the returned waker is used.
pub(crate) unsafe fn borrow(waker: *const abi::Waker) -> ManuallyDrop<Waker> {
    // SAFETY: alive, as the caller guarantees.
    if let Some(own) = unsafe { lent::unwrap(waker) } {
        return own;
    }
    // SAFETY: alive, as the caller guarantees, and not one of this side's.
    unsafe { foreign::wrap(waker) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// A waker of the other side, as in another library: its table is not one of this library's.
    #[repr(C)]
    struct Foreign {
        head: abi::Waker,
        woken: Arc<AtomicUsize>,
    }

    static FOREIGN: abi::WakerVtable =
        abi::WakerVtable { size: size_of::<abi::WakerVtable>(), clone, wake, wake_by_ref, drop };

    unsafe extern "C" fn clone(waker: *const abi::Waker) -> *const abi::Waker {
        // SAFETY: only a `Foreign` has this table.
        let woken = unsafe { &*waker.cast::<Foreign>() }.woken.clone();
        Box::into_raw(Box::new(Foreign { head: abi::Waker { vtable: &FOREIGN }, woken })).cast()
    }

    unsafe extern "C" fn wake(waker: *const abi::Waker) {
        // SAFETY: as above; the waker is owned, and freed last.
        unsafe {
            wake_by_ref(waker);
            drop(waker);
        }
    }

    unsafe extern "C" fn wake_by_ref(waker: *const abi::Waker) {
        // SAFETY: as above.
        unsafe { &*waker.cast::<Foreign>() }.woken.fetch_add(1, Ordering::SeqCst);
    }

    unsafe extern "C" fn drop(waker: *const abi::Waker) {
        // SAFETY: the box that `clone` made.
        std::mem::drop(unsafe { Box::from_raw(waker.cast_mut().cast::<Foreign>()) });
    }

    struct Own(AtomicUsize);

    impl Wake for Own {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_foreign_waker_can_be_cloned_woken_and_dropped() {
        let woken = Arc::new(AtomicUsize::new(0));
        let lent = Foreign { head: abi::Waker { vtable: &FOREIGN }, woken: woken.clone() };
        // SAFETY: `lent` outlives the borrowed waker.
        let waker = unsafe { borrow((&raw const lent).cast()) };
        waker.wake_by_ref();
        let (kept, other) = (Waker::clone(&waker), Waker::clone(&waker));
        let third = kept.clone();
        third.wake();
        std::thread::spawn(move || other.wake()).join().unwrap();
        assert_eq!((woken.load(Ordering::SeqCst), Arc::strong_count(&woken)), (3, 3));
        std::mem::drop((lent, kept));
        assert_eq!(Arc::strong_count(&woken), 1);
    }

    #[test]
    fn a_foreign_waker_is_lent_back_unwrapped() {
        let lent = Foreign { head: abi::Waker { vtable: &FOREIGN }, woken: Arc::default() };
        let lent = (&raw const lent).cast::<abi::Waker>();
        // SAFETY: `lent` outlives the borrowed waker.
        let waker = unsafe { borrow(lent) };
        lend(&waker, |back| assert_eq!(back, lent));
    }

    #[test]
    fn a_lent_waker_is_borrowed_back_unwrapped() {
        let own = Arc::new(Own(AtomicUsize::new(0)));
        let waker = Waker::from(own.clone());
        let kept = lend(&waker, |lent| {
            // SAFETY: `lent` outlives the borrowed waker.
            let back = unsafe { borrow(lent) };
            // It does not have the table for foreign wakers.
            assert_eq!((back.data(), back.vtable()), (waker.data(), waker.vtable()));
            // SAFETY: `lent` is alive, and the clone is owned from here on.
            let kept = unsafe { ((*(*lent).vtable).clone)(lent) };
            // SAFETY: as above.
            unsafe { borrow(kept) }.wake_by_ref();
            kept
        });
        // SAFETY: owned, and not used again.
        unsafe { ((*(*kept).vtable).wake)(kept) };
        std::mem::drop(waker);
        assert_eq!((own.0.load(Ordering::SeqCst), Arc::strong_count(&own)), (2, 1));
    }
}
