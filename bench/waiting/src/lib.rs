//! An `echo` that waits once before it responds.

#![forbid(unsafe_code)]

aaw_event::events!();

pub use _services::Wait;
