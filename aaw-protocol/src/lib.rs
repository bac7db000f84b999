//! The aaw wire protocol: frames, names, errors, and both ends of a connection as pure state machines.
//!
//! aaw is a request/response protocol over WebSockets. Each text message carries one *frame*, a JSON array
//! `[event, data, id, kind, meta]` without its unused trailing elements. `PROTOCOL.md`, at the root of the repository,
//! specifies the protocol; this crate implements it without sockets, without an async runtime and without reading a
//! clock: the caller passes the time in. The crates `aaw-server` and `aaw-client` add the input and output.
//!
//! From the bytes upwards:
//!
//! - [`codec`] decodes and encodes frames, in both [`Dialect`]s.
//! - [`dialect`] negotiates the dialect of a connection by its WebSocket sub-protocols.
//! - [`hello`] defines the handshake of a connection (hello and welcome), the server's [`Limits`](hello::Limits), and
//!   the reserved event names.
//! - [`EventName`], [`Failure`], [`Code`], [`Identity`] and [`Token`] are the values that cross the wire. [`text`]
//!   shortens untrusted text for errors and logs; [`redact`] removes passwords and tokens from what is logged.
//! - [`server`]: [`ServerConnection`](server::ServerConnection) decides which calls run, wait, time out or are refused,
//!   and grants credit to streams.
//! - [`client`]: [`ClientConnection`](client::ClientConnection) matches responses to calls, queues what cannot be
//!   written yet, and decides when to reconnect.
//! - [`clock`] adds durations to points in time without overflow. The private module `heartbeat` detects a silent peer
//!   for both state machines.
//!
//! Both state machines follow the pattern of quinn-proto: `handle_*` methods take input, `poll_*` methods return
//! output, and nothing happens in between. A method that depends on the time takes it as its first argument.
//!
//! The enums that the owner of a socket acts on (`Output`, `Input`, `Completion`, [`Dialect`], [`Kind`](codec::Kind))
//! are deliberately not `#[non_exhaustive]`: the owner must handle every variant, and the compiler points at each match
//! that misses a new one. They grow only with a new version of the crate. Enums that only describe an error are
//! `#[non_exhaustive]`.

#![forbid(unsafe_code)]

pub mod client;
pub mod clock;
pub mod codec;
pub mod dialect;
mod failure;
mod heartbeat;
pub mod hello;
mod identity;
mod name;
pub mod redact;
pub mod server;
pub mod text;
mod token;

pub use dialect::Dialect;
pub use failure::{Code, Failure};
pub use identity::Identity;
pub use name::{BROADCAST, EventName, InvalidName, MAX_NAME_LEN, is_protected, is_reserved};
pub use text::Shortened;
pub use token::Token;
