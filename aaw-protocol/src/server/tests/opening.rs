//! Tests of the open hook.

use super::*;

const WELCOME: &str =
    r#"["aaw/welcome",{"connection":"7f","resumed":false,"limits":{"calls":256,"line":1048576,"message":1048576}}]"#;

/// A server whose open hook is pending.
fn pending(dialect: Dialect) -> Server {
    pending_with(dialect, ServerConfig::default())
}

fn pending_with(dialect: Dialect, config: ServerConfig) -> Server {
    let mut server = Server::new(dialect, config);
    server.connection.wait_for_open_hook();
    server.drain_outputs();
    server
}

/// A server whose open hook is pending after the hello of a v1 client.
fn pending_after_hello() -> Server {
    let mut server = pending(Dialect::V1);
    server.check([r#"["aaw/hello",{}]"#], "open?");
    server
}

impl Server {
    fn pass_hook(&mut self) {
        self.connection.handle_open_hook_passed();
        self.drain_outputs();
    }

    fn refuse_hook(&mut self, failure: Failure) {
        self.connection.handle_open_hook_refused(failure);
        self.drain_outputs();
    }
}

#[test]
fn the_hello_runs_the_hook_and_the_welcome_waits_for_it() {
    let mut server = pending(Dialect::V1);
    server.expect("");
    server.check(
        [r#"["ping",null,1]"#, r#"["aaw/hello",{}]"#, r#"["ping",null,1]"#, r#"["one_way"]"#, r#"["aaw/hello",{}]"#],
        r#"
        bad: the first frame must be ["aaw/hello", {…}]
        open?
        bad: a second aaw/hello
        "#,
    );
    assert!(!server.connection.is_open() && !server.connection.is_idle());
    server.pass_hook();
    server.expect(&format!("{WELCOME}\n[\"ping\",{{\"pong\":true}},1]"));
    assert!(server.connection.is_open() && server.connection.is_idle());
    server.pass_hook();
    server.check([r#"["ping",null,2]"#], r#"["ping",{"pong":true},2]"#);
}

#[test]
fn a_classic_client_runs_the_hook_at_once() {
    let mut server = pending(Dialect::Classic);
    server.check([r#"["ping",null]"#, r#"["ping",null,"x"]"#], "open?");
    assert!(!server.connection.is_open());
    server.pass_hook();
    server.expect("[\"ping\",{\"pong\":true}]\n[\"ping\",{\"pong\":true},\"x\"]");
    assert!(server.connection.is_open());
}

#[test]
fn a_connection_without_a_hook_opens_with_the_hello() {
    let mut server = Server::new(Dialect::V1, ServerConfig::default());
    server.pass_hook();
    server.expect("");
    server.check([r#"["aaw/hello",{}]"#], WELCOME);
    server.pass_hook();
    server.expect("");
}

#[test]
fn a_hook_that_passed_before_the_hello_does_not_delay_the_welcome() {
    let mut server = pending(Dialect::V1);
    server.pass_hook();
    server.check([r#"["aaw/hello",{}]"#], WELCOME);
}

#[test]
fn a_refused_v1_client_gets_an_error_and_a_close_frame() {
    let mut server = pending_after_hello();
    server.check([r#"["slow",1,1]"#, r#"["slow",2]"#], "");
    let Input::Handled = server.connection.handle_text(server.now, r#"["slow",3,2]"#) else {
        panic!("the call is queued")
    };
    server.refuse_hook(Failure::new(Code::HANDLER, "Members only"));
    server.expect(
        r#"["aaw/error",{"error":"Members only","code":"not_allowed"}]
        close 1008"#,
    );
    // Queued calls are discarded, and later messages are ignored.
    assert!(server.connection.is_idle());
    server.connection.drain();
    server.pass_hook();
    server.refuse_hook(Failure::new(Code::HANDLER, "again"));
    server.check([r#"["ping",null,3]"#, r#"["aaw/ping"]"#], "");
    assert!(!server.connection.is_open());
}

#[test]
fn a_refused_classic_client_gets_only_a_close_frame() {
    let mut server = pending(Dialect::Classic);
    server.check([r#"["ping",null]"#], "open?");
    server.refuse_hook(Failure::new(Code::HANDLER, "Members only"));
    server.expect("close 1008");
}

#[test]
fn a_refusal_keeps_its_own_code_and_data() {
    let mut server = pending_after_hello();
    let failure: Failure = serde_json::from_str(r#"{"error":"no","code":"full","data":{"at":7}}"#).unwrap();
    server.refuse_hook(failure);
    server.expect(
        r#"["aaw/error",{"error":"no","code":"full","data":{"at":7}}]
        close 1008"#,
    );
}

#[test]
fn a_refusal_is_shortened_to_the_message_and_the_close_frame() {
    let limits = Limits { message: 5000, ..Limits::default() };
    let mut server = pending_with(Dialect::V1, ServerConfig { limits, ..ServerConfig::default() });
    server.receive(r#"["aaw/hello",{}]"#);
    server.connection.handle_open_hook_refused(Failure::new(Code::HANDLER, "é".repeat(4000)));
    server.connection.poll_output();
    let Some(Output::Close(close)) = server.connection.poll_output() else { panic!("the connection is closed") };
    // At most 123 bytes, without splitting a character.
    assert_eq!((close.code(), close.to_string()), (1008, "é".repeat(61)));
    let mut server = pending_with(Dialect::V1, ServerConfig { limits, ..ServerConfig::default() });
    server.receive(r#"["aaw/hello",{}]"#);
    server.log.clear();
    server.refuse_hook(Failure::new(Code::HANDLER, "é".repeat(4000)));
    server.expect(&format!(
        "[\"aaw/error\",{{\"error\":\"{}…\",\"code\":\"not_allowed\"}}]\nclose 1008",
        "é".repeat(200)
    ));
}

#[test]
fn the_hello_has_a_timeout_and_the_hook_has_none() {
    let mut server = pending(Dialect::V1);
    server.pass(10 * SECOND);
    server.expect("close 1002");
    let mut server = pending_after_hello();
    server.pass(15 * SECOND);
    server.expect("");
    server.pass_hook();
    server.expect(WELCOME);
}

#[test]
fn pings_work_in_both_directions_while_the_hook_is_pending() {
    let mut server = pending_after_hello();
    server.check([r#"["aaw/ping"]"#], r#"["aaw/pong",null]"#);
    server.pass(20 * SECOND);
    server.expect("ping");
    server.pass(20 * SECOND);
    server.pass(20 * SECOND);
    server.expect("ping\nclose 1001");
}

#[test]
fn the_wait_queue_is_bounded_while_the_hook_is_pending() {
    let config = limits(1, 2 * (15 + size_of::<super::super::wait_queue::QueuedFrame>() as u32));
    let mut server = pending_with(Dialect::V1, config);
    server.check(
        [r#"["aaw/hello",{}]"#, r#"["ping",null,1]"#, r#"["ping",null,2]"#, r#"["ping",null,3]"#],
        r#"
        open?
        ["ping",{"error":"Too many calls: 0 run and the wait queue is full","code":"busy"},3,"error"]
        "#,
    );
    server.pass_hook();
    server.log.clear();
    server.check([r#"["ping",null,4]"#], r#"["ping",{"pong":true},4]"#);
}

#[test]
fn calls_behind_a_pending_hook_accept_cancels_and_credit() {
    let mut server = pending_after_hello();
    server.check(
        [
            r#"["slow",1,1]"#,
            r#"["slow",2,2,"call",{"credit":1}]"#,
            r#"["slow",3,3,"call",{"in":true,"timeout":50}]"#,
            r#"["slow",null,1,"cancel"]"#,
            r#"["slow",5,2,"credit"]"#,
            r#"["slow",null,3,"end"]"#,
        ],
        "",
    );
    server.pass(10 * MS);
    server.pass_hook();
    server.expect(&format!("{WELCOME}\nrun 2\nrun 3\nend for 3"));
    assert_eq!(server.credit("2"), 5);
    // The timeout counts from the arrival of the call.
    server.pass(40 * MS);
    server.expect(
        r#"
        drop 3
        ["slow",{"error":"The call did not complete within its timeout","code":"timeout"},3,"error"]
        "#,
    );
}

#[test]
fn calls_behind_a_pending_hook_are_refused_when_the_server_stops() {
    let mut server = pending_after_hello();
    server.check([r#"["ping",null,1]"#, r#"["ping",null]"#], "");
    server.connection.drain();
    server.drain_outputs();
    server.expect(
        r#"
        ["ping",{"error":"The server is stopping","code":"busy"},1,"error"]
        ["aaw/error",{"error":"The server is stopping","code":"busy","event":"ping"}]
        "#,
    );
    assert!(server.connection.is_idle() && !server.connection.is_open());
    server.connection.close(Close::Stopping);
    server.pass_hook();
    server.expect("close 1001");
}
