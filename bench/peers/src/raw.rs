//! Bare TCP on tokio's single-threaded runtime: the limit for any server on tokio.
//!
//! The thread has one buffer for reading and one for writing. A connection keeps only the part of a frame that has
//! arrived so far, and what its socket did not accept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::LocalSet;
use tungstenite::handshake::derive_accept_key;

use crate::frames::{Frame, write_text};
use crate::{BoxError, listen};

/// What the server does with a text.
#[derive(Clone, Copy)]
pub(crate) enum Service {
    /// It returns it.
    Echo,
    /// It parses it as `[event, body, id]`, and returns it.
    JsonEcho,
    /// It sends it to all other connections if its event is `announce`, and returns it otherwise.
    FanOut,
}

/// The first bytes of a text that goes to all other connections.
const ANNOUNCE: &[u8] = br#"["announce","#;

/// Bytes that one read returns at most.
const READ_BYTES: usize = 64 << 10;

struct Server {
    service: Service,
    connections: RefCell<HashMap<u64, Rc<Writer>>>,
    buffers: RefCell<Buffers>,
}

struct Buffers {
    input: Box<[u8]>,
    replies: Vec<u8>,
    announcements: Vec<u8>,
}

pub(crate) fn serve(service: Service) -> Result<(), BoxError> {
    let buffers = Buffers { input: vec![0; READ_BYTES].into(), replies: Vec::new(), announcements: Vec::new() };
    let server = Rc::new(Server { service, connections: RefCell::default(), buffers: RefCell::new(buffers) });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(LocalSet::new().run_until(async move {
        let listener = listen().await?;
        for number in 0.. {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let server = Rc::clone(&server);
            tokio::task::spawn_local(async move {
                // An error ends only its connection.
                let _ = connection(&server, number, socket).await;
                server.connections.borrow_mut().remove(&number);
            });
        }
        Ok(())
    }))
}

async fn connection(server: &Server, number: u64, mut socket: TcpStream) -> Result<(), BoxError> {
    let key = handshake(&mut socket).await?;
    let (mut reader, writer) = socket.into_split();
    let writer = Rc::new(Writer { socket: writer, unsent: RefCell::default() });
    // A client that has read the response is in the list.
    server.connections.borrow_mut().insert(number, Rc::clone(&writer));
    writer.send(accepted(&key).as_bytes())?;
    let mut partial = Vec::new();
    while server.read(number, &mut reader, &mut partial, &writer).await? {
        writer.flush().await?;
    }
    Ok(())
}

/// Returns the response to the request of a handshake.
pub(crate) fn accepted(key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {key}\r\n\r\n"
    )
}

/// Reads the request, and returns the value of `Sec-WebSocket-Accept`. The client sends nothing else before the response.
pub(crate) async fn handshake(socket: &mut TcpStream) -> Result<String, BoxError> {
    let mut request = Vec::with_capacity(512);
    while !request.ends_with(b"\r\n\r\n") {
        if socket.read_buf(&mut request).await? == 0 {
            return Err("the client closed the connection during the handshake".into());
        }
    }
    let request = String::from_utf8(request)?;
    let mut headers = request.lines().filter_map(|line| line.split_once(':'));
    let (_, key) = headers
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .ok_or("expected a header Sec-WebSocket-Key")?;
    Ok(derive_accept_key(key.trim().as_bytes()))
}

