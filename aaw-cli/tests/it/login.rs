//! `aaw login` and tokens, against a scripted server.

use std::path::Path;
use std::process::{Output, Stdio};

use crate::scripted::{ScriptedServer, soon};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

const LOGIN: &str = r#"["aaw/login",{"email":"ada@example.org","password":"correct horse"},1]"#;
const LOGIN_RESPONSE: &str = r#"{"token":"t1","user":{"id":7,"email":"ada@example.org"}}"#;

fn aaw(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aaw"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.env_remove("AAW_TOKEN").env_remove("AAW_PASSWORD");
    command
}

async fn exit(child: Child) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = soon("the exit of aaw", child.wait_with_output()).await.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn as_str(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn login_prints_the_token() {
    let server = ScriptedServer::start().await;
    let mut child = aaw(&["login", &server.url(), "--email", "ada@example.org"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"correct horse\r\nmore\n").await.unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.read().await, LOGIN);
    connection.send(&format!(r#"["aaw/login",{LOGIN_RESPONSE},1]"#)).await;
    assert_eq!(connection.closed().await, 1000);
    assert_eq!(exit(child).await, (Some(0), "t1\n".into(), String::new()));
}

#[tokio::test]
async fn login_stores_the_token_in_a_file_and_call_resumes_its_session() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let server = ScriptedServer::start().await;
    let child = aaw(&["login", &server.url(), "--email", "ada@example.org", "--token-file", as_str(&file)])
        .env("AAW_PASSWORD", "correct horse")
        .spawn()
        .unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.read().await, LOGIN);
    connection.send(&format!(r#"["aaw/login",{LOGIN_RESPONSE},1]"#)).await;
    assert_eq!(connection.closed().await, 1000);
    let (code, out, err) = exit(child).await;
    assert_eq!((code, out.as_str(), err), (Some(0), "{\"id\":\"7\",\"email\":\"ada@example.org\"}\n", String::new()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "t1\n");

    // The file takes precedence over the environment, and a new token from the server replaces the one in the file.
    let child = aaw(&["call", &server.url(), "auth/whoami", "--token-file", as_str(&file)])
        .env("AAW_TOKEN", "another")
        .spawn()
        .unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.read().await, r#"["aaw/resume",{"token":"t1"},1]"#);
    connection.send(r#"["aaw/resume",{"token":"t2","user":{"id":7,"email":"ada@example.org"}},1]"#).await;
    assert_eq!(connection.read().await, r#"["auth/whoami",null,2]"#);
    connection.send(r#"["auth/whoami",7,2]"#).await;
    assert_eq!(connection.closed().await, 1000);
    assert_eq!(exit(child).await, (Some(0), "7\n".into(), String::new()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "t2\n");
}

#[tokio::test]
async fn every_command_resumes_the_session_of_the_token_in_the_environment() {
    let server = ScriptedServer::start().await;
    for args in [&["call", "e"][..], &["stream", "e"], &["send", "e"], &["listen"]] {
        let url = server.url();
        let child = aaw(&[&args[..1], &[&url], &args[1..]].concat()).env("AAW_TOKEN", " t1\n").spawn().unwrap();
        let mut connection = server.accept().await;
        assert_eq!(connection.read().await, r#"["aaw/resume",{"token":"t1"},1]"#, "{args:?}");
        drop(child);
    }
}

#[tokio::test]
async fn an_expired_token_is_reported_and_the_call_is_made() {
    let server = ScriptedServer::start().await;
    let child = aaw(&["call", &server.url(), "e"]).env("AAW_TOKEN", "t1").spawn().unwrap();
    let mut connection = server.accept().await;
    connection.read().await;
    connection.send(r#"["aaw/resume",{"error":"Session expired","code":"not_authenticated"},1,"error"]"#).await;
    assert_eq!(connection.read().await, r#"["e",null,2]"#);
    connection.send(r#"["e",{"error":"Not authenticated","code":"not_authenticated"},2,"error"]"#).await;
    connection.closed().await;
    let (code, out, err) = exit(child).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(
        lines,
        [
            "aaw: Session expired (the token in AAW_TOKEN); `aaw login` creates a new token",
            r#"{"error":"Not authenticated","code":"not_authenticated"}"#
        ]
    );
}

#[tokio::test]
async fn a_failed_login_writes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let server = ScriptedServer::start().await;
    let child = aaw(&["login", &server.url(), "--email", "a@b.c", "--register", "--token-file", as_str(&file)])
        .env("AAW_PASSWORD", "x")
        .spawn()
        .unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.read().await, r#"["aaw/register",{"email":"a@b.c","password":"x"},1]"#);
    connection.send(r#"["aaw/register",{"error":"Email already registered","code":"email_taken"},1,"error"]"#).await;
    connection.closed().await;
    let (code, out, err) = exit(child).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("Email already registered"), "{err}");
    assert!(!file.exists());
}

#[tokio::test]
async fn a_server_without_log_ins_is_named() {
    for (flag, event) in [(&[][..], "aaw/login"), (&["--register"], "aaw/register")] {
        let server = ScriptedServer::start().await;
        let url = server.url();
        let args = [&["login", &url, "--email", "ada@example.org"], flag].concat();
        let child = aaw(&args).env("AAW_PASSWORD", "correct horse").spawn().unwrap();
        let mut connection = server.accept().await;
        connection.read().await;
        let failure = format!(r#"{{"error":"Unknown event: {event}","code":"unknown_event"}}"#);
        connection.send(&format!(r#"["{event}",{failure},1,"error"]"#)).await;
        connection.closed().await;
        let (code, out, err) = exit(child).await;
        assert_eq!((code, out.as_str()), (Some(1), ""));
        let lines: Vec<_> = err.lines().collect();
        // The last line is the error, for scripts.
        assert_eq!(lines, ["aaw: the server has no log-ins; aaw-server has them with --auth", &failure]);
    }
}

#[tokio::test]
async fn a_missing_credential_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none");
    for (args, expected) in [
        (&["login", "ws://localhost", "--email", "a@b.c"][..], "no password"),
        (&["login", "ws://localhost"], "--email"),
        (&["login", "ws://localhost", "--email", "a@b.c", "--password", "x"], "--password"),
        (
            &["call", "ws://localhost", "e", "--token-file", as_str(&missing)],
            "aaw login URL --email ADDRESS --token-file",
        ),
        (&["call", "ws://localhost", "e", "--token", "x"], "--token"),
    ] {
        let (code, out, err) = exit(aaw(args).spawn().unwrap()).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}: {err}");
        assert!(err.contains(expected), "{args:?}: {err}");
    }
}
