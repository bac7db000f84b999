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
    // Of a client that asks again and again.
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

#[test]
fn only_the_event_and_the_id_decide_whether_a_message_is_counted() {
    let mut server = deciding();
    server.connection.begin(true);
    for uncounted in [
        r#"["aaw/ack",0]"#,
        r#"["aaw/ack","x"]"#,
        r#"["aaw/welcome",7]"#,
        r#"["aaw/pong"]"#,
        r#"["aaw/ping",null]"#,
        r#"["aaw/hello",{}]"#,
        r#"["aaw/ack",5,null,"cancel"]"#,
    ] {
        server.connection.handle_text(server.now, uncounted);
    }
    for counted in [r#"["event",1]"#, "nonsense", r#"["aaw/ack",nonsense]"#, r#"["aaw/ack",0,-3]"#, r#"["aaw/new",1]"#]
    {
        server.connection.handle_text(server.now, counted);
    }
    server.connection.handle_binary(server.now, 3);
    server.connection.suspend();
    let welcome = String::from_utf8(server.connection.resume(server.now, "7f".into())).unwrap();
    assert!(welcome.contains(r#""received":6"#), "{welcome}");
}
