//! The shortest way to an event: for a POST as programs send it, past the router.
//!
//! The layers of axum's router and of CORS cost more than all the rest of such a request. This way does the same as those
//! layers do for a POST without `Origin` to `/events/NAME`; every other request takes the router. A test compares the
//! responses of both.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, Request};
use axum::response::Response;

use super::state::AppState;
use super::{events, middleware, rate};
use crate::net::handshake;
use crate::net::http_connection::RequestGuard;

/// Returns whether the request may take this way.
pub(super) fn is_for<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.method() == Method::POST
        && request.uri().path().strip_prefix(events::PATH).is_some_and(|name| !name.is_empty())
        && !headers.contains_key(ORIGIN)
        && !handshake::is_upgrade(headers)
}

/// Checks the request as [`middleware::upgrade`] and [`middleware::check_origin`] do, and calls the event.
pub(super) async fn respond(state: &Arc<AppState>, guard: &RequestGuard, request: Request<Body>) -> Response {
    let mut response = match guard.check_head(request.version(), request.headers(), request.uri()) {
        Err((status, error)) => {
            guard.log_refusal("request", &error);
            rate::reject(Some(guard), middleware::rejection_response(status, error)).await
        }
        Ok(()) => {
            let mut response = events::call_event(state, request).await;
            response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
            response
        }
    };
    if response.headers().contains_key(CONTENT_TYPE) {
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}
