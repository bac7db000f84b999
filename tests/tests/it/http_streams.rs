//! Streams over plain HTTP: NDJSON and server-sent events.

use std::time::{Duration, Instant};

use aaw_test_events::_services::Counts;
use aaw_tests::http::{self, HttpRequest};
use aaw_tests::{TestServer, until, within};
use serde_json::{Value, json};

const LINES: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

fn read(server: &TestServer, event: &str, accept: &str, body: Value) -> HttpRequest {
    HttpRequest::post(server.addr, &format!("/events/{event}"), body.to_string()).accept(accept)
}

/// Waits until each count of the gate is at least that of `least`.
async fn wait_for_counts(server: &TestServer, gate: &str, least: Counts) -> Counts {
    let gate = server.app.gate(gate);
    within("the counts", || format!("{:?}", gate.counts()), gate.wait(least)).await
}

// --- Formats ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn each_item_is_sent_as_a_line_at_once() {
    let server = TestServer::start().await;
    let gate = server.app.gate("x");
    gate.release(1);
    let (head, mut body) = read(&server, "streams/gated", LINES, json!({"gate":"x","to":3})).open().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some(LINES)));
    assert_eq!((head.header("cache-control"), head.header("x-accel-buffering")), (Some("no-store"), Some("no")));
    assert_eq!(body.line().await.as_deref(), Some("1"));
    gate.release(1);
    assert_eq!(body.line().await.as_deref(), Some("2"));
    gate.release(1);
    assert_eq!((body.line().await.as_deref(), body.line().await), (Some("3"), None));
    wait_for_counts(&server, "x", Counts { over: 1, ..Counts::default() }).await;
    // The connection can be used again.
    let mut raw = body.into_raw();
    assert_eq!(HttpRequest::post(server.addr, "/events/ping", "").send_over(&mut raw).await.status, 200);
}

#[tokio::test]
async fn each_item_is_sent_as_an_event_with_an_id_and_an_end_event_follows() {
    let server = TestServer::start().await;
    let gate = server.app.gate("x");
    // The head of the response is sent before the first event.
    let (head, mut body) = read(&server, "streams/gated", EVENTS, json!({"gate":"x","to":2})).open().await;
    assert_eq!((head.status, head.header("content-type")), (200, Some(EVENTS)));
    assert_eq!((head.header("cache-control"), head.header("x-accel-buffering")), (Some("no-store"), Some("no")));
    assert_eq!(gate.counts().items, 0);
    gate.release(1);
    assert_eq!(body.block().await.as_deref(), Some("data: 1"));
    gate.release(1);
    assert_eq!(body.block().await.as_deref(), Some("data: 2"));
    assert_eq!(body.block().await.as_deref(), Some("event: end\nid: end\ndata: null"));
    assert_eq!(body.block().await, None);
}

#[tokio::test]
async fn an_event_source_that_reconnects_after_the_end_gets_204_and_runs_nothing() {
    let server = TestServer::start().await;
    let source =
        HttpRequest::get(server.addr, "/events/streams/count?body={%22to%22:1,%22gate%22:%22x%22}").accept(EVENTS);
    // A page of the server's own.
    let source = source.header("Sec-Fetch-Site", "same-origin");
    assert_eq!(source.send().await.body, "data: 1\n\nevent: end\nid: end\ndata: null\n\n");
    assert_eq!(source.clone().header("Last-Event-ID", "end").send().await.status, 204);
    assert_eq!(server.app.gate("x").counts().items, 1);
    // A stream that was interrupted starts again.
    assert_eq!(source.header("Last-Event-ID", "1").send().await.status, 200);
}

#[tokio::test]
async fn many_items_are_sent_completely_and_in_order() {
    let server = TestServer::start().await;
    let lines = read(&server, "streams/count", LINES, json!({"to":20_000})).send().await.body;
    let expected: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    assert!(lines == expected, "{} bytes, {} expected", lines.len(), expected.len());
    let events = read(&server, "streams/count", EVENTS, json!({"to":5000})).send().await.body;
    let expected: String = (1..=5000).map(|n| format!("data: {n}\n\n")).collect();
    assert!(events.starts_with(&expected) && events.ends_with("event: end\nid: end\ndata: null\n\n"));
}

#[tokio::test]
async fn a_stream_may_be_far_larger_than_a_message() {
    let server = TestServer::start_with(|config| config.max_message_bytes = 10_000).await;
    let (_, mut body) = read(&server, "streams/large", LINES, json!({"items":500,"bytes":9000})).open().await;
    for n in 0..500 {
        assert_eq!(body.line().await.map(|line| line.len()), Some(9002), "{n}");
    }
    assert_eq!(body.line().await, None);
}

#[tokio::test]
async fn an_empty_stream_is_a_valid_response() {
    let server = TestServer::start().await;
    let empty = |accept| read(&server, "streams/count", accept, json!({"to":0}));
    assert_eq!(empty("application/json").send().await.body, "[]");
    let lines = empty(LINES).send().await;
    assert_eq!((lines.status, &*lines.body), (200, ""));
    assert_eq!(empty(EVENTS).send().await.body, "event: end\nid: end\ndata: null\n\n");
}

