//! For the `build.rs` of a package of [aaw](https://docs.rs/aaw-event) events: finds the files that are events and
//! writes the table of them, which `aaw_event::events!()` in `lib.rs` includes.
//!
//! ```ignore
//! // build.rs
//! fn main() { aaw_event_build::events() }
//! ```
//!
//! A build script does this, and no macro, since only a build script is run again when a file is added or renamed.
//!
//! # Which file is what
//!
//! | in `src/` | is |
//! |---|---|
//! | `users/get.rs` | the event `users/get`, and the module `crate::users::get` |
//! | `users.rs` beside `users/` | the event `users`; its public items are in `crate::users` too |
//! | `_queries.rs`, `users/_rows.rs` | the author's shared code: the modules `crate::_queries`, `crate::users::_rows` |
//! | `_shared/…` | the same for a whole folder: `_shared/money.rs` is `crate::_shared::money` |
//! | `_shared/mod.rs` | says what the modules of its folder are |
//! | `_services.rs` | builds the services, once, when the package starts |
//! | `_open.rs`, `_close.rs` | hooks: their handlers run when a connection opens, and when it has ended |
//! | `_guard.rs`, `users/_guard.rs` | a hook: its handler runs before each event of its folder and of those inside it |
//! | `_password_reset.rs` | a hook: its handler delivers the token of a forgotten password |
//! | `aaw.rs`, `aaw/…` | an error: these names belong to aaw |
//! | `lib.rs`, `main.rs` | the crate's roots; no events |
//! | `mod.rs` | an error, but in a folder with a leading underscore: the modules of events are declared already |
//! | what does not end in `.rs`, what begins with `.` | nothing |
//!
//! The file's path is the event's name as it stands. Its module cannot always be: `-` and `.` become `_`, what begins
//! with a digit gets a `_` in front, a keyword is `r#type`, `self.rs` is `self_`. If that name is taken, `_2` follows.
//!
//! # How a handler is written
//!
//! | `pub …` | the event |
//! |---|---|
//! | `async fn handler(…) -> Result<T>`, or `-> T` | answers once |
//! | `fn handler(…) -> impl Stream<Item = Result<T>>`, or `Item = T` | answers many times |
//! | `async fn handler(…) -> Result<impl Stream<Item = …>>`, or without the `Result` | the same, when something has to be awaited first |
//! | `fn handler(…)`, or `-> Result<()>` | is plain: answers nobody |
//!
//! What a handler returns is a stream when it is written as one: `impl Stream`, `Pin<Box<dyn Stream>>`, `BoxStream`, or
//! another type whose name ends with `Stream`. Its arguments are `(body, services, incoming)`, or the first of these; the
//! third is not for plain events.
//!
//! # `_open.rs` and `_close.rs`
//!
//! `pub async fn handler(opened: OpenInfo, services: Services<App>) -> Result<()>`, and the same with `closed: CloseInfo`.
//! Both arguments may be left out from the end, it may as well not be `async`, or return nothing. When the one of
//! `_open.rs` fails, the connection is refused.
//!
//! # `_guard.rs` and `_password_reset.rs`
//!
//! `pub async fn handler(call: GuardedCall, services: Services<App>) -> Result<()>`, in any folder with events, and `pub
//! async fn handler(reset: PasswordReset, services: Services<App>) -> Result<()>`, in `src/` alone; with the same freedom.
//! When a guard fails, the event does not run, and the caller reads why. Guards of outer folders run before those of
//! inner ones. `users/_guard.rs` is not for the event `users` of a file `users.rs` beside the folder.
//!
//! # `_services.rs`
//!
//! `pub async fn services() -> Result<App>`; it may as well not be `async`, or return an `App`. The type must be
//! written with a name that is public in that file (`pub struct App`, `pub use`), or with one that the file imports by `use`,
//! one by one: the table needs to name it too.
//!
//! # Good to know
//!
//! `cargo fmt` does not find files that a macro includes: `rustfmt src/**/*.rs` does.

#![forbid(unsafe_code)]

mod handler;
mod hook;
mod paths;
mod services;
mod tree;
mod write;

use std::path::Path;
use std::{env, fs, process};

/// Writes the table of events of the package whose build script this is.
///
/// Writes only what has changed, and asks cargo to come again when something below `src/` does. What is wrong with a
/// file becomes a compile error of the package that names the file and the line, all of them at once. When files cannot be
/// read or written, it ends the build script with a message.
pub fn events() {
    println!("cargo::rerun-if-changed=src");
    if let Err(error) = run() {
        println!("cargo::error=aaw_event_build::events(): {error}");
        process::exit(1);
    }
}

fn run() -> Result<(), String> {
    let var = |name: &str| env::var(name).map_err(|_| format!("no {name}: this is for a build script"));
    let root = var("CARGO_MANIFEST_DIR")?;
    let generated = generate(&Path::new(&root).join("src"), &var("CARGO_PKG_NAME")?)?;
    let to = Path::new(&var("OUT_DIR")?).join("aaw_events.rs");
    // An untouched file is not compiled again.
    if fs::read_to_string(&to).is_ok_and(|before| before == generated) {
        return Ok(());
    }
    fs::write(&to, generated).map_err(|error| format!("{}: {error}", to.display()))
}

fn generate(src: &Path, package: &str) -> Result<String, String> {
    Ok(write::package(package, &tree::read(src)?))
}

#[cfg(test)]
mod tests;
