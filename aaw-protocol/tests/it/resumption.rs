//! Property test: whatever happens to their sockets, a client and a server lose nothing, do nothing twice and keep the order.
//! The module [`exercise`] lists the operations.

use proptest::prelude::*;

#[path = "exercise/resumption.rs"]
mod exercise;

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn everything_happens_once_and_in_order(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        exercise::exercise(&bytes);
    }
}
