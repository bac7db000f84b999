//! The program `aaw` against a scripted server.

// Test code: a panic is how it says no.
#![allow(clippy::unwrap_used)]

#[path = "../../aaw-client/tests/scripted/mod.rs"]
mod scripted;

use std::process::{Output, Stdio};

use scripted::{Peer, Server, soon};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

fn aaw(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aaw"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn ended(child: Child) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = soon("the end of aaw", child.wait_with_output()).await.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

async fn run(args: &[&str]) -> (Option<i32>, String, String) {
    ended(aaw(args).spawn().unwrap()).await
}

/// Runs `aaw call URL e …`, with `answer` for an answer, and gives back what was asked too.
async fn call(args: &[&str], answer: &str) -> (String, (Option<i32>, String, String)) {
    let server = Server::start().await;
    let url = server.url();
    let child = aaw(&[&["call", &url, "e"], args].concat()).spawn().unwrap();
    let mut peer = server.accept().await;
    let asked = peer.read().await;
    peer.send(answer).await;
    assert_eq!(peer.closed().await, 1000);
    (asked, ended(child).await)
}

fn none() -> String {
    String::new()
}

#[tokio::test]
async fn call_prints_the_answer_as_one_line_of_json_as_it_came() {
    let (asked, (code, out, err)) =
        call(&[r#"{"id": 12345678901234567890123}"#], "[\"e\",{\"b\":1.50,\n \"a\":\"\u{e9}\"},1]").await;
    assert_eq!(asked, r#"["e",{"id": 12345678901234567890123},1]"#);
    assert_eq!((code, out.as_str(), err), (Some(0), "{\"b\":1.50,  \"a\":\"é\"}\n", none()));
    let (asked, (code, out, _)) = call(&[], r#"["e",null,1]"#).await;
    assert_eq!((asked.as_str(), code, out.as_str()), (r#"["e",null,1]"#, Some(0), "null\n"));
}

#[tokio::test]
async fn a_dash_reads_the_body_from_standard_input() {
    let server = Server::start().await;
    let mut child = aaw(&["call", &server.url(), "e", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"[1,2]\n").await.unwrap();
    drop(stdin);
    let mut peer = server.accept().await;
    assert_eq!(peer.read().await, r#"["e",[1,2],1]"#);
}

#[tokio::test]
async fn a_failed_call_is_told_by_its_code_and_as_json_on_standard_error() {
    let answer = r#"["e",{"error":"Unknown event: e","code":"unknown_event"},1,"error"]"#;
    let (_, ended) = call(&[], answer).await;
    assert_eq!(ended, (Some(1), none(), "{\"error\":\"Unknown event: e\",\"code\":\"unknown_event\"}\n".into()));
}

#[tokio::test]
async fn a_command_line_that_makes_no_sense_is_2() {
    for (args, expected) in [
        (&["call", "ws://localhost", "e", "{not json"][..], "the body is not JSON"),
        (&["call", "http://localhost", "e"], "expected ws:// or wss://, found http://"),
        (&["call", "ws://localhost"], "<EVENT>"),
        (&["call", "ws://localhost", "e", "--timeout", "soon"], "500ms, 3s, 2m"),
        (&["call", "ws://localhost", "e", "--header", "x"], "'Name: value'"),
        (&["call", "ws://localhost", "e", "--header", "Upgrade: x"], "cannot be set"),
        (&["dance"], "dance"),
        (&[], "Usage"),
    ] {
        let (code, out, err) = run(args).await;
        assert_eq!((code, out), (Some(2), none()), "{args:?}");
        assert!(err.contains(expected), "{args:?}: {err}");
    }
}

#[tokio::test]
async fn no_connection_is_3_for_every_command() {
    let url = Server::start().await.url();
    for args in [&["call", &url, "e"][..], &["stream", &url, "e"], &["send", &url, "e"], &["listen", &url]] {
        let (code, out, err) = run(args).await;
        assert_eq!((code, out), (Some(3), none()));
        assert!(err.contains(&url) && err.contains("Is the server running"), "{err}");
    }
}

#[tokio::test]
async fn no_answer_in_time_is_4() {
    let server = Server::start().await;
    let child = aaw(&["call", &server.url(), "e", "--timeout", "500ms"]).spawn().unwrap();
    let mut peer = server.accept().await;
    assert_eq!(peer.read().await, r#"["e",null,1]"#);
    assert_eq!(peer.read().await, r#"["e",null,1,"cancel"]"#);
    assert_eq!(peer.closed().await, 1000);
    let (code, out, err) = ended(child).await;
    assert_eq!((code, out), (Some(4), none()));
    assert!(err.contains("no answer within 500ms"), "{err}");
}

#[tokio::test]
async fn a_time_out_longer_than_any_clock_is_none() {
    for time in ["18446744073709551615s", "9223372036854775000s"] {
        let (_, (code, out, err)) = call(&["--timeout", time], r#"["e",7,1]"#).await;
        assert_eq!((code, out.as_str(), err), (Some(0), "7\n", none()), "{time}");
    }
}

#[tokio::test]
async fn a_break_after_the_call_was_written_is_5() {
    let server = Server::start().await;
    let child = aaw(&["call", &server.url(), "e"]).spawn().unwrap();
    let mut peer = server.accept().await;
    peer.read().await;
    drop(peer);
    let (code, out, err) = ended(child).await;
    assert_eq!((code, out), (Some(5), none()));
    assert!(err.contains("the outcome is unknown"), "{err}");
}

#[tokio::test]
async fn headers_go_with_the_handshake() {
    let server = Server::start().await;
    let _child =
        aaw(&["listen", &server.url(), "-H", "X-A: 1", "--header", "Authorization: Bearer b:c"]).spawn().unwrap();
    let peer = server.accept().await;
    assert_eq!(peer.request.headers()["x-a"], "1");
    assert_eq!(peer.request.headers()["authorization"], "Bearer b:c");
}

#[tokio::test]
async fn send_ends_when_the_server_has_agreed_to_close() {
    let server = Server::start().await;
    let child = aaw(&["send", &server.url(), "e", "7"]).spawn().unwrap();
    let mut peer = server.accept().await;
    assert_eq!(peer.read().await, r#"["e",7]"#);
    assert_eq!(peer.closed().await, 1000);
    assert_eq!(ended(child).await, (Some(0), none(), none()));
}

#[tokio::test]
async fn what_the_server_says_about_a_send_is_told() {
    let server = Server::start().await;
    let child = aaw(&["send", &server.url(), "e", "7"]).spawn().unwrap();
    let mut peer = server.accept().await;
    assert_eq!(peer.read().await, r#"["e",7]"#);
    // The client may have said its last by now.
    peer.send(r#"["aaw/error",{"error":"Unknown event: e","code":"unknown_event"}]"#).await;
    assert_eq!(peer.closed().await, 1000);
    let (code, out, err) = ended(child).await;
    assert_eq!((code, out), (Some(1), none()));
    assert!(err.contains("Unknown event: e"), "{err}");
}

/// `aaw stream URL e`, its lines, and a server that was asked.
async fn stream() -> (Child, Lines<BufReader<ChildStdout>>, Peer<TcpStream>) {
    let server = Server::start().await;
    let mut child = aaw(&["stream", &server.url(), "e", "[5]"]).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut peer = server.accept().await;
    assert_eq!(peer.read().await, r#"["e",[5],1,"call",{"credit":64}]"#);
    (child, lines, peer)
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    soon("a line", lines.next_line()).await.unwrap()
}

#[cfg(unix)]
async fn interrupt(child: &Child) {
    let kill = format!("kill -INT {}", child.id().unwrap());
    assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
}

#[tokio::test]
async fn stream_prints_a_line_an_item_as_it_comes() {
    let (child, mut lines, mut peer) = stream().await;
    for (text, printed) in [
        (r#"["e",{"b":1.50,"a":"\u00e9"},1,"item"]"#, r#"{"b":1.50,"a":"\u00e9"}"#),
        ("[\"e\",[\n1],1,\"item\"]", "[ 1]"),
        (r#"["e",12345678901234567890123,1,"item"]"#, "12345678901234567890123"),
    ] {
        peer.send(text).await;
        assert_eq!(line(&mut lines).await.unwrap(), printed);
    }
    peer.send(r#"["e",null,1,"end"]"#).await;
    assert_eq!(peer.closed().await, 1000);
    assert_eq!(line(&mut lines).await, None);
    assert_eq!(ended(child).await, (Some(0), none(), none()));
}

#[tokio::test]
async fn a_stream_that_fails_is_told_by_its_code_behind_what_came() {
    for (ending, expected, said) in [
        (Some(r#"["e",{"error":"no","code":"mine"},1,"error"]"#), 1, r#"{"error":"no","code":"mine"}"#),
        (None, 5, "the outcome is unknown"),
    ] {
        let (child, mut lines, mut peer) = stream().await;
        peer.send(r#"["e",1,1,"item"]"#).await;
        peer.send(r#"["e",2,1,"item"]"#).await;
        match ending {
            Some(text) => peer.send(text).await,
            None => peer.close(1012, "").await,
        }
        drop(peer);
        assert_eq!(line(&mut lines).await.unwrap(), "1");
        assert_eq!(line(&mut lines).await.unwrap(), "2");
        assert_eq!(line(&mut lines).await, None);
        let (code, _, err) = ended(child).await;
        assert!(code == Some(expected) && err.contains(said), "{code:?}: {err}");
    }
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_cancelled_and_ends_quietly() {
    let (child, mut lines, mut peer) = stream().await;
    peer.send(r#"["e",1,1,"item"]"#).await;
    line(&mut lines).await.unwrap();
    drop(lines);
    peer.send(r#"["e",2,1,"item"]"#).await;
    assert_eq!(peer.read().await, r#"["e",null,1,"cancel"]"#);
    assert_eq!(peer.closed().await, 1000);
    assert_eq!(ended(child).await, (Some(0), none(), none()));
}

#[cfg(unix)]
#[tokio::test]
async fn a_stream_that_is_interrupted_is_cancelled() {
    let (child, mut lines, mut peer) = stream().await;
    peer.send(r#"["e",1,1,"item"]"#).await;
    line(&mut lines).await.unwrap();
    interrupt(&child).await;
    assert_eq!(peer.read().await, r#"["e",null,1,"cancel"]"#);
    assert_eq!(peer.closed().await, 1000);
    assert_eq!(ended(child).await, (Some(130), none(), none()));
}

/// As with a pager: the output is there, is full, and is not read.
#[cfg(unix)]
#[tokio::test]
async fn a_stream_can_be_interrupted_while_its_output_is_full() {
    let (mut child, mut lines, mut peer) = stream().await;
    peer.send(r#"["e",1,1,"item"]"#).await;
    line(&mut lines).await.unwrap();
    // Each more than a pipe holds, so that the first is never printed and no room is made.
    let item = format!(r#"["e","{}",1,"item"]"#, "x".repeat(200_000));
    for _ in 0..60 {
        peer.send(&item).await;
    }
    interrupt(&child).await;
    assert_eq!(peer.read().await, r#"["e",null,1,"cancel"]"#, "without having asked for more");
    assert_eq!(peer.closed().await, 1000);
    assert_eq!(soon("the end of aaw", child.wait()).await.unwrap().code(), Some(130));
}

#[tokio::test]
async fn listen_prints_a_line_a_push_at_once_and_stays_over_a_reconnect() {
    let server = Server::start().await;
    let mut child = aaw(&["listen", &server.url(), "a", "b"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut peer = server.accept().await;
    for text in [r#"["a",{"x":1}]"#, r#"["other",1]"#, "[\"b\",[\n1]]"] {
        peer.send(text).await;
    }
    assert_eq!(soon("a line", lines.next_line()).await.unwrap().unwrap(), r#"{"event":"a","data":{"x":1}}"#);
    assert_eq!(soon("a line", lines.next_line()).await.unwrap().unwrap(), r#"{"event":"b","data":[ 1]}"#);
    peer.close(1012, "").await;
    let mut peer = server.accept().await;
    peer.send(r#"["a",2]"#).await;
    assert_eq!(soon("a line", lines.next_line()).await.unwrap().unwrap(), r#"{"event":"a","data":2}"#);
}

#[tokio::test]
async fn listen_ends_quietly_when_nobody_reads_it() {
    let server = Server::start().await;
    let mut child = aaw(&["listen", &server.url()]).spawn().unwrap();
    let mut peer = server.accept().await;
    peer.send(r#"["a",1]"#).await;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    soon("a line", lines.next_line()).await.unwrap().unwrap();
    drop(lines);
    peer.send(r#"["a",2]"#).await;
    assert_eq!(ended(child).await, (Some(0), none(), none()));
}

#[cfg(unix)]
#[tokio::test]
async fn listen_closes_in_order_when_it_is_interrupted() {
    let server = Server::start().await;
    let mut child = aaw(&["listen", &server.url()]).spawn().unwrap();
    let mut peer = server.accept().await;
    peer.send(r#"["a",1]"#).await;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    soon("a line", lines.next_line()).await.unwrap().unwrap();
    interrupt(&child).await;
    assert_eq!(peer.closed().await, 1000);
    assert_eq!(ended(child).await.0, Some(130));
}
