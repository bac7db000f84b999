//! Any sequence of operations on a server's session keeps its promises. [`exercise`](exercise::exercise) says which.

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
