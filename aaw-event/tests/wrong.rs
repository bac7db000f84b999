//! The compile errors of handlers whose mistakes `aaw_event_build` cannot detect: one file per mistake, with the
//! expected message next to it. The mistakes that it detects are tested in `aaw_event_build`.
//!
//! The compiler's own part of a message changes between versions, so the messages are compared with one version only.

use std::process::Command;

const COMPILER: &str = "rustc 1.95.";

#[test]
fn each_mistake_has_a_helpful_message() {
    let version = Command::new("rustc").arg("--version").output().expect("rustc is installed next to cargo").stdout;
    if !version.starts_with(COMPILER.as_bytes()) {
        eprintln!("skipped: the expected messages are those of {COMPILER}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/wrong/*.rs");
}
