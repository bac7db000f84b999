//! The Rust client of [aaw](https://docs.rs/aaw-server): calls the events of a server over a WebSocket, for a response or for
//! a stream of items.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = aaw_client::connect("ws://localhost:1337").await?;
//!     let greeting: String = client.send_async("greet", "Ada", Duration::from_secs(3)).await?;
//!     println!("{greeting}");
//!     client.close().await;
//!     Ok(())
//! }
//! ```
//!
//! A [`Client`] is a cheap handle to one connection: clone it, and call from as many tasks as you like. Calls run
//! concurrently. When a socket breaks, the connection goes on over the next one: open calls, streams and the session
//! notice nothing. If the server does not have its state any more, such as after a restart, a new connection is made;
//! listeners and handlers stay registered.
//!
//! # Guide
//!
//! **Call an event.** The body is anything that is `Serialize`, the response anything that is `Deserialize`. Dropping the
//! future cancels the call and its handler. [`Client::send_event`] sends without waiting for a response.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! #[derive(serde::Serialize)]
//! struct Query {
//!     id: u32,
//! }
//!
//! #[derive(serde::Deserialize)]
//! struct User {
//!     name: String,
//! }
//!
//! # async fn run(client: aaw_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let user: User = client.send_async("users/get", Query { id: 7 }, Duration::from_secs(3)).await?;
//! client.send_event("users/seen", user.name).await?;
//! # Ok(())
//! # }
//! ```
//!
//! **Read a stream.** The server sends items only as fast as they are read. Dropping the stream cancels it.
//! [`Client::duplex`] is a stream with an upload.
//!
//! ```no_run
//! # async fn run(client: aaw_client::Client) -> Result<(), aaw_client::CallError> {
//! let mut numbers = client.stream::<u32>("count", serde_json::json!({ "to": 5 }));
//! while let Some(number) = numbers.next().await {
//!     println!("{}", number?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! **Listen to pushes, and handle calls of the server.** [`prepare`] registers both before the connection opens, so that
//! nothing is missed.
//!
//! ```no_run
//! use aaw_client::Config;
//!
//! # async fn run() -> Result<(), aaw_client::ConnectError> {
//! let prepared = aaw_client::prepare("ws://localhost:1337", Config::default())?;
//! let mut news = prepared.on("broadcast");
//! let _confirm = prepared.handle("confirm", |question: String| async move { Ok(question.len() < 100) });
//! let client = prepared.connect().await?;
//! while let Some(push) = news.next().await {
//!     println!("{}", push.json());
//! }
//! # drop(client);
//! # Ok(())
//! # }
//! ```
//!
//! **Log in.** [`Client::login`] and [`Client::register`] start a session, which the client resumes when it reconnects.
//! [`Config::token`] and [`Config::on_token`] keep it over restarts of the program.
//!
//! **Decide what to repeat.** No call is repeated automatically. [`CallError`] says what is known: a call that was
//! [not sent](CallError::NotSent) is safe to repeat, one whose [outcome is unknown](CallError::OutcomeUnknown) may have run.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use aaw_client::CallError;
//!
//! # async fn run(client: aaw_client::Client) {
//! match client.send_async::<f64>("balance", (), Duration::from_secs(3)).await {
//!     Ok(balance) => println!("{balance}"),
//!     Err(CallError::Failed(failure)) => println!("the server says: {failure}"),
//!     Err(error) => println!("{error}"),
//! }
//! # }
//! ```
//!
//! **Connect when the server is not there yet.** [`connect`] fails if the first attempt does; [`connect_lazy`] returns at
//! once and tries until it succeeds. The error of a call that has waited in vain says why, and so does
//! [`Client::no_connection`]: the server is not there, or it has refused the connection with a status and a text.
//! [`Client::connection_events`] reports each change, and [`Config`] has the headers, TLS, timeouts and limits, each with its
//! default.
//!
//! The client also connects to the server of the JavaScript package `async-await-websockets`. Its responses carry no ids, so
//! concurrent calls of one event get theirs in the order in which they arrive.
//!
//! # Features
//!
//! | feature | default | adds | dependencies |
//! |---|---|---|---|
//! | `tls` | yes | `wss://`, and [`Config::tls`] | rustls with ring, rustls-native-certs |
//!
//! # Stability
//!
//! Within 0.1 updates are compatible; 0.2 may change the API. The error enums are `#[non_exhaustive]`, and [`Config`] may get
//! fields, so end its literals with `..Config::default()`. The wire protocol has a version of its own, `aaw.v1`, which client
//! and server agree on when they connect: their crates need not have the same version.
//!
//! # Related crates
//!
//! [aaw-server](https://docs.rs/aaw-server) is the server, [aaw-event](https://docs.rs/aaw-event) the crate that its handlers
//! are written with, [aaw-cli](https://docs.rs/aaw-cli) a command line on top of this crate, and
//! [aaw-protocol](https://docs.rs/aaw-protocol) the protocol without I/O.

// The modules, each of which uses only those below it:
//
// - `connect` (how a `Client` is made), `login` (the methods for sessions).
// - `client` (the handle), `stream` (the handles of a streaming call), `driver` (the task of a client: it owns the socket
//   and carries out what the pure `ClientConnection` of aaw-protocol decides).
// - `driver_handle` (the commands from the handles to the driver, and the bounded queue that carries them), `shared` (the
//   state that both use), `handler_tasks` (running client calls), `dial` (one attempt to connect), `handshake` (its text),
//   `socket_error`.
// - `handlers`, `push`, `client_session`, `connection_status` (what the parts of `shared` are), `config`.
// - `upload_queue` and `download_queue` (between the driver and a streaming call; bounded by credit), `lossy_queue`
//   (between the driver and a listener; drops the oldest).
// - `error`, `sync`.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// The documentation above links to an item of this feature.
#![cfg_attr(not(feature = "tls"), allow(rustdoc::broken_intra_doc_links))]

mod client;
mod client_session;
mod config;
mod connect;
mod connection_status;
mod counted_stream;
mod dial;
mod download_queue;
mod driver;
mod driver_handle;
mod error;
mod handler_tasks;
mod handlers;
mod handshake;
mod login;
mod lossy_queue;
mod push;
mod replies;
mod shared;
mod socket_error;
mod stream;
mod sync;
mod tracing_output;
mod upload_queue;

pub use aaw_protocol::client::{Backoff, DisconnectReason};
pub use aaw_protocol::redact::url as redacted_url;
pub use aaw_protocol::{Code, Failure, Identity, Token};
pub use client::{Client, DEFAULT_TIMEOUT};
pub use client_session::OnToken;
pub use config::Config;
pub use connect::{PreparedClient, connect, connect_lazy, connect_lazy_with, connect_with, prepare};
pub use connection_status::{ClientWarning, ConnectionEvent, ConnectionEvents, ConnectionState};
pub use error::{CallError, ConnectError, DecodeError, NoConnection, SendError, UploadError};
pub use handlers::{HandlerError, HandlerRegistration};
pub use push::{Push, Pushes, Subscription};
pub use stream::{ItemStream, UploadSender};
