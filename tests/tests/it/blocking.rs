//! Handlers that block their thread, which they must not: other clients are served as long as a thread is left.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aaw_tests::cargo::artifacts;
use aaw_tests::{HttpRequest, Process, TestServer, WireClient};
use tokio::process::Command;

use crate::binary::events;

/// Starts the program, with this number of threads.
async fn serve(workers: usize, flags: &[&str]) -> (Process, SocketAddr) {
    let mut command = Command::new(&artifacts().await.server);
    command.arg(events().await).args(["--port", "0"]).args(flags);
    command.env("TOKIO_WORKER_THREADS", workers.to_string());
    let server = Process::start(command);
    let line = server.stderr_line(&["listening on"]).await;
    let address = line.split(['(', ')']).nth(1).expect("the address is in brackets");
    (server, address.parse().expect("an address"))
}

/// Checks that clients are served, among them a new one, in far less time than a handler blocks.
async fn expect_service(addr: SocketAddr, client: &mut WireClient) {
    let started = Instant::now();
    for _ in 0..5 {
        client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
        client.call("sleepy", "1").await.assert_eq("1");
    }
    WireClient::connect_v1(addr).await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    assert_eq!(HttpRequest::get(addr, "/healthz").send().await.status, 200);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_handler_that_blocks_its_thread_does_not_stop_the_others() {
    for workers in [2, 8] {
        let (server, addr) = serve(workers, &[]).await;
        let mut client = WireClient::connect_v1(addr).await;
        let mut blocked = WireClient::connect_v1(addr).await;
        blocked.send(r#"["blocks/sleep",5000,1]"#).await;
        // Once this is logged, the handler runs.
        let line = server.stderr_line(&["blocked its thread"]).await;
        assert!(line.contains("blocks/sleep") && line.contains("spawn_blocking"), "{line}");
        expect_service(addr, &mut client).await;
        blocked.expect(r#"["blocks/sleep",true,1]"#).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_holds_for_linked_handlers() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let mut blocked = server.v1().await;
    blocked.send(r#"["blocks/sleep",5000,1]"#).await;
    expect_service(server.addr, &mut client).await;
    blocked.expect(r#"["blocks/sleep",true,1]"#).await;
}

#[tokio::test]
async fn handlers_that_block_for_good_do_not_keep_the_process_from_ending() {
    // One thread is left.
    let (mut server, addr) = serve(2, &["--shutdown-timeout", "2s"]).await;
    let mut client = WireClient::connect_v1(addr).await;
    let mut blocked = WireClient::connect_v1(addr).await;
    blocked.send(r#"["blocks/forever",{},1]"#).await;
    server.stderr_line(&["blocks/forever", "blocked its thread"]).await;
    expect_service(addr, &mut client).await;
    // None is left.
    client.send(r#"["blocks/forever",{},1]"#).await;
    let started = Instant::now();
    server.signal("TERM").await;
    assert!(server.exited().await.code().is_some());
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}
