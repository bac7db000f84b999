//! HTTP requests that say exactly what a test says, and responses that are read as they come.

use std::net::SocketAddr;

use serde_json::Value;

use crate::raw::Response;
use crate::{Raw, within};

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    addr: SocketAddr,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// With this method.
    pub fn new(addr: SocketAddr, method: &str, target: &str) -> Self {
        let request =
            Self { addr, method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() };
        request.header("Host", &addr.to_string())
    }

    /// A GET.
    pub fn get(addr: SocketAddr, target: &str) -> Self {
        Self::new(addr, "GET", target)
    }

    /// A POST as `curl -d` makes it.
    pub fn post(addr: SocketAddr, target: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::new(addr, "POST", target)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Content-Length", &body.len().to_string())
            .body(body)
    }

    /// With a body, of which no header says anything.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With another value for a header.
    #[must_use]
    pub fn replace(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(header, _)| !header.eq_ignore_ascii_case(name));
        self.header(name, value)
    }

    /// With this `Accept`.
    #[must_use]
    pub fn accept(self, accept: &str) -> Self {
        self.header("Accept", accept)
    }

    /// The request's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut bytes = format!("{} {} HTTP/1.1\r\n{headers}\r\n", self.method, self.target).into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it over a connection of its own; gives the whole response.
    ///
    /// # Panics
    /// When there is none.
    pub async fn send(&self) -> Response {
        let mut raw = Raw::connect(self.addr).await;
        self.send_over(&mut raw).await
    }

    /// Sends it over this connection; gives the whole response.
    ///
    /// # Panics
    /// When there is none.
    pub async fn send_over(&self, raw: &mut Raw) -> Response {
        raw.send(&self.bytes()).await;
        let mut response = raw.read_head().await;
        if self.method != "HEAD" {
            let mut body = Body::new(&response, raw);
            response.body = String::from_utf8(body.rest().await).expect("UTF-8");
        }
        response
    }

    /// Sends it, waits for the head of the response, and gives both: the body is read as it comes.
    ///
    /// # Panics
    /// When there is no response.
    pub async fn open(&self) -> (Response, Body<Raw>) {
        read_from(self.start().await).await
    }

    /// Sends it, and waits for nothing.
    pub async fn start(&self) -> Raw {
        let mut raw = Raw::connect(self.addr).await;
        raw.send(&self.bytes()).await;
        raw
    }
}

impl Response {
    /// The body, as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The status, and the code of the failure that stands in the body.
    pub fn failure(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// A body that is read as it comes.
pub struct Body<R> {
    raw: R,
    /// Decoded, and not yet looked at.
    ahead: Vec<u8>,
    left: Left,
}

/// What is to come.
enum Left {
    Bytes(usize),
    Chunks,
}

impl<R: AsMut<Raw>> Body<R> {
    fn new(head: &Response, raw: R) -> Self {
        let is_chunked = head.header("transfer-encoding") == Some("chunked");
        let len = head.header("content-length").map_or(0, |len| len.parse().expect("a number"));
        let len = if matches!(head.status, 204 | 304) { 0 } else { len };
        let left = if is_chunked { Left::Chunks } else { Left::Bytes(len) };
        Self { raw, ahead: Vec::new(), left }
    }

    /// The next line, without its end. Nothing at the end of the body.
    ///
    /// # Panics
    /// When the connection breaks before the end.
    pub async fn line(&mut self) -> Option<String> {
        self.until(b"\n").await
    }

    /// The next block of server-sent events, without its end. Nothing at the end of the body.
    ///
    /// # Panics
    /// When the connection breaks before the end.
    pub async fn block(&mut self) -> Option<String> {
        self.until(b"\n\n").await
    }

    async fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            if let Some(at) = self.ahead.windows(end.len()).position(|window| window == end) {
                let line: Vec<u8> = self.ahead.drain(..at + end.len()).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !self.more().await.expect("the body is whole") {
                assert!(self.ahead.is_empty(), "half a line: {:?}", String::from_utf8_lossy(&self.ahead));
                return None;
            }
        }
    }

    /// All that is to come.
    ///
    /// # Panics
    /// When the connection breaks before the end.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await.expect("the body is whole") {}
        std::mem::take(&mut self.ahead)
    }

    /// Reads until the connection breaks off, as it must.
    ///
    /// # Panics
    /// When the body comes to its end.
    pub async fn expect_break(&mut self) {
        loop {
            match self.more().await {
                None => return,
                Some(more) => assert!(more, "it ends as if nothing were wrong"),
            }
        }
    }

    /// The connection that it comes over.
    pub fn into_raw(self) -> R {
        self.raw
    }

    /// Reads on. False at the end, nothing if the connection breaks before.
    async fn more(&mut self) -> Option<bool> {
        let raw = self.raw.as_mut();
        match &mut self.left {
            Left::Bytes(0) => Some(false),
            Left::Bytes(left) => {
                self.ahead.extend(raw.take(*left).await?);
                *left = 0;
                Some(true)
            }
            Left::Chunks => {
                let line = raw.take_line().await.filter(|line| line.ends_with(b"\r\n"))?;
                let len = std::str::from_utf8(&line).ok().and_then(|len| usize::from_str_radix(len.trim(), 16).ok());
                let len = len.unwrap_or_else(|| panic!("no chunk: {line:?}"));
                let mut chunk = raw.take(len + 2).await?;
                chunk.truncate(len);
                self.ahead.extend(chunk);
                if len == 0 {
                    self.left = Left::Bytes(0);
                }
                Some(len > 0)
            }
        }
    }
}

impl AsMut<Self> for Raw {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

/// Waits for the head of the response to a request that was sent; the body is read as it comes.
///
/// # Panics
/// When there is no response.
pub async fn read_from(mut raw: Raw) -> (Response, Body<Raw>) {
    let response = raw.read_head().await;
    let body = Body::new(&response, raw);
    (response, body)
}

/// Sends all of them at once, each over its own connection; gives the responses in their order.
///
/// # Panics
/// When one has none.
pub async fn send_all(requests: &[Request]) -> Vec<Response> {
    let all = requests.iter().map(Request::send);
    within("all responses", || "some".into(), futures_util::future::join_all(all)).await
}
