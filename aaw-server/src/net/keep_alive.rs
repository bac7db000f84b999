//! The header `Keep-Alive` (RFC 2068, 19.7.1.1), from which clients and proxies learn when an idle connection will be
//! closed. Without it a request may be sent over a connection that is being closed, and be lost.

use std::time::Duration;

use hyper::header::{CONNECTION, HeaderName, HeaderValue};
use hyper::{Request, Response, Version};

use crate::net::message_check::has_token;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// The value of the header. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct KeepAlive(HeaderValue);

impl KeepAlive {
    /// `None` for a timeout of less than a second, which cannot be expressed.
    pub(super) fn new(timeout: Duration) -> Option<Self> {
        let value = HeaderValue::try_from(format!("timeout={}", timeout.as_secs())).ok();
        value.filter(|_| timeout.as_secs() > 0).map(Self)
    }

    /// Adds the header, unless the response says itself what becomes of the connection.
    pub(super) fn announce<B>(self, response: &mut Response<B>) {
        let headers = response.headers_mut();
        if !headers.contains_key(CONNECTION) {
            headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
            headers.insert(KEEP_ALIVE, self.0);
        }
    }
}

/// Whether the client lets the connection stay open after this request. Those of HTTP/1.0 have to ask for that, and hyper
/// responds to those that do.
pub(super) fn is_wanted<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11 && !has_token(request.headers(), &CONNECTION, "close")
}
