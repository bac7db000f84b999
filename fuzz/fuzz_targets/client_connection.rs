//! Any sequence of operations on a client's session: the property test of `aaw-protocol/tests/client_connection.rs`, with
//! the bytes from libFuzzer.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../aaw-protocol/tests/exercise/client.rs"]
mod exercise;

fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
