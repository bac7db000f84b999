//! The server's side of one connection, without the connection.
//!
//! [`ServerConnection`] is told what came in, what became of the calls, and what time it is; it says what goes out and
//! which handlers are to be dropped. Whoever owns the socket does four things, in any order, as they come up:
//!
//! 1. says [`handle_sign_of_life`](ServerConnection::handle_sign_of_life) when anything at all was read, hands each text to
//!    [`handle_text`](ServerConnection::handle_text), runs the [`Call`] it gets, and gives the outcome back
//!    ([`complete_now`](ServerConnection::complete_now) if it was there at once, else [`suspend`](ServerConnection::add_pending) and
//!    later [`finish`](ServerConnection::complete));
//! 2. takes all of [`poll_output`](ServerConnection::poll_output) after each input, and says with
//!    [`handle_sent`](ServerConnection::handle_sent) what has left;
//! 3. runs what [`poll_queued`](ServerConnection::poll_queued) gives, after each input too, until it gives nothing;
//! 4. calls [`handle_timeout`](ServerConnection::handle_timeout) at [`poll_timeout`](ServerConnection::poll_timeout).
//!
//! A handler that yields items is suspended too. Each item is a frame of its own, made with the call's [`ItemFrame`] and
//! given to [`handle_item`](ServerConnection::handle_item), while there is [`credit`](ServerConnection::credit) and
//! [`may_stream`](ServerConnection::may_stream) says so; [`Completion::StreamEnded`] finishes it. What the call
//! [`wants`](Call::response_mode) says whether items are what its caller reads. Items of an upload come as [`Input::UploadItem`] into
//! the room that was [granted](ServerConnection::grant_upload_credit).
//!
//! What the server [asks](ServerConnection::client_call) its client ends with [`Output::ClientCallDone`]. A call that changes what those
//! behind it find is [suspended as a barrier](ServerConnection::add_pending_barrier): nothing overtakes it.
//!
//! Whoever has something to decide before a connection is open [holds](ServerConnection::wait_for_open_hook) its session.
//!
//! ```
//! use std::time::Instant;
//! use aaw_protocol::Dialect;
//! use aaw_protocol::server::{ServerConfig, Input, Completion, Output, ServerConnection};
//!
//! let mut session = ServerConnection::new(Dialect::Classic, "7f".into(), ServerConfig::default(), Instant::now());
//! let Input::Call(call) = session.handle_text(Instant::now(), r#"["ping",null]"#) else { panic!() };
//! let mut frame = call.begin_response();
//! frame.extend_from_slice(br#"{"pong":true}"#);
//! session.complete_now(call, frame, Completion::Responded);
//! let Some(Output::Send(answer)) = session.poll_output() else { panic!() };
//! assert_eq!(answer, r#"["ping",{"pong":true}]"#);
//! ```

mod call;
mod client_calls;
mod config;
mod connection;
mod opening;
mod output;
mod response;
mod running_call;
mod streams;
#[cfg(test)]
mod tests;
mod wait_queue;

pub use call::{Call, CallKey, ItemFrame};
pub use client_calls::ClientCallKey;
pub use config::ServerConfig;
pub use connection::ServerConnection;
pub use output::{Close, Input, Output};
pub use response::{Completion, ResponseMode};
pub use wait_queue::QueuedCall;
