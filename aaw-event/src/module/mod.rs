//! The package's side: from an author's functions to a C-shaped table, and what the functions in that table do.
//!
//! `package`, `handler`, `stream`, `hook` and `services` are what generated code names; `arguments` and `answers` are what
//! a handler can take and give; `instance` and `call` answer the host; the rest is what they stand on.

mod arguments;
mod body;
mod call;
mod caller;
mod forward;
mod handler;
mod hook;
mod host_op;
mod instance;
mod output;
mod package;
mod runtime;
mod services;
mod stream;
mod unary;
mod upload;

pub(crate) use body::{parse_answer, parse_item};
pub(crate) use caller::OwnedCaller;
pub(crate) use host_op::Asking;
pub(crate) use output::json;
pub(crate) use package::Given;
pub(crate) use upload::OwnedUpload;

/// For generated code: not for people, and not stable.
pub mod export {
    pub use super::arguments::{FitsBody, FitsItem, Takes, TakesUpload};
    pub use super::hook::{CLOSE, Hook, OPEN, PASSWORD_RESET, guard};
    pub use super::package::{Entry, Package, Start};
    pub use super::services::{Built, NoServices, async_services, no_services, sync_services};
    pub use super::unary::{Answers, Item, Opens, Outcome, Yields};
}
