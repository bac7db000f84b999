//! A task's waker, as a package sees it.

use std::mem::ManuallyDrop;
use std::task::Waker;

use crate::abi;
use crate::contain::contained;

/// On the stack for the length of a poll; in a box once the package has cloned it.
#[repr(C)]
pub(super) struct HostWaker {
    head: abi::Waker,
    waker: ManuallyDrop<Waker>,
}

/// Frees the box.
static OWNED: abi::WakerVtable =
    abi::WakerVtable { size: size_of::<abi::WakerVtable>(), clone, wake, wake_by_ref, drop };

/// There is no box: nothing is freed.
static BORROWED: abi::WakerVtable =
    abi::WakerVtable { size: size_of::<abi::WakerVtable>(), clone, wake: wake_by_ref, wake_by_ref, drop: nothing };

impl HostWaker {
    /// Lends `waker` to a package while `poll` runs, at the cost of no allocation.
    pub(super) fn lend<R>(waker: &Waker, poll: impl FnOnce(*const abi::Waker) -> R) -> R {
        // SAFETY: the copy is never dropped, and `waker` outlives it.
        let waker = ManuallyDrop::new(unsafe { std::ptr::read(waker) });
        let lent = Self { head: abi::Waker { vtable: &BORROWED }, waker };
        poll((&raw const lent).cast())
    }
}

unsafe extern "C" fn clone(waker: *const abi::Waker) -> *const abi::Waker {
    // SAFETY: every waker that a package sees is the head of a `HostWaker` that lives.
    let waker = unsafe { &*waker.cast::<HostWaker>() };
    match contained(|| Waker::clone(&waker.waker)) {
        Ok(waker) => {
            let owned = HostWaker { head: abi::Waker { vtable: &OWNED }, waker: ManuallyDrop::new(waker) };
            Box::into_raw(Box::new(owned)).cast()
        }
        // The contract of this table has no failure, and a waker that panics when cloned breaks its own.
        Err(_) => std::process::abort(),
    }
}

unsafe extern "C" fn wake(waker: *const abi::Waker) {
    // SAFETY: only a waker with the table `OWNED` gets here, once: it is the box that `clone` made.
    let owned = unsafe { Box::from_raw(waker.cast_mut().cast::<HostWaker>()) };
    let HostWaker { waker, .. } = *owned;
    // A runtime whose waker panics says so itself.
    let _ = contained(|| ManuallyDrop::into_inner(waker).wake());
}

unsafe extern "C" fn wake_by_ref(waker: *const abi::Waker) {
    // SAFETY: as in `clone`.
    let waker = unsafe { &*waker.cast::<HostWaker>() };
    let _ = contained(|| waker.waker.wake_by_ref());
}

unsafe extern "C" fn drop(waker: *const abi::Waker) {
    // SAFETY: as in `wake`.
    let owned = unsafe { Box::from_raw(waker.cast_mut().cast::<HostWaker>()) };
    let HostWaker { waker, .. } = *owned;
    let _ = contained(|| std::mem::drop(ManuallyDrop::into_inner(waker)));
}

unsafe extern "C" fn nothing(_: *const abi::Waker) {}
