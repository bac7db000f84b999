//! Servers and clients that resume connections, the frames of their hellos, and what clients know about their calls.

use std::time::Duration;

use aaw_client::{Backoff, CallError};
use aaw_server::{Events, Handle};
use aaw_test_events::_services::App;

use serde_json::{Value, json};

use crate::{TestServer, WireClient, until};

/// The key of a state.
pub const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The key of the state that begins if that of [`KEY`] is gone.
pub const NEXT: &str = "fedcba9876543210fedcba9876543210";

/// Returns the configuration of a client that resumes, and that connects again at once.
#[must_use]
pub fn client_config() -> aaw_client::Config {
    aaw_client::Config {
        backoff: Backoff { min: Duration::ZERO, refused: Duration::from_millis(10), ..Backoff::default() },
        resumption: true,
        ..aaw_client::Config::default()
    }
}

/// Changes the configuration of a server: it keeps the state of a client that is away for a few seconds, not a minute.
pub fn configure_server(config: &mut aaw_server::Config) {
    config.resumption_window = Duration::from_secs(3);
}

/// Starts a server that resumes, with the test events, and those for client calls as `rooms/…`.
pub async fn start_server() -> TestServer {
    let app = App::default();
    let rooms = Events::new(aaw_test_rooms::module()).under("rooms");
    let events = vec![aaw_test_events::module_with(app.clone()).into(), rooms];
    let mut server = TestServer::start_with_events(events, configure_server).await;
    server.app = app;
    server
}

/// Waits until no connection is open or away.
///
/// # Panics
/// If there still is one when the time of clients that are away must be over.
pub async fn expect_all_over(handle: &Handle) {
    until("all connections to be over", || handle.connections() == 0).await;
}

/// Returns a hello with this request for resumption.
#[must_use]
pub fn hello(resumption: &Value) -> String {
    json!(["aaw/hello", { "resumption": resumption }]).to_string()
}

/// Returns a request to resume the state of [`KEY`].
#[must_use]
pub fn resuming(received: u64) -> Value {
    json!({ "key": KEY, "resume": true, "received": received, "next": NEXT })
}

/// Opens a socket, sends this hello, and returns the data of the welcome.
///
/// # Panics
/// If something else arrives.
pub async fn open(server: &TestServer, resumption: &Value) -> (WireClient, Value) {
    let mut client = WireClient::connect(server.addr, Some("_key, aaw.v1")).await;
    let welcome = welcomed(&mut client, resumption).await;
    (client, welcome)
}

/// Sends this hello, and returns the data of the welcome.
///
/// # Panics
/// If something else arrives.
pub async fn welcomed(client: &mut WireClient, resumption: &Value) -> Value {
    client.send(&hello(resumption)).await;
    next_welcome(client).await
}

/// Returns the data of the welcome.
///
/// # Panics
/// If something else arrives.
pub async fn next_welcome(client: &mut WireClient) -> Value {
    let welcome: Value = serde_json::from_str(&client.next().await).expect("JSON");
    assert_eq!(welcome[0], "aaw/welcome", "{welcome}");
    welcome[1].clone()
}

/// Sends this hello, and returns the text of the error.
///
/// # Panics
/// If something else arrives.
pub async fn refused(client: &mut WireClient, resumption: &Value) -> String {
    client.send(&hello(resumption)).await;
    next_refusal(client).await
}

/// Returns the text of the error that refuses a hello.
///
/// # Panics
/// If something else arrives.
pub async fn next_refusal(client: &mut WireClient) -> String {
    let error: Value = serde_json::from_str(&client.next().await).expect("JSON");
    assert_eq!((&error[0], &error[1]["code"]), (&json!("aaw/error"), &json!("bad_frame")), "{error}");
    error[1]["error"].as_str().expect("a text").to_owned()
}

/// What a client knows about a call that has no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallLabel {
    /// The server has never seen it.
    NotSent,
    /// It was sent. The server may have seen it.
    Sent,
    /// The server has acknowledged it.
    Taken,
    /// It was sent, and the state of its connection is gone.
    Unknown,
}

/// Returns the label of a call's error; `None` if the error is that of the server, or of the response.
#[must_use]
pub fn label(error: &CallError) -> Option<CallLabel> {
    match error {
        CallError::NotSent(_) | CallError::TimedOut { sent: false, .. } => Some(CallLabel::NotSent),
        CallError::TimedOut { taken: true, .. } => Some(CallLabel::Taken),
        CallError::TimedOut { sent: true, .. } => Some(CallLabel::Sent),
        CallError::OutcomeUnknown(_) => Some(CallLabel::Unknown),
        _ => None,
    }
}
