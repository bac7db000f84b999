//! The stock events: one of each kind, for trying out a connection, and as a starting point for a package of your own.

#![forbid(unsafe_code)]

aaw_event::events!();
