//! TLS on the server's own port: WebSockets, HTTP/1.1 and HTTP/2, certificates that change, and clients that do not speak
//! TLS, or only begin to.

use std::net::SocketAddr;
use std::time::Duration;

use aaw_client::connect_with;
use aaw_tests::tls::{Authority, Http2Client, connect_with as dial, text};
use aaw_tests::{DEADLINE, HttpRequest, LogCapture, RawConnection, TestServer, until, within};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Starts a server with a certificate of this authority.
async fn start(authority: &Authority) -> TestServer {
    start_with(authority, |_| {}).await
}

async fn start_with(authority: &Authority, change: impl FnOnce(&mut aaw_server::Config)) -> TestServer {
    let tls = authority.tls();
    TestServer::start_with(|config| {
        config.tls = Some(tls);
        change(config);
    })
    .await
}

async fn client(authority: &Authority, addr: SocketAddr) -> aaw_client::Client {
    let config = aaw_client::Config { tls: Some(authority.client(&[])), ..aaw_client::Config::default() };
    connect_with(&format!("wss://localhost:{}", addr.port()), config).await.expect("a connection")
}

/// Reads to the end of a connection.
async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    let _ = within("the end", || "nothing".into(), stream.read_to_end(&mut text)).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_websocket_over_tls_calls_and_streams_megabytes() {
    let authority = Authority::new();
    let mut server = start(&authority).await;
    let client = client(&authority, server.addr).await;
    let ping = client.send_async::<Value>("ping", (), DEADLINE).await;
    assert_eq!(ping, Ok(json!({ "pong": true })));
    // Many times what TLS holds back, in both directions.
    let body = "ü".repeat(400_000);
    assert_eq!(client.send_async::<String>("echo", &body, DEADLINE).await.as_deref(), Ok(body.as_str()));
    let big = async || client.send_async::<String>("big", json!({ "bytes": 1_000_000 }), DEADLINE).await;
    for response in futures_util::future::join_all((0..8).map(|_| big())).await {
        assert_eq!(response.map(|text| text.len()), Ok(1_000_000));
    }
    let mut items = client.stream::<u64>("streams/count", json!({ "to": 100_000 }));
    let mut sum = 0;
    while let Some(item) = items.next().await {
        sum += item.expect("an item");
    }
    assert_eq!(sum, 100_000 * 100_001 / 2);
    server.stop();
    server.stopped().await;
}

