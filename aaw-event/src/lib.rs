//! Write the events of an [aaw](https://docs.rs/aaw-server) server: one file with one function per event.
//!
//! An event is a name and the handler behind it. The name is the path of the file, the handler is the file's function
//! `handler`. Clients call events over a WebSocket, or over HTTP.
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
//! `aaw-server init` writes a package with such files, and `aaw-server --watch` serves it.
//!
//! | to | see |
//! |---|---|
//! | return a response, a stream or nothing | [Handlers](#handlers), [Streams](#streams) |
//! | report an error to the caller, or hide it | [Errors](#errors) |
//! | push to clients, broadcast, use rooms | [Services](#services) |
//! | share a database between handlers | [Services](#services) |
//! | receive a stream from the caller | [Uploads](#uploads) |
//! | protect events, refuse connections | [Hooks and guards](#hooks-and-guards) |
//! | test a handler | [Testing](#testing) |
//!
//! # An events package
//!
//! Events live in a Cargo package of their own. The stock server `aaw-server` opens it as a library; a program of your
//! own can link it instead. Besides the files of its events, a package needs three things:
//!
//! ```toml
//! # Cargo.toml
//! [lib]
//! crate-type = ["cdylib", "rlib"] # cdylib: opened by the stock server; rlib: linked into a program
//!
//! [dependencies]
//! aaw-event = "0.1"
//! serde = "1" # the code that `#[derive(Deserialize)]` generates names this crate
//!
//! [build-dependencies]
//! aaw-event-build = "0.1"
//! ```
//!
//! ```
//! # mod aaw_event_build { pub fn events() {} }
//! // build.rs
//! fn main() {
//!     aaw_event_build::events();
//! }
//! ```
//!
//! and a `src/lib.rs` whose only line is `aaw_event::events!();` (the macro [`events!`]). The build script finds the
//! files, so an event needs no registration: adding, renaming or removing a file is enough.
//!
//! A file whose name begins with an underscore is not an event: `_services.rs` builds the [services](#services),
//! `_open.rs`, `_close.rs`, `_resume.rs`, `_away.rs`, `_back.rs`, `_guard.rs` and `_password_reset.rs` are
//! [hooks](#hooks-and-guards), and any other is shared code of your own. The documentation of
//! [aaw-event-build](https://docs.rs/aaw-event-build) lists all rules.
//!
//! # Handlers
//!
//! The signature of a handler decides its kind:
//!
//! | signature | kind |
//! |---|---|
//! | `pub async fn handler(…) -> Result<T>`, or `-> T` | **unary**: returns one response |
//! | `pub fn handler(…) -> impl Stream<Item = Result<T>>`, or `Item = T` | **streaming**: returns any number of items, each as it is yielded |
//! | `pub fn handler(…)` or `pub fn handler(…) -> Result<()>`, both without `async` | **one-way**: runs, and returns nothing to its caller |
//!
//! The arguments are `(body, services, upload)`; trailing arguments may be omitted.
//!
//! The body is any type that is `Deserialize`. A missing body and `null` are parsed as `{}`, or as `null` if the type
//! does not accept an object. If a body does not fit, the handler does not run: the caller receives an error with the
//! code `bad_body` that names the field. `Value` accepts any JSON, [`Empty`] ignores the body, and
//! `Box<`[`RawValue`]`>` keeps it unparsed.
//!
//! What a handler returns, yields or pushes is any type that is `Serialize`. A NaN or an infinity in it is an error, and
//! so is a number in a body beyond the range of its `f64` or `f32`. Only `json!` makes `null` of a NaN, before it is seen
//! here.
//!
//! Handlers run on the server's threads. Move long computations and blocking calls to `tokio::task::spawn_blocking`.
//!
//! A handler is cancelled when its caller disconnects, cancels the call or stops waiting: its future is dropped at the
//! current `.await`. A panic in a handler fails its own call with the code `panic`, and nothing else.
//!
//! # Errors
//!
//! A handler returns [`Result`], whose error separates what callers may read from what they may not:
//!
//! * [`Error::new`] is a message for the caller. [`with_code`](Error::with_code) and [`with_data`](Error::with_data)
//!   add what the caller's program needs.
//! * `?` converts any standard error. The server logs it with its causes, and the caller receives `Internal error`.
//!
//! ```
//! use aaw_event::prelude::*;
//!
//! // src/page.rs
//! pub async fn handler(name: String) -> Result<String> {
//!     if name.contains(['/', '\\']) {
//!         return Err(Error::new("No such page").with_code("no_page"));
//!     }
//!     Ok(std::fs::read_to_string(format!("pages/{name}"))?)
//! }
//! ```
//!
//! # Services
//!
//! [`Services`] is the second argument of a handler. `services.ws` is the connection that the call came from: it
//! [pushes events](Ws::send_event) to it, [broadcasts](Ws::broadcast) to all connections, and [calls the
//! client](Ws::send_async). `services.room` is for chat rooms: [`join`](Room::join), [`leave`](Room::leave),
//! [`emit`](Room::emit), [`members`](Room::members). [`services.identity()`](Services::identity) is the caller's
//! identity, [`handshake`](Services::handshake) the headers, cookies and query that it has connected with,
//! [`authenticate`](Services::authenticate) and [`logout`](Services::logout) start and end its session.
//!
//! `_services.rs` adds services of your own, such as a pool of database connections. They are built once, before the
//! first call, and `Services<App>` derefs to them:
//!
//! ```
//! use aaw_event::prelude::*;
//!
//! // src/_services.rs
//! pub struct App {
//!     pub greeting: String,
//! }
//!
//! pub async fn services() -> Result<App> {
//!     Ok(App { greeting: std::env::var("GREETING").unwrap_or_else(|_| "Hello".to_owned()) })
//! }
//!
//! // src/greet.rs
//! pub async fn handler(name: String, services: Services<App>) -> String {
//!     format!("{}, {name}!", services.greeting)
//! }
//! ```
//!
//! # Streams
//!
//! A streaming handler returns any [`Stream`](prelude::Stream). The macros `stream!` and `try_stream!` of the prelude
//! (from the crate async-stream) make one from a block that yields:
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
//! The stream is polled only while its reader has granted credit, so a slow reader suspends the stream and nothing
//! else. When the reader cancels it or disconnects, the stream is dropped at its current `yield` or `.await`. An error
//! ends the stream; the items before it are still delivered.
//!
//! A handler that must await something before it can return its stream may be an `async fn` that returns a stream, or a
//! `Result` of one.
//!
//! # Uploads
//!
//! The third argument, [`Upload<T>`](Upload), is a stream in the other direction: the items that the caller sends after
//! its body. Taking items grants the caller credit for more, so the handler sets the pace. Unary and streaming handlers
//! can take an upload.
//!
//! ```
//! use aaw_event::prelude::*;
//!
//! // src/sum.rs
//! pub async fn handler(_: Empty, _: Services, mut upload: Upload<u64>) -> Result<u64> {
//!     let mut sum = 0;
//!     while let Some(number) = upload.next().await {
//!         sum += number?;
//!     }
//!     Ok(sum)
//! }
//! ```
//!
//! # Hooks and guards
//!
//! These files hold a `handler` too, with the arguments `(argument, services)`. It may be an `async fn` or a `fn`, and
//! returns `Result<()>` or nothing.
//!
//! | file | runs | argument | an error |
//! |---|---|---|---|
//! | `_open.rs` | when a connection has opened, before its first call | [`OpenInfo`] | closes the connection |
//! | `_close.rs` | when a connection has closed | [`CloseInfo`] | is logged |
//! | `_resume.rs` | before a connection goes on over another socket | [`OpenInfo`] of that socket | refuses the socket |
//! | `_away.rs` | when a connection that may be resumed has lost its socket | [`AwayInfo`] | is logged |
//! | `_back.rs` | when the client has resumed it | [`BackInfo`] | is logged |
//! | `_guard.rs`, in any folder | before each event of its folder and of the subfolders | [`GuardedCall`] | rejects the call |
//! | `_password_reset.rs` | when a user has forgotten the password | [`PasswordReset`] | fails the request |
//!
//! ```
//! use aaw_event::prelude::*;
//!
//! // src/admin/_guard.rs protects all events below `admin/`
//! pub async fn handler(call: GuardedCall, _: Services) -> Result<()> {
//!     match call.identity {
//!         Some(identity) if identity.email.ends_with("@example.org") => Ok(()),
//!         _ => Err(Error::new("Staff only")),
//!     }
//! }
//! ```
//!
//! An event in a folder named `auth` (`auth/whoami`, `shop/auth/orders`) needs no guard to be protected: the server
//! runs it only for callers with a session.
//!
//! The three hooks of resumption run only on a server that keeps the state of a connection whose socket has broken
//! (`aaw-server --resumption-window`), for clients that resume. `_open` does not run again for a connection that goes on,
//! and `_close` runs when its state is over. [`services.ws.is_connected()`](Ws::is_connected) tells any handler whether the
//! client is there at present.
//!
//! # Schemas
//!
//! The server describes events to their callers: their names, kinds and documentation, and [JSON Schemas] of the types that
//! derive `JsonSchema`, which is in the prelude (from the crate [schemars]). The attributes of serde apply. A type without it
//! has no schema, which is never an error. The documentation of an event is that of its handler, or else that of its file.
//!
//! ```
//! use aaw_event::prelude::*;
//!
//! // src/users/get.rs
//! #[derive(Deserialize, JsonSchema)]
//! pub struct Body {
//!     /// The number of the user.
//!     id: u64,
//! }
//!
//! /// Returns the name of a user.
//! pub async fn handler(body: Body) -> Result<String> {
//!     Ok(format!("user {}", body.id))
//! }
//! ```
//!
//! [JSON Schemas]: https://json-schema.org/draft/2020-12
//! [schemars]: https://docs.rs/schemars
//!
//! # Testing
//!
//! A handler is a plain function, so a test calls it directly. [`Services::for_test`] makes services that record what
//! is sent, [`Upload::for_test`] makes an upload of given items. See [`testing`].
//!
//! ```
//! use aaw_event::prelude::*;
//! use aaw_event::testing::{Recipient, SentMessage};
//!
//! // src/announce.rs
//! pub fn handler(body: Value, services: Services) {
//!     services.ws.broadcast(body, false);
//! }
//!
//! let services = Services::for_test(());
//! handler(json!("happy birthday"), services.clone());
//! assert_eq!(services.sent(), [SentMessage::new(Recipient::Others, "broadcast", "happy birthday")]);
//! ```
//!
//! # Linked or opened as a library
//!
//! A package that is linked into a program shares the program's runtime, statics and logs.
//!
//! A package that the server opens as a library has its own statics, and a tokio runtime of its own with one worker
//! thread for the tasks that it spawns. Its `tracing` and `log` records are forwarded to the server. When the library
//! is rebuilt, the server opens the new one and lets the calls of the old one finish; state in statics is lost. Do not
//! use tokio's `signal` and `process` modules in such a package: they leak file descriptors on each reload.
//!
//! An events package is trusted code. The server catches a panic, but not a panic during unwinding, a stack overflow or
//! `abort`: these end the server.
//!
//! # Features
//!
//! None. A package that awaits sleeps, files or sockets in its handlers depends on tokio with the features it needs.
//!
//! # Stability
//!
//! Within 0.1 updates are compatible; 0.2 may change the API. A package that is linked into a program needs the same minor
//! version of this crate as the program's aaw-server, or it does not compile.
//!
//! A package that is opened as a library meets the server through a C ABI with a number of its own, [`abi::ABI`]. Package
//! and server may be built with different compilers, and with different versions of this crate as long as the number is
//! the same; a server refuses a library with another number, and one that uses what the server does not know, and says
//! why.
//!
//! # Related crates
//!
//! [aaw-event-build](https://docs.rs/aaw-event-build) is the build script of an events package,
//! [aaw-server](https://docs.rs/aaw-server) serves it, and [aaw-client](https://docs.rs/aaw-client) and
//! [aaw-cli](https://docs.rs/aaw-cli) call it. The module [`host`] is for programs that serve events by other means than
//! aaw-server; authors of events do not need it.

