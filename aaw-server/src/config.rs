//! The configuration of a server: plain structs whose defaults are safe on an open network.

#[cfg(feature = "http")]
use std::path::PathBuf;
use std::time::Duration;

use aaw_protocol::hello::Limits;
use aaw_protocol::server::ServerConfig;
use aaw_protocol::websocket::MAX_FRAMES;

use crate::address_limits::AddressRates;
pub use crate::allowed_host::{AllowedHost, InvalidHost};
pub use crate::listen_address::{InvalidListenAddress, ListenAddress};
pub use crate::origin::{AllowedOrigin, InvalidOrigin};
pub use crate::path_prefix::{InvalidPathPrefix, PathPrefix};
pub use crate::trusted_proxy::{ForwardedHeader, InvalidForwardedHeader, InvalidTrustedProxy, TrustedProxy};

mod table;

/// The configuration of a server. Every field has a default that is safe on an open network. Sizes are in bytes; limits
/// are per connection unless the field states otherwise. For timeouts and intervals, `Duration::MAX` means never.
///
/// ```
/// use aaw_server::Config;
/// let config = Config { port: 0, max_connections: 100, ..Config::default() };
/// assert_eq!(config.host, "127.0.0.1");
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// The address or host name to listen on. Default `127.0.0.1`, which is reachable from this machine only. `0.0.0.0`
    /// and `::` listen on every interface. An IPv6 address may be in brackets, as in a URL.
    pub host: String,
    /// The TCP port to listen on. Default 1337. 0 selects a free port, which
    /// [`BoundServer::local_addr`](crate::BoundServer::local_addr) returns.
    pub port: u16,
    /// The addresses to listen on, instead of [`host`](Self::host): any number of TCP ports and Unix sockets. Those without a
    /// port have that of [`port`](Self::port). `[::]` accepts IPv4 too, unless `0.0.0.0` is listed beside it. Default: none,
    /// so that `host` and `port` apply.
    pub listen: Vec<ListenAddress>,
    /// The maximum number of connections of each address that the system has established and the server has not accepted
    /// yet; clients beyond it retry after a second. Default 1024: a burst of clients, such as after a restart, exceeds the
    /// 128 that are usual. The system may have a lower limit (`net.core.somaxconn` on Linux).
    pub listen_backlog: u32,
    /// The permissions of the files of Unix sockets, see [`listen`](Self::listen). Default `0o660`: the server's user and its
    /// group may connect, so that a proxy needs to be in that group. Who may connect is trusted as a proxy is.
    pub unix_socket_mode: u32,
    /// How the TCP ports speak TLS (feature `tls`). Default: none, they speak plain HTTP. Unix sockets always do, since their
    /// clients are on the same machine.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::tls::Tls>,
    /// The maximum number of requests that one HTTP/2 connection may have in progress (feature `tls`). Default 100, the
    /// least that RFC 9113 recommends; clients wait before they send further ones. Each connection can run as many calls
    /// at the same time.
    pub max_http2_streams: u32,
    /// Origins whose pages may connect, such as `https://app.example.com`; `null` or `file://` for pages opened as files,
    /// `*` for all. See [`AllowedOrigin`]. In addition, pages of the same scheme, host and port as the request may connect, and, if
    /// the server is reached through a loopback name, pages of this machine. The hosts of these origins are also allowed, as
    /// those of [`allow_hosts`](Self::allow_hosts) are. Default: none.
    ///
    /// The scheme and the host of a request are those that one of [`trusted_proxies`](Self::trusted_proxies) states. Otherwise the
    /// scheme is that of the server's own port, whatever a proxy in front of it speaks: pages behind such a proxy with TLS
    /// are allowed by their origin.
    pub allow_origins: Vec<AllowedOrigin>,
    /// Host names that requests may name in `Host`, see [`AllowedHost`], in addition to IP addresses, `localhost` and the names
    /// below it, [`host`](Self::host) if it is a name, the hosts of [`allow_origins`](Self::allow_origins), and the names of the
    /// server's certificate, if it speaks TLS itself. A request for another host is refused with HTTP status 403, whatever
    /// address the server listens on. Default: none.
    ///
    /// Otherwise a page of any site could reach a server that the site itself cannot, for example one in the network of its
    /// visitor: the site lets its own name resolve to the server's address (DNS rebinding), and the browser takes the
    /// server's responses for the site's own. An IP address cannot be taken over so.
    pub allow_hosts: Vec<AllowedHost>,
    /// Proxies in front of the server, which are trusted to state who their clients are: in the headers of
    /// [`forwarded_header`](Self::forwarded_header), or with [`proxy_protocol`](Self::proxy_protocol). Default: none, so that
    /// the client is the peer and those headers mean nothing.
    ///
    /// The client is the last address of the list that is not one of these proxies. All that is limited for an address is limited
    /// for the client's then, and the log shows it. A proxy whose clients' addresses are hidden or malformed counts as the client
    /// itself. `X-Forwarded-Proto` and `X-Forwarded-Host` (in `Forwarded`: `proto` and `host`) are the scheme and the host
    /// that origins are compared with; of several values the last one counts, which the nearest proxy has added.
    ///
    /// List only proxies that set these headers, or remove those that clients have sent: a client that can connect from one of these
    /// addresses can claim to be any client and any host.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// The headers in which trusted proxies state the client. Default [`ForwardedHeader::XForwardedFor`], which nginx, Caddy,
    /// Apache, HAProxy, Traefik, Envoy and the load balancers of the large providers set. They pass on a `Forwarded` that a
    /// client has sent, and a proxy that sets `Forwarded` may pass on an `X-Forwarded-For`: the other kind is never read.
    pub forwarded_header: ForwardedHeader,
    /// Whether each connection begins with a header of the PROXY protocol, version 1 or 2, by which a proxy states the client.
    /// Default false. Only [`trusted_proxies`](Self::trusted_proxies) can connect then, and a connection without a valid
    /// header within [`handshake_timeout`](Self::handshake_timeout) is closed. It cannot be optional: a client could
    /// send a header as well. Not for [`Server::mount`](crate::Server), whose connections the program accepts.
    pub proxy_protocol: bool,
    /// The path below which the server is reached, such as `/app`, if a proxy passes it on: WebSockets, events over HTTP, pages
    /// and the program's own routes are below it, all other paths are 404. `/healthz` responds without it, too. Default `/`,
    /// which is also right for a proxy that removes the prefix. Not for [`Server::mount`](crate::Server): nest its router.
    pub path_prefix: PathPrefix,
    /// The maximum number of open connections of the whole server; further ones are refused with HTTP status 503.
    /// Default 65 536, which take about 130 MB while all of them are idle, 145 MB if their clients can resume them. Over TLS they
    /// take 500 MB more. Each takes an open file: the program `aaw-server` raises the limit of these as far as it may, and applies a
    /// lower number of connections, which it logs, if the limit has no room for more. A program that uses the library does that
    /// itself, else one client can open all files, and others are refused one by one.
    pub max_connections: usize,
    /// The maximum number of open connections of one client address; further ones are refused with HTTP status 429. `None`,
    /// the default, is as many as are still free, and 64 in any case, or of less than 4096 a 64th: one address gets half of
    /// [`max_connections`](Self::max_connections) at most, and *n* addresses that take all they get leave one part in *n* + 1
    /// for others. So an office behind one address is not limited while the server has room. An address is that of
    /// [`max_held_bytes_per_address`](Self::max_held_bytes_per_address). For the /48 network of an IPv6 address, which has
    /// 65 536 of them, the same holds as for an address, with a number 16 times as large. All clients behind a
    /// proxy that is not one of [`trusted_proxies`](Self::trusted_proxies) have its address: there, set it to
    /// [`max_connections`](Self::max_connections). With a number, a new connection of an address that has reached it
    /// takes the place of a WebSocket that has not responded to a ping for a quarter of
    /// [`heartbeat_interval`](Self::heartbeat_interval), the one that has been silent for longest: a client whose network has
    /// changed is not refused because of its own broken connection. It takes none while the /48 network is full, or the address
    /// has twice its number, counted with those that are closing. Reading what has waited begins that quarter again.
    pub max_connections_per_address: Option<usize>,
    /// How long a task that is ready may wait for a processor before clients count as competing, and the rates of addresses
    /// are limited: [`handshake_rate_per_address`](Self::handshake_rate_per_address),
    /// [`call_rate_per_address`](Self::call_rate_per_address) and
    /// [`input_rate_per_address`](Self::input_rate_per_address). Default 5 ms, which a person does not notice and a server
    /// that keeps up does not reach.
    ///
    /// Those rates are what an address is guaranteed. While tasks wait for less than this, or all connections come from one
    /// address for a second, no rate is limited. Otherwise each address may use a multiple of its rates, the same for all of them, which
    /// falls to 1 within some tens of milliseconds, and rises to no limit within some ten seconds. With zero, the rates are
    /// always limits; with `Duration::MAX`, never.
    pub contention_delay: Duration,
    /// The connections a second that one client address may open while clients compete for the server
    /// ([`contention_delay`](Self::contention_delay)), each with its handshake or first request; five times as many at once.
    /// Further ones are refused with HTTP status 429 and the time to come back. Default 100, which take about one hundredth of
    /// a processor: an office of 500 connects at once, one of 2000 within 20 s after the server has restarted.
    pub handshake_rate_per_address: u32,
    /// The cost of the calls a second that one client address may make while clients compete for the server
    /// ([`contention_delay`](Self::contention_delay)), over WebSockets and HTTP, and as many at once. An event costs 1 unless
    /// its author has set another cost. Calls beyond it wait: over a WebSocket they are read later. A call that would have to
    /// wait for longer than a second fails with the code `busy`, and with the time to come back. Default 5000, about one
    /// hundredth of the small calls that a server can handle, and what a thousand busy users make.
    pub call_rate_per_address: u32,
    /// The bytes a second that one client address may send while clients compete for the server
    /// ([`contention_delay`](Self::contention_delay)), over WebSockets and in HTTP requests, and as many at once. Over a
    /// WebSocket, what is beyond is read later, and nothing is refused; an HTTP request that would have to wait for longer than a
    /// second gets status 429. Each frame counts 64 bytes in addition and each request 256, so that a
    /// flood of empty ones is limited too. Default 8 MiB: eight of the largest messages, and some 100 000 empty frames, which take
    /// about one hundredth of a processor.
    pub input_rate_per_address: usize,
    /// How long a client may take to send the head of its first request, and then its hello message. Default 10 s. A
    /// shorter timeout frees the sockets of stalled clients earlier, but disconnects clients on slow networks.
    /// Also the time within which `_open` and `_resume` must decide.
    pub handshake_timeout: Duration,
    /// The maximum size of the target and the headers of a request, in bytes, if the events read them
    /// (`services.handshake()`); a larger one is refused with HTTP status 431. Default 16 KiB, which is also the most that
    /// the server's own listener accepts as a head: it is a limit of its own for programs that mount the server in their
    /// axum application. A connection keeps its handshake as long as it lives, and it counts towards
    /// [`max_held_bytes`](Self::max_held_bytes). Servers whose events do not read it keep nothing.
    pub max_handshake_bytes: usize,
    /// How long an HTTP connection is kept open between two requests, until the head of the next has arrived. Default
    /// 75 s. It must be longer than the idle timeout of a proxy or load balancer in front of the server, commonly 60 s:
    /// otherwise the proxy sends requests over connections that are being closed, and responds 502. Responses announce
    /// it in the header `Keep-Alive`, in whole seconds. Zero closes each connection after its first response. A longer
    /// timeout saves clients new connections, and keeps idle ones among [`max_connections`](Self::max_connections).
    pub keep_alive_timeout: Duration,
    /// How long a connection may be silent before the server pings it; see
    /// [`max_missed_heartbeats`](Self::max_missed_heartbeats). Default 20 s, below the 60 s after which common proxies
    /// close idle connections. A shorter interval detects lost clients earlier and costs more traffic.
    pub heartbeat_interval: Duration,
    /// How many consecutive pings may bring no data from the client before the connection is closed. Default 2.
    pub max_missed_heartbeats: u32,
    /// How long the state of a connection is kept after its socket has broken, for a client that resumes it. Default 60 s, in
    /// which most phones find another network. A longer time keeps the memory of clients that never come back for longer. With
    /// zero, a connection ends with its socket.
    pub resumption_window: Duration,
    /// The maximum number of connections whose client is away. Beyond it the client address (of IPv6, the /48 network) that has the most of them loses
    /// the one that has been away for the longest time; among addresses with equally many, the connection that began last is
    /// dropped. Default 65 536. They do not count towards
    /// [`max_connections`](Self::max_connections), because a client that resumes one needs a socket first.
    pub max_away_connections: usize,
    /// The maximum number of connections of one client address whose client is away; beyond it, that address loses the one
    /// that has been away for the longest time. An address is that of
    /// [`max_held_bytes_per_address`](Self::max_held_bytes_per_address), and the /48 network of an IPv6 address has 16 times as much,
    /// at most half of the total. Default 8192, an eighth of the total. All clients
    /// behind a proxy that is not one of [`trusted_proxies`](Self::trusted_proxies) have its address.
    pub max_away_connections_per_address: usize,
    /// The maximum size of the messages that a resumable connection retains until its client acknowledges them, in bytes; while
    /// it is exceeded, no call is started and no stream continues. Default 1 MiB. It limits the throughput of one connection
    /// to this size in each round trip.
    pub max_unacknowledged_bytes: usize,
    /// The maximum size of one message in either direction, in bytes. Default 1 MiB. A larger message from a client
    /// closes its connection with code 1009; a larger response becomes the error `too_large`. A higher limit lets each
    /// connection occupy more memory.
    pub max_message_bytes: usize,
    /// The maximum number of WebSocket frames that one message may consist of; a message with more closes its connection with
    /// code 1009. Default 65 536, with which a message of the largest default size may arrive in frames of 16 bytes. Clients
    /// hardly split messages; a message of empty frames would never end.
    pub max_message_frames: u32,
    /// The maximum number of calls of one connection that run at the same time; further calls wait in the connection's
    /// queue. Default 256, which keeps a database busy from one connection without letting one connection occupy the
    /// whole server.
    pub max_concurrent_calls: u32,
    /// How long a handler may run for a call that gets one response or none, over WebSockets and HTTP alike; after that it
    /// is dropped, and the call fails with the code `timeout`. Default 60 s, after which common clients and proxies have
    /// given up. The time begins when the handler does. It includes the guards, and the time for which the handler is held up as a
    /// sender, see [`reader_stall_timeout`](Self::reader_stall_timeout). A call's time in the queue does not count.
    /// An event's file can set another limit for its event, see `MAX_CALL_TIME` in the guide to events.
    ///
    /// Streams are exempt while a caller reads them item by item, however long an item takes and however long the caller
    /// takes to grant credit: they end with their connection, or by [`HttpConfig::cursor_idle_timeout`] where they are
    /// read by polling. A longer limit lets forgotten calls occupy the memory of their handlers for longer.
    pub max_call_time: Duration,
    /// How long calls and streams of events that were replaced ([`Handle::replace_events`](crate::Handle::replace_events),
    /// or a reload) may run on; after that they fail with the code `replaced`, and the log tells how many. Default 10 min:
    /// calls that have [`max_call_time`](Self::max_call_time) are over long before, so this ends streams and calls without
    /// a limit, each of which would otherwise keep the services, the runtime and the connections to databases of its
    /// generation for as long as its reader stays. What else runs on is not ended, and keeps the same: hooks, deliveries of
    /// password resets, one-way calls, and threads and destructors of the events themselves. A stream over HTTP/2 whose client
    /// takes nothing ends when it does, or when the connection closes. The code of a library stays in memory in any case.
    pub replaced_events_timeout: Duration,
    /// How long a guard (`_guard.rs`) may take to decide about a call; after that the call is refused with the code
    /// `timeout`. Default 10 s, enough for a slow database: a guard only decides, and a caller that waits for it does not
    /// know yet whether its call runs. Each guard of a call has this time.
    pub guard_timeout: Duration,
    /// The maximum size of the calls that wait in a connection's queue, in bytes; a call beyond it fails with the code
    /// `busy`. Default 1 MiB, which holds some thousand small calls.
    pub max_queued_call_bytes: usize,
    /// The sustained limit of pushes that are queued for one connection, in bytes. A connection that exceeds it for
    /// longer than [`push_backlog_timeout`](Self::push_backlog_timeout) is closed with code 1013, because a client that
    /// reads too slowly would otherwise occupy ever more memory. Default 1 MiB. The overhead of each queued push counts
    /// too.
    pub max_push_backlog_bytes: usize,
    /// How long a connection may exceed [`max_push_backlog_bytes`](Self::max_push_backlog_bytes). Default 5 s, which
    /// lets a client on an ordinary network catch up after a burst. The time begins again whenever it has caught up by
    /// that limit, so a client that reads 210 KB/s, with the defaults, can read a burst of any size.
    pub push_backlog_timeout: Duration,
    /// The burst limit of pushes that are queued for one connection, in bytes; a connection that exceeds it is closed
    /// at once. Default 16 MiB. A broadcast is stored once for all connections, but counts in full for each of them.
    ///
    /// Handlers that run at the same time push before the first of them is held up. If the connection reads, they may exceed this
    /// limit by [`max_message_bytes`](Self::max_message_bytes) for each worker thread of the runtime.
    pub max_push_burst_bytes: usize,
    /// How long the socket of a connection that exceeds [`max_push_backlog_bytes`](Self::max_push_backlog_bytes) may accept nothing,
    /// before the connection is closed with code 1013. Default 5 s, as [`push_backlog_timeout`](Self::push_backlog_timeout).
    ///
    /// A connection is behind from when half of [`max_push_backlog_bytes`](Self::max_push_backlog_bytes) waits for it, until a quarter
    /// does. While it reads, those whose calls push to it wait until it has read about twice what they have pushed, times the
    /// number of those that wait: their further calls do not start, their handlers are not
    /// polled, and over HTTP their responses are sent later. So a flood is slowed down to half of the pace of its slowest reader, and a
    /// sender of little waits for little. While more than [`max_push_backlog_bytes`](Self::max_push_backlog_bytes) waits for a connection
    /// that reads, or more than half of [`max_push_burst_bytes`](Self::max_push_burst_bytes), the same holds for all connections and
    /// requests of a client whose call pushes to it, also for new ones: of its IPv4 address, or its IPv6 site (/48). A connection that has accepted nothing for two seconds holds up no sender,
    /// nor does one that reads less than that quarter within this timeout, or within 5 s if it is longer (with the defaults 52 KB/s).
    /// What the program itself pushes, with a [`Handle`](crate::Handle), never waits, nor does a task that a handler has spawned.
    pub reader_stall_timeout: Duration,
    /// The maximum total size of the frames of one connection's running calls, in bytes; further calls wait in the
    /// queue. Default 4 MiB. Handlers may occupy many times the size of their bodies.
    pub max_running_call_bytes: usize,
    /// The credit of an upload, in items: how many items a caller may send ahead of the handler. Credit is renewed when
    /// half of it has been used. Default 64. A larger window tolerates more latency and buffers more items.
    pub upload_window: u32,
    /// The maximum total size of upload items that are buffered for the handlers of one connection, in bytes; beyond it
    /// the call that received the last item fails with the code `too_large`. Default 256 MiB, about four full windows
    /// of the largest items. Items that were read since the last grant of credit count too, so the limit should be at
    /// least [`upload_window`](Self::upload_window) times [`max_message_bytes`](Self::max_message_bytes); otherwise a
    /// caller can exceed it within its credit. While more than 1 MiB is buffered for one call, that call's caller gets
    /// no further credit. The items count towards
    /// [`max_held_bytes_per_address`](Self::max_held_bytes_per_address), which is lower by default.
    pub max_upload_bytes: usize,
    /// The maximum number of client calls to one connection that are waiting for a response; a further one fails with
    /// the code `busy`. Default 256. Each keeps its caller waiting until the response or the timeout.
    pub max_client_calls: u32,
    /// The maximum number of rooms that one connection may be in; joining a further one fails with the code `busy`.
    /// Default 1024, which takes at most about half a megabyte of names and memberships.
    pub max_rooms: usize,
    /// The maximum size of the responses that are queued for one connection, in bytes; while it is exceeded, none of
    /// the connection's calls is started. Default 1 MiB.
    pub max_unsent_response_bytes: usize,
    /// The maximum memory that one connection may make the server hold for it, in bytes: responses under construction,
    /// responses and pushes that it does not read, and messages and request bodies that have not arrived whole. At the
    /// limit, its handlers are not polled and its calls do not start until it has read some of it; one call at a time
    /// continues, so that a single response of the largest size always fits. What only handlers can free does not count here,
    /// but in the limits of an address and of all connections: calls that run or wait, with their bodies, upload items, and
    /// responses that wait for credit. Default 4 MiB. It should be larger than
    /// [`max_unsent_response_bytes`](Self::max_unsent_response_bytes) and [`max_message_bytes`](Self::max_message_bytes).
    pub max_held_bytes: usize,
    /// The maximum memory that the connections and HTTP requests of one client address may make the server hold, in the
    /// sense of [`max_held_bytes`](Self::max_held_bytes). At the limit the connections that hold most are refused: their
    /// running calls fail with the code `too_large`, and they are closed with code 1013 if they hold memory otherwise, since
    /// they do not read their responses or do not complete their messages. (Without a code if more than 4 KiB of a frame
    /// would have to be sent first.) The others continue. An address is an IPv4 address or the /64 network of an IPv6
    /// address. Connections whose address is unknown have no such limit: those of a Unix socket without a trusted proxy, and of
    /// a router that is mounted into a program's own axum app which is served without `into_make_service_with_connect_info`.
    ///
    /// Default 64 MiB: sixteen connections at their limit, more than a browser or a busy household has, and an eighth of
    /// [`max_total_held_bytes`](Self::max_total_held_bytes), so that eight addresses at least are needed to exhaust the
    /// latter. The /48 network of an IPv6 address, which has 65 536 such networks, has 16 times as much, and at most half of the
    /// latter. All clients behind a proxy that is not one of [`trusted_proxies`](Self::trusted_proxies) have its address.
    pub max_held_bytes_per_address: usize,
    /// The maximum memory that all connections and HTTP requests together may make the server hold, in the sense of
    /// [`max_held_bytes`](Self::max_held_bytes). At the limit the connections that hold most are refused, as in
    /// [`max_held_bytes_per_address`](Self::max_held_bytes_per_address). Default 512 MiB. What a connection holds counts
    /// in whole steps of 4 KiB, here and for an address, so up to 4 KiB more a connection may be held.
    pub max_total_held_bytes: usize,
    /// How long a connection with data to send may accept less than 16 KiB before it is closed, over WebSockets and
    /// HTTP alike. Default 30 s, enough for a phone to change its network.
    pub write_timeout: Duration,
    /// How long closing a connection may take: sending the close frame, and receiving the client's. Default 2 s.
    pub close_timeout: Duration,
    /// How long handlers of calls that were sent without waiting for a response may continue after their connection has
    /// closed, so that a client may send and disconnect at once. Default 30 s. Handlers with a waiting caller are
    /// dropped when the connection closes. Until its handlers end, the connection counts towards
    /// [`max_connections`](Self::max_connections). The hooks `_close`, `_away` and `_back` have as long, too.
    pub linger_timeout: Duration,
    /// How much time the handlers that continue after their connection has closed may spend in being polled, all those of
    /// one connection together; after that they are dropped when they are next polled. Default 1 s: a handler that waits
    /// for a database or another server uses almost none of it, and a client that sends work and disconnects repeatedly
    /// cannot keep a processor busy. Wall time is measured, which includes the time for which the system runs other
    /// threads.
    pub max_linger_poll_time: Duration,
    /// How long running streams may continue when the server shuts down; after that they end with the code `stopping`.
    /// Default 2 s, for streams that end soon by themselves.
    pub stream_shutdown_timeout: Duration,
    /// How long a shutdown may take in all. Default 8 s: process managers commonly kill a process after 10 s. Calls that
    /// still run 3 s before the end (for less than 8 s: after five eighths of the time) are dropped, so that their
    /// connections can be closed. Closing them gets 1 s at least.
    pub shutdown_timeout: Duration,
    /// The configuration of authentication (feature `auth`). Default: none, so that events below a folder called `auth`
    /// cannot be called.
    #[cfg(feature = "auth")]
    pub auth: Option<crate::auth::Auth>,
    /// The configuration of HTTP (feature `http`).
    #[cfg(feature = "http")]
    pub http: HttpConfig,
}

