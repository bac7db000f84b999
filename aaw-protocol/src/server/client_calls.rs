//! Calls in the other direction: the server asks, and the client answers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::connection::ServerConnection;
use super::output::{Input, Output};
use crate::codec::{self, BadFrame, Frame, Kind};
use crate::dialect::Dialect;
use crate::failure::{Code, Failure};
use crate::name::is_reserved;
use crate::text::Shortened;

/// What the maker of an ask knows it by. Any number, but one that no other open ask of this session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientCallKey(pub u64);

/// The asks of one connection.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// The last id that was given: they are −1, −2 and so on.
    last_id: i64,
    /// Those that are open, by their ids.
    open: BTreeMap<i64, Asked>,
    ids: HashMap<ClientCallKey, i64>,
    deadlines: BTreeSet<(Instant, i64)>,
}

#[derive(Debug)]
struct Asked {
    key: ClientCallKey,
    event_json: Box<str>,
    deadline: Option<Instant>,
}

impl Asks {
    fn remove(&mut self, id: i64) -> Option<Asked> {
        let asked = self.open.remove(&id)?;
        self.ids.remove(&asked.key);
        if let Some(deadline) = asked.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        Some(asked)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}

impl ServerConnection {
    /// Asks the client: calls its handler of `event` with `body`, one JSON value. It goes out behind everything that was
    /// said before, and ends with exactly one [`Output::ClientCallDone`], unless it is [cancelled](Self::cancel_client_call) or the
    /// connection ends; that then is the end of all that are open, and nothing is said about them. Without a `deadline`
    /// it may wait forever.
    ///
    /// To be said once the connection [is open](Self::is_open).
    ///
    /// # Errors
    /// It was not asked: a classic client ([`UNREACHABLE`](Code::UNREACHABLE)), a connection that has ended or is not
    /// open yet ([`NO_CONNECTION`](Code::NO_CONNECTION)), a name of aaw's own ([`NOT_ALLOWED`](Code::NOT_ALLOWED)), a
    /// body larger than a message may be ([`TOO_LARGE`](Code::TOO_LARGE)), as many open asks as
    /// [may be](super::ServerConfig::asks) or a client that does not read what it is sent ([`BUSY`](Code::BUSY)), a deadline
    /// that has passed ([`TIMEOUT`](Code::TIMEOUT)).
    pub fn client_call(
        &mut self,
        now: Instant,
        key: ClientCallKey,
        event: &str,
        body: &str,
        deadline: Option<Instant>,
    ) -> Result<(), Failure> {
        debug_assert!(!self.asks.ids.contains_key(&key), "two open asks have one key");
        if self.dialect == Dialect::Classic {
            return Err(Failure::new(Code::UNREACHABLE, "This client cannot be asked: it speaks the classic dialect"));
        }
        if self.closed || !self.is_open() {
            let error = if self.closed { "The connection has ended" } else { "The connection is not open yet" };
            return Err(Failure::new(Code::NO_CONNECTION, error));
        }
        if is_reserved(event) {
            return Err(Failure::new(Code::NOT_ALLOWED, format!("{} is a name of aaw's own", Shortened(event))));
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(not_in_time());
        }
        let most = self.config.asks as usize;
        if self.asks.open.len() >= most {
            return Err(Failure::new(Code::BUSY, format!("The client has {most} unanswered questions already")));
        }
        if self.unsent >= self.config.unsent {
            return Err(Failure::new(Code::BUSY, "The client does not read what it is sent"));
        }
        let id = self.asks.last_id - 1;
        let event_json = codec::event_json(event).into_boxed_str();
        let mut frame = Vec::with_capacity(event_json.len() + body.len() + 24);
        codec::begin(&mut frame, &event_json);
        frame.extend_from_slice(body.as_bytes());
        codec::end_v1(&mut frame, id, Kind::Plain);
        let most = self.config.limits.message as usize;
        if frame.len() > most {
            let error = format!("The data of {} is larger than a message may be ({most} bytes)", Shortened(event));
            return Err(Failure::new(Code::TOO_LARGE, error));
        }
        self.asks.last_id = id;
        self.asks.ids.insert(key, id);
        if let Some(deadline) = deadline {
            self.asks.deadlines.insert((deadline, id));
        }
        self.asks.open.insert(id, Asked { key, event_json, deadline });
        self.send(frame.into());
        Ok(())
    }

    /// Nobody waits for this ask any more: it ends without an output, and the client is told. Nothing if it is over.
    pub fn cancel_client_call(&mut self, key: ClientCallKey) {
        if let Some(&id) = self.asks.ids.get(&key) {
            self.give_up_ask(id);
        }
    }

    /// How many asks the client has not answered.
    pub fn client_calls_in_flight(&self) -> usize {
        self.asks.open.len()
    }

    fn give_up_ask(&mut self, id: i64) -> Option<ClientCallKey> {
        let Asked { key, event_json, .. } = self.asks.remove(id)?;
        let mut frame = Vec::with_capacity(event_json.len() + 40);
        codec::begin(&mut frame, &event_json);
        frame.extend_from_slice(b"null");
        codec::end_v1(&mut frame, id, Kind::Cancel);
        self.send(frame.into());
        Some(key)
    }

    pub(super) fn time_out_asks(&mut self, now: Instant) {
        while let Some(&(deadline, id)) = self.asks.deadlines.first()
            && deadline <= now
        {
            match self.give_up_ask(id) {
                Some(key) => self.outputs.push_back(Output::ClientCallDone { key, outcome: Err(not_in_time()) }),
                // Cannot be; but what is due must go, or this would never end.
                None => _ = self.asks.deadlines.pop_first(),
            }
        }
    }

    /// The client's answer, or its failure.
    pub(super) fn take_answer<'a>(&mut self, id: i64, text: &str, frame: &Frame<'_>) -> Result<Input<'a>, BadFrame> {
        if id < self.asks.last_id {
            return Err(BadFrame::OutOfPlace(format!("an answer with id {id} to a call that was never made")));
        }
        if !frame.checked {
            codec::decode_strictly(text)?;
        }
        // What is over may have ended while this was on its way.
        if let Some(Asked { key, .. }) = self.asks.remove(id) {
            let outcome = match frame.kind {
                Kind::Error => Err(serde_json::from_str(frame.data).unwrap_or_else(|error| {
                    let error = Shortened(&error.to_string()).to_string();
                    Failure::new(Code::BAD_FRAME, format!("The client failed, and its error cannot be read: {error}"))
                })),
                _ => Ok(frame.data.into()),
            };
            self.outputs.push_back(Output::ClientCallDone { key, outcome });
        }
        Ok(Input::Handled)
    }
}

fn not_in_time() -> Failure {
    Failure::new(Code::TIMEOUT, "The client did not answer in time")
}