#[allow(unsafe_code, reason = "C-shaped memory that crosses between the outputs of two compilers")]
pub mod abi;
mod catch_panic;
pub mod contract;
mod events;
#[allow(unsafe_code, reason = "calls function pointers of the module ABI")]
mod handles;
#[allow(unsafe_code, reason = "calls function pointers of the module ABI, and is called through them")]
pub mod host;
mod json;
#[allow(unsafe_code, reason = "is called through function pointers of the module ABI")]
mod module;
pub mod prelude;
mod scratch;
mod sdk;
#[allow(unsafe_code, reason = "is called through a function pointer of the module ABI")]
mod sink;
pub mod testing;
#[doc(hidden)]
pub mod throttle;
#[allow(unsafe_code, reason = "passes wakers through function pointers of the module ABI")]
mod waker;

/// A boxed stream, for a return type that can be named: `-> BoxStream<'static, Result<T>>`. `.boxed()` makes one.
#[doc(inline)]
pub use futures_util::stream::BoxStream;
pub use host::Module;
#[doc(hidden)]
pub use module::export;
pub use sdk::{
    AwayInfo, BackInfo, CloseInfo, ClosedBy, Empty, Error, GuardedCall, Handshake, Identity, LoggedIn, Member,
    OpenInfo, PasswordReset, Presence, ResponseFuture, Result, Room, Services, Upload, Ws,
};
/// JSON that is passed through unparsed, as a body, a response or an item: `Box<RawValue>`.
#[doc(inline)]
pub use serde_json::value::RawValue;
