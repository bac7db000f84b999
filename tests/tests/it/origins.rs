//! Origins, hosts and the WebSocket handshake: which connections are accepted, and how others are refused.

use aaw_server::Config;
use aaw_tests::{HttpRequest, HttpResponse, LogCapture, RawConnection, TestServer};

fn allow(origins: &'static [&'static str]) -> impl FnOnce(&mut Config) {
    move |config| config.allow_origins = origins.iter().map(|origin| origin.parse().expect("an origin")).collect()
}

fn allow_hosts(hosts: &'static [&'static str]) -> impl FnOnce(&mut Config) {
    move |config| config.allow_hosts = hosts.iter().map(|host| host.parse().expect("a host")).collect()
}

/// Sends a handshake with this `Origin` and this `Host`. `PORT` in them stands for the port of the server.
async fn shake_hands(server: &TestServer, origin: Option<&str>, host: Option<&str>) -> HttpResponse {
    let mut handshake = HttpRequest::handshake(server.addr);
    if let Some(host) = host {
        handshake = handshake.replace("Host", &host.replace("PORT", &server.addr.port().to_string()));
    }
    if let Some(origin) = origin {
        handshake = handshake.header("Origin", &origin.replace("PORT", &server.addr.port().to_string()));
    }
    handshake.send().await
}

async fn check(server: &TestServer, origin: Option<&str>, host: Option<&str>, status: u16) -> String {
    let response = shake_hands(server, origin, host).await;
    assert_eq!(response.status, status, "{origin:?} {host:?}: {response:?}");
    response.body
}

// --- Origins ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn programs_and_pages_from_loopback_may_connect() {
    let server = TestServer::start().await;
    for origin in [
        None,
        Some("http://127.0.0.1:PORT"),
        Some("http://localhost:5173"),
        Some("https://localhost"),
        Some("http://[::1]:3000"),
        Some("http://app.localhost"),
        Some("HTTP://LocalHost:5173"),
    ] {
        check(&server, origin, None, 101).await;
    }
    check(&server, Some("http://127.0.0.1:5173"), Some("localhost:PORT"), 101).await;
}

#[tokio::test]
async fn foreign_origins_are_refused_and_the_error_and_the_log_name_the_flag() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    for origin in
        ["https://evil.example", "http://localhost.evil.example", "http://127.0.0.1.evil.example", "https://x:1"]
    {
        let body = check(&server, Some(origin), None, 403).await;
        assert!(body.contains(&format!("--allow-origin {origin}")), "{body}");
    }
    // Only the first is logged: such warnings are limited to one a second.
    log.expect_line(&["WARN", "--allow-origin https://evil.example"]);
    let server = TestServer::start().await;
    for origin in ["", "nonsense", "http://", "file:///etc/passwd", "http://u@localhost"] {
        let body = check(&server, Some(origin), None, 403).await;
        // No flag would allow it.
        assert!(body.contains("not valid") && !body.contains("--allow-origin"), "{body}");
    }
    check(&server, Some("chrome-extension://localhost"), None, 403).await;
}

#[tokio::test]
async fn pages_opened_as_files_may_connect_only_if_they_are_allowed() {
    let closed = TestServer::start().await;
    for (origin, advice) in [("null", "--allow-origin null"), ("file://", "--allow-origin file://")] {
        let body = check(&closed, Some(origin), None, 403).await;
        assert!(body.trim_end().ends_with(advice), "{body}");
        let server = TestServer::start_with(move |config| config.allow_origins = vec![origin.parse().unwrap()]).await;
        check(&server, Some(origin), None, 101).await;
        check(&server, Some("https://any.example"), None, 403).await;
        let response = HttpRequest::post(server.addr, "/events/ping", "").header("Origin", origin).send().await;
        assert_eq!((response.status, response.header("access-control-allow-origin")), (200, Some(origin)));
    }
    let all = TestServer::start_with(allow(&["*"])).await;
    for origin in ["null", "file://", "chrome-extension://abcdef", "https://any.example"] {
        check(&all, Some(origin), None, 101).await;
    }
}

