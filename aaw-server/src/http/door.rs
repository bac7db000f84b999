//! What every request passes first: is it a WebSocket, and may it come in?

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use aaw_protocol::Code;

use super::failed::Failed;
use super::front::Held;
use super::site::Site;
use crate::net::handshake::{self, Serving, Visitor};

/// How long a browser need not ask again, in seconds.
const PREFLIGHT: HeaderValue = HeaderValue::from_static("600");

/// Takes a WebSocket up, whatever its path: its request is not for the route. Others go on.
pub(super) async fn upgrade(State(site): State<Arc<Site>>, mut request: Request, next: Next) -> Response {
    let (serving, held) = match request.extensions_mut().remove::<Arc<Serving>>() {
        Some(serving) => (serving, None),
        // It came in by somebody else's listener, so it is a visitor of its own.
        None => match site.shared.hub.admit(site.shared.config.max_connections) {
            Some(place) => {
                let visitor = Arc::new(Visitor::new(Arc::clone(&site.shared), None, place));
                let serving = Arc::new(Serving::begin(&visitor));
                (Arc::clone(&serving), Some(serving))
            }
            None => return Failed::unavailable("There are as many connections as there may be").into_response(),
        },
    };
    if handshake::is_upgrade(request.headers()) {
        return handshake::respond(serving.visitor(), &mut request).map(Body::from);
    }
    request.extensions_mut().insert(serving);
    let response = next.run(request).await;
    // The server's end waits for the answer.
    match held {
        Some(held) => response.map(|body| Body::new(Held::new(body, held))),
        None => response,
    }
}

/// Lets in who names a welcome origin and calls us by a name of ours, and tells browsers so (CORS).
pub(super) async fn admit(request: Request, next: Next) -> Response {
    if let Some(refusal) = refused(&request) {
        return refusal;
    }
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = match preflight(&request) {
        Some(response) => response,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

/// Lets in who calls us by a name of ours, from wherever its page is.
///
/// For routes that `upgrade` does not stand before: by somebody else's listener, nobody has made a visitor of who asks.
pub(super) async fn name(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let Err((status, error)) = handshake::judge_host(&site.shared, request.headers(), request.uri()) else {
        return next.run(request).await;
    };
    let address = request.extensions().get::<Arc<Serving>>().and_then(|serving| serving.visitor().address);
    handshake::log_refusal(&site.shared, address, "request", &error);
    refusal(status, error)
}

/// The answer to a request that may not come in.
fn refused(request: &Request) -> Option<Response> {
    // It was put there by `upgrade`, or by our listener.
    let visitor = request.extensions().get::<Arc<Serving>>()?.visitor();
    let (status, error) = visitor.judge(request.headers(), request.uri()).err()?;
    visitor.log_refusal("request", &error);
    Some(refusal(status, error))
}

fn refusal(status: StatusCode, error: String) -> Response {
    let code = if status == StatusCode::FORBIDDEN { Code::NOT_ALLOWED } else { Code::BAD_FRAME };
    Failed::new(status, code, error).into_response()
}

/// The answer to a browser that asks whether it may ask.
fn preflight(request: &Request) -> Option<Response> {
    let headers = request.headers();
    let asks = request.method() == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if !asks {
        return None;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    allow(response.headers_mut(), headers.get(ACCESS_CONTROL_REQUEST_HEADERS));
    Some(response)
}

fn allow(headers: &mut HeaderMap, wanted: Option<&HeaderValue>) {
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT);
    headers.append(VARY, HeaderValue::from_static("access-control-request-headers"));
    if let Some(wanted) = wanted {
        // None of them gives a page of that origin what it could not do by WebSocket.
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
}
