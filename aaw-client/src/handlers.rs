//! The handlers of client calls: what an application registers, and the table of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use aaw_protocol::{Code, Failure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::parse;
use crate::sync::lock;

/// The error of a handler of client calls. See [`Client::handle`](crate::Client::handle).
///
/// The text given to [`new`](Self::new) is sent to the server. An error converted by `?` is logged, and the server
/// receives `Internal error`.
///
/// ```
/// # use aaw_client::HandlerError;
/// fn age(text: &str) -> Result<u8, HandlerError> {
///     if text.is_empty() {
///         return Err(HandlerError::new("How old?").with_code("no_age"));
///     }
///     Ok(text.parse()?)
/// }
/// let error = age("").unwrap_err();
/// assert_eq!((error.to_string().as_str(), error.code()), ("How old?", "no_age"));
/// assert_eq!(age("x").unwrap_err().to_string(), "Internal error");
/// ```
#[derive(Debug)]
pub struct HandlerError {
    failure: Failure,
    /// The converted error, for the log.
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl HandlerError {
    /// Creates an error whose text is sent to the server. Its code is `handler`.
    pub fn new(text: impl Into<String>) -> Self {
        Self { failure: Failure::new(Code::HANDLER, text), cause: None }
    }

    /// Sets the code by which a program tells errors apart.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.failure.code = Code::new(code);
        self
    }

    /// Attaches data for the calling program. Data that cannot be serialized as JSON is logged and left out.
    #[must_use]
    pub fn with_data(mut self, data: impl Serialize) -> Self {
        match serde_json::value::to_raw_value(&data) {
            Ok(data) => self.failure.data = Some(data),
            Err(error) => tracing::warn!("the data of a handler's error cannot be serialized: {error}"),
        }
        self
    }

    /// The code that is sent to the server.
    pub fn code(&self) -> &str {
        self.failure.code.as_str()
    }
}

/// The text that is sent to the server.
impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self { failure: Failure::internal(Code::INTERNAL), cause: Some(Box::new(error)) }
    }
}

/// The response of a handler, as JSON, or the failure to send instead.
pub(crate) type HandlerResult = Result<Box<RawValue>, Failure>;

type HandlerFuture = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;

/// A handler with its types erased: from the JSON of the body to the JSON of the response.
pub(crate) type ErasedHandler = dyn Fn(Box<str>) -> HandlerFuture + Send + Sync;

pub(crate) fn erase<B, T, F, Fut>(event: &str, handler: F) -> Arc<ErasedHandler>
where
    B: DeserializeOwned,
    T: Serialize,
    F: Fn(B) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, HandlerError>> + Send + 'static,
{
    let event: Arc<str> = event.into();
    let handler = Arc::new(handler);
    Arc::new(move |data| {
        let (event, handler) = (event.clone(), handler.clone());
        // Parsing, and the handler's code before its first await, run in the call's task and not in the driver's.
        Box::pin(async move {
            let body = parse_body(&data).map_err(|problem| Failure::new(Code::BAD_BODY, problem))?;
            match handler(body).await {
                Ok(response) => serde_json::value::to_raw_value(&response).map_err(|error| {
                    tracing::error!(event = &*event, "the response cannot be serialized: {error}");
                    Failure::internal(Code::INTERNAL)
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

/// Parses a body. `null` becomes an empty object where the type accepts that and not `null`, as for the server's
/// events.
fn parse_body<B: DeserializeOwned>(data: &str) -> Result<B, String> {
    parse(data).or_else(|mismatch| {
        if data != "null" {
            return Err(format!("The body does not fit: {mismatch}"));
        }
        let mismatch = mismatch.to_string();
        let expected = mismatch.strip_prefix("invalid type: null, ").unwrap_or(&mismatch);
        serde_json::from_str("{}").map_err(|_| format!("The body is missing: {expected}"))
    })
}

/// The registered handlers. Each event has at most one: the last that was registered.
#[derive(Default)]
pub(crate) struct Handlers(Mutex<HandlerTable>);

#[derive(Default)]
struct HandlerTable {
    by_event: HashMap<Box<str>, RegisteredHandler>,
    last_id: u64,
    closed: bool,
}

struct RegisteredHandler {
    id: u64,
    handler: Arc<ErasedHandler>,
}

impl Handlers {
    /// Registers a handler, and replaces the event's former one.
    pub(crate) fn add(self: &Arc<Self>, event: &str, handler: Arc<ErasedHandler>) -> HandlerRegistration {
        let mut table = lock(&self.0);
        table.last_id += 1;
        let id = table.last_id;
        let replaced =
            if table.closed { None } else { table.by_event.insert(event.into(), RegisteredHandler { id, handler }) };
        drop(table);
        // Dropping it runs the application's code, which may drop a `HandlerRegistration` and lock the table.
        drop(replaced);
        HandlerRegistration { event: event.into(), id, handlers: Some(self.clone()) }
    }

    pub(crate) fn find(&self, event: &str) -> Option<Arc<ErasedHandler>> {
        lock(&self.0).by_event.get(event).map(|registered| registered.handler.clone())
    }

    fn remove(&self, event: &str, id: u64) {
        let mut table = lock(&self.0);
        let is_current = table.by_event.get(event).is_some_and(|registered| registered.id == id);
        let removed = if is_current { table.by_event.remove(event) } else { None };
        drop(table);
        drop(removed);
    }

    /// Removes all handlers and accepts no more: one that owns a `Client` would keep it alive.
    pub(crate) fn close(&self) {
        let mut table = lock(&self.0);
        table.closed = true;
        let removed = std::mem::take(&mut table.by_event);
        drop(table);
        drop(removed);
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(lock(&self.0).by_event.keys()).finish()
    }
}

/// The registration of a handler, from [`Client::handle`](crate::Client::handle).
///
/// Dropping it removes the handler: further client calls of the event fail as `unknown_event`. Calls that run are
/// finished. [`detach`](Self::detach) keeps the handler instead.
#[derive(Debug)]
#[must_use = "dropping the registration removes the handler at once; `detach` keeps it"]
pub struct HandlerRegistration {
    event: Box<str>,
    id: u64,
    handlers: Option<Arc<Handlers>>,
}

impl HandlerRegistration {
    /// Keeps the handler registered until the client ends or the event gets another one.
    pub fn detach(mut self) {
        self.handlers = None;
    }
}

impl Drop for HandlerRegistration {
    fn drop(&mut self) {
        if let Some(handlers) = &self.handlers {
            handlers.remove(&self.event, self.id);
        }
    }
}
