//! The limits of an address behind a trusted proxy, which 127.0.0.1 is here: they are those of the client.

use std::time::{Duration, Instant};

use aaw_server::Config;
use aaw_tests::tls::{Authority, Http2Client, text};
use aaw_tests::{HttpRequest, HttpResponse, LogCapture, RawConnection, TestServer, until};
use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const A: &str = "203.0.113.7";
const B: &str = "203.0.113.8";

async fn behind_proxy(change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start_with(|config| {
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap(), "unix".parse().unwrap()];
        change(config);
    })
    .await
}

fn from(client: &str, request: HttpRequest) -> HttpRequest {
    request.header("X-Forwarded-For", client)
}

fn expect_429(response: &HttpResponse) {
    assert_eq!(response.failure(), (429, "busy".into()), "{response:?}");
    assert!(response.header("retry-after").is_some(), "{response:?}");
}

#[tokio::test]
async fn websockets_count_for_their_client_and_connections_of_the_proxy_for_none() {
    let server = behind_proxy(|config| config.max_connections_per_address = Some(1)).await;
    let shake = |client: &str| from(client, HttpRequest::handshake(server.addr));
    let (response, first) = shake(A).open_websocket().await;
    assert_eq!(response.status, 101);
    let refused = shake(A).send().await;
    expect_429(&refused);
    assert!(refused.body.contains("The limit of connections from your address is reached"), "{refused:?}");
    let (response, _other) = shake(B).open_websocket().await;
    assert_eq!(response.status, 101);
    // The proxy itself keeps several connections open.
    let mut idle = Vec::new();
    for _ in 0..3 {
        let mut raw = RawConnection::connect(server.addr).await;
        let ping = from(A, HttpRequest::post(server.addr, "/events/ping", ""));
        assert_eq!(ping.send_over(&mut raw).await.status, 200);
        idle.push(raw);
    }
    drop(idle);
    drop(first);
    until("the connections have ended", || server.handle.connections() == 1).await;
    assert_eq!(shake(A).send().await.status, 101);
}

#[tokio::test]
async fn handshakes_have_the_rate_of_their_client() {
    let server = behind_proxy(|config| {
        config.contention_delay = Duration::ZERO;
        config.handshake_rate_per_address = 1;
    })
    .await;
    let mut responses = Vec::new();
    for _ in 0..10 {
        responses.push(from(A, HttpRequest::handshake(server.addr)).open_websocket().await.0);
    }
    assert!(responses[..5].iter().all(|response| response.status == 101), "{responses:?}");
    let refused = responses.iter().find(|response| response.status != 101).expect("a refused one");
    expect_429(refused);
    assert_eq!(from(B, HttpRequest::handshake(server.addr)).send().await.status, 101);
}

#[tokio::test]
async fn requests_have_the_rate_of_their_client() {
    let server = behind_proxy(|config| {
        config.contention_delay = Duration::ZERO;
        config.call_rate_per_address = 1;
        config.path_prefix = "/app".parse().unwrap();
    })
    .await;
    // Also those that are rejected by their path, their head or their origin.
    let event = || HttpRequest::post(server.addr, "/app/events/ping", "");
    let missing = || HttpRequest::post(server.addr, "/app/missing", "");
    let second_host = |request: HttpRequest| request.header("Host", "other.example");
    for (number, status, request) in [
        (1, 200, event()),
        (2, 404, missing()),
        (3, 404, HttpRequest::post(server.addr, "/outside", "")),
        (4, 400, second_host(event())),
        (5, 400, second_host(missing())),
        (6, 403, event().header("Origin", "https://other.example")),
        (7, 400, event().header("Upgrade", "websocket")),
    ] {
        let request = from(&format!("203.0.113.{number}"), request);
        let responses = join_all((0..12).map(|_| request.send())).await;
        let refused: Vec<_> = responses.iter().filter(|response| response.status == 429).collect();
        assert!(refused.len() >= 5, "{number}: {responses:?}");
        expect_429(refused[0]);
        assert!(responses.iter().all(|response| [status, 429].contains(&response.status)), "{number}: {responses:?}");
    }
    assert_eq!(from("203.0.113.8", event()).send().await.status, 200);
}

#[tokio::test]
async fn cursors_count_for_their_client() {
    let server = behind_proxy(|config| config.http.max_cursors_per_address = 1).await;
    let mut proxy = RawConnection::connect(server.addr).await;
    let mut statuses = Vec::new();
    for client in [A, A, B] {
        let begin = HttpRequest::post(server.addr, "/events/streams/count?take=1", json!({ "to": 100 }).to_string());
        statuses.push(from(client, begin).send_over(&mut proxy).await.status);
    }
    assert_eq!(statuses, [200, 429, 200]);
}

