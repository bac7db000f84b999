//! Which path leads where.

use std::sync::Arc;

use aaw_protocol::Code;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};

use super::failed::Failed;
use super::files::Files;
use super::polling::Polling;
use super::{door, events, page, scripts};
use crate::net::context::ServerContext;
use crate::net::shutdown::Phase;
use crate::server::StartError;

/// What all requests share.
pub(super) struct Site {
    pub(super) shared: Arc<ServerContext>,
    pub(super) polling: Arc<Polling>,
    files: Option<Files>,
}

impl Site {
    pub(super) fn new(shared: &Arc<ServerContext>) -> Result<Arc<Self>, StartError> {
        let files = shared.config.http.static_dir.as_deref().map(Files::open).transpose()?;
        let shared = Arc::clone(shared);
        Ok(Arc::new(Self { polling: Polling::new(Arc::clone(&shared)), shared, files }))
    }

    /// All routes. `alone`: whatever has no route is ours too; otherwise `/` is, and the rest is somebody else's.
    pub(super) fn router(self: &Arc<Self>, alone: bool) -> Router {
        let state = || Arc::clone(self);
        let guarded = Router::new().route("/events", get(page::list)).route(
            &format!("{}{{*name}}", events::PATH),
            // Named, so that a route of somebody else's for the same is noticed.
            get(events::call).post(events::call).fallback(events::call),
        );
        let guarded = if alone || self.files.is_some() {
            // So `/` is left to a route of the program's own.
            guarded.fallback(anything)
        } else {
            guarded.route("/", any(anything))
        };
        let guarded = guarded.layer(from_fn(door::admit));
        // For a balancer, which calls by address, and for pages of every origin: who may import the script is not who may
        // connect.
        let open = Router::new()
            .route("/healthz", get(health))
            .route("/aaw.js", get(scripts::entry))
            .route("/aaw/{*file}", get(scripts::part));
        guarded
            .merge(open)
            .method_not_allowed_fallback(bad_method)
            .layer(from_fn_with_state(state(), door::upgrade))
            .layer(map_response(no_sniffing))
            .with_state(state())
    }

    /// Routes of the program's own. Origins are theirs to judge; the name by which the server was called is not.
    pub(super) fn beside(self: &Arc<Self>, routes: Router) -> Router {
        routes.layer(from_fn_with_state(Arc::clone(self), door::name))
    }
}

/// Content is what we say it is.
async fn no_sniffing(mut response: Response) -> Response {
    if response.headers().contains_key(CONTENT_TYPE) {
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

/// Whatever has no route: a file, or the page.
async fn anything(State(site): State<Arc<Site>>, request: Request) -> Response {
    let is_root = request.uri().path() == "/";
    if let Some(files) = &site.files
        && (!is_root || files.has_index())
    {
        return files.respond(request).await.unwrap_or_else(not_found);
    }
    match (is_root, request.method()) {
        (true, &Method::GET | &Method::HEAD) => page::page(),
        (true, _) => Failed::method("GET, HEAD", "Events are called at /events/NAME").into_response(),
        (false, _) => not_found(),
    }
}

pub(super) fn not_found() -> Response {
    let error = "There is nothing here. Events are called at /events/NAME";
    Failed::new(StatusCode::NOT_FOUND, Code::new("not_found"), error).into_response()
}

/// The header that says which there are is axum's.
async fn bad_method() -> Response {
    Failed::new(StatusCode::METHOD_NOT_ALLOWED, Code::new("bad_method"), "This can only be read").into_response()
}

/// Whether calls are taken.
async fn health(State(site): State<Arc<Site>>) -> Response {
    let (status, body) = match site.shared.shutdown.has_reached(Phase::Draining) {
        false => (StatusCode::OK, r#"{"status":"ok"}"#),
        true => (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"stopping"}"#),
    };
    let mut response = events::json_response(Body::from(body));
    *response.status_mut() = status;
    debug_assert!(response.headers().contains_key(CACHE_CONTROL), "an old answer is worth nothing");
    response
}
