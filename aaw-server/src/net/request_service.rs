//! What responds to the requests of a listener.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};

use crate::config::Config;
use crate::error::StartError;
use crate::net::context::ServerContext;
use crate::net::http_connection::RequestGuard;

/// Responds to the HTTP requests of the listener's connections. The implementation depends on the feature `http`: with
/// it, events over HTTP, pages and the program's own routes; without it, [`UpgradeOnly`](super::upgrade_only).
pub(crate) trait RequestService: Clone + Send + Sync + 'static {
    /// The program's own routes, served beside aaw's.
    type Routes: fmt::Debug + Default;
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static;

    /// Checks that what the config refers to, such as the folder of static files, exists.
    fn check_config(config: &Config) -> Result<(), StartError>;

    fn new(shared: &Arc<ServerContext>, routes: Self::Routes) -> Result<Self, StartError>;

    /// Responds to one request. The service keeps the guard as long as the request is in progress: if it has a body that
    /// is sent gradually, until that is sent or dropped.
    fn respond(
        &self,
        request: Request<Incoming>,
        guard: RequestGuard,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static;
}
