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
//! - [`EventName`], [`Failure`], [`Code`]: the words of the protocol, as types. [`text`]: how much of a peer's words is
//!   repeated.
//! - [`server`]: the server's [`ServerConnection`](server::ServerConnection). Which calls run, wait, time out or are refused,
//!   and how far their streams may go.
//! - [`client`]: the client's [`ClientConnection`](client::ClientConnection). Which answer belongs to which call, when to
//!   connect again.
//! - [`clock`]: what a wait that no clock can hold means. `heartbeat`: whether the other side is still there. Both
//!   sessions use them.
//!
//! Both sessions are state machines in the manner of quinn-proto: `handle_*` takes input, `poll_*` gives output, and
//! nothing happens between the two. The time comes first among the arguments.
//!
//! What a session gives out (its `Output`, `Input`, `Outcome`), [`Dialect`] and [`Kind`](codec::Kind) are enums without
//! `#[non_exhaustive]`, on purpose: whoever owns the socket has to do every one of these things, and the compiler is to
//! name the place where one is missing. They grow only with the crate's version. Enums that
//! only say what was wrong are open.

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
pub mod server;
pub mod text;
mod token;

pub use dialect::Dialect;
pub use failure::{Code, Failure};
pub use identity::Identity;
pub use name::{BROADCAST, EventName, InvalidName, MAX_NAME_LEN, is_protected, is_reserved};
pub use text::Shortened;
pub use token::Token;