#[tokio::test]
async fn a_proxy_that_leaves_out_the_port_of_the_host_is_told_what_allows_its_pages() {
    let (origin, host) = ("https://app.example:8443", "app.example");
    let closed = TestServer::start().await;
    let body = check(&closed, Some(origin), Some(host), 403).await;
    assert!(body.trim_end().ends_with("--allow-origin https://app.example:8443"), "{body}");
    let server = TestServer::start_with(allow(&["https://app.example:8443"])).await;
    check(&server, Some(origin), Some(host), 101).await;
    check(&server, None, Some(host), 101).await;
    let other_port = check(&server, Some("https://app.example"), Some(host), 403).await;
    assert!(other_port.contains("arrived over http"), "{other_port}");
    check(&server, Some("https://other.example"), Some(host), 403).await;
}

#[tokio::test]
async fn allowed_origins_may_connect() {
    let server = TestServer::start_with(allow(&["https://app.example", "http://dev.example:5173"])).await;
    check(&server, Some("https://app.example"), None, 101).await;
    check(&server, Some("https://app.example:443"), None, 101).await;
    check(&server, Some("http://dev.example:5173"), None, 101).await;
    check(&server, Some("http://app.example"), None, 403).await;
    check(&server, Some("https://app.example:8443"), None, 403).await;
    check(&server, Some("https://sub.app.example"), None, 403).await;
    let all = TestServer::start_with(allow(&["*"])).await;
    check(&all, Some("https://any.example"), None, 101).await;
}

#[tokio::test]
async fn an_origin_with_the_scheme_and_the_host_of_the_request_may_connect() {
    let server = TestServer::start_with(allow_hosts(&["shop.example"])).await;
    check(&server, Some("http://shop.example"), Some("shop.example"), 101).await;
    check(&server, Some("http://shop.example:8080"), Some("shop.example:8080"), 101).await;
    check(&server, Some("http://shop.example"), Some("shop.example:8080"), 403).await;
    check(&server, Some("https://evil.example"), Some("shop.example"), 403).await;
    check(&server, Some("http://localhost:5173"), Some("shop.example"), 403).await;
    check(&server, Some("http://localhost:5173"), Some("127.0.0.1:PORT"), 101).await;
    // Behind a proxy with TLS that does not tell.
    let body = check(&server, Some("https://shop.example"), Some("shop.example"), 403).await;
    assert!(body.contains("over http") && body.trim_end().ends_with("--allow-origin https://shop.example"), "{body}");
    let server = TestServer::start_with(allow(&["https://shop.example"])).await;
    check(&server, Some("https://shop.example"), Some("shop.example"), 101).await;
}

#[tokio::test]
async fn a_foreign_host_is_refused_on_every_address() {
    let log = LogCapture::start();
    for bind in ["127.0.0.1", "0.0.0.0"] {
        let server = TestServer::start_with(move |config| config.host = bind.into()).await;
        let port = server.addr.port();
        let addr = ([127, 0, 0, 1], port).into();
        for host in ["evil.example", "evil.example:PORT", "localhost.evil.example"] {
            let host = host.replace("PORT", &port.to_string());
            let name = host.split(':').next().unwrap();
            let refused = HttpRequest::handshake(addr).replace("Host", &host).send().await;
            assert_eq!(refused.status, 403, "{bind} {host}");
            assert!(refused.body.trim_end().ends_with(&format!("--allow-host {name}")), "{}", refused.body);
            let call = HttpRequest::post(addr, "/events/ping", "").replace("Host", &host);
            let refused = call.send().await;
            assert_eq!(refused.failure(), (403, "not_allowed".into()), "{bind} {host}");
            assert!(refused.body.contains(&format!("--allow-host {name}")), "{}", refused.body);
            // As a page whose name resolves to the server (DNS rebinding).
            let origin = format!("http://{host}");
            assert_eq!(call.header("Origin", &origin).send().await.status, 403, "{bind} {host}");
            assert_eq!(HttpRequest::get(addr, "/").replace("Host", &host).send().await.status, 403, "{bind} {host}");
        }
        for host in [
            "localhost",
            "LOCALHOST:9",
            "127.0.0.1:9",
            "[::1]",
            "x.localhost",
            "localhost.",
            "192.168.1.1",
            "10.0.0.1:80",
        ] {
            let accepted = HttpRequest::handshake(addr).replace("Host", host).send().await;
            assert_eq!(accepted.status, 101, "{bind} {host}");
        }
    }
    log.expect_line(&["WARN", "evil.example", "--allow-host"]);
}

