//! The connection that a call came from.

use std::time::Duration;

use aaw_protocol::{BROADCAST, Failure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{Error, Result};
use super::response_future::ResponseFuture;
use super::side::{Side, TEST_ID, read};
use crate::module::json;

/// This connection, as `services.ws`.
///
/// Works from tasks and threads too, and after the call has ended; when the connection has gone, there is nobody to
/// send to. Cloning costs a reference count.
#[derive(Debug, Clone)]
pub struct Ws {
    to: Side,
}

impl Ws {
    pub(super) fn of(to: Side) -> Self {
        Self { to }
    }

    pub(super) fn side(&self) -> &Side {
        &self.to
    }

    /// The connection's id: unique on its server, and not guessable. In a test it is `test`.
    pub fn id(&self) -> String {
        match &self.to {
            Side::Host(caller) => caller.id(),
            Side::Test(_) => TEST_ID.to_owned(),
        }
    }

    /// Pushes an event to this connection. It is sent after what was sent before, and nobody waits for it.
    ///
    /// # Errors
    /// When the connection has gone or takes no more, in words for the caller; or when `data` cannot be JSON.
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
        match &self.to {
            Side::Host(caller) => json(&data, |json| caller.send_event(event, json))?.map_err(Error::told),
            Side::Test(stage) => {
                let data = serde_json::to_value(&data)?;
                stage.acts().sent.push(Sent::new(To::Caller, event, data));
                Ok(())
            }
        }
    }

    /// Pushes `data` as the event `broadcast` to every connection of the server; to this one only with `include_self`.
    ///
    /// It cannot fail: who cannot be reached is not reached. Data that cannot be JSON is logged, and nobody gets it.
    pub fn broadcast(&self, data: impl Serialize, include_self: bool) {
        let done = match &self.to {
            Side::Host(caller) => json(&data, |json| caller.broadcast(json, include_self)),
            Side::Test(stage) => serde_json::to_value(&data).map(|data| {
                let to = if include_self { To::Everyone } else { To::Others };
                stage.acts().sent.push(Sent::new(to, BROADCAST, data));
            }),
        };
        if let Err(error) = done {
            tracing::error!(%error, "a broadcast cannot be JSON");
        }
    }

    /// Asks the client of this connection, and awaits what it answers: what `client.handle(event, …)` there gives.
    ///
    /// Dropping it gives up, and the client is told. The connection's other calls go on meanwhile. In a test the answer
    /// is what [`Services::with_response`](super::Services::with_response) says, and the question is in [`sent`](Self::sent).
    ///
    /// # Errors
    /// With the client's own words, or one of these codes: `timeout`; `unknown_event`, when it handles no such event;
    /// `handler`, when its handler throws; `no_connection`, when it has gone, or goes before it answers, and for a call over
    /// HTTP; `unreachable`, when it is a client that cannot be asked; `busy`, when too many questions to it are open;
    /// `too_large`; `bad_body`, when its answer is no `T`.
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
        self.send_async_by(None, event, payload, timeout)
    }

    /// As [`send_async`](Self::send_async), of the connection with this id, which handlers there see as
    /// [`services.ws.id()`](Self::id).
    ///
    /// # Errors
    /// As [`send_async`](Self::send_async); `no_connection` also when there never was such a connection.
    pub fn send_async_to<T: DeserializeOwned>(
        &self,
        id: &str,
        event: &str,
        payload: impl Serialize,
        timeout: Duration,
    ) -> ResponseFuture<T> {
        self.send_async_by(Some(id), event, payload, timeout)
    }

    fn send_async_by<T: DeserializeOwned>(
        &self,
        to: Option<&str>,
        event: &str,
        payload: impl Serialize,
        timeout: Duration,
    ) -> ResponseFuture<T> {
        match &self.to {
            Side::Host(caller) => {
                let question = Question { to, event, data: &payload, timeout_ms: millis(timeout) };
                Side::host_op_async(caller, "ws/send_async", &question, read)
            }
            Side::Test(stage) => {
                let mut acts = stage.acts();
                let answer = serde_json::to_value(&payload).map_err(Error::from).and_then(|data| {
                    let to = to.map_or(To::Caller, |id| To::Connection(id.to_owned()));
                    acts.sent.push(Sent::new(to, event, data));
                    let answer = acts.answers.get(event).ok_or_else(|| Error::told(no_answer(event)))?;
                    Ok(serde_json::to_vec(answer)?)
                });
                ResponseFuture::done(answer, read)
            }
        }
    }

    /// What was sent so far through services made by [`Services::for_test`](super::Services::for_test), in order.
    /// On a server it is always empty.
    pub fn sent(&self) -> Vec<Sent> {
        match &self.to {
            Side::Host(_) => Vec::new(),
            Side::Test(stage) => stage.acts().sent.clone(),
        }
    }
}

