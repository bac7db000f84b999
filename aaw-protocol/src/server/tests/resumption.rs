//! Tests of a hello that asks for resumption, until its owner has decided.

use super::*;

/// A server whose client has sent a hello, and which has not decided about it.
fn deciding() -> Server {
    let config = ServerConfig { resumption_window: Duration::from_secs(60), ..ServerConfig::default() };
    let mut server = Server::new(Dialect::V1, config);
    let hello = r#"["aaw/hello",{"resumption":{"key":"0123456789abcdef0123456789abcdef"}}]"#;
    let input = server.connection.handle_text(server.now, hello);
    assert!(matches!(input, Input::Hello(_)));
    server
}

#[test]
fn the_time_that_a_decision_takes_is_not_the_clients() {
    let mut server = deciding();
    server.connection.extend_hello_timeout(Duration::from_secs(5));
    server.pass(Duration::from_secs(14));
    server.expect("");
    server.pass(Duration::from_secs(1));
    server.expect("close 1002");

    let mut server = deciding();
    server.connection.begin(true);
    server.connection.extend_hello_timeout(Duration::from_secs(5));
    assert!(server.connection.is_open(), "there is no deadline to extend");
}

#[test]
fn a_reason_that_does_not_fit_into_a_message_is_shortened() {
    let mut server = deciding();
    server.connection.refuse_hello("No");
    server.drain_outputs();
    server.expect("bad: No");
    server.connection.refuse_hello("x".repeat(1 << 20));
    let Some(Output::Send(frame)) = server.connection.poll_output() else { panic!("no error was sent") };
    assert!(frame.len() < 1000, "{} bytes", frame.len());
}
