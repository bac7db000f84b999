//! A connection survives its sockets, wherever they are cut: real clients, the real server, and between them a proxy that
//! cuts after an exact number of bytes.
//!
//! An exchange has a message of each kind: hello, welcome, acknowledgements, calls and their responses, a one-way send,
//! the items and the credit of a stream and of an upload, pushes, a client call and its response, a close. It is made once
//! without a cut, which shows how many bytes it has, and then once for each of them, or for a part of them in a usual run. Long streams with many cuts are in
//! `tests/resumption_memory.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aaw_client::prepare;
use aaw_test_events::_services::Executions;
use aaw_tests::fault_proxy::{
    ConnectionPlan, Direction, Fault, FaultPlan, FaultPoint, FaultProxy, ProxyStats, RandomFaults,
};
use aaw_tests::random::Random;
use aaw_tests::resumption::{CallLabel, client_config, expect_all_over, label, start_server};
use aaw_tests::{DEADLINE, TestServer};
use futures_util::future::join_all;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

/// The items of the upload, which are returned as a stream: more than may be unacknowledged in either direction.
const ITEMS: u64 = 70;

/// The exchanges that run at the same time.
const CONCURRENT: usize = 32;

/// The failures after which a sweep ends: each may have waited for long.
const MAX_FAILURES: usize = 8;

/// Fails the exchange, instead of the task: the point of the cut belongs to the message.
macro_rules! ensure_eq {
    ($left:expr, $right:expr, $what:expr) => {
        let (left, right) = (&$left, &$right);
        if left != right {
            return Err(format!("{}: {left:?}, expected {right:?}", $what));
        }
    };
}

/// Makes the exchange through a proxy with this plan. `id` is used for no other exchange with this server.
async fn exchange(server: &TestServer, id: u64, plan: FaultPlan) -> Result<ProxyStats, String> {
    let proxy = FaultProxy::start(server.addr, plan).await;
    let done = tokio::time::timeout(DEADLINE, exchange_through(server, &proxy, id)).await;
    done.unwrap_or_else(|_| Err(format!("not within {DEADLINE:?}")))?;
    Ok(proxy.stats())
}

async fn exchange_through(server: &TestServer, proxy: &FaultProxy, id: u64) -> Result<(), String> {
    let prepared = prepare(&proxy.url(), client_config()).map_err(|error| error.to_string())?;
    let mut steps = prepared.on("step");
    let confirmed = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&confirmed);
    let _handler = prepared.handle("confirm", move |question: u64| {
        count.fetch_add(1, Ordering::Relaxed);
        async move { Ok(question + 1) }
    });
    let client = prepared.connect_lazily();
    let failed = |what: &'static str| move |error| format!("{what}: {error}");

    // Calls, pushes, a client call and a stream cross each other.
    let question = json!({ "event": "confirm", "data": id, "timeout_ms": DEADLINE.as_millis() as u64 });
    let (added, pushed, asked, counted) = tokio::join!(
        client.send_async::<Value>("counter/add", json!({ "id": 2 * id, "by": 1 }), DEADLINE),
        client.send_async::<i32>("pushes/answering", json!({ "late": true }), DEADLINE),
        client.send_async::<u64>("rooms/ask", question, DEADLINE),
        client.stream::<u64>("streams/count", json!({ "to": 3 })).try_collect::<Vec<_>>(),
    );
    ensure_eq!(added.map_err(failed("counter/add"))?["id"], json!(2 * id), "the response to counter/add");
    ensure_eq!(pushed.map_err(failed("pushes/answering"))?, 3, "the response to pushes/answering");
    ensure_eq!(asked.map_err(failed("rooms/ask"))?, id + 1, "the response to the client call");
    ensure_eq!(counted.map_err(failed("streams/count"))?, [1, 2, 3], "the stream");
    // Pushes are in order with responses, so both have arrived, and a repeated one as well.
    client.send_event("note", id).await.map_err(|error| error.to_string())?;
    let (mut upload, items) = client.duplex::<u64, u64>("upload/echo", ());
    let send = async {
        for item in 0..ITEMS {
            // The stream says why the call has ended.
            if upload.send(item).await.is_err() {
                break;
            }
        }
        upload.close();
    };
    let ((), items) = tokio::join!(send, items.try_collect::<Vec<_>>());
    ensure_eq!(items.map_err(failed("upload/echo"))?, (0..ITEMS).collect::<Vec<_>>(), "the echoed upload");
    let last = client.send_async::<Value>("counter/add", json!({ "id": 2 * id + 1, "by": 1 }), DEADLINE).await;
    ensure_eq!(last.map_err(failed("the last call"))?["id"], json!(2 * id + 1), "the response to the last call");
    client.close().await;

    let mut pushed = Vec::new();
    while let Some(push) = steps.next().await {
        pushed.push(push.json().to_owned());
    }
    ensure_eq!(pushed, ["1", "2"], "the pushes");
    ensure_eq!(confirmed.load(Ordering::Relaxed), 1, "how often the client call has run");
    for id in [2 * id, 2 * id + 1] {
        let once = Executions { started: 1, completed: 1 };
        ensure_eq!(server.app.counter.executions(id), once, "how often a call has run");
    }
    let notes = server.app.notes.lock().unwrap();
    ensure_eq!(notes.iter().filter(|note| **note == json!(id)).count(), 1, "how often the one-way send has run");
    Ok(())
}

