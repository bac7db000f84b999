//! The task of a connection over a pipe in memory, with a clock that advances to the next deadline.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use aaw_event::OpenInfo;
use aaw_protocol::Dialect;
use aaw_protocol::resumption::ResumptionKey;
use aaw_protocol::websocket::{FrameBuffer, MessageDecoder};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter, DuplexStream, ReadBuf, duplex};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::resumption_state::NewSocket;
use super::socket_task::INPUT_PER_TURN;
use super::{ClientSocket, NewConnection};
use crate::address_limits::AddressMeter;
use crate::config::Config;
use crate::dispatch::Dispatch;
use crate::hub::{
    Command, ConnectionPermit, EventCaller, HostServices, Hub, Mailbox, Opening, PushLimits, ResumeRequest,
};
use crate::registry::Registry;

/// Serves a connection of a server without events, over a pipe that holds `pipe` bytes. Returns the client's end.
fn connect(dialect: Dialect, pipe: usize) -> (JoinHandle<()>, DuplexStream) {
    let (server, client) = duplex(pipe);
    (serve(dialect, server), client)
}

/// Serves a connection of a server without events over this stream.
fn serve(dialect: Dialect, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> JoinHandle<()> {
    serve_in(&Arc::default(), dialect, stream)
}

/// Serves the only connection of this hub over this stream.
fn serve_in(
    hub: &Arc<Hub>,
    dialect: Dialect,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> JoinHandle<()> {
    serve_with(hub, Registry::default(), dialect, stream)
}

/// Serves the only connection of this hub over this stream, with these events.
pub(super) fn serve_with(
    hub: &Arc<Hub>,
    registry: Registry,
    dialect: Dialect,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> JoinHandle<()> {
    let config = Config { resumption_window: Duration::from_secs(60), ..Config::default() };
    let permit = hub.admit(1).expect("it is the first");
    serve_admitted(hub, permit, config, registry, dialect, stream)
}

/// Serves a connection that was admitted.
pub(super) fn serve_admitted(
    hub: &Arc<Hub>,
    permit: ConnectionPermit,
    config: Config,
    registry: Registry,
    dialect: Dialect,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> JoinHandle<()> {
    let limits = PushLimits { burst: config.max_push_burst_bytes, sustained: config.max_push_backlog_bytes };
    let guard = hub.insert(permit, None, None, Mailbox::new(limits, Opening::of(dialect)));
    let services = HostServices::new(Arc::clone(hub), None, config.max_message_bytes);
    let caller = EventCaller::for_connection(services, Arc::clone(&guard.peer));
    let dispatch = Dispatch::for_test(registry, None, config.max_message_bytes);
    let connection = NewConnection {
        dialect,
        guard,
        caller,
        origin: None,
        open_info: OpenInfo::default(),
        dispatch: Arc::new(dispatch),
        protocol: Arc::new(config.protocol()),
        config: Arc::new(config),
    };
    tokio::spawn(connection.serve(ClientSocket::stream(stream), Bytes::new()))
}

/// A socket on which a connection continues, and the client's end of it.
pub(super) fn new_socket(grant_number: u64) -> (NewSocket, DuplexStream) {
    let (server, client) = duplex(1 << 16);
    let socket = NewSocket {
        grant_number,
        socket: ClientSocket::stream(server),
        decoder: MessageDecoder::new(1 << 20),
        unread: None,
        unsent: FrameBuffer::default(),
        permit: None,
        meter: AddressMeter::default(),
    };
    (socket, client)
}

/// Reads the next frame from the server, of less than 64 KB: its opcode and payload.
pub(super) async fn frame(client: &mut (impl AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    client.read_exact(&mut head).await.expect("a frame");
    let len = match head[1] {
        126 => usize::from(client.read_u16().await.expect("a length")),
        len => len.into(),
    };
    let mut payload = vec![0; len];
    client.read_exact(&mut payload).await.expect("the payload");
    (head[0] & 0x0f, payload)
}

/// Returns a masked text frame; the mask is zero (RFC 6455, section 5.3).
pub(super) fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).expect("a short text");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

const PING: u8 = 9;
const CLOSE: u8 = 8;

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_pinged_twice_and_then_closed() {
    let start = Instant::now();
    let (served, mut client) = connect(Dialect::Classic, 1 << 10);
    for seconds in [20, 40] {
        assert_eq!(frame(&mut client).await, (PING, vec![]));
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
    let (opcode, payload) = frame(&mut client).await;
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1001u16.to_be_bytes()[..]));
    assert_eq!(start.elapsed().as_secs(), 60);
    served.await.expect("the task ends");
}

#[tokio::test(start_paused = true)]
async fn a_v1_client_without_a_hello_is_closed_after_ten_seconds() {
    let start = Instant::now();
    let (served, mut client) = connect(Dialect::V1, 1 << 10);
    let (opcode, payload) = frame(&mut client).await;
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1002u16.to_be_bytes()[..]));
    assert_eq!(start.elapsed().as_secs(), 10);
    served.await.expect("the task ends");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_for_thirty_seconds_is_closed() {
    let start = Instant::now();
    let (served, mut client) = connect(Dialect::Classic, 1 << 10);
    for _ in 0..100 {
        client.write_all(&text(r#"["x",null]"#)).await.expect("the server reads");
    }
    served.await.expect("the task ends");
    // The write timeout, and two seconds for the close frame.
    assert_eq!(start.elapsed(), Duration::from_secs(32));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_its_responses_late_receives_all_of_them() {
    let (_served, mut client) = connect(Dialect::Classic, 1 << 10);
    for _ in 0..100 {
        client.write_all(&text(r#"["x",null]"#)).await.expect("the server reads");
    }
    tokio::time::advance(Duration::from_secs(15)).await;
    for _ in 0..100 {
        assert_eq!(frame(&mut client).await, (1, br#"["x",{"error":"Unknown event: x"}]"#.to_vec()));
    }
}

/// TLS accepts what it encrypts, and keeps it while the socket beneath accepts nothing.
#[tokio::test(start_paused = true)]
async fn a_stream_with_a_buffer_is_flushed_when_the_client_reads_again() {
    let start = Instant::now();
    let (server, mut client) = duplex(1 << 10);
    let served = serve(Dialect::Classic, BufWriter::with_capacity(64 << 10, server));
    for _ in 0..100 {
        client.write_all(&text(r#"["x",null]"#)).await.expect("the server reads");
    }
    for _ in 0..100 {
        assert_eq!(frame(&mut client).await, (1, br#"["x",{"error":"Unknown event: x"}]"#.to_vec()));
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    // A client that reads nothing receives no pings and is closed, although the stream has accepted all of its responses.
    for _ in 0..100 {
        client.write_all(&text(r#"["x",null]"#)).await.expect("the server reads");
    }
    served.await.expect("the task ends");
    assert_eq!(start.elapsed(), Duration::from_secs(62));
}

/// A stream that counts the bytes that were read from it.
struct Counted {
    stream: DuplexStream,
    read: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.read.fetch_add(buffer.filled().len() - before, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// They complete no message, so nothing else ends the turn before all that it may read has been decoded.
#[tokio::test]
async fn empty_fragments_use_up_the_turn_of_their_connection() {
    let (server, mut client) = duplex(1 << 20);
    let begin = [0x01, 0x80, 0, 0, 0, 0];
    let fragments = [0x00, 0x80, 0, 0, 0, 0].repeat(60_000);
    client.write_all(&begin).await.expect("the pipe has space");
    client.write_all(&fragments).await.expect("the pipe has space");
    let read = Arc::new(AtomicUsize::new(0));
    let _served = serve(Dialect::Classic, Counted { stream: server, read: Arc::clone(&read) });
    let mut turns = Vec::new();
    while read.load(Ordering::Relaxed) < begin.len() + fragments.len() {
        let before = read.load(Ordering::Relaxed);
        // The connection has one turn.
        tokio::task::yield_now().await;
        turns.push(read.load(Ordering::Relaxed) - before);
    }
    assert!(turns.iter().all(|turn| *turn < INPUT_PER_TURN), "{turns:?}");
}

/// A stream that accepts one byte at a time, and none in between.
struct ByteByByte {
    stream: DuplexStream,
    accepts: bool,
}

impl AsyncRead for ByteByByte {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ByteByByte {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.accepts = !self.accepts;
        if !self.accepts {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(cx, &bytes[..1])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// So every byte of a header is the last one that a write accepts, with and without a push or a response that follows.
#[tokio::test]
async fn a_stream_that_accepts_one_byte_at_a_time_receives_whole_frames_in_order() {
    const EACH: usize = 200;
    let hub = Arc::<Hub>::default();
    let (server, mut client) = duplex(64);
    let served = serve_in(&hub, Dialect::Classic, ByteByByte { stream: server, accepts: false });
    let padding = "x".repeat(150);
    let data = |number: usize| format!(r#"[{number},"{}"]"#, &padding[..number % 150]);
    let (mut reader, mut writer) = tokio::io::split(&mut client);
    let pushes = async {
        for number in 0..EACH {
            assert_eq!(hub.emit("news", &data(number), 1 << 20).expect("it fits"), 1);
            tokio::task::yield_now().await;
        }
    };
    let calls = async {
        for number in 0..EACH {
            writer.write_all(&text(&format!(r#"["x",null,{number}]"#))).await.expect("the server reads");
        }
    };
    let reads = async {
        let (mut pushed, mut responded) = (0, 0);
        while pushed < EACH || responded < EACH {
            let payload = String::from_utf8(frame(&mut reader).await.1).expect("text");
            if payload.starts_with(r#"["news","#) {
                assert_eq!(payload, format!(r#"["news",{}]"#, data(pushed)));
                pushed += 1;
            } else {
                assert_eq!(payload, format!(r#"["x",{{"error":"Unknown event: x"}},{responded}]"#));
                responded += 1;
            }
        }
    };
    let all = async { tokio::join!(pushes, calls, reads) };
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("everything arrives");
    drop(client);
    served.await.expect("the task ends");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_acknowledge_is_closed() {
    let (served, mut client) = connect(Dialect::V1, 1 << 16);
    let hello = r#"["aaw/hello",{"resumption":{"key":"0123456789abcdef0123456789abcdef"}}]"#;
    client.write_all(&text(hello)).await.expect("the server reads");
    frame(&mut client).await;
    let start = Instant::now();
    for id in 1..=70 {
        client.write_all(&text(&format!("[\"x\",1,{id}]"))).await.expect("the server reads");
        // The server acknowledges, too.
        while !frame(&mut client).await.1.ends_with(format!("{id},\"error\"]").as_bytes()) {}
        if id == 65 {
            client.write_all(&text("[\"aaw/ack\",1]")).await.expect("the server reads");
        }
    }
    let (opcode, payload) = loop {
        match frame(&mut client).await {
            (CLOSE, payload) => break (CLOSE, payload),
            // Its pong proves that the client has received what was sent before.
            (PING, _) => {
                client.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await.expect("the server reads");
                // A part is not enough.
                client.write_all(&text("[\"aaw/ack\",10]")).await.expect("the server reads");
            }
            (_, payload) => assert!(payload.starts_with(b"[\"aaw/ack\"")),
        }
    };
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1008u16.to_be_bytes()[..]));
    assert_eq!(start.elapsed().as_secs(), 25);
    drop(client);
    served.await.expect("no panic");
}

/// A client may give up a socket whose request was granted, and ask again: the sockets can arrive in any order.
#[tokio::test(start_paused = true)]
async fn only_the_socket_of_the_last_grant_continues_a_connection() {
    let hub = Arc::<Hub>::default();
    let (server, mut client) = duplex(1 << 16);
    let served = serve_in(&hub, Dialect::V1, server);
    let hello = r#"["aaw/hello",{"resumption":{"key":"0123456789abcdef0123456789abcdef"}}]"#;
    client.write_all(&text(hello)).await.expect("the server reads");
    let (_, welcome) = frame(&mut client).await;
    let welcome: serde_json::Value = serde_json::from_slice(&welcome).expect("JSON");
    let id = welcome[1]["connection"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let peer = hub.peer(id).expect("it is open");
    let grant = async || {
        let (reply, granted) = oneshot::channel();
        peer.mailbox.post(Command::Resume(Box::new(ResumeRequest {
            received: 0,
            attempt: None,
            token: None,
            info: None,
            hook_number: None,
            reply,
        })));
        granted.await.expect("a reply").expect("a grant")
    };
    let (first, last) = (grant().await, grant().await);
    assert_eq!((first, last), (1, 2));
    let take = |grant_number| {
        let (socket, client) = new_socket(grant_number);
        peer.mailbox.post(Command::TakeSocket(Box::new(socket)));
        client
    };
    let (mut late, mut live, mut later) = (take(first), take(last), take(first));
    let (_, welcome) = frame(&mut live).await;
    assert!(String::from_utf8_lossy(&welcome).contains(r#""resumed":true"#));
    for given_up in [&mut late, &mut later] {
        assert_eq!(given_up.read(&mut [0]).await.expect("the end"), 0);
    }
    live.write_all(&text(r#"["x",1,1]"#)).await.expect("the server reads");
    assert!(frame(&mut live).await.1.ends_with(br#"1,"error"]"#));
    // A close frame without a code.
    live.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.expect("the server reads");
    served.await.expect("no panic");
    assert!(hub.resumable.get(&ResumptionKey::from_random([0; 16])).is_none() && hub.resumable.away() == 0);
}

/// What was sent may lie in the buffers of a network that has failed.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_silent_is_away_whatever_it_has_not_acknowledged() {
    let hub = Arc::<Hub>::default();
    let (server, mut client) = duplex(1 << 16);
    let _served = serve_in(&hub, Dialect::V1, server);
    let hello = r#"["aaw/hello",{"resumption":{"key":"0123456789abcdef0123456789abcdef"}}]"#;
    client.write_all(&text(hello)).await.expect("the server reads");
    for id in 1..=70 {
        client.write_all(&text(&format!("[\"x\",1,{id}]"))).await.expect("the server reads");
    }
    let started = Instant::now();
    while hub.resumable.away() == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(started.elapsed().as_secs() / 5, 12, "after the last of two pings, 20 s apart");
}

/// The task of a connection that is away sleeps, although its client has not acknowledged what it must: the clock of a test
/// advances only when no task runs, and a minute passes here in a moment.
#[test]
fn a_connection_that_is_away_sleeps_until_its_window_is_over() {
    let (sender, over) = std::sync::mpsc::channel();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    // On a thread of its own, so that a task which never sleeps fails the test.
    std::thread::spawn(move || {
        runtime.block_on(async {
            let hub = Arc::<Hub>::default();
            let (server, mut client) = duplex(1 << 16);
            let served = serve_in(&hub, Dialect::V1, server);
            let hello = r#"["aaw/hello",{"resumption":{"key":"0123456789abcdef0123456789abcdef"}}]"#;
            client.write_all(&text(hello)).await.expect("the server reads");
            for id in 1..=70 {
                client.write_all(&text(&format!("[\"x\",1,{id}]"))).await.expect("the server reads");
            }
            while !frame(&mut client).await.1.ends_with(b"70,\"error\"]") {}
            drop(client);
            served.await.expect("no panic");
        });
        let _ = sender.send(());
    });
    over.recv_timeout(Duration::from_secs(20)).expect("the window is over");
}
