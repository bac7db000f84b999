//! Senders whose pushes overrun their readers: readers that read slow them down, and frozen ones do not.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aaw_server::Config;
use aaw_tests::raw::{self, RawConnection};
use aaw_tests::{HttpRequest, TestServer, until};
use tokio::task::{JoinHandle, JoinSet};

/// Longer than any test takes, for timeouts that must not expire.
const NEVER: Duration = Duration::from_secs(3600);

/// What each reader takes, in bytes a second.
const PACE: f64 = 2e6;

/// The bytes of each message.
const MESSAGE: usize = 8000;

/// The messages of a sender: 6 MB, which is six times what a reader may have waiting.
const MESSAGES: usize = 750;

/// The bytes of messages of which a few are 6 MB, for senders that take a while for each.
const LARGE: usize = 100_000;
const LARGE_MESSAGES: usize = 60;

/// A server that closes readers with more than a megabyte to read. The default of 16 MiB would need as much more, and the readers
/// seconds for it.
async fn start() -> TestServer {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start_with(|config| {
        (config.max_push_backlog_bytes, config.max_push_burst_bytes) = (1 << 20, 1 << 20);
        change(config);
    })
    .await
}

/// Connects a client whose system buffers little, so that what it does not read waits in the server.
async fn connect(server: &TestServer) -> RawConnection {
    shake_hands(server, RawConnection::connect_from(Ipv4Addr::LOCALHOST, server.addr).await).await
}

async fn shake_hands(server: &TestServer, mut client: RawConnection) -> RawConnection {
    let response = HttpRequest::handshake(server.addr).send_over(&mut client).await;
    assert_eq!(response.status, 101);
    client
}

/// Returns the text of a message, with its number.
fn message(number: usize) -> String {
    format!("\"{number:06}{}\"", "x".repeat(MESSAGE))
}

