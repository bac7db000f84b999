//! The values of all settings.

use std::path::PathBuf;

use aaw_server::Config;
use aaw_server::auth::{Auth, PasswordHasher, PasswordHasherConfig, Store};
use aaw_server::tls::Acme;

use super::choices::{LogFormat, WatchMode};

/// The values of all settings.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    /// Without authentication, whose store has to be opened first.
    pub(crate) config: Config,
    /// The limits of authentication, with a store that offers nothing.
    pub(crate) auth: Auth,
    /// How the passwords of users are hashed.
    pub(crate) passwords: Passwords,
    pub(crate) program: Program,
}

/// The settings of the program itself.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) events: Option<PathBuf>,
    /// The file of users and sessions; `None` if authentication is off.
    pub(crate) auth_file: Option<PathBuf>,
    pub(crate) tls: TlsSettings,
    /// The events log their callers in themselves.
    pub(crate) own_log_ins: bool,
    pub(crate) watch: Option<WatchMode>,
    pub(crate) log: LogFormat,
    pub(crate) log_level: String,
    pub(crate) log_body_limit: Option<usize>,
}

/// The settings of [`PasswordHasherConfig`].
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    pub(crate) memory_kib: u32,
    pub(crate) iterations: u32,
    /// `None` for the default, which depends on the machine.
    pub(crate) threads: Option<usize>,
    pub(crate) max_queued_hashes: usize,
}

impl Default for Passwords {
    fn default() -> Self {
        let PasswordHasherConfig { memory_kib, iterations, threads: _, max_queued_hashes } =
            PasswordHasherConfig::default();
        Self { memory_kib, iterations, threads: None, max_queued_hashes }
    }
}

impl Passwords {
    /// Starts the threads that hash passwords.
    pub(crate) fn hasher(&self) -> Result<PasswordHasher, String> {
        let Self { memory_kib, iterations, threads, max_queued_hashes } = *self;
        let threads = threads.unwrap_or_else(|| PasswordHasherConfig::default().threads);
        PasswordHasher::new(&PasswordHasherConfig { memory_kib, iterations, threads, max_queued_hashes })
    }
}

/// Where the certificate of the server is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    /// The names of a certificate by ACME.
    pub(crate) hosts: Vec<String>,
    pub(crate) cache: String,
    pub(crate) email: Option<String>,
    pub(crate) directory: String,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            cert: None,
            key: None,
            hosts: Vec::new(),
            cache: "aaw-acme".into(),
            email: None,
            directory: Acme::LETS_ENCRYPT.into(),
        }
    }
}

/// Stands for the store while there is none.
struct NoStore;

impl Store for NoStore {}

impl Default for Values {
    fn default() -> Self {
        let program = Program {
            events: None,
            auth_file: None,
            tls: TlsSettings::default(),
            own_log_ins: false,
            watch: None,
            log: LogFormat::Pretty,
            log_level: "info".into(),
            log_body_limit: None,
        };
        Self { config: Config::default(), auth: Auth::new(NoStore), passwords: Passwords::default(), program }
    }
}
