//! Handlers that read the handshake of their connection, and log callers in by it.

#![forbid(unsafe_code)]

aaw_event::events!();
