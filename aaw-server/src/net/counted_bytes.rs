//! Bytes of a response that are counted in a memory budget until they have been written.

use std::sync::Arc;

use bytes::Bytes;

use crate::memory_budget::{ConnectionBudget, HeldBytes};

struct CountedBytes {
    bytes: Vec<u8>,
    _held: HeldBytes,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Makes a part of a response body. hyper keeps it, uncopied, until the socket has accepted it; until then it is counted: over
/// HTTP/2, many small ones may wait.
pub(crate) fn counted(bytes: Vec<u8>, memory: &Arc<ConnectionBudget>) -> Bytes {
    let mut held = HeldBytes::new(memory);
    held.set(bytes.capacity());
    Bytes::from_owner(CountedBytes { bytes, _held: held })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_budget::{ProcessBudget, STEP};

    #[test]
    fn a_large_part_is_counted_until_its_last_clone_is_dropped() {
        let process = Arc::<ProcessBudget>::default();
        let memory = process.connection(None);
        let many_small: Vec<_> = (0..STEP).map(|_| counted(vec![1; 2], &memory)).collect();
        assert_eq!(process.used(), 2 * STEP);
        drop(many_small);
        let small = counted(vec![1; 100], &memory);
        let mut large = counted(vec![2; 3 * STEP], &memory);
        assert_eq!((small.len(), large.len(), process.used()), (100, 3 * STEP, 3 * STEP));
        let rest = large.split_off(STEP);
        drop(large);
        assert_eq!(process.used(), 3 * STEP);
        drop(rest);
        assert_eq!(process.used(), 0);
    }
}
