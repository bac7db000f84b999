//! Events over plain HTTP: what a request may say, and how it is answered.

use aaw_tests::http::{HttpRequest, send_all};
use aaw_tests::{RawConnection, TestServer, until};
use serde_json::json;

fn post(server: &TestServer, event: &str, body: impl Into<Vec<u8>>) -> HttpRequest {
    HttpRequest::post(server.addr, &format!("/events/{event}"), body)
}

fn get(server: &TestServer, target: &str) -> HttpRequest {
    HttpRequest::get(server.addr, &format!("/events/{target}"))
}

// --- Answers ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_answer_as_curl_gets_it() {
    let server = TestServer::start().await;
    let answer = post(&server, "users/get", r#"{"id":1}"#).send().await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let mut client = server.v1().await;
    client.call("users/get", r#"{"id":1}"#).await.assert_eq(&answer.body);
    assert_eq!(post(&server, "echo", r#"{"a":[1,"ü"]}"#).send().await.body, r#"{"a":[1,"ü"]}"#);
}

#[tokio::test]
async fn whatever_the_content_type_the_body_is_json() {
    let server = TestServer::start().await;
    for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense"] {
        let answer = post(&server, "echo", "[1]").replace("Content-Type", kind).send().await;
        assert_eq!((answer.status, &*answer.body), (200, "[1]"), "{kind}");
    }
    let chunked = HttpRequest::new(server.addr, "POST", "/events/echo").header("Transfer-Encoding", "chunked");
    assert_eq!(chunked.body("2\r\n[1\r\n3\r\n,2]\r\n0\r\n\r\n").send().await.body, "[1,2]");
}

#[tokio::test]
async fn a_missing_body_is_an_empty_one() {
    let server = TestServer::start().await;
    for body in ["", "null", "{}", "  \r\n"] {
        assert_eq!(post(&server, "ping", body).send().await.body, r#"{"pong":true}"#, "{body:?}");
    }
    let bare = HttpRequest::new(server.addr, "POST", "/events/ping").header("Content-Length", "0");
    assert_eq!(bare.send().await.body, r#"{"pong":true}"#);
    assert_eq!(HttpRequest::new(server.addr, "POST", "/events/ping").send().await.status, 200);
}

#[tokio::test]
async fn a_plain_event_is_answered_204_once_it_has_run() {
    let server = TestServer::start().await;
    for accept in ["*/*", "application/x-ndjson", "text/event-stream"] {
        let answer = post(&server, "note", json!(accept).to_string()).accept(accept).send().await;
        assert_eq!((answer.status, &*answer.body), (204, ""), "{accept}");
        let notes = server.app.notes.lock().unwrap().clone();
        assert_eq!(notes.last(), Some(&json!(accept)));
    }
}

#[tokio::test]
async fn a_name_may_be_written_in_percent_signs() {
    let server = TestServer::start().await;
    for name in ["users%2Fget", "%75sers/get"] {
        assert_eq!(post(&server, name, r#"{"id":1}"#).send().await.status, 200, "{name}");
    }
    assert_eq!(post(&server, "deep/er/still/v1.2-x", "").send().await.status, 200);
    assert_eq!(post(&server, "%ff", "").send().await.failure(), (400, "bad_frame".into()));
}

#[tokio::test]
async fn an_answer_in_the_other_forms_is_one_item() {
    let server = TestServer::start().await;
    let lines = post(&server, "ping", "").accept("application/x-ndjson").send().await;
    assert_eq!((&*lines.body, lines.header("content-type")), ("{\"pong\":true}\n", Some("application/x-ndjson")));
    let events = post(&server, "ping", "").accept("text/event-stream").send().await;
    assert_eq!(events.body, "id: 1\ndata: {\"pong\":true}\n\nevent: end\nid: end\ndata: null\n\n");
    assert_eq!(post(&server, "ping?take=5", "").send().await.body, r#"{"items":[{"pong":true}]}"#);
    assert_eq!(post(&server, "note?take=5", "1").send().await.status, 204);
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let server = TestServer::start().await;
    let mut raw = RawConnection::connect(server.addr).await;
    for n in 0..3 {
        let answer = post(&server, "echo", n.to_string()).send_over(&mut raw).await;
        assert_eq!((answer.status, answer.body), (200, n.to_string()));
        assert_eq!(post(&server, "nothing/here", "").send_over(&mut raw).await.status, 404);
    }
    // Two at once are answered in their order.
    raw.send(&[post(&server, "echo", "1").bytes(), post(&server, "echo", "2").bytes()].concat()).await;
    assert_eq!((raw.read_response().await.body, raw.read_response().await.body), ("1".into(), "2".into()));
    // And then it may become a WebSocket.
    let upgrade = get(&server, "x").header("Connection", "upgrade").header("Upgrade", "websocket");
    let upgrade = upgrade.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    raw.send(&upgrade.bytes()).await;
    assert_eq!(raw.read_response().await.status, 101);
    raw.send_text(r#"["echo",3,3]"#).await;
    raw.expect_text(r#"["echo",3,3]"#).await;
}

// --- What fails -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn each_failure_has_its_status_and_the_same_json_as_over_a_websocket() {
    let server = TestServer::start().await;
    for (event, body, status, code) in [
        ("nothing/here", "", 404, "unknown_event"),
        ("nothing/here", "no json", 400, "bad_body"),
        ("auth/secret", "", 403, "unreachable"),
        ("typed", r#"{"n":"x"}"#, 400, "bad_body"),
        ("typed", "no json", 400, "bad_body"),
        ("ping", "no json", 400, "bad_body"),
        ("ping", "{} {}", 400, "bad_body"),
        ("note", "[", 400, "bad_body"),
        ("streams/count", "[", 400, "bad_body"),
        ("panics/at_once", "", 500, "panic"),
        ("panics/late", "", 500, "panic"),
        ("fails/question", "", 500, "handler"),
        ("pushes/answering", "{}", 500, "no_connection"),
    ] {
        for accept in ["application/json", "application/x-ndjson"] {
            let answer = post(&server, event, body).accept(accept).send().await;
            assert_eq!(answer.failure(), (status, code.into()), "{event} {body}: {answer:?}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{event}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{event}");
        }
    }
    let failed = post(&server, "fails/question", "").send().await;
    assert_eq!(failed.body, r#"{"error":"Internal error","code":"handler"}"#);
    assert_eq!(post(&server, "ping", b"\"\xff\"").send().await.failure(), (400, "bad_body".into()));
}

#[tokio::test]
async fn a_body_above_the_bound_is_413_however_it_is_sent() {
    let server = TestServer::start_with(|config| config.max_message = 1000).await;
    let body = |len: usize| format!("{:?}", "x".repeat(len - 2));
    assert_eq!(post(&server, "ignore", body(1000)).send().await.status, 200);
    assert_eq!(post(&server, "ignore", body(1001)).send().await.failure(), (413, "too_large".into()));
    // Not even promised so much.
    assert_eq!(post(&server, "ignore", "").replace("Content-Length", "99999999999").send().await.status, 413);
    let chunked = HttpRequest::new(server.addr, "POST", "/events/ignore").header("Transfer-Encoding", "chunked");
    let chunk = format!("3e9\r\n{}\r\n0\r\n\r\n", body(1001));
    assert_eq!(chunked.body(chunk).send().await.failure(), (413, "too_large".into()));
    // One that asks first is told before it sends.
    let asks = post(&server, "ignore", "").replace("Content-Length", "2000").header("Expect", "100-continue");
    assert_eq!(asks.send().await.status, 413);
    let asks = post(&server, "echo", "").replace("Content-Length", "3").header("Expect", "100-continue");
    let mut raw = asks.start().await;
    assert_eq!(raw.read_head().await.status, 100);
    raw.send(b"[1]").await;
    assert_eq!(raw.read_response().await.body, "[1]");
}

#[tokio::test]
async fn a_large_body_is_read_to_its_end_so_that_the_refusal_arrives() {
    let server = TestServer::start_with(|config| config.max_message = 100_000).await;
    let mut raw = RawConnection::connect(server.addr).await;
    // Far more than sockets hold.
    let refused = post(&server, "ignore", vec![b'1'; 1_500_000]).send_over(&mut raw).await;
    assert_eq!(refused.failure(), (413, "too_large".into()));
    // And the connection goes on.
    assert_eq!(post(&server, "ping", "").send_over(&mut raw).await.status, 200);
}

#[tokio::test]
async fn an_answer_above_the_bound_is_413() {
    let server = TestServer::start_with(|config| config.max_message = 1000).await;
    let array = post(&server, "streams/count", r#"{"to":1000}"#).send().await;
    assert_eq!(array.failure(), (413, "too_large".into()));
    assert!(array.body.contains("read them as a stream"), "{}", array.body);
    assert_eq!(post(&server, "streams/count", r#"{"to":300}"#).send().await.failure().0, 413);
    assert_eq!(post(&server, "streams/count", r#"{"to":250}"#).send().await.status, 200);
    let item = post(&server, "streams/large", r#"{"items":1,"bytes":1000}"#).send().await;
    assert_eq!(item.failure(), (413, "too_large".into()));
}

#[tokio::test]
async fn a_wrong_accept_is_told_what_is_offered_and_runs_nothing() {
    let server = TestServer::start().await;
    let answer = post(&server, "note", "1").accept("text/html, application/json;q=0").send().await;
    assert_eq!(answer.failure(), (406, "not_acceptable".into()));
    for offered in ["application/json", "application/x-ndjson", "text/event-stream"] {
        assert!(answer.body.contains(offered), "{}", answer.body);
    }
    assert!(server.app.notes.lock().unwrap().is_empty());
}

// --- Methods ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_get_reads_streams_and_runs_nothing_else() {
    let server = TestServer::start().await;
    let target = "streams/count?body=%7B%22to%22%3A3%7D";
    assert_eq!(get(&server, target).send().await.body, "[1,2,3]");
    assert_eq!(get(&server, "streams/count?body={%22to%22:+2}").send().await.body, "[1,2]");
    for event in ["note", "ping"] {
        let answer = get(&server, event).send().await;
        assert_eq!((answer.failure().0, answer.header("allow")), (405, Some("post")), "{event}");
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
        let counted =
            HttpRequest::new(server.addr, method, "/events/streams/count?body={%22to%22:1,%22gate%22:%22x%22}");
        let answer = counted.send_over(&mut raw).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("get, post")), "{method}");
        let plain = HttpRequest::new(server.addr, method, "/events/note").send_over(&mut raw).await;
        assert_eq!((plain.status, plain.header("allow")), (405, Some("post")), "{method}");
    }
    assert_eq!(server.app.gate("x").counts().items, 0);
    assert!(server.app.notes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_page_from_elsewhere_cannot_read_in_a_way_that_hides_where_it_is_from() {
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

// --- Who calls --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn over_http_nothing_can_be_sent_to_the_caller_but_to_all_others() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let answer = post(&server, "broadcasts/all", r#"{"n":1}"#).send().await;
    assert!(answer.status < 300, "{answer:?}");
    assert!(other.next().await.starts_with(r#"["broadcast","#));
    let answer = post(&server, "broadcasts/others", r#"{"n":2}"#).send().await;
    assert!(answer.status < 300, "{answer:?}");
    assert!(other.next().await.starts_with(r#"["broadcast","#));
}

#[tokio::test]
async fn the_hook_sees_these_calls_too() {
    let server = TestServer::start().await;
    post(&server, "users/get", r#"{"id":1}"#).send().await;
    let told = server.calls.first_of("users/get").await;
    assert_eq!((&told["kind"], &told["body"], &told["client_key"]), (&json!("answer"), &json!({"id":1}), &json!(null)));
    assert_eq!(told["connection"].as_str().map(str::len), Some(36));
    post(&server, "streams/count", r#"{"to":2}"#).accept("application/x-ndjson").send().await;
    assert_eq!(server.calls.first_of("streams/count").await["kind"], "stream");
    post(&server, "nothing/here", "").send().await;
    assert_eq!(server.calls.first_of("nothing/here").await["error"]["code"], "unknown_event");
}

#[tokio::test]
async fn many_at_once_do_not_meet() {
    let server = TestServer::start().await;
    let requests: Vec<_> = (0..100).map(|n| post(&server, "echo", n.to_string())).collect();
    let answers = send_all(&requests).await;
    assert_eq!(answers.iter().map(|answer| answer.body.parse().unwrap()).collect::<Vec<u32>>(), Vec::from_iter(0..100));
}

// --- Time -------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_long() {
    let server = TestServer::start_with(|config| config.http.body_timeout = std::time::Duration::from_millis(50)).await;
    let half = post(&server, "note", "").replace("Content-Length", "10").body("12345");
    assert_eq!(half.send().await.failure(), (408, "timeout".into()));
    assert!(server.app.notes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_connection_without_a_next_request_is_not_kept_for_long() {
    let server = TestServer::start_with(|config| config.handshake_timeout = std::time::Duration::from_millis(50)).await;
    let mut raw = RawConnection::connect(server.addr).await;
    assert_eq!(post(&server, "ping", "").send_over(&mut raw).await.status, 200);
    raw.expect_end().await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_takes_the_handler_along() {
    let server = TestServer::start().await;
    for (n, accept) in ["application/json", "application/x-ndjson", "text/event-stream"].into_iter().enumerate() {
        let gate = format!("gone {n}");
        let raw = post(&server, "gate/hold", json!({ "gate": gate }).to_string()).accept(accept).start().await;
        until("it to run", || server.app.gate(&gate).counts().came == 1).await;
        drop(raw);
        until("it to be dropped", || server.app.gate(&gate).counts().dropped == 1).await;
    }
    assert_eq!(server.calls.first_of("gate/hold").await["error"]["code"], "cancelled");
}

#[tokio::test]
async fn so_does_one_that_resets_or_breaks_off_its_body() {
    let server = TestServer::start().await;
    let raw = post(&server, "gate/hold", r#"{"gate":"reset"}"#).start().await;
    until("it to run", || server.app.gate("reset").counts().came == 1).await;
    raw.reset();
    until("it to be dropped", || server.app.gate("reset").counts().dropped == 1).await;
    let mut half = post(&server, "note", "").replace("Content-Length", "10").body("12345").start().await;
    half.finish().await;
    while half.take(1).await.is_some() {}
    assert!(server.app.notes.lock().unwrap().is_empty());
}
