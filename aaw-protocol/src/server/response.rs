//! What an outcome looks like to the one who asked.

use std::borrow::Cow;

use crate::codec::{self, Kind};
use crate::failure::Failure;
use crate::hello;

/// What became of a call.
#[derive(Debug)]
pub enum Completion {
    /// The handler answered: its answer, as JSON, was appended to the frame that the call began.
    Responded,
    /// A plain event has run; it answers nothing.
    OneWayDone,
    /// A stream is over; its items went out before, one by one. To who reads no stream, as [`OneWayDone`](Self::OneWayDone).
    StreamEnded,
    /// The handler ran and failed.
    Failed(Failure),
    /// The handler was not run, and this is why.
    Refused(Failure),
}

/// What a caller reads of what its call yields. The caller chooses it, whatever the event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseMode {
    /// One answer. What a stream yields is gathered to one array.
    Single,
    /// Items, as many as it has credit for, and an end.
    Items,
    /// Items, each as a push of its own, without an end: a classic caller whose call has no id.
    Pushes,
    /// Nothing. What is yielded is dropped.
    Nothing,
}

/// How a caller asked, and so how it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    /// v1, with an id: one answer.
    Once { id: i64 },
    /// v1, with an id and credit: items, as many in all as there is credit for, and an end.
    Items { id: i64, credit: u64 },
    /// v1, without an id: nothing, but for what was refused.
    Nothing,
    /// Classic, with whatever the client took for an id.
    Classic { id: Option<Cow<'a, str>> },
}

impl Reply<'_> {
    /// To a v1 call: one that says how much credit it has reads items.
    pub(super) fn v1(id: i64, credit: Option<u64>) -> Self {
        match credit {
            Some(credit) => Self::Items { id, credit },
            None => Self::Once { id },
        }
    }

    pub(super) fn into_owned(self) -> Reply<'static> {
        match self {
            Self::Once { id } => Reply::Once { id },
            Self::Items { id, credit } => Reply::Items { id, credit },
            Self::Nothing => Reply::Nothing,
            Self::Classic { id } => Reply::Classic { id: id.map(|id| Cow::Owned(id.into_owned())) },
        }
    }

    /// Whether a handler's answer is worth keeping.
    pub(super) fn wants_answer(&self) -> bool {
        *self != Self::Nothing
    }

    /// Makes the frame that says `outcome`, if one is due. `frame` is what [`Call::begin_response`](super::Call) began,
    /// `begun` how long that beginning is; behind it stands the answer if there is one.
    pub(super) fn frame(&self, mut frame: Vec<u8>, begun: usize, outcome: &Completion) -> Option<Vec<u8>> {
        match (outcome, self) {
            (Completion::Refused(failure), Self::Nothing) => return Some(refused_send(&frame[..begun], failure)),
            (_, Self::Nothing) | (Completion::OneWayDone | Completion::StreamEnded, Self::Classic { id: None }) => {
                return None;
            }
            (Completion::OneWayDone | Completion::StreamEnded, Self::Items { .. }) => frame.truncate(begun),
            (Completion::OneWayDone | Completion::StreamEnded, _) => {
                frame.truncate(begun);
                frame.extend_from_slice(b"null");
            }
            (Completion::Responded, _) => {}
            (Completion::Failed(failure) | Completion::Refused(failure), reply) => {
                frame.truncate(begun);
                match reply {
                    Self::Classic { .. } => codec::classic_failure(&mut frame, failure),
                    _ => codec::failure(&mut frame, failure),
                }
            }
        }
        let failed = matches!(outcome, Completion::Failed(_) | Completion::Refused(_));
        match self {
            Self::Once { id } => codec::end_v1(&mut frame, *id, if failed { Kind::Error } else { Kind::Plain }),
            Self::Items { id, .. } if failed => codec::end_v1(&mut frame, *id, Kind::Error),
            Self::Items { id, .. } if matches!(outcome, Completion::OneWayDone | Completion::StreamEnded) => {
                frame.extend_from_slice(b"null");
                codec::end_v1(&mut frame, *id, Kind::End);
            }
            Self::Items { id, .. } => codec::end_v1(&mut frame, *id, Kind::Item),
            Self::Classic { id: Some(id) } => codec::end_with_id(&mut frame, id),
            Self::Classic { id: None } => codec::end(&mut frame),
            Self::Nothing => unreachable!("returned above"),
        }
        Some(frame)
    }

    /// The frame after that of [`frame`](Self::frame): the end of a stream of one item.
    pub(super) fn end(&self, begun: &[u8], outcome: &Completion) -> Option<Vec<u8>> {
        let (Self::Items { id, .. }, Completion::Responded) = (self, outcome) else { return None };
        let mut frame = begun.to_vec();
        frame.extend_from_slice(b"null");
        codec::end_v1(&mut frame, *id, Kind::End);
        Some(frame)
    }

    /// What the caller reads.
    pub(super) fn response_mode(&self) -> ResponseMode {
        match self {
            Self::Once { .. } | Self::Classic { id: Some(_) } => ResponseMode::Single,
            Self::Items { .. } => ResponseMode::Items,
            Self::Classic { id: None } => ResponseMode::Pushes,
            Self::Nothing => ResponseMode::Nothing,
        }
    }
}

/// A send that was not taken: its sender waits for nothing, so it is told by `aaw/error`, with the event.
fn refused_send(begun: &[u8], failure: &Failure) -> Vec<u8> {
    let mut frame = Vec::with_capacity(128);
    codec::begin(&mut frame, &codec::event_json(hello::ERROR));
    codec::failure(&mut frame, failure);
    frame.pop();
    frame.extend_from_slice(b",\"event\":");
    // What was begun is `["event",`.
    frame.extend_from_slice(&begun[1..begun.len() - 1]);
    frame.extend_from_slice(b"}]");
    frame
}
