//! The program `aaw` against a scripted server. One program, because each one links everything again.

// A panic is how a test fails.
#![allow(clippy::unwrap_used)]

mod aaw;
mod login;
#[path = "../../../aaw-client/tests/it/scripted/mod.rs"]
mod scripted;
