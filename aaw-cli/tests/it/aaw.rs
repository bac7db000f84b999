//! The program `aaw` against a scripted server.

use std::process::{Output, Stdio};

use crate::scripted::{ScriptedConnection, ScriptedServer, soon};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

fn aaw(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aaw"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Waits for the program to exit. Returns its exit code, standard output and standard error.
async fn exit(child: Child) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = soon("the exit of aaw", child.wait_with_output()).await.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

async fn run(args: &[&str]) -> (Option<i32>, String, String) {
    exit(aaw(args).spawn().unwrap()).await
}

/// Runs `aaw call URL e …` against a server that sends `response`. Returns the call's frame, and how the program
/// exited.
async fn call(args: &[&str], response: &str) -> (String, (Option<i32>, String, String)) {
    let server = ScriptedServer::start().await;
    let url = server.url();
    let child = aaw(&[&["call", &url, "e"], args].concat()).spawn().unwrap();
    let mut connection = server.accept().await;
    let sent = connection.read().await;
    connection.send(response).await;
    assert_eq!(connection.closed().await, 1000);
    (sent, exit(child).await)
}

fn empty() -> String {
    String::new()
}

#[tokio::test]
async fn call_prints_the_response_unchanged_as_one_line_of_json() {
    let (sent, (code, out, err)) =
        call(&[r#"{"id": 12345678901234567890123}"#], "[\"e\",{\"b\":1.50,\n \"a\":\"\u{e9}\"},1]").await;
    assert_eq!(sent, r#"["e",{"id": 12345678901234567890123},1]"#);
    assert_eq!((code, out.as_str(), err), (Some(0), "{\"b\":1.50,  \"a\":\"é\"}\n", empty()));
    let (sent, (code, out, _)) = call(&[], r#"["e",null,1]"#).await;
    assert_eq!((sent.as_str(), code, out.as_str()), (r#"["e",null,1]"#, Some(0), "null\n"));
}

/// Starts `aaw call URL e -` with this standard input.
async fn call_with_input(url: &str, input: &[u8]) -> Child {
    let mut child = aaw(&["call", url, "e", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).await.unwrap();
    child
}

#[tokio::test]
async fn a_dash_reads_the_body_from_standard_input() {
    for input in [&b"[1,2]\n"[..], b"\xef\xbb\xbf[1,2]"] {
        let server = ScriptedServer::start().await;
        let _child = call_with_input(&server.url(), input).await;
        let mut connection = server.accept().await;
        assert_eq!(connection.read().await, r#"["e",[1,2],1]"#);
    }
}

#[tokio::test]
async fn an_input_that_is_no_json_in_utf_8_is_named() {
    for (input, expected) in [
        (&b""[..], "standard input is empty; expected JSON"),
        (b"\xff\xfe1\0", "it is UTF-16; expected UTF-8"),
        (b"\"\xe9\"", "it is not UTF-8"),
        (b"Ada", "standard input is not JSON"),
    ] {
        let (code, out, err) = exit(call_with_input("ws://localhost", input).await).await;
        assert_eq!((code, out), (Some(2), empty()));
        assert!(err.contains(expected), "{err}");
    }
}

#[tokio::test]
async fn a_negative_number_is_a_body() {
    for body in ["-5", "-1.5e-3", "\u{feff}-5"] {
        let (sent, (code, out, _)) = call(&[body], r#"["e",7,1]"#).await;
        assert_eq!(sent, format!(r#"["e",{},1]"#, body.trim_start_matches('\u{feff}')));
        assert_eq!((code, out.as_str()), (Some(0), "7\n"));
    }
}

#[tokio::test]
async fn a_failed_call_exits_with_1_and_prints_the_error_as_json() {
    let response = r#"["e",{"error":"Unknown event: e","code":"unknown_event"},1,"error"]"#;
    let (_, exit) = call(&[], response).await;
    assert_eq!(exit, (Some(1), empty(), "{\"error\":\"Unknown event: e\",\"code\":\"unknown_event\"}\n".into()));
}

#[tokio::test]
async fn an_invalid_command_line_exits_with_2() {
    for (args, expected) in [
        (&["call", "ws://localhost", "e", "{not json"][..], "the body is not JSON"),
        (&["call", "http://localhost", "e"], "expected ws:// or wss://, found http://"),
        (&["call", "ws://localhost"], "<EVENT>"),
        (&["call", "ws://localhost", "e", "--timeout", "soon"], "'--timeout <DURATION>'"),
        (&["call", "ws://localhost", "e", "--timeout", "3x"], "expected a duration such as 500ms, 3s"),
        (&["completions", "tcsh"], "fish"),
        (&["man", "dance"], "expected one of: call, stream, send, listen, login, completions, man"),
        (&["call", "ws://localhost", "e", "--header", "x"], "'Name: value'"),
        (&["call", "ws://localhost", "e", "--header", "Upgrade: x"], "cannot be set"),
        (&["dance"], "dance"),
        (&["cal", "ws://localhost", "e"], "'call'"),
        (&["call", "ws://localhost", "e", "--timout", "3s"], "'--timeout'"),
        (&["call", "ws://localhost", "e", "--", "-x"], "the body is not JSON"),
        (&["call", "ws://localhost", "e", ""], "the body is empty"),
        (&[], "Usage"),
    ] {
        let (code, out, err) = run(args).await;
        assert_eq!((code, out), (Some(2), empty()), "{args:?}");
        assert!(err.contains(expected), "{args:?}: {err}");
    }
}

#[tokio::test]
async fn an_unreachable_server_exits_with_3_for_every_command() {
    let url = ScriptedServer::start().await.url();
    for args in [&["call", &url, "e"][..], &["stream", &url, "e"], &["send", &url, "e"], &["listen", &url]] {
        let (code, out, err) = run(args).await;
        assert_eq!((code, out), (Some(3), empty()));
        assert!(err.contains(&url) && err.contains("Is the server running"), "{err}");
    }
}

#[tokio::test]
async fn a_server_that_refuses_the_connection_exits_with_3_and_its_reason() {
    let server = ScriptedServer::start().await;
    let url = format!("{}/?token=hunter2", server.url());
    let child = aaw(&["call", &url, "e"]).spawn().unwrap();
    let mut stream = server.tcp().await;
    let response = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 16\r\n\r\n";
    stream.write_all(response).await.unwrap();
    stream.write_all(b"no hunter2, sir\n").await.unwrap();
    let (code, out, err) = exit(child).await;
    assert_eq!((code, out), (Some(3), empty()));
    let expected =
        format!("aaw: {}/?token=[redacted] refused the connection with 403: no [redacted], sir\n", server.url());
    assert!(err.starts_with(&expected), "{err}");
}

#[tokio::test]
async fn a_token_in_the_url_is_not_printed() {
    let server = ScriptedServer::start().await;
    let url = format!("{}/?token=hunter2", server.url());
    for args in [&["call", &url, "e"][..], &["stream", &url, "e"]] {
        let child = aaw(args).spawn().unwrap();
        let mut connection = server.accept().await;
        assert_eq!(connection.request.uri(), "/?token=hunter2");
        connection.read().await;
        drop(connection);
        let (code, _, err) = exit(child).await;
        assert!(code == Some(5) && err.contains("token=[redacted]") && !err.contains("hunter2"), "{err}");
    }
    let mut child = aaw(&["listen", &url]).spawn().unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    drop(server.accept().await);
    let _connection = server.accept().await;
    loop {
        let note = soon("a note", notes.next_line()).await.unwrap().unwrap();
        assert!(!note.contains("hunter2"), "{note}");
        if note.contains("reconnected to") {
            break;
        }
    }
}

#[tokio::test]
async fn a_call_that_times_out_exits_with_4() {
    let server = ScriptedServer::start().await;
    let child = aaw(&["call", &server.url(), "e", "--timeout", "500ms"]).spawn().unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.read().await, r#"["e",null,1]"#);
    assert_eq!(connection.read().await, r#"["e",null,1,"cancel"]"#);
    assert_eq!(connection.closed().await, 1000);
    let (code, out, err) = exit(child).await;
    assert_eq!((code, out), (Some(4), empty()));
    assert!(err.contains("no response within 500ms") && err.contains("may have run"), "{err}");
}

#[tokio::test]
async fn a_timeout_beyond_the_range_of_the_clock_never_elapses() {
    for time in ["18446744073709551615s", "9223372036854775000s"] {
        let (_, (code, out, err)) = call(&["--timeout", time], r#"["e",7,1]"#).await;
        assert_eq!((code, out.as_str(), err), (Some(0), "7\n", empty()), "{time}");
    }
}

#[tokio::test]
async fn a_connection_broken_after_the_call_exits_with_5() {
    let server = ScriptedServer::start().await;
    let child = aaw(&["call", &server.url(), "e"]).spawn().unwrap();
    let mut connection = server.accept().await;
    connection.read().await;
    drop(connection);
    let (code, out, err) = exit(child).await;
    assert_eq!((code, out), (Some(5), empty()));
    assert!(err.contains("its outcome is unknown") && err.contains("may have run or not"), "{err}");
}

#[tokio::test]
async fn headers_are_sent_with_the_handshake() {
    let server = ScriptedServer::start().await;
    let _child =
        aaw(&["listen", &server.url(), "-H", "X-A: 1", "--header", "Authorization: Bearer b:c"]).spawn().unwrap();
    let connection = server.accept().await;
    assert_eq!(connection.request.headers()["x-a"], "1");
    assert_eq!(connection.request.headers()["authorization"], "Bearer b:c");
}

#[tokio::test]
async fn send_exits_when_the_server_has_confirmed_the_close() {
    let server = ScriptedServer::start().await;
    let child = aaw(&["send", &server.url(), "e", "7"]).spawn().unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.read().await, r#"["e",7]"#);
    assert_eq!(connection.closed().await, 1000);
    assert_eq!(exit(child).await, (Some(0), empty(), empty()));
}

#[tokio::test]
async fn an_error_reported_for_a_send_exits_with_1() {
    let server = ScriptedServer::start().await;
    let child = aaw(&["send", &server.url(), "e", "7"]).spawn().unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.read().await, r#"["e",7]"#);
    // The client may have sent its close frame by now.
    connection.send(r#"["aaw/error",{"error":"Unknown event: e","code":"unknown_event"}]"#).await;
    assert_eq!(connection.closed().await, 1000);
    let (code, out, err) = exit(child).await;
    assert_eq!((code, out), (Some(1), empty()));
    assert!(err.contains("Unknown event: e"), "{err}");
}

/// Starts `aaw stream URL e [5]`. Returns the program, the lines of its output, and the server's connection after the
/// call.
async fn stream() -> (Child, Lines<BufReader<ChildStdout>>, ScriptedConnection<TcpStream>) {
    let server = ScriptedServer::start().await;
    let mut child = aaw(&["stream", &server.url(), "e", "[5]"]).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut connection = server.accept().await;
    assert_eq!(connection.read().await, r#"["e",[5],1,"call",{"credit":64}]"#);
    (child, lines, connection)
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
async fn stream_prints_each_item_as_it_arrives_on_a_line() {
    let (child, mut lines, mut connection) = stream().await;
    for (text, printed) in [
        (r#"["e",{"b":1.50,"a":"\u00e9"},1,"item"]"#, r#"{"b":1.50,"a":"\u00e9"}"#),
        ("[\"e\",[\n1],1,\"item\"]", "[ 1]"),
        (r#"["e",12345678901234567890123,1,"item"]"#, "12345678901234567890123"),
    ] {
        connection.send(text).await;
        assert_eq!(line(&mut lines).await.unwrap(), printed);
    }
    connection.send(r#"["e",null,1,"end"]"#).await;
    assert_eq!(connection.closed().await, 1000);
    assert_eq!(line(&mut lines).await, None);
    assert_eq!(exit(child).await, (Some(0), empty(), empty()));
}

#[tokio::test]
async fn a_failed_stream_prints_its_items_and_exits_with_the_code_of_the_error() {
    for (ending, expected, message) in [
        (Some(r#"["e",{"error":"no","code":"mine"},1,"error"]"#), 1, r#"{"error":"no","code":"mine"}"#),
        (None, 5, "its outcome is unknown"),
    ] {
        let (child, mut lines, mut connection) = stream().await;
        connection.send(r#"["e",1,1,"item"]"#).await;
        connection.send(r#"["e",2,1,"item"]"#).await;
        match ending {
            Some(text) => connection.send(text).await,
            None => connection.close(1012, "").await,
        }
        drop(connection);
        assert_eq!(line(&mut lines).await.unwrap(), "1");
        assert_eq!(line(&mut lines).await.unwrap(), "2");
        assert_eq!(line(&mut lines).await, None);
        let (code, _, err) = exit(child).await;
        assert!(code == Some(expected) && err.contains(message), "{code:?}: {err}");
    }
}

#[tokio::test]
async fn a_stream_whose_output_is_closed_is_cancelled_and_exits_with_0() {
    let (child, mut lines, mut connection) = stream().await;
    connection.send(r#"["e",1,1,"item"]"#).await;
    line(&mut lines).await.unwrap();
    drop(lines);
    connection.send(r#"["e",2,1,"item"]"#).await;
    assert_eq!(connection.read().await, r#"["e",null,1,"cancel"]"#);
    assert_eq!(connection.closed().await, 1000);
    assert_eq!(exit(child).await, (Some(0), empty(), empty()));
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupted_stream_is_cancelled() {
    let (child, mut lines, mut connection) = stream().await;
    connection.send(r#"["e",1,1,"item"]"#).await;
    line(&mut lines).await.unwrap();
    interrupt(&child).await;
    assert_eq!(connection.read().await, r#"["e",null,1,"cancel"]"#);
    assert_eq!(connection.closed().await, 1000);
    assert_eq!(exit(child).await, (Some(130), empty(), empty()));
}

/// As with a pager that waits: the output is open and full, and is not read.
#[cfg(unix)]
#[tokio::test]
async fn a_stream_can_be_interrupted_while_its_output_is_full() {
    let (mut child, mut lines, mut connection) = stream().await;
    connection.send(r#"["e",1,1,"item"]"#).await;
    line(&mut lines).await.unwrap();
    // Each is larger than a pipe, so that the first blocks the output and no credit is renewed.
    let item = format!(r#"["e","{}",1,"item"]"#, "x".repeat(200_000));
    for _ in 0..60 {
        connection.send(&item).await;
    }
    interrupt(&child).await;
    assert_eq!(connection.read().await, r#"["e",null,1,"cancel"]"#, "no credit was sent before");
    assert_eq!(connection.closed().await, 1000);
    assert_eq!(soon("the exit of aaw", child.wait()).await.unwrap().code(), Some(130));
}

#[tokio::test]
async fn listen_prints_each_push_at_once_and_continues_after_a_reconnect() {
    let server = ScriptedServer::start().await;
    let mut child = aaw(&["listen", &server.url(), "a", "b"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut connection = server.accept().await;
    for text in [r#"["a",{"x":1}]"#, r#"["other",1]"#, "[\"b\",[\n1]]"] {
        connection.send(text).await;
    }
    assert_eq!(soon("a line", lines.next_line()).await.unwrap().unwrap(), r#"{"event":"a","data":{"x":1}}"#);
    assert_eq!(soon("a line", lines.next_line()).await.unwrap().unwrap(), r#"{"event":"b","data":[ 1]}"#);
    connection.close(1012, "").await;
    let mut connection = server.accept().await;
    connection.send(r#"["a",2]"#).await;
    assert_eq!(soon("a line", lines.next_line()).await.unwrap().unwrap(), r#"{"event":"a","data":2}"#);
}

#[tokio::test]
async fn listen_exits_with_0_when_its_output_is_closed() {
    let server = ScriptedServer::start().await;
    let mut child = aaw(&["listen", &server.url()]).spawn().unwrap();
    let mut connection = server.accept().await;
    connection.send(r#"["a",1]"#).await;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    soon("a line", lines.next_line()).await.unwrap().unwrap();
    drop(lines);
    connection.send(r#"["a",2]"#).await;
    assert_eq!(exit(child).await, (Some(0), empty(), empty()));
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupted_listen_closes_the_connection_gracefully() {
    let server = ScriptedServer::start().await;
    let mut child = aaw(&["listen", &server.url()]).spawn().unwrap();
    let mut connection = server.accept().await;
    connection.send(r#"["a",1]"#).await;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    soon("a line", lines.next_line()).await.unwrap().unwrap();
    interrupt(&child).await;
    assert_eq!(connection.closed().await, 1000);
    assert_eq!(exit(child).await.0, Some(130));
}

#[tokio::test]
async fn every_command_documents_its_exit_codes_and_examples() {
    for command in ["call", "stream", "send", "listen", "login"] {
        let (code, out, err) = run(&[command, "--help"]).await;
        assert_eq!((code, err), (Some(0), empty()), "{command}");
        assert!(out.contains("Exit codes:") && out.contains("[default: 3s]"), "{out}");
        let examples = out.split("Examples:").nth(1).unwrap();
        assert!(examples.contains(&format!("aaw {command} ws")), "{out}");
    }
    let (_, out, _) = run(&["--help"]).await;
    assert!(out.contains("Exit codes:") && out.contains("aaw login ws://localhost:1337"), "{out}");
}

#[tokio::test]
async fn completions_are_printed_for_each_shell() {
    for (shell, expected) in [
        ("bash", "complete -F _aaw"),
        ("zsh", "#compdef aaw"),
        ("fish", "complete -c aaw"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer[aaw]"),
    ] {
        let (code, out, err) = run(&["completions", shell]).await;
        assert_eq!((code, err), (Some(0), empty()), "{shell}");
        assert!(out.contains(expected) && out.contains("token-file"), "{shell}: {out}");
    }
}

#[tokio::test]
async fn man_prints_the_page_of_the_program_and_of_each_command() {
    let (code, out, err) = run(&["man"]).await;
    assert_eq!((code, err), (Some(0), empty()));
    assert!(out.contains(".TH aaw 1") && out.contains("aaw\\-call(1)"), "{out}");
    for command in ["call", "stream", "send", "listen", "login"] {
        let (code, out, err) = run(&["man", command]).await;
        assert_eq!((code, err), (Some(0), empty()), "{command}");
        assert!(out.contains(&format!(".TH aaw-{command} 1")), "{out}");
        for part in [".SH SYNOPSIS", ".SH OPTIONS", "\\-\\-timeout", ".SH \"EXIT CODES\"", ".SH EXAMPLES"] {
            assert!(out.contains(part), "{part}: {out}");
        }
    }
}
