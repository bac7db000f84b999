//! Requests count towards the rates of their client's address.

use std::time::Instant;

use axum::response::{IntoResponse as _, Response};

use super::error::HttpError;
use crate::net::http_connection::{HEAD_BYTES, RequestGuard};
use crate::net::shutdown_phase::ShutdownPhase;

/// Counts a request whose head has arrived, and waits until the address of its client has its turn. `cost` is that of the event.
///
/// # Errors
/// With status 429 and `Retry-After`, if that would take too long.
pub(super) async fn begin(guard: Option<&RequestGuard>, cost: u32) -> Result<(), HttpError> {
    wait_for_turn(guard, HEAD_BYTES, cost).await
}

/// Counts a request that is rejected, and returns its response once the address of its client has its turn.
pub(super) async fn reject(guard: Option<&RequestGuard>, rejection: Response) -> Response {
    match begin(guard, 1).await {
        Ok(()) => rejection,
        Err(refused) => refused.into_response(),
    }
}

/// Counts the body of a request, and waits as [`begin`] does.
///
/// # Errors
/// As those of [`begin`].
pub(super) async fn count_body(guard: Option<&RequestGuard>, bytes: usize) -> Result<(), HttpError> {
    if bytes == 0 { Ok(()) } else { wait_for_turn(guard, bytes, 0).await }
}

async fn wait_for_turn(guard: Option<&RequestGuard>, bytes: usize, cost: u32) -> Result<(), HttpError> {
    let Some((guard, address)) = guard.and_then(|guard| Some((guard, guard.limited_address()?))) else { return Ok(()) };
    let wait = address.take_request(Instant::now(), bytes, cost)?;
    if wait.is_zero() {
        return Ok(());
    }
    tokio::select! {
        () = tokio::time::sleep(wait) => Ok(()),
        // Calls are refused from now on.
        () = guard.connection().shared.shutdown.reached(ShutdownPhase::Draining) => Err(HttpError::refused_stopping()),
    }
}
