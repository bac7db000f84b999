//! Property test: a [`ClientConnection`](aaw_protocol::client::ClientConnection) keeps its invariants for any sequence
//! of operations. The module [`exercise`] lists them.

use proptest::prelude::*;

#[path = "exercise/client.rs"]
mod exercise;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_call_ends_exactly_once(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise::exercise(&bytes);
    }
}
