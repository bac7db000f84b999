//! The host's side of the module ABI: checks an events package, starts it, and calls its events.
//!
//! For programs that serve events, such as aaw-server. An author of events needs none of it.
//!
//! ```text
//! Module ── start(host) ──▶ StartFuture ── .await ──▶ Instance ── call(event, body, caller) ──▶ Call ── poll ──▶ Step
//! checked                   builds the services       running  └─ run(…), which polls once ──▶ drop = cancel
//! ```
//!
//! The [`Module`] of a linked package comes from a function that `aaw_event::events!()` generates
//! (`my_events::module()`); the module of a library that was opened at run time comes from [`Module::loaded`], which
//! takes the address of the exported symbol. From then on the two are used in the same way. The host implements
//! [`Host`] for the logs of loaded packages, [`Caller`] for the connection behind a call, and [`UploadSource`] for an
//! upload, which the handler polls.

mod call;
mod caller;
mod host_op;
mod instance;
mod logs;
mod module;
mod output;
mod place;
mod running;
mod start;
mod table;
mod upload;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod violations;

pub use call::{Call, PolledItems, Step};
pub(crate) use caller::raw as raw_caller;
pub use caller::{Caller, unsupported_op};
pub use instance::{Begun, Instance};
pub(crate) use logs::number_of as level_number;
pub use logs::{Host, LogRecord};
pub use module::Module;
pub use output::ItemSink;
pub use start::StartFuture;
pub(crate) use table::PrebuiltServices;
pub use table::{AbiError, EventInfo, GuardInfo, HandlerKind};
pub(crate) use upload::raw as raw_upload;
pub use upload::{UploadSource, UploadStep};
