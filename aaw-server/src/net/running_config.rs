//! The configuration of a running server, which can be updated.
//!
//! A connection takes its snapshot when it opens. What follows reads the snapshot, so calls cost nothing for it.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use aaw_protocol::server::ServerConfig;
use arc_swap::{ArcSwap, Guard};

use crate::config::Config;
use crate::config_update::ConfigUpdate;
use crate::net::origin_check::OriginCheck;

/// The current configuration of a server.
pub(crate) struct RunningConfig {
    current: ArcSwap<ConfigSnapshot>,
    /// Held during an update, so that of two none is lost.
    updating: Mutex<()>,
}

/// A configuration, and what is derived from it. Never changes.
pub(crate) struct ConfigSnapshot {
    pub(crate) config: Arc<Config>,
    /// The part of it that the protocol applies.
    pub(crate) protocol: Arc<ServerConfig>,
    pub(crate) origin_check: OriginCheck,
}

impl ConfigSnapshot {
    fn new(config: Config) -> Self {
        let origin_check = OriginCheck::new(&config);
        Self { protocol: Arc::new(config.protocol()), config: Arc::new(config), origin_check }
    }
}

impl Deref for ConfigSnapshot {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

impl RunningConfig {
    pub(crate) fn new(config: Config) -> Self {
        Self { current: ArcSwap::from_pointee(ConfigSnapshot::new(config)), updating: Mutex::default() }
    }

    /// The current snapshot, for a short use.
    pub(crate) fn load(&self) -> Guard<Arc<ConfigSnapshot>> {
        self.current.load()
    }

    /// Takes over what can change. Then `apply` passes it on to what does not read snapshots; of two updates, the later one
    /// does so last.
    pub(crate) fn update(&self, new: Config, apply: impl FnOnce(&Config)) -> ConfigUpdate {
        let _updating = self.updating.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load();
        let mut config = Config::clone(&current.config);
        let update = config.update(new);
        if !update.applied.is_empty() {
            apply(&config);
            self.current.store(Arc::new(ConfigSnapshot::new(config)));
        }
        update
    }
}
