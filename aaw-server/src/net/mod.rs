//! From an accepted TCP connection to a WebSocket or HTTP responses, and graceful shutdown.

pub(crate) mod accept;
pub(crate) mod admission;
mod client_budgets;
pub(crate) mod context;
#[cfg(feature = "http")]
pub(crate) mod counted_bytes;
pub(crate) mod disconnect;
pub(crate) mod effective_target;
#[cfg(all(feature = "tls", feature = "http"))]
mod endable_body;
pub(crate) mod error_body;
pub(crate) mod forwarded;
mod forwarded_field;
pub(crate) mod handshake;
pub(crate) mod health;
pub(crate) mod http_connection;
pub(crate) mod http_socket;
mod http_token;
mod idle_timeout;
mod keep_alive;
pub(crate) mod lingering_close;
pub(crate) mod listener;
pub(crate) mod message_check;
pub(crate) mod origin_check;
mod port;
mod proxy_protocol;
mod refuse;
pub(crate) mod refused_connections;
mod request_head;
pub(crate) mod request_service;
pub(crate) mod running_config;
mod serve_http1;
#[cfg(all(feature = "tls", feature = "http"))]
mod serve_http2;
pub(crate) mod shutdown_phase;
#[cfg(unix)]
mod spare_file;
#[cfg(feature = "tls")]
mod tls_handshake;
pub(crate) mod transport;
#[cfg(unix)]
mod unix_socket;
mod unread_header;
#[cfg(not(feature = "http"))]
pub(crate) mod upgrade_only;
pub(crate) mod write_timeout;
