//! A connection of the generator: it sends calls, and checks each response.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::frames::{self, Frame};
use crate::measurement::BoxError;
use crate::wire::{Message, SMALL, Wire, number_in};

/// Bytes that a read returns at least, if they are there.
const READ_BYTES: usize = 8 << 10;

/// Who receives a push: all other connections, or those in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recipients {
    All,
    Room,
}

/// How the server's acknowledgements begin.
const ACKNOWLEDGEMENT: &[u8] = br#"["aaw/ack","#;

/// What a connection that can be resumed has received. It is acknowledged as aaw's clients do: with a call, when there are 32
/// messages or a second has passed; and without one when there are 64.
#[derive(Default)]
struct Received {
    count: u64,
    acknowledged: u64,
    last: Option<Instant>,
}

impl Received {
    fn acknowledge_with_call(&mut self) -> Option<u64> {
        let is_old = self.last.is_some_and(|last| last.elapsed() >= Duration::from_secs(1));
        let unacknowledged = self.count - self.acknowledged;
        (unacknowledged >= 32 || (unacknowledged > 0 && is_old)).then(|| self.acknowledge())
    }

    fn acknowledge_at_once(&mut self) -> Option<u64> {
        (self.count - self.acknowledged >= 64).then(|| self.acknowledge())
    }

    fn acknowledge(&mut self) -> u64 {
        (self.acknowledged, self.last) = (self.count, Some(Instant::now()));
        self.count
    }
}

fn write_acknowledgement(out: &mut Vec<u8>, number: u64) {
    frames::write(out, 1, format!("[\"aaw/ack\",{number}]").as_bytes());
}

