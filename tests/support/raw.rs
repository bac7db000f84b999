//! Bytes over TCP: requests and frames that no client would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{shortened, within};

/// A TCP connection.
pub struct Raw {
    stream: TcpStream,
    /// Read and not yet looked at.
    ahead: Vec<u8>,
}

/// What an HTTP request was answered with.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Everything before the body, in lower case.
    pub head: String,
    /// As long as the header says.
    pub body: String,
}

impl Response {
    /// A header's value, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{}:", name.to_ascii_lowercase());
        self.head.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::trim)
    }
}

/// A frame as it stands on the wire.
#[derive(Debug, PartialEq)]
pub struct Frame {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// A text message in one frame.
pub const TEXT: u8 = 0x81;
/// A binary message in one frame.
pub const BINARY: u8 = 0x82;
/// A ping.
pub const PING: u8 = 0x89;
/// A pong.
pub const PONG: u8 = 0x8A;
/// A close frame.
pub const CLOSE: u8 = 0x88;

impl Raw {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, ahead: Vec::new() }
    }

    /// A WebSocket.
    ///
    /// # Panics
    /// When it is not let in.
    pub async fn websocket(addr: SocketAddr, protocols: Option<&str>) -> Self {
        let mut handshake = Handshake::new(addr);
        if let Some(protocols) = protocols {
            handshake = handshake.header("Sec-WebSocket-Protocol", protocols);
        }
        let (response, raw) = handshake.open().await;
        assert_eq!(response.status, 101, "{response:?}");
        raw
    }

    /// Writes bytes.
    ///
    /// # Panics
    /// When the server has gone.
    pub async fn send(&mut self, bytes: &[u8]) {
        let sent = within("to send", || "nothing".into(), self.stream.write_all(bytes)).await;
        sent.expect("the server takes it");
    }

    /// Writes bytes, be it that the server closes meanwhile. True if it took them all.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        within("to send", || "nothing".into(), self.stream.write_all(bytes)).await.is_ok()
    }

    /// Writes as many of these bytes as fit without waiting.
    pub fn send_now(&mut self, bytes: &[u8]) -> usize {
        self.stream.try_write(bytes).unwrap_or(0)
    }

    /// Sends a frame, masked.
    pub async fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send(&frame(first, payload)).await;
    }

    /// Sends a text message.
    pub async fn send_text(&mut self, text: &str) {
        self.send_frame(TEXT, text.as_bytes()).await;
    }

    /// The next frame.
    ///
    /// # Panics
    /// When the connection ends.
    pub async fn read_frame(&mut self) -> Frame {
        self.try_read_frame().await.expect("a frame, not the end")
    }

    /// The next frame; nothing at the end.
    pub async fn try_read_frame(&mut self) -> Option<Frame> {
        let head = self.take(2).await?;
        assert_eq!(head[1] & 0x80, 0, "a server masks nothing");
        let len = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.take(2).await?.try_into().ok()?)),
            127 => u64::from_be_bytes(self.take(8).await?.try_into().ok()?),
            len => u64::from(len),
        };
        let payload = self.take(usize::try_from(len).ok()?).await?;
        Some(Frame { first: head[0], payload })
    }

    /// The next frame is a text with this.
    ///
    /// # Panics
    /// If not.
    pub async fn expect_text(&mut self, expected: &str) {
        let frame = self.read_frame().await;
        assert_eq!((frame.first, shortened(&String::from_utf8_lossy(&frame.payload))), (TEXT, shortened(expected)));
        assert!(frame.payload == expected.as_bytes(), "they differ past the beginning");
    }

    /// The next frame is a close frame with this code; then TCP ends. Gives the reason.
    ///
    /// # Panics
    /// If not.
    pub async fn expect_close(&mut self, code: u16) -> String {
        let frame = self.read_frame().await;
        assert_eq!(frame.first, CLOSE, "{frame:?}");
        assert_eq!(u16::from_be_bytes([frame.payload[0], frame.payload[1]]), code, "{frame:?}");
        self.expect_end().await;
        String::from_utf8_lossy(&frame.payload[2..]).into_owned()
    }

    /// Nothing more comes: the server has closed TCP.
    ///
    /// # Panics
    /// When something comes.
    pub async fn expect_end(&mut self) {
        assert_eq!(self.take(1).await, None);
    }

    /// The response to a request that was sent.
    ///
    /// # Panics
    /// When there is none.
    pub async fn read_response(&mut self) -> Response {
        let mut response = self.read_head().await;
        let len = response.header("content-length").map_or(0, |len| len.parse().expect("a number"));
        response.body = String::from_utf8_lossy(&self.take(len).await.expect("the body")).into_owned();
        response
    }

    /// A response up to its body.
    ///
    /// # Panics
    /// When there is none.
    pub async fn read_head(&mut self) -> Response {
        let end = loop {
            if let Some(at) = self.ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.read_more().await, "a response, not the end: {}", String::from_utf8_lossy(&self.ahead));
        };
        let head: Vec<u8> = self.ahead.drain(..end).collect();
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        Response { status, head, body: String::new() }
    }

    /// Up to and with the next line feed; what is left if the connection ends before, if there is any.
    pub async fn take_line(&mut self) -> Option<Vec<u8>> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.ahead[seen..].iter().position(|&byte| byte == b'\n') {
                return self.take(seen + at + 1).await;
            }
            seen = self.ahead.len();
            if !self.read_more().await {
                return (seen > 0).then(|| std::mem::take(&mut self.ahead));
            }
        }
    }

    /// Closes our direction: the server reads the end.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Resets the connection: the server reads no end, but an error.
    ///
    /// # Panics
    /// When the system does not let us.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("a socket");
    }

    /// So many bytes; nothing if the connection ends before.
    pub async fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        while self.ahead.len() < len {
            if !self.read_more().await {
                return None;
            }
        }
        let rest = self.ahead.split_off(len);
        Some(std::mem::replace(&mut self.ahead, rest))
    }

    async fn read_more(&mut self) -> bool {
        let mut buffer = vec![0; 64 << 10];
        let seen = || String::from_utf8_lossy(&self.ahead).chars().take(300).collect();
        // A reset is an end too.
        let read = within("bytes", seen, self.stream.read(&mut buffer)).await.unwrap_or(0);
        self.ahead.extend_from_slice(&buffer[..read]);
        read > 0
    }
}

