//! The whole server, from a socket to a socket: reading, framing, dispatch of an event, the outgoing log, writing. The
//! kernel is not counted; the client's part, which is a write and a few reads by the same runtime, is. The Rust client is
//! counted together with the server that it calls.

use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use aaw_bench_waiting::Wait;
use aaw_client::Client;
use aaw_server::{Config, Events, Handle, Server};
use futures_util::future::join_all;
use gungraun::{LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
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

/// How the events get into the server.
#[derive(Clone, Copy)]
enum From {
    Linked,
    /// From the library that the script has built.
    Library,
    /// Linked, with an `echo` that yields once.
    Yielding,
}

impl From {
    fn events(self) -> Events {
        match self {
            Self::Linked => aaw_events::module().into(),
            Self::Library => {
                let library = std::env::var_os("AAW_EVENTS_LIBRARY").expect("the script sets it");
                aaw_server::modules::open(Path::new(&library)).expect("the library was built").into()
            }
            Self::Yielding => aaw_bench_waiting::module_with(Wait::Yield).into(),
        }
    }
}

fn start(from: From) -> (Runtime, SocketAddr, Handle) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let server = Server::new(Config { port: 0, resumption_window: Duration::from_secs(60), ..Config::default() })
        .events(from.events());
    let bound = runtime.block_on(server.bind()).expect("a free port");
    let (address, handle) = (bound.local_addr(), bound.handle());
    runtime.spawn(bound.serve(std::future::pending()));
    (runtime, address, handle)
}

const HELLO: &str = r#"["aaw/hello",{}]"#;

/// Makes the connection resumable.
const RESUMABLE_HELLO: &str = r#"["aaw/hello",{"resumption":{"key":"0123456789abcdef0123456789abcdef"}}]"#;

