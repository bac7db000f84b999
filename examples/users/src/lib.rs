//! The events of a large table: `users/all` yields its rows one at a time.

#![forbid(unsafe_code)]

aaw_event::events!();
