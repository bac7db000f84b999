//! Streams in both directions: items to the caller within its credit, and items of uploads from the caller.

use bytes::Bytes;

use super::connection::ServerConnection;
use super::keys::CallKey;
use super::output::{Input, Output};
use super::response::{Completion, ResponseFormat};
use crate::codec::{self, BadFrame, Frame, Kind, MAX_CREDIT};
use crate::failure::{Code, Failure};

/// Frames of items, made with a call's [`ItemFrame`](super::ItemFrame).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemFrames {
    /// Their number.
    pub items: u64,
    /// The bytes of all, with their WebSocket headers.
    pub bytes: usize,
    /// The length of the longest, without its header.
    pub largest: usize,
}

impl<T> ServerConnection<T> {
    // --- From the handler to the caller
    // -------------------------------------------------------------------------------

    /// Returns the credit of a call: how many items it may yield in total. `u64::MAX` if its items are not counted, as
    /// for [pushes](super::ResponseMode::Pushes); 0 if the call is over. [`Output::Credit`] reports each increase.
    pub fn credit(&self, key: CallKey) -> u64 {
        match self.running.get(key).map(|running| &running.format) {
            None => 0,
            Some(ResponseFormat::Items { credit, .. }) => *credit,
            Some(_) => u64::MAX,
        }
    }

    /// Sends the next item of a pending call's stream, as [`handle_items`](Self::handle_items) does. `frame` is a whole
    /// frame, made with the call's [`ItemFrame`](super::ItemFrame).
    pub fn handle_item(&mut self, key: CallKey, frame: Bytes) -> bool {
        let is_open = self.handle_items(key, ItemFrames { items: 1, bytes: 0, largest: frame.len() });
        if is_open == Some(true) {
            self.send(frame);
        }
        is_open.is_some()
    }

    /// Counts the next items of a pending call's stream. There must be [`credit`](Self::credit) for them, and
    /// [`may_stream`](Self::may_stream) should return `true`. The call stays open until it is
    /// [completed](Self::complete).
    ///
    /// Returns whether to send them now, behind all outputs so far; `None` if the call is over. An item that exceeds the
    /// message limit fails the call as `too_large`, and [`Output::Drop`] follows.
    pub fn handle_items(&mut self, key: CallKey, frames: ItemFrames) -> Option<bool> {
        let running = self.running.get_mut(key).filter(|running| running.deferred_response.is_none())?;
        match running.format {
            ResponseFormat::Items { credit, .. } => {
                debug_assert!(running.items + frames.items <= credit, "items beyond the credit");
            }
            ResponseFormat::Classic { id: None } => {}
            // These callers do not read items.
            ResponseFormat::Single { .. } | ResponseFormat::Nothing | ResponseFormat::Classic { id: Some(_) } => {
                return Some(false);
            }
        }
        running.items += frames.items;
        let max_bytes = self.config.limits.message as usize;
        if frames.largest > max_bytes {
            let error = format!("The item exceeds the message limit of {max_bytes} bytes");
            self.abort_call(key, Failure::new(Code::TOO_LARGE, error));
            return None;
        }
        self.unsent_bytes += frames.bytes;
        Some(true)
    }

    /// Returns whether streams may send items: fewer bytes are unsent than
    /// [`max_unsent_bytes`](super::ServerConfig::max_unsent_bytes), fewer are unacknowledged than
    /// [`max_unacknowledged_bytes`](super::ServerConfig::max_unacknowledged_bytes), the connection is not closed, and the
    /// client is not away. Check it before each item; [`set_unsent_bytes`](Self::set_unsent_bytes) can make it `true` again.
    pub fn may_stream(&self) -> bool {
        !self.closed && self.unsent_bytes < self.config.max_unsent_bytes && !self.has_unacknowledged()
    }

