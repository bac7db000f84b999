//! Calls the events of an aaw server over a WebSocket, and awaits their answers: one, or one after the other.
//!
//! ```no_run
//! use std::time::Duration;
//! use serde_json::{Value, json};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = aaw_client::connect("ws://localhost:1337").await?;
//! let answer: Value = client.send_async("echo", json!({ "id": 1 }), Duration::from_secs(3)).await?;
//! assert_eq!(answer, json!({ "id": 1 }));
//!
//! let mut numbers = client.stream::<u32>("count", json!({ "to": 5 }));
//! while let Some(number) = numbers.next().await {
//!     println!("{}", number?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A connection that breaks is made again, by itself, and listeners stay. What becomes of a call then, its
//! [`CallError`] says: *not sent* is safe to repeat, *outcome unknown* may have run.
//!
//! The parts, from the outside inwards:
//!
//! - [`connect`] and its variants, [`prepare`] to listen before there is a connection, and what they give: [`Client`], a
//!   handle that is cheap to clone, to call ([`Client::send_async`]), to read many answers ([`Client::stream`]) and to
//!   send many questions ([`Client::duplex`]), to send ([`Client::send_event`]), to listen
//!   ([`Client::on`]), to answer what the server asks ([`Client::handle`]), to log in ([`Client::login`]) and to watch the connection ([`Client::state`], [`Client::connection_events`]).
//! - [`Config`]: headers, TLS, time-outs and bounds. Every bound is on by default.
//! - [`CallError`], [`SendError`], [`UploadError`], [`ConnectError`]: one for each thing that can fail.
//! - `driver`: the one task of a client. It owns the socket and does what the
//!   [`ClientConnection`](aaw_protocol::client::ClientConnection) decides; every handle talks to it over a bounded queue.
//! - `dial`: one attempt to connect. `inbox`: the queue of a listener, which forgets the oldest rather than make the
//!   driver wait. `inlet`, `outlet`: those of a stream and of an upload, which lose nothing; the reader's room bounds
//!   the one, the server's the other.
//!
//! The server may be the original, the JavaScript package `async-await-websockets`, too; its answers carry no ids, so
//! two calls of one event at once get theirs in the order in which they come.

#![forbid(unsafe_code)]

mod client;
mod config;
mod dial;
mod download_queue;
mod driver;
mod error;
mod handlers;
mod inbox;
mod login;
mod push;
mod state;
mod stream;
mod upload_queue;

pub use aaw_protocol::client::{Backoff, DisconnectReason};
pub use aaw_protocol::{Code, Failure, Identity, Token};
pub use client::{
    Client, DEFAULT_TIMEOUT, PreparedClient, connect, connect_lazy, connect_lazy_with, connect_with, prepare,
};
pub use config::Config;
pub use error::{CallError, ConnectError, DecodeError, SendError, UploadError};
pub use handlers::{HandlerError, HandlerRegistration};
pub use login::OnToken;
pub use push::{Push, Pushes, Subscription};
pub use state::{ClientWarning, ConnectionEvent, ConnectionEvents, State};
pub use stream::{ItemStream, UploadSender};
