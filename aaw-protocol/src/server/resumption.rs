//! Resumption: the state of a connection goes on over another socket.

use std::time::{Duration, Instant};

use super::close::Close;
use super::connection::{ServerConnection, max_encoded_len, shortened};
use super::output::{Input, Output};
use super::resumption_state::Resumption;
use crate::clock;
use crate::codec::{self, BadFrame, Frame};
use crate::failure::{Code, Failure};
use crate::hello::{self, Welcome, acknowledgement};
use crate::resumption::{ResumptionTerms, parse_count};

impl<T> ServerConnection<T> {
    /// Accepts a [hello](Input::Hello): sends the welcome, or runs the open hook before. A connection that is to be resumable
    /// is so from the welcome on. Does nothing unless a hello is expected.
    pub fn begin(&mut self, resumable: bool) {
        if self.hello_deadline.take().is_none() || self.closed {
            return;
        }
        self.resumption = resumable.then(Box::default);
        if self.open_hook_pending {
            self.outputs.push_back(Output::RunOpenHook);
        } else {
            self.send_welcome();
        }
    }

    /// Refuses a [hello](Input::Hello) for this reason, which is shortened if it does not fit into a message. The client may
    /// send another one.
    pub fn refuse_hello<'a>(&mut self, reason: impl Into<String>) -> Input<'a> {
        let failure = Failure::new(Code::BAD_FRAME, reason.into());
        let fits = max_encoded_len(&failure) <= self.config.limits.message as usize;
        let failure = if fits { failure } else { shortened(&failure) };
        self.report_bad_frame(BadFrame::Unexpected(failure.error))
    }

    /// Gives the client this much more time for its hello: the decision about a [hello](Input::Hello) takes time that is not
    /// the client's, and if it is refused another one may follow. Has no effect after the hello, nor a second time.
    pub fn extend_hello_timeout(&mut self, by: Duration) {
        if !std::mem::replace(&mut self.hello_extended, true)
            && let Some(deadline) = &mut self.hello_deadline
        {
            **deadline = clock::after(**deadline, by);
        }
    }

    pub(super) fn send_welcome(&mut self) {
        if let Some(resumption) = &mut self.resumption {
            // What a client sends before the welcome is not counted.
            **resumption = Resumption { is_counting: true, ..Resumption::default() };
        }
        let connection = std::mem::take(&mut self.connection);
        let welcome = self.welcome(connection.into(), None);
        self.outputs.push_back(Output::Welcome(welcome.into()));
    }

    fn welcome(&self, connection: String, received: Option<u64>) -> Vec<u8> {
        let terms = ResumptionTerms {
            window: u64::try_from(self.config.resumption_window.as_millis()).unwrap_or(u64::MAX),
            log: self.config.max_unacknowledged_bytes,
            received,
        };
        let welcome = Welcome {
            connection,
            resumed: received.is_some(),
            limits: self.config.limits,
            resumption: self.resumption.is_some().then_some(terms),
        };
        codec::message(hello::WELCOME, &welcome)
    }

    /// Returns whether the client can resume the connection: its hello has asked for it, and it has been sent the welcome.
    pub fn is_resumable(&self) -> bool {
        self.resumption.as_ref().is_some_and(|resumption| resumption.is_counting) && !self.closed
    }

    /// Returns whether the connection has no socket at present.
    pub fn is_away(&self) -> bool {
        self.resumption.as_ref().is_some_and(|resumption| resumption.is_away)
    }

    /// The socket of a [resumable](Self::is_resumable) connection has broken. Handlers run on, and streams pause. What is sent is
    /// kept by the owner of the socket.
    pub fn suspend(&mut self) {
        if let Some(resumption) = &mut self.resumption {
            resumption.is_away = true;
            self.heartbeat.stop();
        }
    }

    /// The connection with this id continues on another socket. Returns the welcome, which is the first message that is sent there; all
    /// messages that the client has not received follow.
    pub fn resume(&mut self, now: Instant, connection: String) -> Vec<u8> {
        self.heartbeat = self.new_heartbeat(now);
        self.unsent_bytes = 0;
        let received = self.resumption.as_mut().map(|resumption| {
            resumption.is_away = false;
            resumption.received.acknowledge()
        });
        self.welcome(connection, received.or(Some(0)))
    }

    /// Tells how many bytes of messages the client has not acknowledged.
    pub fn set_unacknowledged_bytes(&mut self, bytes: usize) {
        if let Some(resumption) = &mut self.resumption {
            resumption.unacknowledged_bytes = bytes;
        }
    }

    /// Reports an [acknowledgement](Input::Acknowledged) of a message that was never sent.
    pub fn reject_acknowledgement<'a>(&mut self, error: impl std::fmt::Display) -> Input<'a> {
        self.report_bad_frame(BadFrame::Unexpected(error.to_string()))
    }

    /// Returns the number up to which the messages of the client are to be acknowledged now. `is_writing` tells whether
    /// something else is written in any case. To be called at the end of a turn. The acknowledgement is not counted itself.
    pub fn poll_acknowledgement(&mut self, now: Instant, is_writing: bool) -> Option<Vec<u8>> {
        // The client of a call that runs wants to know whether the server has it.
        let urgent = !self.is_idle();
        let resumption = self.resumption.as_mut().filter(|resumption| resumption.is_counting && !resumption.is_away)?;
        let number = resumption.received.poll(now, urgent, is_writing)?;
        Some(acknowledgement(number))
    }

    pub(super) fn acknowledgement_due(&self) -> Option<Instant> {
        let resumption = self.resumption.as_ref().filter(|resumption| resumption.is_counting && !resumption.is_away)?;
        // Otherwise it waits for the heartbeat: a timer for each call of a client that calls rarely would cost more than all
        // the rest of resumption.
        resumption.received.urgent_due(!self.is_idle()).filter(|_| !self.closed)
    }

    /// Whether no further call may start until the client has acknowledged more, or has come back.
    pub(super) fn has_unacknowledged(&self) -> bool {
        self.resumption.as_ref().is_some_and(|resumption| {
            resumption.is_away || resumption.unacknowledged_bytes >= self.config.max_unacknowledged_bytes
        })
    }

    pub(super) fn handle_acknowledgement<'a>(&self, frame: &Frame<'_>) -> Result<Input<'a>, BadFrame> {
        if !self.is_resumable() {
            return Ok(Input::Handled);
        }
        parse_count(frame.data).map(Input::Acknowledged).map_err(BadFrame::Unexpected)
    }

    pub(super) fn send_pong(&mut self) {
        let pong = codec::message(hello::PONG, &serde_json::Value::Null);
        self.outputs.push_back(Output::SendUncounted(pong.into()));
    }

    /// The socket is of no use any more. [`Output::Close`] follows: if the connection is [resumable](Self::is_resumable) it can
    /// then be [suspended](Self::suspend), and is closed otherwise.
    pub fn lose_socket(&mut self, why: Close) {
        if self.is_resumable() {
            self.heartbeat.stop();
            self.outputs.push_back(Output::Close(why));
        } else {
            self.close(why);
        }
    }
}