    /// Handles credit for the response of a call.
    pub(super) fn handle_credit<'a>(&mut self, id: i64, frame: &Frame<'_>) -> Result<Input<'a>, BadFrame> {
        let granted = frame.credit()?;
        let Some((key, running)) = self.running.by_id_mut(id) else {
            if let Some(queued) = self.wait_queue.find(id) {
                queued.credit = queued.credit.max(granted);
            }
            return Ok(Input::Handled);
        };
        let ResponseFormat::Items { credit, .. } = &mut running.format else { return Ok(Input::Handled) };
        if granted > *credit {
            *credit = granted;
            if running.deferred_response.is_none() {
                self.outputs.push_back(Output::Credit { key, items: granted });
            } else if let Some(mut running) = self.remove_running(key)
                && let Some(response) = running.deferred_response.take()
            {
                self.send_response(&running.format, response, running.prefix_len, &Completion::Responded);
            }
        }
        Ok(Input::Handled)
    }

    /// Returns whether a response is an item without credit, which must be deferred.
    ///
    /// A response that exceeds the message limit is not deferred, because it fails. Neither is one that exceeds the
    /// limit for deferred responses: `completion` then becomes the failure. Without that limit, leaving responses
    /// deferred would cost a client nothing.
    pub(super) fn must_defer(
        &self,
        format: &ResponseFormat<'_>,
        frame: &mut Vec<u8>,
        completion: &mut Completion,
    ) -> bool {
        let (ResponseFormat::Items { id, credit: 0 }, Completion::Responded) = (format, &*completion) else {
            return false;
        };
        let mut end = Vec::new();
        codec::end_v1(&mut end, *id, Kind::Item);
        if frame.len() + end.len() > self.config.limits.message as usize {
            return false;
        }
        let max_bytes = self.config.max_running_bytes;
        if self.deferred_bytes + frame.len() > max_bytes {
            let error = format!("Responses of {} bytes wait for credit; the limit is {max_bytes}", self.deferred_bytes);
            *completion = Completion::Failed(Failure::new(Code::TOO_LARGE, error));
            // Frees the response now, not when the client has read the failure.
            *frame = Vec::new();
            return false;
        }
        true
    }

    /// Stores the response of a call until there is credit for it. The call stays open, and its response counts towards
    /// the running bytes. It does not count as unsent, because that could stop the server from reading the very credit
    /// that the response waits for.
    pub(super) fn defer_response(&mut self, key: CallKey, mut response: Vec<u8>) {
        response.shrink_to_fit();
        let Some(running) = self.running.get_mut(key) else { return };
        self.running_bytes -= running.bytes;
        running.bytes = response.len() + running.event_json.len();
        self.running_bytes += running.bytes;
        self.deferred_bytes += running.bytes;
        running.deferred_response = Some(response);
        running.task = None;
        let upload = running.upload.take();
        // The handler is done.
        self.release_barrier(key);
        if let Some(upload) = upload {
            self.upload_bytes -= upload.cost();
        }
    }

    // --- From the caller to the handler
    // -------------------------------------------------------------------------------

    /// Grants the caller of a pending call with an [upload](super::Call::upload) credit up to the `credit`-th item from
    /// the start of the upload. Without a grant the caller sends nothing.
    ///
    /// The first grant sets the window: the number of items that may wait for the handler. Each later grant should be
    /// the number of items that the handler has taken, plus the window. A grant that is not larger than the last one is
    /// ignored, and so is one for a call that is over or whose upload has ended.
    pub fn grant_upload_credit(&mut self, key: CallKey, credit: u64) {
        let credit = credit.min(MAX_CREDIT);
        let Some(running) = self.running.get_mut(key) else { return };
        let Some(upload) = &mut running.upload else { return };
        self.upload_bytes -= upload.release_taken(credit);
        if credit <= upload.granted {
            return;
        }
        upload.granted = credit;
        if upload.ended {
            return;
        }
        let Some(id) = running.format.v1_id() else { return };
        let mut frame = Vec::with_capacity(running.prefix_len + 48);
        codec::begin(&mut frame, &running.event_json);
        frame.extend_from_slice(credit.to_string().as_bytes());
        codec::end_v1(&mut frame, id, Kind::Credit);
        self.send(frame.into());
    }

    /// Handles an item of an upload, or its end, for a call whose id was used.
    pub(super) fn handle_upload_frame<'a>(&mut self, id: i64, frame: &Frame<'a>) -> Result<Input<'a>, BadFrame> {
        let Some((key, running)) = self.running.by_id_mut(id) else {
            return self.handle_queued_upload_frame(id, frame);
        };
        if running.deferred_response.is_some() {
            // The handler is done and takes no more items, which the caller cannot know.
            return Ok(Input::Handled);
        }
        let Some(upload) = &mut running.upload else { return Err(no_upload(id)) };
        if upload.ended {
            return Err(after_upload_end(id));
        }
        if frame.kind == Kind::End {
            upload.ended = true;
            return Ok(Input::UploadEnd { key });
        }
        if upload.received >= upload.granted {
            let bad = beyond_upload_credit(id, upload.received + 1, upload.granted);
            self.abort_call(key, Failure::new(Code::BAD_FRAME, bad.to_string()));
            return Ok(Input::BadFrame(bad));
        }
        self.upload_bytes += upload.add_item(frame.data);
        let max_bytes = self.config.max_upload_bytes;
        if self.upload_bytes > max_bytes {
            let error = format!(
                "Upload items of {} bytes wait for their handlers; the limit is {max_bytes}",
                self.upload_bytes
            );
            self.abort_call(key, Failure::new(Code::TOO_LARGE, error));
            return Ok(Input::Handled);
        }
        Ok(Input::UploadItem { key, data: frame.data })
    }

    /// Handles an item of an upload, or its end, for a call that is in the wait queue or over.
    fn handle_queued_upload_frame<'a>(&mut self, id: i64, frame: &Frame<'a>) -> Result<Input<'a>, BadFrame> {
        // A call that is over may have ended while this frame was in transit.
        let Some(queued) = self.wait_queue.find(id) else { return Ok(Input::Handled) };
        if !queued.upload {
            return Err(no_upload(id));
        }
        if queued.upload_ended {
            return Err(after_upload_end(id));
        }
        if frame.kind == Kind::End {
            queued.upload_ended = true;
            return Ok(Input::Handled);
        }
        let bad = beyond_upload_credit(id, 1, 0);
        if let Some(text) = self.wait_queue.remove(id)
            && let Ok(call) = codec::decode(&text)
        {
            // The log gets the bad frame instead of the refused call.
            let _ = self.refuse(&ResponseFormat::Single { id }, call, Failure::new(Code::BAD_FRAME, bad.to_string()));
        }
        Ok(Input::BadFrame(bad))
    }
}

fn no_upload(id: i64) -> BadFrame {
    BadFrame::Unexpected(format!("an item of an upload for call {id}, which has no upload"))
}

fn after_upload_end(id: i64) -> BadFrame {
    BadFrame::Unexpected(format!("an item of an upload for call {id} after its end"))
}

fn beyond_upload_credit(id: i64, item: u64, credit: u64) -> BadFrame {
    BadFrame::Unexpected(format!("item {item} of the upload of call {id} exceeds its credit of {credit}"))
}
