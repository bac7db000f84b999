//! Streams in both directions: items that go out as there is credit for them, and items that come in.

use bytes::Bytes;

use super::call::CallKey;
use super::connection::ServerConnection;
use super::output::{Input, Output};
use super::response::{Completion, Reply};
use crate::codec::{self, BadFrame, Frame, Kind, MOST_ITEMS};
use crate::failure::{Code, Failure};

impl ServerConnection {
    // --- From the handler to the caller -------------------------------------------------------------------------------

    /// How many items, in all, the call may yield by now: what its caller has room for; `u64::MAX` where nothing is
    /// counted, as for [pushes](super::ResponseMode::Pushes). 0 for a call that is over. Grows with [`Output::Credit`].
    pub fn credit(&self, key: CallKey) -> u64 {
        match self.running.get(&key).map(|running| &running.reply) {
            None => 0,
            Some(Reply::Items { credit, .. }) => *credit,
            Some(_) => u64::MAX,
        }
    }

    /// The next item of a suspended call's stream: a whole frame, made with [`Call::item_frame`](super::Call). There
    /// must be [`credit`](Self::credit) for it, and there should be [room](Self::may_stream) for it. It ends nothing:
    /// [`Completion::StreamEnded`] or a failure follows.
    ///
    /// False if nobody waits for it any more. An item larger than a message may be ends the call as `too_large`;
    /// [`Output::Drop`] follows.
    pub fn handle_item(&mut self, key: CallKey, frame: Bytes) -> bool {
        let Some(running) = self.running.get_mut(&key).filter(|running| running.parked.is_none()) else { return false };
        match running.reply {
            Reply::Items { credit, .. } => debug_assert!(running.items < credit, "an item beyond the credit"),
            Reply::Classic { id: None } => {}
            // They read no items, so none are due.
            Reply::Once { .. } | Reply::Nothing | Reply::Classic { id: Some(_) } => return true,
        }
        running.items += 1;
        let most = self.config.limits.message as usize;
        if frame.len() > most {
            let error = format!("An item is larger than a message may be ({most} bytes)");
            self.break_off(key, Failure::new(Code::TOO_LARGE, error));
            return false;
        }
        self.send(frame);
        true
    }

    /// Whether streams may go on: less waits to go out than [may](super::ServerConfig::unsent), and the connection lives. To
    /// be asked before each item; after [`handle_sent`](Self::handle_sent) it may be true again.
    pub fn may_stream(&self) -> bool {
        !self.closed && self.unsent < self.config.unsent
    }

