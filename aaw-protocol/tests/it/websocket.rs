//! Property test: the framing of [`aaw_protocol::websocket`] agrees with tungstenite for any bytes. The module [`exercise`]
//! lists the invariants.

use proptest::prelude::*;

#[path = "exercise/websocket.rs"]
mod exercise;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_client_is_understood_as_tungstenite_understands_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise::exercise(&bytes);
    }
}
