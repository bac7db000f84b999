//! Encodes the result of a call for its caller.

use std::borrow::Cow;

use crate::codec::{self, Kind};
use crate::failure::Failure;
use crate::hello;

/// The result of a call.
#[derive(Debug)]
pub enum Completion {
    /// The handler returned a response, which was appended as JSON to the frame from
    /// [`begin_response`](super::Call::begin_response).
    Responded,
    /// A one-way handler finished; it has no response.
    OneWayDone,
    /// The stream of a handler ended after its items were sent one by one. For a caller that does not read items, the
    /// same as [`OneWayDone`](Self::OneWayDone).
    StreamEnded,
    /// The handler ran and failed.
    Failed(Failure),
    /// The handler was not run, for this reason.
    Refused(Failure),
}

/// How a caller reads the response of its call. The caller chooses it, whatever kind of handler the event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseMode {
    /// One response. The items of a stream are collected into one array.
    Single,
    /// Items, within the credit that the caller grants, then an end.
    Items,
    /// Each item as a push, without an end. The mode of a classic call without an id.
    Pushes,
    /// Nothing. The response or the items are dropped.
    Nothing,
}

/// How the response of a call is encoded: the dialect, the id and the mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ResponseFormat<'a> {
    /// A v1 call with an id and without credit: one response.
    Single { id: i64 },
    /// A v1 call with an id and credit: items, `credit` of them in total, then an end.
    Items { id: i64, credit: u64 },
    /// A v1 frame without an id: nothing, except for a refusal.
    Nothing,
    /// A classic call. Its id is any JSON string or number.
    Classic { id: Option<Cow<'a, str>> },
}

impl ResponseFormat<'_> {
    /// Returns the format for a v1 call: items if the call states credit.
    pub(super) fn v1(id: i64, credit: Option<u64>) -> Self {
        match credit {
            Some(credit) => Self::Items { id, credit },
            None => Self::Single { id },
        }
    }

    pub(super) fn into_owned(self) -> ResponseFormat<'static> {
        match self {
            Self::Single { id } => ResponseFormat::Single { id },
            Self::Items { id, credit } => ResponseFormat::Items { id, credit },
            Self::Nothing => ResponseFormat::Nothing,
            Self::Classic { id } => ResponseFormat::Classic { id: id.map(|id| Cow::Owned(id.into_owned())) },
        }
    }

    /// Returns the id of a v1 call.
    pub(super) fn v1_id(&self) -> Option<i64> {
        match self {
            Self::Single { id } | Self::Items { id, .. } => Some(*id),
            Self::Nothing | Self::Classic { .. } => None,
        }
    }

    /// Whether the handler's response is sent to the caller.
    pub(super) fn expects_response(&self) -> bool {
        *self != Self::Nothing
    }

    /// Completes the frame of a response, or returns `None` if nothing is sent. `frame` starts with the `prefix_len`
    /// bytes from [`begin_response`](super::Call::begin_response), followed by the response if there is one.
    pub(super) fn frame(&self, mut frame: Vec<u8>, prefix_len: usize, completion: &Completion) -> Option<Vec<u8>> {
        match (completion, self) {
            (Completion::Refused(failure), Self::Nothing) => {
                return Some(refused_one_way_frame(&frame[..prefix_len], failure));
            }
            (_, Self::Nothing) | (Completion::OneWayDone | Completion::StreamEnded, Self::Classic { id: None }) => {
                return None;
            }
            (Completion::OneWayDone | Completion::StreamEnded, Self::Items { .. }) => frame.truncate(prefix_len),
            (Completion::OneWayDone | Completion::StreamEnded, _) => {
                frame.truncate(prefix_len);
                frame.extend_from_slice(b"null");
            }
            (Completion::Responded, _) => {}
            (Completion::Failed(failure) | Completion::Refused(failure), format) => {
                frame.truncate(prefix_len);
                match format {
                    Self::Classic { .. } => codec::classic_failure(&mut frame, failure),
                    _ => codec::failure(&mut frame, failure),
                }
            }
        }
        let failed = matches!(completion, Completion::Failed(_) | Completion::Refused(_));
        match self {
            Self::Single { id } => codec::end_v1(&mut frame, *id, if failed { Kind::Error } else { Kind::Unmarked }),
            Self::Items { id, .. } if failed => codec::end_v1(&mut frame, *id, Kind::Error),
            Self::Items { id, .. } if matches!(completion, Completion::OneWayDone | Completion::StreamEnded) => {
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

    /// Appends the end of a response's frame, which begins at `start` of `out`. Returns `false`, and leaves `out` unchanged, if
    /// the completion is not [`Responded`](Completion::Responded), if the caller reads items or expects no response, or if the
    /// frame would exceed `max_bytes`.
    #[inline]
    pub(super) fn end_response(
        &self,
        out: &mut Vec<u8>,
        start: usize,
        max_bytes: usize,
        completion: &Completion,
    ) -> bool {
        if !matches!(completion, Completion::Responded) {
            return false;
        }
        let end = out.len();
        match self {
            Self::Single { id } => codec::end_v1(out, *id, Kind::Unmarked),
            Self::Classic { id: Some(id) } => codec::end_with_id(out, id),
            Self::Classic { id: None } => codec::end(out),
            Self::Items { .. } | Self::Nothing => return false,
        }
        let fits = out.len() - start <= max_bytes;
        if !fits {
            out.truncate(end);
        }
        fits
    }

    /// Returns the frame that follows that of [`frame`](Self::frame), if one does: the end of the stream after a
    /// response that is sent as its only item.
    pub(super) fn end_frame(&self, prefix: &[u8], completion: &Completion) -> Option<Vec<u8>> {
        let (Self::Items { id, .. }, Completion::Responded) = (self, completion) else { return None };
        let mut frame = prefix.to_vec();
        frame.extend_from_slice(b"null");
        codec::end_v1(&mut frame, *id, Kind::End);
        Some(frame)
    }

    /// Returns how the caller reads the response.
    pub(super) fn response_mode(&self) -> ResponseMode {
        match self {
            Self::Single { .. } | Self::Classic { id: Some(_) } => ResponseMode::Single,
            Self::Items { .. } => ResponseMode::Items,
            Self::Classic { id: None } => ResponseMode::Pushes,
            Self::Nothing => ResponseMode::Nothing,
        }
    }
}

/// Returns the `aaw/error` frame for a one-way send that was refused. It names the event, because the sender has no id
/// to match the error with. `prefix` is `["event",`.
fn refused_one_way_frame(prefix: &[u8], failure: &Failure) -> Vec<u8> {
    let mut frame = Vec::with_capacity(128);
    codec::begin(&mut frame, &codec::event_json(hello::ERROR));
    codec::failure(&mut frame, failure);
    // Replaces the closing brace of the failure.
    frame.pop();
    frame.extend_from_slice(b",\"event\":");
    frame.extend_from_slice(&prefix[1..prefix.len() - 1]);
    frame.extend_from_slice(b"}]");
    frame
}
