//! The timeout of an HTTP connection on which no request is in progress.

use std::time::Duration;

use aaw_protocol::clock;
use tokio::time::{Instant, sleep_until};

use crate::net::http_connection::HttpConnection;
use crate::net::write_timeout::WriteBacklog;

/// How long a connection may be without a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdleTimeout {
    /// Until the head of the first request has arrived.
    pub(super) first: Duration,
    /// Until the head of each further request has arrived.
    pub(super) between: Duration,
}

/// Waits until the connection has been idle for too long.
///
/// The timer is not moved at each request. It looks at the connection when it expires, and waits for the rest.
pub(super) async fn wait_until_idle(connection: &HttpConnection, backlog: &WriteBacklog, timeout: IdleTimeout) {
    let after = |start: Instant, duration| Instant::from_std(clock::after(start.into_std(), duration));
    let mut due = after(connection.idle_since(), timeout.first.min(timeout.between));
    loop {
        sleep_until(due).await;
        let now = Instant::now();
        if connection.is_active() || backlog.is_pending() {
            due = after(now, timeout.between);
            continue;
        }
        let is_first = connection.requests_received() == 0;
        due = after(connection.idle_since(), if is_first { timeout.first } else { timeout.between });
        if due <= now {
            return;
        }
    }
}
