//! Events for rooms and client calls, and guards that do what a test configures.

#![forbid(unsafe_code)]

aaw_event::events!();