#[tokio::test]
async fn a_stream_has_the_same_items_in_all_five_formats() {
    let server = TestServer::start().await;
    let body = json!({"to":250});
    let expected: Vec<Value> = (1..=250).map(Value::from).collect();
    let request = |accept| read(&server, "streams/count", accept, body.clone());
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();

    let mut client = aaw_client::connect(&server.url()).await.unwrap().stream::<Value>("streams/count", body.clone());
    let mut websocket = Vec::new();
    while let Some(item) = client.next().await {
        websocket.push(item.unwrap());
    }
    assert_eq!(websocket, expected);

    assert_eq!(request("application/json").send().await.json(), Value::from(expected.clone()));

    assert_eq!(request(LINES).send().await.body.lines().map(parse).collect::<Vec<_>>(), expected);

    let events = request(EVENTS).send().await.body;
    let blocks = events.split_terminator("\n\n").filter(|block| !block.contains("event: end"));
    let data = blocks.map(|block| block.lines().find_map(|line| line.strip_prefix("data: ")).unwrap());
    assert_eq!(data.map(parse).collect::<Vec<_>>(), expected);

    let mut polled = Vec::new();
    let mut cursor = String::new();
    loop {
        let target = format!("/events/streams/count?take=7{cursor}");
        let mut page = HttpRequest::post(server.addr, &target, body.to_string()).send().await.json();
        polled.append(page["items"].as_array_mut().unwrap());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(polled, expected);
}

// --- Errors ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_error_follows_the_items_before_it() {
    let server = TestServer::start().await;
    let failing = json!({"items":2,"text":"no more","code":"out_of_stock"});
    let failure = r#"{"error":"no more","code":"out_of_stock"}"#;
    let lines = read(&server, "streams/fails_after", LINES, failing.clone()).send().await;
    assert_eq!((lines.status, lines.body), (200, format!("1\n2\n{failure}\n")));
    let events = read(&server, "streams/fails_after", EVENTS, failing.clone()).send().await.body;
    assert_eq!(events, format!("data: 1\n\ndata: 2\n\nevent: failed\nid: end\ndata: {failure}\n\n"));
    let array = read(&server, "streams/fails_after", "application/json", failing).send().await;
    assert_eq!((array.status, &*array.body), (422, failure));
    let panics = read(&server, "streams/panics_after", LINES, json!({"items":1})).send().await.body;
    assert_eq!(panics, "1\n{\"error\":\"Internal error\",\"code\":\"panic\"}\n");
}

