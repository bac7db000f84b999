//! The memory of connections at rest, and the allocations of calls, as an allocator counts them. A program of its own
//! with one test, because everything in the process is counted. The clients are blocking sockets with one buffer: they
//! allocate nothing while the server is measured.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use aaw_server::{Config, Events, Handle, Server};
use aaw_tests::DEADLINE;
use aaw_tests::counting_allocator::{CountingAllocator, allocated, allocations};
use serde_json::json;
use tokio::runtime::Runtime;

/// The connections over whose number the memory is divided.
const CONNECTIONS: usize = 1000;

/// The heap of an open connection, in bytes. What it takes of the process is a little more: the allocator's own blocks.
const MAX_AT_REST: usize = 1800;

/// The same if the client can resume the connection, and has acknowledged all messages.
const MAX_RESUMABLE_AT_REST: usize = 1970;

/// What a burst may leave, for each connection: nothing, apart from the buffers of the two workers.
const MAX_KEPT: usize = 200;

/// The allocations of a call of `echo`, whose handler owns a copy of the body.
const MAX_ALLOCATIONS: usize = 2;

/// The calls that a client makes with one write, and whose handlers wait together.
const WAITING: usize = 32;

/// The allocations of a call that waits while others do: the handler's copy of the body, the name of the event, the task and the
/// response. The rest is its share of tables, which grow with the calls that are open and are freed when none is.
const MAX_ALLOCATIONS_OF_WAITING: f64 = 4.6;

/// Those of a call that waits alone: the tables are its own, and so is the queue of the command that completes it.
const MAX_ALLOCATIONS_OF_ONE_WAITING: f64 = 9.1;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// A client of the dialect v1.
struct Client {
    socket: TcpStream,
    id: usize,
}

