//! The list of events, as JSON for programs and as a page for people.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use serde::Serialize;

use super::asset::{Asset, Caching};
use super::client_script;
use super::negotiate::Accept;
use super::response::json_response;
use super::state::AppState;

/// The page. It loads nothing but the client, from this server, by the path that browsers cache for good.
static PAGE: LazyLock<Asset> = LazyLock::new(|| {
    let page = include_str!("page.html").replace("\"/aaw.js\"", &format!("\"{}\"", *client_script::HASHED_PATH));
    Asset::new("text/html; charset=utf-8", page.into(), &[])
});

/// Forbids loading from other servers, and embedding the page.
const POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Serialize)]
struct ListedEvent<'a> {
    name: &'a str,
    kind: String,
}

/// The page that lists the events and calls them.
pub(super) fn page(request: &HeaderMap) -> Response {
    let mut response = PAGE.respond(request, Caching::Revalidate);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// `GET /events`: the page for a client that accepts HTML, otherwise the list as JSON. Protected events are not listed.
pub(super) async fn list(State(state): State<Arc<AppState>>, request: Request) -> Response {
    let mut response = if Accept::from_headers(request.headers()).lists_html() {
        page(request.headers())
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
