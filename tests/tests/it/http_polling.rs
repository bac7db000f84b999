//! Streams over plain HTTP by polling: each request returns a few items, and a cursor for the next request.

use std::net::Ipv4Addr;
use std::time::Duration;

use aaw_test_events::_services::Counts;
use aaw_tests::http::{HttpRequest, open_response, send_all};
use aaw_tests::{HttpResponse, RawConnection, TestServer, within};
use serde_json::{Value, json};

fn poll(server: &TestServer, event: &str, query: &str, body: Value) -> HttpRequest {
    HttpRequest::post(server.addr, &format!("/events/{event}?{query}"), body.to_string())
}

fn next(server: &TestServer, event: &str, take: usize, cursor: &str) -> HttpRequest {
    HttpRequest::post(server.addr, &format!("/events/{event}?take={take}&cursor={cursor}"), "")
}

/// Returns the items in a response, and the cursor if there is one.
fn page(response: &HttpResponse) -> (Vec<Value>, Option<String>) {
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")), "{response:?}");
    let json = response.json();
    let cursor = json.get("cursor").map(|cursor| cursor.as_str().expect("a text").to_owned());
    (json["items"].as_array().expect("items").clone(), cursor)
}

/// Starts a stream, and returns its cursor after the first item.
async fn start_stream(server: &TestServer, gate: &str) -> String {
    let first = poll(server, "streams/count", "take=1", json!({"to":100,"gate":gate})).send().await;
    page(&first).1.expect("a cursor")
}

async fn wait_for_counts(server: &TestServer, gate: &str, least: Counts) -> Counts {
    let gate = server.app.gate(gate);
    within("the counts", || format!("{:?}", gate.counts()), gate.wait(least)).await
}

#[tokio::test]
async fn each_request_returns_items_and_a_new_cursor_until_the_end() {
    let server = TestServer::start().await;
    let (first, cursor) = page(&poll(&server, "streams/count", "take=2", json!({"to":5})).send().await);
    let cursor = cursor.unwrap();
    assert_eq!((first, cursor.len()), (vec![json!(1), json!(2)], 32));
    let (second, other) = page(&next(&server, "streams/count", 2, &cursor).send().await);
    let other = other.unwrap();
    assert_eq!(second, [3, 4]);
    assert_ne!(cursor, other, "each response has a new cursor");
    // A GET works too. The last response has no cursor.
    let get = HttpRequest::get(server.addr, &format!("/events/streams/count?cursor={other}&take=10"));
    assert_eq!(page(&get.send().await), (vec![json!(5)], None));
    assert_eq!(server.calls.first_of("streams/count").await["kind"], "streaming");
    assert_eq!(server.calls.all().len(), 1, "all requests belong to one call");
}

#[tokio::test]
async fn a_stream_that_ends_with_a_full_response_returns_no_items_in_the_next() {
    let server = TestServer::start().await;
    let (items, cursor) = page(&poll(&server, "streams/count", "take=2", json!({"to":2})).send().await);
    assert_eq!(items, [1, 2]);
    assert_eq!(page(&next(&server, "streams/count", 2, &cursor.unwrap()).send().await), (vec![], None));
    assert_eq!(page(&poll(&server, "streams/count", "take=2", json!({"to":0})).send().await), (vec![], None));
}

#[tokio::test]
async fn a_request_returns_the_available_items_after_the_wait_time() {
    let server = TestServer::start_with(|config| config.http.poll_timeout = Duration::from_millis(100)).await;
    server.app.gate("x").release(2);
    let started = std::time::Instant::now();
    let (items, cursor) = page(&poll(&server, "streams/gated", "take=10", json!({"gate":"x","to":3})).send().await);
    assert_eq!(items, [1, 2]);
    assert!(started.elapsed() >= Duration::from_millis(100));
    let (items, cursor) = page(&next(&server, "streams/gated", 10, &cursor.unwrap()).send().await);
    assert_eq!(items, [] as [Value; 0]);
    server.app.gate("x").release(1);
    assert_eq!(page(&next(&server, "streams/gated", 10, &cursor.unwrap()).send().await), (vec![json!(3)], None));
}

