//! A socket that adds a body to the error responses of hyper itself.
//!
//! hyper responds to a request that it cannot parse with a status and no body, before the request reaches any of our
//! code, and has no hook for that. What it writes while no request is in progress and everything before has been
//! flushed can only be such a response. A request that was sent before the previous response was flushed is therefore
//! not covered.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aaw_protocol::{Code, Failure, codec};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::http_connection::{HttpConnection, log_refusal};
use crate::origin::Scheme;

/// The most bytes that hyper accepts as the head of a request.
pub(crate) const MAX_HEAD_BYTES: usize = 16 << 10;

/// How each TLS connection begins: a handshake record, and the major version.
const TLS_HANDSHAKE: [u8; 2] = [0x16, 3];

/// A socket for hyper.
#[derive(Debug)]
pub(crate) struct ErrorBodies<S> {
    socket: S,
    connection: Arc<HttpConnection>,
    /// The number of requests that had been received when everything was flushed last.
    flushed_requests: usize,
    /// Whether the first line of the request that arrives has ended. Not known of one that was sent together with the
    /// previous request: if its headers are too large, its target is named instead.
    has_request_line: bool,
    error: Option<ErrorResponse>,
}

/// The response that is sent instead of hyper's.
#[derive(Debug)]
struct ErrorResponse {
    bytes: Vec<u8>,
    written: usize,
}

impl<S> ErrorBodies<S> {
    pub(crate) fn new(socket: S, connection: Arc<HttpConnection>) -> Self {
        Self { socket, connection, flushed_requests: 0, has_request_line: false, error: None }
    }

    pub(crate) fn into_inner(self) -> S {
        self.socket
    }

    /// Whether there is neither a request in progress nor a response that has not been flushed, and the connection still
    /// carries HTTP.
    fn is_idle(&self) -> bool {
        !self.connection.is_active()
            && !self.connection.is_upgraded()
            && self.connection.requests_received() == self.flushed_requests
    }

    /// Takes over a response of hyper's own. Returns false if `head` is something else.
    fn take_over(&mut self, head: &[u8]) -> bool {
        if self.error.is_none() && self.is_idle() {
            self.error = add_body(head, self.has_request_line).map(|bytes| ErrorResponse { bytes, written: 0 });
            if self.error.is_some() {
                self.connection.count_unparsed();
            }
        }
        self.error.is_some()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> ErrorBodies<S> {
    fn poll_write_error(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(error) = &mut self.error else { return Poll::Ready(Ok(())) };
        while error.written < error.bytes.len() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &error.bytes[error.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            error.written += written;
        }
        Poll::Ready(Ok(()))
    }
}

/// Adds a body to a response that hyper has made; `None` if it is not one of those.
fn add_body(head: &[u8], has_request_line: bool) -> Option<Vec<u8>> {
    let head = std::str::from_utf8(head).ok()?.strip_suffix("\r\n\r\n")?;
    let (status, headers) = head.split_once("\r\n")?;
    let (status, failure) = match status {
        "HTTP/1.1 400 Bad Request" => {
            let error = "The request is not valid HTTP/1.1: expected a request line, headers, and an empty line";
            (status, Failure::new(Code::BAD_FRAME, error))
        }
        // hyper has one status for both.
        "HTTP/1.1 431 Request Header Fields Too Large" if !has_request_line => {
            let error =
                format!("The request target is too long: the head of a request has at most {MAX_HEAD_BYTES} bytes");
            ("HTTP/1.1 414 URI Too Long", Failure::new(Code::TOO_LARGE, error))
        }
        "HTTP/1.1 431 Request Header Fields Too Large" => {
            let error = format!(
                "The headers are too large: the head of a request has at most {MAX_HEAD_BYTES} bytes and 100 headers"
            );
            (status, Failure::new(Code::TOO_LARGE, error))
        }
        _ => return None,
    };
    let mut body = Vec::new();
    codec::failure(&mut body, &failure);
    let mut response = format!("{status}\r\n").into_bytes();
    for header in headers.split("\r\n").filter(|header| !header.starts_with("content-length:")) {
        response.extend_from_slice(header.as_bytes());
        response.extend_from_slice(b"\r\n");
    }
    let content = format!(
        "content-type: application/json\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    response.extend_from_slice(content.as_bytes());
    response.extend_from_slice(&body);
    Some(response)
}

impl<S: AsyncRead + Unpin> AsyncRead for ErrorBodies<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.socket).poll_read(cx, buf));
        if !self.has_request_line && self.is_idle() {
            let head = &buf.filled()[before..];
            self.has_request_line = head.contains(&b'\n');
            // hyper responds as to any other text that is no request.
            if head.starts_with(&TLS_HANDSHAKE) && self.connection.scheme == Scheme::Http {
                let (shared, peer) = (&self.connection.shared, self.connection.peer.address());
                log_refusal(shared, peer, "connection", "TLS (https:// or wss://) on a port that speaks plain HTTP");
            }
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ErrorBodies<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.take_over(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let head = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        if self.take_over(head) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper flushes after it has written all it has, so a completed flush means that nothing is pending.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_error(cx))?;
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        let received = self.connection.requests_received();
        if received != self.flushed_requests && !self.connection.is_active() {
            (self.flushed_requests, self.has_request_line) = (received, false);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_error(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_responses_of_hyper_get_a_body() {
        let head =
            |status: &str| format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: D\r\n\r\n");
        let with_body = |status, has_request_line| {
            let response = add_body(head(status).as_bytes(), has_request_line)?;
            Some(String::from_utf8(response).expect("text"))
        };
        let bad = with_body("400 Bad Request", true).expect("a body");
        let (head_of_bad, body) = bad.split_once("\r\n\r\n").expect("a head");
        assert!(head_of_bad.starts_with("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ndate: D\r\n"), "{bad}");
        assert!(head_of_bad.ends_with(&format!("\r\ncontent-length: {}", body.len())), "{bad}");
        assert_eq!(head_of_bad.matches("content-length").count(), 1, "{bad}");
        assert!(body.ends_with(r#","code":"bad_frame"}"#), "{bad}");
        let too_large = "431 Request Header Fields Too Large";
        assert!(with_body(too_large, true).expect("a body").starts_with("HTTP/1.1 431 Request Header Fields"));
        assert!(with_body(too_large, false).expect("a body").starts_with("HTTP/1.1 414 URI Too Long\r\n"));
        assert_eq!(with_body("200 OK", true), None);
        assert_eq!(add_body(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nabc", true), None);
        assert_eq!(add_body(b"", true), None);
    }
}
