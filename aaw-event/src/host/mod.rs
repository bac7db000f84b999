//! The host's side: checking an events package, starting it, calling its events.
//!
//! For whoever serves events (aaw-server); an author of events needs none of it.
//!
//! ```text
//! Module ── start(host) ──▶ Starting ── .await ──▶ Instance ── call(event, body, caller) ──▶ Call ── poll ──▶ Step
//! checked                   builds the services    running                                   drop = cancel
//! ```
//!
//! A package that is linked in gives its [`Module`] by a function that `aaw_event::events!()` generates
//! (`aaw_events::module()`); one that was opened as a library gives the address of its symbol to [`Module::loaded`].
//! From there on the two are the same. What a caller sends after its body goes the other way: the host's [`UploadSource`] is
//! polled by the handler.

mod call;
mod caller;
mod host_op;
mod instance;
mod logs;
mod module;
mod upload;

pub use call::{Call, Step};
pub use caller::{Caller, unsupported_op};
pub use instance::{Instance, Starting};
pub(crate) use logs::number_of as level_number;
pub use logs::{Host, LogRecord};
pub use module::{AbiError, EventInfo, GuardInfo, HandlerKind, Module};
pub use upload::{UploadSource, UploadStep};