fn connect(from: From, clients: usize, hello: &str) -> Connected {
    let (runtime, address, handle) = start(from);
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
                socket.write_all(&samples::masked(hello.as_bytes())).await.expect("the server reads");
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
fn caller(from: From, calls: usize) -> Connected {
    caller_with(from, calls, HELLO)
}

/// As [`caller`], on a resumable connection: each side acknowledges what the other has sent. The acknowledgement replaces one
/// call, so that the number of messages is the same: a turn reads the clock after each 16 messages.
fn resumable_caller(calls: usize) -> Connected {
    let mut connected = caller_with(From::Linked, calls, RESUMABLE_HELLO);
    connected.calls.splice(0..0, samples::masked(br#"["aaw/ack",1]"#));
    // With the acknowledgement of all calls.
    connected.expected += 2 + format!("[\"aaw/ack\",{}]", 1 + calls).len();
    connected
}

fn caller_with(from: From, calls: usize, hello: &str) -> Connected {
    let mut connected = connect(from, 1, hello);
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
    let mut connected = connect(From::Linked, clients, HELLO);
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

/// The items of a stream. Fewer than those after which a batch looks at the clock: it ends after a time, which is shorter in
/// instructions here.
const ITEMS: usize = 7;

/// The streams that are called for with one write.
const STREAMS: usize = 16;

/// A client that calls for streams. It has read one before.
fn reader(from: From) -> Connected {
    let mut connected = connect(from, 1, HELLO);
    for ids in [1..2, 2..2 + STREAMS] {
        (connected.calls, connected.expected) = (Vec::new(), 0);
        for id in ids.clone() {
            let call = format!(r#"["count",{{"to":{ITEMS}}},{id},"call",{{"credit":1000}}]"#);
            connected.calls.extend(samples::masked(call.as_bytes()));
            let frame = |item: String| 2 + item.len();
            let items = (1..=ITEMS).map(|item| frame(format!(r#"["count",{item},{id},"item"]"#)));
            connected.expected += items.sum::<usize>() + frame(format!(r#"["count",null,{id},"end"]"#));
        }
        if ids.start == 1 {
            connected = exchange(connected);
        }
    }
    connected
}

/// A client of HTTP that posts a body to `echo`, and has done so before.
fn poster() -> Connected {
    let (runtime, address, handle) = start(From::Linked);
    let client = runtime.block_on(TcpStream::connect(address)).expect("the server listens");
    client.set_nodelay(true).expect("a socket");
    let body = samples::call(1);
    let calls = format!(
        "POST /events/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connected = Connected {
        runtime,
        handle,
        clients: vec![client],
        calls: calls.into(),
        expected: 0,
        buffer: vec![0; 64 << 10],
    };
    // The first response tells how long the others are.
    let Connected { runtime, clients, calls, buffer, .. } = &mut connected;
    connected.expected = runtime.block_on(async {
        clients[0].write_all(calls).await.expect("the server reads");
        let mut len = 0;
        while !buffer[..len].ends_with(body.as_bytes()) {
            len += clients[0].read(&mut buffer[len..]).await.expect("a response");
        }
        len
    });
    exchange(connected)
}

/// A Rust client and its server, on one thread.
struct ConnectedClient {
    runtime: Runtime,
    client: Client,
}

fn rust_client() -> ConnectedClient {
    let (runtime, address, _) = start(From::Linked);
    let client = runtime.block_on(aaw_client::connect(&format!("ws://{address}"))).expect("the server listens");
    let client = ConnectedClient { runtime, client };
    read_stream(call_together(client))
}

/// 32 calls in flight.
fn call_together(connected: ConnectedClient) -> ConnectedClient {
    let ConnectedClient { runtime, client } = &connected;
    runtime.block_on(async {
        let call = |number: u64| client.send_async::<u64>("echo", number, Duration::from_secs(10));
        let responses = join_all((0..32).map(call)).await;
        assert!(responses.into_iter().map(|response| response.expect("a response")).eq(0..32));
    });
    connected
}

fn read_stream(connected: ConnectedClient) -> ConnectedClient {
    let ConnectedClient { runtime, client } = &connected;
    runtime.block_on(async {
        let mut items = client.stream::<usize>("count", serde_json::json!({ "to": ITEMS }));
        for number in 1..=ITEMS {
            assert_eq!(items.next().await.expect("an item").expect("an item"), number);
        }
        assert!(items.next().await.is_none());
    });
    connected
}

#[library_benchmark]
#[bench::one(caller(From::Linked, 1))]
#[bench::in_one_write(caller(From::Linked, 32))]
#[bench::one_of_a_library(caller(From::Library, 1))]
#[bench::of_a_library_in_one_write(caller(From::Library, 32))]
#[bench::resumable_in_one_write(resumable_caller(31))]
#[bench::one_that_yields(caller(From::Yielding, 1))]
#[bench::that_yield_in_one_write(caller(From::Yielding, 32))]
fn call(connected: Connected) -> Connected {
    black_box(exchange(connected))
}

#[library_benchmark]
#[bench::linked(reader(From::Linked))]
#[bench::of_a_library(reader(From::Library))]
fn items(connected: Connected) -> Connected {
    black_box(exchange(connected))
}

#[library_benchmark]
#[bench::echo(poster())]
fn http(connected: Connected) -> Connected {
    black_box(exchange(connected))
}

#[library_benchmark]
#[bench::calls(rust_client())]
fn client(connected: ConnectedClient) -> ConnectedClient {
    black_box(call_together(connected))
}

#[library_benchmark]
#[bench::items(rust_client())]
fn client_stream(connected: ConnectedClient) -> ConnectedClient {
    black_box(read_stream(connected))
}

#[library_benchmark]
#[bench::to_16_connections(subscribers(16))]
fn push(connected: Connected) -> Connected {
    black_box(emit(connected))
}

library_benchmark_group!(name = server, benchmarks = [call, items, http, client, client_stream, push]);
main!(
    config = LibraryBenchmarkConfig::default().pass_through_env("AAW_EVENTS_LIBRARY");
    library_benchmark_groups = server
);
