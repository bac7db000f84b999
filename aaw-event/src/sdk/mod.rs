//! What an author of events writes with.

mod empty;
mod error;
mod incoming;
mod opening;
mod services;
mod ws;

pub use empty::Empty;
pub use error::{Error, Result};
pub use incoming::Incoming;
pub use opening::{Closed, ClosedBy, Opened};
pub use services::Services;
pub use ws::{Sent, To, Ws};