/// Makes an exchange for each of these plans. Prints how long that took.
///
/// # Panics
/// If one failed, with the points of its cuts; or if many cuts did not occur, because the exchanges were over before.
async fn sweep(what: &str, points: impl IntoIterator<Item = Vec<(Direction, u64)>>) {
    let (server, started) = (Arc::new(start_server().await), Instant::now());
    let exchanges = points.into_iter().enumerate().map(|(number, cuts)| {
        let server = Arc::clone(&server);
        async move {
            let plan = FaultPlan::cuts(cuts.iter().copied());
            let done = tokio::spawn(async move { exchange(&server, number as u64, plan).await }).await;
            let failure = match done {
                Ok(Ok(stats)) => return Ok(stats.closed == cuts.len() as u64),
                Ok(Err(failure)) => failure,
                Err(panic) => panic.to_string(),
            };
            Err(format!("cut at {cuts:?}: {failure}"))
        }
    });
    let mut results = futures_util::stream::iter(exchanges).buffer_unordered(CONCURRENT);
    let (mut made, mut missed, mut failures) = (0, 0, Vec::new());
    while let Some(result) = results.next().await {
        made += 1;
        match result {
            Ok(were_all_made) => missed += usize::from(!were_all_made),
            Err(failure) => failures.push(failure),
        }
        if failures.len() >= MAX_FAILURES {
            break;
        }
    }
    println!("{what}: {made} exchanges in {:.1?}", started.elapsed());
    let failed = failures.len();
    assert!(failures.is_empty(), "{what}: {failed} of {made} exchanges failed:\n{}", failures.join("\n"));
    assert!(missed <= made / 4, "{what}: {missed} of {made} exchanges were over before their cuts");
    drop(results);
    expect_all_over(&server.handle).await;
}

/// Returns the bytes of an exchange in each direction, on its only connection.
async fn bytes_of_an_exchange() -> ProxyStats {
    let server = start_server().await;
    let stats = exchange(&server, 0, FaultPlan::none()).await.unwrap();
    assert_eq!((stats.connections, stats.faults()), (1, 0));
    stats
}