    /// The caller has room up to an item.
    pub(super) fn take_credit<'a>(&mut self, id: i64, frame: &Frame<'_>) -> Result<Input<'a>, BadFrame> {
        let room = frame.credit()?;
        let key = CallKey(id.unsigned_abs());
        let Some(running) = self.running.get_mut(&key) else {
            if let Some(waiting) = self.line.find(id) {
                waiting.credit = waiting.credit.max(room);
            }
            return Ok(Input::Handled);
        };
        let Reply::Items { credit, .. } = &mut running.reply else { return Ok(Input::Handled) };
        if room > *credit {
            *credit = room;
            if running.parked.is_none() {
                self.outputs.push_back(Output::Credit { key, items: room });
            } else if let Some(mut running) = self.forget(key)
                && let Some(answer) = running.parked.take()
            {
                self.answer(&running.reply, answer, running.begun, &Completion::Responded);
            }
        }
        Ok(Input::Handled)
    }

    /// Whether this answer is an item for which there is no credit yet. One that is too large is none: it fails. And so
    /// does one for which there is no room among those that wait already, which it costs nothing to leave there.
    pub(super) fn waits_for_credit(&self, reply: &Reply<'_>, frame: &mut Vec<u8>, outcome: &mut Completion) -> bool {
        let (Reply::Items { id, credit: 0 }, Completion::Responded) = (reply, &*outcome) else { return false };
        let mut end = Vec::new();
        codec::end_v1(&mut end, *id, Kind::Item);
        if frame.len() + end.len() > self.config.limits.message as usize {
            return false;
        }
        if self.parked + frame.len() > self.config.running {
            let error = format!("Answers of {} bytes wait for credit, and no more may", self.parked);
            *outcome = Completion::Failed(Failure::new(Code::TOO_LARGE, error));
            // Its memory goes now, not when the client has read that.
            *frame = Vec::new();
            return false;
        }
        true
    }

    /// Keeps the answer of a call until there is credit for it. The call stays open, and the answer counts with what
    /// runs: as unsent it could keep the very credit from being read.
    pub(super) fn park(&mut self, key: CallKey, mut answer: Vec<u8>) {
        answer.shrink_to_fit();
        let Some(running) = self.running.get_mut(&key) else { return };
        self.running_bytes -= running.bytes;
        running.bytes = answer.len() + running.event_json.len();
        self.running_bytes += running.bytes;
        self.parked += running.bytes;
        running.parked = Some(answer);
        let upload = running.upload.take();
        // Its handler is done.
        self.pass_barrier(key);
        if let Some(upload) = upload {
            self.uploaded -= upload.cost();
        }
    }

    // --- From the caller to the handler -------------------------------------------------------------------------------

    /// The handler of a suspended call with an [upload](super::Call::upload) has room up to this item: as many as it has
    /// taken, and a window beyond. The window is what the first grant gives. The caller is told; it sends nothing
    /// before. A room that is not larger than the last is ignored, and so is one for a call that is over or whose caller
    /// has ended its stream.
    pub fn grant_upload_credit(&mut self, key: CallKey, room: u64) {
        let room = room.min(MOST_ITEMS);
        let Some(running) = self.running.get_mut(&key) else { return };
        let Some(upload) = &mut running.upload else { return };
        self.uploaded -= upload.make_room(room);
        if room <= upload.granted {
            return;
        }
        upload.granted = room;
        if upload.ended {
            return;
        }
        let mut frame = Vec::with_capacity(running.begun + 48);
        codec::begin(&mut frame, &running.event_json);
        frame.extend_from_slice(room.to_string().as_bytes());
        codec::end_v1(&mut frame, key.v1_id(), Kind::Credit);
        self.send(frame.into());
    }

    /// An item of an upload, or its end, for a call whose id was taken.
    pub(super) fn take_upload<'a>(&mut self, id: i64, frame: &Frame<'a>) -> Result<Input<'a>, BadFrame> {
        let key = CallKey(id.unsigned_abs());
        let Some(running) = self.running.get_mut(&key) else { return self.take_early_upload(id, frame) };
        if running.parked.is_some() {
            // Its handler is done and takes no more, which the caller cannot know.
            return Ok(Input::Handled);
        }
        let Some(upload) = &mut running.upload else { return Err(no_upload(id)) };
        if upload.ended {
            return Err(after_end(id));
        }
        if frame.kind == Kind::End {
            upload.ended = true;
            return Ok(Input::UploadEnd { key });
        }
        if upload.received >= upload.granted {
            let bad = beyond_credit(id, upload.received + 1, upload.granted);
            self.break_off(key, Failure::new(Code::BAD_FRAME, bad.to_string()));
            return Ok(Input::BadFrame(bad));
        }
        self.uploaded += upload.take(frame.data);
        if self.uploaded > self.config.uploads {
            let error = format!("Items of {} bytes wait for their handlers, and no more may", self.uploaded);
            self.break_off(key, Failure::new(Code::TOO_LARGE, error));
            return Ok(Input::Handled);
        }
        Ok(Input::UploadItem { key, data: frame.data })
    }

    /// The same for a call that waits in line, or is over.
    fn take_early_upload<'a>(&mut self, id: i64, frame: &Frame<'a>) -> Result<Input<'a>, BadFrame> {
        // What is over may have ended while this was on its way.
        let Some(waiting) = self.line.find(id) else { return Ok(Input::Handled) };
        if !waiting.upload {
            return Err(no_upload(id));
        }
        if waiting.upload_ended {
            return Err(after_end(id));
        }
        if frame.kind == Kind::End {
            waiting.upload_ended = true;
            return Ok(Input::Handled);
        }
        let bad = beyond_credit(id, 1, 0);
        if let Some(text) = self.line.remove(id)
            && let Ok(call) = codec::decode(&text)
        {
            // Like any refusal, but for the log there is the frame that was bad.
            let _ = self.refuse(&Reply::Once { id }, call, Failure::new(Code::BAD_FRAME, bad.to_string()));
        }
        Ok(Input::BadFrame(bad))
    }

    /// Ends a call whose handler runs, by a fault of its caller's or its own.
    fn break_off(&mut self, key: CallKey, failure: Failure) {
        let Some(running) = self.forget(key) else { return };
        self.outputs.push_back(Output::Drop(key));
        let mut begun = Vec::with_capacity(128);
        codec::begin(&mut begun, &running.event_json);
        self.answer(&running.reply, begun, running.begun, &Completion::Failed(failure));
    }
}

fn no_upload(id: i64) -> BadFrame {
    BadFrame::OutOfPlace(format!("an item of an upload for call {id}, which takes none"))
}

fn after_end(id: i64) -> BadFrame {
    BadFrame::OutOfPlace(format!("an item of an upload for call {id} after its end"))
}

fn beyond_credit(id: i64, item: u64, room: u64) -> BadFrame {
    BadFrame::OutOfPlace(format!("item {item} of the upload of call {id}, which has credit for {room}"))
}