/// A frame's bytes, masked, as a client must.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    // A mask of zeros is one, and takes no time with megabytes.
    let mask = if payload.len() > 1 << 20 { [0; 4] } else { [0x12, 0x34, 0x56, 0x78] };
    let mut bytes = head(first, payload.len(), 0x80);
    bytes.extend_from_slice(&mask);
    match mask {
        [0, 0, 0, 0] => bytes.extend_from_slice(payload),
        mask => bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask)),
    }
    bytes
}

/// A frame's bytes as no client may send them.
pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, payload.len(), 0);
    bytes.extend_from_slice(payload);
    bytes
}

/// A frame's beginning, up to its mask, that promises so many bytes.
pub fn head(first: u8, len: usize, mask_bit: u8) -> Vec<u8> {
    let mut bytes = vec![first];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len), _) if len < 126 => bytes.push(mask_bit | len),
        (_, Ok(len)) => {
            bytes.push(mask_bit | 126);
            bytes.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            bytes.push(mask_bit | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes
}

/// A WebSocket handshake that can be spoilt.
#[derive(Debug, Clone)]
pub struct Handshake {
    addr: SocketAddr,
    method: String,
    headers: Vec<(String, String)>,
}

impl Handshake {
    /// One that is right.
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, method: "GET".into(), headers: Vec::new() }
            .header("Host", &addr.to_string())
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    /// With another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.into();
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
    pub fn replace(self, name: &str, value: &str) -> Self {
        self.without(name).header(name, value)
    }

    /// Without a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| !header.eq_ignore_ascii_case(name));
        self
    }

    /// The request's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{} / HTTP/1.1\r\n{headers}\r\n", self.method).into_bytes()
    }

    /// Sends it; gives the response, and the connection.
    pub async fn open(&self) -> (Response, Raw) {
        let mut raw = Raw::connect(self.addr).await;
        raw.send(&self.bytes()).await;
        let response = raw.read_response().await;
        (response, raw)
    }

    /// Sends it; gives the response.
    pub async fn send(&self) -> Response {
        self.open().await.0
    }
}
