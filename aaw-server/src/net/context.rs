//! What every connection of a server shares.

use std::sync::Arc;

use crate::config::Config;
use crate::dispatch::Dispatch;
use crate::hub::table::Hub;
use crate::module_host::Modules;
use crate::net::admission::Admission;
use crate::net::shutdown::Shutdown;
use crate::throttle::Throttle;

/// One for each server.
pub(crate) struct ServerContext {
    pub(crate) admission: Admission,
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) modules: Arc<Modules>,
    /// Lets the log say that clients are refused without being flooded by them.
    pub(crate) refusals: Throttle,
    pub(crate) config: Arc<Config>,
    pub(crate) shutdown: Shutdown,
}
