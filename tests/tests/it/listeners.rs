//! Where a server listens: several addresses, IPv6, Unix sockets, sockets of a service manager.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use aaw_server::{BoundAddress, Config, Server, StartError};
use aaw_tests::cargo::artifacts;
use aaw_tests::{HttpRequest, Process, RawConnection, TestServer, WireClient, until, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixDatagram, UnixStream};
use tokio::process::Command;

use crate::binary;

/// A config that listens on these addresses.
fn on(addresses: &[&str]) -> Config {
    let listen = addresses.iter().map(|address| address.parse().expect("an address")).collect();
    Config { listen, port: 0, ..Config::default() }
}

fn tcp(address: &BoundAddress) -> SocketAddr {
    match address {
        BoundAddress::Tcp(address) => *address,
        other => panic!("{other} is no TCP address"),
    }
}

/// Sends a request for an event over a Unix socket, and returns the response.
async fn ping(path: &std::path::Path) -> String {
    let mut stream = UnixStream::connect(path).await.expect("the server listens");
    let request = "POST /events/ping HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut response = String::new();
    within("a response", || "nothing".into(), stream.read_to_string(&mut response)).await.expect("a response");
    response
}

#[tokio::test]
async fn several_addresses_are_served_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aaw.sock");
    let mut config = on(&["127.0.0.1", "[::1]:0", &format!("unix:{}", path.display())]);
    config.unix_socket_mode = 0o600;
    let bound = Server::new(config).events(aaw_test_events::module()).bind().await.unwrap();
    let [v4, v6, unix] = bound.addresses() else { panic!("{:?}", bound.addresses()) };
    assert_eq!(*unix, BoundAddress::Unix(path.clone()));
    let (v4, v6) = (tcp(v4), tcp(v6));
    assert_eq!((bound.local_addr(), v6.ip()), (v4, Ipv6Addr::LOCALHOST.into()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(bound.serve(async { drop(stopped.await) }));
    for address in [v4, v6] {
        let response = HttpRequest::post(address, "/events/ping", "").send().await;
        assert_eq!((response.status, &*response.body), (200, r#"{"pong":true}"#));
        WireClient::connect_v1(address).await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    }
    let response = ping(&path).await;
    assert!(response.starts_with("HTTP/1.1 200") && response.ends_with(r#"{"pong":true}"#), "{response}");
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn every_interface_of_ipv6_includes_ipv4_unless_that_is_listed() {
    let bound = Server::new(on(&["::"])).bind().await.unwrap();
    let port = bound.local_addr().port();
    tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("IPv4");
    tokio::net::TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.expect("IPv6");
    drop(bound);
    let both = Server::new(on(&[&format!("0.0.0.0:{port}"), &format!("[::]:{port}")])).bind().await.unwrap();
    let addresses: Vec<_> = both.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, [format!("0.0.0.0:{port}"), format!("[::]:{port}")]);
}

#[tokio::test]
async fn a_websocket_over_a_unix_socket_is_served_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aaw.sock");
    let listen = vec![format!("unix:{}", path.display()).parse().unwrap()];
    let mut server = TestServer::start_with(|config| config.listen = listen).await;
    assert_eq!(server.addr, (Ipv4Addr::UNSPECIFIED, 0).into());
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream
        .write_all(&HttpRequest::handshake(server.addr).header("Sec-WebSocket-Protocol", "_key").bytes())
        .await
        .unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(within("the handshake", || format!("{read:?}"), stream.read_u8()).await.unwrap());
    }
    assert!(read.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&read));
    until("the connection to be open", || server.handle.connections() == 1).await;
    stream.write_all(&aaw_tests::raw::masked(aaw_tests::raw::TEXT, br#"["ping",null,1]"#)).await.unwrap();
    let mut frame = vec![0; 2];
    stream.read_exact(&mut frame).await.unwrap();
    let mut payload = vec![0; frame[1].into()];
    stream.read_exact(&mut payload).await.unwrap();
    assert!(String::from_utf8_lossy(&payload).contains(r#"{"pong":true}"#), "{payload:?}");
    server.stop();
    let mut rest = Vec::new();
    within("the end", || "nothing".into(), stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest[..4], [0x88, rest[1], 3, 0xE9], "closed with 1001");
    server.stopped().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_burst_of_connections_waits_to_be_accepted() {
    // It listens, and accepts none yet.
    let bound = Server::new(Config { port: 0, ..Config::default() }).bind().await.unwrap();
    let address = bound.local_addr();
    let burst = tokio::task::spawn_blocking(move || {
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(900));
        (0..600).map(connect).collect::<Result<Vec<_>, _>>()
    });
    assert_eq!(burst.await.unwrap().expect("the backlog takes all of them").len(), 600);
}

#[tokio::test]
async fn what_cannot_be_listened_on_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let error = async |address: &str| match Server::new(on(&[address])).bind().await {
        Err(error @ StartError::Bind { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let text = error(&format!("unix:{}", file.display())).await;
    assert!(text.contains("file: the file exists and is no socket"), "{text}");
    let text = error(&format!("unix:{}/missing/socket", folder.path().display())).await;
    assert!(text.contains("missing/socket: ") && text.contains("No such file"), "{text}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _taken = std::net::TcpListener::bind(taken).unwrap();
    let text = error(&taken.to_string()).await;
    assert!(text.contains(&format!("cannot listen on {taken}: the port is in use")), "{text}");
}

#[tokio::test]
async fn sockets_that_were_passed_are_used_instead_of_the_config() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aaw.sock");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = Server::new(on(&["192.0.2.1:1"])).events(aaw_test_events::module()).listener(tcp).listener(unix);
    let bound = server.bind().await.unwrap();
    assert_eq!(bound.addresses(), [BoundAddress::Tcp(address), BoundAddress::Unix(path.clone())]);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(bound.serve(async { drop(stopped.await) }));
    assert_eq!(HttpRequest::post(address, "/events/ping", "").send().await.status, 200);
    assert!(ping(&path).await.starts_with("HTTP/1.1 200"));
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert!(path.exists(), "it belongs to who has passed it");
}

/// As a service manager starts it: a listening socket is descriptor 3, and there is a socket for notifications.
#[tokio::test]
async fn the_program_takes_sockets_of_a_service_manager_and_tells_it_when_it_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let notify = folder.path().join("notify");
    let manager = UnixDatagram::bind(&notify).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = r#"LISTEN_PID=$$ LISTEN_FDS=1 NOTIFY_SOCKET=$1 exec "$2" "$3" 3<&0 </dev/null"#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(&notify).arg(&artifacts().await.server).arg(binary::events().await);
    let server = Process::start_with_stdin(command, std::os::fd::OwnedFd::from(listener).into());
    let next = async || {
        let mut message = [0; 100];
        let len = within("a notification", || server.stderr(), manager.recv(&mut message)).await.unwrap();
        String::from_utf8_lossy(&message[..len]).into_owned()
    };
    assert_eq!(next().await.trim(), "READY=1");
    assert_eq!(HttpRequest::post(address, "/events/ping", "").send().await.status, 200);
    server.signal("TERM").await;
    assert_eq!(next().await.trim(), "STOPPING=1");
}

#[tokio::test]
async fn the_program_listens_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aaw.sock");
    let unix = format!("unix:{}", path.display());
    let flags = ["--listen", "127.0.0.1", "--listen", &unix, "--unix-socket-mode", "606"];
    let (server, url) = binary::serve(binary::events().await, &flags).await;
    server.stderr_line(&["listening on unix:", "aaw.sock"]).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o606);
    assert!(ping(&path).await.starts_with("HTTP/1.1 200"));
    let address = url.trim_start_matches("ws://").parse().unwrap();
    let _ = RawConnection::connect(address).await;
    server.signal("TERM").await;
    server.stderr_line(&["stopped"]).await;
    until("its file to be removed", || !path.exists()).await;
}
