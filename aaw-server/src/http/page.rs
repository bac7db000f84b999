//! The list of events, as JSON for programs and as a page for people.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::response::Response;

use super::asset::{Asset, Caching};
use super::client_script;
use super::events;
use super::negotiate::Accept;
use super::state::AppState;

/// The page. It loads nothing but the client, from this server, by the path that browsers cache for good.
static PAGE: LazyLock<Asset> = LazyLock::new(|| {
    let page = include_str!("page.html").replace("\"/aaw.js\"", &format!("\"{}\"", *client_script::HASHED_PATH));
    Asset::new("text/html; charset=utf-8", page.into(), &[])
});

/// Forbids loading from other servers, and embedding the page.
const POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page that lists the events and calls them.
pub(super) fn page(request: &HeaderMap) -> Response {
    let mut response = PAGE.respond(request, Caching::Revalidate);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// `GET /events`: the page for a client that accepts HTML, otherwise what `aaw/describe` returns to this caller.
pub(super) async fn list(State(state): State<Arc<AppState>>, request: Request) -> Response {
    let mut response = if Accept::from_headers(request.headers()).lists_html() {
        page(request.headers())
    } else {
        describe(&state, request).await
    };
    response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
    response
}

/// Calls `aaw/describe` on behalf of the request.
async fn describe(state: &Arc<AppState>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    parts.method = Method::POST;
    parts.uri = Uri::from_static("/events/aaw/describe");
    events::call_event(state, Request::from_parts(parts, Body::empty())).await
}
