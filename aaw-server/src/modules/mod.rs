//! Events from libraries: find them, build them, open them, watch them.
//!
//! ```text
//! a path ── find ──▶ EventsAt ── build, when it is a package ──▶ libraries ── check ──▶ open ──▶ Events
//!                       └── Watch: the same again whenever a file is saved
//! ```
//!
//! A library is trusted code: opening one runs what it brings along, and nothing can contain a stack overflow or an
//! `abort` in it. What is refused are accidents: a file that is no library, is not written to its end, was built for
//! another machine or by another aaw-event.
//!
//! * `find`: what a path means.
//! * `build`: from a package to its library, with cargo.
//! * `folder`: the libraries of a folder, and the prefixes of their events.
//! * `load`: all of that in one go.
//! * `check`: whether a file can be opened without harm; pure.
//! * `open`: from a file to a [`Module`](aaw_event::Module); the one file here that needs `unsafe`.
//! * `watch`: when to do it again.

mod build;
mod check;
mod find;
mod folder;
mod load;
#[allow(unsafe_code, reason = "opens libraries, whose code the compiler cannot see")]
mod open;
mod watch;

pub use build::BuildError;
pub use check::LibraryCheckError;
pub use find::{EventsAt, FindError};
pub use folder::FolderError;
pub use load::{LoadError, load};
pub use open::{OpenError, open};
pub use watch::{Watch, WatchError};

#[cfg(not(unix))]
compile_error!("the feature `modules` of aaw-server needs a Unix: link your events into a program of your own instead");
