//! Any bytes of a client, in any parts, decoded by `aaw_protocol::websocket` and by tungstenite: the property test in
//! `aaw-protocol/tests/it/websocket.rs`, with input from libFuzzer.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../aaw-protocol/tests/it/exercise/websocket.rs"]
mod exercise;

fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
