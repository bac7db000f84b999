//! Events over plain HTTP: requests, responses, errors, methods and timeouts.

use aaw_tests::http::{HttpRequest, send_all};
use aaw_tests::{RawConnection, TestServer, until};
use serde_json::json;

fn post(server: &TestServer, event: &str, body: impl Into<Vec<u8>>) -> HttpRequest {
    HttpRequest::post(server.addr, &format!("/events/{event}"), body)
}

/// A GET that no page of another site can send, so that streams can be read with it.
fn get(server: &TestServer, target: &str) -> HttpRequest {
    HttpRequest::get(server.addr, &format!("/events/{target}")).header("X-Requested-With", "XMLHttpRequest")
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
async fn a_byte_order_mark_before_a_body_is_ignored() {
    let server = TestServer::start().await;
    assert_eq!(post(&server, "echo", "\u{feff}[1]").send().await.body, "[1]");
    assert_eq!(post(&server, "ping", "\u{feff}").send().await.body, r#"{"pong":true}"#);
    assert_eq!(get(&server, "streams/count?body=%EF%BB%BF{%22to%22:2}").send().await.body, "[1,2]");
    // Within the JSON it is part of a string, or an error.
    assert_eq!(post(&server, "echo", "\"\u{feff}\"").send().await.body, "\"\u{feff}\"");
    for body in ["\u{feff}\u{feff}[1]", "[1]\u{feff}", " \u{feff}[1]"] {
        assert_eq!(post(&server, "echo", body).send().await.failure(), (400, "bad_body".into()), "{body:?}");
    }
}

#[tokio::test]
async fn an_encoded_body_is_415() {
    let server = TestServer::start().await;
    for coding in ["gzip", "br", "identity, deflate", "GZIP"] {
        let refused = post(&server, "note", "1").header("Content-Encoding", coding).send().await;
        assert_eq!(refused.failure(), (415, "bad_body".into()), "{coding}");
        assert_eq!(refused.header("Accept-Encoding"), Some("identity"), "{coding}");
    }
    assert!(server.app.notes.lock().unwrap().is_empty());
    for coding in ["identity", "Identity", ""] {
        assert_eq!(post(&server, "echo", "1").header("Content-Encoding", coding).send().await.body, "1", "{coding:?}");
    }
}

#[tokio::test]
async fn another_transfer_coding_than_chunked_is_501() {
    let server = TestServer::start().await;
    for coding in ["gzip, chunked", "identity, chunked"] {
        for target in ["/events/note", "/events", "/healthz", "/"] {
            let request = HttpRequest::new(server.addr, "POST", target).header("Transfer-Encoding", coding);
            let refused = request.body("1\r\n1\r\n0\r\n\r\n").send().await;
            assert_eq!(refused.failure(), (501, "bad_frame".into()), "{target} {coding}");
        }
    }
    // A coding that is not text, before the header that hyper looks at.
    let mut raw = RawConnection::connect(server.addr).await;
    let head = b"POST /events/note HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: \xe4\r\nTransfer-Encoding: chunked\r\n\r\n";
    raw.send(&[head, &b"1\r\n1\r\n0\r\n\r\n"[..]].concat()).await;
    assert_eq!(raw.read_response().await.failure(), (501, "bad_frame".into()));
    // Without chunks the end of the body is not known.
    let endless = HttpRequest::new(server.addr, "POST", "/events/note").header("Transfer-Encoding", "gzip");
    assert_eq!(endless.body("1").send().await.failure(), (400, "bad_frame".into()));
    assert!(server.app.notes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_request_without_one_valid_host_is_400_on_every_path() {
    let server = TestServer::start().await;
    for target in ["/events/ping", "/events", "/", "/healthz", "/aaw.js", "/nothing"] {
        let request = || HttpRequest::get(server.addr, target);
        assert_eq!(request().without("Host").send().await.failure(), (400, "bad_frame".into()), "{target}");
        assert_eq!(request().replace("Host", "a b").send().await.failure(), (400, "bad_frame".into()), "{target}");
        assert_eq!(request().header("Host", "localhost").send().await.failure().0, 400, "{target}");
    }
    // HTTP/1.0 has no such rule, but only public paths can do without.
    for (target, status) in [("/healthz", "200"), ("/events", "400")] {
        let mut raw = RawConnection::connect(server.addr).await;
        raw.send(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes()).await;
        let response = raw.read_response().await;
        assert_eq!(response.status.to_string(), status, "{target}");
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_parsed_gets_an_error_with_a_body() {
    let server = TestServer::start().await;
    let many_headers: String = (0..101).map(|n| format!("X-{n}: 1\r\n")).collect();
    let host = "Host: localhost\r\n";
    for (request, status, code) in [
        ("\x16\x03\x01\x02 TLS\r\n\r\n".to_owned(), 400, "bad_frame"),
        (format!("GET / HTTP/9.9\r\n{host}\r\n"), 400, "bad_frame"),
        (format!("GET / HTTP/1.1\r\n{host}no colon\r\n\r\n"), 400, "bad_frame"),
        (format!("GET /\x01 HTTP/1.1\r\n{host}\r\n"), 400, "bad_frame"),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: x\r\n\r\n"), 400, "bad_frame"),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(20_000)), 414, "too_large"),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(200_000)), 414, "too_large"),
        (format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "x".repeat(20_000)), 431, "too_large"),
        (format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "x".repeat(200_000)), 431, "too_large"),
        (format!("GET / HTTP/1.1\r\n{host}{many_headers}\r\n"), 431, "too_large"),
    ] {
        let shown: String = request.chars().take(60).collect();
        // The first request of a connection, and a further one.
        for precedes in [false, true] {
            let mut raw = RawConnection::connect(server.addr).await;
            if precedes {
                assert_eq!(post(&server, "ping", "").send_over(&mut raw).await.status, 200);
            }
            raw.send(request.as_bytes()).await;
            let refused = raw.read_response().await;
            assert_eq!(refused.failure(), (status, code.into()), "{shown:?}");
            assert_eq!(refused.header("Connection"), Some("close"), "{shown:?}");
            assert_eq!(refused.header("Content-Type"), Some("application/json"), "{shown:?}");
            assert!(refused.header("Date").is_some(), "{shown:?}");
            raw.expect_end().await;
        }
    }
    // An error of our own, or one of a route, is not touched: it has its own body.
    assert!(post(&server, "ping", "x").send().await.body.contains("not valid JSON"));
}

#[tokio::test]
async fn a_client_that_is_sending_its_body_receives_the_refusal() {
    let server = TestServer::start().await;
    let body = "1".repeat(4 << 20);
    let gzip = post(&server, "echo", &*body).header("Content-Encoding", "gzip");
    for (request, status) in [
        (HttpRequest::post(server.addr, "/healthz", &*body), 405),
        (HttpRequest::post(server.addr, "/nothing", &*body), 404),
        (post(&server, "echo", &*body).method("PUT"), 405),
        (post(&server, "echo", &*body).header("Origin", "https://evil.example"), 403),
        (post(&server, "echo", &*body).without("Host"), 400),
        (gzip, 413),
        (post(&server, "echo", &body[..1 << 20]).header("Content-Encoding", "gzip"), 415),
    ] {
        // Reads only once it has sent everything.
        let refused = request.send().await;
        assert_eq!(refused.status, status, "{refused:?}");
        assert_eq!(refused.header("keep-alive"), None, "{refused:?}");
    }
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
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let stream =
            HttpRequest::new(server.addr, method, "/events/streams/count?body={%22to%22:1,%22gate%22:%22x%22}");
        let response = stream.send_over(&mut raw).await;
        assert_eq!((response.status, response.header("allow")), (405, Some("get, head, post")), "{method}");
        let one_way = HttpRequest::new(server.addr, method, "/events/note").send_over(&mut raw).await;
        assert_eq!((one_way.status, one_way.header("allow")), (405, Some("post")), "{method}");
    }
    assert_eq!(server.app.gate("x").counts().items, 0);
    assert!(server.app.notes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_head_has_the_headers_of_a_get_and_runs_nothing() {
    let server = TestServer::start().await;
    let mut raw = RawConnection::connect(server.addr).await;
    let target = "streams/count?body={%22to%22:1,%22gate%22:%22x%22}";
    let head = |target: &str| get(&server, target).method("HEAD");
    for (accept, kind, buffering) in [
        ("application/json", "application/json", None),
        ("application/x-ndjson", "application/x-ndjson", Some("no")),
        ("text/event-stream", "text/event-stream", Some("no")),
    ] {
        let response = head(target).accept(accept).send_over(&mut raw).await;
        assert_eq!((response.status, response.header("content-type")), (200, Some(kind)));
        assert_eq!(response.header("cache-control"), Some("no-store"), "{accept}");
        assert_eq!(response.header("x-accel-buffering"), buffering, "{accept}");
        // The length of the response to a GET is not known before it has been produced.
        assert_eq!(response.header("content-length"), None, "{accept}");
    }
    assert_eq!(head("streams/count?take=1").send_over(&mut raw).await.header("content-type"), Some("application/json"));
    for (target, status) in [
        ("nothing/here", 404),
        ("streams/count?body=x", 400),
        ("streams/count?take=0", 400),
        ("streams/count?take=1&take=2", 400),
    ] {
        let response = head(target).send_over(&mut raw).await;
        assert_eq!((response.status, get(&server, target).send().await.status), (status, status), "{target}");
    }
    for event in ["ping", "note"] {
        let response = head(event).send_over(&mut raw).await;
        assert_eq!((response.status, response.header("allow")), (405, Some("post")), "{event}");
    }
    assert_eq!(head(target).accept("text/html").send_over(&mut raw).await.status, 406);
    let foreign = head(target).header("Sec-Fetch-Site", "cross-site").send_over(&mut raw).await;
    assert_eq!(foreign.status, 403);
    assert_eq!(server.app.gate("x").counts().items, 0);
    assert!(server.calls.all().iter().all(|call| call["event"] != "note"));
    // The connection is in order: nothing of a body was sent.
    assert_eq!(post(&server, "ping", "").send_over(&mut raw).await.body, r#"{"pong":true}"#);
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
