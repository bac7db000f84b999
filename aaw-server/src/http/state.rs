//! The state that all HTTP requests share.

use std::sync::Arc;

use super::files::StaticFiles;
use super::polling::PollingStreams;
use crate::error::StartError;
use crate::net::context::ServerContext;

/// One for each server.
pub(super) struct AppState {
    pub(super) shared: Arc<ServerContext>,
    pub(super) polling: Arc<PollingStreams>,
    /// The folder of [`HttpConfig::static_dir`](crate::config::HttpConfig::static_dir).
    pub(super) files: Option<StaticFiles>,
}

impl AppState {
    pub(super) fn new(shared: &Arc<ServerContext>) -> Result<Arc<Self>, StartError> {
        let files = shared.config.load().http.static_dir.as_deref().map(StaticFiles::open).transpose()?;
        let shared = Arc::clone(shared);
        Ok(Arc::new(Self { polling: PollingStreams::new(Arc::clone(&shared)), shared, files }))
    }
}
