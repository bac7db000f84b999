//! Returns free memory of the heap to the system: glibc keeps what a burst has used, in some cases for good.
//!
//! Resident MiB of the program with the events of this repository, on two cores, at most and 10 s after all have closed:
//!
//! | clients | without | with, already after 3 s |
//! |---|---|---|
//! | none yet | 11 | 11 |
//! | 5000 connections with 300 pushes each | 60, 57 | 54, 15 |
//! | 50 that send 256 calls with responses of 1 MB, and read nothing | 183, 91 | 102, 15 |
//! | 50 that send 64 000 small calls, and read nothing | 143, 136 | 141, 16 |
//!
//! Calls in steady load (2 KB, 8 connections) cause no trims: 370 to 410 page faults in 8 s with and without, and the same CPU
//! time a call within the noise.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::thread;
use std::time::{Duration, Instant};

/// The time between two looks at the heap.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How many times as long as a look the thread sleeps after it, but no longer than [`MAX_LOOK_INTERVAL`]. A look takes the
/// locks of the allocator and walks its lists, which takes milliseconds if there are very many free blocks.
const REST_FACTOR: u32 = 100;

const MAX_LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The free memory in bytes that is always kept.
const MIN_KEPT: usize = 8 << 20;

/// The part of the memory in use that may be free besides.
const KEPT_PART: usize = 8;

/// The number of looks in a row that must find too much free memory. What is free for a moment only is used again, and
/// would then have to be mapped again.
const LOOKS: u32 = 2;

/// The memory of the heap, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HeapUse {
    in_use: usize,
    /// Free, and still mapped to memory of the machine.
    free: usize,
}

/// Decides when to trim.
#[derive(Debug, Default)]
struct TrimPolicy {
    looks: u32,
    /// What the last trim could not return, mainly blocks smaller than a page.
    unreturnable: usize,
    /// What was in use then. When much less is, the free memory beside it can be returned as well.
    in_use: usize,
}

impl TrimPolicy {
    /// Returns whether the heap should be trimmed, from what a look has found.
    fn observe(&mut self, heap: HeapUse) -> bool {
        if heap.in_use < self.in_use - self.in_use / 4 {
            *self = Self { unreturnable: 0, in_use: heap.in_use, ..*self };
        }
        self.unreturnable = self.unreturnable.min(heap.free);
        let kept = MIN_KEPT.max(heap.in_use / KEPT_PART);
        let exceeds = heap.free - self.unreturnable > kept;
        self.looks = if exceeds { self.looks + 1 } else { 0 };
        self.looks >= LOOKS
    }

    /// Notes what is free after a trim.
    fn trimmed(&mut self, heap: HeapUse) {
        *self = Self { looks: 0, unreturnable: heap.free, in_use: heap.in_use };
    }
}

/// Starts a thread that trims the heap while the program runs. Without the functions that it needs, or without `/proc`, it does
/// nothing: they exist since glibc 2.33.
pub(crate) fn start() -> io::Result<()> {
    let Some(heap) = glibc::Heap::find() else { return Ok(()) };
    // Opened once: when a flood has used up the open files, the heap is looked at as well.
    let Ok(statm) = File::open("/proc/self/statm") else { return Ok(()) };
    thread::Builder::new().name("heap-trim".into()).stack_size(64 << 10).spawn(move || run(&heap, &statm)).map(drop)
}

fn run(heap: &glibc::Heap, statm: &File) {
    let mut policy = TrimPolicy::default();
    loop {
        let started = Instant::now();
        if let Some(found) = look(heap, statm)
            && policy.observe(found)
        {
            heap.trim();
            if let Some(left) = look(heap, statm) {
                policy.trimmed(left);
                let returned = found.free.saturating_sub(left.free);
                tracing::debug!(returned, took = ?started.elapsed(), "returned free memory to the system");
            }
        }
        thread::sleep((started.elapsed() * REST_FACTOR).clamp(LOOK_INTERVAL, MAX_LOOK_INTERVAL));
    }
}

/// Returns what the heap has now. The allocator counts blocks as free that were returned to the system already, so their
/// part is determined by the resident memory. `None` if that cannot be read.
fn look(heap: &glibc::Heap, statm: &File) -> Option<HeapUse> {
    let (in_use, free) = heap.blocks();
    let mut text = [0; 128];
    let len = statm.read_at(&mut text, 0).ok()?;
    let resident = resident_anonymous(str::from_utf8(&text[..len]).ok()?, heap.page_size())?;
    Some(HeapUse { in_use, free: free.min(resident.saturating_sub(in_use)) })
}

