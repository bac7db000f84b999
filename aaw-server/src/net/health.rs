//! `/healthz` and `/readyz`: whether the process lives, and whether it should receive requests.
//!
//! Load balancers and process managers request them by address, under any `Host` and without credentials. They call no event
//! and are not logged.

use aaw_protocol::json;
use hyper::StatusCode;

use crate::net::context::ServerContext;
use crate::readiness;

/// The response of `/healthz`. A server that responds at all lives, also while it stops.
pub(crate) fn health() -> (StatusCode, String) {
    (StatusCode::OK, r#"{"status":"ok"}"#.into())
}

/// The response of `/readyz`.
pub(crate) fn readiness(shared: &ServerContext) -> (StatusCode, String) {
    let mut failing = shared.readiness.failing();
    // Known by the service of authentication itself, for the last second.
    if shared.dispatch.auth.as_ref().is_some_and(|auth| auth.store_failure().is_some()) {
        failing.push(readiness::STORE);
    }
    if failing.is_empty() {
        return (StatusCode::OK, r#"{"status":"ready"}"#.into());
    }
    // Serializing strings cannot fail.
    let reasons = json::to_string(&failing).unwrap_or_default();
    (StatusCode::SERVICE_UNAVAILABLE, format!(r#"{{"status":"not_ready","reasons":{reasons}}}"#))
}
