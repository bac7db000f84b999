//! Calls by the thousand, at as little cost as can be: frames are built by hand, and answers are only counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Failure;
use crate::process::Server;

/// Connections, and calls in flight on each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
}

/// What one measurement brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) calls_per_second: f64,
    /// Seconds of the server's processor time.
    pub(crate) cpu_per_call: f64,
    /// Seconds from a call's write to the next answer, in the median.
    pub(crate) p50: f64,
}

/// The body of each call: 100 bytes of JSON.
fn body() -> String {
    format!(r#"{{"text":"{}"}}"#, "x".repeat(89))
}

/// Loads a server for `time`, after a warm-up of a quarter of it.
pub(crate) async fn measure(server: &Server, load: Load, time: Duration) -> Result<Measured, Failure> {
    let counting = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..load.connections {
        let caller = Caller::connect(server).await?;
        callers.spawn(caller.call(load.in_flight, Arc::clone(&counting), Arc::clone(&done)));
    }
    tokio::time::sleep(time / 4).await;
    let (cpu, begun) = (server.cpu()?, Instant::now());
    counting.store(true, Ordering::Relaxed);
    tokio::time::sleep(time).await;
    counting.store(false, Ordering::Relaxed);
    let (cpu, elapsed) = (server.cpu()? - cpu, begun.elapsed());
    done.store(true, Ordering::Relaxed);
    let mut calls = 0;
    let mut latencies = Vec::new();
    while let Some(caller) = callers.join_next().await {
        let counted = caller??;
        calls += counted.calls;
        latencies.extend(counted.latencies);
    }
    latencies.sort();
    let p50 = latencies.get(latencies.len() / 2).copied().unwrap_or_default();
    Ok(Measured {
        calls_per_second: calls as f64 / elapsed.as_secs_f64(),
        cpu_per_call: cpu.as_secs_f64() / calls as f64,
        p50: p50.as_secs_f64(),
    })
}

/// The server's memory for each of so many connections that do nothing.
pub(crate) async fn idle(server: &Server, connections: usize) -> Result<u64, Failure> {
    let mut first = Caller::connect(server).await?;
    first.call_once().await?;
    let before = server.memory()?;
    let mut callers = Vec::with_capacity(connections);
    for _ in 0..connections {
        callers.push(Caller::connect(server).await?);
    }
    // Answered, so the server is done with whatever came before.
    for caller in &mut callers {
        caller.call_once().await?;
    }
    Ok(server.memory()?.saturating_sub(before) / connections as u64)
}

/// A connection that makes calls.
pub(crate) struct Caller {
    socket: TcpStream,
    body: String,
    next_id: u64,
    /// What was read and is not a whole frame yet.
    unread: Vec<u8>,
}

#[derive(Default)]
struct Counted {
    calls: u64,
    latencies: Vec<Duration>,
}

impl Caller {
    pub(crate) async fn connect(server: &Server) -> Result<Self, Failure> {
        let mut socket = TcpStream::connect(server.address).await?;
        socket.set_nodelay(true)?;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: aaw.v1\r\n\r\n",
            server.address
        );
        socket.write_all(request.as_bytes()).await?;
        let mut unread = Vec::new();
        let end = loop {
            if let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if socket.read_buf(&mut unread).await? == 0 {
                return Err("the server hung up in the handshake".into());
            }
        };
        if !unread.starts_with(b"HTTP/1.1 101") {
            return Err(format!("no handshake: {}", String::from_utf8_lossy(&unread)).into());
        }
        unread.drain(..end);
        let mut caller = Self { socket, body: body(), next_id: 1, unread };
        let mut hello = Vec::new();
        frame(&mut hello, r#"["aaw/hello",{}]"#);
        caller.socket.write_all(&hello).await?;
        // The welcome, or the echo of the hello.
        caller.answers().await?;
        Ok(caller)
    }

    /// Calls until it is told that it is done, always with so many calls in flight.
    async fn call(mut self, in_flight: usize, counting: Arc<AtomicBool>, done: Arc<AtomicBool>) -> io::Result<Counted> {
        let mut counted = Counted::default();
        let mut out = Vec::new();
        let mut free = in_flight;
        while !done.load(Ordering::Relaxed) {
            out.clear();
            for _ in 0..free {
                self.write_call(&mut out);
            }
            let begun = Instant::now();
            self.socket.write_all(&out).await?;
            free = self.answers().await?;
            if counting.load(Ordering::Relaxed) {
                counted.calls += free as u64;
                counted.latencies.push(begun.elapsed());
            }
        }
        Ok(counted)
    }

    /// Sends a frame.
    pub(crate) async fn send(&mut self, text: &str) -> io::Result<()> {
        let mut out = Vec::new();
        frame(&mut out, text);
        self.socket.write_all(&out).await
    }

    pub(crate) async fn call_once(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        self.write_call(&mut out);
        self.socket.write_all(&out).await?;
        self.answers().await.map(|_| ())
    }

    fn write_call(&mut self, out: &mut Vec<u8>) {
        let call = format!(r#"["echo",{},{}]"#, self.body, self.next_id);
        self.next_id += 1;
        frame(out, &call);
    }

    /// Reads until there is a whole frame, and says how many there were.
    pub(crate) async fn answers(&mut self) -> io::Result<usize> {
        loop {
            let mut at = 0;
            let mut frames = 0;
            while let Some(length) = frame_length(&self.unread[at..]) {
                at += length;
                frames += 1;
            }
            self.unread.drain(..at);
            if frames > 0 {
                return Ok(frames);
            }
            if self.socket.read_buf(&mut self.unread).await? == 0 {
                return Err(io::Error::other("the server hung up"));
            }
        }
    }
}

/// Appends a text frame as a client sends it, with a mask of zeros: the payload stays as it is (RFC 6455, 5.3).
fn frame(out: &mut Vec<u8>, text: &str) {
    out.push(0x81);
    match u8::try_from(text.len()) {
        Ok(short) if short < 126 => out.push(0x80 | short),
        _ => {
            out.push(0x80 | 126);
            // Nothing here is longer than some hundred bytes.
            out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(text.as_bytes());
}

/// How long the first frame is, if it is all there. Servers do not mask.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let length = match *bytes.get(1)? {
        126 => 4 + usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        short => 2 + usize::from(short),
    };
    (bytes.len() >= length).then_some(length)
}
