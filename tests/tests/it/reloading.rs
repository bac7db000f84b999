//! Events that are built and started again: files with old times, file systems without notifications, and services that
//! never start.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aaw_client::connect;
use aaw_tests::process::BUILD_DEADLINE;
use aaw_tests::{DEADLINE, Process, until};

use crate::binary::{listening, package, serve, start};

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

const AWAITS_FOREVER: &str = "std::future::pending::<()>().await;";
const BLOCKS_FOREVER: &str = "loop { std::thread::park(); }";
const RETURNS: &str = "";

/// Writes services with this body.
fn write_services(package: &Path, body: &str) {
    // A `loop` without end makes the rest unreachable.
    let body = format!("if true {{ {body} }}");
    let text =
        format!("#[derive(Clone)]\npub struct App;\n\npub async fn services() -> App {{\n    {body}\n    App\n}}\n");
    std::fs::write(package.join("src/_services.rs"), text).unwrap();
}

#[tokio::test]
async fn services_that_never_start_are_reported_can_be_interrupted_and_are_replaced_by_the_next_save() {
    never_started("aaw-test-awaiting", AWAITS_FOREVER, "it awaits something").await;
}

#[tokio::test]
async fn services_that_block_their_thread_are_reported_can_be_interrupted_and_are_replaced_by_the_next_save() {
    never_started("aaw-test-blocking", BLOCKS_FOREVER, "it blocks its thread").await;
}

async fn never_started(name: &str, services: &str, cause: &str) {
    let (_folder, package) = package(name).await;
    let ping = package.join("src/ping.rs");
    std::fs::write(&ping, returning(1)).unwrap();
    write_services(&package, services);

    // At the first start: a save replaces it.
    let mut server = start(&package, &["--watch"]).await;
    let line = server.stderr_line(&["services()", "has not returned"]).await;
    assert!(line.contains(&name.replace('-', "_")) && line.contains(cause), "{line}");
    write_services(&package, RETURNS);
    let url = listening(&server).await;
    served(&url, &server, 1).await;

    // At a reload: the previous events are served meanwhile.
    write_services(&package, services);
    server.stderr_lines(&["services()", "has not returned"], 2).await;
    served(&url, &server, 1).await;
    write_services(&package, RETURNS);
    std::fs::write(&ping, returning(2)).unwrap();
    std::fs::write(package.join("src/added.rs"), returning(3)).unwrap();
    served(&url, &server, 2).await;
    server.stderr_line(&["replaced the events: ", ", 1 new (added)"]).await;

    // A signal ends the server, and also one whose services are starting.
    server.signal("TERM").await;
    assert_eq!(server.exited().await.code(), Some(0), "{}", server.stderr());
    write_services(&package, services);
    let mut server = start(&package, &[]).await;
    server.stderr_line(&["services()", "has not returned"]).await;
    server.signal("TERM").await;
    assert_eq!(server.exited().await.code(), Some(0), "{}", server.stderr());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_build_script_that_never_ends_does_not_outlive_the_server() {
    let (folder, package) = package("aaw-test-looping").await;
    let pid_file = folder.path().join("pid");
    let script = format!(
        "fn main() {{\n    std::fs::write({pid_file:?}, std::process::id().to_string()).unwrap();\n    loop {{ std::thread::park(); }}\n}}\n"
    );
    std::fs::write(package.join("build.rs"), script).unwrap();
    let mut server = start(&package, &[]).await;
    let pid = tokio::time::timeout(BUILD_DEADLINE, async {
        loop {
            match std::fs::read_to_string(&pid_file) {
                Ok(pid) if !pid.is_empty() => return pid,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    let process = format!("/proc/{}/stat", pid.await.expect("the build script starts"));
    server.signal("TERM").await;
    assert_eq!(server.exited().await.code(), Some(0), "{}", server.stderr());
    // It is gone, or a zombie whose new parent has not noticed.
    let is_running = || std::fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z "));
    until("the build script has ended", || !is_running()).await;
}
