//! The WebSocket handshake (RFC 6455, 4.2): from an HTTP request to a WebSocket, or to a response that names what is
//! wrong with the request.

use std::sync::Arc;

use aaw_event::{Handshake, OpenInfo};
use aaw_protocol::dialect::{self, Negotiated};
use aaw_protocol::{Dialect, Shortened};
use hyper::body::Body;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::{Instrument as _, Span};

use crate::config::Config;
use crate::connection::NewConnection;
use crate::hub::{ConnectionGuard, EventCaller, Mailbox, Opening, PushLimits};
use crate::net::admission::{self, Refusal};
use crate::net::forwarded::ClientInfo;
use crate::net::http_connection::RequestGuard;
use crate::net::http_socket::upgraded_socket;
use crate::net::http_token::is_token_byte;
use crate::net::message_check::has_token;
use crate::request_info::KeptHandshake;
use crate::trusted_proxy::{Peer, PeerText};

/// Whether a request is for an upgrade to a WebSocket.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket")
}

/// Responds to a request for a WebSocket. On success the connection is served in a task of its own.
pub(crate) fn respond<B: Body>(guard: &RequestGuard, request: &mut Request<B>) -> Response<String> {
    let checked = check(guard, request);
    let checked =
        checked.and_then(|key| Ok((key, guard.handshake(request.version(), request.uri(), request.headers())?)));
    match checked {
        Ok((key, handshake)) => upgrade(guard, request, &key, handshake),
        Err((status, error)) => {
            guard.log_refusal("connection", &error);
            let mut response = plain_text(status, format!("{error}\n"));
            if status == StatusCode::UPGRADE_REQUIRED {
                response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            response
        }
    }
}

/// Checks that the request is a valid handshake, and returns its key.
fn check<B: Body>(guard: &RequestGuard, request: &Request<B>) -> Result<HeaderValue, (StatusCode, String)> {
    let headers = request.headers();
    let bad_request = |error: &str| (StatusCode::BAD_REQUEST, error.to_owned());
    guard.check_head(request.version(), headers, request.uri())?;
    if request.method() != Method::GET || request.version() < Version::HTTP_11 {
        return Err(bad_request("A WebSocket handshake must be a GET request of HTTP/1.1"));
    }
    if !request.body().is_end_stream() {
        return Err(bad_request("A WebSocket handshake must not have a body"));
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(bad_request("A WebSocket handshake must have the header Connection: Upgrade"));
    }
    if single(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err((StatusCode::UPGRADE_REQUIRED, "Expected Sec-WebSocket-Version: 13".into()));
    }
    if let Some(invalid) = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().find(|value| !is_token_list(value)) {
        let invalid = String::from_utf8_lossy(invalid.as_bytes());
        let error = format!("Expected Sec-WebSocket-Protocol: tokens with commas between them, not {invalid:?}");
        return Err((StatusCode::BAD_REQUEST, Shortened(&error).to_string()));
    }
    single(headers, &SEC_WEBSOCKET_KEY)
        .filter(|key| is_base64_of_16_bytes(key.as_bytes()))
        .cloned()
        .ok_or_else(|| bad_request("Expected Sec-WebSocket-Key: 16 bytes in base64"))
}

/// The value of a header that must not occur twice (RFC 6455, 11.3).
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).into_iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether these are 22 characters of base64 and two of padding. Bits of the last character that belong to no byte may
/// have any value.
fn is_base64_of_16_bytes(key: &[u8]) -> bool {
    let is_character = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.strip_suffix(b"==").is_some_and(|digits| digits.len() == 22 && digits.iter().all(is_character))
}

/// Whether a value is a list of tokens (RFC 9110, 5.6.1 and 5.6.2), between which empty elements may occur.
fn is_token_list(value: &HeaderValue) -> bool {
    let mut elements = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    elements.all(|element| element.iter().all(is_token_byte))
}

