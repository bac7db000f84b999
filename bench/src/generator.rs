//! The load generator: frames are built by hand and responses only counted, so that it costs as little as possible.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::measurement::BoxError;
use crate::process::Server;

/// The number of connections, and of concurrent calls on each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
}

/// The result of one measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measurement {
    pub(crate) calls_per_second: f64,
    /// The processor time of the server, in seconds.
    pub(crate) cpu_per_call: f64,
    /// The median time from writing a batch of calls to the next response, in seconds.
    pub(crate) p50: f64,
}

/// Returns the body of each call: 100 bytes of JSON.
fn body() -> String {
    format!(r#"{{"text":"{}"}}"#, "x".repeat(89))
}

/// Measures a server under load for `time`, after a warm-up of a quarter of it.
pub(crate) async fn measure(server: &Server, load: Load, time: Duration) -> Result<Measurement, BoxError> {
    let counting = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..load.connections {
        let caller = Caller::connect(server).await?;
        callers.spawn(caller.run(load.in_flight, Arc::clone(&counting), Arc::clone(&done)));
    }
    tokio::time::sleep(time / 4).await;
    let (cpu, started) = (server.cpu()?, Instant::now());
    counting.store(true, Ordering::Relaxed);
    tokio::time::sleep(time).await;
    counting.store(false, Ordering::Relaxed);
    let (cpu, elapsed) = (server.cpu()? - cpu, started.elapsed());
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
    Ok(Measurement {
        calls_per_second: calls as f64 / elapsed.as_secs_f64(),
        cpu_per_call: cpu.as_secs_f64() / calls as f64,
        p50: p50.as_secs_f64(),
    })
}

/// Returns the memory that the server uses for each of `connections` idle connections, in bytes.
pub(crate) async fn idle(server: &Server, connections: usize) -> Result<u64, BoxError> {
    let mut first = Caller::connect(server).await?;
    first.call_once().await?;
    let before = server.memory()?;
    let mut callers = Vec::with_capacity(connections);
    for _ in 0..connections {
        callers.push(Caller::connect(server).await?);
    }
    // Once each call has returned, the server has finished all handshakes.
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
    /// Read from the socket, and not a complete frame yet.
    unread: Vec<u8>,
}

#[derive(Default)]
struct CallCounts {
    calls: u64,
    latencies: Vec<Duration>,
}

impl Caller {
    pub(crate) async fn connect(server: &Server) -> Result<Self, BoxError> {
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
                return Err("the server closed the connection during the handshake".into());
            }
        };
        if !unread.starts_with(b"HTTP/1.1 101") {
            return Err(format!("the server refused the handshake: {}", String::from_utf8_lossy(&unread)).into());
        }
        unread.drain(..end);
        let mut caller = Self { socket, body: body(), next_id: 1, unread };
        let mut hello = Vec::new();
        frame(&mut hello, r#"["aaw/hello",{}]"#);
        caller.socket.write_all(&hello).await?;
        // The welcome from aaw, or the echo of the hello.
        caller.read_frames().await?;
        Ok(caller)
    }

    /// Makes calls until `done` is set, always with `in_flight` concurrent calls.
    async fn run(
        mut self,
        in_flight: usize,
        counting: Arc<AtomicBool>,
        done: Arc<AtomicBool>,
    ) -> io::Result<CallCounts> {
        let mut counted = CallCounts::default();
        let mut out = Vec::new();
        let mut free = in_flight;
        while !done.load(Ordering::Relaxed) {
            out.clear();
            for _ in 0..free {
                self.write_call(&mut out);
            }
            let started = Instant::now();
            self.socket.write_all(&out).await?;
            free = self.read_frames().await?;
            if counting.load(Ordering::Relaxed) {
                counted.calls += free as u64;
                counted.latencies.push(started.elapsed());
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
        self.read_frames().await.map(|_| ())
    }

    fn write_call(&mut self, out: &mut Vec<u8>) {
        let call = format!(r#"["echo",{},{}]"#, self.body, self.next_id);
        self.next_id += 1;
        frame(out, &call);
    }

    /// Waits for at least one complete frame. Returns the number of frames read.
    pub(crate) async fn read_frames(&mut self) -> io::Result<usize> {
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
                return Err(io::Error::other("the server closed the connection"));
            }
        }
    }
}

/// Appends a text frame with a mask of zeros, which leaves the payload unchanged (RFC 6455, section 5.3).
fn frame(out: &mut Vec<u8>, text: &str) {
    out.push(0x81);
    match u8::try_from(text.len()) {
        Ok(short) if short < 126 => out.push(0x80 | short),
        _ => {
            out.push(0x80 | 126);
            // All frames here are shorter than a few hundred bytes.
            out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(text.as_bytes());
}

/// Returns the length of the first frame, if it is complete. Frames of servers are not masked.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let length = match *bytes.get(1)? {
        126 => 4 + usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        short => 2 + usize::from(short),
    };
    (bytes.len() >= length).then_some(length)
}
