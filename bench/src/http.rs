//! The cost of events over HTTP.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::measurement::BoxError;
use crate::process::Server;
use crate::rows::Program;
use crate::wire::{SMALL, body, number_in};

/// A server of HTTP: a row of the table of HTTP.
pub(crate) struct HttpRow {
    pub(crate) name: &'static str,
    program: Program,
    kind: &'static str,
    /// The row of a server that is measured together with this one, if only some are.
    pub(crate) server: &'static str,
}

/// All servers, in the order of the table.
pub(crate) const HTTP_SERVERS: &[HttpRow] = &[
    HttpRow { name: "axum", program: Program::Peers, kind: "axum", server: "raw" },
    HttpRow { name: "aaw", program: Program::Own, kind: "linked", server: "aaw" },
    HttpRow { name: "aaw-library", program: Program::Own, kind: "library", server: "aaw-library" },
];

impl HttpRow {
    pub(crate) fn start(&self) -> Result<Server, BoxError> {
        let (program, first) = self.program.command(Path::new(self.kind))?;
        Ok(Server::start_program(&program, &[&first.to_string_lossy()])?)
    }

    pub(crate) fn missing(&self) -> Result<Option<String>, BoxError> {
        self.program.missing()
    }
}

/// The connections, each with one request in flight.
const CONNECTIONS: usize = 32;

/// A stream of numbers that does not end during a measurement.
const COUNT: &str = r#"{"to":1000000000000}"#;

/// Posts bodies to `echo`, and returns the processor time of the server for a request, in seconds. The first half of `time`
/// is a warm-up, and is added.
pub(crate) async fn measure_posts(server: &Server, time: Duration) -> Result<f64, BoxError> {
    let counting = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicBool::new(false));
    let mut posters = JoinSet::new();
    for _ in 0..CONNECTIONS {
        posters.spawn(post(server.address, Arc::clone(&counting), Arc::clone(&done)));
    }
    tokio::time::sleep(time / 2).await;
    let cpu = server.cpu()?;
    counting.store(true, Ordering::Relaxed);
    tokio::time::sleep(time).await;
    counting.store(false, Ordering::Relaxed);
    let cpu = server.cpu()? - cpu;
    done.store(true, Ordering::Relaxed);
    let mut posts: u64 = 0;
    while let Some(posted) = posters.join_next().await {
        posts += posted??;
    }
    if posts == 0 {
        return Err("no request had a response in the measured time".into());
    }
    Ok(cpu.as_secs_f64() / posts as f64)
}

fn request(path: &str, accept: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n\
         {body}",
        body.len()
    )
}

async fn connect(address: SocketAddr) -> Result<TcpStream, BoxError> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Posts until `done` is set. Returns the number of responses that were counted.
async fn post(address: SocketAddr, counting: Arc<AtomicBool>, done: Arc<AtomicBool>) -> Result<u64, BoxError> {
    let mut socket = connect(address).await?;
    let (mut posts, mut number, mut response) = (0, 0, Vec::new());
    while !done.load(Ordering::Relaxed) {
        number += 1;
        socket.write_all(request("/events/echo", "application/json", &body(number, SMALL)).as_bytes()).await?;
        response.clear();
        loop {
            if socket.read_buf(&mut response).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if let Some(end) = head_end(&response)
                && response.len() >= end + SMALL
            {
                if !response.starts_with(b"HTTP/1.1 200 ") || number_in(&response[end..], SMALL)? != number {
                    let response = String::from_utf8_lossy(&response).into_owned();
                    return Err(format!("expected the body as it was sent, received {response}").into());
                }
                break;
            }
        }
        posts += u64::from(counting.load(Ordering::Relaxed));
    }
    Ok(posts)
}

/// Returns where the body begins.
fn head_end(response: &[u8]) -> Option<usize> {
    response.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Reads a stream of numbers as NDJSON for `time`, after a warm-up of half of it, and returns the processor time of the
/// server for an item, in seconds.
pub(crate) async fn measure_items(server: &Server, time: Duration) -> Result<f64, BoxError> {
    let mut socket = connect(server.address).await?;
    socket.write_all(request("/events/count", "application/x-ndjson", COUNT).as_bytes()).await?;
    let mut lines = Lines { unread: Vec::new(), chunk: 0, last: 0 };
    loop {
        if socket.read_buf(&mut lines.unread).await? == 0 {
            return Err("the server closed the connection".into());
        }
        if let Some(end) = head_end(&lines.unread) {
            if !lines.unread.starts_with(b"HTTP/1.1 200 ") {
                return Err(format!("the server responded {}", String::from_utf8_lossy(&lines.unread)).into());
            }
            lines.unread.drain(..end);
            break;
        }
    }
    lines.read_for(&mut socket, time / 2).await?;
    let (cpu, first) = (server.cpu()?, lines.last);
    lines.read_for(&mut socket, time).await?;
    Ok((server.cpu()? - cpu).as_secs_f64() / (lines.last - first) as f64)
}

/// The body of a chunked response (RFC 9112, 7.1), whose lines are numbers.
struct Lines {
    unread: Vec<u8>,
    /// The bytes of the current chunk that were not read yet, with the line break behind it.
    chunk: usize,
    last: u64,
}

impl Lines {
    async fn read_for(&mut self, socket: &mut TcpStream, time: Duration) -> Result<(), BoxError> {
        let started = Instant::now();
        let mut line = Vec::new();
        while started.elapsed() < time || !line.is_empty() {
            self.unread.reserve(64 << 10);
            if socket.read_buf(&mut self.unread).await? == 0 {
                return Err("the server closed the connection".into());
            }
            let mut at = 0;
            while let Some(taken) = self.take(at, &mut line)? {
                at += taken;
            }
            self.unread.drain(..at);
        }
        Ok(())
    }

    /// Takes the rest of a chunk or the size of one from `at`. Returns the bytes taken, or `None` if there are not enough.
    fn take(&mut self, at: usize, line: &mut Vec<u8>) -> Result<Option<usize>, BoxError> {
        let rest = &self.unread[at..];
        if self.chunk == 0 {
            let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
            self.chunk = 2 + usize::from_str_radix(std::str::from_utf8(&rest[..end])?, 16)?;
            return Ok(Some(end + 2));
        }
        if rest.is_empty() || (self.chunk <= 2 && rest.len() < self.chunk) {
            return Ok(None);
        }
        if self.chunk <= 2 {
            return Ok(Some(std::mem::take(&mut self.chunk)));
        }
        let data = &rest[..rest.len().min(self.chunk - 2)];
        for &byte in data {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            let number: u64 = std::str::from_utf8(line)?.parse()?;
            if number != self.last + 1 {
                return Err(format!("expected the item {}, received {number}", self.last + 1).into());
            }
            self.last = number;
            line.clear();
        }
        self.chunk -= data.len();
        Ok(Some(data.len()))
    }
}
