//! The loading of libraries and packages, and the program's generated files. One program, because each one links
//! everything again.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cli;
#[path = "../fixture/mod.rs"]
mod fixture;
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
mod kept_library;
mod modules;
mod settings;
