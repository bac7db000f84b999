//! The end of a client: what is queued is sent or ends, and the closing handshake.

use std::time::Instant;

use super::connection::ConnectionPhase;
use super::{CallResult, ClientConnection, DisconnectReason, NotSent, Output};
use crate::Dialect;
use crate::clock::after;

impl<W> ClientConnection<W> {
    /// Closes the client. If there is a connection, queued one-way sends are written first. All calls end: written ones
    /// as [`CallResult::Unknown`], the others as [`NotSent::Closed`]. The last output is [`Output::Closed`].
    pub fn close(&mut self, now: Instant) {
        if self.is_closing() {
            return;
        }
        let was_interrupted = self.is_interrupted();
        self.login.handle_disconnected();
        self.pending_open = None;
        self.complete_written_calls(&DisconnectReason::ClosedByUs);
        self.cancel_client_calls();
        self.end_queued_calls();
        match self.phase {
            // What is counted may not be sent before the welcome.
            ConnectionPhase::AwaitingWelcome { .. } if self.awaits_terms() => {
                self.close_requested = Some(after(now, self.config.close_timeout));
            }
            ConnectionPhase::AwaitingWelcome { .. } | ConnectionPhase::Open { .. } => self.send_close(now),
            _ => {
                while self.write_queue.pop().is_some() {}
                if was_interrupted {
                    self.outputs.push_back(Output::Disconnected(DisconnectReason::ClosedByUs));
                }
                self.set_closed();
            }
        }
    }

    /// Whether the application has closed the client.
    pub(super) fn is_closing(&self) -> bool {
        self.close_requested.is_some()
            || matches!(self.phase, ConnectionPhase::Closing { .. } | ConnectionPhase::Closed)
    }

    /// After the welcome, closes the client if that was requested before. Returns whether it was.
    pub(super) fn close_after_welcome(&mut self, now: Instant) -> bool {
        let was_requested = self.close_requested.take().is_some();
        if was_requested {
            self.send_close(now);
        }
        was_requested
    }

    /// Ends the queued calls. One-way sends stay in the queue.
    fn end_queued_calls(&mut self) {
        for _ in 0..self.write_queue.len() {
            let Some(queued) = self.write_queue.pop() else { return };
            match queued.call {
                Some(key) => self.complete_call(key, CallResult::NotSent(NotSent::Closed)),
                // There is the place that it had.
                None => _ = self.write_queue.push(queued, &self.config),
            }
        }
    }

    /// Writes the queued one-way sends, and the close frame.
    fn send_close(&mut self, now: Instant) {
        let limit = self.message_limit();
        while let Some(queued) = self.write_queue.pop() {
            if queued.message.size() <= limit {
                self.send_frame(queued.message.into_one_way());
            } else {
                self.report_lost_event(queued.message.size(), limit);
            }
        }
        self.outputs.push_back(Output::Close);
        let dialect = self.dialect().unwrap_or(Dialect::V1);
        self.phase = ConnectionPhase::Closing { dialect, until: after(now, self.config.close_timeout) };
    }

    /// The connection of a client that is closing is gone.
    pub(super) fn finish_closing(&mut self) {
        if !matches!(self.phase, ConnectionPhase::Closed) {
            self.outputs.retain(|output| !matches!(output, Output::Send(_) | Output::Ping | Output::Close));
            self.outputs.push_back(Output::Disconnected(DisconnectReason::ClosedByUs));
            self.set_closed();
        }
    }

    /// Returns until when the server's part of the closing handshake, or the welcome before it, is awaited.
    pub(super) fn closing_due(&self) -> Option<Instant> {
        match self.phase {
            ConnectionPhase::Closing { until, .. } => Some(until),
            _ => self.close_requested,
        }
    }

    pub(super) fn expire_closing(&mut self, now: Instant) {
        if self.closing_due().is_some_and(|until| until <= now) {
            self.abort_connection(now, DisconnectReason::ClosedByUs);
        }
    }

    fn set_closed(&mut self) {
        self.phase = ConnectionPhase::Closed;
        self.resumption = None;
        self.close_requested = None;
        self.outputs.push_back(Output::Closed);
    }
}
