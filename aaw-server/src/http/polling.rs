//! A stream that is read by polling: each request takes the next few items, and names where the next one goes on.

use std::future::poll_fn;
use std::mem::replace;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aaw_protocol::{Code, Failure, clock};
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use tokio::time::Instant;

use super::cursors::{Cursor, Cursors, NotThere};
use super::events::json_response;
use super::failed::Failed;
use super::request::{self, unknown_cursor};
use super::run::{Run, Step};
use crate::net::context::ServerContext;
use crate::net::shutdown::Phase;

/// Streams that wait between two requests.
pub(super) struct Polling {
    shared: Arc<ServerContext>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    cursors: Cursors<Parked>,
    /// Whether somebody looks at the time.
    is_watched: bool,
}

/// A stream between two requests. It is not polled.
#[derive(Default)]
struct Parked {
    /// Nothing once the call has ended.
    run: Option<Run>,
    /// An item that did not fit any more.
    held: Option<Vec<u8>>,
    /// How the call ended, behind the items.
    failure: Option<Failure>,
}

/// A stream that is in a request. Dropped, be it that the client hung up, it is over.
struct InRequest<'a> {
    polling: &'a Arc<Polling>,
    event: &'a str,
    /// What it came with.
    used: Option<Cursor>,
    is_parked: bool,
}

impl Polling {
    pub(super) fn new(shared: Arc<ServerContext>) -> Arc<Self> {
        Arc::new(Self { shared, table: Mutex::default() })
    }

    /// Answers a polling request for this event, and this caller: a cursor is good for the two that it was made for.
    /// `begin` is called if it is the first.
    pub(super) async fn answer(
        self: &Arc<Self>,
        event: &str,
        poll: request::Poll,
        begin: impl FnOnce() -> Result<Run, Failure>,
    ) -> Result<Response, Failed> {
        let in_request = |used| InRequest { polling: self, event, used, is_parked: false };
        let (in_request, mut stream) = match poll.cursor {
            None => {
                if !self.lock().cursors.open(self.shared.config.http.max_cursors) {
                    let error = "Too many streams are being read by polling; try again later, or read one as a stream";
                    return Err(Failure::new(Code::BUSY, error).into());
                }
                let in_request = in_request(None);
                (in_request, Parked { run: Some(begin()?), ..Parked::default() })
            }
            Some(cursor) => {
                let stream = self.lock().cursors.take(cursor, event).map_err(|reason| match reason {
                    NotThere::Unknown => unknown_cursor(),
                    NotThere::InUse => {
                        Failure::new(Code::BUSY, "Another request reads with this cursor right now").into()
                    }
                })?;
                (in_request(Some(cursor)), stream)
            }
        };
        let is_stream = stream.run.as_ref().is_none_or(Run::is_stream);
        let items = self.collect(&mut stream, poll.take).await?;
        if items.is_empty() {
            if let Some(failure) = stream.failure {
                return Err(failure.into());
            }
            if !is_stream && stream.run.is_none() {
                return Ok(axum::http::StatusCode::NO_CONTENT.into_response());
            }
        }
        let mut body = b"{\"items\":[".to_vec();
        body.extend_from_slice(&items);
        body.push(b']');
        if stream.run.is_some() || stream.held.is_some() || stream.failure.is_some() {
            let cursor = Cursor::random().ok_or_else(|| {
                tracing::error!("the system has no randomness for a cursor");
                Failed::from(Failure::internal(Code::HANDLER))
            })?;
            in_request.park(cursor, stream);
            body.extend_from_slice(format!(",\"cursor\":\"{cursor}\"").as_bytes());
        }
        body.push(b'}');
        Ok(json_response(Body::from(body)))
    }

    /// The next items, with commas between them.
    async fn collect(&self, stream: &mut Parked, most: usize) -> Result<Vec<u8>, Failed> {
        let config = &self.shared.config;
        let deadline = clock::after(Instant::now().into_std(), config.http.poll_timeout);
        let mut deadline = std::pin::pin!(tokio::time::sleep_until(deadline.into()));
        let mut over = std::pin::pin!(self.shared.shutdown.reached(Phase::Over));
        let (mut items, mut count) = (Vec::new(), 0);
        while count < most {
            let item = match (stream.held.take(), &mut stream.run) {
                (Some(held), _) => held,
                (None, None) => break,
                (None, Some(run)) => {
                    let mut item = Vec::new();
                    let step = tokio::select! {
                        biased;
                        () = &mut over => return Err(Failed::stopping()),
                        step = poll_fn(|cx| run.poll(cx, &mut item)) => step,
                        () = &mut deadline => break,
                    };
                    if run.is_over() || step != Step::Item {
                        stream.run = None;
                    }
                    match step {
                        Step::Item => item,
                        Step::End => break,
                        Step::Failed(failure) => {
                            stream.failure = Some(failure);
                            break;
                        }
                    }
                }
            };
            // One always fits, or it would never be read.
            if count > 0 && items.len() + item.len() >= config.max_message_bytes {
                stream.held = Some(item);
                break;
            }
            if count > 0 {
                items.push(b',');
            }
            items.extend_from_slice(&item);
            count += 1;
            // A handler that is always ready leaves room for others.
            tokio::task::coop::consume_budget().await;
        }
        Ok(items)
    }

    /// Drops what nobody came back for, when its time is over, until nothing waits any more.
    async fn watch(self: Arc<Self>) {
        loop {
            let due = {
                let mut table = self.lock();
                let due = table.cursors.poll_timeout();
                table.is_watched = due.is_some();
                due
            };
            let Some(due) = due else { return };
            let gone = tokio::select! {
                biased;
                // Nobody can come back to a server that takes no more connections.
                () = self.shared.shutdown.reached(Phase::Draining) => self.lock().cursors.clear(),
                () = tokio::time::sleep_until(due.into()) => {
                    self.lock().cursors.handle_timeout(Instant::now().into_std())
                }
            };
            // Handlers are dropped here, with no lock held.
            drop(gone);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it holds the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InRequest<'_> {
    /// Lets the stream wait for the next request, as `cursor`.
    fn park(mut self, cursor: Cursor, stream: Parked) {
        self.is_parked = true;
        let Polling { shared, .. } = &**self.polling;
        let mut table = self.polling.lock();
        let now = Instant::now().into_std();
        table.cursors.park(now, shared.config.http.cursor_idle_timeout, cursor, self.used, self.event, stream);
        if !replace(&mut table.is_watched, true) {
            tokio::spawn(Arc::clone(self.polling).watch());
        }
    }
}

impl Drop for InRequest<'_> {
    fn drop(&mut self) {
        if !self.is_parked {
            self.polling.lock().cursors.close(self.used);
        }
    }
}