/// The configuration of HTTP (feature `http`), in addition to [`Config::max_message_bytes`], the timeouts and the
/// connection limits of [`Config`], which apply to HTTP too.
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
    /// A folder whose files are served at `/`. Files and links are looked up at each request, also if the path is a link
    /// itself: changing it publishes another folder. Hidden files (`.git`, `.env`, but not those in the folder
    /// `.well-known`), links that lead out of the folder, and what is not a regular file are not served. Default: none;
    /// `/` is then a page that lists the events.
    pub static_dir: Option<PathBuf>,
    /// How long the body of a request may take to arrive. Default 30 s, enough for 1 MiB over a slow network.
    pub body_timeout: Duration,
    /// How long a stream of server-sent events may be silent before a comment is sent to keep it alive. Default 15 s,
    /// below the idle timeouts of common proxies. A shorter interval detects lost readers earlier and costs more
    /// traffic.
    pub sse_keep_alive_interval: Duration,
    /// How long a polling request (`?take=`) waits for items at most. Default 25 s, below the 30 s after which common
    /// clients and proxies abort a request.
    pub poll_timeout: Duration,
    /// How long a cursor, and the handler behind it, is kept after its last request. Default 60 s.
    pub cursor_idle_timeout: Duration,
    /// The maximum number of streams of the whole server that are read by polling at the same time. Default 1024. Each keeps
    /// its handler for up to [`cursor_idle_timeout`](Self::cursor_idle_timeout) after its reader has disappeared.
    ///
    /// At the limit, a client address that has fewer of them than another, or none, can still begin one (all addresses of a /48
    /// network of IPv6 count as one): the address that has the most loses the one that has not been read for the longest time, and its reader gets the error `cursor_evicted`
    /// (HTTP status 410). Otherwise a further one is refused with status 429 and the code `busy`.
    pub max_cursors: usize,
    /// The maximum number of streams of one client address that are read by polling at the same time; a further one is refused
    /// with HTTP status 429 and the code `busy`. An address is that of
    /// [`Config::max_held_bytes_per_address`]. Default 512, half of the total: far more than the readers of an office behind
    /// one address have, who usually poll one stream each, and two addresses at least are needed to reach the total. The /48
    /// network of an IPv6 address has 16 times as much, and at most half of the total or as much as an address. All
    /// clients behind a proxy that is not one of [`Config::trusted_proxies`] have its address: there, set it to the total.
    pub max_cursors_per_address: usize,
}

