//! The test harness: a server, clients that send and expect exact bytes, and child processes.
//!
//! A test starts a server on a free port, connects clients that write and read exact frames, and states what arrives:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use aaw_tests::TestServer;
//!
//! let server = TestServer::start_with(|config| config.max_message_bytes = 1000).await;
//! let mut client = server.v1().await;
//! client.call("echo", "[1]").await.assert_eq("[1]");
//! client.send(r#"["gate/hold",{"gate":"x"},2]"#).await;
//! let gate = server.app.gate("x");
//! aaw_tests::until("the handler to run", || gate.counts().came == 1).await;
//! gate.release(1);
//! client.expect(r#"["gate/hold",{"held":"x"},2]"#).await;
//! # }
//! ```
//!
//! # Parts
//!
//! * [`server`]: a server in this process with its call records, its shutdown, and the services of its events.
//! * [`wire`]: a WebSocket client that sends and expects exact text frames, in either dialect.
//! * [`raw`]: bytes over TCP, for handshakes and frames that a conforming client never sends.
//! * [`http`]: HTTP requests, and responses whose bodies are read incrementally.
//! * [`fault_proxy`]: a proxy that cuts, delays and splits connections, or lets them go silent.
//! * [`random`]: random numbers that a seed repeats.
//! * [`resumption`]: servers and clients that resume connections.
//! * [`most_held`]: the memory that clients make a server hold.
//! * [`counting_allocator`]: an allocator that counts.
//! * [`tls`]: certificates, and clients over TLS and HTTP/2.
//! * [`log`]: what is logged.
//! * [`process`]: child processes and their output.
//! * [`cargo`]: the programs and libraries of the workspace, and where tests may build others.
//!
//! # Events
//!
//! Servers serve the package `tests/events` unless a test passes others. Its handlers wait at gates (`gate/hold`), which
//! a test opens through the services, panic (`panics/…`), fail (`fails/…`), push, stream, and return as many bytes as
//! they are asked for. `tests/rooms` has events for rooms, client calls and guards, `tests/hooks` connection hooks that
//! do what the test configures.
//!
//! # Programs
//!
//! * `tests/it` has a module for each subject. Tests of one program run in parallel in one process, so a test uses
//!   neither the environment nor the working directory nor a fixed port, and shares no state with other tests.
//! * `tests/load.rs` has the tests that measure memory or time. They run one after another, with the server in a process
//!   of its own (`aaw-test-server`) where its memory is measured.
//! * `tests/resumption_memory.rs` has long streams through connections that are cut, and measures their memory.
//! * `reliability` is a package of its own: many calls, and long streams, through connections that break.
//!
//! # Waiting
//!
//! Nothing here sleeps. A test waits for an event ([`within`]) or a condition ([`until`]), and fails with everything
//! received so far if it does not happen within [`DEADLINE`].

pub mod cargo;
pub mod counting_allocator;
pub mod fault_proxy;
mod files;
pub mod http;
pub mod log;
pub mod most_held;
pub mod process;
pub mod random;
pub mod raw;
pub mod resumption;
pub mod server;
pub mod tls;
mod wait;
pub mod wire;

pub use fault_proxy::FaultProxy;
pub use files::raise_open_file_limit;
pub use http::{HttpRequest, HttpResponse};
pub use log::LogCapture;
pub use most_held::MostHeld;
pub use process::Process;
pub use raw::RawConnection;
pub use server::TestServer;
pub use wait::{DEADLINE, truncated, until, within};
pub use wire::WireClient;
