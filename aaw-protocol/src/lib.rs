//! The wire protocol of [aaw](https://docs.rs/aaw-server): frames, names, errors, and both ends of a connection as pure state
//! machines.
//!
//! aaw is a request/response protocol over WebSockets. Each text message carries one *frame*, a JSON array
//! `[event, data, id, kind, meta]` without its unused trailing elements. This crate implements it without sockets, without an
//! async runtime and without reading a clock: the caller passes the time in.
//!
//! Applications use [aaw-server](https://docs.rs/aaw-server) and [aaw-client](https://docs.rs/aaw-client), which add the
//! input and output. This crate is for programs that speak the protocol by other means: over another WebSocket library or
//! runtime, in a proxy, or in a test.
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use aaw_protocol::Dialect;
//! use aaw_protocol::client::{CallKey, CallResult, ClientConfig, ClientConnection, EncodedMessage, Output};
//!
//! let now = Instant::now();
//! let mut client = ClientConnection::new(ClientConfig::default(), 42);
//! assert!(matches!(client.poll_output(), Some(Output::Connect)));
//! client.handle_connected(now, Dialect::V1);
//! let deadline = now + Duration::from_secs(3);
//! client.call(now, CallKey(1), EncodedMessage::new("ping", &())?, Some(deadline), "waiter");
//!
//! let mut written = Vec::new();
//! while let Some(Output::Send(frame)) = client.poll_output() {
//!     written.push(frame);
//! }
//! assert_eq!(written, [r#"["aaw/hello",{}]"#, r#"["ping",null,1]"#]);
//!
//! client.handle_text(now, r#"["ping",{"pong":true},1]"#);
//! let Some(Output::CallDone { result: CallResult::Response(json), .. }) = client.poll_output() else { panic!() };
//! assert_eq!(&*json, r#"{"pong":true}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guide
//!
//! - **Write a client**: [`client::ClientConnection`] matches responses to calls, queues what cannot be written yet, grants
//!   credit and decides when to reconnect. [`client`] lists what the owner of the socket does.
//! - **Write a server**: [`server::ServerConnection`] decides which calls run, wait, time out or are refused. [`server`] lists
//!   what the owner of the socket does.
//! - **Read or write single frames**: [`codec::decode`] and the functions beside it, for both [`Dialect`]s.
//! - **Negotiate**: [`dialect::negotiate`] chooses the dialect by the WebSocket sub-protocols; [`hello`] has the first frames
//!   of a connection, the server's [`Limits`](hello::Limits) and the reserved names.
//! - **Handle what crosses the wire**: [`EventName`], [`Failure`] with its [`Code`], [`Identity`] and [`Token`]. [`text`]
//!   shortens untrusted text for errors and logs; [`redact`] removes passwords and tokens from what is logged. [`json`]
//!   reads and writes bodies without losing numbers silently.
//!
//! Both state machines follow one pattern: `handle_*` methods take input, `poll_*` methods return output, and nothing happens
//! in between. A method that depends on the time takes it as its first argument; [`clock`] adds durations without overflow.
//!
//! The package contains the specification, `PROTOCOL.md`, and samples of each frame for the tests of other implementations, in
//! `wire/`.
//!
//! # Features
//!
//! None.
//!
//! # Stability
//!
//! Within 0.1 updates are compatible; 0.2 may change the API. The wire format does not follow the version of this crate: the
//! sub-protocol `aaw.v1` names it, and frames that a peer does not know are ignored or refused as the specification says.
//!
//! The enums that the owner of a socket acts on (`Output`, `Input`, `Completion`, [`Dialect`], [`Kind`](codec::Kind)) are
//! deliberately not `#[non_exhaustive]`: the owner must handle every variant, and the compiler points at each match that
//! misses a new one. They grow only in 0.2, 0.3 and so on. Enums that only describe an error are `#[non_exhaustive]`.
//!
//! # Related crates
//!
//! [aaw-server](https://docs.rs/aaw-server), [aaw-client](https://docs.rs/aaw-client), and
//! [aaw-event](https://docs.rs/aaw-event), with which handlers are written.

#![forbid(unsafe_code)]

pub mod client;
pub mod clock;
pub mod codec;
pub mod dialect;
mod failure;
mod fast_map;
mod heartbeat;
pub mod hello;
mod identity;
pub mod json;
mod name;
pub mod redact;
pub mod resumption;
pub mod server;
mod shrink_queue;
#[doc(hidden)]
pub mod slab;
mod sorted_queue;
#[doc(hidden)]
pub mod sparse_map;
pub mod text;
mod timer_wheel;
mod token;
pub mod websocket;

pub use dialect::Dialect;
pub use failure::{Code, Failure};
pub use identity::Identity;
pub use name::{BROADCAST, EventName, InvalidName, MAX_NAME_LEN, is_protected, is_reserved};
pub use text::Shortened;
pub use token::Token;