#[tokio::test]
async fn a_site_with_a_cursor_in_each_of_its_networks_takes_half_of_them_and_displaces_no_other() {
    let server = behind_proxy(|config| {
        (config.http.max_cursors, config.http.max_cursors_per_address) = (8, 3);
    })
    .await;
    let mut proxy = RawConnection::connect(server.addr).await;
    let mut open = async |client: &str| {
        let begin = HttpRequest::post(server.addr, "/events/streams/count?take=1", json!({ "to": 100 }).to_string());
        from(client, begin).send_over(&mut proxy).await
    };
    let mut others = Vec::new();
    for client in [A, B] {
        others.push((client, open(client).await.json()["cursor"].as_str().expect("a cursor").to_owned()));
    }
    let mut statuses = Vec::new();
    for network in 0..6 {
        statuses.push(open(&format!("2001:db8:1:{network}::1")).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
    assert!(open("2001:db8:1:7::1").await.body.contains("This client's /48 network has 4 streams"));
    assert_eq!(open("2001:db8:2:1::1").await.status, 200, "another site");
    for (client, cursor) in others {
        let target = format!("/events/streams/count?take=1&cursor={cursor}");
        let next = from(client, HttpRequest::post(server.addr, &target, "")).send().await;
        assert_eq!(next.status, 200, "{client}");
    }
}

const HEADER: &[u8] = b"PROXY TCP4 203.0.113.7 127.0.0.1 56324 1337\r\n";
/// From the proxy itself.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
const OF_OTHER: &[u8] = b"PROXY TCP4 203.0.113.8 127.0.0.1 56324 1337\r\n";

#[tokio::test]
async fn connections_count_for_the_client_of_the_proxy_protocol() {
    let server = behind_proxy(|config| {
        config.proxy_protocol = true;
        config.max_connections_per_address = Some(1);
    })
    .await;
    let open = async |header: &[u8]| {
        let mut raw = RawConnection::connect(server.addr).await;
        raw.send(header).await;
        let response = HttpRequest::post(server.addr, "/events/ping", "").send_over(&mut raw).await;
        (raw, response)
    };
    let (first, response) = open(HEADER).await;
    assert_eq!(response.status, 200);
    expect_429(&open(HEADER).await.1);
    assert_eq!(open(OF_OTHER).await.1.status, 200);
    drop(first);
    until("the connections have ended", || server.handle.connections() == 0).await;
    assert_eq!(open(HEADER).await.1.status, 200);
}

#[tokio::test]
async fn the_header_of_the_proxy_protocol_is_before_tls() {
    let authority = Authority::new();
    let tls = authority.tls();
    let server = behind_proxy(|config| {
        config.proxy_protocol = true;
        config.max_connections_per_address = Some(1);
        config.tls = Some(tls);
    })
    .await;
    let connect = async || {
        let mut socket = tokio::net::TcpStream::connect(server.addr).await.unwrap();
        socket.write_all(HEADER).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(authority.client(&[]));
        connector.connect("localhost".try_into().unwrap(), socket).await
    };
    let mut stream = connect().await.expect("the handshake succeeds");
    let request = HttpRequest::post(server.addr, "/events/ping", "").header("Connection", "close").bytes();
    let respond = async |stream: &mut tokio_rustls::client::TlsStream<tokio::net::TcpStream>| {
        stream.write_all(&request).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    };
    // The refusal by the client's address, and that by the number of all connections, which precedes the header.
    let refused = respond(&mut connect().await.expect("the handshake succeeds")).await;
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    server.handle.update_config(Config { max_connections: 1, ..(*server.handle.config()).clone() });
    let refused = respond(&mut connect().await.expect("the handshake succeeds")).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    let response = respond(&mut stream).await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
}

/// 3000 refused connections have caused 3000 warnings once.
#[tokio::test]
async fn a_flood_of_refusals_is_logged_once_a_second_and_hides_no_other_warnings() {
    let log = LogCapture::start();
    let server = behind_proxy(|config| {
        config.proxy_protocol = true;
        config.max_connections_per_address = Some(1);
        config.http.max_cursors = 2;
    })
    .await;
    let connect = async |header: &[u8]| {
        let mut raw = RawConnection::connect(server.addr).await;
        raw.send(header).await;
        raw
    };
    let mut first = connect(HEADER).await;
    let ping = HttpRequest::post(server.addr, "/events/ping", "");
    assert_eq!(ping.send_over(&mut first).await.status, 200);
    let began = Instant::now();
    for _ in 0..600 {
        expect_429(&ping.send_over(&mut connect(HEADER).await).await);
    }
    let lines = log.text().lines().filter(|line| line.contains("refused a connection with 429")).count();
    assert!((1..=1 + began.elapsed().as_secs() as usize).contains(&lines), "{lines}");
    connect(b"GET / HTTP/1.1\r\n").await.expect_end().await;
    log.expect_line(&["WARN", "expected a header of the PROXY protocol"]);
    let mut proxy = connect(LOCAL).await;
    let forwarded = HttpRequest::post(server.addr, "/events/ping", "").header("Forwarded", "for=203.0.113.9");
    assert_eq!(forwarded.send_over(&mut proxy).await.status, 200);
    for client in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        let begin = HttpRequest::post(server.addr, "/events/streams/count?take=1", json!({ "to": 100 }).to_string());
        assert_eq!(from(client, begin).send_over(&mut proxy).await.status, 200);
    }
    log.expect_line(&["WARN", "which is not read"]);
    log.expect_line(&["WARN", "the limit of 2 streams that are read by polling is reached"]);
}

/// Calls an event over HTTP/2 for a client. Returns the response, whose body is not read.
async fn send(proxy: &Http2Client, client: &str, event: &str, body: &str) -> http::Response<hyper::body::Incoming> {
    let request = proxy.request(&format!("/events/{event}"), body).header("x-forwarded-for", client);
    proxy.send(request, body).await.expect("a response")
}

/// A proxy sends the requests of several clients over one connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_holds_too_much_loses_its_responses_and_not_the_connection_of_others() {
    let authority = Authority::new();
    let tls = authority.tls();
    let server = behind_proxy(|config| {
        config.tls = Some(tls);
        config.max_held_bytes = 64 << 20;
        config.max_held_bytes_per_address = 8 << 20;
    })
    .await;
    // Each stream may be unread, and the others continue.
    let proxy = async || {
        let windows = |builder: &mut hyper::client::conn::http2::Builder<_>| {
            builder.initial_stream_window_size(32 << 10).initial_connection_window_size(64 << 20);
        };
        Http2Client::connect_with(&authority, server.addr, windows).await
    };
    let (shared, other) = (proxy().await, proxy().await);
    let held = tokio::spawn({
        let proxy = shared.clone();
        async move { send(&proxy, B, "gate/hold", r#"{"gate":"x"}"#).await.status() }
    });
    until("the handler runs", || server.app.gate("x").counts().came == 1).await;
    let large = r#"{"items":10,"bytes":100000}"#;
    // Of an address, the connection that holds least is never refused.
    let kept = send(&other, A, "streams/large", large).await;
    let mut unread = Vec::new();
    for _ in 0..12 {
        // Refused once it holds too much.
        unread.push(send(&shared, A, "streams/large", large).await);
    }
    let mut failed = 0;
    for response in unread {
        let is_large = response.status() == 200;
        failed += usize::from(is_large && response.into_body().collect().await.is_err());
    }
    assert!(failed > 0, "none was ended");
    assert_eq!(text(kept).await.len(), 1_000_031);
    // The connection goes on, for others and for the same client.
    for client in [A, B] {
        assert_eq!(send(&shared, client, "ping", "null").await.status(), 200);
    }
    server.app.gate("x").release(1);
    assert_eq!(held.await.unwrap(), 200);
    until("nothing is held", || server.handle.held_bytes() == 0).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_proxy_on_a_unix_socket_states_the_client() {
    for proxy_protocol in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aaw.sock");
        let listen = vec![format!("unix:{}", path.display()).parse().unwrap()];
        let config = Config {
            listen,
            proxy_protocol,
            trusted_proxies: vec!["unix".parse().unwrap()],
            max_connections_per_address: Some(1),
            ..Config::default()
        };
        let bound = aaw_server::Server::new(config).events(aaw_test_events::module()).bind().await.unwrap();
        let serving = tokio::spawn(bound.serve(std::future::pending()));
        let shake = async |client: &str| {
            let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
            let mut request = HttpRequest::handshake(([127, 0, 0, 1], 1337).into());
            if proxy_protocol {
                stream.write_all(format!("PROXY TCP4 {client} 127.0.0.1 5 80\r\n").as_bytes()).await.unwrap();
            } else {
                request = from(client, request);
            }
            stream.write_all(&request.bytes()).await.unwrap();
            let mut begin = [0; 12];
            stream.read_exact(&mut begin).await.unwrap();
            (stream, String::from_utf8(begin[9..].to_vec()).unwrap())
        };
        let (_first, status) = shake(A).await;
        assert_eq!(status, "101");
        assert_eq!(shake(A).await.1, "429");
        assert_eq!(shake(B).await.1, "101");
        serving.abort();
    }
}
