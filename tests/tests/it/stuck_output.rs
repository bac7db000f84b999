//! The program `aaw-server` with an output that fails or that is not read: lines are lost, and nothing else.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _};
use std::net::SocketAddr;
use std::process::Stdio;

use aaw_tests::cargo::artifacts;
use aaw_tests::{HttpRequest, WireClient, within};
use tokio::process::{Child, Command};

use crate::binary::events;

struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts a server with these outputs on this port.
    async fn spawn(port: u16, flags: &[&str], stdout: Stdio, stderr: Stdio) -> Child {
        let mut command = Command::new(&artifacts().await.server);
        command.arg(events().await).args(["--port", &port.to_string()]).args(flags);
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).kill_on_drop(true).spawn().expect("it starts")
    }

    /// Starts a server whose standard error is a pipe. Returns it with the pipe, which was read up to the line with the
    /// address.
    async fn with_pipe(flags: &[&str]) -> (Self, BufReader<PipeReader>) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let process = Self::spawn(0, flags, Stdio::null(), writer.into()).await;
        let read = tokio::task::spawn_blocking(move || {
            let mut reader = BufReader::new(reader);
            let mut line = String::new();
            while !line.contains("listening on") {
                line.clear();
                assert_ne!(reader.read_line(&mut line).expect("text"), 0, "the server has ended");
            }
            (reader, line)
        });
        let (reader, line) = read.await.expect("no panic");
        let address = line.split(['(', ')']).nth(1).expect("the address is in brackets").parse().expect("an address");
        (Self { process, address }, reader)
    }

    async fn client(&self) -> WireClient {
        WireClient::connect_v1(self.address).await
    }

    /// Checks that handlers that panic, refusals and the health check respond as always.
    async fn expect_service(&self, client: &mut WireClient) {
        client.call("panics/at_once", "null").await.assert_eq(r#"{"error":"Internal error","code":"panic"}"#);
        client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
        let refused = HttpRequest::handshake(self.address).header("Origin", "https://evil.example");
        assert_eq!(refused.send().await.status, 403);
        assert_eq!(HttpRequest::post(self.address, "/events/panics/at_once", "{}").send().await.status, 500);
        assert_eq!(HttpRequest::get(self.address, "/healthz").send().await.status, 200);
    }

    /// Stops the server while a call runs, and checks that the call can end and that the exit code is 0.
    async fn expect_graceful_stop(mut self) {
        let mut client = self.client().await;
        let mut idle = self.client().await;
        client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
        idle.call("gate/wait", r#"{"gate":"x","came":1}"#).await;
        self.signal("TERM").await;
        idle.expect_close(1001).await;
        client.send(r#"["gate/hold",null,1,"cancel"]"#).await;
        client.expect_close(1001).await;
        let status = within("the exit", String::new, self.process.wait()).await.expect("a child");
        assert_eq!(status.code(), Some(0), "{status}");
    }

    async fn signal(&self, name: &str) {
        let id = self.process.id().expect("it runs");
        let kill = Command::new("sh").arg("-c").arg(format!("kill -{name} {id}")).status().await;
        assert!(kill.expect("sh exists").success());
    }
}

#[tokio::test]
async fn a_log_whose_reader_is_gone_changes_nothing() {
    let (server, reader) = Server::with_pipe(&[]).await;
    drop(reader);
    server.expect_service(&mut server.client().await).await;
    server.expect_graceful_stop().await;
}

#[tokio::test]
async fn a_log_on_a_full_disk_changes_nothing() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        // Only Linux has it.
        return;
    };
    // The port cannot be read from the log. Of an address that no other test listens on: one of theirs might get this port before
    // the server does.
    let port = std::net::TcpListener::bind("127.53.1.9:0").and_then(|listener| listener.local_addr()).expect("a port");
    let output = full.try_clone().expect("a file");
    let flags = ["--log", "json", "--host", "127.53.1.9"];
    let process = Server::spawn(port.port(), &flags, output.into(), full.into()).await;
    let server = Server { process, address: port };
    while tokio::net::TcpStream::connect(port).await.is_err() {
        tokio::task::yield_now().await;
    }
    server.expect_service(&mut server.client().await).await;
    server.expect_graceful_stop().await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_blocks_nothing_and_the_lost_lines_are_counted() {
    let (mut server, mut reader) = Server::with_pipe(&[]).await;
    let mut client = server.client().await;
    // Far more than a pipe and the queue of lines hold.
    let text = "x".repeat(100_000);
    for _ in 0..300 {
        client.call("log", &format!("\"{text}\"")).await;
    }
    server.expect_service(&mut client).await;
    let reading = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        while !line.contains("log lines are missing") {
            line.clear();
            assert_ne!(reader.read_line(&mut line).expect("text"), 0, "the server has ended");
        }
        // Read on, so that the server can write its last lines.
        std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
        line
    });
    let line = reading.await.expect("no panic");
    let lost = line.split("lost=").nth(1).unwrap_or_else(|| panic!("{line}"));
    let lost: u64 = lost.split_whitespace().next().unwrap_or_default().parse().unwrap_or_else(|_| panic!("{line}"));
    assert!((100..300).contains(&lost), "{line}");
    assert!(server.process.try_wait().expect("a child").is_none());
    server.expect_graceful_stop().await;
}

#[tokio::test]
async fn a_log_that_is_never_read_again_does_not_delay_the_exit_for_long() {
    let (server, _reader) = Server::with_pipe(&[]).await;
    let mut client = server.client().await;
    for _ in 0..10 {
        client.call("log", &format!("\"{}\"", "x".repeat(100_000))).await;
    }
    server.expect_graceful_stop().await;
}
