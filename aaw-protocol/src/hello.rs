//! The handshake of a v1 connection (hello and welcome), and the event names that the protocol reserves.

use std::io::Write as _;

use serde::{Deserialize, Serialize};

use crate::codec::Frame;
use crate::name::is_reserved;
use crate::resumption::{ResumptionRequest, ResumptionTerms};

/// The event of the client's first frame.
pub const HELLO: &str = "aaw/hello";
/// The event of the server's response to [`HELLO`].
pub const WELCOME: &str = "aaw/welcome";
/// The event with which a server reports a frame that it rejected, or a one-way send that it did not run.
pub const ERROR: &str = "aaw/error";
/// The event with which a client checks that the server is alive when it cannot see WebSocket pings, as in a browser.
pub const PING: &str = "aaw/ping";
/// The response to [`PING`].
pub const PONG: &str = "aaw/pong";
/// The event with which each side of a resumable connection acknowledges the messages of the other.
pub const ACK: &str = "aaw/ack";

/// The event that a server sends in place of pushes that it has dropped.
pub const GAP: &str = "aaw/gap";

/// The event with which a server notifies a client that the session of its connection was ended elsewhere.
pub const SESSION_ENDED: &str = "aaw/session";

/// The event that announces a new member of a room to the other members.
pub const MEMBER_JOINED: &str = "aaw/joined";
/// The event that announces to the members of a room that a member has left it.
pub const MEMBER_LEFT: &str = "aaw/left";

/// Returns the frame that acknowledges the messages up to this one.
pub(crate) fn acknowledgement(number: u64) -> Vec<u8> {
    let mut frame = Vec::with_capacity(32);
    // Writing to memory cannot fail.
    let _ = write!(frame, "[\"{}\",{number}]", ACK);
    frame
}

/// The body of [`HELLO`]. All keys are optional and unknown keys are ignored, so that later versions can add some.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Hello {
    /// The client asks for resumption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumption: Option<Box<ResumptionRequest>>,
}

/// The body of [`WELCOME`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The server's id of this connection, as handlers see it.
    pub connection: String,
    /// Whether the connection continues the state that the client has named.
    #[serde(default)]
    pub resumed: bool,
    /// The server's limits for this connection.
    #[serde(default)]
    pub limits: Limits,
    /// The server agrees to resumption, which the client has asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumption: Option<ResumptionTerms>,
}

/// A server's limits for one connection, as it announces them in the [`Welcome`].
///
/// The defaults are those of a server without configuration of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Calls that run at the same time; further calls wait in the wait queue. Default 256, which keeps two cores busy
    /// with handlers that wait for a database, without letting one connection fill the server.
    pub calls: u32,
    /// Bytes of the wait queue. A call that does not fit is refused as `busy`. Default 1 MiB.
    pub line: u32,
    /// Bytes of one message, in either direction. Default 1 MiB, a common limit of WebSocket servers.
    pub message: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls: 256, line: 1 << 20, message: 1 << 20 }
    }
}

/// Returns, for [resumption](crate::resumption), whether the text message with this frame is counted. One that is no frame is counted.
pub(crate) fn is_counted(frame: &mut Frame<'_>, text: &str) -> bool {
    const UNCOUNTED: [&str; 5] = [HELLO, WELCOME, ACK, PING, PONG];
    !(frame.id.is_none()
        && is_reserved(&frame.event)
        && UNCOUNTED.contains(&&*frame.event)
        && frame.check(text).is_ok())
}