/// Returns the resident bytes that are no file's, from the text of `statm`.
fn resident_anonymous(statm: &str, page_size: usize) -> Option<usize> {
    let mut pages = statm.split_ascii_whitespace().skip(1).map(str::parse::<usize>);
    let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
    resident.saturating_sub(shared).checked_mul(page_size)
}

/// The calls into the C library.
#[allow(unsafe_code, reason = "functions of the C library")]
mod glibc {
    /// The allocator of glibc.
    pub(super) struct Heap {
        mallinfo2: unsafe extern "C" fn() -> libc::mallinfo2,
        page_size: usize,
    }

    impl Heap {
        /// Returns the allocator, if this glibc can describe it. The function is looked up while the program runs, so that
        /// the program also links and runs with an older glibc.
        pub(super) fn find() -> Option<Self> {
            // SAFETY: the name is a C string.
            let mallinfo2 = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"mallinfo2".as_ptr()) };
            if mallinfo2.is_null() {
                return None;
            }
            // SAFETY: the function of this name in glibc has this type.
            let mallinfo2 = unsafe {
                std::mem::transmute::<*mut libc::c_void, unsafe extern "C" fn() -> libc::mallinfo2>(mallinfo2)
            };
            // SAFETY: it only reads a value.
            let page_size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            Some(Self { mallinfo2, page_size: usize::try_from(page_size).ok()? })
        }

        /// Returns the bytes of the blocks in use, and of those that are free.
        pub(super) fn blocks(&self) -> (usize, usize) {
            // SAFETY: it may be called by any thread.
            let info = unsafe { (self.mallinfo2)() };
            (info.uordblks.saturating_add(info.hblkhd), info.fordblks)
        }

        pub(super) fn page_size(&self) -> usize {
            self.page_size
        }

        /// Returns the whole free pages to the system.
        pub(super) fn trim(&self) {
            // SAFETY: it may be called by any thread.
            unsafe { libc::malloc_trim(0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn heap(in_use: usize, free: usize) -> HeapUse {
        HeapUse { in_use: in_use * MIB, free: free * MIB }
    }

    #[test]
    fn what_stays_free_is_returned_and_what_is_free_for_a_moment_is_not() {
        let mut policy = TrimPolicy::default();
        let trims = [9, 8, 9, 9].map(|free| policy.observe(heap(10, free)));
        assert_eq!(trims, [false, false, false, true]);
        policy.trimmed(heap(10, 1));
        assert!(!policy.observe(heap(10, 9)));
    }

    #[test]
    fn a_large_heap_may_have_more_free_memory() {
        let mut policy = TrimPolicy::default();
        assert!(!(0..5).any(|_| policy.observe(heap(800, 100))));
        assert!((0..2).any(|_| policy.observe(heap(800, 101))));
    }

    #[test]
    fn what_cannot_be_returned_causes_no_further_trims() {
        let mut policy = TrimPolicy::default();
        policy.trimmed(heap(10, 50));
        assert!(!(0..5).any(|_| policy.observe(heap(10, 58))));
        assert!((0..2).any(|_| policy.observe(heap(10, 59))));
        // Once it was used again, it counts.
        policy.trimmed(heap(10, 50));
        assert!(!policy.observe(heap(55, 5)));
        assert!((0..2).any(|_| policy.observe(heap(10, 50))));
    }

    #[test]
    fn what_lay_beside_memory_in_use_is_returned_when_that_is_free() {
        let mut policy = TrimPolicy::default();
        policy.trimmed(heap(60, 12));
        assert!(!(0..5).any(|_| policy.observe(heap(50, 14))));
        assert!((0..2).any(|_| policy.observe(heap(2, 14))));
    }

    #[test]
    fn the_resident_memory_is_read_from_statm() {
        assert_eq!(resident_anonymous("2101 700 300 1 0 400 0\n", 4096), Some(400 * 4096));
        assert_eq!(resident_anonymous("", 4096), None);
    }

    #[test]
    fn a_burst_is_returned() {
        let Some(allocator) = glibc::Heap::find() else { return };
        let statm = File::open("/proc/self/statm").expect("/proc");
        let blocks: Vec<_> = (0..64 << 10).map(|n| vec![n as u8; 1000]).collect();
        let before = look(&allocator, &statm).expect("/proc");
        assert!(before.in_use > 60 * MIB, "{before:?}");
        // One block keeps the end of the heap from being returned without a trim.
        let last = blocks.into_iter().next_back();
        let burst = look(&allocator, &statm).expect("/proc");
        assert!(burst.free > 50 * MIB, "{burst:?}");
        allocator.trim();
        let rest = look(&allocator, &statm).expect("/proc");
        assert!(rest.free < burst.free / 2, "{rest:?}");
        drop(last);
    }
}
