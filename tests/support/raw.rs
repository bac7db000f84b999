//! Bytes over TCP: requests and frames that a conforming client never sends.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::{truncated, within};

/// A TCP connection.
pub struct RawConnection {
    stream: TcpStream,
    /// Read from the socket, and not returned yet.
    buffer: Vec<u8>,
}

/// A WebSocket frame.
#[derive(Debug, PartialEq)]
pub struct RawFrame {
    /// The first byte: FIN, the reserved bits and the opcode.
    pub first: u8,
    /// The payload.
    pub payload: Vec<u8>,
}

/// The first byte of a text message in one frame.
pub const TEXT: u8 = 0x81;
/// The first byte of a binary message in one frame.
pub const BINARY: u8 = 0x82;
/// The first byte of a ping.
pub const PING: u8 = 0x89;
/// The first byte of a pong.
pub const PONG: u8 = 0x8A;
/// The first byte of a close frame.
pub const CLOSE: u8 = 0x88;

impl RawConnection {
    /// Opens a TCP connection.
    ///
    /// # Panics
    /// If the server does not listen.
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, buffer: Vec::new() }
    }

    /// Opens a TCP connection from an address of this machine, with a small receive buffer and small segments, by which the
    /// system determines the server's send buffer: what the test does not read soon waits in the server.
    ///
    /// # Panics
    /// If the server does not listen.
    pub async fn connect_from(from: Ipv4Addr, addr: SocketAddr) -> Self {
        Self::connect_with_buffer(64 << 10, from, addr).await
    }

    /// As [`connect_from`](Self::connect_from), with a receive buffer of this number of bytes. The server may send as often as half of
    /// it is read: with 8 KiB the test's pace is that of a slow network.
    ///
    /// # Panics
    /// If the server does not listen.
    pub async fn connect_with_buffer(bytes: u32, from: Ipv4Addr, addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(bytes).expect("a socket");
        SockRef::from(&socket).set_tcp_mss(1460).expect("a socket");
        socket.bind((from, 0).into()).expect("an address of this machine");
        let stream = socket.connect(addr).await.expect("the server listens");
        Self { stream, buffer: Vec::new() }
    }

    /// Writes bytes.
    ///
    /// # Panics
    /// If the server has closed the connection.
    pub async fn send(&mut self, bytes: &[u8]) {
        assert!(self.try_send(bytes).await, "the server has closed the connection");
    }

    /// Writes bytes. Returns false if the server closed the connection before all were written.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        within("to send", || "nothing".into(), self.stream.write_all(bytes)).await.is_ok()
    }

    /// Writes bytes, however long the server does not read them. Returns false if it closed the connection before all were
    /// written.
    pub async fn write_all(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Writes as many of these bytes as the socket takes without waiting. Returns their number.
    pub fn send_now(&mut self, bytes: &[u8]) -> usize {
        self.stream.try_write(bytes).unwrap_or(0)
    }

    /// Sends a masked frame.
    pub async fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send(&masked(first, payload)).await;
    }

    /// Sends a text message.
    pub async fn send_text(&mut self, text: &str) {
        self.send_frame(TEXT, text.as_bytes()).await;
    }

    /// Returns the next frame.
    ///
    /// # Panics
    /// If the connection ends before.
    pub async fn read_frame(&mut self) -> RawFrame {
        self.try_read_frame().await.expect("the connection is open")
    }

    /// Returns the next frame, `None` at the end of the connection.
    pub async fn try_read_frame(&mut self) -> Option<RawFrame> {
        let header = self.take(2).await?;
        assert_eq!(header[1] & 0x80, 0, "a server masks no frame");
        let len = match header[1] {
            126 => u64::from(u16::from_be_bytes(self.take(2).await?.try_into().ok()?)),
            127 => u64::from_be_bytes(self.take(8).await?.try_into().ok()?),
            len => u64::from(len),
        };
        let payload = self.take(usize::try_from(len).ok()?).await?;
        Some(RawFrame { first: header[0], payload })
    }

    /// Returns what the next read from the socket returns, of at most 64 KiB.
    pub async fn read_once(&mut self) -> Vec<u8> {
        assert!(self.buffer.is_empty(), "nothing was read before");
        let mut bytes = vec![0; 64 << 10];
        let len = within("to read", || "nothing".into(), self.stream.read(&mut bytes)).await.expect("a socket");
        bytes.truncate(len);
        bytes
    }

    /// Checks that the next frame is this text.
    ///
    /// # Panics
    /// If not.
    pub async fn expect_text(&mut self, expected: &str) {
        let frame = self.read_frame().await;
        assert_eq!((frame.first, truncated(&String::from_utf8_lossy(&frame.payload))), (TEXT, truncated(expected)));
        assert!(frame.payload == expected.as_bytes(), "they differ after the part that is shown");
    }

    /// Checks that the next frame is a close frame with this code, and that TCP ends after it. Returns the reason.
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

    /// Checks that the server closes TCP without sending anything more.
    ///
    /// # Panics
    /// If it sends something.
    pub async fn expect_end(&mut self) {
        assert_eq!(self.take(1).await, None);
    }

    /// Returns the bytes up to and including the next occurrence of `end`, `None` if the connection ends before.
    pub async fn take_until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        let mut searched: usize = 0;
        loop {
            // The occurrence may begin in the bytes that were there before.
            let from = searched.saturating_sub(end.len() - 1);
            if let Some(at) = self.buffer[from..].windows(end.len()).position(|window| window == end) {
                return self.take(from + at + end.len()).await;
            }
            searched = self.buffer.len();
            if !self.read_more().await {
                return None;
            }
        }
    }

    /// Closes the sending direction: the server reads the end.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Resets the connection: the server's next read fails.
    ///
    /// # Panics
    /// If the socket option cannot be set.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("a socket");
    }

    /// Returns the next `len` bytes, `None` if the connection ends before.
    pub async fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < len {
            if !self.read_more().await {
                return None;
            }
        }
        let rest = self.buffer.split_off(len);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    /// Reads and drops up to this number of bytes, what waits in the test first. Returns their number, 0 at the end of the connection.
    pub async fn skip_some(&mut self, max: usize) -> usize {
        if self.buffer.is_empty() {
            let mut bytes = vec![0; max];
            return self.stream.read(&mut bytes).await.unwrap_or(0);
        }
        let len = max.min(self.buffer.len());
        self.buffer.drain(..len);
        len
    }

    /// Returns false at the end of the connection. A reset counts as the end.
    async fn read_more(&mut self) -> bool {
        let mut bytes = vec![0; 64 << 10];
        let seen = || String::from_utf8_lossy(&self.buffer).chars().take(300).collect();
        let read = within("bytes", seen, self.stream.read(&mut bytes)).await.unwrap_or(0);
        self.buffer.extend_from_slice(&bytes[..read]);
        read > 0
    }
}

impl AsMut<Self> for RawConnection {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

/// Returns the bytes of a masked frame, as a client has to send it.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    // A mask of zeros is valid, and costs no time for payloads of megabytes.
    let mask = if payload.len() > 1 << 20 { [0; 4] } else { [0x12, 0x34, 0x56, 0x78] };
    let mut bytes = frame_header(first, payload.len(), 0x80);
    bytes.extend_from_slice(&mask);
    match mask {
        [0, 0, 0, 0] => bytes.extend_from_slice(payload),
        mask => bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask)),
    }
    bytes
}

/// Returns the bytes of an unmasked frame, which a client must not send.
pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame_header(first, payload.len(), 0);
    bytes.extend_from_slice(payload);
    bytes
}

/// Returns the bytes of a frame up to its mask, with this payload length. `mask_bit` is `0x80` or 0.
pub fn frame_header(first: u8, len: usize, mask_bit: u8) -> Vec<u8> {
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
