//! aaw's routes and those of the program's own, on one port: either beside the other.

use std::fmt;
use std::sync::Arc;

use axum::Router;

use super::site::Site;
use crate::net::context::ServerContext;
use crate::server::{Handle, Server, StartError, stop};

impl Server {
    /// Serves these routes beside aaw's. May be called several times.
    ///
    /// A request that has a route of these is for it, be it for a WebSocket; any other is aaw's. Origins are for these
    /// routes to judge; a server that is bound to loopback refuses foreign names (DNS rebinding) for them as well. A
    /// route for `/` takes the place of aaw's page, which then is at `/events`.
    ///
    /// [`bind`](Self::bind) fails with [`StartError::Routes`] if these and aaw's (`/events`, `/events/…`, `/healthz`,
    /// `/aaw.js`, `/aaw/…`) have a route in common, or if these have a fallback of their own: aaw has one.
    ///
    /// ```
    /// use axum::{Router, extract::Path, routing::get};
    /// use aaw_server::{Config, Server};
    ///
    /// let hello = Router::new().route("/hello/{name}", get(|Path(name): Path<String>| async move { format!("Hello {name}") }));
    /// let server = Server::new(Config::default()).events(aaw_events::module()).merge(hello);
    /// # drop(server);
    /// ```
    #[must_use]
    pub fn merge(mut self, routes: Router) -> Self {
        self.routes.add(routes);
        self
    }

    /// Builds the services of all modules, for a program that listens itself: its own axum app takes
    /// [`MountedServer::router`] in. WebSockets are taken up there as well.
    ///
    /// Nothing is listened on, but [`Config::host`](crate::Config::host) still says from where the server can be
    /// reached: with a loopback address, which is the default, foreign names are refused. The size of request heads and
    /// the time that one may take are up to whoever listens.
    ///
    /// ```
    /// use aaw_server::{Config, Server};
    /// use axum::{Router, routing::get};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let aaw = Server::new(Config::default()).events(aaw_events::module()).mount().await?;
    /// let app = Router::new().route("/hello", get(|| async { "Hello" })).merge(aaw.router());
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let ctrl_c = async { drop(tokio::signal::ctrl_c().await) };
    /// # let ctrl_c = async {};
    /// axum::serve(listener, app)
    ///     .with_graceful_shutdown(async move {
    ///         ctrl_c.await;
    ///         aaw.stop().await;
    ///     })
    ///     .await?;
    /// # Ok(()) }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`StartError`], as [`bind`](Self::bind), without what concerns an address.
    pub async fn mount(self) -> Result<MountedServer, StartError> {
        let (shared, routes) = self.without_listener().await?;
        let router = routes.beside(&Site::new(&shared)?, false)?;
        Ok(MountedServer { router, shared })
    }
}

/// A server within an axum app of the program's own. Made by [`Server::mount`].
pub struct MountedServer {
    router: Router,
    shared: Arc<ServerContext>,
}

impl MountedServer {
    /// aaw's routes: `/` (WebSockets, and the page), `/events`, `/events/…`, `/healthz`, `/aaw.js`, `/aaw/…`, and those of
    /// [`Server::merge`]. To be merged, or nested below a path. With
    /// [`HttpConfig::static_dir`](crate::config::HttpConfig::static_dir) it has a fallback, too.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// What can be done to the server while it serves.
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Stops as [`BoundServer::serve`](crate::BoundServer::serve) does, apart from the listener: new calls and connections are
    /// refused (503), running ones finish for up to [`Config::shutdown_timeout`](crate::Config::shutdown_timeout), WebSockets
    /// close with 1001, services are dropped.
    pub async fn stop(self) {
        stop(&self.shared).await;
    }
}

impl fmt::Debug for MountedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountedServer").finish_non_exhaustive()
    }
}
