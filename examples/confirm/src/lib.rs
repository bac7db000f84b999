//! A yes-or-no question to all connected clients, and the count of their answers.

#![forbid(unsafe_code)]

aaw_event::events!();
