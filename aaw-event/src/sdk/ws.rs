//! The connection that a call came from.

use std::sync::{Arc, Mutex, PoisonError};

use aaw_protocol::BROADCAST;
use serde::Serialize;
use serde_json::Value;

use super::error::{Error, Result};
use crate::module::{OwnedCaller, json};

/// This connection, as `services.ws`.
///
/// Works from tasks and threads too, and after the call has ended; when the connection has gone, there is nobody to
/// send to. Cloning costs a reference count.
#[derive(Debug, Clone)]
pub struct Ws {
    to: Side,
}

#[derive(Debug, Clone)]
enum Side {
    Host(OwnedCaller),
    Test(Arc<Mutex<Vec<Sent>>>),
}

impl Ws {
    pub(crate) fn of(caller: OwnedCaller) -> Self {
        Self { to: Side::Host(caller) }
    }

    pub(super) fn for_test() -> Self {
        Self { to: Side::Test(Arc::default()) }
    }

    /// The connection's id: unique on its server, and not guessable. In a test it is `test`.
    pub fn id(&self) -> String {
        match &self.to {
            Side::Host(caller) => caller.id(),
            Side::Test(_) => "test".to_owned(),
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
            Side::Test(sent) => {
                let data = serde_json::to_value(&data)?;
                keep(sent, Sent { to: To::Caller, event: event.to_owned(), data });
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
            Side::Test(sent) => serde_json::to_value(&data).map(|data| {
                let to = if include_self { To::Everyone } else { To::Others };
                keep(sent, Sent { to, event: BROADCAST.to_owned(), data });
            }),
        };
        if let Err(error) = done {
            tracing::error!(%error, "a broadcast cannot be JSON");
        }
    }

    /// What was sent so far through services made by [`Services::for_test`](super::Services::for_test), in order.
    /// On a server it is always empty.
    pub fn sent(&self) -> Vec<Sent> {
        match &self.to {
            Side::Host(_) => Vec::new(),
            Side::Test(sent) => sent.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

fn keep(all: &Mutex<Vec<Sent>>, one: Sent) {
    all.lock().unwrap_or_else(PoisonError::into_inner).push(one);
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum To {
    /// The connection that called.
    Caller,
    /// All connections.
    Everyone,
    /// All but the one that called.
    Others,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_test_sees_what_was_sent_in_order() {
        let ws = Ws::for_test();
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
        let ws = Ws::for_test();
        let no_json = std::collections::HashMap::from([(vec![1], 2)]);
        ws.broadcast(&no_json, true);
        assert_eq!(ws.send_event("x", &no_json).unwrap_err().message(), "Internal error");
        assert_eq!(ws.sent(), []);
    }
}