#[tokio::test]
async fn a_host_can_be_allowed_by_its_name_or_by_the_origin_of_its_pages() {
    let server = TestServer::start_with(allow_hosts(&["api.example", "*.shop.example"])).await;
    for host in ["api.example", "API.example:8080", "a.shop.example"] {
        check(&server, None, Some(host), 101).await;
    }
    for host in ["other.example", "shop.example", "x.api.example"] {
        check(&server, None, Some(host), 403).await;
    }
    let server = TestServer::start_with(allow(&["https://app.example"])).await;
    check(&server, Some("https://app.example"), Some("app.example"), 101).await;
    check(&server, None, Some("app.example"), 101).await;
    check(&server, None, Some("other.example"), 403).await;
    let star = TestServer::start_with(allow(&["*"])).await;
    check(&star, Some("http://evil.example"), Some("evil.example"), 403).await;
    let star = TestServer::start_with(allow_hosts(&["*"])).await;
    check(&star, None, Some("any.example"), 101).await;
    check(&star, Some("http://evil.example"), Some("any.example"), 403).await;
}

#[tokio::test]
async fn the_name_that_the_server_listens_on_is_allowed() {
    let server = TestServer::start_with(|config| config.host = "localhost".into()).await;
    check(&server, None, Some("localhost:PORT"), 101).await;
    check(&server, None, Some("other.example"), 403).await;
}

#[tokio::test]
async fn a_request_without_a_valid_host_is_refused() {
    let server = TestServer::start().await;
    for host in ["", "a b", "localhost:port", "user@localhost", "[::1"] {
        check(&server, None, Some(host), 400).await;
    }
    let response = HttpRequest::handshake(server.addr).without("Host").send().await;
    assert_eq!((response.status, &*response.body), (400, "Expected one valid Host header\n"));
}

#[tokio::test]
async fn a_request_with_two_origins_or_two_hosts_is_refused() {
    let server = TestServer::start().await;
    let two = HttpRequest::handshake(server.addr).header("Host", "evil.example");
    assert_eq!(two.send().await.status, 400);
    let two = HttpRequest::handshake(server.addr)
        .header("Origin", "http://localhost")
        .header("Origin", "https://evil.example");
    assert_eq!(two.send().await.status, 400);
}

