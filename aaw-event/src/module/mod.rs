//! The package's side of the module ABI: from an author's functions to the table of events, and the functions in that
//! table.
//!
//! Generated code names `package`, `services`, and the entry functions of `unary`, `one_way`, `streaming` and `hook`.
//! `arguments` and `response` define what a handler may take and return, and `function` makes a handler from its type.
//! `instance` and `call` are what the host starts and polls, and `begin` is how it begins a call; `output` is where they
//! write. `runtime` and `forward` are what a loaded package has of its own: a runtime, and the way of its logs to the host.

mod arguments;
mod begin;
mod call;
mod forward;
mod function;
mod hook;
mod instance;
mod one_way;
mod output;
mod package;
mod response;
mod runtime;
mod services;
mod streaming;
mod unary;

/// For generated code: not meant for people, and not stable.
pub mod export {
    pub use crate::contract::{PackageContract, probe};

    pub use super::arguments::{FromBody, FromUploadItem, ServicesArgument, UploadArgument};
    pub use super::hook::{AWAY, BACK, CLOSE, HookId, OPEN, PASSWORD_RESET, RESUME, guard};
    pub use super::package::{HandlerEntry, PackageSymbol, StartFunction};
    pub use super::response::{IntoItem, IntoResponse, IntoStreamResponse, IntoUnitResult, StreamResponse};
    pub use super::services::{IntoServices, NoServices, async_services, no_services, sync_services};
}
