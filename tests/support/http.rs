//! HTTP requests with exact bytes, and responses whose bodies are read incrementally.

use std::net::SocketAddr;

use serde_json::Value;

use crate::{RawConnection, within};

/// A request.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    addr: SocketAddr,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl HttpRequest {
    /// A request with this method, a `Host` header and nothing else.
    pub fn new(addr: SocketAddr, method: &str, target: &str) -> Self {
        let request =
            Self { addr, method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() };
        request.header("Host", &addr.to_string())
    }

    /// A GET.
    pub fn get(addr: SocketAddr, target: &str) -> Self {
        Self::new(addr, "GET", target)
    }

    /// A POST, with the headers that `curl -d` sends.
    pub fn post(addr: SocketAddr, target: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::new(addr, "POST", target)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Content-Length", &body.len().to_string())
            .body(body)
    }

    /// A valid WebSocket handshake.
    pub fn handshake(addr: SocketAddr) -> Self {
        Self::get(addr, "/")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    /// Sets the method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    /// Sets the body, without changing any header.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Removes a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| !header.eq_ignore_ascii_case(name));
        self
    }

    /// Sets a header, in place of every header of this name.
    #[must_use]
    pub fn replace(self, name: &str, value: &str) -> Self {
        self.without(name).header(name, value)
    }

    /// Adds an `Accept` header.
    #[must_use]
    pub fn accept(self, accept: &str) -> Self {
        self.header("Accept", accept)
    }

    /// Returns the request's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut bytes = format!("{} {} HTTP/1.1\r\n{headers}\r\n", self.method, self.target).into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends the request over a new connection, and returns the whole response.
    ///
    /// # Panics
    /// If there is no response.
    pub async fn send(&self) -> HttpResponse {
        self.open_websocket().await.0
    }

    /// Sends the request over this connection, and returns the whole response.
    ///
    /// # Panics
    /// If there is no response.
    pub async fn send_over(&self, raw: &mut RawConnection) -> HttpResponse {
        raw.send(&self.bytes()).await;
        // A response to HEAD has no body, whatever its headers announce.
        if self.method == "HEAD" { raw.read_head().await } else { raw.read_response().await }
    }

    /// Sends the request over a new connection, and returns the whole response and the connection, which is a WebSocket
    /// if the status is 101.
    ///
    /// # Panics
    /// If there is no response.
    pub async fn open_websocket(&self) -> (HttpResponse, RawConnection) {
        let mut raw = RawConnection::connect(self.addr).await;
        let response = self.send_over(&mut raw).await;
        (response, raw)
    }

    /// Sends the request over a new connection, and returns the head of the response and its body, to be read
    /// incrementally.
    ///
    /// # Panics
    /// If there is no response.
    pub async fn open(&self) -> (HttpResponse, HttpBody<RawConnection>) {
        open_response(self.start().await).await
    }

    /// Sends the request over a new connection, without waiting for the response.
    pub async fn start(&self) -> RawConnection {
        let mut raw = RawConnection::connect(self.addr).await;
        raw.send(&self.bytes()).await;
        raw
    }
}

/// A response.
#[derive(Debug)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The status line and the headers, in lower case.
    pub head: String,
    /// The body; empty if only the head was read.
    pub body: String,
}

impl RawConnection {
    /// Opens a WebSocket, offering these sub-protocols.
    ///
    /// # Panics
    /// If the handshake fails.
    pub async fn websocket(addr: SocketAddr, protocols: Option<&str>) -> Self {
        let mut handshake = HttpRequest::handshake(addr);
        if let Some(protocols) = protocols {
            handshake = handshake.header("Sec-WebSocket-Protocol", protocols);
        }
        let (response, raw) = handshake.open_websocket().await;
        assert_eq!(response.status, 101, "{response:?}");
        raw
    }

    /// Reads the response to a request that was sent.
    ///
    /// # Panics
    /// If the connection ends before.
    pub async fn read_response(&mut self) -> HttpResponse {
        HttpResponse::read(self).await
    }

    /// Reads the head of a response.
    ///
    /// # Panics
    /// If the connection ends before.
    pub async fn read_head(&mut self) -> HttpResponse {
        HttpResponse::read_head(self).await
    }
}

