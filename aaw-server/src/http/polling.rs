//! Streams that are read by polling: each request returns the next few items, and a cursor for the next request.

use std::future::poll_fn;
use std::mem::replace;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aaw_protocol::{Code, Failure, clock};
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tokio::time::Instant;

use super::cursors::{Cursor, CursorError, CursorTable};
use super::error::HttpError;
use super::request::{PollRequest, unknown_cursor};
use super::response::json_response;
use super::run::{CallStep, HttpCall};
use crate::net::context::ServerContext;
use crate::net::shutdown_phase::ShutdownPhase;

/// The streams of a server that are read by polling.
pub(super) struct PollingStreams {
    shared: Arc<ServerContext>,
    state: Mutex<PollingState>,
}

#[derive(Default)]
struct PollingState {
    cursors: CursorTable<ParkedStream>,
    /// Whether a task removes expired streams.
    has_expiry_task: bool,
}

/// A stream between two requests. Its handler is not polled.
#[derive(Default)]
struct ParkedStream {
    /// `None` once the call has ended.
    call: Option<HttpCall>,
    /// An item that did not fit into the last response.
    next_item: Option<Vec<u8>>,
    /// The failure with which the call ended, to be returned after the items.
    failure: Option<Failure>,
}

/// A stream that a request is reading. Dropped without parking the stream, for example because the client disconnected,
/// it ends the stream.
struct PollGuard<'a> {
    streams: &'a Arc<PollingStreams>,
    event: &'a str,
    /// The cursor of the request.
    used: Option<Cursor>,
    is_parked: bool,
}

impl PollingStreams {
    pub(super) fn new(shared: Arc<ServerContext>) -> Arc<Self> {
        Arc::new(Self { shared, state: Mutex::default() })
    }

    /// Responds to a polling request. `event` identifies both the event and its caller: a cursor is valid for the two
    /// that it was issued for. `begin` starts the call of a first request.
    pub(super) async fn respond(
        self: &Arc<Self>,
        event: &str,
        poll: PollRequest,
        begin: impl FnOnce() -> Result<HttpCall, Failure>,
    ) -> Result<Response, HttpError> {
        let (guard, mut stream) = match poll.cursor {
            None => self.open(event, begin)?,
            Some(cursor) => self.resume(event, cursor)?,
        };
        let is_stream = stream.call.as_ref().is_none_or(HttpCall::is_stream);
        let items = self.read_items(&mut stream, poll.take).await?;
        if items.is_empty() {
            if let Some(failure) = stream.failure {
                return Err(failure.into());
            }
            if !is_stream && stream.call.is_none() {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
        }
        let mut body = b"{\"items\":[".to_vec();
        body.extend_from_slice(&items);
        body.push(b']');
        if stream.call.is_some() || stream.next_item.is_some() || stream.failure.is_some() {
            let cursor = Cursor::random().ok_or_else(|| {
                tracing::error!("creating a cursor failed: the system's random number generator is unavailable");
                HttpError::from(Failure::internal(Code::INTERNAL))
            })?;
            guard.park(cursor, stream);
            body.extend_from_slice(format!(",\"cursor\":\"{cursor}\"").as_bytes());
        }
        body.push(b'}');
        Ok(json_response(Body::from(body)))
    }

    /// Begins a stream, if the limit allows one more.
    fn open<'a>(
        self: &'a Arc<Self>,
        event: &'a str,
        begin: impl FnOnce() -> Result<HttpCall, Failure>,
    ) -> Result<(PollGuard<'a>, ParkedStream), HttpError> {
        if !self.lock().cursors.open(self.shared.config.http.max_cursors) {
            let error = "The limit of streams that are read by polling is reached; try again later, or read the event \
                         as a stream (Accept: text/event-stream)";
            return Err(Failure::new(Code::BUSY, error).into());
        }
        // Created before the call is begun, so that an error there counts the stream off.
        let guard = self.guard(event, None);
        Ok((guard, ParkedStream { call: Some(begin()?), ..ParkedStream::default() }))
    }

