//! From an HTTP request to a WebSocket (RFC 6455, 4.2), or to an answer that says why not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use aaw_event::Opened;
use aaw_protocol::Shortened;
use aaw_protocol::dialect::{self, Negotiated};
use hyper::body::Body as _;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::connection::Connection;
use crate::hub::Place;
use crate::outbox::Outbox;
use crate::shared::Shared;

/// What a TCP connection is until its request has been read.
pub(crate) struct Visitor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
    /// Its place among the connections; goes over to the WebSocket.
    pub(crate) place: Mutex<Option<Place>>,
}

/// Answers a request: upgrades recognised before anything else, and nothing else yet.
pub(crate) fn respond(visitor: &Visitor, request: Request<Incoming>) -> Response<String> {
    if !has_token(request.headers(), &UPGRADE, "websocket") {
        let mut response = plain(
            StatusCode::UPGRADE_REQUIRED,
            "This is an aaw server. Connect to it with a WebSocket: `aaw call ws://HOST:PORT ping`.\n".into(),
        );
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade, close"));
        return response;
    }
    match judge(visitor, &request) {
        Ok(key) => accept(visitor, request, &key),
        Err((status, error)) => {
            if let Some(unlogged) = visitor.shared.refusals.pass() {
                tracing::warn!(peer = %visitor.address, unlogged, "refused a connection: {error}");
            }
            let mut response = plain(status, format!("{error}\n"));
            if status == StatusCode::UPGRADE_REQUIRED {
                response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            response
        }
    }
}

/// Whether this request may become a WebSocket; its key, if so.
fn judge(visitor: &Visitor, request: &Request<Incoming>) -> Result<HeaderValue, (StatusCode, String)> {
    let headers = request.headers();
    let bad = |error: &str| (StatusCode::BAD_REQUEST, error.to_owned());
    let text = |name: HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    // Judged by one, meant for the other: a proxy in front of us may have looked at the other one.
    if [HOST, ORIGIN].into_iter().any(|name| headers.get_all(name).iter().nth(1).is_some()) {
        return Err(bad("A request has one Host and at most one Origin"));
    }
    let admission = &visitor.shared.admission;
    admission
        .judge(text(ORIGIN).as_deref(), text(HOST).as_deref())
        .map_err(|refusal| (StatusCode::FORBIDDEN, refusal.to_string()))?;
    if request.method() != Method::GET || request.version() < Version::HTTP_11 {
        return Err(bad("A WebSocket handshake must be a GET of HTTP/1.1"));
    }
    if !request.body().is_end_stream() {
        return Err(bad("A WebSocket handshake must have no body"));
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(bad("A WebSocket handshake must say Connection: Upgrade"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err((StatusCode::UPGRADE_REQUIRED, "Expected Sec-WebSocket-Version: 13".into()));
    }
    // 16 bytes in base64 are 22 characters and two signs of padding.
    headers
        .get(SEC_WEBSOCKET_KEY)
        .filter(|key| key.len() == 24 && key.as_bytes().ends_with(b"=="))
        .cloned()
        .ok_or_else(|| bad("Expected Sec-WebSocket-Key: 16 bytes in base64"))
}

fn accept(visitor: &Visitor, mut request: Request<Incoming>, key: &HeaderValue) -> Response<String> {
    let shared = Arc::clone(&visitor.shared);
    let Some(place) = visitor.place.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        // hyper serves one request at a time and upgrades once.
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "This connection was upgraded before\n".into());
    };
    let offered = offered_protocols(request.headers());
    let Negotiated { dialect, chosen, client_key } = dialect::negotiate(&offered);
    // In the table before the client can know that it is connected: a broadcast of this moment reaches it.
    let outbox = Outbox::new(shared.config.max_push_burst);
    let seat =
        shared.hub.enter(place, client_key.map(|key| Shortened(key).to_string()), outbox, shared.config.max_message);
    tracing::debug!(
        connection = %seat.peer.id, client_key, ?dialect, peer = %visitor.address, "connected"
    );
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    // It came in a header, so it fits into one.
    if let Some(Ok(chosen)) = chosen.map(HeaderValue::from_str) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, chosen);
    }
    let mut arrival = Opened::default();
    if shared.dispatch.has_hooks() {
        let origin = request.headers().get(ORIGIN);
        arrival.origin = origin.map(|origin| String::from_utf8_lossy(origin.as_bytes()).into_owned());
        arrival.address = Some(visitor.address.to_string());
        arrival.client_key.clone_from(&seat.peer.client_key);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(connection = %seat.peer.id, "the handshake broke: {error}"),
        };
        // Back out of hyper, so that the hot path runs on the bare socket.
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => {
                let socket = parts.io.into_inner();
                let Shared { dispatch, config, .. } = &*shared;
                let (dispatch, config) = (Arc::clone(dispatch), Arc::clone(config));
                Connection::serve(socket, parts.read_buf, dialect, seat, arrival, dispatch, config).await;
            }
            Err(_) => tracing::error!("an upgraded connection is no TCP stream"),
        }
    });
    response
}

/// All offers, from one header or several.
fn offered_protocols(headers: &HeaderMap) -> String {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

/// Whether a header that is a list of words holds this one.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

fn plain(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // One request a connection, until more is served than upgrades.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
