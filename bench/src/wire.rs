//! What each server speaks: how a call is written, and how a response is read and checked.

use crate::measurement::BoxError;

/// The size of a small body.
pub(crate) const SMALL: usize = 100;

/// The size of a body of medium size.
pub(crate) const MEDIUM: usize = 10_000;

/// The size of a big body: half of a message that aaw accepts.
pub(crate) const BIG: usize = 500_000;

/// The size of a large body. With it the message is smaller than 1 MiB, aaw's default limit.
pub(crate) const LARGE: usize = 1_000_000;

/// The protocol of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// `["echo",BODY,ID]` in both directions: the classic dialect of aaw, and servers that echo frames.
    Classic,
    /// The dialect v1 of aaw: as classic, after a hello.
    V1,
    /// The same, on connections that can be resumed: what is received is acknowledged.
    Resumable,
    /// The package `async-await-websockets`: it omits the id from the response, and distinguishes connections by the
    /// sub-protocol that they offer.
    Original,
    /// Socket.IO, on Engine.IO 4: `42ID["echo",BODY]`, and the response `43ID[BODY]`.
    SocketIo,
    /// JSON-RPC 2.0. Connections subscribe to pushes.
    JsonRpc,
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
            Self::Classic | Self::SocketIo | Self::JsonRpc => String::new(),
            Self::V1 | Self::Resumable => "Sec-WebSocket-Protocol: aaw.v1\r\n".to_owned(),
            Self::Original => format!("Sec-WebSocket-Protocol: _{number}\r\n"),
        };
        let path = if self == Self::SocketIo { "/socket.io/?EIO=4&transport=websocket" } else { "/" };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n"
        )
    }

    /// Returns the text that opens a connection, and the start of the server's answer. `number` is different for each
    /// connection of this process.
    pub(crate) fn hello(self, number: u64) -> Option<(String, &'static str)> {
        match self {
            Self::V1 => Some((r#"["aaw/hello",{}]"#.into(), r#"["aaw/welcome","#)),
            Self::Resumable => {
                let key = format!("{:016x}{number:016x}", std::process::id());
                Some((format!(r#"["aaw/hello",{{"resumption":{{"key":"{key}"}}}}]"#), r#"["aaw/welcome","#))
            }
            Self::SocketIo => Some(("40".into(), r#"40{"sid""#)),
            Self::Classic | Self::Original | Self::JsonRpc => None,
        }
    }

    /// Returns the text that lets a connection receive pushes, and the start of the server's answer.
    pub(crate) fn subscription(self) -> Option<(&'static str, &'static str)> {
        (self == Self::JsonRpc).then_some((
            r#"{"jsonrpc":"2.0","id":0,"method":"subscribe","params":[]}"#,
            r#"{"jsonrpc":"2.0","id":0,"result":"#,
        ))
    }

    /// Returns the server's heartbeat and its answer, if they are texts.
    pub(crate) fn heartbeat(self) -> Option<(&'static [u8], &'static [u8])> {
        (self == Self::SocketIo).then_some((b"2", b"3"))
    }

    /// Returns whether the server may send pushes in another order than it received them: jsonrpsee and socketioxide run
    /// the messages of a connection concurrently.
    pub(crate) fn reorders(self) -> bool {
        matches!(self, Self::SocketIo | Self::JsonRpc)
    }

    /// Returns a call of `echo` with a body of `size` bytes.
    pub(crate) fn call(self, id: u64, size: usize) -> String {
        let body = body(id, size);
        match self {
            Self::Classic | Self::V1 | Self::Resumable | Self::Original => format!(r#"["echo",{body},{id}]"#),
            Self::SocketIo => format!(r#"42{id}["echo",{body}]"#),
            Self::JsonRpc => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"echo","params":[{body}]}}"#),
        }
    }

    /// Returns a message with a small body for the server to send to all other connections.
    pub(crate) fn announcement(self, number: u64) -> String {
        let body = body(number, SMALL);
        match self {
            Self::Classic | Self::V1 | Self::Resumable | Self::Original => format!(r#"["announce",{body}]"#),
            Self::SocketIo => format!(r#"42["announce",{body}]"#),
            Self::JsonRpc => format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"announce","params":[{body}]}}"#),
        }
    }

    /// Returns a message that lets a connection receive what is sent to the room, without a response.
    pub(crate) fn join(self) -> String {
        self.send(r#""room/join",{"name":"bench"}"#)
    }

    /// Returns a message for the server to send to all others in the room, as an event with a small body.
    pub(crate) fn say(self, number: u64) -> String {
        let text = "x".repeat(SMALL - AROUND_TEXT);
        self.send(&format!(r#""room/say",{{"name":"bench","text":"{text}{}"}}"#, FIRST + number))
    }

    /// Returns a message without a response.
    fn send(self, elements: &str) -> String {
        match self {
            Self::SocketIo => format!("42[{elements}]"),
            Self::Classic | Self::V1 | Self::Resumable | Self::Original | Self::JsonRpc => format!("[{elements}]"),
        }
    }

    /// Reads a text from the server.
    pub(crate) fn read(self, text: &[u8]) -> Result<Message<'_>, BoxError> {
        let message = match self {
            Self::Classic | Self::V1 | Self::Resumable | Self::Original => self.read_array(text),
            Self::SocketIo => read_socket_io(text),
            Self::JsonRpc => read_json_rpc(text),
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
        let pushes: [&[u8]; 3] = [br#"["broadcast","#, br#"["said","#, br#"["announce","#];
        pushes.into_iter().find_map(|start| text.strip_prefix(start)).map(Message::Push)
    }
}

fn read_socket_io(text: &[u8]) -> Option<Message<'_>> {
    let text = text.strip_suffix(b"]")?;
    if let Some(event) = text.strip_prefix(b"42[") {
        let push = event.strip_prefix(br#""broadcast","#).or_else(|| event.strip_prefix(br#""said","#))?;
        return Some(Message::Push(push));
    }
    let (id, body) = split_number(text.strip_prefix(b"43")?)?;
    Some(Message::Response(Some(id), body.strip_prefix(b"[")?))
}

fn read_json_rpc(text: &[u8]) -> Option<Message<'_>> {
    let text = text.strip_prefix(br#"{"jsonrpc":"2.0","#)?.strip_suffix(b"}")?;
    if let Some(text) = text.strip_prefix(br#""id":"#) {
        let (id, rest) = split_number(text)?;
        return Some(Message::Response(Some(id), rest.strip_prefix(br#","result":"#)?));
    }
    let (_, rest) = split_number(text.strip_prefix(br#""method":"push","params":{"subscription":"#)?)?;
    Some(Message::Push(rest.strip_prefix(br#","result":"#)?.strip_suffix(b"}")?))
}

/// Splits the digits at the start from the rest.
fn split_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, rest) = text.split_at(text.iter().position(|byte| !byte.is_ascii_digit())?);
    Some((number(digits)?, rest))
}

/// Added to the number in a body, so that all have the same length.
const FIRST: u64 = 100_000_000;

/// The length of a body without its text.
const AROUND: usize = r#"{"a":"","n":100000000}"#.len();

/// The length of the body of an event of a room without its text, but with the number at the end of the text.
const AROUND_TEXT: usize = r#"{"text":"100000000"}"#.len();

/// Returns a body of `size` bytes with the number in it. Its keys are sorted, so that a server that sorts keys returns it
/// unchanged.
pub(crate) fn body(number: u64, size: usize) -> String {
    format!(r#"{{"a":"{}","n":{}}}"#, "x".repeat(size - AROUND), FIRST + number)
}

/// Returns the number in a body of `size` bytes. Another body is an error.
pub(crate) fn number_in(body: &[u8], size: usize) -> Result<u64, BoxError> {
    let found = (body.len() == size)
        .then(|| {
            let body = body.strip_suffix(b"}")?;
            // In the body of an event of a room, the number is the end of a text.
            let body = body.strip_suffix(b"\"").unwrap_or(body);
            number(body.get(body.len().checked_sub(9)?..)?)
        })
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
