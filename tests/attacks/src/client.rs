//! A well-behaved client: it reads what it is sent, and answers pings. It blocks its thread.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::frames::{self, CLOSE, PING, PONG, TEXT};
use crate::sources::Place;

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// The most bytes of one message that is accepted.
const MOST: usize = 16 << 20;

/// One connection.
pub(crate) struct Client {
    socket: TcpStream,
    unread: Vec<u8>,
    next_id: u64,
}

/// The request that opens a WebSocket.
pub(crate) fn upgrade_request(target: SocketAddr, place: &Place) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: {target}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: aaw.v1\r\n{}\r\n",
        place.header_lines()
    )
}

impl Client {
    /// Connects, and waits for the welcome.
    pub(crate) fn connect(target: SocketAddr, place: &Place) -> Result<Self, String> {
        let socket = place.connect(target, DEADLINE).map_err(|error| format!("connect: {}", error.kind()))?;
        let mut client = Self { socket, unread: Vec::new(), next_id: 1 };
        client.write(upgrade_request(target, place).as_bytes())?;
        let head = client.read_head()?;
        match status(&head) {
            Some(101) => {}
            Some(status) => return Err(format!("HTTP {status}")),
            None => return Err("no HTTP".to_owned()),
        }
        client.write(&frames::text(r#"["aaw/hello",{}]"#))?;
        let welcome = client.read_text()?;
        if welcome.starts_with(r#"["aaw/welcome""#) { Ok(client) } else { Err(shortened(&welcome)) }
    }

    /// The socket, for a thread that writes.
    pub(crate) fn socket(&self) -> Result<TcpStream, String> {
        self.socket.try_clone().map_err(|error| error.to_string())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.socket.write_all(bytes).map_err(describe)
    }

    /// Calls an event, and returns the frame of the response. Pushes are skipped.
    pub(crate) fn call(&mut self, event: &str, body: &str) -> Result<String, String> {
        let id = self.next_id;
        self.next_id += 1;
        self.write(&frames::text(&format!(r#"["{event}",{body},{id}]"#)))?;
        let (response, failure) = (format!(",{id}]"), format!(r#",{id},"error"]"#));
        loop {
            let text = self.read_text()?;
            if text.ends_with(&response) || text.ends_with(&failure) {
                return Ok(text);
            }
        }
    }

    /// Returns the next text message.
    pub(crate) fn read_text(&mut self) -> Result<String, String> {
        loop {
            while let Some((opcode, payload)) = self.take_frame() {
                match opcode {
                    TEXT => return Ok(String::from_utf8_lossy(&payload).into_owned()),
                    PING => {
                        let mut pong = Vec::new();
                        frames::append(&mut pong, true, PONG, &payload);
                        self.write(&pong)?;
                    }
                    CLOSE => return Err(close_label(&payload)),
                    _ => {}
                }
            }
            self.read_more()?;
        }
    }

    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = &self.unread;
        let (start, len) = match *head.get(1)? & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes(head.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(head.get(2..10)?.try_into().ok()?)),
            short => (2, u64::from(short)),
        };
        let end = start + usize::try_from(len).ok()?;
        let payload = head.get(start..end)?.to_vec();
        let opcode = head[0] & 0x0f;
        self.unread.drain(..end);
        Some((opcode, payload))
    }

    fn read_head(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok(self.unread.drain(..end + 4).collect());
            }
            self.read_more()?;
        }
    }

    fn read_more(&mut self) -> Result<(), String> {
        let mut buffer = [0; 64 << 10];
        match self.socket.read(&mut buffer).map_err(describe)? {
            0 => Err("closed without a frame".to_owned()),
            _ if self.unread.len() > MOST => Err("too much".to_owned()),
            len => {
                self.unread.extend_from_slice(&buffer[..len]);
                Ok(())
            }
        }
    }
}

/// Sends one HTTP request, and returns the status and the response with its head.
pub(crate) fn http(target: SocketAddr, place: &Place, line: &str, body: &str) -> Result<(u16, String), String> {
    let mut socket = place.connect(target, DEADLINE).map_err(|error| format!("connect: {}", error.kind()))?;
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n{}Content-Length: {}\r\n\r\n{body}",
        place.header_lines(),
        body.len()
    );
    socket.write_all(request.as_bytes()).map_err(describe)?;
    let mut response = Vec::new();
    socket.take(MOST as u64).read_to_end(&mut response).map_err(describe)?;
    let status = status(&response).ok_or("no HTTP")?;
    Ok((status, String::from_utf8_lossy(&response).into_owned()))
}

/// Returns the status of the response that starts here.
pub(crate) fn status(response: &[u8]) -> Option<u16> {
    std::str::from_utf8(response.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()?.parse().ok()
}

/// Describes a close frame by its code.
pub(crate) fn close_label(payload: &[u8]) -> String {
    match payload {
        [high, low, ..] => format!("closed {}", u16::from_be_bytes([*high, *low])),
        _ => "closed".to_owned(),
    }
}

fn describe(error: std::io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("nothing for {} s", DEADLINE.as_secs()),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset".to_owned(),
        kind => kind.to_string(),
    }
}

/// The start of a text.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(160).collect()
}
