//! What an author of events writes with.

mod empty;
mod error;
mod guard;
mod identity;
mod opening;
mod response_future;
mod room;
mod services;
mod side;
mod upload;
mod ws;

pub use empty::Empty;
pub use error::{Error, Result};
pub use guard::{GuardedCall, PasswordReset};
pub use identity::{Identity, LoggedIn};
pub use opening::{CloseInfo, ClosedBy, OpenInfo};
pub use response_future::ResponseFuture;
pub use room::{Member, Presence, Room};
pub use services::Services;
pub use upload::Upload;
pub use ws::{Sent, To, Ws};
