//! One attempt to connect: name lookup, TCP, TLS, and the WebSocket handshake.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aaw_protocol::dialect::{self, Dialect};
use aaw_protocol::{clock, redact};
use bytes::BytesMut;
use http::Uri;
use http::header::{self, HeaderMap, HeaderName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};
use uuid::Uuid;

use crate::counted_stream::CountedStream;
use crate::handshake::{
    BodyLength, HandshakeProblem, HandshakeRequest, ResponseHead, SWITCHING_PROTOCOLS, parse_head, unchunk,
};
use crate::{Config, ConnectError};

/// What a WebSocket is made of: TCP, or TLS over TCP.
type Transport = MaybeTlsStream<TcpStream>;

/// A connected WebSocket.
pub(crate) type ClientSocket = WebSocketStream<CountedStream<Transport>>;

/// The server to connect to. The URL and the headers were checked; what can still fail is the attempt.
#[derive(Clone)]
pub(crate) struct Endpoint {
    uri: Uri,
    /// The URL for errors and logs, without what may be a token.
    pub(crate) shown_url: Arc<str>,
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    connector: Connector,
    pub(crate) config: Arc<Config>,
}

impl Endpoint {
    pub(crate) fn new(url: &str, config: Arc<Config>) -> Result<Self, ConnectError> {
        let shown_url = redact::url(url);
        let bad = |problem: &str| ConnectError::Url { url: shown_url.clone(), problem: problem.into() };
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| bad(&error.to_string()))?;
        let secure = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            Some(other) => return Err(bad(&format!("expected ws:// or wss://, found {other}://"))),
            None => return Err(bad("expected ws:// or wss://, as in ws://localhost:1337")),
        };
        let authority = uri.authority().ok_or_else(|| bad("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it contains credentials, and URLs end up in logs; send a header instead"));
        }
        // An IPv6 address stands in brackets in a URL, and without them everywhere else.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(bad("it has no host"));
        }
        if let Some(name) = config.headers.keys().find(|name| is_handshake_header(name)) {
            return Err(ConnectError::Header(name.to_string()));
        }
        Ok(Self {
            host: host.into(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            connector: if secure { tls_connector(&shown_url, &config)? } else { Connector::Plain },
            shown_url: shown_url.into(),
            config,
            uri,
        })
    }

    /// Connects, within [`Config::connect_timeout`].
    pub(crate) async fn dial(self) -> Result<(ClientSocket, Dialect), ConnectError> {
        let after = self.config.connect_timeout;
        let deadline = Instant::from_std(clock::after(Instant::now().into_std(), after));
        let attempt = async {
            // The original server identifies its clients by this key. It is new for each attempt: if the server noticed
            // the end of the former connection late, it would otherwise remove the new one from its table.
            let offer = format!("_{}, {}", Uuid::new_v4(), dialect::V1);
            match self.connect(Some(offer), deadline).await {
                Err(AttemptError::NoSubProtocol) => self.connect(None, deadline).await,
                other => other,
            }
        };
        match tokio::time::timeout_at(deadline, attempt).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(AttemptError::Other(error))) => Err(error),
            Ok(Err(AttemptError::NoSubProtocol)) => {
                Err(self.handshake_error("it requires a sub-protocol and selects none"))
            }
            Err(_) => Err(ConnectError::TimedOut { url: self.shown_url.to_string(), after }),
        }
    }

    /// Opens a connection and runs one handshake on it, which offers these sub-protocols.
    async fn connect(&self, offer: Option<String>, deadline: Instant) -> Result<(ClientSocket, Dialect), AttemptError> {
        let mut transport = self.open_transport().await?;
        let request = HandshakeRequest::new(offer);
        let text = request.encode(&self.uri, &self.config.headers);
        transport.write_all(&text).await.map_err(|error| self.io_error(error))?;
        transport.flush().await.map_err(|error| self.io_error(error))?;
        let (head, rest) = self.read_head(&mut transport).await?;
        if head.status != SWITCHING_PROTOCOLS {
            return Err(self.refused(&mut transport, &head, rest, deadline).await.into());
        }
        let dialect = request.check(&head.headers).map_err(|problem| match problem {
            HandshakeProblem::NoSubProtocol => AttemptError::NoSubProtocol,
            HandshakeProblem::Invalid(problem) => AttemptError::Other(self.handshake_error(&problem)),
        })?;
        let config = Some(self.websocket_config());
        let transport = CountedStream::new(transport);
        let socket = WebSocketStream::from_partially_read(transport, rest.to_vec(), Role::Client, config).await;
        Ok((socket, dialect))
    }

    async fn open_transport(&self) -> Result<Transport, ConnectError> {
        let unreachable =
            |problem| ConnectError::Unreachable { url: self.shown_url.to_string(), problem: Arc::new(problem) };
        let stream = TcpStream::connect((&*self.host, self.port)).await.map_err(unreachable)?;
        // The driver writes frames in batches; Nagle's algorithm would only delay them.
        stream.set_nodelay(true).map_err(unreachable)?;
        let tls = |problem| ConnectError::Tls { url: self.shown_url.to_string(), problem };
        secure(stream, &self.host, &self.connector).await.map_err(tls)
    }

    /// Reads the head of the response, and whatever has arrived with it.
    async fn read_head(&self, transport: &mut Transport) -> Result<(ResponseHead, BytesMut), ConnectError> {
        /// Far above what servers send, cookies included.
        const MAX_HEAD: usize = 16 << 10;
        let mut bytes = BytesMut::new();
        loop {
            while let Some(head) = parse_head(&bytes).map_err(|problem| self.handshake_error(&problem))? {
                let rest = bytes.split_off(head.len);
                // An interim response, such as 103, precedes the response (RFC 9110, section 15.2).
                if head.status >= 200 || head.status == SWITCHING_PROTOCOLS {
                    return Ok((head, rest));
                }
                bytes = rest;
            }
            if bytes.len() > MAX_HEAD {
                return Err(self.handshake_error("the head of its response is larger than 16 KiB"));
            }
            if read_some(transport, &mut bytes).await.map_err(|error| self.io_error(error))? == 0 {
                return Err(self.handshake_error(
                    "it closed the connection without a response, as a proxy without its server does",
                ));
            }
        }
    }

    /// The error for a response that refuses the connection. Reads its body, which gives the reason.
    async fn refused(
        &self,
        transport: &mut Transport,
        head: &ResponseHead,
        mut bytes: BytesMut,
        deadline: Instant,
    ) -> ConnectError {
        const MAX_BODY: usize = 4 << 10;
        /// A reason that takes longer is not waited for.
        const TIMEOUT: Duration = Duration::from_secs(1);
        let length = head.body_length();
        let read = async {
            loop {
                let complete = match length {
                    BodyLength::Bytes(length) => bytes.len() >= length,
                    BodyLength::Chunked => unchunk(&bytes).1,
                    BodyLength::UntilClose => false,
                };
                if complete || bytes.len() >= MAX_BODY || !matches!(read_some(transport, &mut bytes).await, Ok(1..)) {
                    break;
                }
            }
        };
        // Without a complete body, the error has the part that has arrived.
        let _ = tokio::time::timeout_at(deadline.min(Instant::now() + TIMEOUT), read).await;
        let body = match length {
            BodyLength::Bytes(length) => bytes[..length.min(bytes.len())].to_vec(),
            BodyLength::Chunked => unchunk(&bytes).0,
            BodyLength::UntilClose => bytes.to_vec(),
        };
        let body = String::from_utf8_lossy(&body[..body.len().min(MAX_BODY)]);
        let location = head.headers.get(header::LOCATION).filter(|_| (300..=399).contains(&head.status));
        ConnectError::Refused {
            url: self.shown_url.to_string(),
            status: head.status,
            // Some servers repeat the URL in their body.
            body: redact::query_values(&self.uri.to_string(), &body),
            location: location.map(|location| redact::url(&String::from_utf8_lossy(location.as_bytes()))),
            retry_after: retry_after(&head.headers, SystemTime::now()),
        }
    }

    fn websocket_config(&self) -> WebSocketConfig {
        /// tungstenite zeroes its read buffer before each read and keeps it while the connection lives: a larger one is
        /// slower for small messages.
        const READ_BUFFER: usize = 8 << 10;
        /// Bytes that are collected before they are written to the socket.
        const WRITE_BUFFER: usize = 16 << 10;
        let limit = self.config.max_message_bytes();
        WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            // Never reached: the driver passes a message only while the socket is ready for one.
            .max_write_buffer_size(limit.saturating_add(WRITE_BUFFER + 1024))
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit))
    }

    fn io_error(&self, error: io::Error) -> ConnectError {
        let url = self.shown_url.to_string();
        match is_tls(&error) {
            true => ConnectError::Tls { url, problem: error.to_string() },
            false => ConnectError::Unreachable { url, problem: Arc::new(error) },
        }
    }

    fn handshake_error(&self, problem: &str) -> ConnectError {
        ConnectError::Handshake { url: self.shown_url.to_string(), problem: problem.to_owned() }
    }
}

