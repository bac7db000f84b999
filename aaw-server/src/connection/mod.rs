//! The one task that owns a connection's socket.
//!
//! Everything that is sent passes through this task in one queue: the responses of calls that completed in place, and
//! the commands that others post to the connection's mailbox. So order, back-pressure and closing are decided in one
//! place. In one turn the task reads what has arrived, writes the responses into tungstenite's buffer and flushes once:
//! a system call costs more than a call does.
//!
//! | module | |
//! |---|---|
//! | `socket_task` | the task: reads, dispatches calls, handles commands, writes, keeps time |
//! | `open_hook` | runs `_open` before the connection is open |
//! | `call_tasks` | calls that run as tasks of their own, and what remains of them when the connection ends |
//! | `stream_pump` | from a streaming handler to frames, as far as the caller's credit allows |
//! | `upload` | from a caller's stream to its handler |
//! | `end` | why a connection ends |
//! | `closing` | the close frame, and the time it takes to arrive |
//! | `frame_log` | logs the messages in and out, at the level `trace` |
//! | `outgoing` | frames that wait for the socket |
//! | `progress` | counts what the socket accepts, to tell a slow client from one that has stopped reading |

mod call_tasks;
mod closing;
mod end;
mod frame_log;
mod open_hook;
mod outgoing;
mod progress;
#[cfg(all(test, feature = "auth"))]
mod session_tests;
mod socket_task;
mod stream_pump;
#[cfg(test)]
mod tests;
mod upload;

pub(crate) use socket_task::NewConnection;
