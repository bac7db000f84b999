//! The header `Keep-Alive` (RFC 2068, 19.7.1.1), from which clients and proxies learn when an idle connection will be
//! closed. Without it a request may be sent over a connection that is being closed, and be lost.

use std::time::Duration;

use hyper::header::{CONNECTION, HeaderName, HeaderValue};
use hyper::{Request, Response, Version};

use crate::net::http_connection::HttpConnection;
use crate::net::message_check::has_token;
use crate::net::shutdown_phase::ShutdownPhase;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// The header of one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct KeepAlive(Option<HeaderValue>);

impl KeepAlive {
    /// A timeout of less than a second cannot be expressed, and is not announced.
    pub(super) fn new(timeout: Duration) -> Self {
        let header = HeaderValue::try_from(format!("timeout={}", timeout.as_secs())).ok();
        Self(header.filter(|_| timeout.as_secs() > 0))
    }

    /// Whether the response to this request announces the timeout: the connection stays open after it. Clients of HTTP/1.0
    /// have to ask for that, and hyper responds to those that do.
    pub(super) fn is_announced_to<B>(&self, request: &Request<B>, connection: &HttpConnection) -> bool {
        self.0.is_some()
            && request.version() == Version::HTTP_11
            && !has_token(request.headers(), &CONNECTION, "close")
            && !connection.shared.shutdown.has_reached(ShutdownPhase::Draining)
    }

    /// Adds the header, unless the response says itself what becomes of the connection.
    pub(super) fn announce<B>(self, response: &mut Response<B>) {
        let headers = response.headers_mut();
        if let Some(timeout) = self.0
            && !headers.contains_key(CONNECTION)
        {
            headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
            headers.insert(KEEP_ALIVE, timeout);
        }
    }
}