/// Why an attempt failed, and whether one without sub-protocols may succeed.
enum AttemptError {
    /// The server selected none of the sub-protocols.
    NoSubProtocol,
    Other(ConnectError),
}

impl From<ConnectError> for AttemptError {
    fn from(error: ConnectError) -> Self {
        Self::Other(error)
    }
}

async fn read_some(transport: &mut Transport, bytes: &mut BytesMut) -> io::Result<usize> {
    const READ: usize = 2 << 10;
    bytes.reserve(READ);
    transport.read_buf(bytes).await
}

/// The time to wait before the next attempt, which the server has named in seconds or as a date (RFC 9110, section
/// 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that does not fit is a very long time.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

fn is_handshake_header(name: &HeaderName) -> bool {
    *name == header::CONNECTION || *name == header::UPGRADE || name.as_str().starts_with("sec-websocket-")
}

/// Runs the TLS handshake, if the connector has a configuration for it.
#[cfg(feature = "tls")]
async fn secure(stream: TcpStream, host: &str, connector: &Connector) -> Result<Transport, String> {
    let Connector::Rustls(config) = connector else { return Ok(MaybeTlsStream::Plain(stream)) };
    let name = rustls::pki_types::ServerName::try_from(host.to_owned())
        .map_err(|_| format!("{host:?} is not a name that a certificate can have"))?;
    let connected = tokio_rustls::TlsConnector::from(config.clone()).connect(name, stream).await;
    connected.map(MaybeTlsStream::Rustls).map_err(|error| error.to_string())
}

