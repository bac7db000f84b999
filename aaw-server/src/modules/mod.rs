//! Events from libraries: finding, building, opening and watching them.
//!
//! ```text
//! path ── find ──▶ EventsAt ── build, if it is a package ──▶ libraries ── check ──▶ open ──▶ Events
//!                     └── Watch: the same again whenever a file is saved
//! ```
//!
//! A library is trusted code: opening one runs its initializers, and a stack overflow or an `abort` in it ends the
//! process. The checks detect accidents: a file that is not a library, is incomplete, or was built for another machine
//! or with an incompatible version of aaw-event.

// The modules:
//
// - `find`: what lies at a path.
// - `build`: builds a package with cargo, whose JSON output `cargo_json` parses.
// - `missed_changes`: lets cargo notice sources that were restored with an old time.
// - `folder`: the libraries in a folder, and the prefixes of their events.
// - `load`: all of these in one step.
// - `check`: checks that a library can be opened safely.
// - `open`: opens a library as a `Module`; the only file of this crate with `unsafe` code.
// - `watch`: loads the events again when their sources change.

mod blocking;
mod build;
mod cargo_json;
mod cargo_output;
mod check;
mod find;
mod folder;
mod load;
mod missed_changes;
#[allow(unsafe_code, reason = "opens libraries, whose code the compiler cannot check")]
mod open;
mod process_group;
mod watch;

pub use build::BuildError;
pub use check::LibraryCheckError;
pub use find::{EventsAt, FindError};
pub use folder::FolderError;
pub use load::{LoadError, load};
pub use open::{OpenError, open};
pub use watch::{Watch, WatchError};

#[cfg(not(unix))]
compile_error!(
    "the feature `modules` of aaw-server requires Unix: link your events into a program of your own instead"
);