#[tokio::test]
async fn each_request_of_a_connection_is_checked_whatever_was_accepted_before() {
    let server = TestServer::start().await;
    let ping = || HttpRequest::post(server.addr, "/events/ping", "");
    let foreign = format!("http://evil.example:{}/events/ping", server.addr.port());
    let is_encoded = ping().without("Content-Length").header("Transfer-Encoding", "gzip, chunked").body("0\r\n\r\n");
    for (later, status) in [
        (ping(), 200),
        (ping().replace("Host", "LOCALHOST"), 200),
        (ping().replace("Host", "evil.example"), 403),
        (ping().replace("Host", "a b"), 400),
        (ping().without("Host"), 400),
        (ping().header("Host", "evil.example"), 400),
        (ping().header("Origin", "https://evil.example"), 403),
        (HttpRequest::post(server.addr, &foreign, ""), 403),
        (is_encoded, 501),
        (HttpRequest::handshake(server.addr), 101),
        (HttpRequest::handshake(server.addr).replace("Host", "evil.example"), 403),
        (HttpRequest::handshake(server.addr).header("Origin", "https://evil.example"), 403),
    ] {
        let mut raw = RawConnection::connect(server.addr).await;
        for _ in 0..2 {
            assert_eq!(ping().send_over(&mut raw).await.status, 200);
        }
        let response = later.send_over(&mut raw).await;
        assert_eq!(response.status, status, "{response:?}");
    }
    // A host that was refused does not become one that was accepted.
    let mut raw = RawConnection::connect(server.addr).await;
    for _ in 0..2 {
        let refused = ping().replace("Host", "evil.example").send_over(&mut raw).await;
        assert_eq!((refused.status, refused.header("connection")), (403, Some("keep-alive")));
    }
    assert_eq!(ping().send_over(&mut raw).await.status, 200);
}

// --- The handshake ---------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_handshake_response_conforms_to_rfc_6455() {
    let server = TestServer::start().await;
    let response = HttpRequest::handshake(server.addr).send().await;
    assert_eq!(response.status, 101);
    // The example of RFC 6455, 1.3.
    assert_eq!(response.header("Sec-WebSocket-Accept"), Some("s3pplmbitxaq9kygzzhzrbk+xoo="));
    assert_eq!(response.header("Upgrade"), Some("websocket"));
    assert_eq!(response.header("Connection"), Some("upgrade"));
    assert_eq!(response.header("Sec-WebSocket-Extensions"), None);
    assert_eq!(response.header("Sec-WebSocket-Protocol"), None);
}

