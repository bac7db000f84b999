//! The id of the caller of a request.

use std::cell::RefCell;

use uuid::{Builder, Uuid};

/// The ids whose random bytes are requested from the system at once: a system call for each request would cost as much as
/// the call of the event.
const IDS: usize = 16;

thread_local! {
    /// Random bytes, and how many ids were made of them.
    static RANDOM: RefCell<([[u8; 16]; IDS], usize)> = const { RefCell::new(([[0; 16]; IDS], IDS)) };
}

/// Returns a new random id (RFC 9562, version 4).
pub(super) fn new_request_id() -> Uuid {
    RANDOM.with_borrow_mut(|(bytes, used)| {
        if *used == IDS {
            if getrandom::fill(bytes.as_flattened_mut()).is_err() {
                return Uuid::new_v4();
            }
            *used = 0;
        }
        *used += 1;
        Builder::from_random_bytes(bytes[*used - 1]).into_uuid()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_random_and_unique() {
        let ids: HashSet<Uuid> = (0..10 * IDS).map(|_| new_request_id()).collect();
        assert_eq!(ids.len(), 10 * IDS);
        assert!(ids.iter().all(|id| id.get_version_num() == 4 && !id.is_nil()));
    }
}
