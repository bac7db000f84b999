//! How a connection handles client calls, the calls that the server makes to this client.

use super::keys::ClientCallKey;
use super::running_client_calls::RunningClientCall;
use super::{ClientConnection, Output};
use crate::codec::{self, BadFrame, Frame, Kind};
use crate::{Code, Failure, Shortened};

impl<W> ClientConnection<W> {
    /// Responds to a [client call](Output::ClientCall) with one JSON value or a failure. Does nothing if the call is
    /// over: it has a response, was cancelled, or its connection is gone.
    ///
    /// A response that exceeds the message limit becomes a failure with the code [`TOO_LARGE`](Code::TOO_LARGE).
    pub fn respond(&mut self, key: ClientCallKey, result: Result<&str, Failure>) {
        let Some(RunningClientCall { id, event_json }) = self.client_calls.remove(key) else { return };
        let limit = self.message_limit();
        let frame = match result.map(|json| response_frame(&event_json, json.as_bytes(), id, Kind::Unmarked)) {
            Ok(frame) if frame.len() <= limit => frame,
            Ok(_) => {
                let error = format!("The response exceeds the message limit of {limit} bytes");
                failure_frame(&event_json, &Failure::new(Code::TOO_LARGE, error), id, limit)
            }
            Err(failure) => failure_frame(&event_json, &failure, id, limit),
        };
        self.send_frame(frame.into());
    }

    /// Returns the number of client calls that wait for a [response](Self::respond).
    pub fn running_client_calls(&self) -> usize {
        self.client_calls.by_id.len()
    }

    /// Handles the frame of a client call.
    pub(super) fn handle_client_call(&mut self, id: i64, frame: &Frame<'_>) -> Result<(), BadFrame> {
        let next = self.client_calls.last_id - 1;
        if id != next {
            return Err(BadFrame::Unexpected(format!("id {id} for a client call; the next is {next}")));
        }
        self.client_calls.last_id = id;
        // The id identifies the call, so a long name is not repeated in the response. Many running calls could
        // otherwise hold one each.
        let event_json = codec::event_json(&Shortened(&frame.event).to_string());
        if self.client_calls.by_id.len() >= self.config.max_client_calls as usize {
            let error = format!("Too many client calls: {} are running", self.client_calls.by_id.len());
            let busy = failure_frame(&event_json, &Failure::new(Code::BUSY, error), id, usize::MAX);
            self.send_frame(busy.into());
            return Ok(());
        }
        self.client_calls.keys += 1;
        let key = ClientCallKey(self.client_calls.keys);
        self.client_calls.by_id.insert(id, key);
        self.client_calls.by_key.insert(key, RunningClientCall { id, event_json: event_json.into() });
        self.outputs.push_back(Output::ClientCall { key, event: frame.event.as_ref().into(), data: frame.data.into() });
        Ok(())
    }

    /// Handles the server's cancel of a client call.
    pub(super) fn handle_client_call_cancel(&mut self, id: i64) -> Result<(), BadFrame> {
        if id < self.client_calls.last_id {
            return Err(BadFrame::Unexpected(format!("a cancel of client call {id}, which was never made")));
        }
        // The call may be over already, because the cancel and the response can cross.
        if let Some(&key) = self.client_calls.by_id.get(&id) {
            self.client_calls.remove(key);
            self.outputs.push_back(Output::ClientCallCancelled { key });
        }
        Ok(())
    }

    /// Cancels all running client calls, because their connection is gone or closing.
    pub(super) fn cancel_client_calls(&mut self) {
        let cancelled = self.client_calls.reset().map(|key| Output::ClientCallCancelled { key });
        self.outputs.extend(cancelled);
    }
}

fn response_frame(event_json: &str, data: &[u8], id: i64, kind: Kind) -> Vec<u8> {
    let mut frame = Vec::with_capacity(event_json.len() + data.len() + 32);
    codec::begin(&mut frame, event_json);
    frame.extend_from_slice(data);
    codec::end_v1(&mut frame, id, kind);
    frame
}

/// Returns the frame of a failure, shortened if it exceeds `limit`.
fn failure_frame(event_json: &str, failure: &Failure, id: i64, limit: usize) -> Vec<u8> {
    let encode = |failure: &Failure| {
        let mut data = Vec::with_capacity(128);
        codec::failure(&mut data, failure);
        response_frame(event_json, &data, id, Kind::Error)
    };
    let frame = encode(failure);
    if frame.len() <= limit {
        return frame;
    }
    // The code tells the server what happened, so it is kept unless it is unreasonably long.
    let code = if failure.code.as_str().len() <= 100 { failure.code.clone() } else { Code::HANDLER };
    encode(&Failure::new(code, Shortened(&failure.error).to_string()))
}
