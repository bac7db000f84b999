//! What a server holds to: a plain struct with defaults that are safe as they come.

#[cfg(feature = "http")]
use std::path::PathBuf;
use std::time::Duration;

use aaw_protocol::hello::Limits;
use aaw_protocol::server::ServerConfig;

pub use crate::origin::{AllowedOrigin, InvalidOrigin};

/// What a server holds to. Every field has a default that is safe on an open network. A `Duration::MAX` means never.
///
/// ```
/// use aaw_server::Config;
/// let config = Config { port: 0, max_connections: 100, ..Config::default() };
/// assert_eq!(config.host, "127.0.0.1");
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// The address, or the name of one, to listen on. Default `127.0.0.1`: this machine only. `0.0.0.0` and `::` are
    /// every interface.
    pub host: String,
    /// The port. Default 1337; 0 takes a free one, see [`BoundServer::local_addr`](crate::BoundServer::local_addr).
    pub port: u16,
    /// Pages from these origins may connect, besides those of the server's own host and, if the server is reached
    /// through a loopback name, those of this machine. Default: none.
    pub allow_origins: Vec<AllowedOrigin>,
    /// Connections at the same time; further ones are answered 503. Default 65 536, about 450 MB if all are idle.
    pub max_connections: usize,
    /// How long a client may take for its request, without a body, and again for its hello; and how long a connection
    /// stays open between two requests over HTTP. Default 10 s.
    pub handshake_timeout: Duration,
    /// After this long without a sign of life a client is pinged; after [`missed_heartbeats`](Self::missed_heartbeats)
    /// of them in vain it is gone. Default 20 s: below the 60 s after which common proxies give up an idle connection.
    pub heartbeat: Duration,
    /// Pings that may go unanswered. Default 2.
    pub missed_heartbeats: u32,
    /// Bytes of one message, in either direction. Default 1 MiB: what most peers in this field take, and far above what
    /// a question or an answer needs. A larger one from a client closes its connection (1009); an answer that is larger
    /// becomes the error `too_large`.
    pub max_message: usize,
    /// Calls of one connection that run at the same time; further ones wait in a line. Default 256: enough to keep a
    /// database busy from one connection, too few for one connection to fill the server.
    pub max_calls: u32,
    /// Bytes of calls that wait in a connection's line; past that a call is refused as `busy`. Default 1 MiB: some
    /// thousand small calls, which is more than a client that waits for answers makes.
    pub max_line: usize,
    /// Bytes of pushes that may wait to go out to one connection for longer than
    /// [`push_patience`](Self::push_patience); then it is closed (1013), since it would slow everybody else's broadcast
    /// down or take ever more memory. Default 1 MiB. What a push takes besides its text counts too.
    pub max_pushes: usize,
    /// How long more may wait than [`max_pushes`](Self::max_pushes). Default 5 s: a burst that a client takes in that
    /// time is none of its faults.
    pub push_patience: Duration,
    /// Bytes of pushes that may wait to go out to one connection at all, however shortly; past that it is closed at once.
    /// Default 16 MiB. A broadcast is one buffer for all, and counts for each.
    pub max_push_burst: usize,
    /// Bytes of the frames of one connection's calls that run and are not done; past that further calls wait in line.
    /// Default 4 MiB: handlers may hold many times the size of their bodies.
    pub max_running: usize,
    /// Items that a handler has room for of a stream that its caller sends it, granted anew at half. Default 64.
    pub stream_window: u32,
    /// Bytes of such items that may wait for the handlers of one connection; past that the call whose item came last
    /// fails as `too_large`. Items taken since room was last given count too, so it should be no less than a
    /// [`stream_window`](Self::stream_window) times [`max_message`](Self::max_message), or a caller within its window
    /// could meet it. Default 256 MiB: about four uploads of the largest items at a time. While more than 1 MiB of one
    /// call's items wait, its caller is given no more room.
    pub max_uploads: usize,
    /// Questions to one client that it has not answered; a further one fails as `busy`. Default 256. Each holds whoever
    /// asked, for as long as its time-out lets it.
    pub max_asks: u32,
    /// Rooms that one connection may be in; joining a further one fails as `busy`. Default 1024: more than anybody follows,
    /// and at most about half a megabyte of names and memberships.
    pub max_rooms: usize,
    /// Bytes of answers that wait to go out to one connection, past which none of its calls is started. Default 1 MiB:
    /// who does not read answers needs no more of them.
    pub max_unsent: usize,
    /// A connection to which nothing could be written for this long, though something was to be, is closed, be it a
    /// WebSocket or one over which HTTP is answered. Default 30 s: a phone that changes its network is back by then.
    pub write_timeout: Duration,
    /// How long the end of a connection may take: the close frame, and the client's answer to it. Default 2 s.
    pub close_timeout: Duration,
    /// When a connection ends, handlers whose answer was waited for are dropped. Those of sends, for which nobody
    /// waited, may go on this long, so that "send and leave" works. Default 30 s. Until then the connection keeps its
    /// place among [`max_connections`](Self::max_connections).
    pub linger: Duration,
    /// When the server stops, how long running calls may take to finish. Default 10 s: what process managers commonly
    /// wait before they kill.
    pub stop_timeout: Duration,
    /// Bytes of each connection's read buffer. Default 4 KiB. It is filled with zeros at each read, so a larger one
    /// costs time at every small message, and memory for every connection; it pays only for messages of many KiB.
    pub read_buffer: usize,
    /// Who may call what is below a folder called `auth`. Default: none, so nobody may (feature `auth`).
    #[cfg(feature = "auth")]
    pub auth: Option<crate::auth::Auth>,
    /// What HTTP holds to.
    #[cfg(feature = "http")]
    pub http: HttpConfig,
}