impl HttpResponse {
    pub(crate) async fn read(raw: &mut RawConnection) -> Self {
        let mut response = Self::read_head(raw).await;
        response.body = String::from_utf8(HttpBody::new(&response, raw).rest().await).expect("UTF-8");
        response
    }

    pub(crate) async fn read_head(raw: &mut RawConnection) -> Self {
        let head = raw.take_until(b"\r\n\r\n").await.expect("the head of a response before the end of the connection");
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        Self { status, head, body: String::new() }
    }

    /// Returns a header's value, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{}:", name.to_ascii_lowercase());
        self.head.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::trim)
    }

    /// Returns the values of all headers of this name, in lower case.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let prefix = format!("{}:", name.to_ascii_lowercase());
        self.head.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::trim).collect()
    }

    /// Returns the body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the status, and the error code in the body.
    pub fn failure(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// The body of a response, read incrementally.
pub struct HttpBody<R> {
    raw: R,
    /// Decoded, and not returned yet.
    buffer: Vec<u8>,
    remaining: BodyRemaining,
}

/// What of the body is still to be read from the connection.
enum BodyRemaining {
    Bytes(usize),
    Chunks,
}

impl<R: AsMut<RawConnection>> HttpBody<R> {
    fn new(head: &HttpResponse, raw: R) -> Self {
        let is_chunked = head.header("transfer-encoding") == Some("chunked");
        let len = head.header("content-length").map_or(0, |len| len.parse().expect("a number"));
        let len = if matches!(head.status, 204 | 304) { 0 } else { len };
        let remaining = if is_chunked { BodyRemaining::Chunks } else { BodyRemaining::Bytes(len) };
        Self { raw, buffer: Vec::new(), remaining }
    }

    /// Returns the next line, without its end; `None` at the end of the body.
    ///
    /// # Panics
    /// If the connection ends before the body.
    pub async fn line(&mut self) -> Option<String> {
        self.until(b"\n").await
    }

    /// Returns the next block of server-sent events, without its end; `None` at the end of the body.
    ///
    /// # Panics
    /// If the connection ends before the body.
    pub async fn block(&mut self) -> Option<String> {
        self.until(b"\n\n").await
    }

    async fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                let line: Vec<u8> = self.buffer.drain(..at + end.len()).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !self.read_more().await {
                assert!(self.buffer.is_empty(), "half a line: {:?}", String::from_utf8_lossy(&self.buffer));
                return None;
            }
        }
    }

    /// Returns the rest of the body.
    ///
    /// # Panics
    /// If the connection ends before the body.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.read_more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Returns the connection.
    pub fn into_raw(self) -> R {
        self.raw
    }

    /// Returns false at the end of the body.
    async fn read_more(&mut self) -> bool {
        const CUT: &str = "the connection ended before the body";
        let raw = self.raw.as_mut();
        match &mut self.remaining {
            BodyRemaining::Bytes(0) => false,
            BodyRemaining::Bytes(remaining) => {
                self.buffer.extend(raw.take(*remaining).await.expect(CUT));
                *remaining = 0;
                true
            }
            BodyRemaining::Chunks => {
                let size = raw.take_until(b"\r\n").await.expect(CUT);
                let len = std::str::from_utf8(&size).ok().and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
                let len = len.unwrap_or_else(|| panic!("not the size of a chunk: {size:?}"));
                let chunk = raw.take(len + 2).await.expect(CUT);
                self.buffer.extend_from_slice(&chunk[..len]);
                if len == 0 {
                    self.remaining = BodyRemaining::Bytes(0);
                }
                len > 0
            }
        }
    }
}

/// Reads the head of the response to a request that was sent, and returns it with its body, to be read incrementally.
///
/// # Panics
/// If there is no response.
pub async fn open_response(mut raw: RawConnection) -> (HttpResponse, HttpBody<RawConnection>) {
    let response = raw.read_head().await;
    let body = HttpBody::new(&response, raw);
    (response, body)
}

/// Sends all requests at the same time, each over a connection of its own. Returns the responses in the same order.
///
/// # Panics
/// If a response is missing.
pub async fn send_all(requests: &[HttpRequest]) -> Vec<HttpResponse> {
    let all = requests.iter().map(HttpRequest::send);
    within("all responses", || "some".into(), futures_util::future::join_all(all)).await
}
