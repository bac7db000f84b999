//! The server's side of one connection, without the connection.
//!
//! [`ServerSession`] is told what came in, what became of the calls, and what time it is; it says what goes out and
//! which handlers are to be dropped. Whoever owns the socket does four things, in any order, as they come up:
//!
//! 1. says [`handle_sign_of_life`](ServerSession::handle_sign_of_life) when anything at all was read, hands each text to
//!    [`handle_text`](ServerSession::handle_text), runs the [`Call`] it gets, and gives the outcome back
//!    ([`finish_now`](ServerSession::finish_now) if it was there at once, else [`suspend`](ServerSession::suspend) and
//!    later [`finish`](ServerSession::finish));
//! 2. takes all of [`poll_output`](ServerSession::poll_output) after each input, and says with
//!    [`handle_sent`](ServerSession::handle_sent) what has left;
//! 3. runs what [`poll_waiting`](ServerSession::poll_waiting) gives, after each input too, until it gives nothing;
//! 4. calls [`handle_timeout`](ServerSession::handle_timeout) at [`poll_timeout`](ServerSession::poll_timeout).
//!
//! A handler that yields items is suspended too. Each item is a frame of its own, made with the call's [`ItemFrame`] and
//! given to [`handle_item`](ServerSession::handle_item), while there is [`credit`](ServerSession::credit) and
//! [`may_stream`](ServerSession::may_stream) says so; [`Outcome::Ended`] finishes it. What the call
//! [`wants`](Call::wants) says whether items are what its caller reads. Items of an upload come as [`Input::Item`] into
//! the room that was [granted](ServerSession::grant).
//!
//! What the server [asks](ServerSession::ask) its client ends with [`Output::Answered`]. A call that changes what those
//! behind it find is [suspended as a barrier](ServerSession::suspend_barrier): nothing overtakes it.
//!
//! Whoever has something to decide before a connection is open [holds](ServerSession::hold) its session.
//!
//! ```
//! use std::time::Instant;
//! use aaw_protocol::Dialect;
//! use aaw_protocol::server::{Config, Input, Outcome, Output, ServerSession};
//!
//! let mut session = ServerSession::new(Dialect::Classic, "7f".into(), Config::default(), Instant::now());
//! let Input::Call(call) = session.handle_text(Instant::now(), r#"["ping",null]"#) else { panic!() };
//! let mut frame = call.begin_answer();
//! frame.extend_from_slice(br#"{"pong":true}"#);
//! session.finish_now(call, frame, Outcome::Answered);
//! let Some(Output::Send(answer)) = session.poll_output() else { panic!() };
//! assert_eq!(answer, r#"["ping",{"pong":true}]"#);
//! ```

mod asks;
mod call;
mod config;
mod line;
mod opening;
mod output;
mod reply;
mod running;
mod session;
mod streams;
#[cfg(test)]
mod tests;

pub use asks::AskKey;
pub use call::{Call, CallKey, ItemFrame};
pub use config::Config;
pub use line::Waiting;
pub use output::{Close, Input, Output};
pub use reply::{Outcome, Wants};
pub use session::ServerSession;
