//! The other side's waker as a `Waker` of this compiler.

use std::mem::ManuallyDrop;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::lend::Lent;
use crate::abi;

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);

/// For the length of one poll, without an allocation: dropping it would free what the other side lends.
///
/// # Safety
/// `waker` lives for as long as what is returned is used.
pub(crate) unsafe fn borrowed(waker: *const abi::Waker) -> ManuallyDrop<Waker> {
    // SAFETY: handed on.
    if let Some(own) = unsafe { Lent::unwrapped(waker) } {
        return own;
    }
    // SAFETY: the functions below keep the contract of `RawWakerVTable`, since the other side's table has the same.
    ManuallyDrop::new(unsafe { Waker::new(waker.cast(), &VTABLE) })
}

/// What the other side has lent, when `waker` is made of that: alive for as long as `waker` is.
pub(super) fn theirs(waker: &Waker) -> Option<*const abi::Waker> {
    std::ptr::eq(waker.vtable(), &VTABLE).then(|| waker.data().cast())
}

fn table<'a>(waker: *const ()) -> (&'a abi::WakerVtable, *const abi::Waker) {
    let waker = waker.cast::<abi::Waker>();
    // SAFETY: only `borrowed` and `clone` make such wakers, of a live waker of the other side's; its table is static.
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
