//! The test support: a server, clients that send and expect exact bytes, and child processes.
//!
//! Nothing here sleeps. A test waits for an event, and fails with everything received so far if the event does not
//! happen within [`DEADLINE`].
//!
//! * [`server`]: a server on a free port, its call records, its shutdown.
//! * [`wire`]: a WebSocket client that sends and expects exact text frames, in either dialect.
//! * [`raw`]: bytes over TCP, for handshakes and frames that a conforming client never sends.
//! * [`http`]: HTTP requests, and responses whose bodies are read incrementally.
//! * [`log`]: what is logged.
//! * [`process`]: child processes and their output.
//! * [`cargo`]: builds the programs and the library that the tests run.

pub mod cargo;
mod files;
pub mod http;
pub mod log;
pub mod process;
pub mod raw;
pub mod server;
mod wait;
pub mod wire;

pub use files::raise_open_file_limit;
pub use http::{HttpRequest, HttpResponse};
pub use log::LogCapture;
pub use process::Process;
pub use raw::RawConnection;
pub use server::TestServer;
pub use wait::{DEADLINE, truncated, until, within};
pub use wire::WireClient;
