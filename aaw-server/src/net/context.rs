//! The state that all connections of a server share.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::address_limits::AddressLimits;
use crate::config::Config;
use crate::config_update::ConfigUpdate;
use crate::dispatch::Dispatch;
use crate::hub::{HostServices, Hub};
use crate::module_host::Modules;
use crate::net::refused_connections::RefusedConnections;
use crate::net::running_config::RunningConfig;
use crate::net::shutdown_phase::Shutdown;
use crate::poll_watch::PollWatch;
use crate::readiness::Readiness;

/// The state of one server.
pub(crate) struct ServerContext {
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) address_limits: AddressLimits,
    pub(crate) host_services: Arc<HostServices>,
    pub(crate) modules: Arc<Modules>,
    pub(crate) refused_connections: Arc<RefusedConnections>,
    pub(crate) config: RunningConfig,
    pub(crate) shutdown: Shutdown,
    /// What `/readyz` reports. Shared with parts of the server that set conditions of their own.
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) _poll_watch: PollWatch,
    /// Aborted when this is dropped.
    pub(crate) _contention_watch: JoinSet<()>,
}

impl ServerContext {
    /// Takes over what can change of a configuration.
    pub(crate) fn update_config(&self, new: Config) -> ConfigUpdate {
        self.config.update(new, |config| {
            self.address_limits.set_rates(&config.address_rates());
            #[cfg(feature = "auth")]
            if let (Some(service), Some(auth)) = (&self.dispatch.auth, &config.auth) {
                service.update(auth);
            }
        })
    }
}
