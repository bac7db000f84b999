//! The configuration of a client.

use std::time::Duration;

use aaw_protocol::Token;
use aaw_protocol::client::{Backoff, ClientConfig};
use http::HeaderMap;

use crate::client_session::OnToken;

/// How a client connects, and its limits. The defaults suit a program that calls a server of its own.
///
/// Each field accepts every value of its type. A timeout of `Duration::MAX` never elapses, one of zero elapses at once:
/// no attempt to connect succeeds with it. Intervals and limits of zero are described at their fields.
///
/// ```
/// use std::time::Duration;
/// use aaw_client::Config;
///
/// let config = Config { connect_timeout: Duration::from_secs(2), ..Config::default() };
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// Headers of the WebSocket handshake, for a proxy that requires them: the server's handlers do not see them, and
    /// `Authorization` does not log in. Programs need not send an `Origin`. Default none.
    pub headers: HeaderMap,
    /// The timeout of one attempt to connect, from the name lookup to the end of the WebSocket handshake; and again the
    /// time that the server then has to send its welcome. Default 10 s.
    pub connect_timeout: Duration,
    /// The wait between attempts to connect. Default: random between 0 and a ceiling of 100 ms, which doubles with each
    /// failure up to 10 s. After a refusal (HTTP 4xx, such as 403 for an `Origin` that is not allowed) it is 15 to 30 s,
    /// and a time that the server names in `Retry-After` is waited for, up to an hour.
    pub backoff: Backoff,
    /// The time without any message from the server after which the client pings it; after two pings without a sign of
    /// life the client reconnects. Default 20 s, so a vanished server is noticed within a minute. A shorter interval
    /// notices earlier and costs a packet each time; one below the round-trip time ends every connection. `None`, zero and
    /// `Duration::MAX` disable pings.
    pub heartbeat_interval: Option<Duration>,
    /// Whether a connection outlives its socket, with a server that supports it: calls, streams and the session then go on over
    /// another socket when the network has failed for up to the server's window, 60 s by default. Calls wait for the welcome of
    /// the first connection. Default `true`.
    pub resumption: bool,
    /// The largest message in bytes, in either direction. Default 16 MiB: what one connection may use of this program's
    /// memory. The server has a limit of its own for what it receives (1 MiB by default); the lower one applies. A call
    /// above the limit fails and affects nothing else; a message from the server above it ends the connection. Values
    /// below 1024 count as 1024, because the server's welcome has to fit.
    pub max_message_bytes: usize,
    /// Calls that may be sent and not yet responded to, open streams included. Default 1024, at least 1. Further calls wait, within
    /// their own timeout. The server has a limit of its own (256 by default); the lower one applies.
    pub max_concurrent_calls: u32,
    /// Bytes of one-way sends that may be queued while there is no connection. Default 1 MiB. Beyond it
    /// [`send_event`](crate::Client::send_event) fails. An empty queue accepts one send of any size, also with zero.
    pub max_queued_send_bytes: usize,
    /// Bytes of calls that may be queued while there is no connection. Default 16 MiB. Beyond it a call fails as not
    /// sent. An empty queue accepts one call of any size, also with zero.
    pub max_queued_call_bytes: usize,
    /// Items of one stream that the server may send before they are read: the client grants this much credit, and
    /// renews it when half of the items were read. Default 64, at least 1. A larger window sustains its throughput over
    /// a longer round trip; a smaller one buffers less when the reader pauses, at worst this many messages of the
    /// largest size.
    pub stream_window: u32,
    /// Pushes that one listener buffers, and events that one [`ConnectionEvents`](crate::ConnectionEvents) buffers.
    /// Default 256, at least 1. Beyond it the oldest is dropped and counted. A larger buffer bridges longer pauses of
    /// the reader, and may use this many messages of the largest size.
    pub push_buffer: usize,
    /// Client calls that the [handlers](crate::Client::handle) may run at the same time. Default 256, the most that a
    /// server makes by default. Further ones fail as `busy`, with zero all of them. Each may use a message of the largest size.
    pub max_client_calls: u32,
    /// The token of an earlier session. The client resumes that session on its first connection. Default none.
    pub token: Option<Token>,
    /// The callback that persists the token whenever the client gets or forgets one. Default none: the token is kept in
    /// memory only.
    pub on_token: Option<OnToken>,
    /// The timeout of [`login`](crate::Client::login), [`register`](crate::Client::register),
    /// [`resume`](crate::Client::resume) and [`logout`](crate::Client::logout); and the time for which calls on a new
    /// connection wait until the server has accepted the token. After it they are sent without. Default 10 s: servers
    /// hash passwords slowly, and may queue them.
    pub auth_timeout: Duration,
    /// The TLS configuration for `wss://`. Default `None`: rustls with ring and the certificates that the system
    /// trusts.
    #[cfg(feature = "tls")]
    pub tls: Option<std::sync::Arc<rustls::ClientConfig>>,
}

impl Default for Config {
    /// The values that a [`ClientConfig`] has as well are its defaults.
    fn default() -> Self {
        let connection = ClientConfig::default();
        Self {
            headers: HeaderMap::new(),
            connect_timeout: connection.welcome_timeout,
            backoff: connection.backoff,
            heartbeat_interval: connection.heartbeat_interval,
            resumption: true,
            max_message_bytes: connection.max_message_bytes,
            max_concurrent_calls: connection.max_in_flight,
            max_queued_send_bytes: connection.max_queued_event_bytes,
            max_queued_call_bytes: connection.max_queued_call_bytes,
            stream_window: 64,
            push_buffer: 256,
            max_client_calls: connection.max_client_calls,
            token: None,
            on_token: None,
            auth_timeout: connection.resume_timeout,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl Config {
    /// [`max_message_bytes`](Self::max_message_bytes), and at least what the messages of the protocol itself need.
    pub(crate) fn max_message_bytes(&self) -> usize {
        self.max_message_bytes.max(1024)
    }

    /// The part that the [`ClientConnection`](aaw_protocol::client::ClientConnection) applies.
    pub(crate) fn connection(&self) -> ClientConfig {
        ClientConfig {
            heartbeat_interval: self.heartbeat_interval,
            backoff: self.backoff.clone(),
            welcome_timeout: self.connect_timeout,
            resume_timeout: self.auth_timeout,
            max_in_flight: self.max_concurrent_calls,
            max_client_calls: self.max_client_calls,
            max_message_bytes: self.max_message_bytes(),
            max_queued_event_bytes: self.max_queued_send_bytes,
            max_queued_call_bytes: self.max_queued_call_bytes,
            ..ClientConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Most defaults come from aaw-protocol, and the documentation above repeats their values.
    #[test]
    fn the_defaults_are_the_documented_ones() {
        let config = Config::default();
        let seconds = Duration::from_secs;
        assert_eq!((config.connect_timeout, config.auth_timeout), (seconds(10), seconds(10)));
        assert_eq!(config.heartbeat_interval, Some(seconds(20)));
        assert_eq!((config.backoff.min, config.backoff.max), (Duration::from_millis(100), seconds(10)));
        assert_eq!((config.max_message_bytes, config.max_queued_call_bytes), (16 << 20, 16 << 20));
        assert_eq!(config.max_queued_send_bytes, 1 << 20);
        assert_eq!((config.max_concurrent_calls, config.max_client_calls), (1024, 256));
    }

    #[test]
    fn the_default_config_makes_the_default_connection() {
        assert_eq!(Config::default().connection(), ClientConfig::default());
    }
}
