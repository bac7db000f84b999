//! The values of all settings.

use std::path::PathBuf;

use aaw_server::Config;
use aaw_server::auth::{Auth, Store};

use super::choices::{LogFormat, WatchMode};

/// The values of all settings.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    /// Without authentication, whose store has to be opened first.
    pub(crate) config: Config,
    /// The limits of authentication, with a store that offers nothing.
    pub(crate) auth: Auth,
    pub(crate) program: Program,
}

/// The settings of the program itself.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) events: Option<PathBuf>,
    /// The file of users and sessions; `None` if authentication is off.
    pub(crate) auth_file: Option<PathBuf>,
    /// The events log their callers in themselves.
    pub(crate) own_log_ins: bool,
    pub(crate) watch: Option<WatchMode>,
    pub(crate) log: LogFormat,
    pub(crate) log_level: String,
    pub(crate) log_body_limit: Option<usize>,
}

/// Stands for the store while there is none.
struct NoStore;

impl Store for NoStore {}

impl Default for Values {
    fn default() -> Self {
        let program = Program {
            events: None,
            auth_file: None,
            own_log_ins: false,
            watch: None,
            log: LogFormat::Pretty,
            log_level: "info".into(),
            log_body_limit: None,
        };
        Self { config: Config::default(), auth: Auth::new(NoStore), program }
    }
}
