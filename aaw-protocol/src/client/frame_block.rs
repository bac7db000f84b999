//! Memory for frames, shared by those that a thread writes one after the other.
//!
//! A frame keeps its whole block. A message that has to wait is therefore moved out of it, see
//! [`EncodedMessage::detach`](super::EncodedMessage). Each thread that makes calls keeps one block.

use std::cell::Cell;

use bytes::BytesMut;

thread_local! {
    /// The block that the next frame of this thread is written to.
    static BLOCK: Cell<BytesMut> = Cell::default();
}

/// The size of a block: for a hundred small calls. It is freed, or used again, once all its frames were sent.
const BLOCK_LEN: usize = 8 << 10;

/// The rest of a block that is worth writing another frame to.
const MIN_REST: usize = 1 << 10;

/// Returns what `write` appends to a buffer, with capacity for `reserved` more bytes.
///
/// # Errors
/// Those of `write`.
pub(super) fn write<E>(reserved: usize, write: impl FnOnce(&mut BytesMut) -> Result<(), E>) -> Result<BytesMut, E> {
    // While it is written to, the block belongs to this call: `write` may run code of the application, which may get here.
    let mut block = BLOCK.try_with(Cell::take).unwrap_or_default();
    if block.capacity() < MIN_REST + reserved {
        // Uses the block again if all its frames were dropped, and otherwise allocates another one.
        block.reserve(BLOCK_LEN);
    }
    write(&mut block)?;
    block.reserve(reserved);
    // A block that has grown beyond that is of this frame only: a small frame never keeps a large block.
    if block.capacity() <= BLOCK_LEN {
        let rest = block.split_off(block.len() + reserved);
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
    fn frames_share_a_block_and_have_reserved_capacity() {
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
        assert!((100_007..=200_014).contains(&long.capacity()));
        let short = frame(10);
        assert!(!long.as_ptr_range().contains(&short.as_ptr()));
        assert!(BLOCK.take().capacity() <= BLOCK_LEN);
    }

    /// Otherwise each would occupy a block while it waits, several times its own memory.
    #[test]
    fn frames_of_some_kilobytes_share_blocks_too() {
        for (len, in_a_block) in [(1_000, 7), (1_100, 6), (2_000, 3)] {
            let frames: Vec<_> = (0..100).map(|_| frame(len)).collect();
            let adjoin = |pair: &[BytesMut]| pair[0].as_ptr() as usize + len + 7 == pair[1].as_ptr() as usize;
            let adjoining = frames.windows(2).filter(|pair| adjoin(pair)).count();
            assert!(adjoining >= 100 - 100 / in_a_block - 2, "{adjoining} of 100 frames of {len} bytes");
        }
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
