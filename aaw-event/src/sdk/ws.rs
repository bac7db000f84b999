//! The connection that a call came from.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use super::host_ops::{NoArgs, host_op, host_op_async, parse_result, to_millis};
use super::response_future::ResponseFuture;
use crate::handles::CallerHandle;
use crate::json::with_json;
use crate::throttle::log_throttled;

/// The connection that a call came from, as `services.ws`.
///
/// It can be used from tasks and threads, and after the call has ended. Once the connection has closed, sending fails.
/// Cloning costs one reference count.
#[derive(Debug, Clone)]
pub struct Ws {
    caller: CallerHandle,
}

impl Ws {
    pub(super) fn new(caller: CallerHandle) -> Self {
        Self { caller }
    }

    pub(super) fn caller(&self) -> &CallerHandle {
        &self.caller
    }

    /// The connection's id: unique on its server, and not guessable. In a test it is `test`.
    pub fn id(&self) -> String {
        self.caller.id()
    }

    /// Returns whether the client is connected at present, as far as the server knows.
    ///
    /// `false` while the socket of the connection has broken and the client may still resume it: a call goes on, and its
    /// response waits for the client. `false` as well once the connection has closed, and for a call over HTTP. A handler that
    /// produces what only a present client needs can pause meanwhile. In a test it is `true`.
    ///
    /// Servers before resumption do not know; it is `true` there.
    pub fn is_connected(&self) -> bool {
        host_op(&self.caller, "ws/is_connected", &NoArgs {}).unwrap_or(true)
    }

    /// Pushes an event to this connection, after everything that was sent to it before. It is queued; this function
    /// does not wait for the client.
    ///
    /// # Errors
    /// When the connection has closed (`no_connection`) or its push queue is full, with a message that may be passed on
    /// to the caller; or when `data` cannot be serialized as JSON, for example because a number is NaN.
    ///
    /// ```
    /// use aaw_event::prelude::*;
    ///
    /// #[derive(Serialize)]
    /// struct Progress {
    ///     percent: u8,
    /// }
    ///
    /// async fn handler(_: Empty, services: Services) -> Result<&'static str> {
    ///     for percent in [0, 50, 100] {
    ///         services.ws.send_event("import/progress", Progress { percent })?;
    ///     }
    ///     Ok("imported")
    /// }
    /// ```
    pub fn send_event(&self, event: &str, data: impl Serialize) -> Result<()> {
        with_json(&data, |json| self.caller.send_event(event, json))?.map_err(Error::from_failure)
    }

    /// Pushes `data` as the event `broadcast` to every connection of the server; to this one only with `include_self`.
    ///
    /// It does not fail: connections that cannot be reached are skipped. Data that cannot be serialized as JSON is
    /// logged, and nothing is sent.
    pub fn broadcast(&self, data: impl Serialize, include_self: bool) {
        if let Err(error) = with_json(&data, |json| self.caller.broadcast(json, include_self)) {
            log_throttled!(error, %error, "the data of a broadcast cannot be serialized as JSON");
        }
    }

    /// Calls the client of this connection and resolves to its response: what the client's handler of `event`
    /// (`client.handle(event, …)`) returns. This is a *client call*.
    ///
    /// Nothing is sent until the future is polled. Dropping it cancels the call, and the client is notified. Other
    /// calls of the connection continue meanwhile. In a test the response is the one set with
    /// [`TestServices::with_response`](crate::testing::TestServices::with_response).
    ///
    /// # Errors
    /// The client's own error, or one of these codes: `timeout`, when there was no response within `timeout`;
    /// `unknown_event`, when the client has no handler of that name; `handler`, when its handler throws;
    /// `no_connection`, when the connection has closed, or closes before the response, and for a call over HTTP;
    /// `unreachable`, when the client does not support client calls; `busy`, when too many client calls to it are in
    /// flight; `too_large`; `bad_body`, when the response does not fit `T`. A handler that returns this error, as with `?`,
    /// fails with the code `internal`, and the cause is logged: its own caller has done nothing wrong.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use aaw_event::prelude::*;
    ///
    /// // src/delete.rs
    /// pub async fn handler(id: u64, services: Services) -> Result<bool> {
    ///     let question = json!({ "question": format!("Delete {id}?") });
    ///     let sure: bool = services.ws.send_async("confirm", question, Duration::from_secs(30)).await?;
    ///     Ok(sure)
    /// }
    /// ```
    pub fn send_async<T: DeserializeOwned>(
        &self,
        event: &str,
        payload: impl Serialize,
        timeout: Duration,
    ) -> ResponseFuture<T> {
        self.call_client(None, event, payload, timeout)
    }

    /// Calls the client of another connection, as [`send_async`](Self::send_async) does. `id` is the connection's id,
    /// which handlers of that connection read as [`services.ws.id()`](Self::id).
    ///
    /// # Errors
    /// As [`send_async`](Self::send_async); also `no_connection` when there is no such connection.
    pub fn send_async_to<T: DeserializeOwned>(
        &self,
        id: &str,
        event: &str,
        payload: impl Serialize,
        timeout: Duration,
    ) -> ResponseFuture<T> {
        self.call_client(Some(id), event, payload, timeout)
    }

    fn call_client<T: DeserializeOwned>(
        &self,
        to: Option<&str>,
        event: &str,
        payload: impl Serialize,
        timeout: Duration,
    ) -> ResponseFuture<T> {
        let args = ClientCallArgs { to, event, data: &payload, timeout_ms: to_millis(timeout) };
        host_op_async(&self.caller, "ws/send_async", &args, parse_result).of_client_call()
    }
}

#[derive(Serialize)]
struct ClientCallArgs<'a, D> {
    to: Option<&'a str>,
    event: &'a str,
    data: D,
    timeout_ms: u64,
}
