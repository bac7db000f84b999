//! Where requests of our own listener come in.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use tower_service::Service as _;

use super::files::Files;
use super::site::Site;
use crate::config::Config;
use crate::net::context::ServerContext;
use crate::net::handshake::Serving;
use crate::server::StartError;

/// Routes of the program's own.
#[derive(Debug, Default)]
pub(crate) struct Routes(Vec<Router>);

impl Routes {
    pub(super) fn add(&mut self, routes: Router) {
        self.0.push(routes);
    }

    /// Puts them beside ours. axum panics where two have a path in common, and says of no router which paths it has.
    pub(super) fn beside(self, site: &Arc<Site>, alone: bool) -> Result<Router, StartError> {
        let merge = || self.0.into_iter().fold(site.router(alone), |all, routes| all.merge(site.beside(routes)));
        catch_unwind(AssertUnwindSafe(merge)).map_err(|panic| {
            let what = panic.downcast_ref::<String>().cloned();
            let what = what.or_else(|| panic.downcast_ref::<&str>().map(|what| (*what).to_owned()));
            StartError::Routes(what.unwrap_or_default())
        })
    }
}

/// Answers requests. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    router: Router,
}

impl Front {
    /// Whether what the config names is there.
    pub(crate) fn probe(config: &Config) -> Result<(), StartError> {
        config.http.static_dir.as_deref().map(Files::open).transpose().map(drop)
    }

    pub(crate) fn new(shared: &Arc<ServerContext>, routes: Routes) -> Result<Self, StartError> {
        let router = routes.beside(&Site::new(shared)?, true)?;
        Ok(Self { router })
    }

    pub(crate) fn respond(
        &self,
        serving: Serving,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send + 'static {
        let serving = Arc::new(serving);
        request.extensions_mut().insert(Arc::clone(&serving));
        let response = self.router.clone().call(request);
        async move {
            let response = response.await.unwrap_or_else(|never: Infallible| match never {});
            response.map(|body| Body::new(Held::new(body, serving)))
        }
    }
}

/// A body, and what lasts until it has been sent or dropped.
pub(super) struct Held {
    body: Body,
    _serving: Arc<Serving>,
}

impl Held {
    pub(super) fn new(body: Body, serving: Arc<Serving>) -> Self {
        Self { body, _serving: serving }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
