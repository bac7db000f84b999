//! Which events there are, for programs and for people.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY};
use axum::response::Response;
use serde::Serialize;

use super::events::json_response;
use super::site::Site;

/// One file, with all that it needs in it.
const PAGE: &str = include_str!("page.html");

/// The page is ours alone: nothing is loaded from elsewhere, and nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    kind: String,
}

/// The page that lists the events, and calls one.
pub(super) fn page() -> Response {
    let mut response = Response::new(Body::from(PAGE));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// `GET /events`: the page for whoever asks for a page, otherwise the list.
pub(super) async fn list(State(site): State<Arc<Site>>, request: Request) -> Response {
    let accepts = |kind: &str| {
        let accept = request.headers().get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
        accept.flat_map(|accept| accept.split(',')).any(|range| range.trim().starts_with(kind))
    };
    let mut response = if accepts("text/html") {
        page()
    } else {
        let registry = site.shared.dispatch.registry.load();
        let mut events: Vec<_> = registry
            .events()
            .filter(|event| !event.protected)
            .map(|event| Listed { name: event.name.as_str(), kind: event.kind.to_string() })
            .collect();
        events.sort_by_key(|event| event.name);
        // Names and words always serialise.
        json_response(Body::from(serde_json::to_vec(&events).unwrap_or_default()))
    };
    response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
    response
}
