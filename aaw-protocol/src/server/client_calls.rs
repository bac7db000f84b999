//! How a connection makes client calls, the calls of the server to its client.

use std::time::Instant;

use super::connection::ServerConnection;
use super::keys::ClientCallKey;
use super::output::{Input, Output};
use super::pending_client_calls::PendingClientCall;
use crate::codec::{self, BadFrame, Frame, Kind};
use crate::dialect::Dialect;
use crate::failure::{Code, Failure};
use crate::name::is_reserved;
use crate::text::Shortened;

impl<T> ServerConnection<T> {
    /// Calls the client's handler of `event` with `body`, one JSON value.
    ///
    /// The call is sent after everything that was queued before. It ends with exactly one [`Output::ClientCallDone`],
    /// unless it is [cancelled](Self::cancel_client_call) or the connection ends, which ends all client calls without
    /// an output. Without a `deadline` it may wait indefinitely.
    ///
    /// # Errors
    /// Returns a failure, and sends nothing, with the code
    /// - [`UNREACHABLE`](Code::UNREACHABLE) if the client speaks classic,
    /// - [`NO_CONNECTION`](Code::NO_CONNECTION) if the connection is closed or not [open](Self::is_open) yet,
    /// - [`NOT_ALLOWED`](Code::NOT_ALLOWED) if `event` is a reserved name,
    /// - [`TOO_LARGE`](Code::TOO_LARGE) if the frame exceeds the message limit,
    /// - [`BUSY`](Code::BUSY) if [`max_client_calls`](super::ServerConfig::max_client_calls) are in flight, or the
    ///   client reads too slowly,
    /// - [`TIMEOUT`](Code::TIMEOUT) if the deadline has passed.
    pub fn client_call(
        &mut self,
        now: Instant,
        key: ClientCallKey,
        event: &str,
        body: &str,
        deadline: Option<Instant>,
    ) -> Result<(), Failure> {
        debug_assert!(self.client_calls.id_of(key).is_none(), "two client calls in flight have the same key");
        if self.dialect == Dialect::Classic {
            return Err(Failure::new(Code::UNREACHABLE, "The client cannot be called: it speaks the classic dialect"));
        }
        if self.closed || !self.is_open() {
            let error = if self.closed { "The connection is closed" } else { "The connection is not open yet" };
            return Err(Failure::new(Code::NO_CONNECTION, error));
        }
        if is_reserved(event) {
            return Err(Failure::new(Code::NOT_ALLOWED, format!("{} is a reserved event name", Shortened(event))));
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(client_call_timed_out());
        }
        let max_calls = self.config.max_client_calls as usize;
        if self.client_calls.len() >= max_calls {
            return Err(Failure::new(Code::BUSY, format!("Too many client calls: {max_calls} are in flight")));
        }
        if self.unsent_bytes >= self.config.max_unsent_bytes {
            return Err(Failure::new(Code::BUSY, "The client reads too slowly"));
        }
        let id = self.client_calls.next_id();
        let event_json = codec::event_json(event).into_boxed_str();
        let mut frame = Vec::with_capacity(event_json.len() + body.len() + 24);
        codec::begin(&mut frame, &event_json);
        frame.extend_from_slice(body.as_bytes());
        codec::end_v1(&mut frame, id, Kind::Unmarked);
        let max_bytes = self.config.limits.message as usize;
        if frame.len() > max_bytes {
            let error = format!("The body of {} exceeds the message limit of {max_bytes} bytes", Shortened(event));
            return Err(Failure::new(Code::TOO_LARGE, error));
        }
        self.client_calls.insert(PendingClientCall { key, event_json, deadline });
        self.send(frame.into());
        Ok(())
    }

    /// Cancels a client call: it ends without an output, and the client is notified. Does nothing if the call is over.
    pub fn cancel_client_call(&mut self, key: ClientCallKey) {
        if let Some(id) = self.client_calls.id_of(key) {
            self.abort_client_call(id);
        }
    }

    /// Returns the number of client calls without a response.
    pub fn client_calls_in_flight(&self) -> usize {
        self.client_calls.len()
    }

    /// Removes a client call and sends its cancel.
    fn abort_client_call(&mut self, id: i64) -> Option<ClientCallKey> {
        let PendingClientCall { key, event_json, .. } = self.client_calls.remove(id)?;
        let mut frame = Vec::with_capacity(event_json.len() + 40);
        codec::begin(&mut frame, &event_json);
        frame.extend_from_slice(b"null");
        codec::end_v1(&mut frame, id, Kind::Cancel);
        self.send(frame.into());
        Some(key)
    }

    /// Ends the client calls whose deadline has passed.
    pub(super) fn expire_client_calls(&mut self, now: Instant) {
        while let Some((deadline, id)) = self.client_calls.next_deadline()
            && deadline <= now
            && let Some(key) = self.abort_client_call(id)
        {
            self.outputs.push_back(Output::ClientCallDone { key, result: Err(client_call_timed_out()) });
        }
    }

    /// Handles the client's response to a client call, or its failure.
    pub(super) fn handle_client_response<'a>(&mut self, id: i64, frame: &Frame<'_>) -> Result<Input<'a>, BadFrame> {
        if !self.client_calls.is_used(id) {
            return Err(BadFrame::Unexpected(format!("a response with id {id} to a client call that was never made")));
        }
        // A call that is over may have ended while its response was in transit, so that response is ignored.
        if let Some(PendingClientCall { key, .. }) = self.client_calls.remove(id) {
            let result = match frame.kind {
                Kind::Error => Err(serde_json::from_str(frame.data).unwrap_or_else(|error| {
                    let error = Shortened(&error.to_string()).to_string();
                    Failure::new(Code::BAD_FRAME, format!("The client returned a malformed error: {error}"))
                })),
                _ => Ok(frame.data.into()),
            };
            self.outputs.push_back(Output::ClientCallDone { key, result });
        }
        Ok(Input::Handled)
    }
}

fn client_call_timed_out() -> Failure {
    Failure::new(Code::TIMEOUT, "The client did not respond in time")
}
