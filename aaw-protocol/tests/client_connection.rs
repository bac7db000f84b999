//! Any sequence of operations on a client's session keeps its promises. [`exercise`](exercise::exercise) says which.

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
