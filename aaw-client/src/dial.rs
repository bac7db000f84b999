//! One attempt to connect: name lookup, TCP, TLS, and the WebSocket handshake.

use std::io;
use std::sync::Arc;

use aaw_protocol::clock;
use aaw_protocol::dialect::{self, Dialect};
use http::header::{self, HeaderName, HeaderValue};
use http::{Request, Uri};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};
use uuid::Uuid;

use crate::{Config, ConnectError};

/// A connected WebSocket.
pub(crate) type ClientSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The server to connect to. The URL and the headers were checked; what can still fail is the attempt.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) url: Arc<str>,
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    connector: Connector,
    config: Arc<Config>,
}

impl Endpoint {
    pub(crate) fn new(url: &str, config: Arc<Config>) -> Result<Self, ConnectError> {
        let bad = |problem: &str| ConnectError::Url { url: url.into(), problem: problem.into() };
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
            connector: if secure { tls_connector(url, &config)? } else { Connector::Plain },
            url: url.into(),
            config,
        })
    }

    /// Connects, within [`Config::connect_timeout`].
    pub(crate) async fn dial(self) -> Result<(ClientSocket, Dialect), ConnectError> {
        let after = self.config.connect_timeout;
        let attempt = async {
            // The original server identifies its clients by this key. It is new for each attempt: if the server noticed
            // the end of the former connection late, it would otherwise remove the new one from its table.
            let key = format!("_{}", Uuid::new_v4());
            match self.handshake(Some(&key)).await {
                Err(HandshakeError::NoSubProtocol) => self.handshake(None).await,
                other => other,
            }
        };
        let deadline = clock::after(Instant::now().into_std(), after);
        match tokio::time::timeout_at(deadline.into(), attempt).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(HandshakeError::Other(error))) => Err(error),
            Ok(Err(HandshakeError::NoSubProtocol)) => {
                Err(self.handshake_error("it requires a sub-protocol and selects none".into()))
            }
            Err(_) => Err(ConnectError::TimedOut { url: self.url.to_string(), after }),
        }
    }

    /// Opens a TCP connection and runs one handshake on it. With a `key` it offers sub-protocols.
    async fn handshake(&self, key: Option<&str>) -> Result<(ClientSocket, Dialect), HandshakeError> {
        let unreachable = |problem| ConnectError::Unreachable { url: self.url.to_string(), problem: Arc::new(problem) };
        let stream = TcpStream::connect((&*self.host, self.port)).await.map_err(unreachable)?;
        // The driver writes frames in batches; Nagle's algorithm would only delay them.
        stream.set_nodelay(true).map_err(unreachable)?;
        let request = self.request(key)?;
        let (socket, response) = open_websocket(request, stream, self.websocket_config(), self.connector.clone())
            .await
            .map_err(|error| self.classify(error))?;
        let chosen = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|chosen| chosen.to_str().ok());
        Ok((socket, dialect::accepted(chosen)))
    }

    fn request(&self, key: Option<&str>) -> Result<Request<()>, ConnectError> {
        let mut request = (&*self.url)
            .into_client_request()
            .map_err(|error| ConnectError::Url { url: self.url.to_string(), problem: error.to_string() })?;
        let headers = request.headers_mut();
        for (name, value) in &self.config.headers {
            // `Host` is set already and may be replaced. Other headers with several values are sent several times.
            match name == header::HOST {
                true => headers.insert(name, value.clone()).is_some(),
                false => headers.append(name, value.clone()),
            };
        }
        if let Some(key) = key {
            let offer = format!("{key}, {}", dialect::V1);
            let offer = HeaderValue::try_from(offer).expect("a UUID and a constant are visible ASCII");
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offer);
        }
        Ok(request)
    }

    fn websocket_config(&self) -> WebSocketConfig {
        /// tungstenite zeroes its read buffer before each read and keeps it while the connection lives: a larger one is
        /// slower for small messages.
        const READ_BUFFER: usize = 8 << 10;
        /// Bytes that are collected before they are written to the socket.
        const WRITE_BUFFER: usize = 16 << 10;
        let limit = self.config.max_message_bytes;
        WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            // Never reached: the driver passes a message only while the socket is ready for one.
            .max_write_buffer_size(WRITE_BUFFER + limit.saturating_add(1024))
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit))
    }

    fn classify(&self, error: WsError) -> HandshakeError {
        let url = self.url.to_string();
        HandshakeError::Other(match error {
            WsError::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => return HandshakeError::NoSubProtocol,
            WsError::Http(response) => {
                const MAX_BODY: usize = 4 << 10;
                let body = response.body().as_deref().unwrap_or_default();
                let body = String::from_utf8_lossy(&body[..body.len().min(MAX_BODY)]).into_owned();
                ConnectError::Refused { url, status: response.status().as_u16(), body }
            }
            WsError::Tls(error) => ConnectError::Tls { url, problem: error.to_string() },
            WsError::Io(error) if is_tls(&error) => ConnectError::Tls { url, problem: error.to_string() },
            WsError::Io(error) => ConnectError::Unreachable { url, problem: Arc::new(error) },
            WsError::Url(error) => ConnectError::Url { url, problem: error.to_string() },
            error => self.handshake_error(error.to_string()),
        })
    }

    fn handshake_error(&self, problem: String) -> ConnectError {
        ConnectError::Handshake { url: self.url.to_string(), problem }
    }
}

/// Why a handshake failed, and whether one without sub-protocols may succeed.
enum HandshakeError {
    /// The server selected no sub-protocol, or one that was not offered.
    NoSubProtocol,
    Other(ConnectError),
}

impl From<ConnectError> for HandshakeError {
    fn from(error: ConnectError) -> Self {
        Self::Other(error)
    }
}

fn is_handshake_header(name: &HeaderName) -> bool {
    *name == header::CONNECTION || *name == header::UPGRADE || name.as_str().starts_with("sec-websocket-")
}

/// Runs the TLS handshake if the connector has a configuration for it, then the WebSocket handshake.
#[cfg(feature = "tls")]
async fn open_websocket(
    request: Request<()>,
    stream: TcpStream,
    config: WebSocketConfig,
    connector: Connector,
) -> Result<(ClientSocket, Response), WsError> {
    tokio_tungstenite::client_async_tls_with_config(request, stream, Some(config), Some(connector)).await
}

#[cfg(not(feature = "tls"))]
async fn open_websocket(
    request: Request<()>,
    stream: TcpStream,
    config: WebSocketConfig,
    _: Connector,
) -> Result<(ClientSocket, Response), WsError> {
    tokio_tungstenite::client_async_with_config(request, MaybeTlsStream::Plain(stream), Some(config)).await
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
    fn headers_of_the_handshake_itself_are_rejected() {
        let mut config = Config::default();
        config.headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("x"));
        assert!(matches!(Endpoint::new("ws://localhost", Arc::new(config)), Err(ConnectError::Header(_))));
    }
}
