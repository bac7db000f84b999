//! Wraps a waker of the other side as a [`Waker`] of this compiler.

use std::mem::ManuallyDrop;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::abi;

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);

/// Wraps `waker` without an allocation, for the length of one poll. It must not be dropped: it does not own what it
/// refers to.
///
/// # Safety
/// `waker` belongs to the other side, and lives for as long as the returned waker is used.
pub(super) unsafe fn wrap(waker: *const abi::Waker) -> ManuallyDrop<Waker> {
    // SAFETY: the functions below keep the contract of `RawWakerVTable`, because the other side's table has the same
    // contract.
    ManuallyDrop::new(unsafe { Waker::new(waker.cast(), &VTABLE) })
}

/// The waker of the other side that `waker` wraps, if it wraps one. It lives for as long as `waker` does.
pub(super) fn unwrap(waker: &Waker) -> Option<*const abi::Waker> {
    std::ptr::eq(waker.vtable(), &VTABLE).then(|| waker.data().cast())
}

fn vtable_of<'a>(waker: *const ()) -> (&'a abi::WakerVtable, *const abi::Waker) {
    let waker = waker.cast::<abi::Waker>();
    // SAFETY: only `wrap` and `clone` make such wakers, from a live waker of the other side; its table is static.
    (unsafe { &*(*waker).vtable }, waker)
}

unsafe fn clone(waker: *const ()) -> RawWaker {
    let (vtable, waker) = vtable_of(waker);
    // SAFETY: the waker is alive while it is being cloned.
    RawWaker::new(unsafe { (vtable.clone)(waker) }.cast(), &VTABLE)
}

unsafe fn wake(waker: *const ()) {
    let (vtable, waker) = vtable_of(waker);
    // SAFETY: the waker is owned, and not used again.
    unsafe { (vtable.wake)(waker) }
}

unsafe fn wake_by_ref(waker: *const ()) {
    let (vtable, waker) = vtable_of(waker);
    // SAFETY: the waker is alive.
    unsafe { (vtable.wake_by_ref)(waker) }
}

unsafe fn drop(waker: *const ()) {
    let (vtable, waker) = vtable_of(waker);
    // SAFETY: as in `wake`.
    unsafe { (vtable.drop)(waker) }
}
