//! An allocator that counts. A test makes it that of its program:
//!
//! ```
//! use aaw_tests::counting_allocator::{CountingAllocator, allocations_of_thread};
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//!
//! let before = allocations_of_thread();
//! drop(Box::new(7));
//! assert_eq!(allocations_of_thread() - before, 1);
//! ```

#![expect(unsafe_code, reason = "the trait of allocators is unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counted.
pub struct CountingAllocator;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static MOST_ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OF_THREAD: Cell<usize> = const { Cell::new(0) };
}

/// Returns the bytes that are allocated now.
#[must_use]
pub fn allocated() -> usize {
    ALLOCATED.load(Ordering::Relaxed)
}

/// Returns the most bytes that were allocated at any time since [`reset_most_allocated`], or the start of the program.
#[must_use]
pub fn most_allocated() -> usize {
    MOST_ALLOCATED.load(Ordering::Relaxed)
}

/// Forgets what was allocated before. Returns the bytes that are allocated now.
pub fn reset_most_allocated() -> usize {
    let now = allocated();
    MOST_ALLOCATED.store(now, Ordering::Relaxed);
    now
}

/// Returns the number of allocations so far, of all threads.
#[must_use]
pub fn allocations() -> usize {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Returns the number of allocations so far of this thread.
#[must_use]
pub fn allocations_of_thread() -> usize {
    OF_THREAD.get()
}

fn count(size: usize) {
    let before = ALLOCATED.fetch_add(size, Ordering::Relaxed);
    MOST_ALLOCATED.fetch_max(before.wrapping_add(size), Ordering::Relaxed);
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    OF_THREAD.set(OF_THREAD.get() + 1);
}

// SAFETY: Every method passes its arguments on to `System`, and returns its result.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: The caller follows the contract of this method, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: As above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The block is usually extended where it is, so the most is that of one block.
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        count(size);
        // SAFETY: As above.
        unsafe { System.realloc(block, layout, size) }
    }
}
