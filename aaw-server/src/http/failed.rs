//! A failure as an HTTP response: a status for the transport, and the same JSON that crosses a WebSocket.

use aaw_protocol::{Code, Failure};
use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// Why a request is answered with a failure.
#[derive(Debug)]
pub(super) struct Failed {
    status: StatusCode,
    failure: Failure,
    hint: Hint,
}

/// What else the client is told, in a header.
#[derive(Debug)]
enum Hint {
    Nothing,
    /// The methods that there are.
    Allow(&'static str),
    /// It may come again soon.
    RetryAfter,
}

impl Failed {
    pub(super) fn new(status: StatusCode, code: Code, error: impl Into<String>) -> Self {
        Self { status, failure: Failure::new(code, error), hint: Hint::Nothing }
    }

    /// The request makes no sense.
    pub(super) fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BAD_FRAME, error)
    }

    pub(super) fn method(allowed: &'static str, error: impl Into<String>) -> Self {
        let hint = Hint::Allow(allowed);
        Self { hint, ..Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::new("bad_method"), error) }
    }

    pub(super) fn stopping() -> Self {
        Self::unavailable(stopping().error)
    }

    /// Not now; perhaps soon.
    pub(super) fn unavailable(error: impl Into<String>) -> Self {
        let hint = Hint::RetryAfter;
        Self { hint, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::BUSY, error) }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { status: status(&failure.code), failure, hint: Hint::Nothing }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(json(&self.failure)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        match self.hint {
            Hint::Nothing => retry_after(&self.failure).and_then(|after| headers.insert(RETRY_AFTER, after)),
            Hint::Allow(methods) => headers.insert(ALLOW, HeaderValue::from_static(methods)),
            Hint::RetryAfter => headers.insert(RETRY_AFTER, HeaderValue::from_static("5")),
        };
        response
    }
}

/// When to come again, where the failure says so.
fn retry_after(failure: &Failure) -> Option<HeaderValue> {
    #[derive(serde::Deserialize)]
    struct Data {
        retry_after: u64,
    }
    if failure.code != Code::BUSY {
        return None;
    }
    let data: Data = serde_json::from_str(failure.data.as_ref()?.get()).ok()?;
    Some(data.retry_after.into())
}

/// What is said of a call that the server's end cut off, or that came too late.
pub(super) fn stopping() -> Failure {
    Failure::new(Code::BUSY, "The server is stopping")
}

/// A failure as it crosses the wire.
pub(super) fn json(failure: &Failure) -> Vec<u8> {
    let mut json = Vec::new();
    aaw_protocol::codec::failure(&mut json, failure);
    json
}

/// The status that says to HTTP what the code says to aaw. A handler may use any word; one that is not ours is its own
/// failure.
fn status(code: &Code) -> StatusCode {
    match code.as_str() {
        "bad_body" | "bad_frame" => StatusCode::BAD_REQUEST,
        "not_authenticated" => StatusCode::UNAUTHORIZED,
        "not_allowed" | "unreachable" => StatusCode::FORBIDDEN,
        "invalid_reset" => StatusCode::BAD_REQUEST,
        "email_taken" => StatusCode::CONFLICT,
        "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        "unknown_event" => StatusCode::NOT_FOUND,
        "too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "busy" => StatusCode::TOO_MANY_REQUESTS,
        "timeout" => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_status() {
        for (code, expected) in [
            (Code::BAD_BODY, 400),
            (Code::BAD_FRAME, 400),
            (Code::NOT_AUTHENTICATED, 401),
            (Code::NOT_ALLOWED, 403),
            (Code::UNREACHABLE, 403),
            (Code::UNKNOWN_EVENT, 404),
            (Code::TOO_LARGE, 413),
            (Code::BUSY, 429),
            (Code::TIMEOUT, 504),
            (Code::HANDLER, 500),
            (Code::PANIC, 500),
            (Code::NO_CONNECTION, 500),
            (Code::new("out_of_stock"), 500),
            (Code::new("email_taken"), 409),
            (Code::new("unavailable"), 503),
        ] {
            assert_eq!(status(&code), expected, "{code:?}");
        }
    }
}
