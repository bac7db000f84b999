//! Streams that are read by polling: each request returns the next few items, and a cursor for the next request.

use std::future::poll_fn;
use std::mem::replace;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use aaw_protocol::{Code, Failure, clock};
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::cursors::{Cursor, CursorError, CursorLimits, CursorTable, OpenError, Opened, Peer, Reading};
use super::error::HttpError;
use super::request::{PollRequest, unknown_cursor};
use super::response::json_response;
use super::run::{CallStep, HttpCall};
use crate::generation::replaced;
use crate::memory_budget::{ConnectionBudget, HeldBytes};
use crate::net::context::ServerContext;
use crate::net::counted_bytes::counted;
use crate::net::shutdown_phase::ShutdownPhase;
use crate::throttle::log_throttled;

/// The streams of a server that are read by polling.
pub(super) struct PollingStreams {
    shared: Arc<ServerContext>,
    state: Mutex<PollingState>,
    /// Notified when a parked stream is refused because of the memory that it holds, and when its events were replaced long ago.
    to_end: Arc<StreamsToEnd>,
}

#[derive(Default)]
struct StreamsToEnd(Notify);

impl Wake for StreamsToEnd {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[derive(Default)]
struct PollingState {
    cursors: CursorTable<ParkedStream>,
    /// Whether a task removes expired streams.
    has_expiry_task: bool,
}

/// A stream between two requests. Its handler is not polled.
struct ParkedStream {
    /// What the stream holds between requests, for the address that has begun it.
    memory: Arc<ConnectionBudget>,
    /// Counts `next_item`.
    held: HeldBytes,
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
    reading: Reading,
}

impl PollingStreams {
    pub(super) fn new(shared: Arc<ServerContext>) -> Arc<Self> {
        Arc::new(Self { shared, state: Mutex::default(), to_end: Arc::default() })
    }

    /// Responds to a polling request. `event` identifies both the event and its caller: a cursor is valid for the two
    /// that it was issued for. `begin` starts the call of a first request.
    ///
    /// `peer` is the one of this request; a stream belongs to the peer that has begun it.
    ///
    /// `memory` counts the response. The stream has a budget of its own, with which `begin` starts its call.
    pub(super) async fn respond(
        self: &Arc<Self>,
        event: &str,
        peer: Peer,
        poll: PollRequest,
        memory: &Arc<ConnectionBudget>,
        begin: impl FnOnce(&Arc<ConnectionBudget>) -> Result<HttpCall, Failure>,
    ) -> Result<Response, HttpError> {
        let (guard, mut stream) = match poll.cursor {
            None => self.open(event, peer, memory.of_same_address(), begin)?,
            Some(cursor) => self.resume(event, cursor)?,
        };
        let is_stream = stream.call.as_ref().is_none_or(HttpCall::is_stream);
        let mut body = b"{\"items\":[".to_vec();
        let evicted = guard.reading.evicted.notified();
        let count = tokio::select! {
            biased;
            () = evicted => return Err(evicted_cursor()),
            count = self.read_items(&mut stream, poll.take, &mut body, memory) => count?,
        };
        if count == 0 {
            if let Some(failure) = stream.failure {
                return Err(failure.into());
            }
            if !is_stream && stream.call.is_none() {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
        }
        body.push(b']');
        if stream.call.is_some() || stream.next_item.is_some() || stream.failure.is_some() {
            let cursor = Cursor::random().ok_or_else(|| {
                log_throttled!(error, "creating a cursor failed: the system's random number generator is unavailable");
                HttpError::from(Failure::internal(Code::INTERNAL))
            })?;
            guard.park(cursor, stream)?;
            body.extend_from_slice(format!(",\"cursor\":\"{cursor}\"").as_bytes());
        }
        body.push(b'}');
        Ok(json_response(Body::from(counted(body, memory))))
    }

    /// Begins a stream, if the limits allow one more.
    fn open<'a>(
        self: &'a Arc<Self>,
        event: &'a str,
        peer: Peer,
        memory: Arc<ConnectionBudget>,
        begin: impl FnOnce(&Arc<ConnectionBudget>) -> Result<HttpCall, Failure>,
    ) -> Result<(PollGuard<'a>, ParkedStream), HttpError> {
        let running = self.shared.config.load();
        let limits = CursorLimits { total: running.http.max_cursors, peer: running.http.max_cursors_per_address };
        drop(running);
        let opened = self.lock().cursors.open(Instant::now().into_std(), peer, limits);
        let Opened { reading, has_evicted, evicted } = opened.map_err(|error| refusal(error, limits))?;
        if has_evicted && let Some(suppressed) = self.shared.dispatch.throttles.evicted_cursors.pass() {
            let max = limits.total;
            tracing::warn!(
                suppressed,
                "the limit of {max} streams that are read by polling is reached: the client with the most lost its oldest"
            );
        }
        // Its handler is dropped here, where the lock is not held.
        drop(evicted);
        // Created before the call is begun, so that an error there counts the stream off.
        let guard = PollGuard { streams: self, event, reading };
        let (call, held) = (Some(begin(&memory)?), HeldBytes::new(&memory));
        Ok((guard, ParkedStream { memory, held, call, next_item: None, failure: None }))
    }

