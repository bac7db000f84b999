//! What each server speaks: how a call is written, and how a response is read and checked.

use crate::measurement::BoxError;

/// The size of a small body.
pub(crate) const SMALL: usize = 100;

/// The size of a large body. With it the message is smaller than 1 MiB, aaw's default limit.
pub(crate) const LARGE: usize = 1_000_000;

/// The protocol of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// `["echo",BODY,ID]` in both directions: the classic dialect of aaw, and servers that echo frames.
    Classic,
    /// The dialect v1 of aaw: as classic, after a hello.
    V1,
    /// The package `async-await-websockets`: it omits the id from the response, and distinguishes connections by the
    /// sub-protocol that they offer.
    Original,
}

/// A text from the server.
pub(crate) enum Message<'a> {
    /// The response to the call with this id. Of a protocol without ids, the body tells it.
    Response(Option<u64>, &'a [u8]),
    Push(&'a [u8]),
}

impl Wire {
    /// Returns the request of the handshake. `number` is different for each connection.
    pub(crate) fn handshake(self, address: std::net::SocketAddr, number: u64) -> String {
        let protocol = match self {
            Self::Classic => String::new(),
            Self::V1 => "Sec-WebSocket-Protocol: aaw.v1\r\n".to_owned(),
            Self::Original => format!("Sec-WebSocket-Protocol: _{number}\r\n"),
        };
        format!(
            "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n"
        )
    }

    /// Returns the text that opens a connection, and the start of the server's answer.
    pub(crate) fn hello(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::V1 => Some((r#"["aaw/hello",{}]"#, r#"["aaw/welcome","#)),
            Self::Classic | Self::Original => None,
        }
    }

    /// Returns a call of `echo` with a body of `size` bytes.
    pub(crate) fn call(self, id: u64, size: usize) -> String {
        let body = body(id, size);
        match self {
            Self::Classic | Self::V1 | Self::Original => format!(r#"["echo",{body},{id}]"#),
        }
    }

    /// Returns a message with a small body for the server to send to all other connections.
    pub(crate) fn announcement(self, number: u64) -> String {
        let body = body(number, SMALL);
        match self {
            Self::Classic | Self::V1 | Self::Original => format!(r#"["announce",{body}]"#),
        }
    }

    /// Reads a text from the server.
    pub(crate) fn read(self, text: &[u8]) -> Result<Message<'_>, BoxError> {
        let message = match self {
            Self::Classic | Self::V1 | Self::Original => self.read_array(text),
        };
        message.ok_or_else(|| {
            let start = String::from_utf8_lossy(&text[..text.len().min(200)]);
            format!("expected a response to echo or a push, received {start}").into()
        })
    }

    fn read_array(self, text: &[u8]) -> Option<Message<'_>> {
        let text = text.strip_suffix(b"]")?;
        if let Some(rest) = text.strip_prefix(br#"["echo","#) {
            if self == Self::Original {
                return Some(Message::Response(None, rest));
            }
            let comma = rest.iter().rposition(|byte| *byte == b',')?;
            return Some(Message::Response(Some(number(&rest[comma + 1..])?), &rest[..comma]));
        }
        // The bare server sends what it receives.
        let push = text.strip_prefix(br#"["broadcast","#).or_else(|| text.strip_prefix(br#"["announce","#))?;
        Some(Message::Push(push))
    }
}

/// Added to the number in a body, so that all have the same length.
const FIRST: u64 = 100_000_000;

/// The length of a body without its text.
const AROUND: usize = r#"{"a":"","n":100000000}"#.len();

/// Returns a body of `size` bytes with the number in it. Its keys are sorted, so that a server that sorts keys returns it
/// unchanged.
fn body(number: u64, size: usize) -> String {
    format!(r#"{{"a":"{}","n":{}}}"#, "x".repeat(size - AROUND), FIRST + number)
}

/// Returns the number in a body of `size` bytes. Another body is an error.
pub(crate) fn number_in(body: &[u8], size: usize) -> Result<u64, BoxError> {
    let found = (body.len() == size)
        .then(|| body.strip_suffix(b"}").and_then(|body| number(&body[body.len() - 9..])))
        .flatten()
        .and_then(|number| number.checked_sub(FIRST));
    found.ok_or_else(|| {
        let start = String::from_utf8_lossy(&body[..body.len().min(200)]);
        format!("expected a body of {size} bytes as it was sent, received {} bytes: {start}", body.len()).into()
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
