//! The events of a chat. Those below `auth/` are for people who have logged in; aaw sees to that.

#![forbid(unsafe_code)]

aaw_event::events!();

pub use _services::data;
