//! From an accepted TCP connection to a WebSocket or HTTP responses, and graceful shutdown.

pub(crate) mod accept;
pub(crate) mod admission;
pub(crate) mod context;
pub(crate) mod disconnect;
pub(crate) mod handshake;
pub(crate) mod http_connection;
pub(crate) mod shutdown;
#[cfg(not(feature = "http"))]
pub(crate) mod upgrade_only;
pub(crate) mod write_timeout;
