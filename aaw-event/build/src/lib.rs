//! The build script of an events package of [aaw](https://docs.rs/aaw-server): finds the files that are events, and
//! generates the table of events that `aaw_event::events!()` in `lib.rs` includes.
//!
//! ```no_run
//! // build.rs
//! fn main() {
//!     aaw_event_build::events();
//! }
//! ```
//!
//! ```toml
//! # Cargo.toml
//! [dependencies]
//! aaw-event = "0.1"
//! serde = "1"
//!
//! [build-dependencies]
//! aaw-event-build = "0.1"
//! ```
//!
//! Handlers are written with [aaw-event](https://docs.rs/aaw-event), whose documentation is the guide. `aaw-server init`
//! writes a package that has all of this. What follows are the rules by which files become events:
//!
//! - [which files are events](#files), and how they are named
//! - [which functions are handlers](#handlers), and of which kind
//! - the files that are [hooks](#_openrs-and-_closers), [hooks of
//!   resumption](#_resumers-_awayrs-and-_backrs), [guards](#_guardrs-and-_password_resetrs) and
//!   [services](#_servicesrs)
//! - [how to format them](#formatting)
//!
//! This is a build script rather than a macro because Cargo runs a build script again when a file is added or renamed.
//!
//! # Files
//!
//! | in `src/` | is |
//! |---|---|
//! | `users/get.rs` | the event `users/get`, and the module `crate::users::get` |
//! | `users.rs` next to `users/` | the event `users`; its public items are re-exported in `crate::users` |
//! | `_queries.rs`, `users/_rows.rs` | shared code: the modules `crate::_queries`, `crate::users::_rows` |
//! | `_shared/…` | a folder of shared code: `_shared/money.rs` is `crate::_shared::money` |
//! | `_shared/mod.rs` | declares the modules of its folder itself |
//! | `_services.rs` | builds the services, once, when the package starts |
//! | `_open.rs`, `_close.rs` | hooks: run when a connection opens, and when it has closed |
//! | `_resume.rs`, `_away.rs`, `_back.rs` | hooks: run before a connection is resumed, when it has lost its socket, and when it has been resumed |
//! | `_guard.rs`, `users/_guard.rs` | a hook: runs before each event of its folder and of the subfolders |
//! | `_password_reset.rs` | a hook: delivers the token of a forgotten password |
//! | `aaw.rs`, `aaw/…` | an error: these names are reserved |
//! | `lib.rs`, `main.rs` | the crate's roots, not events |
//! | `mod.rs` | an error, except in a folder of shared code: the modules of events are declared already |
//! | other extensions, names that begin with `.` | ignored |
//!
//! The name of an event is the path of its file, unchanged. The name of its module has to be an identifier: `-` and `.`
//! become `_`, a leading digit gets a `_` in front, a keyword becomes `r#type`, `self.rs` becomes `self_`. If that name
//! is taken, `_2` follows.
//!
//! # Handlers
//!
//! | `pub …` | the event is |
//! |---|---|
//! | `async fn handler(…) -> Result<T>`, or `-> T` | unary: returns one response |
//! | `fn handler(…) -> impl Stream<Item = Result<T>>`, or `Item = T` | streaming: returns any number of items |
//! | `async fn handler(…) -> Result<impl Stream<Item = …>>`, or without the `Result` | streaming, after something was awaited |
//! | `fn handler(…)` or `fn handler(…) -> Result<()>`, both without `async` | one-way: returns nothing to its caller |
//!
//! A return type is a stream if it is written as one: `impl Stream`, `Pin<Box<dyn Stream>>`, `BoxStream`, or another
//! type whose name ends with `Stream`. The arguments are `(body, services, upload)`; trailing arguments may be omitted.
//! A one-way handler takes no upload.
//!
//! # `_open.rs` and `_close.rs`
//!
//! `pub async fn handler(opened: OpenInfo, services: Services<App>) -> Result<()>`, and the same with `closed:
//! CloseInfo`. Trailing arguments may be omitted, the function need not be `async`, and may return nothing. If the
//! handler of `_open.rs` fails, the connection is closed.
//!
//! # `_resume.rs`, `_away.rs` and `_back.rs`
//!
//! `pub async fn handler(opened: OpenInfo, services: Services<App>) -> Result<()>`, and the same with `away: AwayInfo` and
//! `back: BackInfo`, with the same variations. If the handler of `_resume.rs` fails, the connection is not resumed by this
//! client.
//!
//! # `_guard.rs` and `_password_reset.rs`
//!
//! `pub async fn handler(call: GuardedCall, services: Services<App>) -> Result<()>` in any folder with events, and `pub
//! async fn handler(reset: PasswordReset, services: Services<App>) -> Result<()>` in `src/` only, with the same
//! variations. If a guard fails, the event does not run, and the caller receives the error. The guards of outer folders
//! run before those of inner ones. `users/_guard.rs` does not apply to the event `users` of a file `users.rs` next to
//! the folder.
//!
//! # `_services.rs`
//!
//! `pub async fn services() -> Result<App>`. The function need not be `async`, and may return an `App`. The table of
//! events has to name the type, so it must be public in that file (`pub struct App`, `pub use`), or imported by name
//! with `use`.
//!
//! # Formatting
//!
//! `cargo fmt` does not find files that a macro includes: use `rustfmt src/**/*.rs`.
//!
//! # Features
//!
//! None.
//!
//! # Stability
//!
//! The generated code uses items of aaw-event that are hidden from its documentation, so both crates are used in the same
//! minor version. Within 0.1, a file that is an event stays the same event. A mistake that is reported today may become
//! valid, but no valid file becomes a mistake.
//!
//! # Related crates
//!
//! [aaw-event](https://docs.rs/aaw-event) for the handlers, [aaw-server](https://docs.rs/aaw-server) to serve them.

#![allow(clippy::needless_doctest_main, reason = "the example is a whole build script")]
#![forbid(unsafe_code)]

mod constants;
mod documentation;
mod event_name;
mod form;
mod handler;
mod handshake;
mod hook;
mod names;
mod paths;
mod services;
mod source_error;
mod tree;
mod write;

use std::path::Path;
use std::{env, fs, process};

/// Generates the table of events of the package whose build script calls this.
///
/// The output is only written when it has changed, and Cargo runs the build script again when a file below `src/`
/// changes. A mistake in a file becomes a compile error of the package that names the file and the line; all mistakes
/// are reported at once. If files cannot be read or written, the build script fails with a message.
pub fn events() {
    println!("cargo::rerun-if-changed=src");
    if let Err(error) = run() {
        println!("cargo::error=aaw_event_build::events(): {error}");
        process::exit(1);
    }
}

fn run() -> Result<(), String> {
    let var = |name: &str| {
        env::var(name)
            .map_err(|_| format!("the environment variable {name} is not set: expected to be called by a build script"))
    };
    let root = var("CARGO_MANIFEST_DIR")?;
    let generated = generate(&Path::new(&root).join("src"), &var("CARGO_PKG_NAME")?)?;
    let to = Path::new(&var("OUT_DIR")?).join("aaw_events.rs");
    // Cargo does not recompile the package if the file keeps its modification time.
    if fs::read_to_string(&to).is_ok_and(|before| before == generated) {
        return Ok(());
    }
    fs::write(&to, generated).map_err(|error| format!("cannot write {}: {error}", to.display()))
}

fn generate(src: &Path, package: &str) -> Result<String, String> {
    Ok(write::package(package, &tree::read(src)?))
}

#[cfg(test)]
mod tests;
