//! Events of [aaw](https://docs.rs/aaw-server): a file with a function, called over a WebSocket.
//!
//! ```
//! // src/users/get.rs is the event `users/get`
//! use aaw_event::prelude::*;
//!
//! #[derive(Deserialize)]
//! pub struct Body {
//!     id: i64,
//! }
//!
//! #[derive(Serialize)]
//! pub struct User {
//!     id: i64,
//!     name: String,
//! }
//!
//! pub async fn handler(body: Body, services: Services) -> Result<User> {
//!     if body.id < 0 {
//!         return Err(Error::new("No such user"));
//!     }
//!     services.ws.send_event("users/seen", body.id)?;
//!     Ok(User { id: body.id, name: "Ada".to_owned() })
//! }
//! ```
//!
//! # A package of events
//!
//! A package holds one file an event. Besides the files it needs three things:
//!
//! ```toml
//! # Cargo.toml
//! [lib]
//! crate-type = ["cdylib", "rlib"] # opened by the stock server, or linked into a program of one's own
//!
//! [dependencies]
//! aaw-event = "0.1"
//! serde = "1" # what `#[derive(Deserialize)]` of the prelude writes names it
//!
//! [build-dependencies]
//! aaw-event-build = "0.1"
//! ```
//!
//! ```ignore
//! // build.rs
//! fn main() { aaw_event_build::events() }
//!
//! // src/lib.rs
//! aaw_event::events!();
//! ```
//!
//! How a handler is written decides how it answers:
//!
//! | written | the event |
//! |---|---|
//! | `pub async fn handler(…) -> Result<T>`, or `-> T` | answers once |
//! | `pub fn handler(…) -> impl Stream<Item = Result<T>>`, or `Item = T` | answers many times: each item as it is yielded |
//! | `pub fn handler(…)`, or `-> Result<()>` | is plain: it runs, and answers nobody |
//!
//! Its arguments are `(body, services, incoming)`; each may be left out from the end. The body is anything `Deserialize`;
//! a missing body and `null` arrive as `{}`, or as `null` where the type takes no object. A body that does not fit is
//! answered with the code `bad_body` and the field's name, and the handler does not run.
//!
//! Files that begin with an underscore are no events: `_services.rs` builds what [`Services`] deref to, `_open.rs` and
//! `_close.rs` run when a connection opens and when it has ended (see [`OpenInfo`]), others are for code that is shared.
//! `aaw_event_build` says which names mean what.
//!
//! # Streams
//!
//! `stream!` and `try_stream!` of the prelude, which come from the crate async-stream, make a stream of a block that
//! yields; any other [`Stream`](prelude::Stream) will do as well.
//!
//! ```
//! use aaw_event::prelude::*;
//!
//! // src/lines.rs
//! pub fn handler(path: String) -> impl Stream<Item = Result<String>> {
//!     try_stream! {
//!         if path.contains("..") {
//!             Err(Error::new("No such page"))?;
//!         }
//!         for line in std::fs::read_to_string(path)?.lines() {
//!             yield line.to_owned();
//!         }
//!     }
//! }
//! ```
//!
//! The stream is polled for an item only when its reader has room for one; it stands still while the reader does. When
//! the reader has had enough, or has gone, it is dropped, at its next `yield` or `.await`. An item that is an error ends
//! it: what was yielded before is the reader's all the same. Where something has to be awaited before the first item can
//! be named, the handler may be an `async fn` that returns a stream, or a `Result` with one.
//!
//! A handler that takes [`Upload<T>`](Upload) as its third argument reads what its caller sends after the body.
//!
//! # Good to know
//!
//! * Handlers run on the server's threads. Work that computes for long belongs into `spawn_blocking`.
//! * A handler whose caller has gone, or has waited too long, is dropped at its next `.await`.
//! * A panic in a handler ends its call and nothing else. A panic while another one unwinds, a stack overflow and
//!   `abort` end the server: a package is trusted code.
//! * A package that was opened as a library has `static`s of its own, and a tokio runtime of its own, with one worker
//!   for what it spawns. Statics are new after a reload. tokio's `signal` and `process` leak file descriptors at each
//!   reload: leave them out.
//!
//! # The rooms
//!
//! * [`prelude`]: what a handler is written with; its types are documented here at the top.
//! * `module`: from a handler to a table of C-shaped entries, and what these do.
//! * [`abi`]: that table, which is all that a server and a package share.
//! * [`host`]: what a server does with it.

#[allow(unsafe_code, reason = "C-shaped memory that crosses between two compilers' outputs")]
pub mod abi;
mod contain;
mod events;
#[allow(unsafe_code, reason = "calls the function pointers of the module ABI")]
pub mod host;
#[allow(unsafe_code, reason = "is called through the function pointers of the module ABI")]
mod module;
pub mod prelude;
mod scratch;
mod sdk;
#[allow(unsafe_code, reason = "is called through a function pointer of the module ABI")]
mod sink;
#[allow(unsafe_code, reason = "hands wakers through the function pointers of the module ABI")]
mod waker;

/// A stream whose type need not be named: `-> BoxStream<'static, Result<T>>`, made by `.boxed()`.
#[doc(inline)]
pub use futures_util::stream::BoxStream;
pub use host::Module;
#[doc(hidden)]
pub use module::export;
pub use sdk::{
    CloseInfo, ClosedBy, Empty, Error, GuardedCall, Identity, LoggedIn, Member, OpenInfo, PasswordReset, Presence,
    ResponseFuture, Result, Room, Sent, Services, To, Upload, Ws,
};
/// JSON that is passed on as it is: as a body or an answer, in a `Box`.
#[doc(inline)]
pub use serde_json::value::RawValue;
