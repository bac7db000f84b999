//! Servers and clients that resume connections, and what clients know about their calls.

use std::time::Duration;

use aaw_client::{Backoff, CallError};
use aaw_server::{Events, Handle};
use aaw_test_events::_services::App;

use crate::{TestServer, until};

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