impl Server {
    /// Reads once, and handles the frames that are complete. Returns false at the end of the connection.
    async fn read(
        &self,
        number: u64,
        reader: &mut OwnedReadHalf,
        partial: &mut Vec<u8>,
        writer: &Rc<Writer>,
    ) -> io::Result<bool> {
        poll_fn(|context| {
            let mut buffers = self.buffers.borrow_mut();
            let Buffers { input, replies, announcements } = &mut *buffers;
            let mut input = ReadBuf::new(input);
            ready!(Pin::new(&mut *reader).poll_read(context, &mut input))?;
            replies.clear();
            announcements.clear();
            let is_open = if input.filled().is_empty() {
                false
            } else if partial.is_empty() {
                let read = input.filled_mut();
                let (used, is_open) = self.handle(read, replies, announcements)?;
                partial.extend_from_slice(&read[used..]);
                is_open
            } else {
                partial.extend_from_slice(input.filled());
                let (used, is_open) = self.handle(partial, replies, announcements)?;
                match used == partial.len() {
                    // Frees the memory of a large message.
                    true => *partial = Vec::new(),
                    false => drop(partial.drain(..used)),
                }
                is_open
            };
            if !replies.is_empty() {
                writer.send(replies)?;
                shrink(replies);
            }
            if !announcements.is_empty() {
                for (_, writer) in self.connections.borrow().iter().filter(|(other, _)| **other != number) {
                    // A connection that failed ends by its own read.
                    if writer.send(announcements).is_ok_and(|sent| !sent) {
                        let writer = Rc::clone(writer);
                        tokio::task::spawn_local(async move { writer.flush().await });
                    }
                }
            }
            Poll::Ready(Ok(is_open))
        })
        .await
    }

    /// Handles the complete frames. Returns the number of bytes that they have, and false after a close frame.
    fn handle(
        &self,
        bytes: &mut [u8],
        replies: &mut Vec<u8>,
        announcements: &mut Vec<u8>,
    ) -> io::Result<(usize, bool)> {
        let mut at = 0;
        while let Some(frame) = Frame::parse(&bytes[at..]) {
            let text = frame.unmask(&mut bytes[at..]);
            match (frame.opcode, self.service) {
                (1, Service::Echo) => write_text(replies, text),
                (1, Service::JsonEcho) => write_parsed(replies, text)?,
                (1, Service::FanOut) if text.starts_with(ANNOUNCE) => write_text(announcements, text),
                (1, Service::FanOut) => write_text(replies, text),
                (8, _) => return Ok((at, false)),
                (opcode, _) => return Err(io::Error::other(format!("expected a text frame, found opcode {opcode}"))),
            }
            at += frame.payload.end;
        }
        Ok((at, true))
    }
}

/// A call: the event, the body, which is checked and not copied, and the id.
#[derive(Deserialize)]
struct Call<'a>(&'a str, #[serde(borrow)] &'a RawValue, IgnoredAny);

fn write_parsed(replies: &mut Vec<u8>, text: &[u8]) -> io::Result<()> {
    let Call(event, body, _) = serde_json::from_slice(text)?;
    std::hint::black_box((event, body));
    write_text(replies, text);
    Ok(())
}

/// Frees the memory of a large message.
fn shrink(buffer: &mut Vec<u8>) {
    if buffer.capacity() > READ_BYTES * 2 {
        *buffer = Vec::new();
    }
}

/// The sending side of a connection.
struct Writer {
    socket: OwnedWriteHalf,
    unsent: RefCell<Vec<u8>>,
}

impl Writer {
    /// Sends the bytes after those that wait, and keeps what the socket does not accept now. Returns false if this is
    /// the first that waits: the caller must see to it that [`flush`](Self::flush) runs.
    fn send(&self, bytes: &[u8]) -> io::Result<bool> {
        let mut unsent = self.unsent.borrow_mut();
        if !unsent.is_empty() {
            unsent.extend_from_slice(bytes);
            return Ok(true);
        }
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.try_write(&bytes[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        unsent.extend_from_slice(&bytes[sent..]);
        Ok(sent == bytes.len())
    }

    /// Waits until nothing is unsent.
    async fn flush(&self) -> io::Result<()> {
        while !self.unsent.borrow().is_empty() {
            self.socket.writable().await?;
            let mut unsent = self.unsent.borrow_mut();
            match self.socket.try_write(&unsent) {
                Ok(written) if written == unsent.len() => *unsent = Vec::new(),
                Ok(written) => drop(unsent.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
