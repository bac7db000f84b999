//! What aaw says over a WebSocket, and what it means: the part that server and client share.
//!
//! A frame is one text message with one JSON array, `[event, data, id, kind, meta]`, cut off after the last element
//! that is needed. `PROTOCOL.md`, at the root of the repository, is the specification; this crate is its
//! implementation, with no socket, no runtime and no clock in it: time is handed in.
//!
//! From the bytes upwards:
//!
//! - [`codec`]: frames from text and text from frames, in both [`Dialect`]s.
//! - [`dialect`]: which dialect a connection speaks, decided by WebSocket sub-protocols.
//! - [`hello`]: what both ends tell each other first, and the limits they hold to.
//! - [`EventName`], [`Failure`], [`Code`]: the words of the protocol, as types.
//! - [`server`]: the server's [`ServerSession`](server::ServerSession). Which calls run, wait, time out or are refused.
//! - [`client`]: the client's [`ClientSession`](client::ClientSession). Which answer belongs to which call, when to
//!   connect again.
//!
//! Both sessions are state machines in the manner of quinn-proto: `handle_*` takes input, `poll_*` gives output, and
//! nothing happens between the two.

#![forbid(unsafe_code)]

pub mod client;
pub mod codec;
pub mod dialect;
mod failure;
pub mod hello;
mod name;
pub mod server;

pub use dialect::Dialect;
pub use failure::{Code, Failure, Shortened};
pub use name::{EventName, InvalidName, MAX_NAME_LEN, is_protected, is_reserved};
