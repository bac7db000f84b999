//! The list of events, as JSON for programs and as a page for people.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY};
use axum::response::Response;
use serde::Serialize;

use super::negotiate::Accept;
use super::response::json_response;
use super::state::AppState;

/// The page. It loads nothing but the client's modules, from this server.
const PAGE: &str = include_str!("page.html");

/// Forbids loading from other servers, and embedding the page.
const POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Serialize)]
struct ListedEvent<'a> {
    name: &'a str,
    kind: String,
}

/// The page that lists the events and calls them.
pub(super) fn page() -> Response {
    let mut response = Response::new(Body::from(PAGE));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// `GET /events`: the page for a client that accepts HTML, otherwise the list as JSON. Protected events are not listed.
pub(super) async fn list(State(state): State<Arc<AppState>>, request: Request) -> Response {
    let mut response = if Accept::from_headers(request.headers()).lists_html() {
        page()
    } else {
        let registry = state.shared.dispatch.registry.load();
        let mut events: Vec<_> = registry
            .events()
            .filter(|event| !event.protected)
            .map(|event| ListedEvent { name: event.name.as_str(), kind: event.kind.to_string() })
            .collect();
        events.sort_by_key(|event| event.name);
        // Serializing strings cannot fail.
        json_response(Body::from(serde_json::to_vec(&events).unwrap_or_default()))
    };
    response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
    response
}
