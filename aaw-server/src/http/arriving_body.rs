//! A request body while it arrives.
//!
//! A large one is collected in blocks of one size and joined at its end. A buffer that grew to twice its size again and again
//! would have up to twice the memory of what has arrived; and since such bodies arrive side by side, the allocator could use
//! little of what each of them leaves behind when it grows.

/// The size of a block. A body up to this size is one buffer.
const BLOCK: usize = 64 << 10;

/// The bytes of a body that have arrived.
#[derive(Debug, Default)]
pub(super) struct ArrivingBody {
    /// What precedes `last`.
    blocks: Vec<Vec<u8>>,
    last: Vec<u8>,
    len: usize,
    /// The length of the whole body, if it is known, and 0 otherwise.
    expected: usize,
}

impl ArrivingBody {
    /// `expected` is the length of the whole body, if it is known, and 0 otherwise.
    pub(super) fn new(expected: usize) -> Self {
        Self { last: Vec::with_capacity(expected.min(BLOCK)), expected, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns whether all of a body of known length has arrived.
    pub(super) fn is_complete(&self) -> bool {
        self.len > 0 && self.len == self.expected
    }

    /// Returns the bytes of memory that the body takes.
    pub(super) fn memory(&self) -> usize {
        let blocks: usize = self.blocks.len() * BLOCK + self.blocks.capacity() * size_of::<Vec<u8>>();
        blocks + self.last.capacity()
    }

    pub(super) fn append(&mut self, mut data: &[u8]) {
        self.len += data.len();
        while !data.is_empty() {
            if self.last.len() == BLOCK {
                let rest = self.expected.saturating_sub(self.len - data.len()).max(data.len());
                let next = Vec::with_capacity(rest.min(BLOCK));
                self.blocks.push(std::mem::replace(&mut self.last, next));
            }
            let (taken, rest) = data.split_at(data.len().min(BLOCK - self.last.len()));
            self.last.extend_from_slice(taken);
            data = rest;
        }
    }

    /// Returns the body in one piece. Each block is freed when it has been copied.
    pub(super) fn join(self) -> Vec<u8> {
        if self.blocks.is_empty() {
            return self.last;
        }
        let mut joined = Vec::with_capacity(self.len);
        for block in self.blocks {
            joined.extend_from_slice(&block);
        }
        joined.extend_from_slice(&self.last);
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_what_has_arrived_in_whatever_pieces() {
        for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 10 * BLOCK + 7] {
            let sent: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            for (piece, expected) in [(1000, len), (BLOCK, len), (3 * BLOCK + 1, 0), (len.max(1), 5)] {
                let mut body = ArrivingBody::new(expected);
                for data in sent.chunks(piece) {
                    body.append(data);
                    assert!(body.memory() <= body.len() + 2 * BLOCK + 2000, "{} of {len}", body.memory());
                }
                assert_eq!((body.len(), body.is_complete()), (len, len > 0 && expected == len));
                assert_eq!(body.join(), sent);
            }
        }
    }
}
