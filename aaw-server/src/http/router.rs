//! Which path is served by which handler, and the handlers that are too small for a file of their own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};

use super::error::HttpError;
use super::response::json_response;
use super::state::AppState;
use super::{client_script, events, middleware, page};
use crate::error::StartError;
use crate::net::health;
use crate::readiness;

/// The program's own routes.
#[derive(Debug, Default)]
pub(crate) struct Routes(Vec<Router>);

impl Routes {
    pub(crate) fn push(&mut self, routes: Router) {
        self.0.push(routes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where the router is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// For all requests of the server's own listener: it has a fallback.
    Standalone,
    /// Within a program's own axum app, to which requests without a route of aaw's are left.
    Mounted,
}

/// The router of aaw's routes and the program's own.
///
/// # Errors
/// [`StartError::Routes`] if two routes conflict. axum panics then, and has no way to list a router's paths beforehand.
pub(super) fn build(state: &Arc<AppState>, routes: Routes, placement: Placement) -> Result<Router, StartError> {
    let merge = || {
        let aaw = aaw_routes(state, placement);
        routes.0.into_iter().fold(aaw, |all, routes| all.merge(with_host_check(state, routes)))
    };
    catch_unwind(AssertUnwindSafe(merge)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        StartError::Routes(text.unwrap_or_default())
    })
}

fn aaw_routes(state: &Arc<AppState>, placement: Placement) -> Router {
    let restricted = Router::new().route("/events", get(page::list)).route(
        &format!("{}{{*name}}", events::PATH),
        // Two explicit methods, so that a route of the program's own for the same path is detected as a conflict.
        get(events::call).post(events::call).fallback(events::call),
    );
    let restricted = if placement == Placement::Standalone || state.files.is_some() {
        // A fallback rather than a route, so that the program may have its own route for `/`.
        restricted.fallback(root_or_file)
    } else {
        restricted.route("/", any(root_or_file))
    };
    let restricted = restricted.layer(from_fn_with_state(middleware::cors(), middleware::check_origin));
    // These are public: a load balancer requests the health by address, and a page of any origin may import the client
    // script, which does not mean that it may connect.
    let public = Router::new()
        .route(readiness::HEALTH_PATH, get(async || health_response(health::health())))
        .route(readiness::READINESS_PATH, get(readiness))
        .route("/aaw.js", get(client_script::current))
        .route("/aaw/{*file}", get(client_script::hashed));
    restricted
        .merge(public)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(state), middleware::upgrade))
        .layer(map_response(forbid_sniffing))
        .with_state(Arc::clone(state))
}

/// The program's own routes check origins themselves, if they want to. The host is checked for them.
fn with_host_check(state: &Arc<AppState>, routes: Router) -> Router {
    routes.layer(from_fn_with_state(Arc::clone(state), middleware::check_host))
}

/// Keeps browsers from guessing another content type than the declared one.
async fn forbid_sniffing(mut response: Response) -> Response {
    if response.headers().contains_key(CONTENT_TYPE) {
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

/// `/` and every path without a route: a static file, or the page.
async fn root_or_file(State(state): State<Arc<AppState>>, request: Request) -> Response {
    let is_root = request.uri().path() == "/";
    let page = is_root.then(|| page_or_error(&request));
    if let Some(files) = &state.files
        && let Some(response) = files.respond(request).await
    {
        return response;
    }
    page.unwrap_or_else(|| HttpError::not_found().into_response())
}

fn page_or_error(request: &Request) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return page::page(request.headers());
    }
    let error = "Expected the method GET or HEAD. Events are called at /events/NAME";
    HttpError::method_not_allowed("GET, HEAD", error).into_response()
}

/// The response to a method that a route does not support. Those that lead here support the same two.
async fn method_not_allowed() -> Response {
    HttpError::method_not_allowed("GET, HEAD", "Expected the method GET or HEAD").into_response()
}

async fn readiness(State(state): State<Arc<AppState>>) -> Response {
    health_response(health::readiness(&state.shared))
}

/// The response is not cached: an old status is of no use.
fn health_response((status, body): (StatusCode, String)) -> Response {
    let mut response = json_response(Body::from(body));
    *response.status_mut() = status;
    response
}
