//! What the compiler says of a handler that is wrong in a way that `aaw_event_build` cannot see: one file a mistake,
//! the message beside it is the assertion. The rest is tested in `aaw_event_build`.
//!
//! The compiler's own words around ours change from one version to the next, so they are compared with one of them.

use std::process::Command;

const COMPILER: &str = "rustc 1.95.";

#[test]
fn a_mistake_is_explained() {
    let version = Command::new("rustc").arg("--version").output().expect("rustc is there, as cargo is").stdout;
    if !version.starts_with(COMPILER.as_bytes()) {
        eprintln!("not compared: the messages beside the files are those of {COMPILER}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/wrong/*.rs");
}