#[tokio::test]
async fn an_error_before_the_first_item_sets_the_status() {
    let server = TestServer::start().await;
    for accept in ["application/json", LINES, EVENTS] {
        let failed = read(&server, "streams/fails_after", accept, json!({"items":0,"text":"no","code":"busy"}));
        assert_eq!(failed.send().await.failure(), (429, "busy".into()), "{accept}");
        let unfit = read(&server, "streams/count", accept, json!({"to":"x"})).send().await;
        assert_eq!(unfit.failure(), (400, "bad_body".into()), "{accept}");
    }
    // NDJSON waits for the first item.
    server.app.gate("late").release(1);
    let late = read(&server, "streams/late", LINES, json!({"gate":"late","refusal":"not today"})).send().await;
    assert_eq!((late.status, &*late.body), (422, r#"{"error":"not today","code":"handler"}"#));
    // Server-sent events do not: the head is sent before.
    let (head, mut body) = read(&server, "streams/late", EVENTS, json!({"gate":"slow","refusal":"no"})).open().await;
    assert_eq!(head.status, 200);
    server.app.gate("slow").release(1);
    let block = body.block().await.unwrap();
    assert_eq!(block, "event: failed\nid: end\ndata: {\"error\":\"no\",\"code\":\"handler\"}");
}

#[tokio::test]
async fn an_item_above_the_limit_ends_the_stream() {
    let server = TestServer::start_with(|config| config.max_message_bytes = 1000).await;
    let lines = read(&server, "streams/large", LINES, json!({"items":1,"bytes":2000})).send().await;
    assert_eq!(lines.failure(), (413, "too_large".into()));
}

// --- Slow and disconnected clients -----------------------------------------------------------------------------------

#[tokio::test]
async fn disconnecting_drops_the_handler() {
    let server = TestServer::start().await;
    for (n, accept) in [LINES, EVENTS, "application/json"].into_iter().enumerate() {
        // Before the first item, and after some.
        for items in [0, 2] {
            let gate = format!("{n} {items}");
            server.app.gate(&gate).release(items);
            let raw = read(&server, "streams/gated", accept, json!({ "gate": gate })).start().await;
            wait_for_counts(
                &server,
                &gate,
                Counts { came: items as u64 + 1, items: items as u64, ..Counts::default() },
            )
            .await;
            drop(raw);
            wait_for_counts(&server, &gate, Counts { over: 1, dropped: 1, ..Counts::default() }).await;
        }
    }
}

/// Bytes of a next request are in the receive buffer of the server, which must detect the disconnect nevertheless.
#[tokio::test]
async fn disconnecting_after_a_pipelined_request_drops_the_handler() {
    let server = TestServer::start().await;
    for accept in [LINES, "application/json"] {
        for next_request in ["G".to_owned(), "GET / HTTP/1.1\r\n".to_owned() + &"x".repeat(40_000)] {
            let gate = format!("{accept} {}", next_request.len());
            let mut raw = read(&server, "streams/gated", accept, json!({ "gate": gate })).start().await;
            wait_for_counts(&server, &gate, Counts { came: 1, ..Counts::default() }).await;
            raw.send_now(next_request.as_bytes());
            drop(raw);
            wait_for_counts(&server, &gate, Counts { over: 1, dropped: 1, ..Counts::default() }).await;
        }
    }
    until("all connections to be removed", || server.handle.connections() == 0).await;
}

#[tokio::test]
async fn disconnecting_drops_a_handler_that_is_never_pending() {
    let server = TestServer::start().await;
    for accept in [LINES, EVENTS] {
        let (_, mut body) = read(&server, "streams/endless", accept, json!({ "gate": accept })).open().await;
        for _ in 0..1000 {
            body.line().await.expect("more");
        }
        drop(body);
        wait_for_counts(&server, accept, Counts { over: 1, ..Counts::default() }).await;
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_pauses_the_handler_and_is_disconnected_after_the_write_timeout() {
    let server = TestServer::start_with(|config| config.write_timeout = Duration::from_millis(300)).await;
    let mut other = server.v1().await;
    let started = Instant::now();
    let raw = read(&server, "streams/endless", EVENTS, json!({"gate":"x"})).start().await;
    let items = wait_for_counts(&server, "x", Counts { over: 1, ..Counts::default() }).await.items;
    assert!(started.elapsed() >= Duration::from_millis(300));
    // As many as the buffers of the sockets hold. Without back-pressure there would be many millions.
    assert!(items < 2_000_000, "{items} items");
    other.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    drop(raw);
    until("the connection to be removed", || server.handle.connections() == 1).await;
}

#[tokio::test]
async fn a_slow_client_pauses_only_its_own_handler() {
    let server = TestServer::start().await;
    let stalled = read(&server, "streams/endless", LINES, json!({"gate":"x"})).start().await;
    wait_for_counts(&server, "x", Counts { items: 1000, ..Counts::default() }).await;
    let other = read(&server, "streams/count", LINES, json!({"to":10_000})).send().await.body;
    assert_eq!(other.lines().count(), 10_000);
    // The stalled handler stops once all buffers are full.
    let mut items = server.app.gate("x").counts().items;
    loop {
        for _ in 0..20 {
            HttpRequest::post(server.addr, "/events/ping", "").send().await;
        }
        let now = server.app.gate("x").counts().items;
        if now == items {
            break;
        }
        items = now;
    }
    drop(stalled);
    wait_for_counts(&server, "x", Counts { over: 1, ..Counts::default() }).await;
}

#[tokio::test]
async fn an_idle_event_stream_gets_comments() {
    let server = TestServer::start_with(|config| config.http.sse_keep_alive_interval = Duration::from_millis(20)).await;
    let (_, mut body) = read(&server, "streams/gated", EVENTS, json!({"gate":"x","to":1})).open().await;
    let started = Instant::now();
    for _ in 0..5 {
        assert_eq!(body.block().await.as_deref(), Some(": "));
    }
    // The first comments may have been sent before the clock started.
    assert!(started.elapsed() >= Duration::from_millis(60), "{:?}", started.elapsed());
    server.app.gate("x").release(1);
    loop {
        match body.block().await.as_deref() {
            Some(": ") => {}
            item => break assert_eq!(item, Some("data: 1")),
        }
    }
}

#[tokio::test]
async fn an_idle_ndjson_stream_gets_no_comments() {
    let server = TestServer::start_with(|config| config.http.sse_keep_alive_interval = Duration::from_millis(1)).await;
    let raw = read(&server, "streams/gated", LINES, json!({"gate":"x","to":2})).start().await;
    wait_for_counts(&server, "x", Counts { came: 1, ..Counts::default() }).await;
    let events = read(&server, "streams/gated", EVENTS, json!({"gate":"y","to":1}));
    let (_, mut comments) = events.open().await;
    for _ in 0..5 {
        assert_eq!(comments.block().await.as_deref(), Some(": "));
    }
    server.app.gate("x").release(2);
    let (_, mut lines) = http::open_response(raw).await;
    assert_eq!((lines.line().await.as_deref(), lines.line().await.as_deref()), (Some("1"), Some("2")));
    assert_eq!(lines.line().await, None);
}
