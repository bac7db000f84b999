//! The package's side: from an author's functions to a C-shaped table, and what the functions in that table do.
//!
//! `package`, `handler` and `services` are what generated code names; `instance` and `call` answer the host; the rest
//! is what they stand on.

mod body;
mod call;
mod caller;
mod forward;
mod handler;
mod instance;
mod output;
mod package;
mod runtime;
mod services;
mod waker;

pub(crate) use caller::OwnedCaller;
pub(crate) use output::json;
pub(crate) use package::Given;

/// For generated code: not for people, and not stable.
pub mod export {
    pub use super::handler::{Answers, FitsBody, Outcome, Takes};
    pub use super::package::{Entry, Package, Start};
    pub use super::services::{Built, NoServices, async_services, no_services, sync_services};
}
