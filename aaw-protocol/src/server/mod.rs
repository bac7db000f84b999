//! The server's end of a connection, as a state machine without a socket.
//!
//! [`ServerConnection`] receives the client's messages, the results of handlers, and the time. It returns the frames to
//! send, the calls to run, and the handlers to drop. The owner of the socket does the following, in any order:
//!
//! 1. **Input.** Whenever the socket returned any data, call
//!    [`handle_sign_of_life`](ServerConnection::handle_sign_of_life). Pass each text message to
//!    [`handle_text`](ServerConnection::handle_text) and each binary one to
//!    [`handle_binary`](ServerConnection::handle_binary). While
//!    [`wants_input`](ServerConnection::wants_input) is `false`, do not read.
//! 2. **Calls.** Run each [`Call`] that an [`Input::Call`] contains. If the handler finishes at once, pass its result
//!    to [`complete_now`](ServerConnection::complete_now). Otherwise register the call with
//!    [`add_pending`](ServerConnection::add_pending), before the next input, and pass the result to
//!    [`complete`](ServerConnection::complete) later. What runs it, such as the handle of a task, can be stored with the call, see
//!    [`with_tasks`](ServerConnection::with_tasks).
//! 3. **Output.** After each input, drain [`poll_output`](ServerConnection::poll_output), and report how much is
//!    unsent with [`set_unsent_bytes`](ServerConnection::set_unsent_bytes) after each write.
//! 4. **Wait queue.** After each input, also drain [`poll_queued`](ServerConnection::poll_queued) and pass each result
//!    to [`handle_queued`](ServerConnection::handle_queued), which returns the call to run.
//! 5. **Time.** Call [`handle_timeout`](ServerConnection::handle_timeout) at
//!    [`poll_timeout`](ServerConnection::poll_timeout).
//!
//! # Streams and uploads
//!
//! The call of a streaming handler is registered with [`add_pending`](ServerConnection::add_pending), too. Each item is
//! a frame of its own, made with the call's [`ItemFrame`] and passed to [`handle_item`](ServerConnection::handle_item),
//! or many of them are counted with [`handle_items`](ServerConnection::handle_items), as long as there is
//! [`credit`](ServerConnection::credit) and [`may_stream`](ServerConnection::may_stream) returns `true`.
//! [`Completion::StreamEnded`] completes the call. [`Call::response_mode`] returns whether the caller reads items at
//! all. The items of an upload arrive as [`Input::UploadItem`], within the credit that
//! [`grant_upload_credit`](ServerConnection::grant_upload_credit) granted.
//!
//! # Client calls, barriers and the open hook
//!
//! [`client_call`](ServerConnection::client_call) calls the client; [`Output::ClientCallDone`] returns the result. A
//! call that changes the connection's session is registered with
//! [`add_pending_barrier`](ServerConnection::add_pending_barrier): no later call starts before it is over. A server
//! with a hook that decides about new connections calls [`wait_for_open_hook`](ServerConnection::wait_for_open_hook)
//! first.
//!
//! ```
//! use std::time::Instant;
//! use aaw_protocol::Dialect;
//! use aaw_protocol::server::{ServerConfig, Input, Completion, Output, ServerConnection};
//!
//! let mut connection = ServerConnection::new(Dialect::Classic, "7f".into(), ServerConfig::default(), Instant::now());
//! let Input::Call(call) = connection.handle_text(Instant::now(), r#"["ping",null]"#) else { panic!() };
//! let mut frame = call.begin_response();
//! frame.extend_from_slice(br#"{"pong":true}"#);
//! connection.complete_now(call, frame, Completion::Responded);
//! let Some(Output::Send(response)) = connection.poll_output() else { panic!() };
//! assert_eq!(response, r#"["ping",{"pong":true}]"#);
//! ```

mod call;
mod client_calls;
mod close;
mod config;
mod connection;
mod keys;
mod opening;
mod output;
mod pending_client_calls;
mod response;
mod resumption;
mod resumption_state;
mod running_call;
mod running_calls;
mod streams;
#[cfg(test)]
mod tests;
mod wait_queue;

pub use call::{Call, ItemFrame};
pub use close::Close;
pub use config::ServerConfig;
pub use connection::ServerConnection;
pub use keys::{CallKey, ClientCallKey};
pub use output::{Input, Output};
pub use response::{Completion, ResponseMode};
pub use streams::ItemFrames;
pub use wait_queue::QueuedCall;
