//! A folder of events as a server.
//!
//! ```no_run
//! # async fn example() -> Result<(), aaw_server::StartError> {
//! use aaw_server::{Config, Server};
//!
//! let server = Server::new(Config::default()).events(aaw_events::module()).bind().await?;
//! println!("ws://{}", server.local_addr());
//! server.serve(async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await;
//! # Ok(()) }
//! ```
//!
//! The way of a call: bytes come in at the one task that owns the socket (`connection`), the session of `aaw-protocol`
//! judges them, `dispatch` finds the event in the `registry` and runs its handler, the outcome goes back to the session,
//! and the same task writes. Whatever else is to go out comes through that connection's `outbox`.
//!
//! | room | |
//! |---|---|
//! | `config` | what a server holds to |
//! | `server` | start, serve, stop |
//! | `accept` | TCP connections until they are WebSockets |
//! | `admission` | who may connect: origins and hosts |
//! | `handshake` | from an HTTP request to a WebSocket |
//! | `http` | the same events for curl and browsers, pages, routes of one's own (feature `http`) |
//! | `connection` | the task that owns one socket |
//! | `outbox` | what others have for that task |
//! | [`auth`] | who is calling: log-ins, sessions, events that need them (feature `auth`) |
//! | `dispatch` | from a call to its handler's outcome |
//! | `registry` | which events there are; swapped while running |
//! | `hub` | who is connected; broadcast |
//! | `rooms` | who hears what is said to a name |
//! | `services` | what handlers ask of the server |
//! | `record` | what the log says of a call |
//! | `module_host` | what modules need of their server: a log, somebody who waits for their end |
//! | `throttle` | a log that strangers cannot flood |
//! | `write_timeout`, `hang_up` | a socket that gives up on a peer that takes nothing, or has gone |
//! | `shutdown` | how far the end is |
//! | `shared` | what every connection shares |
//! | [`modules`] | events from libraries: open, build, watch (feature `modules`) |

#[cfg(feature = "auth")]
pub mod auth;
#[cfg(not(feature = "auth"))]
#[path = "auth/off.rs"]
pub mod auth;
pub mod config;
mod connection;
mod dispatch;
mod error;
#[cfg(feature = "http")]
mod http;
mod hub;
mod module_host;
#[cfg(feature = "modules")]
pub mod modules;
mod net;
mod origin;
pub mod record;
mod registry;
mod server;
mod throttle;

pub use aaw_event::Module;
pub use aaw_protocol::{Code, EventName, Failure, InvalidName};
pub use config::Config;
pub use error::StartError;
pub use hub::ClientCallError;
pub use record::CallRecord;
pub use registry::{Events, RegistryError};
#[cfg(feature = "http")]
pub use server::routes::MountedServer;
pub use server::{BoundServer, EmitError, Handle, Server};
