//! Successful responses.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;

use super::negotiate::BodyFormat;

/// A response of JSON that is not to be cached.
pub(super) fn json_response(body: Body) -> Response {
    response_as(BodyFormat::Json, body)
}

/// A response in this format that is not to be cached.
pub(super) fn response_as(format: BodyFormat, body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