/// Reads messages at a steady pace, and checks their order.
async fn read_at_pace(mut client: RawConnection, count: usize) -> RawConnection {
    let (started, mut read) = (tokio::time::Instant::now(), 0);
    for number in 0..count {
        client.expect_text(&format!(r#"["broadcast",{}]"#, message(number))).await;
        read += MESSAGE;
        tokio::time::sleep_until(started + Duration::from_secs_f64(read as f64 / PACE)).await;
    }
    client
}

/// Reads large messages at a steady pace.
async fn read_large_at_pace(client: &mut RawConnection) {
    let started = tokio::time::Instant::now();
    let expected = format!(r#"["broadcast","{}"]"#, "x".repeat(LARGE));
    for number in 1..=LARGE_MESSAGES {
        client.expect_text(&expected).await;
        let due = Duration::from_secs_f64((number * LARGE) as f64 / PACE);
        tokio::time::sleep_until(started + due).await;
    }
}

/// Connects clients that read at a steady pace.
async fn steady_readers(server: &TestServer, readers: usize) -> Vec<JoinHandle<RawConnection>> {
    let mut tasks = Vec::new();
    for _ in 0..readers {
        tasks.push(tokio::spawn(read_at_pace(connect(server).await, MESSAGES)));
    }
    tasks
}

/// Checks that all of them received everything and none was closed.
async fn expect_all_received(readers: Vec<JoinHandle<RawConnection>>) {
    for reader in readers {
        reader.await.expect("everything arrives in order");
    }
}

/// Sends messages with this event as fast as the server reads.
async fn send_burst(client: &mut RawConnection, event: &str) {
    let frames: Vec<u8> = (0..MESSAGES)
        .flat_map(|number| raw::masked(raw::TEXT, format!(r#"["{event}",{}]"#, message(number)).as_bytes()))
        .collect();
    assert!(client.write_all(&frames).await, "the sender is not closed");
}

#[tokio::test]
async fn readers_at_a_steady_pace_receive_all_of_a_burst() {
    let server = start().await;
    let readers = steady_readers(&server, 4).await;
    let mut sender = connect(&server).await;
    send_burst(&mut sender, "broadcasts/others").await;
    expect_all_received(readers).await;
    sender.send_text(r#"["echo",1]"#).await;
    sender.expect_text(r#"["echo",1]"#).await;
}

#[tokio::test]
async fn a_handler_that_pushes_while_it_runs_waits_for_readers_at_a_steady_pace() {
    let server = start().await;
    let mut reader = connect(&server).await;
    let mut sender = server.v1().await;
    sender.send(&format!(r#"["broadcasts/steps",{{"bytes":{LARGE},"times":{LARGE_MESSAGES}}},1]"#)).await;
    read_large_at_pace(&mut reader).await;
    sender.expect(r#"["broadcasts/steps",null,1]"#).await;
}

#[tokio::test]
async fn a_sender_over_http_waits_for_readers_at_a_steady_pace() {
    let server = start().await;
    let mut reader = connect(&server).await;
    let reading = tokio::spawn(async move { read_large_at_pace(&mut reader).await });
    let mut sender = RawConnection::connect(server.addr).await;
    let body = format!("\"{}\"", "x".repeat(LARGE));
    for _ in 0..LARGE_MESSAGES {
        let post = HttpRequest::post(server.addr, "/events/broadcasts/others", body.as_str());
        assert_eq!(post.send_over(&mut sender).await.status, 204);
    }
    reading.await.expect("everything arrives");
}

/// Broadcasts messages to all, itself too, as fast as the server reads, and reads what all of `names` broadcast so, at a steady
/// pace: no faster than the others do.
async fn send_and_read(mut client: RawConnection, name: &str, names: &[&str]) {
    let text = |name: &str, number| format!("\"{name}{number:06}{}\"", "x".repeat(MESSAGE));
    let frame = |number| raw::masked(raw::TEXT, format!(r#"["broadcasts/all",{}]"#, text(name, number)).as_bytes());
    let frames: Vec<u8> = (0..MESSAGES).flat_map(frame).collect();
    let mut sent = 0;
    let mut next: HashMap<&str, usize> = names.iter().map(|name| (*name, 0)).collect();
    let (started, mut read) = (tokio::time::Instant::now(), 0);
    while read < names.len() * MESSAGES {
        sent += client.send_now(&frames[sent..]);
        // What it has sent whole comes back.
        if next[name] < sent / (frames.len() / MESSAGES) || sent == frames.len() {
            let payload = client.read_frame().await.payload;
            let from = names.iter().find(|name| payload.starts_with(format!(r#"["broadcast","{name}"#).as_bytes()));
            let from = from.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&payload)));
            let number = next.get_mut(from).expect("it is in the table");
            assert!(payload == format!(r#"["broadcast",{}]"#, text(from, *number)).as_bytes(), "in order");
            *number += 1;
            read += 1;
            let due = Duration::from_secs_f64((read * MESSAGE) as f64 / (PACE * names.len() as f64));
            tokio::time::sleep_until(started + due).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_sender_that_reads_its_own_pushes_slowly_receives_all_of_them() {
    let server = start().await;
    send_and_read(connect(&server).await, "a", &["a"]).await;
}

#[tokio::test]
async fn two_senders_that_read_each_other_do_not_wait_forever() {
    let server = start_with(|config| config.reader_stall_timeout = NEVER).await;
    let (first, second) = (connect(&server).await, connect(&server).await);
    tokio::join!(send_and_read(first, "a", &["a", "b"]), send_and_read(second, "b", &["a", "b"]));
}

#[tokio::test]
async fn a_frozen_reader_slows_no_sender_and_is_closed_at_its_limit() {
    let server = start_with(|config| {
        // Neither of these timeouts lets the senders go on.
        (config.reader_stall_timeout, config.push_backlog_timeout) = (NEVER, NEVER);
    })
    .await;
    let mut frozen = connect(&server).await;
    let mut other = server.v1().await;
    let mut sender = server.v1().await;
    let expected = format!(r#"["broadcast","{}"]"#, "x".repeat(50_000));
    let (started, mut sent) = (Instant::now(), 0);
    while server.handle.connections() == 3 {
        sender.call("broadcasts/large", r#"{"bytes":50000,"times":1}"#).await.assert_eq("null");
        other.expect(&expected).await;
        sent += 1;
        assert!(sent < 1000, "50 MB are queued for a client that does not read");
    }
    // The sender has waited once, for two seconds.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    while frozen.read_frame().await.first != raw::CLOSE {}
    server.expect_alive(&mut sender).await;
}

#[tokio::test]
async fn a_frozen_reader_is_closed_after_the_timeout() {
    let server = start_with(|config| {
        config.max_push_burst_bytes = usize::MAX;
        (config.reader_stall_timeout, config.push_backlog_timeout) = (Duration::from_millis(300), NEVER);
    })
    .await;
    let mut frozen = connect(&server).await;
    let mut sender = server.v1().await;
    sender.call("broadcasts/large", r#"{"bytes":100000,"times":50}"#).await.assert_eq("null");
    until("the frozen reader to be closed", || server.handle.connections() == 1).await;
    let close = loop {
        let frame = frozen.read_frame().await;
        if frame.first == raw::CLOSE {
            break frame;
        }
    };
    assert_eq!(close.payload[..2], 1013u16.to_be_bytes());
    server.expect_alive(&mut sender).await;
}

#[tokio::test]
async fn a_sender_that_is_held_up_holds_up_no_other() {
    let server = start().await;
    let reader = connect(&server).await;
    let mut other = server.v1().await;
    let mut sender = connect(&server).await;
    let burst = tokio::spawn(async move {
        send_burst(&mut sender, "broadcasts/others").await;
        sender
    });
    let reader = tokio::spawn(read_at_pace(reader, MESSAGES));
    // Its own calls are served, between the pushes.
    let mut served = 0;
    while !reader.is_finished() {
        let id = other.start_call("ping", "null").await.expect("v1 has ids");
        let response = format!(r#"["ping",{{"pong":true}},{id}]"#);
        other.collect_until(|text| text == response).await;
        served += 1;
        tokio::task::yield_now().await;
    }
    assert!(served >= 5, "{served}");
    burst.await.expect("the sender is not closed");
    expect_all_received(vec![reader]).await;
}

/// A pace at which a reader still holds up senders, with the server of these tests, and hardly more, in bytes a second.
const SLOW: f64 = 60e3;

/// Reads little by little at a steady pace until the connection ends.
fn read_slowly(mut client: RawConnection, pace: f64) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (started, mut read) = (tokio::time::Instant::now(), 0);
        loop {
            let len = client.skip_some(4000).await;
            if len == 0 {
                return;
            }
            read += len;
            tokio::time::sleep_until(started + Duration::from_secs_f64(read as f64 / pace)).await;
        }
    })
}

/// Connects a client that reads as slowly as it may, and smoothly, as over a slow network.
async fn slow_network(server: &TestServer) -> JoinHandle<()> {
    let reader = RawConnection::connect_with_buffer(8 << 10, Ipv4Addr::LOCALHOST, server.addr).await;
    read_slowly(shake_hands(server, reader).await, SLOW)
}

/// Sends a burst, and stays connected until the task is aborted.
async fn flood(server: &TestServer) -> JoinHandle<()> {
    let mut flooder = connect(server).await;
    tokio::spawn(async move {
        send_burst(&mut flooder, "broadcasts/others").await;
        std::future::pending::<()>().await;
    })
}

#[tokio::test]
async fn a_sender_of_little_waits_for_little_of_a_flood() {
    let server = start().await;
    let mut sender = server.v1().await;
    let reading = slow_network(&server).await;
    let flooding = flood(&server).await;
    // The flood has filled what it may.
    let mut received = 0;
    while received < 512 << 10 {
        received += sender.next().await.len();
    }
    for _ in 0..5 {
        let started = Instant::now();
        sender.send(r#"["broadcasts/others",1]"#).await;
        let id = sender.start_call("ping", "null").await.expect("v1 has ids");
        let response = format!(r#"["ping",{{"pong":true}},{id}]"#);
        sender.collect_until(|text| text == response).await;
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
    assert!(!reading.is_finished() && !flooding.is_finished());
    reading.abort();
    flooding.abort();
}

#[tokio::test]
async fn what_is_no_call_of_a_sender_that_is_held_up_is_handled() {
    let server = start().await;
    let reading = slow_network(&server).await;
    let mut sender = connect(&server).await;
    // A few more than what may wait: the others are sent over ten seconds.
    let frames = (0..120).map(|number| format!(r#"["broadcasts/others",{}]"#, message(number)));
    let frames: Vec<u8> = frames.flat_map(|text| raw::masked(raw::TEXT, text.as_bytes())).collect();
    assert!(sender.write_all(&frames).await, "the sender is not closed");
    let started = Instant::now();
    sender.send_frame(raw::PING, b"1").await;
    assert_eq!(sender.read_frame().await, raw::RawFrame { first: raw::PONG, payload: b"1".to_vec() });
    sender.send_frame(raw::CLOSE, &1000u16.to_be_bytes()).await;
    assert_eq!(sender.read_frame().await.first, raw::CLOSE);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(!reading.is_finished());
    reading.abort();
}

#[tokio::test]
async fn a_reader_whose_system_buffers_much_holds_up_senders_and_is_not_closed() {
    let server = start_with(|config| {
        config.max_push_backlog_bytes = 256 << 10;
        (config.reader_stall_timeout, config.push_backlog_timeout) = (Duration::from_secs(2), NEVER);
    })
    .await;
    let reader = RawConnection::connect(server.addr).await;
    let reading = read_slowly(shake_hands(&server, reader).await, 100e3);
    let flooding = flood(&server).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(server.handle.connections(), 2, "it reads");
    assert!(!reading.is_finished());
    reading.abort();
    flooding.abort();
}

/// The address of the senders of a burst, which is not that of the readers.
const SENDERS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// How many senders of one address begin at once.
const SENDERS_AT_ONCE: usize = 20;

/// Connects four clients of another address than the senders. Each reads this number of broadcasts of so many bytes at a steady pace.
async fn steady_readers_of(server: &TestServer, count: usize, bytes: usize) -> Vec<JoinHandle<RawConnection>> {
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut client = connect(server).await;
        readers.push(tokio::spawn(async move {
            let (started, mut read) = (tokio::time::Instant::now(), 0);
            for _ in 0..count {
                let frame = client.read_frame().await;
                let is_broadcast = frame.payload.starts_with(br#"["broadcast","x"#);
                assert!(is_broadcast, "{:x} {}", frame.first, String::from_utf8_lossy(&frame.payload));
                read += bytes;
                tokio::time::sleep_until(started + Duration::from_secs_f64(read as f64 / PACE)).await;
            }
            client
        }));
    }
    readers
}

/// The readers read on. Checks that they have received everything and are open.
async fn expect_open(server: &TestServer, readers: Vec<JoinHandle<RawConnection>>) {
    let mut open = Vec::new();
    for reader in readers {
        let mut reader = reader.await.expect("everything arrives");
        reader.send_text(r#"["echo",1]"#).await;
        reader.expect_text(r#"["echo",1]"#).await;
        open.push(reader);
    }
    assert!(server.handle.connections() >= open.len());
}

async fn connect_sender(server: &TestServer) -> RawConnection {
    shake_hands(server, RawConnection::connect_from(SENDERS, server.addr).await).await
}

fn json_of(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes))
}

/// Lets many connections of one address broadcast one message each, at the same time. They read what the others broadcast.
async fn broadcast_at_once(server: &TestServer, bytes: usize) -> JoinSet<()> {
    let frame = raw::masked(raw::TEXT, format!(r#"["broadcasts/others",{}]"#, json_of(bytes)).as_bytes());
    let frame: Arc<[u8]> = frame.into();
    let mut connections = Vec::new();
    for _ in 0..SENDERS_AT_ONCE {
        connections.push(connect_sender(server).await);
    }
    let mut senders = JoinSet::new();
    for mut sender in connections {
        let frame = Arc::clone(&frame);
        senders.spawn(async move {
            assert!(sender.write_all(&frame).await, "the sender is not closed");
            while sender.skip_some(64 << 10).await > 0 {}
        });
    }
    senders
}

#[tokio::test]
async fn many_connections_of_one_address_wait_for_readers_at_a_steady_pace() {
    let server = start().await;
    let readers = steady_readers_of(&server, SENDERS_AT_ONCE, LARGE).await;
    let _senders = broadcast_at_once(&server, LARGE).await;
    expect_open(&server, readers).await;
}

/// With the limits of pushes that servers have by default, and more threads than 16 messages need to be pushed at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 24)]
async fn many_messages_of_a_megabyte_that_arrive_at_once_close_no_reader_at_a_steady_pace() {
    const MEGABYTE: usize = 1_000_000;
    let server = TestServer::start_with(|config| {
        // All clients have two addresses, and are sent 20 MB each: this is about the limits of pushes.
        (config.max_held_bytes_per_address, config.max_total_held_bytes) = (usize::MAX, usize::MAX);
    })
    .await;
    let readers = steady_readers_of(&server, SENDERS_AT_ONCE, MEGABYTE).await;
    let _senders = broadcast_at_once(&server, MEGABYTE).await;
    expect_open(&server, readers).await;
}

#[tokio::test]
async fn many_requests_of_one_address_wait_for_readers_at_a_steady_pace() {
    let server = start().await;
    let readers = steady_readers_of(&server, SENDERS_AT_ONCE, LARGE).await;
    let mut senders = Vec::new();
    for _ in 0..SENDERS_AT_ONCE {
        senders.push(RawConnection::connect_from(SENDERS, server.addr).await);
    }
    let post = HttpRequest::post(server.addr, "/events/broadcasts/others", json_of(LARGE));
    let sends: Vec<_> = senders
        .into_iter()
        .map(|mut sender| {
            let post = post.clone();
            tokio::spawn(async move { post.send_over(&mut sender).await.status })
        })
        .collect();
    for send in sends {
        assert_eq!(send.await.expect("it sends"), 204);
    }
    expect_open(&server, readers).await;
}

#[tokio::test]
async fn a_sender_that_connects_again_for_each_message_waits_for_readers_at_a_steady_pace() {
    let server = start().await;
    let readers = steady_readers_of(&server, SENDERS_AT_ONCE, LARGE).await;
    for _ in 0..SENDERS_AT_ONCE {
        let mut sender = connect_sender(&server).await;
        sender.send_text(&format!(r#"["broadcasts/others",{}]"#, json_of(LARGE))).await;
        // It has begun when what follows is served.
        sender.send_text(r#"["echo",1]"#).await;
        sender.expect_text(r#"["echo",1]"#).await;
    }
    expect_open(&server, readers).await;
}

#[tokio::test]
async fn others_of_the_address_of_many_senders_are_served_between_the_pushes() {
    let server = start().await;
    let readers = steady_readers_of(&server, 2 * SENDERS_AT_ONCE, LARGE).await;
    let mut other = connect_sender(&server).await;
    let senders = (broadcast_at_once(&server, LARGE).await, broadcast_at_once(&server, LARGE).await);
    let mut served = 0;
    while !readers.iter().all(JoinHandle::is_finished) {
        other.send_text(r#"["echo",1]"#).await;
        while other.read_frame().await.payload != br#"["echo",1]"# {}
        served += 1;
    }
    assert!(served >= 3, "{served}");
    expect_open(&server, readers).await;
    drop(senders);
}
