//! What the server may ask of this client.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aaw_protocol::{Code, Failure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::parse;

/// Why a handler does not answer, in its own words. See [`Client::handle`](crate::Client::handle).
///
/// What [`new`](Self::new) says reaches the server. What `?` converts does not: it is logged, and the server reads
/// `Internal error`.
///
/// ```
/// # use aaw_client::HandlerError;
/// fn age(text: &str) -> Result<u8, HandlerError> {
///     if text.is_empty() {
///         return Err(HandlerError::new("How old?").code("no_age"));
///     }
///     Ok(text.parse()?)
/// }
/// assert_eq!(age("").unwrap_err().to_string(), "How old?");
/// assert_eq!(age("x").unwrap_err().to_string(), "Internal error");
/// ```
#[derive(Debug)]
pub struct HandlerError {
    failure: Failure,
    /// For the log.
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl HandlerError {
    /// An error whose text the server reads.
    pub fn new(text: impl Into<String>) -> Self {
        Self { failure: Failure::new(Code::HANDLER, text), cause: None }
    }

    /// The word by which a program knows what it is; without it, `handler`.
    #[must_use]
    pub fn code(mut self, word: impl Into<Cow<'static, str>>) -> Self {
        self.failure.code = Code::new(word);
        self
    }

    /// Adds something for a program to read. What cannot be JSON is left out, and logged.
    #[must_use]
    pub fn data(mut self, data: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::value::to_raw_value(data) {
            Ok(data) => self.failure.data = Some(data),
            Err(error) => tracing::warn!("the data of a handler's error cannot be JSON: {error}"),
        }
        self
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self { failure: Failure::internal(Code::HANDLER), cause: Some(Box::new(error)) }
    }
}

/// What a handler has come to: its answer, as JSON, or a failure.
pub(crate) type Handled = Result<Box<RawValue>, Failure>;

type Running = Pin<Box<dyn Future<Output = Handled> + Send>>;

type Run = dyn Fn(Box<str>) -> Running + Send + Sync;

/// Makes one function of what an application handles an event with.
pub(crate) fn erase<B, T, F, Answer>(event: &str, handler: F) -> Arc<Run>
where
    B: DeserializeOwned,
    T: Serialize,
    F: Fn(B) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Result<T, HandlerError>> + Send + 'static,
{
    let event: Arc<str> = event.into();
    let handler = Arc::new(handler);
    Arc::new(move |data| {
        let (event, handler) = (event.clone(), handler.clone());
        // All of it is the task's: parsing, and what the handler does before its first await.
        Box::pin(async move {
            let body = parse_body(&data).map_err(|problem| Failure::new(Code::BAD_BODY, problem))?;
            let answer = handler(body).await;
            match answer {
                Ok(answer) => serde_json::value::to_raw_value(&answer).map_err(|error| {
                    tracing::error!(event = &*event, "the answer cannot be JSON: {error}");
                    Failure::internal(Code::HANDLER)
                }),
                Err(HandlerError { failure, cause }) => {
                    if let Some(cause) = cause {
                        tracing::error!(event = &*event, "the handler failed: {cause}");
                    }
                    Err(failure)
                }
            }
        })
    })
}

/// Nothing is as good as an empty object, as for the server's events.
fn parse_body<B: DeserializeOwned>(data: &str) -> Result<B, String> {
    parse(data).or_else(|mismatch| {
        let empty = (data == "null").then(|| serde_json::from_str("{}").ok()).flatten();
        empty.ok_or_else(|| format!("The body does not fit: {mismatch}"))
    })
}

/// Who handles what. One handler an event: the newest.
#[derive(Default)]
pub(crate) struct Handlers(Mutex<Table>);

#[derive(Default)]
struct Table {
    by_event: HashMap<Box<str>, (u64, Arc<Run>)>,
    last: u64,
    ended: bool,
}

impl Handlers {
    pub(crate) fn add(self: &Arc<Self>, event: &str, run: Arc<Run>) -> HandlerRegistration {
        let mut table = self.lock();
        table.last += 1;
        let number = table.last;
        let displaced = if table.ended { None } else { table.by_event.insert(event.into(), (number, run)) };
        drop(table);
        // The application's, so not with the lock held: it may hold a handling, which wants the lock.
        drop(displaced);
        HandlerRegistration { event: event.into(), number, handlers: Some(self.clone()) }
    }

    pub(crate) fn find(&self, event: &str) -> Option<Arc<Run>> {
        self.lock().by_event.get(event).map(|(_, run)| run.clone())
    }

    fn remove(&self, event: &str, number: u64) {
        let mut table = self.lock();
        let is_this = table.by_event.get(event).is_some_and(|(other, _)| *other == number);
        let removed = if is_this { table.by_event.remove(event) } else { None };
        drop(table);
        drop(removed);
    }

    /// Forgets them all: one that holds the client would keep it for ever.
    pub(crate) fn end(&self) {
        let mut table = self.lock();
        table.ended = true;
        let all = std::mem::take(&mut table.by_event);
        drop(table);
        drop(all);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No user code runs with the lock held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().by_event.keys()).finish()
    }
}

/// An event that is handled, from [`Client::handle`](crate::Client::handle). Dropping it ends that: the server is told
/// that there is no such event from then on. What is under way is finished.
#[derive(Debug)]
#[must_use = "dropping it ends the handling at once; `detach` keeps it"]
pub struct HandlerRegistration {
    event: Box<str>,
    number: u64,
    handlers: Option<Arc<Handlers>>,
}

impl HandlerRegistration {
    /// Handles the event for as long as there is a client.
    pub fn detach(mut self) {
        self.handlers = None;
    }
}

impl Drop for HandlerRegistration {
    fn drop(&mut self) {
        if let Some(handlers) = &self.handlers {
            handlers.remove(&self.event, self.number);
        }
    }
}
