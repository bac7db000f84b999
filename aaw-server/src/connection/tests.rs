//! The task of a connection over a pipe in memory, with a clock that advances to the next deadline.

use std::sync::Arc;
use std::time::Duration;

use aaw_event::OpenInfo;
use aaw_protocol::Dialect;
use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{NewConnection, StreamSocket};
use crate::config::Config;
use crate::dispatch::{Dispatch, RunLimits};
use crate::hub::{EventCaller, HostServices, Hub, Mailbox, Opening, PushLimits};

/// Serves a connection of a server without events, over a pipe that holds `pipe` bytes. Returns the client's end.
fn connect(dialect: Dialect, pipe: usize) -> (JoinHandle<()>, DuplexStream) {
    let (server, client) = duplex(pipe);
    (serve(dialect, server), client)
}

/// Serves a connection of a server without events over this stream.
fn serve(dialect: Dialect, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> JoinHandle<()> {
    let config = Config::default();
    let hub = Arc::new(Hub::default());
    let permit = hub.admit(1).expect("it is the first");
    let limits = PushLimits { burst: config.max_push_burst_bytes, sustained: config.max_push_backlog_bytes };
    let guard = hub.insert(permit, None, None, Mailbox::new(limits, Opening::of(dialect)));
    let services = HostServices::new(hub, None, config.max_message_bytes);
    let caller = EventCaller::for_connection(services, Arc::clone(&guard.peer));
    let (registry, max_response, limits) = (ArcSwap::default(), config.max_message_bytes, RunLimits::default());
    let dispatch = Dispatch { registry, hook: None, auth: None, max_response, limits };
    let connection = NewConnection {
        dialect,
        guard,
        caller,
        open_info: OpenInfo::default(),
        dispatch: Arc::new(dispatch),
        protocol: Arc::new(config.protocol()),
        config: Arc::new(config),
    };
    tokio::spawn(connection.serve(StreamSocket(stream), Bytes::new()))
}

/// Reads the next frame from the server: its opcode and payload.
async fn frame(client: &mut DuplexStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    client.read_exact(&mut head).await.expect("a frame");
    let mut payload = vec![0; usize::from(head[1])];
    client.read_exact(&mut payload).await.expect("the payload");
    (head[0] & 0x0f, payload)
}

/// Returns a masked text frame; the mask is zero (RFC 6455, section 5.3).
fn text(text: &str) -> Vec<u8> {
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