#[cfg(not(feature = "tls"))]
async fn secure(stream: TcpStream, _: &str, _: &Connector) -> Result<Transport, String> {
    Ok(MaybeTlsStream::Plain(stream))
}

/// The TLS configuration of a client. Made once for each client: reading the system's certificates takes some
/// milliseconds.
#[cfg(feature = "tls")]
fn tls_connector(url: &str, config: &Config) -> Result<Connector, ConnectError> {
    if let Some(own) = &config.tls {
        return Ok(Connector::Rustls(own.clone()));
    }
    let failed = |problem: String| ConnectError::Tls { url: url.into(), problem };
    let system = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(system.certs);
    if added == 0 {
        let errors: Vec<_> = system.errors.iter().map(ToString::to_string).collect();
        return Err(failed(format!("this system trusts no certificates; set Config::tls. {}", errors.join("; "))));
    }
    // Given explicitly: a program with several crypto providers in its dependency tree has no default one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Connector::Rustls(Arc::new(tls)))
}

#[cfg(not(feature = "tls"))]
fn tls_connector(url: &str, _: &Config) -> Result<Connector, ConnectError> {
    Err(ConnectError::Url { url: url.into(), problem: "wss:// needs aaw-client's feature \"tls\"".into() })
}

#[cfg(feature = "tls")]
fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

#[cfg(not(feature = "tls"))]
fn is_tls(_: &io::Error) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_url_is_rejected_with_the_reason() {
        for (url, expected) in [
            ("localhost:1337", "expected ws:// or wss://"),
            ("http://localhost", "found http://"),
            ("", "empty"),
            ("ws://", "ws://"),
            ("ws://a b", "invalid"),
            ("ws://user:secret@host", "credentials"),
        ] {
            let error = Endpoint::new(url, Arc::default()).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn host_and_port_are_read_from_the_url() {
        for (url, host, port) in [
            ("ws://localhost:1337/x?y", "localhost", 1337),
            ("ws://[::1]", "::1", 80),
            ("ws://10.0.0.1:7", "10.0.0.1", 7),
        ] {
            let endpoint = Endpoint::new(url, Arc::default()).unwrap();
            assert_eq!((&*endpoint.host, endpoint.port), (host, port));
        }
    }

    #[test]
    fn no_error_shows_a_secret_of_the_url() {
        for url in ["ws://ada:hunter2@host", "http://host/?token=hunter2", "ws://?token=hunter2", "ws://a b?hunter2"] {
            let error = Endpoint::new(url, Arc::default()).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let endpoint = Endpoint::new("ws://host/x?token=hunter2", Arc::default()).unwrap();
        assert_eq!(&*endpoint.shown_url, "ws://host/x?token=[redacted]");
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        // The date is that of RFC 9110, section 5.6.7: 784111777 seconds since 1970.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 90);
        let seconds = |value| Some(Duration::from_secs(value));
        for (value, expected) in [
            ("0", seconds(0)),
            ("120", seconds(120)),
            (" 7 ", seconds(7)),
            ("99999999999999999999999", seconds(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", seconds(90)),
            ("Sun, 06 Nov 1983 08:49:37 GMT", seconds(0)),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), expected, "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn the_largest_message_limit_does_not_overflow() {
        for limit in [0, 1, usize::MAX] {
            let config = Config { max_message_bytes: limit, ..Config::default() };
            Endpoint::new("ws://host", Arc::new(config)).unwrap().websocket_config();
        }
    }

    #[test]
    fn headers_of_the_handshake_itself_are_rejected() {
        let mut config = Config::default();
        config.headers.insert(header::SEC_WEBSOCKET_PROTOCOL, header::HeaderValue::from_static("x"));
        assert!(matches!(Endpoint::new("ws://localhost", Arc::new(config)), Err(ConnectError::Header(_))));
    }
}
