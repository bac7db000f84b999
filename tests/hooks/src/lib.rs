//! Connection hooks that do what a test configures.

#![forbid(unsafe_code)]

aaw_event::events!();