/// What the same events hold to over plain HTTP (feature `http`). [`Config::max_message`], the time-outs and the
/// bounds on connections are those of [`Config`].
///
/// ```
/// use aaw_server::Config;
/// use aaw_server::config::HttpConfig;
///
/// let http = HttpConfig { static_dir: Some("public".into()), ..HttpConfig::default() };
/// let config = Config { http, ..Config::default() };
/// # drop(config);
/// ```
#[cfg(feature = "http")]
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// A folder that is served at `/`, read when it is asked for. Hidden files (`.git`, `.env`) and links that lead out
    /// of it are not served. Default: none; then `/` is a page that lists the events.
    pub static_dir: Option<PathBuf>,
    /// How long the body of a request may take to arrive. Default 30 s: 1 MiB over a poor line.
    pub body_timeout: Duration,
    /// Server-sent events in which nothing was said for this long get a comment. Default 15 s: below what proxies
    /// commonly bear, and soon enough to notice a reader that has gone without a word.
    pub sse_comment: Duration,
    /// How long a polling request (`?take=`) waits for items, at most. Default 25 s: below the 30 s after which common
    /// clients and proxies give up.
    pub poll_wait: Duration,
    /// How long a cursor that nobody uses is kept, and its handler with it. Default 60 s.
    pub cursor_idle: Duration,
    /// Streams that are read by polling at the same time; a further one is refused (429). Default 1024. Each is a handler
    /// with all that it holds, for up to [`cursor_idle`](Self::cursor_idle) after its reader has gone.
    pub max_cursors: usize,
}

#[cfg(feature = "http")]
impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            static_dir: None,
            body_timeout: Duration::from_secs(30),
            sse_comment: Duration::from_secs(15),
            poll_wait: Duration::from_secs(25),
            cursor_idle: Duration::from_secs(60),
            max_cursors: 1024,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 1337,
            allow_origins: Vec::new(),
            max_connections: 65_536,
            handshake_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(20),
            missed_heartbeats: 2,
            max_message: 1 << 20,
            max_calls: 256,
            max_line: 1 << 20,
            max_pushes: 1 << 20,
            push_patience: Duration::from_secs(5),
            max_push_burst: 16 << 20,
            max_running: 4 << 20,
            stream_window: 64,
            max_uploads: 256 << 20,
            max_asks: 256,
            max_rooms: 1024,
            max_unsent: 1 << 20,
            write_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(2),
            linger: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
            read_buffer: 4 << 10,
            #[cfg(feature = "auth")]
            auth: None,
            #[cfg(feature = "http")]
            http: HttpConfig::default(),
        }
    }
}

impl Config {
    pub(crate) fn session(&self) -> ServerConfig {
        let wire = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
        ServerConfig {
            limits: Limits { calls: self.max_calls, line: wire(self.max_line), message: wire(self.max_message) },
            unsent: self.max_unsent,
            running: self.max_running,
            hello_timeout: self.handshake_timeout,
            heartbeat: self.heartbeat,
            missed_heartbeats: self.missed_heartbeats,
            uploads: self.max_uploads,
            asks: self.max_asks,
        }
    }
}
