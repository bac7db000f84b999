//! Any sequence of operations on a server's session: the property test of `aaw-protocol/tests/server_connection.rs`, with
//! the bytes from libFuzzer.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../aaw-protocol/tests/exercise/server.rs"]
mod exercise;

fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
