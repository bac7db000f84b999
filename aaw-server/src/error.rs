//! Why a server does not start.

use std::io;
use std::path::PathBuf;

use aaw_protocol::Failure;

use crate::registry::RegistryError;

/// The error of [`Server::bind`](crate::Server::bind) and [`Handle::replace_events`](crate::Handle::replace_events).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {}", describe(source))]
    Bind {
        /// The host and port of the config.
        address: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// [`Config::proxy_protocol`](crate::Config::proxy_protocol) is set, and no proxy is trusted, so that every connection would be
    /// refused.
    #[error(
        "the PROXY protocol needs a trusted proxy, whose connections begin with it (--trusted-proxy, Config::trusted_proxies)"
    )]
    ProxyProtocol,
    /// The events cannot be served together, for example because two of them have the same name.
    #[error(transparent)]
    Events(#[from] RegistryError),
    /// A module failed to build its services.
    #[error("{origin}: the services could not be built: {failure}")]
    Services {
        /// Where the module comes from.
        origin: String,
        /// The error of the module.
        failure: Failure,
    },
    /// The folder of `HttpConfig::static_dir` cannot be served (feature `http`).
    #[error("cannot serve the folder {}: {source}", path.display())]
    Static {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A thread could not be started: the one that watches for handlers that block, or one for `services()`.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// Routes that were added with `Server::merge` conflict with aaw's or with each other (feature `http`). The text is
    /// axum's and names the conflict.
    #[error("the routes cannot be merged: {0}")]
    Routes(String),
}

/// The text for an address that cannot be listened on, with a remedy where there is a usual one.
fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is in use; stop the program that uses it, or choose another port (--port, Config::port)".into()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; ports below 1024 usually require elevated privileges".into()
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        _ => error.to_string(),
    }
}
