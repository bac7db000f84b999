//! A task's waker, as the other side sees it.

use std::mem::ManuallyDrop;
use std::task::Waker;

use crate::abi;
use crate::contain::contained;

/// On the stack for the length of a poll; in a box once the other side has cloned it.
#[repr(C)]
pub(crate) struct Lent {
    head: abi::Waker,
    waker: ManuallyDrop<Waker>,
}

/// Frees the box.
static OWNED: abi::WakerVtable =
    abi::WakerVtable { size: size_of::<abi::WakerVtable>(), clone, wake, wake_by_ref, drop };

/// There is no box: nothing is freed.
static BORROWED: abi::WakerVtable =
    abi::WakerVtable { size: size_of::<abi::WakerVtable>(), clone, wake: wake_by_ref, wake_by_ref, drop: nothing };

impl Lent {
    /// Lends `waker` to the other side while `poll` runs, at the cost of no allocation.
    ///
    /// What is the other side's own is handed back as it is: a handler that waits for its caller's items lends what
    /// the host has lent to it, and wrapped on each way it would cost two allocations more each time.
    pub(crate) fn lend<R>(waker: &Waker, poll: impl FnOnce(*const abi::Waker) -> R) -> R {
        if let Some(theirs) = super::borrow::theirs(waker) {
            return poll(theirs);
        }
        // SAFETY: the copy is never dropped, and `waker` outlives it.
        let waker = ManuallyDrop::new(unsafe { std::ptr::read(waker) });
        let lent = Self { head: abi::Waker { vtable: &BORROWED }, waker };
        poll((&raw const lent).cast())
    }

    /// The waker that this side has lent, when `waker` is one of those.
    ///
    /// # Safety
    /// `waker` lives for as long as what is returned is used.
    pub(super) unsafe fn unwrapped(waker: *const abi::Waker) -> Option<ManuallyDrop<Waker>> {
        // SAFETY: alive, as the caller vouches.
        let vtable = unsafe { (*waker).vtable };
        if !std::ptr::eq(vtable, &OWNED) && !std::ptr::eq(vtable, &BORROWED) {
            return None;
        }
        // SAFETY: these tables stand in a `Lent` only; the copy is never dropped, and the caller vouches that the
        // `Lent` outlives it.
        Some(unsafe { std::ptr::read(&raw const (*waker.cast::<Self>()).waker) })
    }
}

unsafe extern "C" fn clone(waker: *const abi::Waker) -> *const abi::Waker {
    // SAFETY: every waker that the other side sees is the head of a `Lent` that lives.
    let waker = unsafe { &*waker.cast::<Lent>() };
    match contained(|| Waker::clone(&waker.waker)) {
        Ok(waker) => {
            let owned = Lent { head: abi::Waker { vtable: &OWNED }, waker: ManuallyDrop::new(waker) };
            Box::into_raw(Box::new(owned)).cast()
        }
        // The contract of this table has no failure, and a waker that panics when cloned breaks its own.
        Err(_) => std::process::abort(),
    }
}

unsafe extern "C" fn wake(waker: *const abi::Waker) {
    // SAFETY: only a waker with the table `OWNED` gets here, once: it is the box that `clone` made.
    let owned = unsafe { Box::from_raw(waker.cast_mut().cast::<Lent>()) };
    let Lent { waker, .. } = *owned;
    // A runtime whose waker panics says so itself.
    let _ = contained(|| ManuallyDrop::into_inner(waker).wake());
}

unsafe extern "C" fn wake_by_ref(waker: *const abi::Waker) {
    // SAFETY: as in `clone`.
    let waker = unsafe { &*waker.cast::<Lent>() };
    let _ = contained(|| waker.waker.wake_by_ref());
}

unsafe extern "C" fn drop(waker: *const abi::Waker) {
    // SAFETY: as in `wake`.
    let owned = unsafe { Box::from_raw(waker.cast_mut().cast::<Lent>()) };
    let Lent { waker, .. } = *owned;
    let _ = contained(|| std::mem::drop(ManuallyDrop::into_inner(waker)));
}

unsafe extern "C" fn nothing(_: *const abi::Waker) {}