    /// Takes a stream out of the table.
    fn resume<'a>(
        self: &'a Arc<Self>,
        event: &'a str,
        cursor: Cursor,
    ) -> Result<(PollGuard<'a>, ParkedStream), HttpError> {
        let stream = self.lock().cursors.take(cursor, event).map_err(|error| match error {
            CursorError::Unknown => unknown_cursor(),
            CursorError::InUse => Failure::new(Code::BUSY, "Another request is reading with this cursor").into(),
        })?;
        Ok((self.guard(event, Some(cursor)), stream))
    }

    fn guard<'a>(self: &'a Arc<Self>, event: &'a str, used: Option<Cursor>) -> PollGuard<'a> {
        PollGuard { streams: self, event, used, is_parked: false }
    }

    /// Reads up to `max` items, separated by commas. Returns those read so far when the time of a poll is over, or when
    /// the next one would exceed the size of a message.
    async fn read_items(&self, stream: &mut ParkedStream, max: usize) -> Result<Vec<u8>, HttpError> {
        let config = &self.shared.config;
        let deadline = clock::after(Instant::now().into_std(), config.http.poll_timeout);
        let mut deadline = pin!(tokio::time::sleep_until(deadline.into()));
        let mut aborting = pin!(self.shared.shutdown.reached(ShutdownPhase::EndingStreams));
        let (mut items, mut count) = (Vec::new(), 0);
        while count < max {
            let item = match (stream.next_item.take(), &mut stream.call) {
                (Some(item), _) => item,
                (None, None) => break,
                (None, Some(call)) => {
                    let mut item = Vec::new();
                    let step = tokio::select! {
                        biased;
                        () = &mut aborting => return Err(HttpError::aborted_stopping()),
                        step = poll_fn(|cx| call.poll(cx, &mut item)) => step,
                        () = &mut deadline => break,
                    };
                    if call.is_finished() || step != CallStep::Item {
                        stream.call = None;
                    }
                    match step {
                        CallStep::Item => item,
                        CallStep::End => break,
                        CallStep::Failed(failure) => {
                            stream.failure = Some(failure);
                            break;
                        }
                    }
                }
            };
            // The first item is returned whatever its size, or it could never be read.
            if count > 0 && items.len() + item.len() >= config.max_message_bytes {
                stream.next_item = Some(item);
                break;
            }
            if count > 0 {
                items.push(b',');
            }
            items.extend_from_slice(&item);
            count += 1;
            // A handler that is always ready leaves time for other tasks.
            tokio::task::coop::consume_budget().await;
        }
        Ok(items)
    }

    /// Drops parked streams when they expire, until none is left.
    async fn expire(self: Arc<Self>) {
        loop {
            let due = {
                let mut state = self.lock();
                let due = state.cursors.poll_timeout();
                state.has_expiry_task = due.is_some();
                due
            };
            let Some(due) = due else { return };
            let expired = tokio::select! {
                biased;
                // A draining server accepts no further requests, so no parked stream can be resumed.
                () = self.shared.shutdown.reached(ShutdownPhase::Draining) => self.lock().cursors.clear(),
                () = tokio::time::sleep_until(due.into()) => {
                    self.lock().cursors.handle_timeout(Instant::now().into_std())
                }
            };
            // Handlers are dropped here, where the lock is not held.
            drop(expired);
        }
    }

    fn lock(&self) -> MutexGuard<'_, PollingState> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PollGuard<'_> {
    /// Parks the stream for the next request, which will name `cursor`.
    fn park(mut self, cursor: Cursor, stream: ParkedStream) {
        self.is_parked = true;
        let idle = self.streams.shared.config.http.cursor_idle_timeout;
        let mut state = self.streams.lock();
        state.cursors.park(Instant::now().into_std(), idle, cursor, self.used, self.event, stream);
        if !replace(&mut state.has_expiry_task, true) {
            tokio::spawn(Arc::clone(self.streams).expire());
        }
    }
}

impl Drop for PollGuard<'_> {
    fn drop(&mut self) {
        if !self.is_parked {
            self.streams.lock().cursors.close(self.used);
        }
    }
}
