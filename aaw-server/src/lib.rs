//! A server for events: calls with responses, streams and pushes over WebSockets, and the same events over HTTP.
//!
//! An event is a name and a handler. Handlers are written in an *events package*, a crate that uses `aaw-event`: each
//! of its files is an event, and the file's path is the event's name. A [`Server`] serves the events of one or more
//! packages:
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
//! # Linked and loaded events
//!
//! A package can be *linked*: it is a dependency of the program, which passes its `module()` to [`Server::events`], as
//! above. Or it can be *loaded* as a dynamic library while the program runs (feature `modules`): `modules::load` builds
//! a package with cargo, or opens the built libraries in a folder, and `modules::Watch` loads them again when a file is
//! saved. Loading requires Unix, and events can be replaced without a restart: [`Handle::replace_events`].
//!
//! # Lifecycle
//!
//! 1. [`Server::new`] takes a [`Config`]; `events`, `auth`, `on_call` and `merge` add to it.
//! 2. [`Server::bind`] listens on the address and builds the services of all packages. It returns every error that
//!    prevents a start. (`Server::mount` is the alternative for a program that has its own axum server.)
//! 3. [`BoundServer::serve`] accepts connections until its shutdown future completes. A [`Handle`] can meanwhile send
//!    events, call clients and replace the events.
//! 4. Shutdown is graceful: no new connections and calls are accepted, running calls finish within
//!    [`Config::shutdown_timeout`], connections close, and the services are dropped.
//!
//! # Features
//!
//! | feature | provides |
//! |---|---|
//! | `http` | events over plain HTTP, static files, the JavaScript client, and your own axum routes on the same port |
//! | `auth` | log-ins, sessions and protected events, with a store of your own |
//! | `auth-sqlite` | the built-in store: SQLite, with passwords as Argon2id hashes |
//! | `modules` | events from libraries: build, open and watch them |
//! | `cli` (default) | the program `aaw-server`, and all of the above |
//!
//! A program that links its events sets `default-features = false` and selects what it needs. Without any feature the
//! server accepts WebSockets only.
//!
//! # Inside
//!
//! One task owns each socket (`connection`). It passes what it reads to the connection's state machine in
//! `aaw-protocol`, which decides what is to be done. `dispatch` looks an event up in the `registry`, runs its handler,
//! and returns the response to that task, which writes it. Everything else that a connection sends (pushes, client
//! calls) reaches its task through its mailbox in `hub`.
//!
//! Each module imports only from modules below it:
//!
//! | module | |
//! |---|---|
//! | `server` | starts, serves, shuts down |
//! | `modules` | events from libraries |
//! | `http` | events over HTTP, pages, routes |
//! | `net` | accepts connections: TCP, origins, handshake |
//! | `connection` | the task that owns one socket |
//! | `hub` | all connections: mailboxes, rooms, client calls |
//! | `dispatch` | guards, handlers and hooks |
//! | [`config`] | the configuration |
//! | [`auth`] | log-ins, sessions, stores |
//! | `registry`, [`call_record`], `module_host`, `throttle` | the events; records of calls; the host of modules; limits for the log |

#[cfg(feature = "auth")]
pub mod auth;
#[cfg(not(feature = "auth"))]
#[path = "auth/off.rs"]
pub mod auth;
pub mod call_record;
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
mod registry;
mod server;
mod throttle;

pub use aaw_event::Module;
pub use aaw_protocol::{Code, EventName, Failure, InvalidName};
pub use call_record::CallRecord;
pub use config::Config;
pub use error::StartError;
pub use hub::ClientCallError;
pub use registry::{Events, RegistryError};
#[cfg(feature = "http")]
pub use server::routes::MountedServer;
pub use server::{BoundServer, EmitError, Handle, Server};
