//! Many clients, and hostile clients. A program of its own whose tests run one after another, because they measure
//! memory and time.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use aaw_server::auth::{Auth, PasswordHasher, PasswordHasherConfig, SqliteStore};
use aaw_tests::raw::{self, RawConnection};
use aaw_tests::{HttpRequest, Process, TestServer, WireClient};
use futures_util::future::join_all;
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard, oneshot};

/// Waits until no other test of this program runs.
async fn alone() -> MutexGuard<'static, ()> {
    static RUNNING: Mutex<()> = Mutex::const_new(());
    RUNNING.lock().await
}

/// Starts the server. Returns its process and its address.
async fn start() -> (Process, SocketAddr) {
    aaw_tests::raise_open_file_limit();
    let mut process = Process::start(Command::new(env!("CARGO_BIN_EXE_aaw-test-server")));
    let port = process.json().await["port"].as_u64().expect("it prints its port");
    let addr = SocketAddr::from(([127, 0, 0, 1], port as u16));
    // After a first call, everything that is allocated only once has been allocated.
    WireClient::connect_v1(addr).await.call("sleepy", "1").await.assert_eq("1");
    (process, addr)
}

/// Returns the number of open connections.
async fn connections(process: &mut Process) -> u64 {
    process.write_line("connections").await;
    process.line().await.parse().expect("a number")
}

/// Checks that the server still responds, and shuts down without an error.
async fn expect_alive_and_stop(mut process: Process, addr: SocketAddr) {
    WireClient::connect_v1(addr).await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    process.close_stdin();
    assert!(process.exited().await.success());
    assert_eq!(process.stderr(), "", "it logged an error or a panic");
}