impl Client {
    fn connect(addr: SocketAddr, buffer: &mut Vec<u8>) -> Self {
        Self::connect_with(br#"["aaw/hello",{}]"#, addr, buffer)
    }

    /// Connects so that the connection can be resumed, calls, and acknowledges the response.
    fn connect_resumable(key: usize, addr: SocketAddr, call: &mut Vec<u8>, buffer: &mut Vec<u8>) -> Self {
        let hello = format!(r#"["aaw/hello",{{"resumption":{{"key":"{key:032x}"}}}}]"#);
        let mut client = Self::connect_with(hello.as_bytes(), addr, buffer);
        client.echo(100, call, buffer);
        client.send(br#"["aaw/ack",1]"#, buffer);
        client
    }

    fn connect_with(hello: &[u8], addr: SocketAddr, buffer: &mut Vec<u8>) -> Self {
        let mut socket = TcpStream::connect(addr).expect("the server listens");
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let handshake = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                         Sec-WebSocket-Protocol: aaw.v1\r\n\r\n";
        socket.write_all(handshake.as_bytes()).expect("the server reads");
        let mut end = [0; 4];
        while end != *b"\r\n\r\n" {
            end.rotate_left(1);
            socket.read_exact(&mut end[3..]).expect("a response");
        }
        let mut client = Self { socket, id: 0 };
        client.send(hello, buffer);
        assert!(client.read(buffer).starts_with(br#"["aaw/welcome","#));
        client
    }

    /// Sends a text.
    fn send(&mut self, text: &[u8], buffer: &mut Vec<u8>) {
        buffer.clear();
        append_frame(text, buffer);
        self.socket.write_all(buffer).expect("the server reads");
    }

    /// Reads a frame. Returns its payload.
    fn read<'a>(&mut self, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        let mut head = [0; 10];
        self.socket.read_exact(&mut head[..2]).expect("a frame");
        assert_eq!(head[0], 0x81, "a text");
        let len = match head[1] {
            126 => {
                self.socket.read_exact(&mut head[2..4]).expect("a length");
                usize::from(u16::from_be_bytes([head[2], head[3]]))
            }
            127 => {
                self.socket.read_exact(&mut head[2..10]).expect("a length");
                u64::from_be_bytes(std::array::from_fn(|at| head[2 + at])) as usize
            }
            len => len.into(),
        };
        buffer.resize(len, 0);
        self.socket.read_exact(buffer).expect("a payload");
        buffer
    }

    /// Calls `echo` with a JSON string of `len` bytes.
    fn echo(&mut self, len: usize, call: &mut Vec<u8>, buffer: &mut Vec<u8>) {
        self.encode("echo", len, call);
        self.send(call, buffer);
        assert_eq!(self.read(buffer), &call[..], "the response of echo is its body");
    }

    /// Writes the next call, with a JSON string of `len` bytes.
    fn encode(&mut self, event: &str, len: usize, call: &mut Vec<u8>) {
        self.id += 1;
        call.clear();
        write!(call, "[\"{event}\",\"").expect("a vector grows");
        call.resize(call.len() + len, b'x');
        write!(call, "\",{}]", self.id).expect("a vector grows");
    }
}

/// Appends a frame. Its mask is zero, which is as good as any (RFC 6455, section 5.3).
fn append_frame(text: &[u8], frames: &mut Vec<u8>) {
    frames.push(0x81);
    match text.len() {
        len @ 0..126 => frames.push(0x80 | len as u8),
        len @ 126..65536 => {
            frames.push(0x80 | 126);
            frames.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frames.push(0x80 | 127);
            frames.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frames.extend_from_slice(&[0; 4]);
    frames.extend_from_slice(text);
}

/// Waits until the connections occupy at most `max` bytes each, beyond `before`. Returns what they occupy.
fn at_rest(before: usize, max: usize) -> usize {
    let occupied = || allocated().saturating_sub(before) / CONNECTIONS;
    let started = Instant::now();
    // The tasks of handshakes and the last turns end after the client has received what they have sent.
    while occupied() > max && started.elapsed() < DEADLINE {
        std::thread::sleep(Duration::from_millis(10));
    }
    occupied()
}

/// Starts a server with this number of worker threads.
fn start(events: Events, workers: usize) -> (Runtime, SocketAddr, Handle) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().expect("a runtime");
    let server =
        Server::new(Config { port: 0, resumption_window: Duration::from_secs(60), ..Config::default() }).events(events);
    let bound = runtime.block_on(server.bind()).expect("a free port");
    let (addr, handle) = (bound.local_addr(), bound.handle());
    runtime.spawn(bound.serve(std::future::pending()));
    (runtime, addr, handle)
}

/// Makes calls whose handlers wait once, `in_flight` of them with each write. Returns the allocations of a call.
fn allocations_of_waiting_calls(
    client: &mut Client,
    in_flight: usize,
    call: &mut Vec<u8>,
    buffer: &mut Vec<u8>,
) -> f64 {
    const ROUNDS: usize = 300;
    let before = allocations();
    for _ in 0..ROUNDS {
        buffer.clear();
        for _ in 0..in_flight {
            client.encode("yields", 100, call);
            append_frame(call, buffer);
        }
        client.socket.write_all(buffer).expect("the server reads");
        for _ in 0..in_flight {
            assert!(client.read(buffer).starts_with(b"[\"yields\",\"x"));
        }
    }
    (allocations() - before) as f64 / (ROUNDS * in_flight) as f64
}

#[test]
fn connections_at_rest_are_small_and_keep_nothing_of_a_burst() {
    aaw_tests::raise_open_file_limit();
    let (runtime, addr, handle) = start(aaw_events::module().into(), 2);

    let (mut call, mut buffer) = (Vec::with_capacity(2 << 20), Vec::with_capacity(2 << 20));
    let mut clients = Vec::with_capacity(CONNECTIONS);
    // Everything that is allocated only once is allocated now.
    for _ in 0..4 {
        Client::connect(addr, &mut buffer).echo(1_000_000, &mut call, &mut buffer);
    }
    while handle.connections() > 0 {
        std::thread::sleep(Duration::from_millis(10));
    }

    let before = allocated();
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(addr, &mut buffer);
        client.echo(100, &mut call, &mut buffer);
        clients.push(client);
    }
    let after_a_call = at_rest(before, MAX_AT_REST);
    assert!(after_a_call <= MAX_AT_REST, "after a call each connection occupies {after_a_call} bytes");

    for _ in 0..300 {
        handle.emit("news", json!({ "text": "x".repeat(100) })).expect("it can be encoded");
    }
    for client in &mut clients {
        for _ in 0..300 {
            assert!(client.read(&mut buffer).starts_with(br#"["news","#));
        }
    }
    let after_pushes = at_rest(before, after_a_call + MAX_KEPT);
    assert!(after_pushes <= after_a_call + MAX_KEPT, "after pushes: {after_pushes} bytes, before: {after_a_call}");

    for client in &mut clients[..CONNECTIONS / 5] {
        client.echo(1_000_000, &mut call, &mut buffer);
    }
    let after_a_megabyte = at_rest(before, after_a_call + MAX_KEPT);
    assert!(after_a_megabyte <= after_a_call + MAX_KEPT, "after 1 MB: {after_a_megabyte}, before: {after_a_call}");

    const CALLS: usize = 1000;
    let client = &mut clients[0];
    let before = allocations();
    for _ in 0..CALLS {
        client.echo(100, &mut call, &mut buffer);
    }
    let of_a_call = (allocations() - before) / CALLS;
    assert!(of_a_call <= MAX_ALLOCATIONS, "{of_a_call} allocations for a call");
    println!(
        "{after_a_call} bytes after a call, {after_pushes} after pushes, {after_a_megabyte} after 1 MB; {of_a_call}"
    );

    drop(clients);
    while handle.connections() > 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let before = allocated();
    let resumable: Vec<_> =
        (0..CONNECTIONS).map(|key| Client::connect_resumable(key, addr, &mut call, &mut buffer)).collect();
    let at_rest = at_rest(before, MAX_RESUMABLE_AT_REST);
    println!("{at_rest} bytes of a connection that can be resumed");
    assert!(at_rest <= MAX_RESUMABLE_AT_REST, "a connection that can be resumed occupies {at_rest} bytes");

    drop((resumable, runtime));
    // With one worker, since each keeps memory for the calls that wait, and may be left without it by the other.
    let (_runtime, addr, _) = start(aaw_test_events::module().into(), 1);
    let client = &mut Client::connect(addr, &mut buffer);
    // Again, everything that is allocated only once is allocated now.
    allocations_of_waiting_calls(client, WAITING, &mut call, &mut buffer);
    let one = allocations_of_waiting_calls(client, 1, &mut call, &mut buffer);
    let several = allocations_of_waiting_calls(client, WAITING, &mut call, &mut buffer);
    println!("{one} allocations for a call that waits, {several} if {WAITING} do");
    assert!(one <= MAX_ALLOCATIONS_OF_ONE_WAITING, "{one} allocations for a call that waits");
    assert!(several <= MAX_ALLOCATIONS_OF_WAITING, "{several} allocations for a call, if {WAITING} wait");
}
