//! Rooms, questions and guards that do what a test tells them.

#![forbid(unsafe_code)]

aaw_event::events!();
