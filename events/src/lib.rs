//! The events that the stock `aaw-server` serves when it is given no others: one of each kind, to try a connection
//! with, and to begin a package of one's own from.

#![forbid(unsafe_code)]

aaw_event::events!();
