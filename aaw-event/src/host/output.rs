//! The host's side of output in place: the polls of a thread, and the buffers that their items are written into.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::abi::{Output, OutputVtable, Space, committed};

/// Where the items of a call are written, each at the end of a buffer.
///
/// A `Vec<u8>` takes one item per poll.
pub trait ItemSink {
    /// The buffer, to whose end the next item is written. An item that is not complete is never part of its length.
    fn buffer(&mut self) -> &mut Vec<u8>;

    /// An item was written: it is the end of the buffer, from `start` on. Returns whether the poll may write another one.
    ///
    /// It must not panic: it is called through the ABI, and a panic there aborts the process.
    fn end_item(&mut self, start: usize) -> bool;
}

impl ItemSink for Vec<u8> {
    fn buffer(&mut self) -> &mut Vec<u8> {
        self
    }

    fn end_item(&mut self, _: usize) -> bool {
        false
    }
}

/// What is reserved for an item at first: enough for most, so that they cost no call of `reserve`.
const FIRST_SPACE: usize = 256;

/// The output of what is not a poll, and writes no items: there is no poll of this number.
pub(super) const NO_OUTPUT: Output = Output { poll: 0, space: Space::NONE, vtable: &VTABLE };

/// The items that a poll has written.
pub(super) struct WrittenItems {
    pub(super) count: u64,
    /// The length of the last item, if it is longer than the host accepts. It was not taken.
    pub(super) refused_len: Option<usize>,
    /// What the package has done against the ABI.
    pub(super) violation: Option<String>,
}

/// A poll that writes in place, on this thread.
struct ActivePoll<'a> {
    number: u64,
    sink: &'a mut dyn ItemSink,
    max_len: usize,
    /// The bytes that the package may write behind the buffer's length.
    reserved: usize,
    wants_more: bool,
    written: WrittenItems,
}

thread_local! {
    /// The innermost poll, or null.
    static CURRENT: Cell<*mut ActivePoll<'static>> = const { Cell::new(std::ptr::null_mut()) };
    /// The number of this thread's next poll. At a multiple of [`NUMBERS`] the thread has none left.
    static NEXT_NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// The numbers that a thread takes at once, so that no two threads have polls of the same number.
const NUMBERS: u64 = 1 << 20;

fn next_number() -> u64 {
    static NEXT_NUMBERS: AtomicU64 = AtomicU64::new(0);
    let mut number = NEXT_NUMBER.get();
    if number.is_multiple_of(NUMBERS) {
        number = NEXT_NUMBERS.fetch_add(NUMBERS, Ordering::Relaxed) + 1;
    }
    NEXT_NUMBER.set(number + 1);
    number
}

static VTABLE: OutputVtable = OutputVtable { size: size_of::<OutputVtable>(), reserve, commit };

/// Lets `poll` write items of at most `max_len` bytes to `sink`, through the output that it receives.
pub(super) fn with_output<R>(
    sink: &mut dyn ItemSink,
    max_len: usize,
    poll: impl FnOnce(Output) -> R,
) -> (R, WrittenItems) {
    let written = WrittenItems { count: 0, refused_len: None, violation: None };
    let mut active = ActivePoll { number: next_number(), sink, max_len, reserved: 0, wants_more: true, written };
    let output = Output { poll: active.number, space: active.reserve(FIRST_SPACE), vtable: &VTABLE };
    // Until the poll has ended, `active` is used through this pointer only.
    let outer = OuterPoll(CURRENT.replace((&raw mut active).cast()));
    let result = poll(output);
    drop(outer);
    (result, active.written)
}

/// Makes the poll around a poll the current one again, when this is dropped.
struct OuterPoll(*mut ActivePoll<'static>);

impl Drop for OuterPoll {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

impl ActivePoll<'_> {
    /// Reserves space for an item of `len` bytes behind the buffer's length. The space is all that the buffer has there, up
    /// to the longest item that is accepted: it may be more than `len`, and less if `len` exceeds that limit.
    fn reserve(&mut self, len: usize) -> Space {
        let buffer = self.sink.buffer();
        buffer.reserve(len);
        self.reserved = (buffer.capacity() - buffer.len()).min(self.max_len);
        let start = buffer.len();
        // SAFETY: within the buffer's capacity.
        Space { ptr: unsafe { buffer.as_mut_ptr().add(start) }, len: self.reserved }
    }

    fn violate(&mut self, what: String) -> Space {
        self.written.violation.get_or_insert(what);
        self.wants_more = false;
        self.reserved = 0;
        Space::NONE
    }

    fn grow(&mut self, written: usize, additional: usize) -> Space {
        if written > self.reserved {
            let reserved = self.reserved;
            return self.violate(format!("it wrote {written} bytes of an item for which {reserved} were reserved"));
        }
        let len = match written.checked_add(additional) {
            Some(len) if self.wants_more && len <= self.max_len => len,
            _ => {
                self.reserved = 0;
                return Space::NONE;
            }
        };
        let buffer = self.sink.buffer();
        let start = buffer.len();
        // So that the bytes that were written move with the buffer.
        // SAFETY: within the capacity, as checked above. The package has written them; that it has is its part of the ABI.
        unsafe { buffer.set_len(start + written) };
        // At least doubled, so that a long item is moved a few times only. Not `reserve`, which ends the process if there is
        // no memory for what the package asks for.
        let is_reserved = buffer.try_reserve(additional.max(written)).is_ok();
        buffer.truncate(start);
        if is_reserved {
            self.reserve(len)
        } else {
            self.reserved = 0;
            Space::NONE
        }
    }

    fn end_item(&mut self, len: usize, next: *mut Space) -> u32 {
        if !self.wants_more {
            self.violate("it ended an item after the last one that this poll takes".to_owned());
            return committed::REJECTED;
        }
        if len > self.max_len {
            self.written.refused_len = Some(len);
            self.wants_more = false;
            return committed::ENOUGH;
        }
        if len > self.reserved {
            let reserved = self.reserved;
            self.violate(format!("it ended an item of {len} bytes for which {reserved} were reserved"));
            return committed::REJECTED;
        }
        let buffer = self.sink.buffer();
        let start = buffer.len();
        // SAFETY: within the capacity; written by the package, as above.
        unsafe { buffer.set_len(start + len) };
        self.written.count += 1;
        self.wants_more = self.sink.end_item(start);
        if !self.wants_more {
            self.reserved = 0;
            return committed::ENOUGH;
        }
        let space = self.reserve(FIRST_SPACE);
        // SAFETY: the package passes a place for it.
        unsafe { next.write(space) };
        committed::MORE
    }
}

/// The poll of this number, if it is the innermost of this thread.
fn current<'a>(number: u64) -> Option<&'a mut ActivePoll<'static>> {
    let current = CURRENT.get();
    // SAFETY: `with_output` makes it null or another one before the poll that it points to ends. Only the functions below
    // use it, which do not run within one another.
    let active = unsafe { current.as_mut() }?;
    (active.number == number).then_some(active)
}

unsafe extern "C" fn reserve(poll: u64, written: usize, additional: usize) -> Space {
    current(poll).map_or(Space::NONE, |active| active.grow(written, additional))
}

unsafe extern "C" fn commit(poll: u64, written: usize, next: *mut Space) -> u32 {
    current(poll).map_or(committed::REJECTED, |active| active.end_item(written, next))
}
