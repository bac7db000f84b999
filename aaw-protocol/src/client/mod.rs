//! The client's side of a connection, and of the connections after it, as a state machine.
//!
//! - [`ClientConnection`]: which answer belongs to which call, until when a call waits, what may be written now, whether
//!   the server still lives, when to connect again.
//! - [`EncodedMessage`]: a frame as its author leaves it, without the id that it gets when it is written.
//! - [`Output`], [`CallResult`]: what the session wants done, and how a call ended.
//! - [`StreamOptions`]: a call whose answer is read item by item, and that may send items itself.
//! - [`ClientCallKey`]: what the server asks, until it has its [reply](ClientConnection::respond).
//! - [`Token`](crate::Token): what proves a session. The client session keeps it from the answer of `aaw/login` and its like, and shows
//!   it to the server on each new connection before anything else is said.
//! - [`ClientConfig`]: the bounds, each with its reason.
//!
//! Time is an [`Instant`](std::time::Instant) handed in, chance is a seed handed in. What owns a socket looks like
//! this:
//!
//! ```
//! use std::time::{Duration, Instant};
//! use aaw_protocol::Dialect;
//! use aaw_protocol::client::{CallKey, ClientConnection, ClientConfig, EncodedMessage, CallResult, Output};
//!
//! let now = Instant::now();
//! let mut session = ClientConnection::new(ClientConfig::default(), 42);
//! assert!(matches!(session.poll_output(), Some(Output::Connect)));
//! session.handle_connected(now, Dialect::V1);
//! let deadline = now + Duration::from_secs(3);
//! session.call(now, CallKey(1), EncodedMessage::new("ping", &()).unwrap(), Some(deadline), "who waits");
//!
//! let mut sent = Vec::new();
//! while let Some(Output::Send(frame)) = session.poll_output() {
//!     sent.push(frame);
//! }
//! assert_eq!(sent, [r#"["aaw/hello",{}]"#, r#"["ping",null,1]"#]);
//!
//! session.handle_sign_of_life(now);
//! session.handle_text(now, r#"["ping",{"pong":true},1]"#);
//! let Some(Output::CallDone { waiter: "who waits", outcome: CallResult::Response(json) }) = session.poll_output() else {
//!     panic!()
//! };
//! assert_eq!(&*json, r#"{"pong":true}"#);
//! ```

mod backoff;
mod client_calls;
mod config;
mod connection;
mod encoded_message;
mod fifo_matcher;
mod output;
mod streaming;
#[cfg(test)]
mod tests;
mod token;
mod wait_queue;

pub use backoff::Backoff;
pub use client_calls::ClientCallKey;
pub use config::ClientConfig;
pub use connection::{CallKey, ClientConnection};
pub use encoded_message::EncodedMessage;
pub use output::{CallResult, DisconnectReason, NotSent, Output, ProtocolWarning};
pub use streaming::StreamOptions;
