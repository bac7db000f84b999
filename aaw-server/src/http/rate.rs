//! Requests count towards the rates of their client's address.

use std::time::Instant;

use super::error::HttpError;
use crate::net::http_connection::RequestGuard;

/// What a request counts beside the bytes of its body: about the size of its head.
const HEAD_BYTES: usize = 256;

/// Returns whether requests for this path do not count: a load balancer must always learn whether the server works.
pub(super) fn is_exempt(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// Counts a request, and waits until the address of its client has its turn. `cost` is that of the event.
///
/// # Errors
/// With status 429 and `Retry-After`, if that would take too long.
pub(super) async fn wait_for_turn(guard: Option<&RequestGuard>, body_bytes: usize, cost: u32) -> Result<(), HttpError> {
    let Some(address) = guard.and_then(RequestGuard::limited_address) else { return Ok(()) };
    let wait = address.take_request(Instant::now(), HEAD_BYTES + body_bytes, cost)?;
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    Ok(())
}
