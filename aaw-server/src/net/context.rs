//! The state that all connections of a server share.

use std::sync::Arc;

use crate::dispatch::Dispatch;
use crate::hub::{HostServices, Hub};
use crate::module_host::Modules;
use crate::net::running_config::RunningConfig;
use crate::net::shutdown_phase::Shutdown;
use crate::poll_watch::PollWatch;
use crate::throttle::Throttle;

/// The state of one server.
pub(crate) struct ServerContext {
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) host_services: Arc<HostServices>,
    pub(crate) modules: Arc<Modules>,
    /// Bounds how often the log reports refused clients, so that they cannot flood it.
    pub(crate) refusals: Throttle,
    pub(crate) config: RunningConfig,
    pub(crate) shutdown: Shutdown,
    pub(crate) _poll_watch: PollWatch,
}
