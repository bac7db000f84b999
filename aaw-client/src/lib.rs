//! The client of aaw: calls the events of a server over a WebSocket, for a response or a stream of items.
//!
//! ```no_run
//! use std::time::Duration;
//! use serde_json::{Value, json};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = aaw_client::connect("ws://localhost:1337").await?;
//! let response: Value = client.send_async("echo", json!({ "id": 1 }), Duration::from_secs(3)).await?;
//! assert_eq!(response, json!({ "id": 1 }));
//!
//! let mut numbers = client.stream::<u32>("count", json!({ "to": 5 }));
//! while let Some(number) = numbers.next().await {
//!     println!("{}", number?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A client whose connection is lost reconnects, and its listeners and handlers stay registered. A call is never
//! repeated automatically; its [`CallError`] states what is known: a call that was [not sent](CallError::NotSent) is
//! safe to repeat, one whose [outcome is unknown](CallError::OutcomeUnknown) may have run.
//!
//! # Where to start
//!
//! - [`connect`], [`connect_with`], [`connect_lazy`], [`connect_lazy_with`] make a [`Client`]; [`prepare`] registers
//!   listeners and handlers before it connects.
//! - Calls: [`Client::send_async`] for a response, [`Client::stream`] for a stream of items, [`Client::duplex`] for a
//!   stream with an upload, [`Client::send_event`] for a one-way send.
//! - What the server begins: [`Client::on`] for pushes, [`Client::handle`] for client calls.
//! - Sessions: [`Client::login`], [`Client::register`], [`Client::resume`], [`Client::logout`].
//! - The connection: [`Client::state`], [`Client::connection_events`], [`Client::close`].
//! - [`Config`]: headers, TLS, timeouts and limits. All limits have defaults.
//! - Errors, one for each kind of operation: [`ConnectError`], [`CallError`], [`SendError`], [`UploadError`].
//!
//! The server may also be the original one, the JavaScript package `async-await-websockets`. Its responses carry no
//! ids, so concurrent calls of one event get theirs in the order in which they arrive.
//!
//! # How it works
//!
//! The modules, each of which uses only those below it:
//!
//! - `connect` (the functions above), `login` (the methods for sessions).
//! - `client` (the handle), `stream` (the handles of a streaming call), `driver` (the task of a client: it owns the
//!   socket and carries out what the pure [`ClientConnection`](aaw_protocol::client::ClientConnection) decides).
//! - `driver_handle` (the commands from the handles to the driver, and the bounded queue that carries them), `shared`
//!   (the state that both use), `handler_tasks` (running client calls), `dial` (one attempt to connect),
//!   `socket_error`.
//! - `handlers`, `push`, `client_session`, `connection_status` (what the parts of `shared` are), `config`.
//! - `upload_queue` and `download_queue` (between the driver and a streaming call; bounded by credit), `lossy_queue`
//!   (between the driver and a listener; drops the oldest).
//! - `error`, `sync`.

#![forbid(unsafe_code)]

mod client;
mod client_session;
mod config;
mod connect;
mod connection_status;
mod dial;
mod download_queue;
mod driver;
mod driver_handle;
mod error;
mod handler_tasks;
mod handlers;
mod login;
mod lossy_queue;
mod push;
mod shared;
mod socket_error;
mod stream;
mod sync;
mod tracing_output;
mod upload_queue;

pub use aaw_protocol::client::{Backoff, DisconnectReason};
pub use aaw_protocol::{Code, Failure, Identity, Token};
pub use client::{Client, DEFAULT_TIMEOUT};
pub use client_session::OnToken;
pub use config::Config;
pub use connect::{PreparedClient, connect, connect_lazy, connect_lazy_with, connect_with, prepare};
pub use connection_status::{ClientWarning, ConnectionEvent, ConnectionEvents, ConnectionState};
pub use error::{CallError, ConnectError, DecodeError, SendError, UploadError};
pub use handlers::{HandlerError, HandlerRegistration};
pub use push::{Push, Pushes, Subscription};
pub use stream::{ItemStream, UploadSender};
