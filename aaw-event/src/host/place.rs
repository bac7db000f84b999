//! Memory that a call's state is built in, so that a call that is ready at once allocates nothing.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use crate::abi::{PLACE_ALIGN, Space};

/// Large enough for the state of most handlers. Others allocate their own.
const PLACE_LEN: usize = 512;

/// The memory for the state of one call. Not a `Box`, which must not be moved while a pointer to its contents is in use.
pub(super) struct Place(NonNull<PlaceMemory>);

#[repr(C, align(16))]
struct PlaceMemory([MaybeUninit<u8>; PLACE_LEN]);

const _: () = assert!(align_of::<PlaceMemory>() == PLACE_ALIGN);

// SAFETY: owned memory without a thread of its own.
unsafe impl Send for Place {}
// SAFETY: a shared reference has no methods.
unsafe impl Sync for Place {}

/// The places that a thread keeps: for calls that wait, which are many at a time. 16 KiB.
const MAX_SPARE: usize = 32;

thread_local! {
    static SPARE: RefCell<Vec<Place>> = const { RefCell::new(Vec::new()) };
}

impl Place {
    /// Takes a place of this thread, or makes one.
    #[inline]
    pub(super) fn take() -> Self {
        SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten().unwrap_or_else(Self::new)
    }

    #[cold]
    fn new() -> Self {
        let memory = Box::new(PlaceMemory([MaybeUninit::uninit(); PLACE_LEN]));
        Self(NonNull::from(Box::leak(memory)))
    }

    /// Returns a place to this thread, for its next call.
    #[inline]
    pub(super) fn put_back(self) {
        // Fails while the thread is shutting down.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MAX_SPARE {
                spare.push(self);
            }
        });
    }

    pub(super) fn space(&self) -> Space {
        Space { ptr: self.0.as_ptr().cast(), len: PLACE_LEN }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // SAFETY: the memory of `new`, which nothing else frees.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
