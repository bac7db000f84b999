//! Wakers that cross, in either direction: whoever polls lends its own, whoever is polled borrows it.
//!
//! A host lends one to a package's call, a package lends one to the host's stream of what a caller sends.

mod borrow;
mod lend;

pub(crate) use borrow::borrowed;
pub(crate) use lend::Lent;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;
    use crate::abi;

    /// A waker of the other side's, as it would be in another library: with tables that are not this one's.
    #[repr(C)]
    struct Foreign {
        head: abi::Waker,
        woken: Arc<AtomicUsize>,
    }

    static FOREIGN: abi::WakerVtable =
        abi::WakerVtable { size: size_of::<abi::WakerVtable>(), clone, wake, wake_by_ref, drop };

    unsafe extern "C" fn clone(waker: *const abi::Waker) -> *const abi::Waker {
        // SAFETY: this table stands in a `Foreign` only.
        let woken = unsafe { &*waker.cast::<Foreign>() }.woken.clone();
        Box::into_raw(Box::new(Foreign { head: abi::Waker { vtable: &FOREIGN }, woken })).cast()
    }

    unsafe extern "C" fn wake(waker: *const abi::Waker) {
        // SAFETY: as above; handed over, as what follows says.
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
        // SAFETY: the box of `clone`.
        std::mem::drop(unsafe { Box::from_raw(waker.cast_mut().cast::<Foreign>()) });
    }

    struct Own(AtomicUsize);

    impl Wake for Own {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_other_sides_waker_is_kept_woken_and_let_go() {
        let woken = Arc::new(AtomicUsize::new(0));
        let lent = Foreign { head: abi::Waker { vtable: &FOREIGN }, woken: woken.clone() };
        // SAFETY: `lent` outlives it.
        let waker = unsafe { borrowed((&raw const lent).cast()) };
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
    fn the_other_sides_waker_goes_back_as_it_came() {
        let lent = Foreign { head: abi::Waker { vtable: &FOREIGN }, woken: Arc::default() };
        let lent = (&raw const lent).cast::<abi::Waker>();
        // SAFETY: `lent` outlives it.
        let waker = unsafe { borrowed(lent) };
        Lent::lend(&waker, |back| assert_eq!(back, lent));
    }

    #[test]
    fn ones_own_waker_comes_back_as_it_was() {
        let own = Arc::new(Own(AtomicUsize::new(0)));
        let waker = Waker::from(own.clone());
        let kept = Lent::lend(&waker, |lent| {
            // SAFETY: `lent` outlives it.
            let back = unsafe { borrowed(lent) };
            // Not of the table for wakers of the other side.
            assert_eq!((back.data(), back.vtable()), (waker.data(), waker.vtable()));
            // SAFETY: as the other side does; owned from here on.
            let kept = unsafe { ((*(*lent).vtable).clone)(lent) };
            // SAFETY: as above.
            unsafe { borrowed(kept) }.wake_by_ref();
            kept
        });
        // SAFETY: owned, and used no more.
        unsafe { ((*(*kept).vtable).wake)(kept) };
        std::mem::drop(waker);
        assert_eq!((own.0.load(Ordering::SeqCst), Arc::strong_count(&own)), (2, 1));
    }
}
