//! How a client behaves.

use std::time::Duration;

use aaw_protocol::Token;
use aaw_protocol::client::{Backoff, ClientConfig};
use http::HeaderMap;

use crate::login::OnToken;

/// How a client connects, and its bounds. All have defaults that suit a program calling a server of its own. A time of
/// `Duration::MAX` never ends.
///
/// ```
/// use std::time::Duration;
/// use aaw_client::Config;
///
/// let config = Config { connect_timeout: Duration::from_secs(2), ..Config::default() };
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// Headers for the handshake, besides those of WebSocket itself: `Authorization`, say, or `Origin`, which programs
    /// need not send. Default none.
    pub headers: HeaderMap,
    /// How long one attempt may take, from the name's look-up to the end of the handshakes; and how long the server may
    /// then take to greet. Default 10 s.
    pub connect_timeout: Duration,
    /// How long to wait between attempts. Default: random, up to 100 ms at first, then twice as much with each failure,
    /// up to 10 s.
    pub backoff: Backoff,
    /// How long the server may be silent before it is pinged; after two pings without a sign of life the connection is
    /// made anew. Default 20 s, so a server that vanished is noticed within a minute. Shorter notices earlier and costs
    /// a packet each time; `None` never asks.
    pub heartbeat: Option<Duration>,
    /// Bytes of one message, in either direction. Default 16 MiB: what a trusted server may well answer, and what
    /// one connection may take of this program's memory. The server has a limit of its own for what it receives, 1 MiB
    /// unless it is told otherwise; the lower one holds. A larger call fails alone; a larger answer ends the
    /// connection.
    pub max_message: usize,
    /// Calls that are written and unanswered at the same time, open streams included. Default 1024. Further ones wait within their own
    /// time-out, and so they do at the server's limit (256 unless it is told otherwise).
    pub max_in_flight: u32,
    /// Bytes of sends that wait while there is no connection; past that [`send_event`](crate::Client::send_event)
    /// fails. Default 1 MiB.
    pub max_waiting_sends: usize,
    /// Bytes of calls that wait while there is no connection; past that a call fails as not sent. Default 16 MiB.
    pub max_waiting_calls: usize,
    /// Items of one stream that may wait to be taken by its reader: so much room the server is told of, and told again
    /// when half of it is free. Default 64. More bridges a longer way to the server; fewer hold less when the reader
    /// pauses, at worst that many times a message's size. At least 1.
    pub stream_window: u32,
    /// Pushes that wait in one listener, and changes in one [`ConnectionEvents`](crate::ConnectionEvents) stream: when another comes, the
    /// oldest is lost, and counted. Default 256. A longer buffer bridges longer pauses of its reader, and may cost that
    /// many times a message's size. At least 1.
    pub push_buffer: usize,
    /// What the server has asked and the client's [handlers](crate::Client::handle) have not answered. Further questions
    /// are refused as `busy`. Default 256, as many as a server asks that is told nothing else. Each may hold a message's
    /// size.
    pub max_asked: u32,
    /// The token of a session that was kept from before: the first connection shows it to the server. Default none.
    pub token: Option<Token>,
    /// Where the client puts the token when it gets one, or loses it. Default nowhere: it is in memory alone.
    pub on_token: Option<OnToken>,
    /// How long the server may take over [`login`](crate::Client::login) and its like. So long calls wait, too, on a new
    /// connection for the server to take the token; then they go out without it. Default 10 s: servers take their time
    /// over passwords, and may have a line of them.
    pub auth_timeout: Duration,
    /// TLS for `wss://`. Default `None`: rustls on ring, with the certificates that the system trusts.
    #[cfg(feature = "tls")]
    pub tls: Option<std::sync::Arc<rustls::ClientConfig>>,
}

impl Default for Config {
    fn default() -> Self {
        let session = ClientConfig::default();
        Self {
            headers: HeaderMap::new(),
            connect_timeout: Duration::from_secs(10),
            backoff: session.backoff,
            heartbeat: session.heartbeat,
            max_message: session.max_message,
            max_in_flight: session.max_in_flight,
            max_waiting_sends: session.max_waiting_sends,
            max_waiting_calls: session.max_waiting_calls,
            stream_window: 64,
            push_buffer: 256,
            max_asked: session.max_asked,
            token: None,
            on_token: None,
            auth_timeout: session.resume_timeout,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl Config {
    /// The part that the session decides by.
    pub(crate) fn session(&self) -> ClientConfig {
        ClientConfig {
            heartbeat: self.heartbeat,
            backoff: self.backoff.clone(),
            welcome_timeout: self.connect_timeout,
            max_in_flight: self.max_in_flight,
            max_asked: self.max_asked,
            resume_timeout: self.auth_timeout,
            max_message: self.max_message,
            max_waiting_sends: self.max_waiting_sends,
            max_waiting_calls: self.max_waiting_calls,
            ..ClientConfig::default()
        }
    }
}
