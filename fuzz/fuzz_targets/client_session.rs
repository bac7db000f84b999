//! Any sequence of operations on a client's session: its property test, with the bytes from libFuzzer.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| aaw_protocol::client::exercise::run(bytes));
