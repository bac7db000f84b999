//! What an author of events writes with.

mod asked;
mod empty;
mod error;
mod guard;
mod identity;
mod incoming;
mod opening;
mod room;
mod services;
mod side;
mod ws;

pub use asked::Asked;
pub use empty::Empty;
pub use error::{Error, Result};
pub use guard::{Guarded, PasswordReset};
pub use identity::{Identity, LoggedIn};
pub use incoming::Incoming;
pub use opening::{Closed, ClosedBy, Opened};
pub use room::{Member, Presence, Room};
pub use services::Services;
pub use ws::{Sent, To, Ws};
