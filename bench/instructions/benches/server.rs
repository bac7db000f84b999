//! The whole server, from a socket to a socket: reading, framing, dispatch of a linked event, the outgoing log, writing. The
//! kernel is not counted; the client's part, which is a write and a few reads by the same runtime, is.

use std::hint::black_box;

use aaw_server::{Config, Handle, Server};
use gungraun::{library_benchmark, library_benchmark_group, main};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

#[path = "../../../aaw-protocol/benches/samples/mod.rs"]
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod samples;

/// A server and its clients, on one thread.
struct Connected {
    runtime: Runtime,
    handle: Handle,
    clients: Vec<TcpStream>,
    /// What the first client sends.
    calls: Vec<u8>,
    /// The bytes that each client receives in return.
    expected: usize,
    buffer: Vec<u8>,
}

fn connect(clients: usize) -> Connected {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let server = Server::new(Config { port: 0, ..Config::default() }).events(aaw_events::module());
    let bound = runtime.block_on(server.bind()).expect("a free port");
    let (address, handle) = (bound.local_addr(), bound.handle());
    runtime.spawn(bound.serve(std::future::pending()));
    let clients = (0..clients)
        .map(|_| {
            runtime.block_on(async {
                let mut socket = TcpStream::connect(address).await.expect("the server listens");
                let handshake = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                                 Sec-WebSocket-Protocol: aaw.v1\r\n\r\n";
                socket.write_all(handshake.as_bytes()).await.expect("the server reads");
                let mut end = [0; 4];
                while end != *b"\r\n\r\n" {
                    end.rotate_left(1);
                    socket.read_exact(&mut end[3..]).await.expect("a response");
                }
                socket.write_all(&samples::masked(br#"["aaw/hello",{}]"#)).await.expect("the server reads");
                let mut header = [0; 4];
                socket.read_exact(&mut header).await.expect("a welcome");
                let mut welcome = vec![0; u16::from_be_bytes([header[2], header[3]]).into()];
                socket.read_exact(&mut welcome).await.expect("a welcome");
                socket
            })
        })
        .collect();
    Connected { runtime, handle, clients, calls: Vec::new(), expected: 0, buffer: vec![0; 64 << 10] }
}

/// A client that makes this many calls with one write. It has made a call before, so that nothing is done for the first time.
fn caller(calls: usize) -> Connected {
    let mut connected = connect(1);
    let all = samples::calls(1 + calls);
    // All frames are of the same length.
    let first = all.len() / (1 + calls);
    connected.calls = all[..first].to_vec();
    // Without the mask.
    connected.expected = first - 4;
    let mut connected = exchange(connected);
    connected.calls = all[first..].to_vec();
    connected.expected = calls * (first - 4);
    connected
}

fn exchange(mut connected: Connected) -> Connected {
    let Connected { runtime, clients, calls, expected, buffer, .. } = &mut connected;
    runtime.block_on(async {
        clients[0].write_all(calls).await.expect("the server reads");
        clients[0].read_exact(&mut buffer[..*expected]).await.expect("the responses");
    });
    connected
}

const NEWS: &str = "The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog.";

/// Clients that have received a message before.
fn subscribers(clients: usize) -> Connected {
    let mut connected = connect(clients);
    connected.expected = 2 + serde_json::json!(["news", NEWS]).to_string().len();
    emit(connected)
}

fn emit(mut connected: Connected) -> Connected {
    let Connected { runtime, handle, clients, expected, buffer, .. } = &mut connected;
    runtime.block_on(async {
        handle.emit("news", NEWS).expect("a text");
        for client in clients {
            client.read_exact(&mut buffer[..*expected]).await.expect("a message");
        }
    });
    connected
}

#[library_benchmark]
#[bench::one(caller(1))]
#[bench::in_one_write(caller(32))]
fn call(connected: Connected) -> Connected {
    black_box(exchange(connected))
}

#[library_benchmark]
#[bench::to_16_connections(subscribers(16))]
fn push(connected: Connected) -> Connected {
    black_box(emit(connected))
}

library_benchmark_group!(name = server, benchmarks = [call, push]);
main!(library_benchmark_groups = server);