#[derive(Serialize)]
struct Question<'a, D> {
    to: Option<&'a str>,
    event: &'a str,
    data: D,
    timeout_ms: u64,
}

/// As times cross to the host.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a test's client says that was given no answer.
pub(super) fn no_answer(event: &str) -> Failure {
    Failure::unknown_event(event)
}

/// What a handler sent in a test.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sent {
    /// Who would have got it.
    pub to: To,
    /// The event: `broadcast` for a broadcast.
    pub event: String,
    /// The data.
    pub data: Value,
}

impl Sent {
    /// What a test expects.
    pub fn new(to: To, event: impl Into<String>, data: impl Into<Value>) -> Self {
        Self { to, event: event.into(), data: data.into() }
    }
}

/// Who would have got what a handler sent in a test.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum To {
    /// The connection that called.
    Caller,
    /// The connection with this id.
    Connection(String),
    /// Those in the room of this name.
    Room(String),
    /// All connections.
    Everyone,
    /// All but the one that called.
    Others,
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use serde_json::json;

    use super::*;
    use crate::sdk::Services;

    fn now<T>(mut asked: ResponseFuture<T>) -> Result<T> {
        match Pin::new(&mut asked).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn a_test_sees_what_was_sent_in_order() {
        let ws = Services::for_test(()).ws;
        ws.send_event("seen", json!({ "id": 1 })).unwrap();
        ws.broadcast("all", true);
        ws.broadcast("others", false);
        let expected = [
            Sent::new(To::Caller, "seen", json!({ "id": 1 })),
            Sent::new(To::Everyone, "broadcast", "all"),
            Sent::new(To::Others, "broadcast", "others"),
        ];
        assert_eq!(ws.sent(), expected);
    }

    #[test]
    fn what_cannot_be_json_is_an_error_or_is_not_sent() {
        let ws = Services::for_test(()).ws;
        let no_json = std::collections::HashMap::from([(vec![1], 2)]);
        ws.broadcast(&no_json, true);
        assert_eq!(ws.send_event("x", &no_json).unwrap_err().message(), "Internal error");
        assert_eq!(ws.sent(), []);
    }

    #[test]
    fn a_test_answers_what_it_says() {
        let ws = Services::for_test(()).with_response("confirm", true).ws;
        let second = Duration::from_secs(1);
        assert!(now(ws.send_async::<bool>("confirm", "sure?", second)).unwrap());
        let error = now(ws.send_async::<u8>("confirm", (), second)).unwrap_err();
        assert_eq!(
            (error.message(), error.code()),
            ("The answer does not fit: invalid type: boolean `true`, expected u8", "bad_body")
        );
        assert_eq!(now(ws.send_async_to::<bool>("7", "other", (), second)).unwrap_err().code(), "unknown_event");
        let expected = [
            Sent::new(To::Caller, "confirm", "sure?"),
            Sent::new(To::Caller, "confirm", Value::Null),
            Sent::new(To::Connection("7".to_owned()), "other", Value::Null),
        ];
        assert_eq!(ws.sent(), expected);
    }
}
