//! The host's waker as a `Waker` of this compiler.

use std::mem::ManuallyDrop;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::abi;

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);

/// For the length of one poll, without an allocation: dropping it would free what the host lends.
///
/// # Safety
/// `waker` lives for as long as what is returned is used.
pub(super) unsafe fn borrowed(waker: *const abi::Waker) -> ManuallyDrop<Waker> {
    // SAFETY: the functions below keep the contract of `RawWakerVTable`, since the host's table has the same.
    ManuallyDrop::new(unsafe { Waker::new(waker.cast(), &VTABLE) })
}

fn table<'a>(waker: *const ()) -> (&'a abi::WakerVtable, *const abi::Waker) {
    let waker = waker.cast::<abi::Waker>();
    // SAFETY: only `borrowed` and `clone` make such wakers, of a live waker of the host's; its table is static.
    (unsafe { &*(*waker).vtable }, waker)
}

unsafe fn clone(waker: *const ()) -> RawWaker {
    let (table, waker) = table(waker);
    // SAFETY: the waker lives: it is being cloned.
    RawWaker::new(unsafe { (table.clone)(waker) }.cast(), &VTABLE)
}

unsafe fn wake(waker: *const ()) {
    let (table, waker) = table(waker);
    // SAFETY: the waker is owned, and used no more.
    unsafe { (table.wake)(waker) }
}

unsafe fn wake_by_ref(waker: *const ()) {
    let (table, waker) = table(waker);
    // SAFETY: the waker lives.
    unsafe { (table.wake_by_ref)(waker) }
}

unsafe fn drop(waker: *const ()) {
    let (table, waker) = table(waker);
    // SAFETY: as in `wake`.
    unsafe { (table.drop)(waker) }
}
