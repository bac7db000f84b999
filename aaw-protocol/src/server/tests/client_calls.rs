//! Tests of client calls.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn client_calls_have_descending_ids_and_responses_match_by_id() {
    let mut server = Server::v1();
    server.client_call(70, "confirm", r#"{"really":true}"#, None).unwrap();
    server.client_call(71, "confirm", "2", None).unwrap();
    server.check(
        [r#"["confirm","no",-2]"#, r#"["confirm", {"a":[1]} ,-1]"#],
        r#"
        ["confirm",{"really":true},-1]
        ["confirm",2,-2]
        71 responded: "no"
        70 responded: {"a":[1]}
        "#,
    );
    assert_eq!(server.connection.client_calls_in_flight(), 0);
}

#[test]
fn ids_of_client_calls_and_calls_do_not_collide() {
    let mut server = Server::v1();
    server.client_call(1, "ping", "null", None).unwrap();
    server.check(
        [r#"["slow","a",1]"#, r#"["ping","pong",-1]"#],
        r#"
        ["ping",null,-1]
        run "a"
        1 responded: "pong"
        "#,
    );
    server.complete(r#""a""#);
    server.expect(r#"["slow","done",1]"#);
}

#[test]
fn a_failure_keeps_the_clients_text_and_code() {
    let mut server = Server::v1();
    for key in 1..=4 {
        server.client_call(key, "confirm", "null", None).unwrap();
    }
    server.log.clear();
    server.check(
        [
            r#"["confirm",{"error":"Unknown event: confirm","code":"unknown_event"},-1,"error"]"#,
            r#"["confirm",{"error":"No","code":"stubborn","data":[1]},-2,"error"]"#,
            r#"["confirm",{"error":"without a code"},-3,"error"]"#,
            r#"["confirm","no failure",-4,"error"]"#,
        ],
        r#"
        1 failed: unknown_event Unknown event: confirm
        2 failed: stubborn No
        3 failed: handler without a code
        4 failed: bad_frame The client returned a malformed error: invalid type: string "no failure", expected struct Failure at line 1 column 12
        "#,
    );
}

#[test]
fn a_second_or_late_response_is_ignored_and_an_unknown_id_is_a_bad_frame() {
    let mut server = Server::v1();
    server.client_call(1, "confirm", "null", None).unwrap();
    server.client_call(2, "confirm", "null", None).unwrap();
    server.connection.cancel_client_call(ClientCallKey(2));
    server.drain_outputs();
    server.log.clear();
    server.check(
        [r#"["confirm",1,-1]"#, r#"["confirm",2,-1]"#, r#"["confirm",3,-2]"#, r#"["confirm",{},-2,"error"]"#],
        "1 responded: 1",
    );
    server.check(
        [
            r#"["confirm",1,-3]"#,
            r#"["confirm",{"error":"no"},-3,"error"]"#,
            r#"["confirm",1,-9223372036854775808]"#,
            r#"["confirm",1,-1,"item"]"#,
            r#"["confirm",null,-1,"end"]"#,
            r#"["confirm",4,-1,"credit"]"#,
            r#"["confirm",null,-1,"cancel"]"#,
            r#"["confirm",null,-1,"call"]"#,
            r#"["confirm",nonsense,-1]"#,
        ],
        r"
        bad: a response with id -3 to a client call that was never made
        bad: a response with id -3 to a client call that was never made
        bad: a response with id -9223372036854775808 to a client call that was never made
        bad: id -1 belongs to no call; the last id was 0
        bad: id -1 belongs to no call; the last id was 0
        bad: id -1 belongs to no call; the last id was 0
        bad: id -1 belongs to no call; the last id was 0
        bad: id -1 for a call; a client's ids are 1, 2, 3 and so on
        bad: not JSON: expected ident at line 1 column 13
        ",
    );
}

#[test]
fn the_event_of_a_response_does_not_matter() {
    let mut server = Server::v1();
    server.client_call(1, "confirm", "null", None).unwrap();
    server.check([r#"["something else",true,-1]"#], "[\"confirm\",null,-1]\n1 responded: true");
}

#[test]
fn a_cancelled_client_call_notifies_the_client_once() {
    let mut server = Server::v1();
    server.client_call(1, "confirm", "null", Some(SECOND)).unwrap();
    for _ in 0..2 {
        server.connection.cancel_client_call(ClientCallKey(1));
        server.drain_outputs();
    }
    server.expect("[\"confirm\",null,-1]\n[\"confirm\",null,-1,\"cancel\"]");
    server.pass(2 * SECOND);
    server.expect("");
    // The key can be reused.
    server.client_call(1, "confirm", "null", None).unwrap();
    server.expect(r#"["confirm",null,-2]"#);
}

#[test]
fn a_client_call_ends_at_its_deadline() {
    let mut server = Server::v1();
    server.client_call(1, "confirm", "1", Some(3 * SECOND)).unwrap();
    server.client_call(2, "confirm", "2", Some(SECOND)).unwrap();
    server.client_call(3, "confirm", "3", None).unwrap();
    server.log.clear();
    assert_eq!(server.connection.poll_timeout(), server.now + SECOND);
    server.pass(SECOND);
    server.expect("[\"confirm\",null,-2,\"cancel\"]\n2 failed: timeout The client did not respond in time");
    assert_eq!(server.connection.poll_timeout(), server.now + 2 * SECOND);
    server.check([r#"["confirm",true,-1]"#], "1 responded: true");
    server.pass(10 * SECOND);
    server.expect("");
    assert_eq!(server.client_call(4, "confirm", "4", Some(Duration::ZERO)), Err(Code::TIMEOUT));
    server.expect("");
}

#[test]
fn a_client_call_fails_at_once_if_the_client_cannot_be_called() {
    let mut classic = Server::classic();
    assert_eq!(classic.client_call(1, "confirm", "null", None), Err(Code::UNREACHABLE));
    classic.check([r#"["confirm",1,-1]"#], r#"["confirm",{"error":"Unknown event: confirm"},-1]"#);

    let mut before_hello = Server::new(Dialect::V1, ServerConfig::default());
    assert_eq!(before_hello.client_call(1, "confirm", "null", None), Err(Code::NO_CONNECTION));
    before_hello.expect("");

    let mut before_hook = Server::new(Dialect::V1, ServerConfig::default());
    before_hook.connection.wait_for_open_hook();
    before_hook.receive(r#"["aaw/hello",{}]"#);
    assert_eq!(before_hook.client_call(1, "confirm", "null", None), Err(Code::NO_CONNECTION));
    before_hook.expect("open?");

    let mut server = Server::v1();
    assert_eq!(server.client_call(1, "aaw/login", "null", None), Err(Code::NOT_ALLOWED));
    server.client_call(1, "confirm", "null", Some(SECOND)).unwrap();
    server.log.clear();
    server.connection.close(Close::Stopping);
    assert_eq!(server.client_call(2, "confirm", "null", None), Err(Code::NO_CONNECTION));
    server.pass(2 * SECOND);
    server.check([r#"["confirm",1,-1]"#], "close 1001");
}

#[test]
fn client_calls_in_flight_are_bounded() {
    let mut server = Server::v1_with(ServerConfig { max_client_calls: 2, ..ServerConfig::default() });
    server.client_call(1, "confirm", "null", None).unwrap();
    server.client_call(2, "confirm", "null", None).unwrap();
    assert_eq!(server.client_call(3, "confirm", "null", None), Err(Code::BUSY));
    server.log.clear();
    server.check([r#"["confirm",1,-1]"#], "1 responded: 1");
    server.client_call(3, "confirm", "null", None).unwrap();
    server.expect(r#"["confirm",null,-3]"#);
}

#[test]
fn a_client_call_above_the_message_limit_uses_no_id() {
    let limits = Limits { message: 40, ..Limits::default() };
    let mut server = Server::v1_with(ServerConfig { limits, ..ServerConfig::default() });
    assert_eq!(server.client_call(1, "confirm", &format!("{:?}", "x".repeat(40)), None), Err(Code::TOO_LARGE));
    server.client_call(1, "confirm", "null", None).unwrap();
    server.expect(r#"["confirm",null,-1]"#);
}

#[test]
fn a_client_that_does_not_read_is_not_called() {
    let mut server = Server::v1_with(ServerConfig { max_unsent_bytes: 1000, ..ServerConfig::default() });
    server.writable = false;
    let mut calls = 0;
    while server.client_call(calls, "confirm", "null", None).is_ok() {
        server.connection.cancel_client_call(ClientCallKey(calls));
        server.drain_outputs();
        calls += 1;
    }
    assert!((1..50).contains(&calls), "{calls}");
    assert_eq!(server.client_call(100, "confirm", "null", None), Err(Code::BUSY));
    server.write_everything();
    server.client_call(100, "confirm", "null", None).unwrap();
}
