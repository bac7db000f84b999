//! From an HTTP request to a WebSocket (RFC 6455, 4.2), or to an answer that says why not.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aaw_event::OpenInfo;
use aaw_protocol::Shortened;
use aaw_protocol::dialect::{self, Negotiated};
use bytes::Bytes;
use hyper::body::Body;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::connection::Connection;
use crate::hub::mailbox::Outbox;
use crate::hub::table::Place;
use crate::net::context::ServerContext;
use crate::net::hang_up::HangUp;
use crate::net::write_timeout::WriteTimeout;

/// Who sends requests: a TCP connection until it is a WebSocket. (Where the program's own axum serves, each request is
/// one.)
pub(crate) struct Visitor {
    pub(crate) shared: Arc<ServerContext>,
    /// Where it comes from, if that is known; for the log.
    pub(crate) address: Option<SocketAddr>,
    /// Its place among the connections; goes over to the WebSocket.
    place: Mutex<Option<Place>>,
    /// Requests that are being answered.
    serving: AtomicUsize,
}

impl Visitor {
    pub(crate) fn new(shared: Arc<ServerContext>, address: Option<SocketAddr>, place: Place) -> Self {
        Self { shared, address, place: Mutex::new(Some(place)), serving: AtomicUsize::new(0) }
    }

    /// Whether one of its requests is being answered.
    pub(crate) fn is_served(&self) -> bool {
        self.serving.load(Ordering::Relaxed) > 0
    }

    /// Whether its page, if it is one, and the name that it called us by, are welcome.
    pub(crate) fn judge(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), (StatusCode, String)> {
        // Judged by one, meant for the other: a proxy in front of us may have looked at the other one.
        if [HOST, ORIGIN].into_iter().any(|name| headers.get_all(name).iter().nth(1).is_some()) {
            return Err((StatusCode::BAD_REQUEST, "A request has one Host and at most one Origin".into()));
        }
        let origin = headers.get(ORIGIN).map(|origin| String::from_utf8_lossy(origin.as_bytes()));
        let judged = self.shared.admission.judge(origin.as_deref(), host(headers, uri).as_deref());
        judged.map_err(|refusal| (StatusCode::FORBIDDEN, refusal.to_string()))
    }

    /// Says in the log that it was refused.
    pub(crate) fn log_refusal(&self, what: &str, error: &str) {
        log_refusal(&self.shared, self.address, what, error);
    }
}

/// Whether a request calls us by a name of ours, wherever its page is.
#[cfg(feature = "http")]
pub(crate) fn judge_host(shared: &ServerContext, headers: &HeaderMap, uri: &Uri) -> Result<(), (StatusCode, String)> {
    let judged = shared.admission.judge(None, host(headers, uri).as_deref());
    judged.map_err(|refusal| (StatusCode::FORBIDDEN, refusal.to_string()))
}

pub(crate) fn log_refusal(shared: &ServerContext, address: Option<SocketAddr>, what: &str, error: &str) {
    if let Some(unlogged) = shared.refusals.pass() {
        let peer = address.map(tracing::field::display);
        tracing::warn!(peer, unlogged, "refused a {what}: {error}");
    }
}

/// The name that we were called by. Where the target itself names one, that counts (RFC 9112, 3.2.2); HTTP/2, which a
/// program's own axum may speak, has it nowhere else.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<Cow<'a, str>> {
    let named = || headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
    uri.authority().map(|host| host.as_str().into()).or_else(named)
}

/// A request that is being answered, from its arrival until its answer has been taken over.
pub(crate) struct Serving(Arc<Visitor>);

impl Serving {
    pub(crate) fn begin(visitor: &Arc<Visitor>) -> Self {
        visitor.serving.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(visitor))
    }

    pub(crate) fn visitor(&self) -> &Arc<Visitor> {
        &self.0
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a request asks for a WebSocket.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket")
}

/// Answers a request for a WebSocket.
pub(crate) fn respond<B: Body>(visitor: &Visitor, request: &mut Request<B>) -> Response<String> {
    match judge(visitor, request) {
        Ok(key) => accept(visitor, request, &key),
        Err((status, error)) => {
            visitor.log_refusal("connection", &error);
            let mut response = plain(status, format!("{error}\n"));
            if status == StatusCode::UPGRADE_REQUIRED {
                response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            response
        }
    }
}

/// Whether this request may become a WebSocket; its key, if so.
fn judge<B: Body>(visitor: &Visitor, request: &Request<B>) -> Result<HeaderValue, (StatusCode, String)> {
    let headers = request.headers();
    let bad = |error: &str| (StatusCode::BAD_REQUEST, error.to_owned());
    visitor.judge(headers, request.uri())?;
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

fn accept<B>(visitor: &Visitor, request: &mut Request<B>, key: &HeaderValue) -> Response<String> {
    let shared = Arc::clone(&visitor.shared);
    let Some(place) = visitor.place.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        // hyper serves one request at a time and upgrades once.
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "This connection was upgraded before\n".into());
    };
    let offered = offered_protocols(request.headers());
    let Negotiated { dialect, chosen, client_key } = dialect::negotiate(&offered);
    // In the table before the client can know that it is connected: a broadcast of this moment reaches it.
    let outbox = Outbox::new(shared.config.max_push_burst_bytes);
    let named = client_key.map(|key| Shortened(key).to_string());
    let address = visitor.address.map(|address| address.ip());
    let seat = shared.hub.enter(place, named, address, outbox, shared.config.max_message_bytes);
    tracing::debug!(
        connection = %seat.peer.id, client_key, ?dialect, peer = visitor.address.map(tracing::field::display),
        "connected"
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
    let mut arrival = OpenInfo::default();
    if shared.dispatch.has_hooks() {
        let origin = request.headers().get(ORIGIN);
        arrival.origin = origin.map(|origin| String::from_utf8_lossy(origin.as_bytes()).into_owned());
        arrival.address = visitor.address.map(|address| address.to_string());
        arrival.client_key.clone_from(&seat.peer.client_key);
    }
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(connection = %seat.peer.id, "the handshake broke: {error}"),
        };
        let ServerContext { dispatch, config, .. } = &*shared;
        let (dispatch, config) = (Arc::clone(dispatch), Arc::clone(config));
        match upgraded.downcast::<TokioIo<WriteTimeout<HangUp>>>() {
            // Back out of hyper, so that the hot path runs on the bare socket.
            Ok(parts) => {
                let socket = parts.io.into_inner().into_inner().into_inner();
                Connection::serve(socket, parts.read_buf, dialect, seat, arrival, dispatch, config).await;
            }
            // Somebody else's: the program's own axum listens.
            Err(upgraded) => {
                Connection::serve(TokioIo::new(upgraded), Bytes::new(), dialect, seat, arrival, dispatch, config).await;
            }
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

pub(crate) fn plain(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // Who asked for a WebSocket has nothing else to ask.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
