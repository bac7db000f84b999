//! The connections of a server: the table of them, their rooms, and what handlers and the program do with them.
//!
//! | module | |
//! |---|---|
//! | `hub` | the table of connections, the bound on their number, broadcasts |
//! | `host_ops` | the operations that handlers call on their host, over WebSockets and HTTP alike |
//! | `event_caller` | the caller of an event, as handlers use it (`services.ws`) |
//! | `in_runtime` | runs futures in the server's runtime, whichever thread polls them |
//! | `rooms` | named groups of connections |
//! | `departures` | when the members of a room are told that others have left |
//! | `client_calls` | calls that the server makes to a client |
//! | `peer` | a connection, as the rest of the server sees it |
//! | `mailbox` | the commands for the task that owns a connection's socket, and the log of what it has to send |
//! | `push` | frames of pushes |
//! | `delivery` | one push on its way to its recipients |
//! | `reader_pace` | whether a connection that is behind with its pushes reads |
//! | `sender_hold` | holds up a sender whose pushes overrun readers that do read |
//! | `client_holds` | the same for all connections and requests of a client |
//! | `resumable` | the connections whose state outlives their sockets |
//! | `resume_request` | a new socket asks to continue a connection |
//! | `flusher` | writes the pushes that were appended to the logs of connections |
//!
//! `tests/model` compiles `mailbox`, `reader_pace`, `sender_hold` and `flusher` with the locks of a model checker.

mod client_calls;
mod client_holds;
mod delivery;
mod departures;
mod event_caller;
mod flusher;
mod host_ops;
#[expect(clippy::module_inception, reason = "the folder is named for its central type")]
mod hub;
mod in_runtime;
#[cfg(test)]
mod log_tests;
mod mailbox;
mod peer;
mod push;
mod reader_pace;
mod resumable;
mod resume_request;
mod rooms;
mod sender_hold;

pub use client_calls::ClientCallError;
pub(crate) use event_caller::{EventCaller, HostServices};
pub(crate) use hub::{ConnectionGuard, ConnectionPermit, Hub};
pub(crate) use mailbox::{
    ClientCallRequest, Command, ItemBatch, LogState, MAX_SLICES, Mailbox, Opening, PushLimits, SharedSocket, TurnEnd,
    UncountedFrames, WriteEnd, WriteProgress, client_call_timed_out, connection_ended, try_write,
};
pub(crate) use peer::Peer;
pub(crate) use resumable::{AwayLimits, ResumableConnection, ResumableGuard};
pub(crate) use resume_request::{ResumeRefusal, ResumeRequest};