/// Returns the bytes of an exchange in this direction. Ids of connections make later ones a little longer.
async fn len(direction: Direction) -> u64 {
    let stats = bytes_of_an_exchange().await;
    16 + match direction {
        Direction::ToServer => stats.to_server,
        Direction::ToClient => stats.to_client,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_has_each_kind_of_message_and_completes_when_nothing_is_cut() {
    let stats = bytes_of_an_exchange().await;
    println!("{} bytes to the server, {} to the client", stats.to_server, stats.to_client);
    assert!((1000..10_000).contains(&stats.to_server) && (1000..10_000).contains(&stats.to_client), "{stats:?}");
    sweep("nothing is cut", vec![Vec::new(); 4 * CONCURRENT]).await;
}

/// The distance of the bytes that are cut at in a usual run. No message of the exchange is as long.
const STEP: usize = 37;

/// Cuts at each `step`th byte in one direction, and there again with a cut of the next connection, in its first bytes.
async fn cut_at_bytes(direction: Direction, step: usize) {
    let len = len(direction).await;
    let one = (0..len).map(|at| vec![(direction, at)]);
    let two = (0..len).map(|at| vec![(direction, at), (direction, 1 + at % 3)]);
    sweep(&format!("{direction:?}, {len} bytes"), one.step_by(step).chain(two.step_by(step))).await;
}

/// Cuts in the middle of the calls, or in the middle of the upload, and then at each `step`th byte of the next connection: it
/// has the handshake, the hello that resumes, the welcome, and what is sent again.
async fn cut_next_connection_at_bytes(step: usize) {
    const BYTES: u64 = 1500;
    let directions = [Direction::ToServer, Direction::ToClient];
    let mut points = Vec::new();
    for first in directions {
        let len = len(first).await;
        for at in [len / 4, len * 2 / 3] {
            for second in directions {
                points.extend((0..BYTES).step_by(step).map(|n| vec![(first, at), (second, n)]));
            }
        }
    }
    sweep("cuts of two connections", points).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_once_and_in_order_wherever_a_connection_is_cut() {
    cut_at_bytes(Direction::ToServer, STEP).await;
    cut_at_bytes(Direction::ToClient, STEP).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_once_and_in_order_wherever_the_connection_that_resumes_is_cut() {
    cut_next_connection_at_bytes(STEP).await;
}

#[ignore = "takes half a minute"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_to_the_server_can_be_the_last_of_a_connection() {
    cut_at_bytes(Direction::ToServer, 1).await;
}

#[ignore = "takes half a minute"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_to_the_client_can_be_the_last_of_a_connection() {
    cut_at_bytes(Direction::ToClient, 1).await;
}

#[ignore = "takes more than a minute"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_of_a_connection_that_resumes_can_be_its_last() {
    cut_next_connection_at_bytes(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_once_and_in_order_when_connections_end_at_random() {
    let (server, seed) = (Arc::new(start_server().await), Random::new_seed());
    println!("seed {seed}");
    let faults = RandomFaults {
        // About as much as the handshakes, so that several connections end in each exchange.
        mean_bytes: 1500,
        mean_time: Duration::from_millis(20),
        // Their detection takes seconds: `tests/reliability` has them.
        black_holes: 0,
        silent: 0,
        ..RandomFaults::default()
    };
    let exchanges = (0..300).map(|number| {
        let (server, seed) = (Arc::clone(&server), Random::of_part(seed, number).next_u64());
        let plan = FaultPlan::Random { seed, faults: faults.clone() };
        async move { exchange(&server, number, plan).await.map_err(|failure| format!("exchange {number}: {failure}")) }
    });
    let results: Vec<_> = futures_util::stream::iter(exchanges).buffer_unordered(CONCURRENT).collect().await;
    let connections: u64 = results.iter().flatten().map(|stats| stats.connections).sum();
    println!("{connections} connections");
    let failures: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    let shown = failures[..failures.len().min(MAX_FAILURES)].join("\n");
    assert!(failures.is_empty(), "seed {seed}: {} failed:\n{shown}", failures.len());
    expect_all_over(&server.handle).await;
}

/// A client gives up a socket whose welcome does not come, and resumes on the next one. What it had sent on the first may arrive
/// after that.
#[tokio::test]
async fn a_hello_that_arrives_late_does_not_take_the_connection_from_the_next_one() {
    let server = start_server().await;
    let millis = Duration::from_millis;
    let plan = FaultPlan::Listed(vec![
        ConnectionPlan { fault: Some((FaultPoint::Time(millis(100)), Fault::Close)), ..ConnectionPlan::default() },
        ConnectionPlan { late: Some(millis(700)), ..ConnectionPlan::default() },
    ]);
    let proxy = FaultProxy::start(server.addr, plan).await;
    let config = aaw_client::Config { connect_timeout: millis(200), ..client_config() };
    let client = prepare(&proxy.url(), config).unwrap().connect_lazily();
    let body = json!({ "id": 1, "by": 1, "delay_ms": 2000 });
    let added = client.send_async::<Value>("counter/add", body, DEADLINE).await;
    assert_eq!(added.map(|added| added["id"].clone()), Ok(json!(1)), "{:?}", proxy.stats());
    assert_eq!(server.app.counter.executions(1), Executions { started: 1, completed: 1 });
    client.close().await;
}

/// Calls that are made together.
const LABELLED: u64 = 4;

/// Makes calls through a proxy with this plan, and compares what the client knows about each with what the server has run.
async fn labelled_calls(server: &TestServer, number: u64, plan: FaultPlan) -> Result<ProxyStats, String> {
    let proxy = FaultProxy::start(server.addr, plan).await;
    let client = prepare(&proxy.url(), client_config()).map_err(|error| error.to_string())?.connect_lazily();
    let ids = (0..LABELLED).map(|call| LABELLED * number + call);
    let calls = ids.clone().map(|id| client.send_async::<Value>("counter/add", json!({ "id": id, "by": 1 }), DEADLINE));
    let results = join_all(calls).await;
    client.close().await;
    for (id, result) in ids.zip(results) {
        let runs = server.app.counter.executions(id).started;
        let is_true = match result.as_ref().map_err(label) {
            Ok(response) => runs == 1 && response["id"] == json!(id),
            Err(Some(CallLabel::NotSent)) => runs == 0,
            // It may be on its way to its handler.
            Err(Some(CallLabel::Unknown)) => runs <= 1,
            Err(_) => false,
        };
        if !is_true {
            return Err(format!("call {id} has run {runs} times: {result:?}"));
        }
    }
    Ok(proxy.stats())
}

/// As each byte of the calls, in each direction, is the last of a connection.
async fn label_at_bytes(step: usize) {
    let server = TestServer::start_with(|config| config.resumption_window = Duration::ZERO).await;
    let whole = labelled_calls(&server, 0, FaultPlan::none()).await.unwrap();
    let mut number = 0;
    for (direction, len) in [(Direction::ToServer, whole.to_server), (Direction::ToClient, whole.to_client)] {
        let mut cut = 0;
        for at in (0..len).step_by(step) {
            number += 1;
            let stats = labelled_calls(&server, number, FaultPlan::cuts([(direction, at)])).await;
            cut += stats.unwrap_or_else(|failure| panic!("cut at byte {at} {direction:?}: {failure}")).closed;
        }
        assert!(cut > 0, "connections were cut");
    }
}

#[tokio::test]
async fn with_a_server_that_keeps_no_state_what_is_known_about_each_call_is_true() {
    label_at_bytes(13).await;
}

#[tokio::test]
#[ignore = "every byte"]
async fn with_a_server_that_keeps_no_state_what_is_known_about_each_call_is_true_at_every_byte() {
    label_at_bytes(1).await;
}
