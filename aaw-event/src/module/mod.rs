//! The package's side: from an author's functions to a C-shaped table, and what the functions in that table do.
//!
//! `package` and `handler` are what generated code names; `instance`, `call` and `plain` answer the host; the rest is
//! what they stand on.

mod body;
mod call;
mod caller;
mod forward;
mod handler;
mod instance;
mod output;
mod package;
mod runtime;
mod waker;

pub(crate) use caller::OwnedCaller;
pub(crate) use output::json;
pub(crate) use package::Given;

/// For generated code: not for people, and not stable.
pub mod export {
    pub use super::handler::{
        Answers, Built, FitsBody, NoServices, Outcome, Takes, async_services, no_services, sync_services,
    };
    pub use super::package::{Entry, Package, Start};
}
