//! The client's end of a connection, and of its later reconnections, as a state machine without a socket.
//!
//! - [`ClientConnection`] matches responses to calls, expires calls, decides what may be written now, detects a silent
//!   server, and decides when to reconnect.
//! - [`EncodedMessage`] is a call or one-way send whose body is serialized, without the id that it gets when it is
//!   written.
//! - [`Output`] is an instruction to the owner of the socket; [`CallResult`] is the result of a call.
//! - [`StreamOptions`] are the options of a call whose response is read item by item, and which may have an upload.
//! - [`ClientCallKey`] identifies a client call until its [response](ClientConnection::respond).
//! - [`Token`](crate::Token) proves a session. The connection stores the token from the response of `aaw/login` and
//!   similar events, and presents it on each new connection before it sends anything else.
//! - [`ClientConfig`] holds the limits and timeouts.
//!
//! # Driving the connection
//!
//! The owner of the socket does the following. Time is passed in as an [`Instant`](std::time::Instant), and randomness
//! as a seed.
//!
//! 1. **Output.** After each input, or every few inputs, drain [`poll_output`](ClientConnection::poll_output).
//!    [`Output::Connect`] requests a connection attempt; report its result with
//!    [`handle_connected`](ClientConnection::handle_connected) or
//!    [`handle_connect_failed`](ClientConnection::handle_connect_failed). With
//!    [`offer_resumption`](ClientConnection::offer_resumption) before it, the connection outlives its socket.
//! 2. **Input.** Whenever the socket returned any data, call
//!    [`handle_sign_of_life`](ClientConnection::handle_sign_of_life). Pass each text message to
//!    [`handle_text`](ClientConnection::handle_text) and each binary one to
//!    [`handle_binary`](ClientConnection::handle_binary), and report the loss of the connection with
//!    [`handle_disconnected`](ClientConnection::handle_disconnected).
//! 3. **Back-pressure.** Report with [`handle_blocked`](ClientConnection::handle_blocked) and
//!    [`handle_writable`](ClientConnection::handle_writable) whether the socket accepts more data. Messages that cannot
//!    be written wait in the write queue.
//! 4. **Time.** Call [`handle_timeout`](ClientConnection::handle_timeout) at
//!    [`poll_timeout`](ClientConnection::poll_timeout).
//!
//! ```
//! use std::time::{Duration, Instant};
//! use aaw_protocol::Dialect;
//! use aaw_protocol::client::{CallKey, ClientConnection, ClientConfig, EncodedMessage, CallResult, Output};
//!
//! let now = Instant::now();
//! let mut connection = ClientConnection::new(ClientConfig::default(), 42);
//! assert!(matches!(connection.poll_output(), Some(Output::Connect)));
//! connection.handle_connected(now, Dialect::V1);
//! let deadline = now + Duration::from_secs(3);
//! connection.call(now, CallKey(1), EncodedMessage::new("ping", &()).unwrap(), Some(deadline), "waiter");
//!
//! let mut sent = Vec::new();
//! while let Some(Output::Send(frame)) = connection.poll_output() {
//!     sent.push(frame);
//! }
//! assert_eq!(sent, [r#"["aaw/hello",{}]"#, r#"["ping",null,1]"#]);
//!
//! connection.handle_sign_of_life(now);
//! connection.handle_text(now, r#"["ping",{"pong":true},1]"#);
//! let Some(Output::CallDone { waiter: "waiter", result: CallResult::Response(json) }) = connection.poll_output() else {
//!     panic!()
//! };
//! assert_eq!(&*json, r#"{"pong":true}"#);
//! ```

mod backoff;
mod client_calls;
mod closing;
mod config;
mod connection;
mod encoded_message;
mod event_names;
mod fifo_matcher;
mod frame_block;
mod keys;
mod login;
mod login_state;
mod output;
mod resumption;
mod resumption_state;
mod running_client_calls;
mod streaming;
#[cfg(test)]
mod tests;
mod write_queue;

pub use backoff::{Backoff, RetryHint};
pub use config::ClientConfig;
pub use connection::ClientConnection;
pub use encoded_message::EncodedMessage;
pub use keys::{CallKey, ClientCallKey};
pub use output::{CallResult, DisconnectReason, NotSent, Output, ProtocolWarning};
pub use streaming::StreamOptions;
