//! Any sequence of operations on a `ServerConnection`: the property test in `aaw-protocol/tests/it/server_connection.rs`,
//! with input from libFuzzer.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../aaw-protocol/tests/it/exercise/server.rs"]
mod exercise;

fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
