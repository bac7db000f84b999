//! One attempt to connect: look-up, TCP, TLS, WebSocket.

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

/// A connection, ready for frames.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Where to connect to, checked as far as it can be before the first attempt.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) url: Arc<str>,
    host: Box<str>,
    port: u16,
    connector: Connector,
    config: Arc<Config>,
}

impl Target {
    pub(crate) fn new(url: &str, config: Arc<Config>) -> Result<Self, ConnectError> {
        let bad = |problem: &str| ConnectError::Url { url: url.into(), problem: problem.into() };
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| bad(&error.to_string()))?;
        let secure = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            Some(other) => return Err(bad(&format!("expected ws:// or wss://, found {other}://"))),
            None => return Err(bad("expected ws:// or wss://, as in ws://localhost:1337")),
        };
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("a URL ends up in logs, so it may hold no credentials; send a header"));
        }
        // An IPv6 address stands in brackets in a URL, and without them everywhere else.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        if let Some(name) = config.headers.keys().find(|name| is_websockets_own(name)) {
            return Err(ConnectError::Header(name.to_string()));
        }
        Ok(Self {
            host: host.into(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            connector: if secure { tls(url, &config)? } else { Connector::Plain },
            url: url.into(),
            config,
        })
    }

    /// Connects, within the time that the config allows.
    pub(crate) async fn dial(self) -> Result<(Socket, Dialect), ConnectError> {
        let after = self.config.connect_timeout;
        let attempt = async {
            // The original server keeps its clients apart by this, so it is new each time: the end of the old
            // connection, noticed late, would otherwise take the new one off its table.
            let key = format!("_{}", Uuid::new_v4());
            match self.shake_hands(Some(&key)).await {
                Err(WsFailure::NoSubProtocol) => self.shake_hands(None).await,
                other => other,
            }
        };
        let deadline = clock::after(Instant::now().into_std(), after);
        match tokio::time::timeout_at(deadline.into(), attempt).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(WsFailure::Other(error))) => Err(error),
            Ok(Err(WsFailure::NoSubProtocol)) => {
                Err(self.handshake_error("it wants a sub-protocol, and offers none".into()))
            }
            Err(_) => Err(ConnectError::TimedOut { url: self.url.to_string(), after }),
        }
    }

    /// One handshake, on a connection of its own. With a `key` it offers sub-protocols.
    async fn shake_hands(&self, key: Option<&str>) -> Result<(Socket, Dialect), WsFailure> {
        let unreachable = |problem| ConnectError::Unreachable { url: self.url.to_string(), problem: Arc::new(problem) };
        let stream = TcpStream::connect((&*self.host, self.port)).await.map_err(unreachable)?;
        // Frames are gathered before they are written; waiting for more would only delay them.
        stream.set_nodelay(true).map_err(unreachable)?;
        let request = self.request(key)?;
        let (socket, response) =
            open(request, stream, self.limits(), self.connector.clone()).await.map_err(|error| self.failure(error))?;
        let chosen = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|chosen| chosen.to_str().ok());
        Ok((socket, dialect::accepted(chosen)))
    }

    fn request(&self, key: Option<&str>) -> Result<Request<()>, ConnectError> {
        let mut request = (&*self.url)
            .into_client_request()
            .map_err(|error| ConnectError::Url { url: self.url.to_string(), problem: error.to_string() })?;
        let headers = request.headers_mut();
        for (name, value) in &self.config.headers {
            // `Host` is there already and may be another; what is given twice is sent twice.
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

    fn limits(&self) -> WebSocketConfig {
        /// tungstenite fills its buffer with zeros before each read, and keeps it as long as the connection: larger is
        /// slower for small messages. What gathers up to this is written at once.
        const READ: usize = 8 << 10;
        const WRITE: usize = 16 << 10;
        let most = self.config.max_message;
        WebSocketConfig::default()
            .read_buffer_size(READ)
            .write_buffer_size(WRITE)
            // The driver hands over one message at a time once the socket takes no more; so this is never reached.
            .max_write_buffer_size(WRITE + most.saturating_add(1024))
            .max_message_size(Some(most))
            .max_frame_size(Some(most))
    }

    fn failure(&self, error: WsError) -> WsFailure {
        let url = self.url.to_string();
        WsFailure::Other(match error {
            WsError::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => return WsFailure::NoSubProtocol,
            WsError::Http(response) => {
                const MOST: usize = 4 << 10;
                let body = response.body().as_deref().unwrap_or_default();
                let body = String::from_utf8_lossy(&body[..body.len().min(MOST)]).into_owned();
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

/// Why a handshake failed, and whether another without sub-protocols may do better.
enum WsFailure {
    /// The server chose none, or none of those offered.
    NoSubProtocol,
    Other(ConnectError),
}

impl From<ConnectError> for WsFailure {
    fn from(error: ConnectError) -> Self {
        Self::Other(error)
    }
}

fn is_websockets_own(name: &HeaderName) -> bool {
    *name == header::CONNECTION || *name == header::UPGRADE || name.as_str().starts_with("sec-websocket-")
}

/// TLS if the connector has it, then WebSocket.
#[cfg(feature = "tls")]
async fn open(
    request: Request<()>,
    stream: TcpStream,
    limits: WebSocketConfig,
    connector: Connector,
) -> Result<(Socket, Response), WsError> {
    tokio_tungstenite::client_async_tls_with_config(request, stream, Some(limits), Some(connector)).await
}

#[cfg(not(feature = "tls"))]
async fn open(
    request: Request<()>,
    stream: TcpStream,
    limits: WebSocketConfig,
    _: Connector,
) -> Result<(Socket, Response), WsError> {
    tokio_tungstenite::client_async_with_config(request, MaybeTlsStream::Plain(stream), Some(limits)).await
}

/// Made once a client: reading the system's certificates takes some milliseconds.
#[cfg(feature = "tls")]
fn tls(url: &str, config: &Config) -> Result<Connector, ConnectError> {
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
    // Named, since a program may have several providers in its tree, and then there is no default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Connector::Rustls(Arc::new(tls)))
}

#[cfg(not(feature = "tls"))]
fn tls(url: &str, _: &Config) -> Result<Connector, ConnectError> {
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
    fn what_is_no_url_of_a_server_says_why() {
        for (url, expected) in [
            ("localhost:1337", "expected ws:// or wss://"),
            ("http://localhost", "found http://"),
            ("", "empty"),
            ("ws://", "ws://"),
            ("ws://a b", "invalid"),
            ("ws://user:secret@host", "credentials"),
        ] {
            let error = Target::new(url, Arc::default()).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn hosts_and_ports_are_those_of_the_url() {
        for (url, host, port) in [
            ("ws://localhost:1337/x?y", "localhost", 1337),
            ("ws://[::1]", "::1", 80),
            ("ws://10.0.0.1:7", "10.0.0.1", 7),
        ] {
            let target = Target::new(url, Arc::default()).unwrap();
            assert_eq!((&*target.host, target.port), (host, port));
        }
    }

    #[test]
    fn headers_of_the_handshake_itself_are_refused() {
        let mut config = Config::default();
        config.headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("x"));
        assert!(matches!(Target::new("ws://localhost", Arc::new(config)), Err(ConnectError::Header(_))));
    }
}
