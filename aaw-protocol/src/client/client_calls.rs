//! Calls in the other direction: the server asks, and whoever handles that event here answers.

use std::collections::{BTreeMap, HashMap};

use super::{ClientConnection, Output};
use crate::codec::{self, BadFrame, Frame, Kind};
use crate::{Code, Failure, Shortened};

/// Names something that the server asks, within its session: no other has the same, on later connections either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientCallKey(u64);

/// What the server has asked on this connection.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// The last id that was taken: they are −1, −2 and so on.
    last_id: i64,
    /// Those that are open, by their ids.
    open: BTreeMap<i64, ClientCallKey>,
    by_key: HashMap<ClientCallKey, Asked>,
    /// How many keys were given, on all connections.
    keys: u64,
}

#[derive(Debug)]
struct Asked {
    id: i64,
    event_json: Box<str>,
}

impl Asks {
    fn remove(&mut self, key: ClientCallKey) -> Option<Asked> {
        let asked = self.by_key.remove(&key)?;
        self.open.remove(&asked.id);
        Some(asked)
    }

    /// Begins again, for another connection. Gives those that were open, in their order.
    fn reset(&mut self) -> impl Iterator<Item = ClientCallKey> + use<> {
        self.last_id = 0;
        self.by_key.clear();
        std::mem::take(&mut self.open).into_values().rev()
    }
}

impl<W> ClientConnection<W> {
    /// Answers what the server has [asked](Output::ClientCall), with one JSON value or a failure. Nothing happens if it is
    /// over: answered, cancelled, or its connection gone.
    ///
    /// An answer that is larger than a message may be becomes the failure [`TOO_LARGE`](Code::TOO_LARGE).
    pub fn respond(&mut self, key: ClientCallKey, outcome: Result<&str, Failure>) {
        let Some(Asked { id, event_json }) = self.asks.remove(key) else { return };
        let limit = self.message_limit();
        let frame = match outcome.map(|json| whole(&event_json, json.as_bytes(), id, Kind::Plain)) {
            Ok(frame) if frame.len() <= limit => frame,
            Ok(_) => {
                let error = format!("The answer is larger than a message may be ({limit} bytes)");
                failed(&event_json, &Failure::new(Code::TOO_LARGE, error), id, limit)
            }
            Err(failure) => failed(&event_json, &failure, id, limit),
        };
        self.outputs.push_back(Output::Send(frame.into()));
    }

    /// How many asks wait for a [reply](Self::reply).
    pub fn running_client_calls(&self) -> usize {
        self.asks.open.len()
    }

    /// The server asks.
    pub(super) fn take_ask(&mut self, id: i64, frame: &Frame<'_>) -> Result<(), BadFrame> {
        let next = self.asks.last_id - 1;
        if id != next {
            return Err(BadFrame::OutOfPlace(format!("id {id} for a call of the server; the next is {next}")));
        }
        self.asks.last_id = id;
        // The id says which call is meant; a long name need not come back, and many could wait to.
        let event_json = codec::event_json(&Shortened(&frame.event).to_string());
        if self.asks.open.len() >= self.config.max_asked as usize {
            let error = format!("{} questions are unanswered already", self.asks.open.len());
            let busy = failed(&event_json, &Failure::new(Code::BUSY, error), id, usize::MAX);
            self.outputs.push_back(Output::Send(busy.into()));
            return Ok(());
        }
        self.asks.keys += 1;
        let key = ClientCallKey(self.asks.keys);
        self.asks.open.insert(id, key);
        self.asks.by_key.insert(key, Asked { id, event_json: event_json.into() });
        self.outputs.push_back(Output::ClientCall { key, event: frame.event.as_ref().into(), data: frame.data.into() });
        Ok(())
    }

    /// The server does not want the answer any more.
    pub(super) fn cancel_ask(&mut self, id: i64) -> Result<(), BadFrame> {
        if id < self.asks.last_id {
            return Err(BadFrame::OutOfPlace(format!("a cancel of call {id} of the server, which was never made")));
        }
        // It may have crossed with the answer.
        if let Some(&key) = self.asks.open.get(&id) {
            self.asks.remove(key);
            self.outputs.push_back(Output::ClientCallCancelled { key });
        }
        Ok(())
    }

    /// The connection is gone, or is being closed, and so is whoever asked.
    pub(super) fn end_asks(&mut self) {
        let ended = self.asks.reset().map(|key| Output::ClientCallCancelled { key });
        self.outputs.extend(ended);
    }
}

fn whole(event_json: &str, data: &[u8], id: i64, kind: Kind) -> Vec<u8> {
    let mut frame = Vec::with_capacity(event_json.len() + data.len() + 32);
    codec::begin(&mut frame, event_json);
    frame.extend_from_slice(data);
    codec::end_v1(&mut frame, id, kind);
    frame
}

/// The frame of a failure, cut if it would not fit.
fn failed(event_json: &str, failure: &Failure, id: i64, limit: usize) -> Vec<u8> {
    let frame = |failure: &Failure| {
        let mut data = Vec::with_capacity(128);
        codec::failure(&mut data, failure);
        whole(event_json, &data, id, Kind::Error)
    };
    let whole = frame(failure);
    if whole.len() <= limit {
        return whole;
    }
    // The code says what has happened, so it stays if it is one.
    let code = if failure.code.as_str().len() <= 100 { failure.code.clone() } else { Code::HANDLER };
    frame(&Failure::new(code, Shortened(&failure.error).to_string()))
}
