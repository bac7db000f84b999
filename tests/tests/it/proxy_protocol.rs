//! The PROXY protocol: a proxy states the client in the first bytes of a connection.

use std::net::Ipv4Addr;
use std::time::Duration;

use aaw_server::{Config, Server, StartError};
use aaw_tests::{HttpRequest, LogCapture, RawConnection, TestServer, WireClient};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 127.0.0.1 56324 1337\r\n";

/// From 203.0.113.7:56324, with a TLV behind the addresses.
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x13\xcb\x00\x71\x07\x7f\x00\x00\x01\xdc\x04\x05\x39\x04\x00\x04abcd";

/// A health check of the proxy itself.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

fn behind_proxy(config: &mut Config) {
    config.proxy_protocol = true;
    config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
}

async fn connect(server: &TestServer, header: &[u8]) -> RawConnection {
    let mut raw = RawConnection::connect(server.addr).await;
    raw.send(header).await;
    raw
}

#[tokio::test]
async fn both_versions_state_the_client_of_websockets_and_of_requests() {
    let log = LogCapture::start();
    let server = TestServer::start_with(behind_proxy).await;
    for (header, client) in [(V1, "203.0.113.7:56324"), (V2, "203.0.113.7:56324"), (LOCAL, "127.0.0.1:")] {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(header).await.unwrap();
        let mut client_of_proxy = WireClient::connect_over(stream, server.addr, Some("_key")).await;
        client_of_proxy.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
        client_of_proxy.close().await;
        log.expect_line(&["connected", &format!("peer={client}")]);
        let mut raw = connect(&server, header).await;
        for _ in 0..2 {
            let response = HttpRequest::post(server.addr, "/events/ping", "").send_over(&mut raw).await;
            assert_eq!((response.status, response.body.as_str()), (200, r#"{"pong":true}"#));
        }
    }
    // The header and the request in one segment, and a header that arrives byte by byte.
    let request = HttpRequest::post(server.addr, "/events/ping", "").bytes();
    let mut raw = connect(&server, &[V2, &request].concat()).await;
    assert_eq!(raw.read_response().await.status, 200);
    let mut raw = RawConnection::connect(server.addr).await;
    for byte in V1 {
        raw.send(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    raw.send(&request).await;
    assert_eq!(raw.read_response().await.status, 200);
}

#[tokio::test]
async fn the_client_that_the_header_states_may_be_a_proxy_itself() {
    let log = LogCapture::start();
    let server = TestServer::start_with(|config| {
        behind_proxy(config);
        config.trusted_proxies.push("203.0.113.7".parse().unwrap());
    })
    .await;
    let mut raw = connect(&server, V1).await;
    let handshake = HttpRequest::handshake(server.addr).header("X-Forwarded-For", "192.0.2.1, 198.51.100.1");
    assert_eq!(handshake.send_over(&mut raw).await.status, 101);
    log.expect_line(&["connected", "peer=198.51.100.1"]);
    // Not trusted for its headers, unless it is listed.
    let server = TestServer::start_with(behind_proxy).await;
    let mut raw = connect(&server, V1).await;
    assert_eq!(handshake.send_over(&mut raw).await.status, 101);
    assert_eq!(log.text().matches("peer=203.0.113.7:56324").count(), 1, "{}", log.text());
}

#[tokio::test]
async fn headers_of_a_client_whose_address_the_proxy_does_not_know_are_not_believed() {
    let log = LogCapture::start();
    let server = TestServer::start_with(behind_proxy).await;
    let handshake = HttpRequest::handshake(server.addr).header("X-Forwarded-For", "198.51.100.1");
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    for (header, peer) in [(&b"PROXY UNKNOWN\r\n"[..], "peer=127.0.0.1:"), (local, "peer=198.51.100.1")] {
        let mut raw = connect(&server, header).await;
        assert_eq!(handshake.send_over(&mut raw).await.status, 101);
        log.expect_line(&["connected", peer]);
    }
    assert_eq!(log.text().matches("peer=198.51.100.1").count(), 1, "only the proxy's own: {}", log.text());
}

#[tokio::test]
async fn a_connection_without_a_valid_header_is_closed_and_the_log_says_why() {
    let log = LogCapture::start();
    let server = TestServer::start_with(behind_proxy).await;
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"PROXY TCP4 203.0.113.7 127.0.0.1 56324\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x02ab",
    ] {
        connect(&server, bytes).await.expect_end().await;
    }
    log.expect_line(&["WARN", "refused a connection: expected a header of the PROXY protocol", "peer=127.0.0.1:"]);
    // Throttled: three within a second.
    assert_eq!(log.text().matches("refused a connection").count(), 1, "{}", log.text());
    assert_eq!(server.handle.connections(), 0);
}

#[tokio::test]
async fn a_header_that_does_not_arrive_ends_the_connection_after_the_handshake_timeout() {
    let server = TestServer::start_with(|config| {
        behind_proxy(config);
        config.handshake_timeout = Duration::from_millis(200);
        config.max_connections = 1;
    })
    .await;
    for begin in [&b""[..], b"PROXY TCP4 1.2.3.4", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"] {
        connect(&server, begin).await.expect_end().await;
    }
    // Each had a place among the connections, which is free again.
    let mut raw = connect(&server, V1).await;
    assert_eq!(HttpRequest::get(server.addr, "/healthz").send_over(&mut raw).await.status, 200);
}

#[tokio::test]
async fn only_trusted_proxies_may_connect() {
    let log = LogCapture::start();
    let server = TestServer::start_with(behind_proxy).await;
    let mut raw = RawConnection::connect_from(Ipv4Addr::new(127, 0, 0, 2), server.addr).await;
    raw.try_send(V1).await;
    raw.expect_end().await;
    log.expect_line(&["WARN", "only proxies of --trusted-proxy may connect", "peer=127.0.0.2:"]);
}

#[tokio::test]
async fn a_server_without_a_trusted_proxy_does_not_start() {
    let config = Config { port: 0, proxy_protocol: true, ..Config::default() };
    assert!(matches!(config.probe().await, Err(StartError::ProxyProtocol)));
    let error = Server::new(config).bind().await.expect_err("no proxy is trusted");
    assert!(error.to_string().contains("--trusted-proxy"), "{error}");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_header() {
    let mut server = TestServer::start_with(behind_proxy).await;
    let mut waiting = connect(&server, b"PROXY ").await;
    let mut open = connect(&server, V1).await;
    assert_eq!(HttpRequest::get(server.addr, "/healthz").send_over(&mut open).await.status, 200);
    server.stop();
    waiting.expect_end().await;
    server.stopped().await;
}