#[tokio::test]
async fn a_stream_does_not_run_between_requests() {
    let server = TestServer::start().await;
    let cursor = start_stream(&server, "x").await;
    for _ in 0..50 {
        HttpRequest::post(server.addr, "/events/ping", "").send().await;
    }
    assert_eq!(server.app.gate("x").counts(), Counts { items: 1, ..Counts::default() });
    assert_eq!(page(&next(&server, "streams/count", 1, &cursor).send().await).0, [2]);
    assert_eq!(server.app.gate("x").counts().items, 2);
}

#[tokio::test]
async fn a_response_is_limited_to_the_size_of_a_message() {
    let server = TestServer::start_with(|config| config.max_message_bytes = 1000).await;
    let (items, cursor) = page(&poll(&server, "streams/large", "take=10", json!({"items":7,"bytes":300})).send().await);
    assert_eq!(items.len(), 3);
    let (items, cursor) = page(&next(&server, "streams/large", 10, &cursor.unwrap()).send().await);
    assert_eq!(items.len(), 3);
    assert_eq!(
        items[0].as_str().map(str::len),
        Some(300),
        "the item that did not fit is the first of the next response"
    );
    let (items, cursor) = page(&next(&server, "streams/large", 10, &cursor.unwrap()).send().await);
    assert_eq!((items.len(), cursor), (1, None));
}

