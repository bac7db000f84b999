//! From a TCP connection to a WebSocket, and the end of both.

pub(crate) mod accept;
pub(crate) mod admission;
pub(crate) mod context;
pub(crate) mod handshake;
pub(crate) mod hang_up;
pub(crate) mod shutdown;
pub(crate) mod write_timeout;