#[tokio::test]
async fn header_values_ignore_case_and_may_be_lists() {
    let server = TestServer::start().await;
    let handshake = HttpRequest::handshake(server.addr)
        .replace("Connection", "keep-alive, UPGRADE")
        .replace("Upgrade", "h2c, WebSocket")
        .header("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
    let response = handshake.send().await;
    assert_eq!((response.status, response.header("Sec-WebSocket-Extensions")), (101, None));
}

#[tokio::test]
async fn the_sub_protocol_and_the_client_key_are_selected_from_the_offer() {
    let server = TestServer::start().await;
    for (offered, chosen, key) in [
        (&["_5d2c, aaw.v1"][..], Some("aaw.v1"), Some("_5d2c")),
        (&["aaw.v1"], Some("aaw.v1"), None),
        (&["aaw.v1,x"], Some("aaw.v1"), Some("x")),
        (&["a", "aaw.v1"], Some("aaw.v1"), Some("a")),
        (&["_61508661773441849"], Some("_61508661773441849"), Some("_61508661773441849")),
        (&["_6+1.5-e"], Some("_6+1.5-e"), Some("_6+1.5-e")),
        (&["a,b , c"], Some("a"), Some("a")),
        (&["a", "b"], Some("a"), Some("a")),
        (&["aaw.v2"], Some("aaw.v2"), Some("aaw.v2")),
        (&[], None, None),
    ] {
        let mut handshake = HttpRequest::handshake(server.addr);
        for value in offered {
            handshake = handshake.header("Sec-WebSocket-Protocol", value);
        }
        let (response, mut raw) = handshake.open_websocket().await;
        assert_eq!((response.status, response.header("Sec-WebSocket-Protocol")), (101, chosen), "{offered:?}");
        if chosen == Some("aaw.v1") {
            raw.send_text(r#"["aaw/hello",{}]"#).await;
            assert!(raw.read_frame().await.payload.starts_with(br#"["aaw/welcome","#));
        }
        let event = format!("unknown {offered:?}");
        raw.send_text(&format!("[{},null]", serde_json::Value::from(event.as_str()))).await;
        assert_eq!(server.calls.first_of(&event).await["client_key"], serde_json::Value::from(key), "{offered:?}");
    }
}

#[tokio::test]
async fn an_invalid_handshake_is_refused_with_the_reason() {
    let server = TestServer::start().await;
    let valid = || HttpRequest::handshake(server.addr);

    let other_version = valid().replace("Sec-WebSocket-Version", "8").send().await;
    assert_eq!((other_version.status, other_version.header("Sec-WebSocket-Version")), (426, Some("13")));
    assert_eq!(valid().without("Sec-WebSocket-Version").send().await.status, 426);

    let no_key = valid().without("Sec-WebSocket-Key").send().await;
    assert_eq!(no_key.status, 400);
    assert_eq!(no_key.body, "Expected Sec-WebSocket-Key: 16 bytes in base64\n");
    for key in [
        "",
        "short",
        "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
        "!!!!!!!!!!!!!!!!!!!!!!==",
        "dGhlIHNhbXBsZSBub25jZQ=a",
        "dGhlIHNhbXBsZSBub25j ZQ==",
        "dGhlIHNhbXBsZSBub25=ZQ==",
        "dGhlIHNhbXBsZSBub25j_Q==",
        "AAAAAAAAAAAAAAAAAAAAAAA=",
    ] {
        assert_eq!(valid().replace("Sec-WebSocket-Key", key).send().await.body, no_key.body, "{key:?}");
    }
    let two_keys = valid().header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==").send().await;
    assert_eq!((two_keys.status, two_keys.body), (400, no_key.body));
    let two_versions = valid().header("Sec-WebSocket-Version", "8").send().await;
    assert_eq!(two_versions.status, 426);

    for protocol in ["a b", "aaw.v1, a b", "a\u{e4}", "(a)", "a;q=1", "\"a\"", "a@b", "a/b", "a\tb"] {
        let refused = valid().header("Sec-WebSocket-Protocol", protocol).send().await;
        assert_eq!(refused.status, 400, "{protocol:?}: {refused:?}");
        assert!(refused.body.starts_with("Expected Sec-WebSocket-Protocol: tokens"), "{}", refused.body);
    }
    // The other headers of the offer do not hide it, and empty elements are no error (RFC 9110, 5.6.1).
    let later = valid().header("Sec-WebSocket-Protocol", "aaw.v1").header("Sec-WebSocket-Protocol", "a b");
    assert_eq!(later.send().await.status, 400);
    assert_eq!(valid().header("Sec-WebSocket-Protocol", ", aaw.v1,").send().await.status, 101);

    let post = valid().method("POST").send().await;
    assert_eq!(post.status, 400);
    assert!(post.body.contains("must be a GET"), "{}", post.body);
    assert_eq!(valid().replace("Connection", "close").send().await.status, 400);
}

#[tokio::test]
async fn a_refused_handshake_closes_the_connection() {
    let server = TestServer::start().await;
    let (refused, mut raw) =
        HttpRequest::handshake(server.addr).header("Origin", "https://evil.example").open_websocket().await;
    assert_eq!((refused.status, refused.header("Connection")), (403, Some("close")));
    raw.expect_end().await;
}

#[tokio::test]
async fn bytes_that_are_not_http_do_not_stop_the_server() {
    let server = TestServer::start().await;
    for garbage in [&b"\x16\x03\x01\x02\x00 a TLS hello"[..], b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[0; 100]] {
        let mut raw = RawConnection::connect(server.addr).await;
        raw.try_send(garbage).await;
        raw.finish().await;
        while raw.take(1).await.is_some() {}
    }
    // A header that never ends.
    let mut raw = RawConnection::connect(server.addr).await;
    let mut long = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec();
    long.extend([b'x'; 100_000]);
    raw.try_send(&long).await;
    raw.finish().await;
    while raw.take(1).await.is_some() {}
    server.classic().await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}
