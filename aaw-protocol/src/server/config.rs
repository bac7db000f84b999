//! The limits and timeouts of a server's connection.

use std::time::Duration;

use crate::hello::Limits;

/// The limits and timeouts of a [`ServerConnection`](super::ServerConnection). A timeout of `Duration::MAX` never
/// expires.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The limits for the client, which the welcome announces.
    pub limits: Limits,
    /// Bytes of unsent responses and items. At this limit no further call starts and streams pause; at twice the limit
    /// nothing more is read from the client. Default 1 MiB. A client that does not read can cause this much memory,
    /// plus the responses of the calls that run already, at most `limits.calls` times `limits.message`.
    pub max_unsent_bytes: usize,
    /// Bytes of the frames of pending calls and of the responses that wait for credit. At this limit no further call
    /// starts. A response that must wait for credit fails as `too_large` if it would raise the bytes of such responses
    /// alone above the limit, because a client may leave them waiting without end. Default 4 MiB; it should fit at
    /// least one message.
    pub max_running_bytes: usize,
    /// Bytes of upload items that handlers have not taken. The call whose item exceeds the limit fails as `too_large`.
    /// Callers do not know this limit, so it only protects against abuse. Items that a handler has taken since the last
    /// [`grant_upload_credit`](super::ServerConnection::grant_upload_credit) still count. Default 256 MiB, enough for
    /// about four uploads with a window of 64 items of the largest size, 1 MiB. Raise it together with either.
    pub max_upload_bytes: usize,
    /// Client calls without a response; a further one fails as `busy`. Default 256. Each costs the name of its event;
    /// its body is freed once it is written.
    pub max_client_calls: u32,
    /// The time a v1 client may take to send its hello. Default 10 s.
    pub hello_timeout: Duration,
    /// How long the state of a resumable connection is kept after its socket has broken, see
    /// [`Input::Hello`](super::Input::Hello). Default 60 s. Zero refuses resumption.
    pub resumption_window: Duration,
    /// Bytes of messages that a client has not acknowledged. At this limit no further call starts and streams pause. Default
    /// 1 MiB. It limits the throughput of one connection to this many bytes in each round trip.
    pub max_unacknowledged_bytes: usize,
    /// The silence after which the client is pinged. Default 20 s, less than the 60 s after which common proxies close
    /// an idle connection. `Duration::MAX` disables pings.
    pub heartbeat_interval: Duration,
    /// The number of consecutive pings without a sign of life after which, one interval later, the connection is
    /// closed. Default 2.
    pub max_missed_heartbeats: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            max_unsent_bytes: 1 << 20,
            max_running_bytes: 4 << 20,
            max_upload_bytes: 256 << 20,
            max_client_calls: 256,
            hello_timeout: Duration::from_secs(10),
            resumption_window: Duration::from_secs(60),
            max_unacknowledged_bytes: 1 << 20,
            heartbeat_interval: Duration::from_secs(20),
            max_missed_heartbeats: 2,
        }
    }
}
