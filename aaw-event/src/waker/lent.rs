//! Lends a waker of this side to the other side, in the shape of the ABI.

use std::mem::ManuallyDrop;
use std::task::Waker;

use crate::abi;
use crate::catch_panic::catch_panic;

/// A waker of this side behind an ABI table: on the stack for the length of a poll, or in a box once the other side has
/// cloned it.
#[repr(C)]
struct LentWaker {
    head: abi::Waker,
    waker: ManuallyDrop<Waker>,
}

/// For a boxed waker: `wake` and `drop` free the box.
static OWNED: abi::WakerVtable =
    abi::WakerVtable { size: size_of::<abi::WakerVtable>(), clone, wake, wake_by_ref, drop };

/// For a waker on the stack: there is no box to free.
static BORROWED: abi::WakerVtable =
    abi::WakerVtable { size: size_of::<abi::WakerVtable>(), clone, wake: wake_by_ref, wake_by_ref, drop: no_op };

/// Lends `waker` to the other side while `poll` runs, without an allocation.
pub(super) fn lend<R>(waker: &Waker, poll: impl FnOnce(*const abi::Waker) -> R) -> R {
    // SAFETY: the copy is never dropped, and `waker` outlives it.
    let waker = ManuallyDrop::new(unsafe { std::ptr::read(waker) });
    let lent = LentWaker { head: abi::Waker { vtable: &BORROWED }, waker };
    poll((&raw const lent).cast())
}

/// The waker of this side that is behind `waker`, if this side has lent it.
///
/// # Safety
/// `waker` lives for as long as the returned waker is used.
pub(super) unsafe fn unwrap(waker: *const abi::Waker) -> Option<ManuallyDrop<Waker>> {
    // SAFETY: alive, as the caller guarantees.
    let vtable = unsafe { (*waker).vtable };
    if !std::ptr::eq(vtable, &OWNED) && !std::ptr::eq(vtable, &BORROWED) {
        return None;
    }
    // SAFETY: only a `LentWaker` has one of these tables; the copy is never dropped, and the caller guarantees that the
    // `LentWaker` outlives it.
    Some(unsafe { std::ptr::read(&raw const (*waker.cast::<LentWaker>()).waker) })
}

unsafe extern "C" fn clone(waker: *const abi::Waker) -> *const abi::Waker {
    // SAFETY: every waker with one of these tables is the head of a live `LentWaker`.
    let waker = unsafe { &*waker.cast::<LentWaker>() };
    match catch_panic(|| Waker::clone(&waker.waker)) {
        Ok(waker) => {
            let owned = LentWaker { head: abi::Waker { vtable: &OWNED }, waker: ManuallyDrop::new(waker) };
            Box::into_raw(Box::new(owned)).cast()
        }
        // This function cannot report a failure, and a waker that panics in `clone` violates its own contract.
        Err(_) => std::process::abort(),
    }
}

unsafe extern "C" fn wake(waker: *const abi::Waker) {
    // SAFETY: only a waker with the table `OWNED` gets here, and only once: it is the box that `clone` made.
    let owned = unsafe { Box::from_raw(waker.cast_mut().cast::<LentWaker>()) };
    let LentWaker { waker, .. } = *owned;
    // The panic hook has already reported a panic of the runtime's waker.
    let _ = catch_panic(|| ManuallyDrop::into_inner(waker).wake());
}

unsafe extern "C" fn wake_by_ref(waker: *const abi::Waker) {
    // SAFETY: as in `clone`.
    let waker = unsafe { &*waker.cast::<LentWaker>() };
    let _ = catch_panic(|| waker.waker.wake_by_ref());
}

unsafe extern "C" fn drop(waker: *const abi::Waker) {
    // SAFETY: as in `wake`.
    let owned = unsafe { Box::from_raw(waker.cast_mut().cast::<LentWaker>()) };
    let LentWaker { waker, .. } = *owned;
    let _ = catch_panic(|| std::mem::drop(ManuallyDrop::into_inner(waker)));
}

unsafe extern "C" fn no_op(_: *const abi::Waker) {}