#[tokio::test]
async fn an_error_follows_the_items_before_it() {
    let server = TestServer::start().await;
    let failing = json!({"items":2,"text":"no more","code":"not_allowed"});
    let (items, cursor) = page(&poll(&server, "streams/fails_after", "take=10", failing).send().await);
    assert_eq!(items, [1, 2]);
    let cursor = cursor.unwrap();
    let failed = next(&server, "streams/fails_after", 10, &cursor).send().await;
    assert_eq!((failed.status, &*failed.body), (403, r#"{"error":"no more","code":"not_allowed"}"#));
    assert_eq!(next(&server, "streams/fails_after", 10, &cursor).send().await.status, 404);
    let at_once = poll(&server, "streams/fails_after", "take=10", json!({"items":0,"text":"no"})).send().await;
    assert_eq!(at_once.failure(), (422, "handler".into()));
    assert_eq!(poll(&server, "streams/count", "take=1", json!({})).send().await.failure(), (400, "bad_body".into()));
    assert_eq!(poll(&server, "nothing/here", "take=1", json!({})).send().await.failure().0, 404);
}

#[tokio::test]
async fn an_invalid_take_is_rejected_with_the_valid_range() {
    let server = TestServer::start().await;
    for bad in ["0", "-1", "10001", "99999999999999999999", "x", "", "1.5"] {
        let response = poll(&server, "streams/count", &format!("take={bad}"), json!({"to":1,"gate":"x"})).send().await;
        assert_eq!(response.failure(), (400, "bad_frame".into()), "{bad}");
        assert!(response.body.contains("from 1 to 10000"), "{}", response.body);
    }
    let alone = poll(&server, "streams/count", "cursor=00000000000000000000000000000000", json!({})).send().await;
    assert_eq!(alone.failure(), (400, "bad_frame".into()));
    assert_eq!(server.app.gate("x").counts().items, 0);
}

#[tokio::test]
async fn a_forged_or_used_cursor_or_one_of_another_event_is_404() {
    let server = TestServer::start().await;
    let cursor = start_stream(&server, "x").await;
    let unknown = (404, "unknown_cursor".to_owned());
    for forged in ["0".repeat(32), cursor.to_uppercase(), format!("{cursor}0"), "x".into(), String::new()] {
        if forged != cursor {
            assert_eq!(next(&server, "streams/count", 1, &forged).send().await.failure(), unknown, "{forged}");
        }
    }
    assert_eq!(next(&server, "streams/endless", 1, &cursor).send().await.failure(), unknown);
    assert_eq!(page(&next(&server, "streams/count", 1, &cursor).send().await).0, [2], "the cursor is still valid");
    let used = next(&server, "streams/count", 1, &cursor).send().await;
    assert_eq!(used.failure(), unknown);
    assert!(used.body.contains("was used before"), "{}", used.body);
}

#[tokio::test]
async fn of_concurrent_requests_with_one_cursor_exactly_one_gets_items() {
    let server = TestServer::start().await;
    server.app.gate("x").release(1);
    let first = poll(&server, "streams/gated", "take=1", json!({"gate":"x","to":9})).send().await;
    let request = next(&server, "streams/gated", 1, &page(&first).1.unwrap());
    let waiting = request.start().await;
    wait_for_counts(&server, "x", Counts { came: 2, ..Counts::default() }).await;
    // Another request is using the cursor.
    assert_eq!(request.send().await.failure(), (429, "busy".into()));
    server.app.gate("x").release(1);
    let (head, mut body) = open_response(waiting).await;
    assert_eq!((head.status, body.rest().await.starts_with(br#"{"items":[2],"cursor":"#)), (200, true));

    for _ in 0..20 {
        let cursor = start_stream(&server, "many").await;
        let requests = vec![next(&server, "streams/count", 1, &cursor); 8];
        let responses = send_all(&requests).await;
        let items: Vec<_> =
            responses.iter().filter(|response| response.status == 200).map(|response| page(response).0).collect();
        assert_eq!(items, [[2]], "{responses:?}");
        assert!(responses.iter().all(|response| [200, 404, 429].contains(&response.status)), "{responses:?}");
    }
}

#[tokio::test]
async fn an_unused_cursor_expires_and_drops_its_handler() {
    let server = TestServer::start_with(|config| config.http.cursor_idle_timeout = Duration::from_millis(50)).await;
    let cursor = start_stream(&server, "x").await;
    // It expires without another request.
    wait_for_counts(&server, "x", Counts { over: 1, ..Counts::default() }).await;
    assert_eq!(next(&server, "streams/count", 1, &cursor).send().await.failure(), (404, "unknown_cursor".into()));
    // Later cursors expire too.
    start_stream(&server, "y").await;
    wait_for_counts(&server, "y", Counts { over: 1, ..Counts::default() }).await;
    assert_eq!(server.calls.first_of("streams/count").await["error"]["code"], "cancelled");
}

#[tokio::test]
async fn disconnecting_during_a_request_drops_the_handler() {
    let server = TestServer::start().await;
    server.app.gate("x").release(1);
    let first = poll(&server, "streams/gated", "take=1", json!({"gate":"x","to":9})).send().await;
    let request = next(&server, "streams/gated", 1, &page(&first).1.unwrap());
    let waiting = request.start().await;
    wait_for_counts(&server, "x", Counts { came: 2, ..Counts::default() }).await;
    drop(waiting);
    wait_for_counts(&server, "x", Counts { over: 1, dropped: 1, ..Counts::default() }).await;
    // The cursor is removed right after its handler.
    let failure = loop {
        let failure = request.send().await.failure();
        if failure.0 != 429 {
            break failure;
        }
    };
    assert_eq!(failure, (404, "unknown_cursor".into()));
    // The same before the first response.
    let waiting = poll(&server, "streams/gated", "take=1", json!({"gate":"y"})).start().await;
    wait_for_counts(&server, "y", Counts { came: 1, ..Counts::default() }).await;
    drop(waiting);
    wait_for_counts(&server, "y", Counts { over: 1, ..Counts::default() }).await;
}

#[tokio::test]
async fn the_number_of_cursors_is_limited() {
    let server = TestServer::start_with(|config| config.http.max_cursors = 2).await;
    let cursor = start_stream(&server, "a").await;
    let other = start_stream(&server, "b").await;
    let third = poll(&server, "streams/count", "take=1", json!({"to":9,"gate":"c"})).send().await;
    assert_eq!(third.failure(), (429, "busy".into()));
    // The first one expires after a minute.
    let retry_after: u64 = third.header("retry-after").unwrap().parse().unwrap();
    assert!((50..=60).contains(&retry_after), "{retry_after} s");
    assert_eq!(server.app.gate("c").counts().items, 0, "the handler ran");
    // The existing cursors still work.
    let (items, cursor) = page(&next(&server, "streams/count", 98, &cursor).send().await);
    assert_eq!(items.len(), 98);
    assert_eq!(page(&next(&server, "streams/count", 9, &cursor.unwrap()).send().await), (vec![json!(100)], None));
    // A finished stream frees its place.
    start_stream(&server, "c").await;
    drop(other);
}

/// Sends the request from this address of the machine.
async fn send_from(from: Ipv4Addr, request: &HttpRequest, server: &TestServer) -> HttpResponse {
    request.send_over(&mut RawConnection::connect_from(from, server.addr).await).await
}

const GREEDY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

fn begin(server: &TestServer, gate: &str) -> HttpRequest {
    poll(server, "streams/count", "take=1", json!({"to":100,"gate":gate}))
}

#[tokio::test]
async fn a_client_address_has_a_limit_of_its_own() {
    let server = TestServer::start_with(|config| config.http.max_cursors_per_address = 2).await;
    for gate in ["a", "b"] {
        assert_eq!(send_from(GREEDY, &begin(&server, gate), &server).await.status, 200);
    }
    let refused = send_from(GREEDY, &begin(&server, "c"), &server).await;
    assert_eq!(refused.failure(), (429, "busy".into()));
    assert!(refused.body.contains("This client's address has 2 streams"), "{}", refused.body);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(server.app.gate("c").counts(), Counts::default());
    assert_eq!(send_from(OTHER, &begin(&server, "d"), &server).await.status, 200);
    assert_eq!(server.app.gate("a").counts().over, 0);
}

#[tokio::test]
async fn at_the_limit_the_client_with_the_most_cursors_loses_its_oldest() {
    let server = TestServer::start_with(|config| config.http.max_cursors = 3).await;
    let mut cursors = Vec::new();
    for gate in ["a", "b", "c"] {
        let begun = send_from(GREEDY, &begin(&server, gate), &server).await;
        cursors.push(page(&begun).1.unwrap());
    }
    assert_eq!(send_from(GREEDY, &begin(&server, "d"), &server).await.failure(), (429, "busy".into()));
    // A use makes a stream newer than the others. From where it is used does not matter.
    cursors[0] = page(&next(&server, "streams/count", 1, &cursors[0]).send().await).1.unwrap();
    let begun = send_from(OTHER, &begin(&server, "e"), &server).await;
    let other = page(&begun).1.unwrap();
    wait_for_counts(&server, "b", Counts { over: 1, ..Counts::default() }).await;
    let evicted = next(&server, "streams/count", 1, &cursors[1]).send().await;
    assert_eq!(evicted.failure(), (410, "cursor_evicted".into()));
    assert!(evicted.header("retry-after").is_some() && evicted.body.contains("Begin again"), "{evicted:?}");
    assert_eq!(server.calls.first_of("streams/count").await["error"]["code"], "cancelled");
    // The streams of the others, and its newer ones, go on.
    for cursor in [&cursors[0], &cursors[2], &other] {
        assert_eq!(next(&server, "streams/count", 1, cursor).send().await.status, 200);
    }
}

#[tokio::test]
async fn a_request_that_reads_an_evicted_stream_is_told() {
    let server = TestServer::start_with(|config| config.http.max_cursors = 2).await;
    let mut waiting = Vec::new();
    for (gate, count) in [("x", 1), ("y", 1)] {
        let mut raw = RawConnection::connect_from(GREEDY, server.addr).await;
        raw.send(&poll(&server, "streams/gated", "take=1", json!({"gate":gate})).bytes()).await;
        wait_for_counts(&server, gate, Counts { came: count, ..Counts::default() }).await;
        waiting.push(raw);
    }
    let begun = send_from(OTHER, &begin(&server, "z"), &server).await;
    assert_eq!(begun.status, 200);
    let evicted = waiting[0].read_response().await;
    assert_eq!(evicted.failure(), (410, "cursor_evicted".into()));
    wait_for_counts(&server, "x", Counts { dropped: 1, ..Counts::default() }).await;
    server.app.gate("y").release(1);
    assert_eq!(page(&waiting[1].read_response().await).0, [1]);
}

#[tokio::test]
async fn an_open_cursor_does_not_delay_the_shutdown() {
    let mut server = TestServer::start().await;
    start_stream(&server, "x").await;
    server.stop();
    server.stopped().await;
    assert_eq!(server.app.gate("x").counts().over, 1);
}
