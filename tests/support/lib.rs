//! The machinery of the tests: a server, clients that say exactly what a test says, processes.
//!
//! Nothing here sleeps. Whatever is waited for is an event, and what does not come within [`DEADLINE`] fails with what
//! was seen so far.
//!
//! * [`server`]: a server on a free port, its hook, its end.
//! * [`client`]: a WebSocket client that sends and expects exact text frames, in either dialect.
//! * [`raw`]: bytes over TCP, for handshakes and frames that no client would send.
//! * [`http`]: requests, and responses as they come.
//! * [`log`]: what is logged.
//! * [`process`]: programs, and what they print.
//! * [`cargo`]: the programs and the library that the tests need, built.

pub mod cargo;
pub mod client;
mod files;
pub mod http;
pub mod log;
pub mod process;
pub mod raw;
pub mod server;
mod wait;

pub use client::Client;
pub use files::allow_files;
pub use http::Request;
pub use log::Log;
pub use process::Process;
pub use raw::{Handshake, Raw, Response};
pub use server::TestServer;
pub use wait::{DEADLINE, shortened, until, within};
