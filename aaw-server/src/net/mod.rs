//! From an accepted TCP connection to a WebSocket or HTTP responses, and graceful shutdown.

pub(crate) mod accept;
mod client_budgets;
pub(crate) mod context;
pub(crate) mod disconnect;
pub(crate) mod error_body;
pub(crate) mod forwarded;
mod forwarded_field;
pub(crate) mod handshake;
pub(crate) mod http_connection;
mod idle_timeout;
mod keep_alive;
pub(crate) mod lingering_close;
pub(crate) mod message_check;
pub(crate) mod origin_check;
mod proxy_protocol;
pub(crate) mod shutdown_phase;
#[cfg(not(feature = "http"))]
pub(crate) mod upgrade_only;
pub(crate) mod write_timeout;
