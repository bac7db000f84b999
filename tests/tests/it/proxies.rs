//! Behind a trusted proxy: the client is the one that the proxy states in its headers. 127.0.0.1 is the proxy here.

use std::time::Duration;

use aaw_server::Config;
use aaw_server::auth::{Auth, PasswordHasher, PasswordHasherConfig, RateLimit, SqliteStore};
use aaw_server::config::ForwardedHeader;
use aaw_test_hooks::_services::App;
use aaw_tests::{HttpRequest, LogCapture, RawConnection, TestServer, until, within};
use futures_util::future::select_all;
use serde_json::json;

/// What a client sends that has seen this page: its own address is appended by the proxy.
const SPOOFED: &str = "198.51.100.1, 10.0.0.1";

fn trust_loopback(config: &mut Config) {
    config.trusted_proxies = vec!["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
}

/// A server with authentication that allows two failed log-ins of a client's address.
async fn auth_server(change: impl FnOnce(&mut Config)) -> (TestServer, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let cheap = PasswordHasherConfig { memory_kib: 64, iterations: 1, threads: 1, max_queued_hashes: 100 };
    let hasher = PasswordHasher::new(&cheap).unwrap();
    let store = SqliteStore::open_with(folder.path().join("auth.sqlite"), hasher).await.unwrap();
    let failed_logins_per_ip = RateLimit::new(2, Duration::from_secs(1000));
    let auth = Auth { failed_logins_per_ip, ..Auth::new(store) };
    let server = TestServer::start_with(|config| {
        config.auth = Some(auth);
        change(config);
    })
    .await;
    (server, folder)
}

/// A log-in that fails, for a new e-mail address each time.
fn log_in(server: &TestServer, number: u32) -> HttpRequest {
    let body = json!({ "email": format!("{number}@example.com"), "password": "wrong horse" }).to_string();
    HttpRequest::post(server.addr, "/events/aaw/login", body)
}

#[tokio::test]
async fn log_ins_are_limited_by_the_client_and_not_by_the_proxy_or_its_connection() {
    let (server, _folder) = auth_server(trust_loopback).await;
    // A connection of the proxy carries the requests of all clients.
    let mut proxy = RawConnection::connect(server.addr).await;
    let mut statuses = Vec::new();
    for (number, client) in [
        "203.0.113.7",
        "203.0.113.7",
        "203.0.113.7",
        "203.0.113.8",
        &format!("{SPOOFED}, 203.0.113.7"),
        "203.0.113.7, 203.0.113.8, 10.0.0.2",
        "203.0.113.8",
        "2001:db8::1",
        "[2001:db8::2]:4711",
        "2001:db8::3",
        "2001:db8:0:1::3",
    ]
    .into_iter()
    .enumerate()
    {
        let request = log_in(&server, number as u32).header("X-Forwarded-For", client);
        statuses.push(request.send_over(&mut proxy).await.status);
    }
    assert_eq!(statuses, [401, 401, 429, 401, 429, 401, 429, 401, 401, 429, 401]);
    // The proxy's own limit is untouched.
    assert_eq!(log_in(&server, 99).send_over(&mut proxy).await.status, 401);
}

#[tokio::test]
async fn a_websocket_has_the_address_of_its_client() {
    let (server, _folder) = auth_server(trust_loopback).await;
    for (client, expected) in [("203.0.113.7", "busy"), ("203.0.113.8", "not_authenticated")] {
        for number in 0..3 {
            let handshake = HttpRequest::handshake(server.addr)
                .header("Sec-WebSocket-Protocol", "aaw.v1")
                .header("X-Forwarded-For", &format!("{SPOOFED}, {client}"));
            let (response, mut raw) = handshake.open_websocket().await;
            assert_eq!(response.status, 101, "{response:?}");
            let body = format!(r#"{{"email":"{client}{number}@b.c","password":"xxxxxx"}}"#);
            raw.send_text(r#"["aaw/hello",{}]"#).await;
            raw.send_text(&format!(r#"["aaw/login",{body},1]"#)).await;
            raw.read_frame().await;
            let response = String::from_utf8(raw.read_frame().await.payload).unwrap();
            if number == 2 || expected == "not_authenticated" {
                assert!(response.contains(expected), "{client} {number}: {response}");
            }
            if expected == "not_authenticated" && number == 1 {
                break;
            }
        }
    }
}

#[tokio::test]
async fn without_a_trusted_proxy_the_headers_mean_nothing() {
    for proxies in [&[][..], &["192.0.2.1"], &["unix"]] {
        let (server, _folder) = auth_server(|config| {
            config.trusted_proxies = proxies.iter().map(|proxy| proxy.parse().unwrap()).collect();
        })
        .await;
        let mut statuses = Vec::new();
        for number in 0..3 {
            let request = log_in(&server, number)
                .header("X-Forwarded-For", &format!("203.0.113.{number}"))
                .header("Forwarded", &format!("for=203.0.113.{number}"));
            statuses.push(request.send().await.status);
        }
        assert_eq!(statuses, [401, 401, 429], "{proxies:?}");
    }
}

#[tokio::test]
async fn only_the_configured_kind_of_header_is_read_and_the_log_names_the_other_one() {
    for (header, read, other) in [
        (ForwardedHeader::XForwardedFor, "X-Forwarded-For: ", "Forwarded: for="),
        (ForwardedHeader::Forwarded, "Forwarded: for=", "X-Forwarded-For: "),
    ] {
        let (server, _folder) = auth_server(|config| {
            trust_loopback(config);
            config.forwarded_header = header;
        })
        .await;
        let with = |number: u32, begin: &str, address: &str| {
            let (name, value) = begin.split_once(": ").unwrap();
            log_in(&server, number).header(name, &format!("{value}{address}"))
        };
        let add = |request: HttpRequest, begin: &str, address: &str| {
            let (name, value) = begin.split_once(": ").unwrap();
            request.header(name, &format!("{value}{address}"))
        };
        let mut statuses = Vec::new();
        for number in 0..3 {
            // A client sends the header that its proxy does not set.
            let request = add(with(number, read, "203.0.113.7"), other, &format!("198.51.100.{number}"));
            statuses.push(request.send().await.status);
        }
        assert_eq!(statuses, [401, 401, 429], "{header}");
        let mut statuses = Vec::new();
        for number in 10..13 {
            statuses.push(with(number, other, &format!("198.51.100.{number}")).send().await.status);
        }
        assert_eq!(statuses, [401, 401, 429], "{header}: the proxy counts as the client");
    }
    let log = LogCapture::start();
    let server = TestServer::start_with(trust_loopback).await;
    HttpRequest::get(server.addr, "/healthz").header("Forwarded", "for=203.0.113.7").send().await;
    log.expect_line(&["WARN", "which is not read", "--forwarded-header forwarded", "peer=127.0.0.1:"]);
}

#[tokio::test]
async fn what_is_logged_and_what_hooks_read_is_the_address_of_the_client() {
    let log = LogCapture::start();
    let app = App::default();
    let events = vec![aaw_test_hooks::module_with(app.clone()).into()];
    let server = TestServer::start_with_events(events, trust_loopback).await;
    let handshake = HttpRequest::handshake(server.addr).header("X-Forwarded-For", "203.0.113.7:4711");
    assert_eq!(handshake.open_websocket().await.0.status, 101);
    let opened = within("_open", String::new, app.openings(1)).await;
    assert_eq!(opened[0]["address"], "203.0.113.7:4711", "{opened:?}");
    log.expect_line(&[
        "connected",
        "peer=203.0.113.7:4711",
        "network.peer.address=127.0.0.1",
        "client.address=203.0.113.7",
    ]);
    let foreign = HttpRequest::post(server.addr, "/events/ping", "")
        .header("Origin", "https://evil.example")
        .header("X-Forwarded-For", "2001:db8::1");
    assert_eq!(foreign.send().await.status, 403);
    log.expect_line(&["WARN", "refused a request", "peer=2001:db8::1 "]);
}

#[tokio::test]
async fn origins_are_compared_with_the_host_that_the_proxy_states() {
    let allow = |config: &mut Config| config.allow_origins = vec!["https://api.example.org".parse().unwrap()];
    let handshake = |server: &TestServer, headers: &[(&str, &str)]| {
        let handshake = HttpRequest::handshake(server.addr).header("Origin", "https://api.example.org:8443");
        headers.iter().fold(handshake, |handshake, (name, value)| handshake.header(name, value))
    };
    let server = TestServer::start_with(|config| {
        trust_loopback(config);
        allow(config);
    })
    .await;
    // nginx with `Host $host` leaves the port out.
    let as_nginx = [("X-Forwarded-Host", "api.example.org:8443"), ("X-Forwarded-Proto", "https")];
    assert_eq!(handshake(&server, &as_nginx).replace("Host", "api.example.org").send().await.status, 101);
    assert_eq!(handshake(&server, &as_nginx).send().await.status, 101, "the proxy's own name for the server");
    let appended = [("X-Forwarded-Host", "evil.example, api.example.org:8443"), ("X-Forwarded-Proto", "https")];
    assert_eq!(handshake(&server, &appended).send().await.status, 101);
    let response = handshake(&server, &[]).replace("Host", "api.example.org").send().await;
    assert!(response.status == 403 && response.body.contains("https://api.example.org:8443"), "{response:?}");
    let foreign = [("X-Forwarded-Host", "evil.example")];
    assert_eq!(handshake(&server, &foreign).send().await.status, 403);
    // Over one connection, whose first request was accepted.
    let mut raw = RawConnection::connect(server.addr).await;
    let post = HttpRequest::post(server.addr, "/events/ping", "");
    assert_eq!(post.send_over(&mut raw).await.status, 200);
    assert_eq!(post.clone().header("X-Forwarded-Host", "evil.example").send_over(&mut raw).await.status, 403);
    assert_eq!(post.send_over(&mut raw).await.status, 200);
    let by_rfc = TestServer::start_with(|config| {
        trust_loopback(config);
        allow(config);
        config.forwarded_header = ForwardedHeader::Forwarded;
    })
    .await;
    let forwarded = r#"for=203.0.113.7;proto=https;host="api.example.org:8443", for=10.0.0.1;host=internal"#;
    assert_eq!(handshake(&by_rfc, &[("Forwarded", forwarded)]).send().await.status, 101);
    assert_eq!(handshake(&by_rfc, &as_nginx).send().await.status, 403);
    // The page is the server's own: only its host has to be allowed.
    let own = TestServer::start_with(|config| {
        trust_loopback(config);
        config.allow_hosts = vec!["api.example.org".parse().unwrap()];
    })
    .await;
    assert_eq!(handshake(&own, &as_nginx).send().await.status, 101);
    let over_http = [("X-Forwarded-Host", "api.example.org:8443"), ("X-Forwarded-Proto", "http")];
    let refused = handshake(&own, &over_http).send().await;
    assert!(refused.status == 403 && refused.body.contains("--trusted-proxy"), "{refused:?}");
    let direct = TestServer::start_with(allow).await;
    assert_eq!(handshake(&direct, &as_nginx).send().await.status, 403);
}

#[tokio::test]
async fn each_client_of_a_proxy_has_a_memory_limit_of_its_own() {
    let server = TestServer::start_with(|config| {
        trust_loopback(config);
        config.max_held_bytes_per_address = 300_000;
    })
    .await;
    // A body that has not arrived whole is held, and so are the buffers of its request, of 56 KiB. What one client holds is within its limit, and more than each connection of
    // the other one holds.
    let begin = async |client: &str, len: usize| {
        let mut raw = RawConnection::connect(server.addr).await;
        let before = HttpRequest::post(server.addr, "/events/ping", "").header("X-Forwarded-For", "192.0.2.99");
        assert_eq!(before.send_over(&mut raw).await.status, 200);
        let request = HttpRequest::post(server.addr, "/events/echo", vec![b'1'; len]).header("X-Forwarded-For", client);
        let bytes = request.bytes();
        let held = server.handle.held_bytes();
        raw.send(&bytes[..bytes.len() - 1]).await;
        (raw, held)
    };
    let (mut modest, _) = begin("203.0.113.8", 80_000).await;
    until("the body of the modest client has arrived", || server.handle.held_bytes() > 100_000).await;
    let mut greedy = Vec::new();
    for _ in 0..3 {
        let (raw, held) = begin("203.0.113.7", 60_000).await;
        greedy.push(raw);
        if greedy.len() < 3 {
            until("its body has arrived", || server.handle.held_bytes() > held + 50_000).await;
        }
    }
    // One of them is refused: its connection ends, or is told.
    let first = select_all(greedy.iter_mut().map(|raw| Box::pin(raw.take(1))));
    within("a connection of the greedy client to be refused", String::new, first).await;
    modest.send(b"1").await;
    assert_eq!(modest.read_response().await.status, 200);
}
