//! The client against a scripted server, over TCP. One program, because each one links everything again.

// A panic is how a test fails.
#![allow(clippy::unwrap_used)]

mod client;
mod client_calls;
mod login;
mod scripted;
mod streams;
#[cfg(feature = "tls")]
mod tls;
mod tracing;
