//! A client and a server whose sockets break at any time: the property test in `aaw-protocol/tests/it/resumption.rs`, with
//! input from libFuzzer.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../aaw-protocol/tests/it/exercise/resumption.rs"]
mod exercise;

fuzz_target!(|bytes: &[u8]| exercise::exercise(bytes));
