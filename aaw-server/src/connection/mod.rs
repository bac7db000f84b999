//! The one task that owns a connection's socket.
//!
//! Everything passes through [`ConnectionState::handle`](state::ConnectionState::handle): messages of the client, commands
//! that others post to the connection's mailbox, calls that waited, and the time. So order, back-pressure and closing are
//! decided in one place. In one turn the task reads what has arrived, appends what it sends to one buffer and writes that
//! once: a system call costs more than a call does. Between turns a connection has no buffers.
//!
//! | module | |
//! |---|---|
//! | `socket_task` | the task: reads, writes, keeps time |
//! | `state` | what a connection does with its inputs |
//! | `calls` | from a call to its response, in place or as a task |
//! | `socket` | a bare TCP socket, or any other stream |
//! | `scratch` | the buffers of a worker thread |
//! | `open_hook` | runs `_open` before the connection is open |
//! | `resume_hook` | runs `_resume` before the connection goes on over another socket |
//! | `away_hooks` | runs `_away` and `_back`, which alternate |
//! | `resumption` | a connection that outlives its socket; `resumption_state` is what it stores |
//! | `call_tasks` | calls that run as tasks of their own, and what remains of them when the connection ends |
//! | `busy_connection` | a connection that takes turns with others, since it uses them up |
//! | `call_future` | a call that runs as a task, within the memory that its connection may hold |
//! | `linger_budget` | limits the time that one-way sends use up after their connection has ended |
//! | `stream_pump` | from a streaming handler to frames, as far as the caller's credit allows |
//! | `push_backlog` | how long a connection may exceed the sustained limit of pushes |
//! | `upload` | from a caller's stream to its handler |
//! | `end` | why a connection ends |
//! | `closing` | the close frame, and the time it takes to arrive |
//! | `frame_log` | logs the messages in and out, at the level `trace` |

mod away_hooks;
mod busy_connection;
mod call_future;
mod call_tasks;
mod calls;
mod closing;
mod end;
mod frame_log;
mod linger_budget;
mod open_hook;
#[cfg(test)]
mod place_tests;
mod push_backlog;
mod resume_hook;
mod resumption;
#[cfg(test)]
mod resumption_hook_tests;
mod resumption_state;
mod scratch;
#[cfg(all(test, feature = "auth"))]
mod session_tests;
mod socket;
mod socket_task;
mod state;
mod stream_pump;
#[cfg(test)]
mod tests;
mod upload;
mod waiting_commands;

pub(crate) use socket::ClientSocket;
#[cfg(feature = "tls")]
pub(crate) use socket::MAX_UNFLUSHED_BYTES;
pub(crate) use socket_task::NewConnection;