/// Registers the connection with the hub, and spawns a task that serves it once hyper has sent the response.
fn upgrade<B>(
    guard: &RequestGuard,
    request: &mut Request<B>,
    key: &HeaderValue,
    handshake: Option<Handshake>,
) -> Response<String> {
    let (connection, client) = (guard.connection(), guard.client());
    let shared = Arc::clone(&connection.shared);
    let permit = match connection.take_permit(client) {
        Ok(Some(permit)) => permit,
        Ok(None) => {
            // Unreachable: hyper serves the requests of a connection one after the other, and upgrades once.
            return plain_text(StatusCode::INTERNAL_SERVER_ERROR, "This connection has already been upgraded\n".into());
        }
        Err(refusal) => {
            admission::log_refusal(&shared, client.address, &refusal);
            return refused(&refusal);
        }
    };
    let offered = offered_protocols(request.headers());
    let Negotiated { dialect, chosen, client_key } = dialect::negotiate(&offered);
    // Registered before the client receives the response, so that every broadcast from then on reaches it.
    let (config, protocol) = {
        let current = shared.config.load();
        (Arc::clone(&current.config), Arc::clone(&current.protocol))
    };
    let Config { max_push_burst_bytes: burst, max_push_backlog_bytes: sustained, .. } = *config;
    let mailbox = Mailbox::new(PushLimits { burst, sustained }, Opening::of(dialect));
    let shortened_key = client_key.map(|key| Shortened(key).to_string().into());
    let address = client.address.map(|address| address.ip());
    shared.hub.flusher.set_runtime();
    let kept = handshake.as_ref().map(|handshake| Box::new(KeptHandshake::new(handshake)));
    let guard = shared.hub.insert_with_handshake(permit, shortened_key, address, kept, mailbox);
    let span = connection_span(connection.peer, client, &guard, dialect);
    span.in_scope(|| {
        let peer = client.address.map(PeerText).map(tracing::field::display);
        tracing::debug!(client_key = guard.peer.context.client_key.as_deref(), ?dialect, peer, "connected");
    });
    let origin = request.headers().get(ORIGIN).map(|origin| String::from_utf8_lossy(origin.as_bytes()));
    let mut open_info = OpenInfo::default();
    if shared.dispatch.has_hooks() {
        open_info.origin = origin.as_deref().map(str::to_owned);
        open_info.address = client.address.map(|address| PeerText(address).to_string());
        open_info.client_key = guard.peer.context.client_key.as_deref().map(str::to_owned);
        open_info.handshake = handshake;
    }
    let response = switching_protocols(key, chosen);
    let connection = NewConnection {
        dialect,
        caller: EventCaller::for_connection(Arc::clone(&shared.host_services), Arc::clone(&guard.peer)),
        guard,
        origin: origin.map(Arc::from),
        open_info,
        dispatch: Arc::clone(&shared.dispatch),
        config,
        protocol,
    };
    let upgrade = hyper::upgrade::on(request);
    let connection_span = span.clone();
    let start = async move {
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!("the handshake failed: {error}"),
        };
        let (socket, read) = upgraded_socket(upgraded);
        // A task of its own, so that an open connection does not reserve the memory for the end of its handshake.
        tokio::spawn(connection.serve(socket, read).instrument(connection_span));
    };
    tokio::spawn(start.instrument(span));
    response
}

/// The span of a connection: what is logged by its task belongs to it, and the spans of its calls are its children. It
/// has no parent: it outlives the request that it began with.
fn connection_span(from: Peer, client: &ClientInfo, guard: &ConnectionGuard, dialect: Dialect) -> Span {
    let (peer, address) = (&guard.peer, from.address());
    // As named by a proxy.
    let client = client.address.filter(|client| Some(*client) != address);
    tracing::debug_span!(
        target: "aaw_server::connection",
        parent: None,
        "connection",
        aaw.connection.id = %peer.id(),
        network.protocol.name = "websocket",
        network.peer.address = address.map(|address| tracing::field::display(address.ip())),
        network.peer.port = address.map(|address| address.port()),
        client.address = client.map(|client| tracing::field::display(client.ip())),
        client.port = client.map(|client| client.port()).filter(|port| *port != 0),
        aaw.dialect = match dialect {
            Dialect::V1 => "v1",
            Dialect::Classic => "classic",
        },
        aaw.client_key = peer.context.client_key.as_deref(),
    )
}

/// The response that completes a handshake.
fn switching_protocols(key: &HeaderValue, protocol: Option<&str>) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    // Always valid: it is part of a header value of the request.
    if let Some(Ok(protocol)) = protocol.map(HeaderValue::from_str) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// The offered subprotocols, of one header or of several.
fn offered_protocols(headers: &HeaderMap) -> String {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

/// The response to a client that is not admitted, which closes the connection.
fn refused(refusal: &Refusal) -> Response<String> {
    let mut response = plain_text(refusal.status, refusal.body());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(RETRY_AFTER, HeaderValue::from(refusal.retry_after));
    response
}

/// A text response that closes the connection, since its client is not here for HTTP.
pub(crate) fn plain_text(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
