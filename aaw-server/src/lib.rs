//! Serves event handlers over WebSockets, and the same handlers over plain HTTP.
//!
//! An *event* is a name and a handler. Clients call it and await its response, read its stream of items, or send without
//! waiting; handlers push to connections and rooms, and call clients. Handlers are written with
//! [aaw-event](https://docs.rs/aaw-event) in a package of their own, in which the path of a file is the name of its event.
//!
//! This crate is both the program `aaw-server`, which builds such a package and reloads it when a file is saved, and a library
//! for programs that link their events. The program needs no code but the handlers:
//!
//! ```sh
//! cargo install aaw-server aaw-cli
//! aaw-server init my-events              # writes a package with three events
//! aaw-server my-events --watch           # serves it on ws://localhost:1337
//! aaw call ws://localhost:1337 hello '{"name": "Ada"}'
//! ```
//!
//! A program of your own is as short. `my_events` stands for the events package, `my_events::module()` is a function that its
//! build script generates:
//!
//! ```no_run
//! # mod my_events { pub fn module() -> aaw_server::Module { unimplemented!() } }
//! use aaw_server::{Config, Server};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), aaw_server::StartError> {
//!     let server = Server::new(Config::default()).events(my_events::module()).bind().await?;
//!     println!("ws://{}", server.local_addr());
//!     server.serve(async { drop(tokio::signal::ctrl_c().await) }).await;
//!     Ok(())
//! }
//! ```
//!
//! ```toml
//! [dependencies]
//! aaw-server = { version = "0.1", default-features = false }  # without the program
//! my-events = { path = "my-events" }                          # what `aaw-server init` writes
//! tokio = { version = "1", features = ["macros", "rt-multi-thread", "signal"] }
//! ```
//!
//! # Guide
//!
//! **Send from anywhere in the program.** A [`Handle`] sends events to all connections or to one, calls clients, and replaces
//! the events while calls run.
//!
//! ```no_run
//! # use std::time::Duration;
//! use aaw_server::{Config, Server};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::new(Config::default()).bind().await?;
//! let handle = server.handle();
//! tokio::spawn(server.serve(std::future::pending()));
//! loop {
//!     tokio::time::sleep(Duration::from_secs(1)).await;
//!     handle.emit("connections", handle.connections())?;
//! }
//! # }
//! ```
//!
//! **Add routes of your own** (feature `http`). [`Server::merge`] takes an axum router. [`Server::mount`] is for a program that
//! has its own axum server, of which aaw becomes a part.
//!
//! **Let users log in** (feature `auth`). [`Server::auth`] takes a [`Store`](auth::Store) of users and sessions, such as
//! [`SqliteStore`](auth::SqliteStore). Events below a folder named `auth` then require a session. See [`auth`].
//!
//! **Log and measure calls.** [`Server::on_call`] receives a [`CallRecord`] of each finished call. The crate logs with
//! `tracing`.
//!
//! **Set limits.** Everything that a client can make grow has a limit in [`Config`], with a default that is safe on an open
//! network. By default the server listens on loopback only, and browsers may connect only from pages of the same host:
//! [`Config::host`], [`Config::allow_origins`]. [`Handle::update_config`] changes them while the server runs.
//!
//! **Load events while the program runs** (feature `modules`, Unix only). [`modules::load`] builds an events package with cargo
//! or opens built libraries, [`modules::Watch`] does so again when a file is saved, and [`Handle::replace_events`] puts them
//! in place without a restart.
//!
//! **Stop.** When the future that was passed to [`BoundServer::serve`] completes, no new connections and calls are accepted,
//! running calls may finish within [`Config::shutdown_timeout`], connections close, and the services of the handlers are
//! dropped.
//!
//! # Features
//!
//! | feature | default | adds | dependencies |
//! |---|---|---|---|
//! | none | | WebSockets, linked events | tokio, hyper, tokio-tungstenite, aaw-event |
//! | `http` | with `cli` | events over HTTP (JSON, NDJSON, server-sent events, polling), static files, the JavaScript client at `/aaw.js`, your own routes | axum, tower-http |
//! | `auth` | with `cli` | log-ins, sessions and protected events, with a store of your own | glob, sha2 |
//! | `auth-sqlite` | with `cli` | `auth` with the built-in store: SQLite, with passwords as Argon2id hashes | rusqlite (compiles SQLite: needs a C compiler), argon2 |
//! | `tls` | with `cli` | TLS on the server's own ports, and HTTP/2: [`tls`] | rustls with ring, h2 |
//! | `modules` | with `cli` | events from libraries: build, open and watch them | libloading, object, notify, cargo_metadata |
//! | `cli` | yes | the program `aaw-server`, and all of the above | clap, tracing-subscriber |
//!
//! Features only add. A program that links its events sets `default-features = false` and selects what it needs.
//!
//! # Stability
//!
//! Within 0.1 updates are compatible; 0.2 may change the API. [`Config`] may get fields, so end its literals with
//! `..Config::default()`. Two interfaces have versions of their own:
//!
//! - The wire protocol, `aaw.v1`, which client and server agree on when they connect. Clients of the JavaScript package
//!   `async-await-websockets` 3 are served in their own dialect.
//! - The ABI of events packages that are opened as libraries. A library that was built for another ABI is not opened, and
//!   the error says so. Linked packages need the same minor version of aaw-event, which cargo checks.
//!
//! # Related crates
//!
//! [aaw-event](https://docs.rs/aaw-event) is for handlers, [aaw-client](https://docs.rs/aaw-client) the client for Rust,
//! [aaw-cli](https://docs.rs/aaw-cli) the command line, and [aaw-protocol](https://docs.rs/aaw-protocol) the protocol without
//! I/O. Browsers, Node and Bun use the npm package `aaw-js`, or the script that the server serves as `/aaw.js`.

// ARCHITECTURE.md in the repository lists the modules, in the order in which they may import each other.

#![cfg_attr(docsrs, feature(doc_cfg))]
// The documentation above links to items of all features.
#![cfg_attr(
    not(all(feature = "http", feature = "auth-sqlite", feature = "modules", feature = "tls")),
    allow(rustdoc::broken_intra_doc_links)
)]

mod address_limits;
mod allowed_host;
#[cfg(feature = "auth")]
pub mod auth;
#[cfg(not(feature = "auth"))]
#[path = "auth/off.rs"]
pub mod auth;
mod busy_turns;
pub mod call_record;
mod client_network;
mod client_turns;
pub mod config;
mod config_update;
mod connection;
mod contract;
mod dispatch;
mod error;
mod generation;
#[cfg(feature = "http")]
mod http;
mod hub;
mod listen_address;
mod memory_budget;
mod module_host;
#[cfg(feature = "modules")]
pub mod modules;
mod net;
mod origin;
mod path_prefix;
mod poll_watch;
mod readiness;
mod registry;
mod request_info;
mod server;
mod similar_names;
mod throttle;
#[cfg(feature = "tls")]
pub mod tls;
mod trusted_proxy;
mod write_stall;

pub use aaw_event::Module;
pub use aaw_protocol::{Code, EventName, Failure, InvalidName};
pub use call_record::CallRecord;
pub use config::Config;
pub use config_update::ConfigUpdate;
pub use error::StartError;
pub use hub::ClientCallError;
pub use listen_address::BoundAddress;
pub use net::listener::PassedListener;
pub use registry::{Events, RegistryError};
#[cfg(feature = "http")]
pub use server::routes::MountedServer;
pub use server::{BoundServer, EmitError, Handle, Server};
