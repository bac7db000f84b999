//! The limits and timeouts of a client's connection.

use std::time::Duration;

use super::Backoff;

/// The limits and timeouts of a [`ClientConnection`](super::ClientConnection). Sizes are bytes of JSON text. A timeout
/// of `Duration::MAX` never expires.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientConfig {
    /// The silence after which the server is pinged. After two pings without a sign of life the connection is
    /// considered lost, three intervals after the server's last message. Default 20 s, less than the 30 to 60 s after
    /// which proxies drop idle connections. `None`, zero and `Duration::MAX` disable pings; a server that vanished is then
    /// only noticed when a write fails.
    pub heartbeat_interval: Option<Duration>,
    /// The delays between connection attempts.
    pub backoff: Backoff,
    /// The time from the end of the WebSocket handshake to the welcome of a v1 server. Default 10 s.
    pub welcome_timeout: Duration,
    /// How long calls wait on a new connection until the server has accepted the token, if there is one. Default 10 s.
    /// Then they are sent without the session. The token is kept: its response may still arrive, and the next
    /// connection presents the token again.
    pub resume_timeout: Duration,
    /// How long to wait for the server's close frame. Default 2 s. No data is lost if it expires.
    pub close_timeout: Duration,
    /// Calls that are written and have no response yet, including open streams. Further calls wait in the write queue,
    /// within their own deadline. The server's limit applies too: the lower of the two counts. Default 1024, well above
    /// the 256 of a server with the default configuration; it bounds the load on a classic server, which announces no
    /// limit. Zero counts as 1.
    pub max_in_flight: u32,
    /// Client calls without a response; further ones are refused as `busy`. Default 256, which is also a server's
    /// default. Each may hold the size of a message.
    pub max_client_calls: u32,
    /// The size of one message to the server. The server's limit applies too: the lower of the two counts. Default
    /// 16 MiB, like [`max_queued_call_bytes`](Self::max_queued_call_bytes): a larger message could not be queued.
    pub max_message_bytes: usize,
    /// Bytes of one-way sends in the write queue, which wait because there is no connection or the server does not
    /// read. Further ones are rejected. Default 1 MiB: old events are of little value.
    pub max_queued_event_bytes: usize,
    /// Bytes of calls in the write queue. Further ones are rejected. Default 16 MiB: each has a waiting caller, and
    /// leaves the queue at its deadline.
    pub max_queued_call_bytes: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            heartbeat_interval: Some(Duration::from_secs(20)),
            backoff: Backoff::default(),
            welcome_timeout: Duration::from_secs(10),
            resume_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(2),
            max_in_flight: 1024,
            max_client_calls: 256,
            max_message_bytes: 16 << 20,
            max_queued_event_bytes: 1 << 20,
            max_queued_call_bytes: 16 << 20,
        }
    }
}
