//! What both ends of a v1 connection tell each other first.

use serde::{Deserialize, Serialize};

/// The event of the client's first frame.
pub const HELLO: &str = "aaw/hello";
/// The event of the server's first frame.
pub const WELCOME: &str = "aaw/welcome";
/// The event by which a server says that a frame made no sense, or that a send was not taken.
pub const ERROR: &str = "aaw/error";
/// A client that cannot see WebSocket pings asks with this whether the server is there.
pub const PING: &str = "aaw/ping";
/// The answer to [`PING`].
pub const PONG: &str = "aaw/pong";
/// Either side says what it has, so that the other can forget it.
pub const ACK: &str = "aaw/ack";

/// By this a server tells a client that its session was ended elsewhere.
pub const SESSION: &str = "aaw/session";

/// Somebody has joined a room in which this connection is.
pub const JOINED: &str = "aaw/joined";
/// Somebody has left such a room.
pub const LEFT: &str = "aaw/left";

/// The body of `aaw/hello`. Unknown keys are ignored, and every key may be missing: the place of what comes later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The session's secret, made by the client. Reserved for sessions that survive their connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Whether the client wants its old session back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resume: bool,
}

/// The body of `aaw/welcome`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The server's id of this connection, as handlers see it.
    pub connection: String,
    /// Whether the client's old session goes on.
    #[serde(default)]
    pub resumed: bool,
    /// What the client may send.
    #[serde(default)]
    pub limits: Limits,
}

/// What a server takes from one connection.
///
/// The defaults are those of a server that is told nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Calls that run at the same time. Further ones wait in a line. Default 256: what keeps two cores busy with
    /// handlers that wait for a database, without letting one connection fill the server.
    pub calls: u32,
    /// Bytes of calls that wait in line; past that a call is refused as `busy`. Default 1 MiB.
    pub line: u32,
    /// Bytes of one message, in either direction. Default 1 MiB: the size that most peers in this field take.
    pub message: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls: 256, line: 1 << 20, message: 1 << 20 }
    }
}
