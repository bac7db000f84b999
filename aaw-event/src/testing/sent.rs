//! What a handler has sent in a test.

use serde_json::Value;

/// A message that a handler has sent in a test.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SentMessage {
    /// The recipient.
    pub to: Recipient,
    /// The event; `broadcast` for a broadcast.
    pub event: String,
    /// The data.
    pub data: Value,
}

impl SentMessage {
    /// Creates the message that a test expects.
    pub fn new(to: Recipient, event: impl Into<String>, data: impl Into<Value>) -> Self {
        Self { to, event: event.into(), data: data.into() }
    }
}

/// The recipient of a message that a handler has sent in a test.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recipient {
    /// The connection that the call came from.
    Caller,
    /// The connection with this id.
    Connection(String),
    /// The members of the room of this name.
    Room(String),
    /// All connections.
    Everyone,
    /// All connections except the one that the call came from.
    Others,
}
