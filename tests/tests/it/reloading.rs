//! Events that are built and started again: files with old times, file systems without notifications, and services that
//! never start.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use aaw_client::connect;
use aaw_tests::cargo::{artifacts, nested_target};
use aaw_tests::process::BUILD_DEADLINE;
use aaw_tests::{DEADLINE, Process};
use tokio::process::Command;

use crate::binary::{package, serve};

fn returning(n: i32) -> String {
    format!("pub async fn handler() -> i32 {{ {n} }}")
}

/// Waits until `ping` returns this.
async fn served(url: &str, server: &Process, expected: i32) {
    let client = connect(url).await.unwrap();
    let reached = async { while client.send_async::<i32>("ping", (), DEADLINE).await.ok() != Some(expected) {} };
    let reached = tokio::time::timeout(BUILD_DEADLINE, reached).await;
    reached.unwrap_or_else(|_| panic!("{expected} is not served:\n{}", server.stderr()));
}

#[tokio::test]
async fn a_file_that_is_restored_with_its_old_time_is_served_with_notifications_and_without() {
    let (_folder, package) = package("aaw-test-restored").await;
    let ping = package.join("src/ping.rs");
    std::fs::write(&ping, returning(1)).unwrap();
    for (flag, version) in [("--watch", 1), ("--watch=poll", 3)] {
        let (server, url) = serve(&package, &[flag]).await;
        served(&url, &server, version).await;
        std::fs::write(&ping, returning(version + 1)).unwrap();
        served(&url, &server, version + 1).await;
        restore(&ping, version + 2);
        served(&url, &server, version + 2).await;
    }
}

/// Writes a handler as `cp -p` of a backup does.
fn restore(file: &Path, n: i32) {
    std::fs::write(file, returning(n)).unwrap();
    let old = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(file).unwrap().set_modified(old).unwrap();
}

#[tokio::test]
async fn a_file_that_was_restored_with_its_old_time_while_no_server_ran_is_served() {
    let (_folder, package) = package("aaw-test-restored-offline").await;
    let ping = package.join("src/ping.rs");
    std::fs::write(&ping, returning(1)).unwrap();
    for (flags, version) in [(&[][..], 1), (&[], 2), (&["--watch"], 3)] {
        let (server, url) = serve(&package, flags).await;
        served(&url, &server, version).await;
        drop(server);
        restore(&ping, version + 1);
    }
}

/// What services do before they return.
#[derive(Clone, Copy)]
enum Start {
    Awaits,
    Blocks,
    Returns,
}

fn write_services(package: &Path, start: Start) {
    let body = match start {
        Start::Awaits => "std::future::pending::<()>().await;",
        Start::Blocks => "loop { std::thread::park(); }",
        Start::Returns => "",
    };
    let text =
        format!("#[derive(Clone)]\npub struct App;\n\npub async fn services() -> App {{\n    {body}\n    App\n}}\n");
    std::fs::write(package.join("src/_services.rs"), text).unwrap();
}

/// Starts the program, whose services do not return, and waits until that is reported.
async fn start_hanging(package: &Path, flags: &[&str]) -> Process {
    let mut command = Command::new(&artifacts().await.server);
    command.arg(package).args(["--port", "0"]).args(flags);
    command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", nested_target());
    let server = Process::start_building(command);
    let line = server.stderr_line(&["services()", "has not returned"]).await;
    assert!(line.contains("aaw_test_"), "{line}");
    server
}

async fn check_services_that_never_start(name: &str, start: Start, reported: &str) {
    let (_folder, package) = package(name).await;
    write_services(&package, start);
    let mut server = start_hanging(&package, &[]).await;
    assert!(server.stderr().contains(reported), "{}", server.stderr());
    let stopped = Instant::now();
    server.signal("TERM").await;
    assert_eq!(server.exited().await.code(), Some(0), "{}", server.stderr());
    // Far less than the whole shutdown may take.
    assert!(stopped.elapsed() < Duration::from_secs(4), "{:?}", stopped.elapsed());

    // A save during the first start.
    let server = start_hanging(&package, &["--watch"]).await;
    write_services(&package, Start::Returns);
    std::fs::write(package.join("src/ping.rs"), returning(1)).unwrap();
    let line = server.stderr_line(&["listening on ws://localhost:"]).await;
    let url = format!("ws://{}", line.split(['(', ')']).nth(1).expect("the address is in brackets"));
    served(&url, &server, 1).await;

    // A save during a later one.
    write_services(&package, start);
    let line = server.stderr_line(&["services()", "has not returned"]).await;
    assert!(line.contains(reported), "{line}");
    served(&url, &server, 1).await;
    write_services(&package, Start::Returns);
    std::fs::write(package.join("src/ping.rs"), returning(2)).unwrap();
    std::fs::write(package.join("src/second.rs"), returning(2)).unwrap();
    served(&url, &server, 2).await;
    server.stderr_line(&["replaced the events: 4 in total, 1 new (second)"]).await;
}

#[tokio::test]
async fn services_that_never_start_are_reported_can_be_interrupted_and_are_replaced_by_the_next_save() {
    check_services_that_never_start("aaw-test-hanging", Start::Awaits, "awaits something").await;
}

#[tokio::test]
async fn the_same_holds_for_services_that_block_their_thread() {
    check_services_that_never_start("aaw-test-blocking", Start::Blocks, "blocks its thread").await;
}