#[cfg(feature = "http")]
impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            static_dir: None,
            body_timeout: Duration::from_secs(30),
            sse_keep_alive_interval: Duration::from_secs(15),
            poll_timeout: Duration::from_secs(25),
            cursor_idle_timeout: Duration::from_secs(60),
            max_cursors: 1024,
            max_cursors_per_address: 512,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        // The limits that the protocol applies have their defaults in aaw-protocol.
        let protocol = ServerConfig::default();
        Self {
            host: "127.0.0.1".into(),
            port: 1337,
            listen: Vec::new(),
            listen_backlog: 1024,
            unix_socket_mode: 0o660,
            #[cfg(feature = "tls")]
            tls: None,
            max_http2_streams: 100,
            allow_origins: Vec::new(),
            allow_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            proxy_protocol: false,
            path_prefix: PathPrefix::default(),
            max_connections: 65_536,
            max_connections_per_address: None,
            contention_delay: Duration::from_millis(5),
            handshake_rate_per_address: 100,
            call_rate_per_address: 5000,
            input_rate_per_address: 8 << 20,
            handshake_timeout: protocol.hello_timeout,
            max_handshake_bytes: 16 << 10,
            keep_alive_timeout: Duration::from_secs(75),
            heartbeat_interval: protocol.heartbeat_interval,
            max_missed_heartbeats: protocol.max_missed_heartbeats,
            resumption_window: protocol.resumption_window,
            max_away_connections: 65_536,
            max_away_connections_per_address: 8192,
            max_unacknowledged_bytes: protocol.max_unacknowledged_bytes,
            max_message_bytes: protocol.limits.message as usize,
            max_message_frames: MAX_FRAMES,
            max_concurrent_calls: protocol.limits.calls,
            max_call_time: Duration::from_secs(60),
            replaced_events_timeout: Duration::from_secs(10 * 60),
            guard_timeout: Duration::from_secs(10),
            max_queued_call_bytes: protocol.limits.line as usize,
            max_push_backlog_bytes: 1 << 20,
            push_backlog_timeout: Duration::from_secs(5),
            max_push_burst_bytes: 16 << 20,
            reader_stall_timeout: Duration::from_secs(5),
            max_running_call_bytes: protocol.max_running_bytes,
            upload_window: 64,
            max_upload_bytes: protocol.max_upload_bytes,
            max_client_calls: protocol.max_client_calls,
            max_rooms: 1024,
            max_unsent_response_bytes: protocol.max_unsent_bytes,
            max_held_bytes: 4 << 20,
            max_held_bytes_per_address: 64 << 20,
            max_total_held_bytes: 512 << 20,
            write_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(2),
            linger_timeout: Duration::from_secs(30),
            max_linger_poll_time: Duration::from_secs(1),
            stream_shutdown_timeout: Duration::from_secs(2),
            shutdown_timeout: Duration::from_secs(8),
            #[cfg(feature = "auth")]
            auth: None,
            #[cfg(feature = "http")]
            http: HttpConfig::default(),
        }
    }
}

impl Config {
    /// The part of this configuration that limits client addresses.
    pub(crate) fn address_rates(&self) -> AddressRates {
        AddressRates {
            handshakes: self.handshake_rate_per_address,
            calls: self.call_rate_per_address,
            bytes: self.input_rate_per_address,
            contention_delay: self.contention_delay,
        }
    }

    /// The part of this configuration that the protocol's state machine of each connection applies.
    pub(crate) fn protocol(&self) -> ServerConfig {
        // A limit that the wire cannot express is as good as none.
        let wire = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
        ServerConfig {
            limits: Limits {
                calls: self.max_concurrent_calls,
                line: wire(self.max_queued_call_bytes),
                message: wire(self.max_message_bytes),
            },
            max_unsent_bytes: self.max_unsent_response_bytes,
            max_running_bytes: self.max_running_call_bytes,
            hello_timeout: self.handshake_timeout,
            heartbeat_interval: self.heartbeat_interval,
            max_missed_heartbeats: self.max_missed_heartbeats,
            resumption_window: self.resumption_window,
            max_unacknowledged_bytes: self.max_unacknowledged_bytes,
            max_upload_bytes: self.max_upload_bytes,
            max_client_calls: self.max_client_calls,
        }
    }
}
