//! The bounds of a session.

use std::time::Duration;

use super::Backoff;

/// What a [`ClientConnection`](super::ClientConnection) holds itself to. Sizes are bytes of JSON text. A time of
/// `Duration::MAX` never ends.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientConfig {
    /// How long the other side may be silent before it is pinged; after two pings without a sign of life the connection
    /// counts as lost, so that is three times as long. Default 20 s: below the 30 to 60 s after which proxies forget
    /// idle connections. `None` or `Duration::MAX` never pings, and a peer that vanished without a word is noticed by
    /// the next write that fails, if there is one.
    pub heartbeat: Option<Duration>,
    /// How long to wait before connecting again.
    pub backoff: Backoff,
    /// How long a v1 server may take from the end of the WebSocket handshake to its welcome. Default 10 s.
    pub welcome_timeout: Duration,
    /// How long calls wait on a new connection for the server to take the token of the session, if there is one. Default
    /// 10 s. Then they go out without it. The session is not given up by that: the answer may still come, and the next
    /// connection tries again.
    pub resume_timeout: Duration,
    /// How long to wait for the other side's part of a close. Default 2 s: nothing is lost by leaving earlier than
    /// that.
    pub close_timeout: Duration,
    /// Calls that are written and unanswered at the same time, open streams included. Further calls wait in line, within their own time-out.
    /// The server's limit holds too, the lower of both counts. Default 1024, far above the 256 of a server that is told
    /// nothing else: it bounds what a classic server, which states no limit, is given to do.
    pub max_in_flight: u32,
    /// What the server has asked and has no reply yet. Further asks are refused as `busy`. Default 256, as many as a server
    /// asks that is told nothing else. Each may hold a message's size.
    pub max_asked: u32,
    /// One message to the server. The server's limit holds too, the lower of both counts. Default 16 MiB, as for
    /// [`max_waiting_calls`](Self::max_waiting_calls): what is larger could not wait for a connection.
    pub max_message: usize,
    /// Sends (frames that nobody answers) that wait to be written, because there is no connection or the server does
    /// not read. A further one is refused. Default 1 MiB: sends are news, and old news is worth little.
    pub max_waiting_sends: usize,
    /// Calls that wait to be written. A further one is refused. Default 16 MiB: each has someone waiting for it, and
    /// leaves at its time-out.
    pub max_waiting_calls: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            heartbeat: Some(Duration::from_secs(20)),
            backoff: Backoff::default(),
            welcome_timeout: Duration::from_secs(10),
            resume_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(2),
            max_in_flight: 1024,
            max_asked: 256,
            max_message: 16 << 20,
            max_waiting_sends: 1 << 20,
            max_waiting_calls: 16 << 20,
        }
    }
}
