//! The events of a large table: `users/all` is all of its rows, one at a time.

#![forbid(unsafe_code)]

aaw_event::events!();
