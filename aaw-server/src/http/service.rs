//! The entry points: the service for the requests of the server's own listener, and the router for those of a program's
//! own axum app.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use tower_service::Service as _;

use super::body_guard::GuardedBody;
use super::direct;
use super::error::HttpError;
use super::files::{StaticFiles, redirect_to_folder};
use super::rate;
use super::router::{self, Placement, Routes};
use super::state::AppState;
use crate::config::Config;
use crate::error::StartError;
use crate::net::context::ServerContext;
use crate::net::handshake;
use crate::net::http_connection::RequestGuard;
use crate::net::request_service::RequestService;
use crate::path_prefix::{Below, PathPrefix};

/// Responds to the requests of the server's own listener. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HttpService {
    router: Router,
    /// The state for requests past the router. `None` if the program has routes of its own, which may be for events.
    direct: Option<Arc<AppState>>,
    prefix: PathPrefix,
}

impl RequestService for HttpService {
    type Routes = Routes;
    type Body = Body;

    fn check_config(config: &Config) -> Result<(), StartError> {
        config.http.static_dir.as_deref().map(StaticFiles::open).transpose().map(drop)
    }

    fn new(shared: &Arc<ServerContext>, routes: Routes) -> Result<Self, StartError> {
        let state = AppState::new(shared)?;
        let direct = routes.is_empty().then(|| Arc::clone(&state));
        let prefix = shared.config.load().path_prefix.clone();
        Ok(Self { router: router::build(&state, routes, Placement::Standalone)?, direct, prefix })
    }

    fn respond(
        &self,
        mut request: Request<Incoming>,
        guard: RequestGuard,
    ) -> impl Future<Output = Response<Body>> + Send + 'static {
        let early = match self.prefix.strip(request.uri()) {
            Below::Unchanged => None,
            Below::Stripped(target) => {
                *request.uri_mut() = target;
                None
            }
            // Relative links of the page at the prefix need the slash.
            Below::AtPrefix(_)
                if matches!(*request.method(), Method::GET | Method::HEAD)
                    && !handshake::is_upgrade(request.headers()) =>
            {
                Some(redirect_to_folder(request.uri()))
            }
            Below::AtPrefix(target) => {
                *request.uri_mut() = target;
                None
            }
            Below::Outside => Some(HttpError::outside_prefix(&self.prefix).into_response()),
        };
        let guard = Arc::new(guard);
        request.extensions_mut().insert(Arc::clone(&guard));
        let Self { mut router, direct, .. } = self.clone();
        async move {
            let response = match &direct {
                _ if let Some(early) = early => rate::reject(Some(&guard), early).await,
                Some(state) if direct::is_for(&request) => direct::respond(state, &guard, request.map(Body::new)).await,
                _ => router.call(request).await.unwrap_or_else(|never: Infallible| match never {}),
            };
            response.map(|body| Body::new(GuardedBody::new(body, guard)))
        }
    }
}

/// The router for a program that listens with its own axum app.
pub(crate) fn mounted_router(shared: &Arc<ServerContext>, routes: Routes) -> Result<Router, StartError> {
    router::build(&AppState::new(shared)?, routes, Placement::Mounted)
}
