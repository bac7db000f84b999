//! Property test: a [`ServerConnection`](aaw_protocol::server::ServerConnection) keeps its invariants for any sequence
//! of operations. The module [`exercise`] lists them.

use proptest::prelude::*;

#[path = "exercise/server.rs"]
mod exercise;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_call_gets_its_response(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise::exercise(&bytes);
    }
}
