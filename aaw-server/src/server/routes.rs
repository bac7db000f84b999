//! aaw's routes and the program's own on one port: either within the other.

use std::fmt;
use std::sync::Arc;

use axum::Router;

use super::{Handle, Server, share};
use crate::error::StartError;
use crate::http::mounted_router;
use crate::net::context::ServerContext;
use crate::readiness;
use crate::registry::Registry;

impl Server {
    /// Adds the program's own routes beside aaw's. Can be called several times.
    ///
    /// A request that matches one of these routes is handled by it, also if it is a WebSocket handshake; all other
    /// requests are aaw's. These routes have to check the `Origin` of requests themselves. The `Host` is checked for
    /// them, against DNS rebinding: see [`Config::allow_hosts`](crate::Config::allow_hosts). A route for `/` replaces aaw's
    /// page, which is also at `/events`.
    ///
    /// [`bind`](Self::bind) fails with [`StartError::Routes`] if one of these routes is also one of aaw's (`/events`,
    /// `/events/…`, `/healthz`, `/readyz`, `/aaw.js`, `/aaw/…`), or if the router has a fallback, since aaw has one.
    ///
    /// ```
    /// use axum::{Router, extract::Path, routing::get};
    /// use aaw_server::{Config, Server};
    ///
    /// let hello = Router::new().route("/hello/{name}", get(|Path(name): Path<String>| async move { format!("Hello {name}") }));
    /// let server = Server::new(Config::default()).merge(hello);
    /// # drop(server);
    /// ```
    #[must_use]
    pub fn merge(mut self, routes: Router) -> Self {
        self.routes.push(routes);
        self
    }

    /// Builds the services of all modules for a program that listens with its own axum app, which then merges or nests
    /// [`MountedServer::router`]. WebSockets are accepted there as well.
    ///
    /// aaw listens on no address, but it still checks which hosts requests name: list those of the program in
    /// [`Config::allow_hosts`](crate::Config::allow_hosts), or the origins of its pages in
    /// [`Config::allow_origins`](crate::Config::allow_origins), which is needed for pages over TLS that the program
    /// terminates itself: aaw does not know of it, except over HTTP/2. Limiting the size of request heads, and the time in
    /// which they arrive, is up to the program.
    ///
    /// Serve the app with `into_make_service_with_connect_info::<SocketAddr>()`, which is how aaw learns the address of each
    /// peer: without it the limits of an address, such as those of failed log-ins, do not apply, and
    /// [`Config::trusted_proxies`](crate::Config::trusted_proxies) has no effect.
    ///
    /// ```
    /// use aaw_server::{Config, Server};
    /// use axum::{Router, routing::get};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let aaw = Server::new(Config::default()).mount().await?;
    /// let app = Router::new().route("/hello", get(|| async { "Hello" })).merge(aaw.router());
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let ctrl_c = async { drop(tokio::signal::ctrl_c().await) };
    /// # let ctrl_c = async {};
    /// axum::serve(listener, app.into_make_service_with_connect_info::<std::net::SocketAddr>())
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
    /// [`StartError`], as for [`bind`](Self::bind), except [`StartError::Bind`].
    pub async fn mount(self) -> Result<MountedServer, StartError> {
        let Self { config, events, hook, routes, passed: _ } = self;
        let plan = Registry::plan(&events)?;
        let shared = share(config, &plan, &events, hook).await?;
        let router = mounted_router(&shared, routes)?;
        shared.readiness.pass(readiness::STARTING);
        Ok(MountedServer { router, shared })
    }
}

/// A server within the program's own axum app. Created by [`Server::mount`].
pub struct MountedServer {
    router: Router,
    shared: Arc<ServerContext>,
}

impl MountedServer {
    /// Returns aaw's routes, to be merged or nested below a path: `/` (WebSockets and the page), `/events`,
    /// `/events/…`, `/healthz`, `/readyz`, `/aaw.js`, `/aaw/…`, and those of [`Server::merge`]. With
    /// [`HttpConfig::static_dir`](crate::config::HttpConfig::static_dir) the router also has a fallback.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Returns a handle to send events, call clients and replace the events while the server is running.
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Shuts down gracefully, as [`BoundServer::serve`](crate::BoundServer::serve) does, except for the listener: new
    /// calls and connections are refused (503), running calls may finish for up to
    /// [`Config::shutdown_timeout`](crate::Config::shutdown_timeout), WebSockets close with code 1001, and the services
    /// of modules are dropped.
    pub async fn stop(self) {
        super::stop::stop(&self.shared).await;
    }
}

impl fmt::Debug for MountedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountedServer").finish_non_exhaustive()
    }
}
