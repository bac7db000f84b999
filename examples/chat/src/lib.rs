//! The events of a chat. aaw lets only logged-in clients call those below `auth/`.

#![forbid(unsafe_code)]

aaw_event::events!();

pub use _services::data;
