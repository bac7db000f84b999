//! Memory for frames, shared by those that a thread writes one after the other.

use std::cell::Cell;

use bytes::BytesMut;

thread_local! {
    /// The block that the next frame of this thread is written to.
    static BLOCK: Cell<BytesMut> = Cell::default();
}

/// The size of a block: for a hundred small calls. It is freed, or used again, once all its frames were sent.
const BLOCK_LEN: usize = 8 << 10;

/// The longest frame that shares its block with others. The block of a longer one is its own, so that a block that another
/// frame still refers to is never large.
const MAX_SHARED: usize = 1 << 10;

/// Returns what `write` appends to a buffer, with capacity for `room` more bytes.
///
/// # Errors
/// Those of `write`.
pub(super) fn write<E>(room: usize, write: impl FnOnce(&mut BytesMut) -> Result<(), E>) -> Result<BytesMut, E> {
    // While it is written to, the block belongs to this call: `write` may run code of the application, which may get here.
    let mut block = BLOCK.try_with(Cell::take).unwrap_or_default();
    if block.capacity() < MAX_SHARED + room {
        // Takes the front of the block again, if its frames are gone.
        block.reserve(BLOCK_LEN);
    }
    write(&mut block)?;
    block.reserve(room);
    if block.len() <= MAX_SHARED {
        let rest = block.split_off(block.len() + room);
        // Fails while the thread is shutting down.
        let _ = BLOCK.try_with(|block| block.set(rest));
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> BytesMut {
        write(7, |block| {
            block.resize(len, b'x');
            Ok::<_, ()>(())
        })
        .unwrap()
    }

    #[test]
    fn frames_share_a_block_and_have_room() {
        let (first, mut second) = (frame(10), frame(20));
        assert_eq!((first.len(), first.capacity(), second.capacity()), (10, 17, 27));
        assert_eq!(second.as_ptr() as usize - first.as_ptr() as usize, 17);
        let before = second.as_ptr();
        second.extend_from_slice(&[0; 7]);
        assert_eq!(second.as_ptr(), before);
    }

    #[test]
    fn the_memory_of_frames_that_are_gone_is_used_again() {
        let first = frame(100).as_ptr();
        let again = (0..1000).filter(|_| frame(100).as_ptr() == first).count();
        assert!(again >= 10, "{again} of 1000");
    }

    #[test]
    fn a_long_frame_has_a_block_of_its_own() {
        let long = frame(100_000);
        assert!(long.capacity() >= 100_007);
        let short = frame(10);
        assert!(!long.as_ptr_range().contains(&short.as_ptr()));
        assert!(BLOCK.take().capacity() <= BLOCK_LEN);
    }

    #[test]
    fn a_frame_that_fails_leaves_nothing() {
        let failed = write(7, |block| {
            block.extend_from_slice(b"part");
            Err(())
        });
        assert_eq!((failed, frame(2)), (Err(()), BytesMut::from("xx")));
    }
}
