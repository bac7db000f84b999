//! `aaw login`, and tokens, against a scripted server.

// Test code: a panic is how it says no.
#![allow(clippy::unwrap_used)]

#[path = "../../aaw-client/tests/scripted/mod.rs"]
mod scripted;

use std::path::Path;
use std::process::{Output, Stdio};

use scripted::{Server, soon};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

const LOGIN: &str = r#"["aaw/login",{"email":"ada@example.org","password":"correct horse"},1]"#;
const IN: &str = r#"{"token":"t1","user":{"id":7,"email":"ada@example.org"}}"#;

fn aaw(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aaw"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.env_remove("AAW_TOKEN").env_remove("AAW_PASSWORD");
    command
}

async fn ended(child: Child) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = soon("the end of aaw", child.wait_with_output()).await.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_login_prints_the_token() {
    let server = Server::start().await;
    let mut child = aaw(&["login", &server.url(), "--email", "ada@example.org"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"correct horse\r\nmore\n").await.unwrap();
    let mut peer = server.accept().await;
    assert_eq!(peer.read().await, LOGIN);
    peer.send(&format!(r#"["aaw/login",{IN},1]"#)).await;
    assert_eq!(peer.closed().await, 1000);
    assert_eq!(ended(child).await, (Some(0), "t1\n".into(), String::new()));
}

#[tokio::test]
async fn a_login_keeps_the_token_in_a_file_and_a_call_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let server = Server::start().await;
    let child = aaw(&["login", &server.url(), "--email", "ada@example.org", "--token-file", text(&file)])
        .env("AAW_PASSWORD", "correct horse")
        .spawn()
        .unwrap();
    let mut peer = server.accept().await;
    assert_eq!(peer.read().await, LOGIN);
    peer.send(&format!(r#"["aaw/login",{IN},1]"#)).await;
    assert_eq!(peer.closed().await, 1000);
    let (code, out, err) = ended(child).await;
    assert_eq!((code, out.as_str(), err), (Some(0), "{\"id\":\"7\",\"email\":\"ada@example.org\"}\n", String::new()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "t1\n");

    // The file is taken before the environment, and what the server gives instead is kept.
    let child = aaw(&["call", &server.url(), "auth/whoami", "--token-file", text(&file)])
        .env("AAW_TOKEN", "another")
        .spawn()
        .unwrap();
    let mut peer = server.accept().await;
    assert_eq!(peer.read().await, r#"["aaw/resume",{"token":"t1"},1]"#);
    peer.send(r#"["aaw/resume",{"token":"t2","user":{"id":7,"email":"ada@example.org"}},1]"#).await;
    assert_eq!(peer.read().await, r#"["auth/whoami",null,2]"#);
    peer.send(r#"["auth/whoami",7,2]"#).await;
    assert_eq!(peer.closed().await, 1000);
    assert_eq!(ended(child).await, (Some(0), "7\n".into(), String::new()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "t2\n");
}

#[tokio::test]
async fn the_environments_token_is_shown_by_every_command() {
    let server = Server::start().await;
    for args in [&["call", "e"][..], &["stream", "e"], &["send", "e"], &["listen"]] {
        let url = server.url();
        let child = aaw(&[&args[..1], &[&url], &args[1..]].concat()).env("AAW_TOKEN", " t1\n").spawn().unwrap();
        let mut peer = server.accept().await;
        assert_eq!(peer.read().await, r#"["aaw/resume",{"token":"t1"},1]"#, "{args:?}");
        drop(child);
    }
}

#[tokio::test]
async fn an_expired_token_is_told_and_the_call_is_made() {
    let server = Server::start().await;
    let child = aaw(&["call", &server.url(), "e"]).env("AAW_TOKEN", "t1").spawn().unwrap();
    let mut peer = server.accept().await;
    peer.read().await;
    peer.send(r#"["aaw/resume",{"error":"Session expired","code":"not_authenticated"},1,"error"]"#).await;
    assert_eq!(peer.read().await, r#"["e",null,2]"#);
    peer.send(r#"["e",{"error":"Not authenticated","code":"not_authenticated"},2,"error"]"#).await;
    peer.closed().await;
    let (code, out, err) = ended(child).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(
        lines,
        [
            "aaw: Session expired; `aaw login` makes a new token",
            r#"{"error":"Not authenticated","code":"not_authenticated"}"#
        ]
    );
}

#[tokio::test]
async fn a_login_that_fails_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let server = Server::start().await;
    let child = aaw(&["login", &server.url(), "--email", "a@b.c", "--register", "--token-file", text(&file)])
        .env("AAW_PASSWORD", "x")
        .spawn()
        .unwrap();
    let mut peer = server.accept().await;
    assert_eq!(peer.read().await, r#"["aaw/register",{"email":"a@b.c","password":"x"},1]"#);
    peer.send(r#"["aaw/register",{"error":"Email already registered","code":"email_taken"},1,"error"]"#).await;
    peer.closed().await;
    let (code, out, err) = ended(child).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("Email already registered"), "{err}");
    assert!(!file.exists());
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none");
    for (args, expected) in [
        (&["login", "ws://localhost", "--email", "a@b.c"][..], "no password"),
        (&["login", "ws://localhost"], "--email"),
        (&["login", "ws://localhost", "--email", "a@b.c", "--password", "x"], "--password"),
        (&["call", "ws://localhost", "e", "--token-file", text(&missing)], "aaw login URL --token-file"),
        (&["call", "ws://localhost", "e", "--token", "x"], "--token"),
    ] {
        let (code, out, err) = ended(aaw(args).spawn().unwrap()).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}: {err}");
        assert!(err.contains(expected), "{args:?}: {err}");
    }
}
