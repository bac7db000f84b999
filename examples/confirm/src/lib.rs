//! A question to everybody who is here, and what they answered.

#![forbid(unsafe_code)]

aaw_event::events!();
