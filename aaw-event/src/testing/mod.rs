//! Testing handlers without a server.
//!
//! A handler is a plain function. [`Services::for_test`](crate::Services::for_test) makes its second argument, and
//! [`Upload::for_test`](crate::Upload::for_test) its third. Behind them is a [`Caller`](crate::host::Caller) that
//! records what the handler sends, in place of a server's connection; everything in between is the code that runs on a
//! server.
//!
//! ```
//! use aaw_event::prelude::*;
//! use aaw_event::testing::{Recipient, SentMessage};
//!
//! // src/announce.rs
//! pub fn handler(body: Value, services: Services) {
//!     services.ws.broadcast(body, false);
//! }
//!
//! # /*
//! #[test]
//! # */
//! fn everyone_else_receives_the_announcement() {
//!     let services = Services::for_test(());
//!     handler(json!("happy birthday"), services.clone());
//!     assert_eq!(services.sent(), [SentMessage::new(Recipient::Others, "broadcast", "happy birthday")]);
//! }
//! # everyone_else_receives_the_announcement();
//! ```
//!
//! The test's connection has the id `test`. It may join rooms, of which it is then the only member; it has the identity
//! of [`TestServices::with_identity`]; and its client returns the responses of [`TestServices::with_response`].

mod caller;
mod sent;
mod services;
mod upload;

#[cfg(test)]
mod tests;

pub use sent::{Recipient, SentMessage};
pub use services::TestServices;
