//! The opening that somebody has to agree to.

use super::*;

const WELCOME: &str =
    r#"["aaw/welcome",{"connection":"7f","resumed":false,"limits":{"calls":256,"line":1048576,"message":1048576}}]"#;

fn held(dialect: Dialect) -> Server {
    held_with(dialect, ServerConfig::default())
}

fn held_with(dialect: Dialect, config: ServerConfig) -> Server {
    let mut server = Server::new(dialect, config);
    server.session.wait_for_open_hook();
    server.settle();
    server
}

/// A v1 client has said hello, and nobody has agreed yet.
fn asked() -> Server {
    let mut server = held(Dialect::V1);
    server.check([r#"["aaw/hello",{}]"#], "open?");
    server
}

impl Server {
    fn opened(&mut self) {
        self.session.handle_open_hook_passed();
        self.settle();
    }

    fn handle_open_hook_refused(&mut self, failure: Failure) {
        self.session.handle_open_hook_refused(failure);
        self.settle();
    }
}

#[test]
fn the_hello_asks_and_the_welcome_waits() {
    let mut server = held(Dialect::V1);
    server.expect("");
    server.check(
        [r#"["ping",null,1]"#, r#"["aaw/hello",{}]"#, r#"["ping",null,1]"#, r#"["plain"]"#, r#"["aaw/hello",{}]"#],
        r#"
        bad: the first frame must be ["aaw/hello", {…}]
        open?
        bad: a second aaw/hello
        "#,
    );
    assert!(!server.session.is_open() && !server.session.is_idle());
    server.opened();
    server.expect(&format!("{WELCOME}\n[\"ping\",{{\"pong\":true}},1]"));
    assert!(server.session.is_open() && server.session.is_idle());
    server.opened();
    server.check([r#"["ping",null,2]"#], r#"["ping",{"pong":true},2]"#);
}

#[test]
fn a_classic_client_is_asked_for_at_once() {
    let mut server = held(Dialect::Classic);
    server.check([r#"["ping",null]"#, r#"["ping",null,"x"]"#], "open?");
    assert!(!server.session.is_open());
    server.opened();
    server.expect("[\"ping\",{\"pong\":true}]\n[\"ping\",{\"pong\":true},\"x\"]");
    assert!(server.session.is_open());
}

#[test]
fn who_is_not_held_is_not_asked_for() {
    let mut server = Server::new(Dialect::V1, ServerConfig::default());
    server.opened();
    server.expect("");
    server.check([r#"["aaw/hello",{}]"#], WELCOME);
    server.opened();
    server.expect("");
}

#[test]
fn what_was_agreed_to_before_the_hello_is_welcomed_by_it() {
    let mut server = held(Dialect::V1);
    server.opened();
    server.check([r#"["aaw/hello",{}]"#], WELCOME);
}

#[test]
fn a_v1_client_is_turned_away_in_words() {
    let mut server = asked();
    server.check([r#"["slow",1,1]"#, r#"["slow",2]"#], "");
    let Input::Handled = server.session.handle_text(server.now, r#"["slow",3,2]"#) else { panic!("it waits") };
    server.handle_open_hook_refused(Failure::new(Code::HANDLER, "Members only"));
    server.expect(
        r#"["aaw/error",{"error":"Members only","code":"not_allowed"}]
        close 1008"#,
    );
    // What waited is forgotten, and nothing more is looked at.
    assert!(server.session.is_idle());
    server.session.drain();
    server.opened();
    server.handle_open_hook_refused(Failure::new(Code::HANDLER, "again"));
    server.check([r#"["ping",null,3]"#, r#"["aaw/ping"]"#], "");
    assert!(!server.session.is_open());
}

#[test]
fn a_classic_client_is_turned_away_by_the_close_alone() {
    let mut server = held(Dialect::Classic);
    server.check([r#"["ping",null]"#], "open?");
    server.handle_open_hook_refused(Failure::new(Code::HANDLER, "Members only"));
    server.expect("close 1008");
}

#[test]
fn a_refusal_keeps_the_code_that_was_chosen_and_its_data() {
    let mut server = asked();
    let failure: Failure = serde_json::from_str(r#"{"error":"no","code":"full","data":{"at":7}}"#).unwrap();
    server.handle_open_hook_refused(failure);
    server.expect(
        r#"["aaw/error",{"error":"no","code":"full","data":{"at":7}}]
        close 1008"#,
    );
}

#[test]
fn the_words_of_a_refusal_are_cut_to_where_they_go() {
    let limits = Limits { message: 5000, ..Limits::default() };
    let mut server = held_with(Dialect::V1, ServerConfig { limits, ..ServerConfig::default() });
    server.hear(r#"["aaw/hello",{}]"#);
    server.session.handle_open_hook_refused(Failure::new(Code::HANDLER, "é".repeat(4000)));
    server.session.poll_output();
    let Some(Output::Close(close)) = server.session.poll_output() else { panic!("it closes") };
    // 123 bytes at most, in whole characters.
    assert_eq!((close.code(), close.to_string()), (1008, "é".repeat(61)));
    let mut server = held_with(Dialect::V1, ServerConfig { limits, ..ServerConfig::default() });
    server.hear(r#"["aaw/hello",{}]"#);
    server.log.clear();
    server.handle_open_hook_refused(Failure::new(Code::HANDLER, "é".repeat(4000)));
    server.expect(&format!(
        "[\"aaw/error\",{{\"error\":\"{}…\",\"code\":\"not_allowed\"}}]\nclose 1008",
        "é".repeat(200)
    ));
}

#[test]
fn the_hello_is_due_in_time_and_the_decision_is_not() {
    let mut server = held(Dialect::V1);
    server.pass(10 * SECOND);
    server.expect("close 1002");
    let mut server = asked();
    server.pass(15 * SECOND);
    server.expect("");
    server.opened();
    server.expect(WELCOME);
}

#[test]
fn a_client_that_waits_to_be_let_in_is_pinged_and_answered() {
    let mut server = asked();
    server.check([r#"["aaw/ping"]"#], r#"["aaw/pong",null]"#);
    server.pass(20 * SECOND);
    server.expect("ping");
    server.pass(20 * SECOND);
    server.pass(20 * SECOND);
    server.expect("ping\nclose 1001");
}

#[test]
fn what_waits_to_be_let_in_is_bounded_as_ever() {
    let config = limited(1, 2 * (15 + size_of::<super::super::wait_queue::Place>() as u32));
    let mut server = held_with(Dialect::V1, config);
    server.check(
        [r#"["aaw/hello",{}]"#, r#"["ping",null,1]"#, r#"["ping",null,2]"#, r#"["ping",null,3]"#],
        r#"
        open?
        ["ping",{"error":"Too many calls: 0 run and the line is full","code":"busy"},3,"error"]
        "#,
    );
    server.opened();
    server.log.clear();
    server.check([r#"["ping",null,4]"#], r#"["ping",{"pong":true},4]"#);
}

#[test]
fn calls_that_wait_to_be_let_in_are_cancelled_and_given_credit() {
    let mut server = asked();
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
    server.opened();
    server.expect(&format!("{WELCOME}\nrun 2\nrun 3\nend for 3"));
    assert_eq!(server.credit("2"), 5);
    // Its time began when it came.
    server.pass(40 * MS);
    server.expect(
        r#"
        drop 3
        ["slow",{"error":"The handler did not end within the time its caller gave it","code":"timeout"},3,"error"]
        "#,
    );
}

#[test]
fn what_waits_to_be_let_in_is_refused_when_the_server_stops() {
    let mut server = asked();
    server.check([r#"["ping",null,1]"#, r#"["ping",null]"#], "");
    server.session.drain();
    server.settle();
    server.expect(
        r#"
        ["ping",{"error":"The server is stopping","code":"busy"},1,"error"]
        ["aaw/error",{"error":"The server is stopping","code":"busy","event":"ping"}]
        "#,
    );
    assert!(server.session.is_idle() && !server.session.is_open());
    server.session.close(Close::Stopping);
    server.opened();
    server.expect("close 1001");
}
