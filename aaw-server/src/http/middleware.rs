//! What requests pass before they reach a handler: the WebSocket upgrade, the check of origin and host, and CORS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aaw_protocol::Code;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tower_layer::Layer as _;
use tower_service::Service as _;

use super::body_guard::GuardedBody;
use super::error::HttpError;
use super::state::AppState;
use super::{events, rate};
use crate::memory_budget::out_of_memory_budget;
use crate::net::admission;
use crate::net::effective_target::EffectiveTarget;
use crate::net::forwarded::ClientInfo;
use crate::net::handshake;
use crate::net::http_connection::{self, HttpConnection, RequestGuard};
use crate::net::message_check::check_message;
use crate::origin::Scheme;
use crate::readiness;

/// How long a browser may cache the response to a preflight.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// Upgrades a request for a WebSocket, whatever its path. Other requests are passed on if their head is valid.
pub(super) async fn upgrade(State(state): State<Arc<AppState>>, mut request: Request, next: Next) -> Response {
    let (guard, body_guard) = match request.extensions_mut().remove::<Arc<RequestGuard>>() {
        Some(guard) => (guard, None),
        // The request comes from the program's own listener, so it counts as a connection of its own.
        None => match admission::admit_any(&state.shared) {
            Ok(permit) => {
                let peer = peer_of(&request);
                let connection = Arc::new(HttpConnection::new(Arc::clone(&state.shared), peer, permit));
                let guard = Arc::new(RequestGuard::new(&connection, request.headers()));
                (Arc::clone(&guard), Some(guard))
            }
            Err(refusal) => {
                admission::log_refusal(&state.shared, peer_of(&request), &refusal);
                return HttpError::from(refusal).into_response();
            }
        },
    };
    if handshake::is_upgrade(request.headers()) {
        let response = handshake::respond(&guard, &mut request).map(Body::from);
        // Others count as connections.
        let is_invalid = response.status() != StatusCode::SWITCHING_PROTOCOLS;
        return if is_invalid { rate::reject(Some(&guard), response).await } else { response };
    }
    if let Err((status, error)) = check_message(request.version(), request.headers(), request.uri()) {
        guard.log_refusal("request", &error);
        return rate::reject(Some(&guard), rejection_response(status, error)).await;
    }
    // A connection of the program's own listener cannot be closed to free what its client holds, so that nothing is added.
    if body_guard.as_ref().is_some_and(|guard| guard.memory().is_group_full())
        && !readiness::is_probe(request.uri().path())
    {
        return HttpError::from(out_of_memory_budget(Code::BUSY)).into_response();
    }
    if !counts_with_its_event(&request)
        && !readiness::is_probe(request.uri().path())
        && let Err(refused) = rate::begin(Some(&guard), 1).await
    {
        return refused.into_response();
    }
    request.extensions_mut().insert(guard);
    let response = next.run(request).await;
    // Until the body has been sent, a graceful shutdown waits for it.
    match body_guard {
        Some(guard) => response.map(|body| Body::new(GuardedBody::new(body, guard))),
        None => response,
    }
}

/// Whether a request is for an event, which has a cost of its own.
fn counts_with_its_event(request: &Request) -> bool {
    let name = request.uri().path().strip_prefix(events::PATH);
    request.method() != Method::OPTIONS && name.is_some_and(|name| !name.is_empty())
}

/// Returns the address of the peer, if the program's own listener tells it: with `into_make_service_with_connect_info`.
fn peer_of(request: &Request) -> Option<SocketAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| *address)
}

/// Rejects requests from origins that are not allowed and those with a foreign host; adds CORS headers to the responses
/// of all others.
pub(super) async fn check_origin(State(cors): State<CorsLayer>, request: Request, next: Next) -> Response {
    if let Some((guard, rejection)) = rejection(&request) {
        let is_counted = !counts_with_its_event(&request);
        return if is_counted { rejection } else { rate::reject(Some(&guard), rejection).await };
    }
    let is_options = request.method() == Method::OPTIONS;
    if is_options && !request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        // Not a preflight, though tower-http would respond to it as to one.
        let origin = request.headers().get(ORIGIN).cloned();
        let mut response = next.run(request).await;
        if let Some(origin) = origin {
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
        return response;
    }
    let mut response = cors.layer(next).call(request).await.unwrap_or_else(|never: Infallible| match never {});
    if is_options {
        // tower-http responds to preflights with 200, joins the methods without a space, and varies by the same headers
        // as other responses.
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        response.headers_mut().append(VARY, HeaderValue::from_static("access-control-request-headers"));
    }
    response
}

/// The CORS headers for [`check_origin`], which has rejected the origins that are not allowed. Every request header is
/// allowed: none lets a page do what it could not do over a WebSocket.
pub(super) fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(PREFLIGHT_MAX_AGE)
        .vary([ORIGIN])
}

/// Rejects requests with an invalid head or a foreign host, whatever their origin.
///
/// For routes that are not behind [`upgrade`]: requests of a program's own listener have no [`RequestGuard`] there.
pub(super) async fn check_host(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let (version, headers, uri) = (request.version(), request.headers(), request.uri());
    let client = match request.extensions().get::<Arc<RequestGuard>>() {
        Some(guard) => guard.client().clone(),
        None => ClientInfo::of_request(peer_of(&request).into(), headers, &state.shared.config.load()),
    };
    // The scheme concerns origins only.
    let target = EffectiveTarget::of(&client, Scheme::Http, version, headers, uri);
    let checked = check_message(version, headers, uri)
        .and_then(|()| http_connection::check_origin_and_host(&state.shared, None, &target));
    let Err((status, error)) = checked else { return next.run(request).await };
    http_connection::log_refusal(&state.shared, client.address, "request", &error);
    rejection_response(status, error)
}

/// The response to a request with an origin or a host that is not allowed.
fn rejection(request: &Request) -> Option<(Arc<RequestGuard>, Response)> {
    // `upgrade` or our own listener has put it there.
    let guard = request.extensions().get::<Arc<RequestGuard>>()?;
    let (status, error) = guard.check_request(request.version(), request.headers(), request.uri()).err()?;
    guard.log_refusal("request", &error);
    Some((Arc::clone(guard), rejection_response(status, error)))
}

pub(super) fn rejection_response(status: StatusCode, error: String) -> Response {
    let code = if status == StatusCode::FORBIDDEN { Code::NOT_ALLOWED } else { Code::BAD_FRAME };
    HttpError::new(status, code, error).into_response()
}