    /// Takes a stream out of the table.
    fn resume<'a>(
        self: &'a Arc<Self>,
        event: &'a str,
        cursor: Cursor,
    ) -> Result<(PollGuard<'a>, ParkedStream), HttpError> {
        let taken = self.lock().cursors.take(cursor, event);
        let (reading, stream) = taken.map_err(|error| match error {
            CursorError::Unknown => unknown_cursor(),
            CursorError::InUse => Failure::new(Code::BUSY, "Another request is reading with this cursor").into(),
            CursorError::Evicted => evicted_cursor(),
        })?;
        Ok((PollGuard { streams: self, event, reading }, stream))
    }

    /// Appends up to `max` items, separated by commas, and returns their number. Ends when the time of a poll is over, or
    /// when the next item would exceed the size of a message.
    async fn read_items(
        &self,
        stream: &mut ParkedStream,
        max: usize,
        items: &mut Vec<u8>,
        memory: &Arc<ConnectionBudget>,
    ) -> Result<usize, HttpError> {
        let (timeout, max_body) = {
            let config = self.shared.config.load();
            (config.http.poll_timeout, config.max_message_bytes)
        };
        let deadline = clock::after(Instant::now().into_std(), timeout);
        let mut deadline = pin!(tokio::time::sleep_until(deadline.into()));
        let mut aborting = pin!(self.shared.shutdown.reached(ShutdownPhase::EndingStreams));
        let (mut count, mut held) = (0, HeldBytes::new(memory));
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
            if count > 0 && items.len() + item.len() >= max_body {
                stream.next_item = Some(item);
                break;
            }
            if count > 0 {
                items.push(b',');
            }
            items.extend_from_slice(&item);
            held.set(items.capacity());
            count += 1;
            // A handler that is always ready leaves time for other tasks.
            tokio::task::coop::consume_budget().await;
        }
        stream.held.set(stream.next_item.as_ref().map_or(0, Vec::capacity));
        Ok(count)
    }

    /// Removes the parked streams that are refused because of the memory that they hold. From those whose events were replaced
    /// long ago, takes the calls. Both are to be dropped without the lock.
    fn take_ended(&self) -> (Vec<ParkedStream>, Vec<HttpCall>) {
        let mut replaced_calls = Vec::new();
        let refused = self.lock().cursors.remove_if(|stream| {
            if stream.memory.is_refused() {
                return true;
            }
            if self.watch(stream).is_ready() {
                stream.failure = Some(replaced());
                replaced_calls.extend(stream.call.take().inspect(HttpCall::count_replaced));
            }
            false
        });
        (refused, replaced_calls)
    }

    /// Has the expiry task notified when the stream is refused or its events were replaced long ago. Ready if they were already.
    fn watch(&self, stream: &mut ParkedStream) -> Poll<()> {
        let held = stream.next_item.as_ref().map_or(0, Vec::capacity);
        let waker = Waker::from(Arc::clone(&self.to_end));
        stream.memory.wake_if_refused(held, &waker);
        stream.call.as_mut().map_or(Poll::Pending, |call| call.poll_replaced(&mut Context::from_waker(&waker)))
    }

    /// Drops parked streams when they expire, or are refused, and the calls of those whose events were replaced long ago, until
    /// no stream is left.
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
                () = self.to_end.0.notified() => {
                    let (refused, replaced_calls) = self.take_ended();
                    drop(replaced_calls);
                    refused
                }
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
    /// Parks the stream for the next request, which will name `cursor`. Fails if the stream was evicted.
    fn park(self, cursor: Cursor, mut stream: ParkedStream) -> Result<(), HttpError> {
        let idle = self.streams.shared.config.load().http.cursor_idle_timeout;
        let parked = {
            let mut state = self.streams.lock();
            // Under the lock: the expiry task, which takes the call of a stream that is to end, finds it in the table.
            if self.streams.watch(&mut stream).is_ready() {
                self.streams.to_end.0.notify_one();
            }
            let now = Instant::now().into_std();
            let parked = state.cursors.park(now, idle, cursor, &self.reading, self.event, stream);
            if parked.is_ok() && !replace(&mut state.has_expiry_task, true) {
                tokio::spawn(Arc::clone(self.streams).expire());
            }
            parked
        };
        // An evicted stream is dropped here, where the lock is not held.
        parked.map_err(|stream| {
            drop(stream);
            evicted_cursor()
        })
    }
}

impl Drop for PollGuard<'_> {
    fn drop(&mut self) {
        // Has no effect once the stream is parked.
        self.streams.lock().cursors.close(&self.reading);
    }
}

/// The response to a request that would begin one stream too many.
fn refusal(error: OpenError, limits: CursorLimits) -> HttpError {
    let (text, retry_after) = match error {
        OpenError::Full { retry_after } => {
            (format!("The server's limit of {} streams that are read by polling is reached", limits.total), retry_after)
        }
        OpenError::PeerLimit { retry_after } => (
            format!("This client's address has {} streams that are read by polling, which is the limit", limits.peer),
            retry_after,
        ),
        OpenError::SiteLimit { retry_after } => (
            format!(
                "This client's /48 network has {} streams that are read by polling, which is the limit",
                limits.site()
            ),
            retry_after,
        ),
    };
    let error = format!("{text}; try again later, or read the event as a stream (Accept: text/event-stream)");
    HttpError::busy(error, retry_after)
}

/// The error for a stream that was ended in favour of another client's.
fn evicted_cursor() -> HttpError {
    let error = "The stream was ended: the server's limit of streams that are read by polling is reached, and this client's \
                 address had the most of them. Begin again without ?cursor=, later";
    HttpError::gone(Code::new("cursor_evicted"), error)
}