#[tokio::test]
async fn two_thousand_connections_are_served() {
    let _alone = alone().await;
    const MANY: usize = 2000;
    let (mut process, addr) = start().await;
    let before = process.memory();
    let mut clients = Vec::new();
    for n in 0..MANY {
        clients.push(WireClient::connect(addr, Some(&format!("_{n}"))).await);
    }
    // On all connections at once: a handler that returns immediately, one that is pending, and an error.
    join_all(clients.iter_mut().enumerate().map(async |(n, client)| {
        client.call("echo", &n.to_string()).await.assert_eq(&n.to_string());
        client.call("sleepy", &n.to_string()).await.assert_eq(&n.to_string());
        client.call("nope", "1").await.assert_eq(r#"{"error":"Unknown event: nope"}"#);
    }))
    .await;
    clients[0].send(r#"["broadcasts/all","for all"]"#).await;
    join_all(clients.iter_mut().map(async |client| client.expect(r#"["broadcast","for all"]"#).await)).await;
    assert_eq!(connections(&mut process).await, MANY as u64);
    let each = (process.memory() - before) / MANY as u64;
    assert!(each < 40, "{each} KiB a connection");
    // All disconnect at once, without a closing handshake.
    drop(clients);
    while connections(&mut process).await > 0 {}
    expect_alive_and_stop(process, addr).await;
}

/// Checks that the memory grows by less than `max_kib` while `clients` clients send `bytes` repeatedly and read
/// nothing.
async fn check_memory(clients: usize, bytes: &[u8], max_kib: u64) {
    let (process, addr) = start().await;
    let before = process.memory();
    let mut unread = Vec::new();
    for _ in 0..clients {
        let mut client = RawConnection::websocket(addr, Some("_client")).await;
        // Complete, so that every client starts at the beginning of a frame.
        client.send(bytes).await;
        unread.push((client, 0));
    }
    let mut other = WireClient::connect_v1(addr).await;
    let (mut total, mut full) = (0, 0);
    while full < 30 && total < 256 << 20 {
        let mut written = 0;
        for (client, at) in &mut unread {
            let more = client.send_now(&bytes[*at..]);
            *at = (*at + more) % bytes.len();
            written += more;
        }
        total += written;
        full = if written == 0 { full + 1 } else { 0 };
        // Another client is served meanwhile.
        other.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
        let grown = process.memory().saturating_sub(before);
        assert!(grown < max_kib, "{grown} KiB more after {total} bytes");
    }
    drop(unread);
    expect_alive_and_stop(process, addr).await;
}

#[tokio::test]
async fn the_memory_of_calls_with_unread_responses_is_bounded() {
    let _alone = alone().await;
    // For each of ten clients 1 MiB of queued calls, 1 MiB of responses and the running calls; and what malloc retains.
    let calls = raw::masked(raw::TEXT, br#"["big",{"bytes":100000}]"#).repeat(1000);
    check_memory(10, &calls, 100 << 10).await;
}

#[tokio::test]
async fn the_memory_of_calls_that_never_return_is_bounded() {
    let _alone = alone().await;
    let calls = raw::masked(raw::TEXT, br#"["gate/hold",{"gate":"never"}]"#).repeat(1000);
    check_memory(10, &calls, 100 << 10).await;
}

#[tokio::test]
async fn endless_pings_take_no_memory() {
    let _alone = alone().await;
    check_memory(10, &raw::masked(raw::PING, &[b'p'; 125]).repeat(1000), 50 << 10).await;
}

#[tokio::test]
async fn endless_fragments_take_no_memory_and_are_refused() {
    let _alone = alone().await;
    // A message that never ends, in empty fragments.
    let (process, addr) = start().await;
    let before = process.memory();
    let mut client = RawConnection::websocket(addr, Some("_client")).await;
    client.send_frame(0x01, b"[").await;
    client.send(&raw::masked(0x00, b"").repeat(65_000)).await;
    client.send_frame(raw::PING, b"ping").await;
    assert_eq!(client.read_frame().await.first, raw::PONG);
    let grown = process.memory().saturating_sub(before);
    assert!(grown < 20 << 10, "{grown} KiB for 65 000 empty fragments");
    client.send(&raw::masked(0x00, b"").repeat(1000)).await;
    client.expect_close(1009).await;
    expect_alive_and_stop(process, addr).await;
}

#[tokio::test]
async fn the_memory_of_broadcasts_to_clients_that_do_not_read_is_bounded() {
    let _alone = alone().await;
    let (mut process, addr) = start().await;
    let before = process.memory();
    let mut unread = Vec::new();
    for _ in 0..20 {
        unread.push(RawConnection::websocket(addr, Some("_client")).await);
    }
    let mut sender = WireClient::connect_v1(addr).await;
    for _ in 0..200 {
        sender.call("broadcasts/large", r#"{"bytes":500000,"times":2}"#).await.assert_eq("null");
        let grown = process.memory().saturating_sub(before);
        assert!(grown < 60 << 10, "{grown} KiB more");
    }
    // The server has closed the connections that did not read, and no other.
    assert_eq!(connections(&mut process).await, 1);
    drop(unread);
    expect_alive_and_stop(process, addr).await;
}

#[tokio::test]
async fn five_hundred_incomplete_handshakes_do_not_delay_other_clients() {
    let _alone = alone().await;
    let (process, addr) = start().await;
    let request = HttpRequest::handshake(addr).bytes();
    let mut half = Vec::new();
    for n in 0..500 {
        let mut raw = RawConnection::connect(addr).await;
        raw.send(&request[..n % request.len()]).await;
        half.push(raw);
    }
    let mut client = WireClient::connect_v1(addr).await;
    for _ in 0..100 {
        client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    }
    client.close().await;
    expect_alive_and_stop(process, addr).await;
}

/// Calls `ping` this many times, one after another. Returns the median and the 99th percentile of the response times.
async fn ping_times(addr: SocketAddr, count: usize) -> (Duration, Duration) {
    let mut client = WireClient::connect_v1(addr).await;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
        times.push(started.elapsed());
    }
    times.sort();
    (times[count / 2], times[count * 99 / 100])
}

/// Opens endless streams over HTTP.
async fn open_streams(addr: SocketAddr, count: usize, accept: &str) -> Vec<RawConnection> {
    let request = HttpRequest::post(addr, "/events/streams/endless", "{}").accept(accept);
    let mut readers = Vec::new();
    for _ in 0..count {
        readers.push(request.start().await);
    }
    readers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_streams_at_full_speed_do_not_delay_calls() {
    let _alone = alone().await;
    for accept in ["application/x-ndjson", "text/event-stream"] {
        let (process, addr) = start().await;
        let mut reading = tokio::task::JoinSet::new();
        for mut reader in open_streams(addr, 20, accept).await {
            reading.spawn(async move { while reader.take(1 << 14).await.is_some() {} });
        }
        let (median, p99) = ping_times(addr, 200).await;
        // Far less than before each stream yielded after a chunk: seconds. The readers, the server and this test share the
        // processors.
        assert!(median < Duration::from_millis(100) && p99 < Duration::from_millis(500), "{median:?}, {p99:?}");
        eprintln!("{accept}: {median:?}, {p99:?}");
        reading.shutdown().await;
        expect_alive_and_stop(process, addr).await;
    }
}

#[tokio::test]
async fn a_thousand_unread_http_streams_do_not_delay_calls() {
    let _alone = alone().await;
    let (process, addr) = start().await;
    let unread = open_streams(addr, 1000, "application/x-ndjson").await;
    let (median, p99) = ping_times(addr, 20).await;
    eprintln!("{median:?}, {p99:?}");
    assert!(p99 < Duration::from_secs(5), "{median:?}, {p99:?}");
    drop(unread);
    expect_alive_and_stop(process, addr).await;
}

/// What a flooding client repeats. All of it is valid, and hardly anything has to be done for it.
const FLOODS: [(&str, u8, &[u8]); 3] =
    [("empty fragments", 0x00, b""), ("empty pings", raw::PING, b""), ("pongs", raw::PONG, b"")];

/// Opens this many connections from `from` that send such frames as fast as they can, until the returned sender is dropped.
async fn flood(from: Ipv4Addr, addr: SocketAddr, connections: usize, frame: u8, payload: &[u8]) -> oneshot::Sender<()> {
    let (stop, stopped) = oneshot::channel();
    let (ready, is_ready) = oneshot::channel();
    let block = raw::masked(frame, payload).repeat(4000);
    // On a thread of its own, so that the clients do not delay those that are measured.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut clients = Vec::new();
            for _ in 0..connections {
                let mut raw = RawConnection::connect_from(from, addr).await;
                raw.send(&HttpRequest::handshake(addr).bytes()).await;
                assert!(raw.take_until(b"\r\n\r\n").await.expect("a response").starts_with(b"HTTP/1.1 101"));
                if frame == 0 {
                    raw.send_frame(0x01, b"[").await;
                }
                clients.push(raw);
            }
            let mut flooding = tokio::task::JoinSet::new();
            for mut raw in clients {
                let block = block.clone();
                flooding.spawn(async move { while raw.write_all(&block).await {} });
            }
            let _ = ready.send(());
            let _ = stopped.await;
        });
    });
    is_ready.await.expect("the thread runs");
    stop
}

/// Calls `ping` every 5 ms. Returns the median, the 99th percentile and the longest of the response times.
async fn paced_ping_times(addr: SocketAddr, count: usize) -> [Duration; 3] {
    let mut client = WireClient::connect_v1(addr).await;
    let mut times = Vec::with_capacity(count);
    let mut interval = tokio::time::interval(Duration::from_millis(5));
    for _ in 0..count {
        interval.tick().await;
        let started = Instant::now();
        client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
        times.push(started.elapsed());
    }
    times.sort();
    [times[count / 2], times[count * 99 / 100], times[count - 1]]
}

/// 200 connections that send nothing but empty frames. The times are those of a build that is not optimized, and include
/// what the clients take of the processors.
async fn check_floods(from: Ipv4Addr, max_median: Duration) {
    let _alone = alone().await;
    for (name, frame, payload) in FLOODS {
        let (process, addr) = start().await;
        let before = paced_ping_times(addr, 100).await;
        let stop = flood(from, addr, 200, frame, payload).await;
        let during = paced_ping_times(addr, 300).await;
        drop(stop);
        let after = paced_ping_times(addr, 100).await;
        eprintln!("{name}: median, p99 and longest of ping before {before:?}, during {during:?}, after {after:?}");
        // Before empty frames counted, it was 150 ms, and seconds for fragments.
        assert!(during[0] < max_median, "{name}: {during:?}");
        expect_alive_and_stop(process, addr).await;
    }
}

#[tokio::test]
async fn floods_of_empty_frames_do_not_delay_the_calls_of_another_address() {
    check_floods(Ipv4Addr::new(127, 0, 0, 2), Duration::from_millis(20)).await;
}

/// No rate is limited, but turns are short.
#[tokio::test]
#[ignore = "measures: how long it takes depends on the machine"]
async fn floods_of_empty_frames_hardly_delay_other_calls_of_their_address() {
    check_floods(Ipv4Addr::LOCALHOST, Duration::from_millis(80)).await;
}

#[tokio::test]
async fn malformed_frames_do_not_stop_the_server() {
    let _alone = alone().await;
    let (mut process, addr) = start().await;
    // A fixed sequence, so that a failure can be reproduced.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let pieces = [
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"",
        "\\",
        "\\u0000",
        "\\ud800",
        "null",
        "1",
        "-1",
        "1e999",
        "\"aaw/hello\"",
        "\"ping\"",
        "\"echo\"",
        "\"gate/hold\"",
        "{\"gate\":\"x\"}",
        "\"cancel\"",
        "\"credit\"",
        "\"call\"",
        "\"item\"",
        "ü",
        "\u{0}",
        " ",
        "{\"timeout\":1}",
        "{\"credit\":1}",
        "\"aaw/ack\"",
        "2",
        "3",
    ];
    for round in 0..400 {
        let mut client = RawConnection::websocket(addr, [None, Some("x"), Some("aaw.v1")][round % 3]).await;
        client.send_text(r#"["aaw/hello",{}]"#).await;
        let mut bytes = Vec::new();
        for _ in 0..random() % 40 {
            let text: String = (0..random() % 9).map(|_| pieces[random() as usize % pieces.len()]).collect();
            let text = if random() % 2 == 0 { format!("[\"echo\",{text},{}]", random() % 5) } else { text };
            // Mostly text frames; sometimes an arbitrary frame, or bytes that are not a frame.
            match random() % 20 {
                0 => bytes.extend(raw::masked(random() as u8, text.as_bytes())),
                1 => bytes.extend(random().to_le_bytes()),
                2 => bytes.extend(raw::masked(raw::BINARY, text.as_bytes())),
                _ => bytes.extend(raw::masked(raw::TEXT, text.as_bytes())),
            }
        }
        client.try_send(&bytes).await;
        client.finish().await;
        while client.take(1).await.is_some() {}
    }
    while connections(&mut process).await > 0 {}
    expect_alive_and_stop(process, addr).await;
}

#[tokio::test]
async fn closed_connections_leave_no_memory_behind() {
    let _alone = alone().await;
    let (mut process, addr) = start().await;
    let connect_and_disconnect = async |many: usize| {
        for n in 0..many {
            let mut client = WireClient::connect(addr, None).await;
            client.send(r#"["gate/hold",{"gate":"never"}]"#).await;
            if n % 2 == 0 {
                client.close().await;
            }
        }
    };
    connect_and_disconnect(300).await;
    let before = process.memory();
    connect_and_disconnect(2000).await;
    while connections(&mut process).await > 0 {}
    let grown = process.memory().saturating_sub(before);
    assert!(grown < 10 << 10, "{grown} KiB more after 2000 connections");
    let mut client = WireClient::connect_v1(addr).await;
    client
        .call("gate/wait", r#"{"gate":"never","dropped":2300}"#)
        .await
        .assert_eq(r#"{"came":2300,"through":0,"dropped":2300}"#);
    expect_alive_and_stop(process, addr).await;
}

#[tokio::test]
async fn the_memory_of_room_memberships_is_bounded() {
    let _alone = alone().await;
    let (process, addr) = start().await;
    let before = process.memory();
    let mut client = WireClient::connect_v1(addr).await;
    let name = |room: usize| format!("{room} {}", "x".repeat(180));
    let joins = (0..20_000).map(|room| format!(r#"["rooms/room/join",{{"name":"{}"}}]"#, name(room)));
    client.send_all(joins).await;
    for (room, expected) in [(1023, "1"), (1024, "0"), (19_999, "0")] {
        client.call("rooms/room/size", &format!("{:?}", name(room))).await.assert_eq(expected);
    }
    let grown = process.memory().saturating_sub(before);
    assert!(grown < 5 << 10, "{grown} KiB for a connection in as many rooms as possible");
    drop(client);
    expect_alive_and_stop(process, addr).await;
}

/// 1000 connections log in at the same time, while another one calls `ping`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_concurrent_log_ins_do_not_delay_calls() {
    const MANY: usize = 1000;
    const ADA: &str = r#"{"email":"ada@example.com","password":"correct horse"}"#;
    const LOGGED_IN: &str = r#"{"token":""#;
    let _alone = alone().await;
    aaw_tests::raise_open_file_limit();
    let folder = tempfile::tempdir().unwrap();
    // Less memory than the default, because this build is not optimized: a hash still takes tens of milliseconds.
    let config = PasswordHasherConfig { memory_kib: 512, iterations: 1, ..PasswordHasherConfig::default() };
    let store =
        SqliteStore::open_with(folder.path().join("auth.sqlite"), PasswordHasher::new(&config).unwrap()).await.unwrap();
    let server = TestServer::start_with(|config| config.auth = Some(Auth::new(store))).await;
    let mut pinger = server.v1().await;
    let registered = pinger.call("aaw/register", ADA).await;
    assert!(registered.0.starts_with(LOGGED_IN), "{}", registered.0);
    let mut clients = Vec::with_capacity(MANY);
    for _ in 0..MANY {
        clients.push(server.v1().await);
    }
    let logins = tokio::spawn(async move {
        // The queue of the hashing is long enough for all of them.
        let started = join_all(clients.iter_mut().map(|client| client.start_call("aaw/login", ADA))).await;
        assert_eq!(started.len(), MANY);
        for client in &mut clients {
            let response = client.next().await;
            assert!(response.starts_with(&format!(r#"["aaw/login",{LOGGED_IN}"#)), "{response}");
        }
    });
    let mut times = Vec::new();
    while !logins.is_finished() {
        let started = Instant::now();
        pinger.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
        times.push(started.elapsed());
    }
    logins.await.unwrap();
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    assert!(times.len() > 100, "only {} pings while the log-ins ran", times.len());
    assert!(p99 < Duration::from_millis(250), "p99 of ping {p99:?} of {}", times.len());
}
