//! A call that came over HTTP, step by step: the same for an answer, a plain event and a stream.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aaw_event::host::Caller;
use aaw_protocol::server::Outcome;
use aaw_protocol::{Code, Failure};
use uuid::Uuid;

use crate::dispatch::{Ask, Asker, Begun, HandlerStream, Next, NoUpload, Pending, Shape};
use crate::hub::{Answering, Hub};
use crate::services::{AtHome, Behalf};
use crate::shared::Shared;

/// What a poll gave.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// An item; its JSON was appended.
    Item,
    /// Nothing more comes.
    End,
    /// It failed, perhaps after items.
    Failed(Failure),
}

/// A call that runs. Dropping it drops its handler.
pub(super) struct Run {
    state: State,
    /// Bytes that an item may have.
    most: usize,
}

enum State {
    /// It was done when it was begun.
    Done(Vec<u8>, Outcome),
    Pending(Box<Pending>),
    Stream(Box<HandlerStream>),
    /// Nothing more comes.
    Over,
}

impl Run {
    /// Finds the event and polls its handler once, unless it is a stream that is read item by item.
    pub(super) fn begin(shared: &Shared, name: &str, body: &str, shape: Shape) -> Result<Self, Failure> {
        let most = shared.config.max_message;
        let who = Arc::new(Requester { id: Uuid::new_v4(), hub: Arc::clone(&shared.hub), max_message: most });
        let ask = Ask { name, body, shape };
        let state = match shared.dispatch.begin::<_, NoUpload>(ask, Vec::new(), &who, None) {
            Begun::Done(answer, outcome) => State::Done(answer, outcome),
            Begun::Pending(pending) => State::Pending(Box::new(pending)),
            Begun::Stream(stream) => State::Stream(Box::new(stream)),
            Begun::NotJson => return Err(Failure::new(Code::BAD_BODY, "The body is no JSON")),
        };
        Ok(Self { state, most })
    }

    /// Whether items may follow upon each other; otherwise there is one, or none.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.state, State::Stream(_))
    }

    /// Whether it is known that nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The next step. The JSON of an item is appended to `out`, which is otherwise left as it was.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Step> {
        let outcome = match &mut self.state {
            State::Stream(stream) => match ready!(stream.poll_next(cx, out, self.most)) {
                Next::Item => return Poll::Ready(Step::Item),
                Next::Over(outcome) => outcome,
            },
            State::Pending(pending) => {
                let (answer, outcome) = ready!(std::pin::Pin::new(&mut **pending).poll(cx));
                append(out, answer, &outcome);
                outcome
            }
            State::Done(answer, outcome) => {
                append(out, std::mem::take(answer), outcome);
                std::mem::replace(outcome, Outcome::Ended)
            }
            State::Over => Outcome::Ended,
        };
        // The handler is dropped, at the latest, here.
        self.state = State::Over;
        Poll::Ready(match outcome {
            Outcome::Answered => Step::Item,
            Outcome::Ran | Outcome::Ended => Step::End,
            Outcome::Failed(failure) | Outcome::Refused(failure) => Step::Failed(failure),
        })
    }
}

fn append(out: &mut Vec<u8>, answer: Vec<u8>, outcome: &Outcome) {
    if !matches!(outcome, Outcome::Answered) {
    } else if out.is_empty() {
        *out = answer;
    } else {
        out.extend_from_slice(&answer);
    }
}

/// Who calls over HTTP: nobody whom anything could be sent to.
struct Requester {
    id: Uuid,
    hub: Arc<Hub>,
    max_message: usize,
}

impl Asker for Requester {
    fn uuid(&self) -> Uuid {
        self.id
    }

    fn client_key(&self) -> Option<&str> {
        None
    }
}

impl Caller for Requester {
    fn id(&self) -> String {
        self.id.to_string()
    }

    fn send_event(&self, _event: &str, _data: &str) -> Result<(), Failure> {
        Err(Failure::new(Code::NO_CONNECTION, "A call over HTTP has no connection that an event could be sent to"))
    }

    fn broadcast(&self, data: &str, _include_self: bool) {
        self.hub.broadcast(data, self.max_message, None);
    }

    fn ask(&self, op: &str, args: &str) -> Result<String, Failure> {
        if op == "identity" {
            return Ok(self.identity_json().unwrap_or_else(|| "null".into()));
        }
        self.behalf().ask(op, args)
    }

    fn ask_async(self: Arc<Self>, op: String, args: String) -> Answering {
        let runtime = self.hub.runtime();
        Box::pin(AtHome::new(runtime, async move { self.behalf().ask_async(&op, &args).await }))
    }
}

impl Requester {
    fn behalf(&self) -> Behalf<'_> {
        Behalf { hub: &self.hub, connection: None, most: self.max_message }
    }
}
