//! The types that an author of events writes handlers with.

mod connection_info;
mod empty;
mod error;
mod guard;
mod handshake;
mod host_ops;
mod identity;
mod response_future;
mod room;
mod services;
mod upload;
mod ws;

pub use connection_info::{AwayInfo, BackInfo, CloseInfo, ClosedBy, OpenInfo};
pub use empty::Empty;
pub use error::{Error, Result};
pub use guard::{GuardedCall, PasswordReset};
pub use handshake::Handshake;
pub use identity::{Identity, LoggedIn};
pub use response_future::ResponseFuture;
pub use room::{Member, Presence, Room};
pub use services::Services;
pub use upload::Upload;
pub use ws::Ws;