#[tokio::test]
async fn clients_without_http2_are_served_by_http1_and_both_tls_versions() {
    let authority = Authority::new();
    let server = start(&authority).await;
    let request = HttpRequest::post(server.addr, "/events/ping", "").header("Connection", "close").bytes();
    for protocols in [&[][..], &["http/1.1"]] {
        let mut stream = authority.connect(server.addr, protocols).await;
        stream.write_all(&request).await.unwrap();
        let response = rest(&mut stream).await;
        assert!(response.starts_with("HTTP/1.1 200") && response.ends_with(r#"{"pong":true}"#), "{response}");
    }
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        let root = std::fs::read(authority.root()).unwrap();
        use rustls::pki_types::pem::PemObject as _;
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&root).unwrap()).unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        let config = std::sync::Arc::new(config);
        for resumed in [false, true] {
            let mut stream = dial(std::sync::Arc::clone(&config), server.addr).await.unwrap();
            let is_resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
            assert_eq!((is_resumed, stream.get_ref().1.protocol_version()), (resumed, Some(version.version)));
            stream.write_all(&request).await.unwrap();
            assert!(rest(&mut stream).await.ends_with(r#"{"pong":true}"#));
        }
    }
}

#[tokio::test]
async fn requests_over_http2_run_side_by_side_and_stream() {
    let authority = Authority::new();
    let server = start(&authority).await;
    let client = Http2Client::connect(&authority, server.addr).await;
    assert_eq!(client.call("ping", "null").await, (200, r#"{"pong":true}"#.into()));
    let held = tokio::spawn({
        let client = client.clone();
        async move { client.call("gate/hold", r#"{"gate":"x"}"#).await }
    });
    until("the handler to run", || server.app.gate("x").counts().came == 1).await;
    let calls = (0..50).map(|index| {
        let client = client.clone();
        async move { client.call("echo", &format!(r#"{{"index":{index}}}"#)).await }
    });
    for (index, response) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(response, (200, format!(r#"{{"index":{index}}}"#)));
    }
    server.app.gate("x").release(1);
    assert_eq!(held.await.unwrap(), (200, r#"{"held":"x"}"#.into()));
    // Larger than all windows.
    let (status, big) = client.call("big", r#"{"bytes":1000000}"#).await;
    assert_eq!((status, big.len()), (200, 1_000_002));
    let request = client.request("/events/streams/count", "{}").header("accept", "text/event-stream");
    let events = client.send(request, r#"{"to":3}"#).await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    assert_eq!(text(events).await.matches("data:").count(), 4);
    let large = format!(r#""{}""#, "x".repeat(2 << 20));
    assert_eq!(client.call("echo", &large).await.0, 413);
}

#[tokio::test]
async fn http2_names_its_host_in_the_authority() {
    let authority = Authority::new();
    let server = start(&authority).await;
    let client = Http2Client::connect(&authority, server.addr).await;
    let status = async |uri: String, host: Option<&str>| {
        let mut request = http::Request::builder().method("POST").uri(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        client.send(request, "null").await.expect("a response").status().as_u16()
    };
    let own = format!("https://localhost:{}/events/ping", server.addr.port());
    assert_eq!(status(own.clone(), None).await, 200);
    assert_eq!(status("https://evil.example/events/ping".into(), None).await, 403);
    assert_eq!(status(own.clone(), Some("evil.example")).await, 400);
    let foreign = client.request("/events/ping", "null").header("origin", "https://evil.example");
    assert_eq!(client.send(foreign, "null").await.unwrap().status(), 403);
    let own_page = client.request("/events/ping", "null").header("origin", own.trim_end_matches("/events/ping"));
    assert_eq!(client.send(own_page, "null").await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_handler_ends_when_its_http2_request_is_cancelled_or_its_connection_breaks() {
    let authority = Authority::new();
    let server = start(&authority).await;
    for (gate, whole_connection) in [("request", false), ("connection", true)] {
        let client = Http2Client::connect(&authority, server.addr).await;
        let body = format!(r#"{{"gate":"{gate}"}}"#);
        let call = tokio::spawn({
            let client = client.clone();
            async move { client.call("gate/hold", &body).await }
        });
        until("the handler to run", || server.app.gate(gate).counts().came == 1).await;
        call.abort();
        if !whole_connection {
            until("the handler to be dropped", || server.app.gate(gate).counts().dropped == 1).await;
            assert_eq!(client.call("ping", "null").await.0, 200);
        }
        drop(client);
        until("the handler to be dropped", || server.app.gate(gate).counts().dropped == 1).await;
    }
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed_and_one_with_a_request_is_not() {
    let authority = Authority::new();
    let server = start_with(&authority, |config| {
        config.keep_alive_timeout = Duration::from_millis(100);
        config.close_timeout = Duration::from_millis(100);
    })
    .await;
    let mut busy = Http2Client::connect(&authority, server.addr).await;
    let held = tokio::spawn({
        let client = busy.clone();
        async move { client.call("gate/hold", r#"{"gate":"x"}"#).await }
    });
    until("the handler to run", || server.app.gate("x").counts().came == 1).await;
    let mut idle = Http2Client::connect(&authority, server.addr).await;
    assert_eq!(idle.call("ping", "null").await.0, 200);
    idle.closed().await;
    server.app.gate("x").release(1);
    assert_eq!(held.await.unwrap().0, 200);
    busy.closed().await;
}

#[tokio::test]
async fn an_http2_request_finishes_when_the_server_stops() {
    let authority = Authority::new();
    let mut server = start(&authority).await;
    let mut idle = Http2Client::connect(&authority, server.addr).await;
    assert_eq!(idle.call("ping", "null").await.0, 200);
    let client = Http2Client::connect(&authority, server.addr).await;
    let held = tokio::spawn({
        let client = client.clone();
        async move { client.call("gate/hold", r#"{"gate":"x"}"#).await }
    });
    until("the handler to run", || server.app.gate("x").counts().came == 1).await;
    server.stop();
    idle.closed().await;
    server.app.gate("x").release(1);
    assert_eq!(held.await.unwrap(), (200, r#"{"held":"x"}"#.into()));
    server.stopped().await;
}

/// The beginning of an HTTP/2 connection, with empty settings.
fn preface() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a POST to /, of which only the authority is not in HPACK's static table.
fn head() -> Vec<u8> {
    [&[0x83, 0x84, 0x87, 0x41, 9][..], b"localhost"].concat()
}

/// Reads frames to the end of the connection. Returns the error code of the GOAWAY frame.
async fn goaway(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<u32> {
    let mut code = None;
    let mut header = [0; 9];
    while within("a frame", || "nothing".into(), stream.read_exact(&mut header)).await.is_ok() {
        let len = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let mut payload = vec![0; len];
        if stream.read_exact(&mut payload).await.is_err() {
            break;
        }
        if header[3] == 7 {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
    }
    code
}

const ENHANCE_YOUR_CALM: u32 = 11;

#[tokio::test]
async fn a_client_that_opens_and_resets_requests_without_end_is_disconnected() {
    let authority = Authority::new();
    let server = start(&authority).await;
    let mut stream = authority.connect(server.addr, &["h2"]).await;
    let mut bytes = preface();
    for index in 0..2000 {
        let id = 2 * index + 1;
        bytes.extend(frame(1, 0b100, id, &head()));
        bytes.extend(frame(3, 0, id, &8_u32.to_be_bytes()));
    }
    // Fails if the server has disconnected it meanwhile.
    let _ = stream.write_all(&bytes).await;
    assert_eq!(goaway(&mut stream).await, Some(ENHANCE_YOUR_CALM));
    assert_eq!(Http2Client::connect(&authority, server.addr).await.call("ping", "null").await.0, 200);
}

#[tokio::test]
async fn a_header_block_without_end_is_ended() {
    let authority = Authority::new();
    let server = start_with(&authority, |config| config.handshake_timeout = Duration::from_millis(300)).await;
    // Byte by byte it would take forever, so it ends by the time-out.
    let mut stalled = authority.connect(server.addr, &["h2"]).await;
    stalled.write_all(&[preface(), frame(1, 0, 1, &head())].concat()).await.unwrap();
    let mut flood = authority.connect(server.addr, &["h2"]).await;
    let mut bytes = [preface(), frame(1, 0, 1, &head())].concat();
    let header = [&[0x00, 1, b'a', 100][..], &[b'x'; 100]].concat();
    for _ in 0..20_000 {
        bytes.extend(frame(9, 0, 1, &header));
    }
    let _ = flood.write_all(&bytes).await;
    rest(&mut flood).await;
    rest(&mut stalled).await;
}

#[tokio::test]
async fn the_number_of_http2_requests_in_progress_is_limited() {
    let authority = Authority::new();
    let server = start_with(&authority, |config| config.max_http2_streams = 2).await;
    let client = Http2Client::connect(&authority, server.addr).await;
    assert_eq!(client.call("ping", "null").await.0, 200);
    let calls = (0..3).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.call("gate/hold", r#"{"gate":"x"}"#).await })
    });
    let calls: Vec<_> = calls.collect();
    until("two handlers to run", || server.app.gate("x").counts().came == 2).await;
    server.app.gate("x").release(1);
    until("the third to run", || server.app.gate("x").counts().came == 3).await;
    server.app.gate("x").release(2);
    for call in calls {
        assert_eq!(call.await.unwrap().0, 200);
    }
}

#[tokio::test]
async fn a_plain_request_on_the_tls_port_learns_what_to_do() {
    let log = LogCapture::start();
    let authority = Authority::new();
    let server = start(&authority).await;
    let response = HttpRequest::get(server.addr, "/").send().await;
    assert_eq!(response.status, 400);
    assert!(response.body.contains("This port speaks TLS. Use https:// or wss://"), "{}", response.body);
    log.expect_line(&["WARN", "refused a connection: plain HTTP on a port that speaks TLS"]);
}

#[tokio::test]
async fn tls_on_a_plain_port_is_logged() {
    let log = LogCapture::start();
    let authority = Authority::new();
    let server = TestServer::start().await;
    dial(authority.client(&[]), server.addr).await.expect_err("the server speaks no TLS");
    log.expect_line(&["WARN", "refused a connection: TLS (https:// or wss://) on a port that speaks plain HTTP"]);
}

#[tokio::test]
async fn a_handshake_has_a_deadline_and_garbage_ends_it() {
    let authority = Authority::new();
    let mut server = start_with(&authority, |config| config.handshake_timeout = Duration::from_millis(200)).await;
    // Says nothing; begins a handshake; says nothing after it.
    RawConnection::connect(server.addr).await.expect_end().await;
    let mut begun = RawConnection::connect(server.addr).await;
    begun.send(&[0x16, 3, 1, 2, 0, 1]).await;
    begun.expect_end().await;
    let mut silent = authority.connect(server.addr, &["http/1.1"]).await;
    assert_eq!(rest(&mut silent).await, "");
    let mut garbage = RawConnection::connect(server.addr).await;
    garbage.send(&[0x16, 9, 9, 0, 5, 1, 2, 3, 4, 5]).await;
    while garbage.take(1).await.is_some() {}
    server.stop();
    server.stopped().await;
}

#[tokio::test]
async fn a_handshake_that_has_begun_does_not_delay_the_stop() {
    let authority = Authority::new();
    let mut server = start(&authority).await;
    let mut begun = RawConnection::connect(server.addr).await;
    begun.send(&[0x16, 3, 1, 2, 0, 1]).await;
    until("the connection to be accepted", || begun.send_now(&[0]) == 1).await;
    server.stop();
    server.stopped().await;
    begun.expect_end().await;
}

/// Sends a request over HTTP/1.1 to a server that refuses its connection. Returns the response.
async fn refused(authority: &Authority, addr: SocketAddr, protocols: &[&str]) -> String {
    let mut stream = authority.connect(addr, protocols).await;
    let expected = (!protocols.is_empty()).then_some(&b"http/1.1"[..]);
    assert_eq!(stream.get_ref().1.alpn_protocol(), expected);
    stream.write_all(&HttpRequest::post(addr, "/events/ping", "").bytes()).await.unwrap();
    rest(&mut stream).await
}

#[tokio::test]
async fn connections_beyond_a_limit_learn_when_to_come_back() {
    let authority = Authority::new();
    for (status, per_address) in [(503, None), (429, Some(1))] {
        let server = start_with(&authority, |config| {
            config.max_connections = if per_address.is_some() { 100 } else { 1 };
            config.max_connections_per_address = per_address;
        })
        .await;
        let served = client(&authority, server.addr).await;
        for protocols in [&[][..], &["http/1.1"], &["h2", "http/1.1"]] {
            let response = refused(&authority, server.addr, protocols).await;
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
            assert!(response.contains("\r\nretry-after: ") && response.contains(r#""code":"busy""#), "{response}");
        }
        let error = dial(authority.client(&["h2"]), server.addr).await.expect_err("HTTP/2 only");
        assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
        let config = aaw_client::Config { tls: Some(authority.client(&[])), ..aaw_client::Config::default() };
        let error = connect_with(&format!("wss://localhost:{}", server.addr.port()), config).await.unwrap_err();
        let aaw_client::ConnectError::Refused { status: refused, retry_after: Some(after), .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*refused, status);
        assert!((5..=10).contains(&after.as_secs()), "{after:?}");
        served.send_async::<Value>("ping", (), DEADLINE).await.expect("it goes on");
    }
}

#[tokio::test]
async fn refused_handshakes_are_limited_in_number_and_time() {
    let authority = Authority::new();
    let server = start_with(&authority, |config| config.max_connections = 1).await;
    let _served = client(&authority, server.addr).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(RawConnection::connect(server.addr).await);
    }
    // An address has eight handshakes at a time. Others have their own.
    RawConnection::connect(server.addr).await.expect_end().await;
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let other = other.connect(server.addr).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(authority.client(&[]));
    let mut other = connector.connect("localhost".try_into().unwrap(), other).await.expect("a handshake");
    other.write_all(&HttpRequest::get(server.addr, "/").bytes()).await.unwrap();
    let response = rest(&mut other).await;
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    for mut silent in silent {
        silent.expect_end().await;
    }
    assert!(refused(&authority, server.addr, &[]).await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn a_new_certificate_applies_to_new_connections_and_a_broken_one_does_not() {
    let authority = Authority::new();
    let tls = authority.tls();
    let server = TestServer::start_with(|config| config.tls = Some(tls.clone())).await;
    let served = async || {
        let stream = authority.connect(server.addr, &[]).await;
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let open = client(&authority, server.addr).await;
    let first = served().await;
    tls.reload().expect("nothing has changed");
    assert_eq!(served().await, first);
    authority.write(&["localhost"]);
    tls.reload().expect("a new certificate");
    let second = served().await;
    assert_ne!(second, first);

    std::fs::write(authority.key(), authority.issue(&["localhost"]).1).unwrap();
    let error = tls.reload().expect_err("the key of another certificate").to_string();
    assert!(error.contains("privkey.pem does not belong to the first certificate in"), "{error}");
    tls.reload().expect("the error is reported once");
    std::fs::write(authority.certificate(), "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
    let error = tls.reload().expect_err("no certificate").to_string();
    assert!(error.contains("fullchain.pem: expected certificates in PEM"), "{error}");
    std::fs::remove_file(authority.certificate()).unwrap();
    let error = tls.reload().expect_err("no file").to_string();
    assert!(error.contains("cannot read") && error.contains("fullchain.pem"), "{error}");
    assert_eq!(served().await, second);
    open.send_async::<Value>("ping", (), DEADLINE).await.expect("an open connection goes on");
}

/// The status of a request for this host.
pub(crate) async fn status_of(authority: &Authority, addr: SocketAddr, host: &str) -> String {
    let mut stream = authority.connect(addr, &[]).await;
    let head = format!("POST /events/ping HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    rest(&mut stream).await.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_names_of_the_certificate_are_those_of_the_server() {
    let authority = Authority::new();
    let tls = authority.tls();
    authority.write(&["localhost", "API.first.example", "*.wild.example"]);
    tls.reload().expect("a certificate");
    assert_eq!(tls.names(), ["localhost", "api.first.example"], "a wildcard may cover the names of others");
    let server = TestServer::start_with(|config| config.tls = Some(tls.clone())).await;
    let status = async |host: &str| status_of(&authority, server.addr, host).await;
    for (host, expected) in [
        ("api.first.example", "200"),
        ("api.First.example:8443", "200"),
        ("a.wild.example", "403"),
        ("wild.example", "403"),
        ("api.second.example", "403"),
    ] {
        assert_eq!(status(host).await, expected, "{host}");
    }

    // Other settings change, then the certificate.
    server.handle.update_config(aaw_server::Config { max_connections: 7, ..aaw_server::Config::default() });
    assert_eq!(status("api.first.example").await, "200");
    authority.write(&["localhost", "api.second.example"]);
    tls.reload().expect("a new certificate");
    assert_eq!((&*status("api.first.example").await, &*status("api.second.example").await), ("403", "200"));
}

/// Takes as long as the interval of the checks.
#[tokio::test]
async fn a_certificate_that_changes_is_noticed_while_the_server_runs() {
    let log = LogCapture::start();
    let authority = Authority::new();
    let server = start(&authority).await;
    let served = async || {
        let stream = authority.connect(server.addr, &[]).await;
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let first = served().await;
    authority.write(&["localhost"]);
    until("the reload", || log.text().contains("reloaded the certificate")).await;
    assert_ne!(served().await, first);
}

#[tokio::test]
async fn files_that_are_no_certificate_and_key_are_refused_with_the_reason() {
    let authority = Authority::new();
    authority.write(&["localhost"]);
    let fails = |certificate: &std::path::Path, key: &std::path::Path, expected: &str| {
        let error = aaw_server::tls::Tls::from_pem_files(certificate, key).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    };
    let (certificate, key) = (authority.certificate(), authority.key());
    fails(&key, &key, "privkey.pem: expected a certificate in PEM");
    fails(&certificate, &certificate, "fullchain.pem: expected a private key in PEM");
    fails(&certificate.with_extension("missing"), &key, "cannot read");
}

#[tokio::test]
async fn a_program_brings_its_own_configuration() {
    use rustls::pki_types::pem::PemObject as _;

    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["localhost"]);
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = vec![rustls::pki_types::CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let tls = aaw_server::tls::Tls::from_config(std::sync::Arc::new(config));
    let server = TestServer::start_with(|config| config.tls = Some(tls)).await;
    let client = client(&authority, server.addr).await;
    client.send_async::<Value>("ping", (), DEADLINE).await.expect("a response");
}

#[tokio::test]
async fn a_websocket_over_tls_receives_pushes() {
    let authority = Authority::new();
    let server = start(&authority).await;
    let client = client(&authority, server.addr).await;
    let mut pushes = client.on("news");
    client.send_async::<Value>("ping", (), DEADLINE).await.expect("a response");
    for number in 0..100 {
        assert_eq!(server.handle.emit("news", number).unwrap(), 1);
    }
    for number in 0..100_u64 {
        let push = within("a push", || "nothing".into(), pushes.next()).await.expect("a push");
        assert_eq!(push.json(), number.to_string());
    }
}