pub(crate) struct Connection {
    socket: TcpStream,
    wire: Wire,
    last_id: u64,
    /// The ids of the calls without a response, oldest first.
    in_flight: VecDeque<u64>,
    last_push: u64,
    /// The numbers of pushes that came before their turn.
    early: BTreeSet<u64>,
    /// Read from the socket, and not a complete frame yet.
    unread: Vec<u8>,
    /// What is to be acknowledged, if the connection can be resumed.
    received: Option<Received>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr, wire: Wire) -> Result<Self, BoxError> {
        Self::open_from(Ipv4Addr::LOCALHOST, address, wire).await
    }

    /// Opens a connection from this address of this machine: the ports of one address are fewer than the connections that a
    /// server can hold.
    pub(crate) async fn open_from(source: Ipv4Addr, address: SocketAddr, wire: Wire) -> Result<Self, BoxError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let mut socket = if source == Ipv4Addr::LOCALHOST {
            TcpStream::connect(address).await?
        } else {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
            socket.connect(address).await?
        };
        socket.set_nodelay(true)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let request = wire.handshake(address, number);
        socket.write_all(request.as_bytes()).await?;
        let mut unread = Vec::new();
        let end = loop {
            if let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if socket.read_buf(&mut unread).await? == 0 {
                return Err("the server closed the connection during the handshake".into());
            }
        };
        if !unread.starts_with(b"HTTP/1.1 101") {
            return Err(format!("the server refused the handshake: {}", String::from_utf8_lossy(&unread)).into());
        }
        unread.drain(..end);
        let mut connection = Self {
            socket,
            wire,
            last_id: 0,
            in_flight: VecDeque::new(),
            last_push: 0,
            early: BTreeSet::new(),
            unread,
            received: None,
        };
        if let Some((hello, expected)) = wire.hello(number) {
            connection.greet(&hello, expected).await?;
        }
        connection.received = (wire == Wire::Resumable).then(Received::default);
        Ok(connection)
    }

    /// Opens a connection that receives pushes.
    pub(crate) async fn open_subscribed(address: SocketAddr, wire: Wire) -> Result<Self, BoxError> {
        let mut connection = Self::open(address, wire).await?;
        if let Some((subscribe, expected)) = wire.subscription() {
            connection.greet(subscribe, expected).await?;
        }
        Ok(connection)
    }

    /// Sends a text, and waits for one that starts with `expected`.
    pub(crate) async fn greet(&mut self, text: &str, expected: &str) -> Result<(), BoxError> {
        self.send(text).await?;
        let mut is_expected = false;
        while !is_expected {
            self.read_texts(|text| {
                is_expected |= text.starts_with(expected.as_bytes());
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Opens a connection that receives what is sent to the room.
    pub(crate) async fn open_in_room(address: SocketAddr, wire: Wire) -> Result<Self, BoxError> {
        let mut connection = Self::open(address, wire).await?;
        connection.send(&wire.join()).await?;
        Ok(connection)
    }

    /// Closes the connection with the closing handshake, and waits for its end.
    pub(crate) async fn close(mut self) -> Result<(), BoxError> {
        let mut out = Vec::new();
        frames::write(&mut out, 8, &1000u16.to_be_bytes());
        self.socket.write_all(&out).await?;
        loop {
            let mut at = 0;
            while let Some(frame) = Frame::first(&self.unread[at..]) {
                if frame.opcode == 8 {
                    return Ok(());
                }
                at += frame.payload.end;
            }
            self.unread.drain(..at);
            // A server may end the connection without a close frame.
            if self.socket.read_buf(&mut self.unread).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Sends a text.
    pub(crate) async fn send(&mut self, text: &str) -> Result<(), BoxError> {
        let mut out = Vec::new();
        frames::write(&mut out, 1, text.as_bytes());
        Ok(self.socket.write_all(&out).await?)
    }

    /// Sends nothing more: the server reads the end of the connection.
    pub(crate) async fn end_sending(&mut self) -> Result<usize, BoxError> {
        self.socket.shutdown().await?;
        Ok(0)
    }

    /// Sends `count` messages for others, whose numbers follow `last`, in one write.
    pub(crate) async fn announce(&mut self, to: Recipients, last: u64, count: u64) -> Result<(), BoxError> {
        if self.wire == Wire::JsonRpc {
            // It responds to each.
            while self.socket.try_read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
        }
        let mut out = Vec::new();
        for number in last + 1..=last + count {
            let text = match to {
                Recipients::All => self.wire.announcement(number),
                Recipients::Room => self.wire.say(number),
            };
            frames::write(&mut out, 1, text.as_bytes());
        }
        Ok(self.socket.write_all(&out).await?)
    }

    /// Sends `count` calls with bodies of `size` bytes in one write. `out` is memory to reuse.
    pub(crate) async fn call(&mut self, count: usize, size: usize, out: &mut Vec<u8>) -> Result<(), BoxError> {
        out.clear();
        if let Some(number) = self.received.as_mut().and_then(Received::acknowledge_with_call) {
            write_acknowledgement(out, number);
        }
        for _ in 0..count {
            self.last_id += 1;
            self.in_flight.push_back(self.last_id);
            frames::write(out, 1, self.wire.call(self.last_id, size).as_bytes());
        }
        Ok(self.socket.write_all(out).await?)
    }

    /// Waits for at least one response with a body of `size` bytes, and returns the number of responses. Skips pushes.
    pub(crate) async fn responses(&mut self, size: usize) -> Result<usize, BoxError> {
        let (wire, mut in_flight) = (self.wire, std::mem::take(&mut self.in_flight));
        let before = in_flight.len();
        while in_flight.len() == before {
            self.read_texts(|text| match wire.read(text)? {
                Message::Push(_) => Ok(()),
                Message::Response(id, body) => {
                    let number = number_in(body, size)?;
                    if id.is_some_and(|id| id != number) {
                        return Err(format!("the response to {number} has the id {id:?}").into());
                    }
                    // Mostly the first.
                    let at = in_flight.iter().position(|id| *id == number);
                    at.and_then(|at| in_flight.remove(at)).ok_or("a second response to a call")?;
                    Ok(())
                }
            })
            .await?;
        }
        let received = before - in_flight.len();
        self.in_flight = in_flight;
        Ok(received)
    }

    /// Sends one call, and waits for the response.
    pub(crate) async fn call_once(&mut self, size: usize) -> Result<(), BoxError> {
        self.call(1, size, &mut Vec::new()).await?;
        self.responses(size).await.map(|_| ())
    }

    /// Waits for at least one push, and returns the number of pushes. Each number must come once, and in order if the server
    /// keeps it.
    pub(crate) async fn pushes(&mut self) -> Result<u64, BoxError> {
        let (wire, mut last, mut early) = (self.wire, self.last_push, std::mem::take(&mut self.early));
        let mut received = 0;
        while received == 0 {
            self.read_texts(|text| {
                let Message::Push(body) = wire.read(text)? else { return Err("a response without a call".into()) };
                let number = number_in(body, SMALL)?;
                let is_next = number == last + 1;
                let is_early = !is_next && wire.reorders() && number > last && early.insert(number);
                if !is_next && !is_early {
                    return Err(format!("expected the push {}, received {number}", last + 1).into());
                }
                if is_next {
                    last = number;
                }
                while early.remove(&(last + 1)) {
                    last += 1;
                }
                received += 1;
                Ok(())
            })
            .await?;
        }
        (self.last_push, self.early) = (last, early);
        Ok(received)
    }

    /// Reads at most this many bytes, and discards them.
    pub(crate) async fn skip(&mut self, bytes: usize) -> Result<(), BoxError> {
        self.unread.clear();
        match self.socket.read(&mut vec![0; bytes]).await? {
            0 => Err("the server closed the connection".into()),
            _ => Ok(()),
        }
    }

    /// Acknowledges everything, if the connection can be resumed: aaw's clients do so within 10 s.
    pub(crate) async fn acknowledge(&mut self) -> Result<(), BoxError> {
        if let Some(received) = self.received.as_mut().filter(|received| received.count > received.acknowledged) {
            let mut frame = Vec::new();
            write_acknowledgement(&mut frame, received.acknowledge());
            self.socket.write_all(&frame).await?;
        }
        Ok(())
    }

    /// Waits for at least one text, and passes on all that are there. Answers pings.
    pub(crate) async fn read_texts(
        &mut self,
        mut each: impl FnMut(&[u8]) -> Result<(), BoxError>,
    ) -> Result<usize, BoxError> {
        loop {
            let (mut at, mut texts) = (0, 0);
            let mut answers = Vec::new();
            while let Some(frame) = Frame::first(&self.unread[at..]) {
                let payload = &self.unread[at..][frame.payload.clone()];
                match frame.opcode {
                    1 => match self.wire.heartbeat() {
                        Some((ping, pong)) if payload == ping => frames::write(&mut answers, 1, pong),
                        _ if self.received.is_some() && payload.starts_with(ACKNOWLEDGEMENT) => {}
                        _ => {
                            if let Some(received) = &mut self.received {
                                received.count += 1;
                            }
                            each(payload)?;
                            texts += 1;
                        }
                    },
                    9 => frames::write(&mut answers, 10, payload),
                    8 => return Err(closed(payload).into()),
                    opcode => return Err(format!("expected a text frame, found opcode {opcode}").into()),
                }
                at += frame.payload.end;
            }
            self.unread.drain(..at);
            if let Some(number) = self.received.as_mut().and_then(Received::acknowledge_at_once) {
                write_acknowledgement(&mut answers, number);
            }
            if !answers.is_empty() {
                self.socket.write_all(&answers).await?;
            }
            if self.unread.is_empty() && self.unread.capacity() > READ_BYTES * 8 {
                // Thousands of connections receive a large body, one after the other.
                self.unread = Vec::new();
            }
            if texts > 0 {
                return Ok(texts);
            }
            self.unread.reserve(READ_BYTES.max(self.unread.len()));
            if self.socket.read_buf(&mut self.unread).await? == 0 {
                return Err("the server closed the connection".into());
            }
        }
    }
}

/// Describes the payload of a close frame (RFC 6455, section 5.5.1).
fn closed(payload: &[u8]) -> String {
    let (code, reason) = payload.split_at_checked(2).unwrap_or_default();
    let code = code.iter().fold(0, |code, byte| code << 8 | u32::from(*byte));
    format!("the server closed the connection with code {code}: {}", String::from_utf8_lossy(reason))
}
