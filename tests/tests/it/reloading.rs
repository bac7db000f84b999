//! Events that are built and started again: files with old times, file systems without notifications, and services that
//! never start.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

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
        // As `cp -p` of a backup does.
        std::fs::write(&ping, returning(version + 2)).unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(&ping).unwrap().set_modified(old).unwrap();
        served(&url, &server, version + 2).await;
    }
}

/// Writes services whose start takes forever, or not.
fn write_services(package: &Path, hangs: bool) {
    let body = if hangs { "std::future::pending::<()>().await;" } else { "" };
    let text =
        format!("#[derive(Clone)]\npub struct App;\n\npub async fn services() -> App {{\n    {body}\n    App\n}}\n");
    std::fs::write(package.join("src/_services.rs"), text).unwrap();
}

#[tokio::test]
async fn services_that_never_start_are_reported_can_be_interrupted_and_are_replaced_by_the_next_save() {
    let (_folder, package) = package("aaw-test-hanging").await;
    write_services(&package, true);
    let mut command = Command::new(&artifacts().await.server);
    command.arg(&package).args(["--port", "0"]);
    command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", nested_target());
    let mut server = Process::start_building(command);
    let line = server.stderr_line(&["services()", "has not returned"]).await;
    assert!(line.contains("aaw_test_hanging"), "{line}");
    server.signal("TERM").await;
    assert_eq!(server.exited().await.code(), Some(0), "{}", server.stderr());

    write_services(&package, false);
    std::fs::write(package.join("src/ping.rs"), returning(1)).unwrap();
    let (server, url) = serve(&package, &["--watch"]).await;
    served(&url, &server, 1).await;
    write_services(&package, true);
    server.stderr_line(&["services()", "has not returned"]).await;
    served(&url, &server, 1).await;
    write_services(&package, false);
    std::fs::write(package.join("src/ping.rs"), returning(2)).unwrap();
    served(&url, &server, 2).await;
}
