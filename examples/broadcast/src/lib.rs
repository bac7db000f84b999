//! Who is connected: greeted on opening, counted until closing.

#![forbid(unsafe_code)]

aaw_event::events!();
