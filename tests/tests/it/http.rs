//! Events over plain HTTP: requests, responses, errors, methods and timeouts.

use aaw_tests::http::{HttpRequest, send_all};
use aaw_tests::{RawConnection, TestServer, until};
use serde_json::json;

fn post(server: &TestServer, event: &str, body: impl Into<Vec<u8>>) -> HttpRequest {
    HttpRequest::post(server.addr, &format!("/events/{event}"), body)
}

fn get(server: &TestServer, target: &str) -> HttpRequest {
    HttpRequest::get(server.addr, &format!("/events/{target}"))
}

// --- Responses -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_post_returns_the_response_as_json() {
    let server = TestServer::start().await;
    let response = post(&server, "users/get", r#"{"id":1}"#).send().await;
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let mut client = server.v1().await;
    client.call("users/get", r#"{"id":1}"#).await.assert_eq(&response.body);
    assert_eq!(post(&server, "echo", r#"{"a":[1,"ü"]}"#).send().await.body, r#"{"a":[1,"ü"]}"#);
}

#[tokio::test]
async fn the_body_is_json_whatever_the_content_type() {
    let server = TestServer::start().await;
    for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense"] {
        let response = post(&server, "echo", "[1]").replace("Content-Type", kind).send().await;
        assert_eq!((response.status, &*response.body), (200, "[1]"), "{kind}");
    }
    let chunked = HttpRequest::new(server.addr, "POST", "/events/echo").header("Transfer-Encoding", "chunked");
    assert_eq!(chunked.body("2\r\n[1\r\n3\r\n,2]\r\n0\r\n\r\n").send().await.body, "[1,2]");
}

#[tokio::test]
async fn a_missing_body_is_an_empty_object() {
    let server = TestServer::start().await;
    for body in ["", "null", "{}"] {
        assert_eq!(post(&server, "ping", body).send().await.body, r#"{"pong":true}"#, "{body:?}");
    }
    // `null` stands for a missing body, also for a handler that takes the body as it is.
    for (body, echo) in
        [("", "{}"), ("null", "{}"), (" null\n", "{}"), ("[null]", "[null]"), ("0", "0"), ("\"\"", "\"\"")]
    {
        assert_eq!(post(&server, "echo", body).send().await.body, echo, "{body:?}");
    }
    // White space is not JSON.
    assert_eq!(post(&server, "ping", "  \r\n").send().await.failure(), (400, "bad_body".to_owned()));
    let bare = HttpRequest::new(server.addr, "POST", "/events/ping").header("Content-Length", "0");
    assert_eq!(bare.send().await.body, r#"{"pong":true}"#);
    assert_eq!(HttpRequest::new(server.addr, "POST", "/events/ping").send().await.status, 200);
}

#[tokio::test]
async fn a_one_way_event_returns_204_after_it_has_run() {
    let server = TestServer::start().await;
    for accept in ["*/*", "application/x-ndjson", "text/event-stream"] {
        let response = post(&server, "note", json!(accept).to_string()).accept(accept).send().await;
        assert_eq!((response.status, &*response.body), (204, ""), "{accept}");
        let notes = server.app.notes.lock().unwrap().clone();
        assert_eq!(notes.last(), Some(&json!(accept)));
    }
}

#[tokio::test]
async fn a_name_may_be_percent_encoded() {
    let server = TestServer::start().await;
    for name in ["users%2Fget", "%75sers/get"] {
        assert_eq!(post(&server, name, r#"{"id":1}"#).send().await.status, 200, "{name}");
    }
    assert_eq!(post(&server, "deep/er/still/v1.2-x", "").send().await.status, 200);
    assert_eq!(post(&server, "%ff", "").send().await.failure(), (400, "bad_frame".into()));
}

#[tokio::test]
async fn a_unary_response_is_one_item_in_the_streaming_formats() {
    let server = TestServer::start().await;
    let lines = post(&server, "ping", "").accept("application/x-ndjson").send().await;
    assert_eq!((&*lines.body, lines.header("content-type")), ("{\"pong\":true}\n", Some("application/x-ndjson")));
    let events = post(&server, "ping", "").accept("text/event-stream").send().await;
    assert_eq!(events.body, "data: {\"pong\":true}\n\nevent: end\nid: end\ndata: null\n\n");
    assert_eq!(post(&server, "ping?take=5", "").send().await.body, r#"{"items":[{"pong":true}]}"#);
    assert_eq!(post(&server, "note?take=5", "1").send().await.status, 204);
}

#[tokio::test]
async fn a_connection_serves_several_requests() {
    let server = TestServer::start().await;
    let mut raw = RawConnection::connect(server.addr).await;
    for n in 0..3 {
        let response = post(&server, "echo", n.to_string()).send_over(&mut raw).await;
        assert_eq!((response.status, response.body), (200, n.to_string()));
        assert_eq!(post(&server, "nothing/here", "").send_over(&mut raw).await.status, 404);
    }
    // Pipelined requests get their responses in order.
    raw.send(&[post(&server, "echo", "1").bytes(), post(&server, "echo", "2").bytes()].concat()).await;
    assert_eq!((raw.read_response().await.body, raw.read_response().await.body), ("1".into(), "2".into()));
    // The connection can still be upgraded to a WebSocket.
    let upgrade = get(&server, "x").header("Connection", "upgrade").header("Upgrade", "websocket");
    let upgrade = upgrade.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    raw.send(&upgrade.bytes()).await;
    assert_eq!(raw.read_response().await.status, 101);
    raw.send_text(r#"["echo",3,3]"#).await;
    raw.expect_text(r#"["echo",3,3]"#).await;
}

// --- Errors ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn each_error_has_its_status_and_the_same_json_as_over_a_websocket() {
    let server = TestServer::start().await;
    for (event, body, status, code) in [
        ("nothing/here", "", 404, "unknown_event"),
        ("nothing/here", "not json", 400, "bad_body"),
        ("auth/secret", "", 403, "unreachable"),
        ("typed", r#"{"n":"x"}"#, 400, "bad_body"),
        ("typed", "not json", 400, "bad_body"),
        ("ping", "not json", 400, "bad_body"),
        ("ping", "{} {}", 400, "bad_body"),
        ("note", "[", 400, "bad_body"),
        ("streams/count", "[", 400, "bad_body"),
        ("panics/at_once", "", 500, "panic"),
        ("panics/late", "", 500, "panic"),
        ("fails/question", "", 500, "internal"),
        ("fails/with", r#"{"error":"no"}"#, 422, "handler"),
        ("fails/with", r#"{"error":"no","code":"no_todo"}"#, 422, "no_todo"),
        ("fails/with", r#"{"error":"no","code":"not_allowed"}"#, 403, "not_allowed"),
        ("fails/with", r#"{"error":"no","code":"no_todo","status":404}"#, 404, "no_todo"),
        ("fails/with", r#"{"error":"no","status":200}"#, 422, "handler"),
        ("pushes/answering", "{}", 500, "no_connection"),
    ] {
        for accept in ["application/json", "application/x-ndjson"] {
            let response = post(&server, event, body).accept(accept).send().await;
            assert_eq!(response.failure(), (status, code.into()), "{event} {body}: {response:?}");
            assert_eq!(response.header("content-type"), Some("application/json"), "{event}");
            assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{event}");
        }
    }
    // The status is not part of the error's JSON.
    let body = r#"{"error":"no","code":"no_todo","status":404}"#;
    let refused = post(&server, "fails/with", body).send().await;
    assert_eq!(refused.body, r#"{"error":"no","code":"no_todo"}"#);
    server.v1().await.call("fails/with", body).await.assert_eq(&refused.body);
    let failed = post(&server, "fails/question", "").send().await;
    assert_eq!(failed.body, r#"{"error":"Internal error","code":"internal"}"#);
    assert_eq!(post(&server, "ping", b"\"\xff\"").send().await.failure(), (400, "bad_body".into()));
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_however_it_is_sent() {
    let server = TestServer::start_with(|config| config.max_message_bytes = 1000).await;
    let body = |len: usize| format!("{:?}", "x".repeat(len - 2));
    assert_eq!(post(&server, "ignore", body(1000)).send().await.status, 200);
    assert_eq!(post(&server, "ignore", body(1001)).send().await.failure(), (413, "too_large".into()));
    // A Content-Length above the limit is enough.
    assert_eq!(post(&server, "ignore", "").replace("Content-Length", "99999999999").send().await.status, 413);
    let chunked = HttpRequest::new(server.addr, "POST", "/events/ignore").header("Transfer-Encoding", "chunked");
    let chunk = format!("3e9\r\n{}\r\n0\r\n\r\n", body(1001));
    assert_eq!(chunked.body(chunk).send().await.failure(), (413, "too_large".into()));
    // With `Expect: 100-continue` the error arrives before the body is sent.
    let request = post(&server, "ignore", "").replace("Content-Length", "2000").header("Expect", "100-continue");
    assert_eq!(request.send().await.status, 413);
    let request = post(&server, "echo", "").replace("Content-Length", "3").header("Expect", "100-continue");
    let mut raw = request.start().await;
    assert_eq!(raw.read_head().await.status, 100);
    raw.send(b"[1]").await;
    assert_eq!(raw.read_response().await.body, "[1]");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_drained_so_that_the_error_arrives() {
    let server = TestServer::start_with(|config| config.max_message_bytes = 100_000).await;
    let mut raw = RawConnection::connect(server.addr).await;
    // Far larger than the buffers of the sockets.
    let refused = post(&server, "ignore", vec![b'1'; 1_500_000]).send_over(&mut raw).await;
    assert_eq!(refused.failure(), (413, "too_large".into()));
    // The connection can be used again.
    assert_eq!(post(&server, "ping", "").send_over(&mut raw).await.status, 200);
}

#[tokio::test]
async fn a_response_above_the_limit_is_413() {
    let server = TestServer::start_with(|config| config.max_message_bytes = 1000).await;
    let array = post(&server, "streams/count", r#"{"to":1000}"#).send().await;
    assert_eq!(array.failure(), (413, "too_large".into()));
    assert!(array.body.contains("read them as a stream"), "{}", array.body);
    assert_eq!(post(&server, "streams/count", r#"{"to":300}"#).send().await.failure().0, 413);
    assert_eq!(post(&server, "streams/count", r#"{"to":250}"#).send().await.status, 200);
    let item = post(&server, "streams/large", r#"{"items":1,"bytes":1000}"#).send().await;
    assert_eq!(item.failure(), (413, "too_large".into()));
}

#[tokio::test]
async fn an_unsupported_accept_is_406_with_the_supported_types_and_runs_nothing() {
    let server = TestServer::start().await;
    let response = post(&server, "note", "1").accept("text/html, application/json;q=0").send().await;
    assert_eq!(response.failure(), (406, "not_acceptable".into()));
    for offered in ["application/json", "application/x-ndjson", "text/event-stream"] {
        assert!(response.body.contains(offered), "{}", response.body);
    }
    assert!(server.app.notes.lock().unwrap().is_empty());
}

// --- Methods ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_get_reads_streams_and_runs_nothing_else() {
    let server = TestServer::start().await;
    let target = "streams/count?body=%7B%22to%22%3A3%7D";
    assert_eq!(get(&server, target).send().await.body, "[1,2,3]");
    assert_eq!(get(&server, "streams/count?body={%22to%22:+2}").send().await.body, "[1,2]");
    for event in ["note", "ping"] {
        let response = get(&server, event).send().await;
        assert_eq!((response.failure().0, response.header("allow")), (405, Some("post")), "{event}");
    }
    assert_eq!(get(&server, "nothing/here").send().await.failure(), (404, "unknown_event".into()));
    assert_eq!(get(&server, "streams/count?body=x").send().await.failure(), (400, "bad_body".into()));
    let with_body = get(&server, target).header("Content-Length", "2").body("{}");
    assert_eq!(with_body.send().await.failure(), (400, "bad_frame".into()));
    assert!(server.app.notes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn no_other_method_runs_a_handler() {
    let server = TestServer::start().await;
    let mut raw = RawConnection::connect(server.addr).await;
    for method in ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let stream =
            HttpRequest::new(server.addr, method, "/events/streams/count?body={%22to%22:1,%22gate%22:%22x%22}");
        let response = stream.send_over(&mut raw).await;
        assert_eq!((response.status, response.header("allow")), (405, Some("get, post")), "{method}");
        let one_way = HttpRequest::new(server.addr, method, "/events/note").send_over(&mut raw).await;
        assert_eq!((one_way.status, one_way.header("allow")), (405, Some("post")), "{method}");
    }
    assert_eq!(server.app.gate("x").counts().items, 0);
    assert!(server.app.notes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_cross_site_get_without_an_origin_is_refused() {
    let server = TestServer::start_with(|config| {
        config.allow_origins = vec!["https://app.example".parse().unwrap()];
    })
    .await;
    let read =
        |site: &str| get(&server, "streams/count?body={%22to%22:1,%22gate%22:%22x%22}").header("Sec-Fetch-Site", site);
    for site in ["cross-site", "same-site"] {
        let refused = read(site).send().await;
        assert_eq!(refused.failure(), (403, "not_allowed".into()), "{site}");
        assert!(refused.body.contains("--allow-origin"), "{}", refused.body);
        assert_eq!(read(site).header("Origin", "https://evil.example").send().await.status, 403);
        assert_eq!(server.app.gate("x").counts().items, 0);
    }
    let allowed = read("cross-site").header("Origin", "https://app.example").send().await;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, Some("https://app.example")));
    for site in ["same-origin", "none"] {
        assert_eq!(read(site).send().await.status, 200, "{site}");
    }
}

// --- Broadcasts, and call records ------------------------------------------------------------------------------------

#[tokio::test]
async fn a_handler_called_over_http_can_broadcast() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let response = post(&server, "broadcasts/all", r#"{"n":1}"#).send().await;
    assert!(response.status < 300, "{response:?}");
    assert!(other.next().await.starts_with(r#"["broadcast","#));
    let response = post(&server, "broadcasts/others", r#"{"n":2}"#).send().await;
    assert!(response.status < 300, "{response:?}");
    assert!(other.next().await.starts_with(r#"["broadcast","#));
}

#[tokio::test]
async fn calls_over_http_have_call_records() {
    let server = TestServer::start().await;
    post(&server, "users/get", r#"{"id":1}"#).send().await;
    let record = server.calls.first_of("users/get").await;
    assert_eq!(
        (&record["kind"], &record["body"], &record["client_key"]),
        (&json!("unary"), &json!({"id":1}), &json!(null))
    );
    assert_eq!(record["connection"].as_str().map(str::len), Some(36));
    post(&server, "streams/count", r#"{"to":2}"#).accept("application/x-ndjson").send().await;
    assert_eq!(server.calls.first_of("streams/count").await["kind"], "streaming");
    post(&server, "nothing/here", "").send().await;
    assert_eq!(server.calls.first_of("nothing/here").await["error"]["code"], "unknown_event");
}

#[tokio::test]
async fn many_concurrent_requests_receive_their_own_responses() {
    let server = TestServer::start().await;
    let requests: Vec<_> = (0..100).map(|n| post(&server, "echo", n.to_string())).collect();
    let responses = send_all(&requests).await;
    assert_eq!(
        responses.iter().map(|response| response.body.parse().unwrap()).collect::<Vec<u32>>(),
        Vec::from_iter(0..100)
    );
}

// --- Timeouts, and callers that disconnect ---------------------------------------------------------------------------

#[tokio::test]
async fn an_incomplete_body_times_out() {
    let server = TestServer::start_with(|config| config.http.body_timeout = std::time::Duration::from_millis(50)).await;
    let half = post(&server, "note", "").replace("Content-Length", "10").body("12345");
    assert_eq!(half.send().await.failure(), (408, "timeout".into()));
    assert!(server.app.notes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = TestServer::start_with(|config| config.handshake_timeout = std::time::Duration::from_millis(50)).await;
    let mut raw = RawConnection::connect(server.addr).await;
    assert_eq!(post(&server, "ping", "").send_over(&mut raw).await.status, 200);
    raw.expect_end().await;
}

#[tokio::test]
async fn a_disconnected_caller_drops_the_handler() {
    let server = TestServer::start().await;
    for (n, accept) in ["application/json", "application/x-ndjson", "text/event-stream"].into_iter().enumerate() {
        let gate = format!("gate {n}");
        let raw = post(&server, "gate/hold", json!({ "gate": gate }).to_string()).accept(accept).start().await;
        until("the handler to run", || server.app.gate(&gate).counts().came == 1).await;
        drop(raw);
        until("the handler to be dropped", || server.app.gate(&gate).counts().dropped == 1).await;
    }
    assert_eq!(server.calls.first_of("gate/hold").await["error"]["code"], "cancelled");
}

#[tokio::test]
async fn a_reset_drops_the_handler_and_an_incomplete_body_runs_none() {
    let server = TestServer::start().await;
    let raw = post(&server, "gate/hold", r#"{"gate":"reset"}"#).start().await;
    until("the handler to run", || server.app.gate("reset").counts().came == 1).await;
    raw.reset();
    until("the handler to be dropped", || server.app.gate("reset").counts().dropped == 1).await;
    let mut half = post(&server, "note", "").replace("Content-Length", "10").body("12345").start().await;
    half.finish().await;
    while half.take(1).await.is_some() {}
    assert!(server.app.notes.lock().unwrap().is_empty());
}
