//! Failures as HTTP responses: a status, and the same JSON as over a WebSocket.

use std::time::Duration;

use aaw_protocol::{Code, Failure};
use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::net::admission::Refusal;
use crate::path_prefix::PathPrefix;

/// An error as the response to a request.
#[derive(Debug)]
pub(super) struct HttpError {
    status: StatusCode,
    failure: Failure,
    header: ErrorHeader,
}

/// A further header of the response.
#[derive(Debug)]
enum ErrorHeader {
    /// `Retry-After`, if the failure's data contains a time.
    FromFailure,
    /// `Allow`, with the methods that the resource supports.
    Allow(&'static str),
    /// `Accept-Encoding`, since the body has a coding that is not supported (RFC 9110, 15.5.16).
    AcceptIdentity,
    /// `Retry-After` with a short time.
    RetrySoon,
    /// `Retry-After` with this time, in seconds.
    RetryAfter(u64),
}

impl HttpError {
    pub(super) fn new(status: StatusCode, code: Code, error: impl Into<String>) -> Self {
        Self { status, failure: Failure::new(code, error), header: ErrorHeader::FromFailure }
    }

    pub(super) fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BAD_FRAME, error)
    }

    pub(super) fn not_found() -> Self {
        let error = "Nothing is served at this path. Events are called at /events/NAME";
        Self::new(StatusCode::NOT_FOUND, Code::new("not_found"), error)
    }

    /// The path is not below the prefix of the server.
    pub(super) fn outside_prefix(prefix: &PathPrefix) -> Self {
        let error = format!("Nothing is served at this path. This server is at {prefix}/");
        Self::new(StatusCode::NOT_FOUND, Code::new("not_found"), error)
    }

    /// The resource does not support the method; it supports those of `allowed`.
    pub(super) fn method_not_allowed(allowed: &'static str, error: impl Into<String>) -> Self {
        let header = ErrorHeader::Allow(allowed);
        Self { header, ..Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::new("bad_method"), error) }
    }

    /// The body has a content coding.
    pub(super) fn encoded_body() -> Self {
        let error = "The body has a Content-Encoding; expected it without one";
        let header = ErrorHeader::AcceptIdentity;
        Self { header, ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BAD_BODY, error) }
    }

    /// The server is shutting down, and the call was not run.
    pub(super) fn refused_stopping() -> Self {
        Self::unavailable(stopping().error)
    }

    /// The server is shutting down, and the call was dropped.
    pub(super) fn aborted_stopping() -> Self {
        Self { header: ErrorHeader::RetrySoon, ..stopping().into() }
    }

    /// The limit of something that clients share is reached; it has room again after this time at the latest, if that is known.
    pub(super) fn busy(error: impl Into<String>, retry_after: Option<Duration>) -> Self {
        // Rounded up: at that time, not shortly before.
        let seconds = retry_after.map(|after| after.as_secs() + u64::from(after.subsec_nanos() > 0));
        let header = seconds.map_or(ErrorHeader::RetrySoon, |seconds| ErrorHeader::RetryAfter(seconds.max(1)));
        Self { header, ..Failure::new(Code::BUSY, error).into() }
    }

    /// Something that the request refers to was ended for lack of space. It may begin again soon.
    pub(super) fn gone(code: Code, error: impl Into<String>) -> Self {
        Self { header: ErrorHeader::RetrySoon, ..Self::new(StatusCode::GONE, code, error) }
    }

    /// The request may succeed later.
    pub(super) fn unavailable(error: impl Into<String>) -> Self {
        let header = ErrorHeader::RetrySoon;
        Self { header, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::BUSY, error) }
    }
}

impl From<Refusal> for HttpError {
    fn from(refusal: Refusal) -> Self {
        Self { status: refusal.status, ..refusal.failure().into() }
    }
}

impl From<Failure> for HttpError {
    fn from(failure: Failure) -> Self {
        let given = failure.status.and_then(|status| StatusCode::from_u16(status).ok());
        Self { status: given.unwrap_or_else(|| status(&failure.code)), failure, header: ErrorHeader::FromFailure }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(json(&self.failure)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        match self.header {
            ErrorHeader::FromFailure => retry_after(&self.failure).and_then(|after| headers.insert(RETRY_AFTER, after)),
            ErrorHeader::Allow(methods) => headers.insert(ALLOW, HeaderValue::from_static(methods)),
            ErrorHeader::AcceptIdentity => headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity")),
            ErrorHeader::RetryAfter(seconds) => headers.insert(RETRY_AFTER, seconds.into()),
            ErrorHeader::RetrySoon => headers.insert(RETRY_AFTER, HeaderValue::from_static("5")),
        };
        response
    }
}

/// The `retry_after` of a `busy` failure's data, in seconds.
fn retry_after(failure: &Failure) -> Option<HeaderValue> {
    #[derive(serde::Deserialize)]
    struct BusyData {
        retry_after: u64,
    }
    if failure.code != Code::BUSY {
        return None;
    }
    let data: BusyData = serde_json::from_str(failure.data.as_ref()?.get()).ok()?;
    Some(data.retry_after.into())
}

/// The failure of a call that a shutdown aborts.
pub(super) fn stopping() -> Failure {
    Failure::new(Code::STOPPING, "The server is stopping")
}

/// The JSON of a failure, as it is sent over a WebSocket.
pub(super) fn json(failure: &Failure) -> Vec<u8> {
    let mut json = Vec::new();
    aaw_protocol::codec::failure(&mut json, failure);
    json
}

/// The status for an error code. Handlers may use codes of their own: with them they refuse a call on purpose.
fn status(code: &Code) -> StatusCode {
    match code.as_str() {
        "bad_body" | "bad_frame" => StatusCode::BAD_REQUEST,
        "not_authenticated" => StatusCode::UNAUTHORIZED,
        "not_allowed" | "unreachable" | "registration_closed" => StatusCode::FORBIDDEN,
        "invalid_reset" => StatusCode::BAD_REQUEST,
        "email_taken" => StatusCode::CONFLICT,
        "unavailable" | "stopping" | "replaced" => StatusCode::SERVICE_UNAVAILABLE,
        "unknown_event" => StatusCode::NOT_FOUND,
        "too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "busy" => StatusCode::TOO_MANY_REQUESTS,
        "timeout" => StatusCode::GATEWAY_TIMEOUT,
        "internal" | "panic" => StatusCode::INTERNAL_SERVER_ERROR,
        // Hooks and client calls can fail so, too.
        "cancelled" | "no_connection" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_maps_to_its_status() {
        for (code, expected) in [
            (Code::BAD_BODY, 400),
            (Code::BAD_FRAME, 400),
            (Code::NOT_AUTHENTICATED, 401),
            (Code::NOT_ALLOWED, 403),
            (Code::UNREACHABLE, 403),
            (Code::UNKNOWN_EVENT, 404),
            (Code::TOO_LARGE, 413),
            (Code::STOPPING, 503),
            (Code::REPLACED, 503),
            (Code::BUSY, 429),
            (Code::TIMEOUT, 504),
            (Code::HANDLER, 422),
            (Code::INTERNAL, 500),
            (Code::PANIC, 500),
            (Code::NO_CONNECTION, 500),
            (Code::new("out_of_stock"), 422),
            (Code::new("email_taken"), 409),
            (Code::new("unavailable"), 503),
            (Code::new("registration_closed"), 403),
        ] {
            assert_eq!(status(&code), expected, "{code:?}");
        }
    }
}
