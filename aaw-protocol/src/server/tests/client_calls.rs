//! What the server asks its client.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn asks_are_numbered_downwards_and_answered_by_their_ids() {
    let mut server = Server::v1();
    server.ask(70, "confirm", r#"{"really":true}"#, None).unwrap();
    server.ask(71, "confirm", "2", None).unwrap();
    server.check(
        [r#"["confirm","no",-2]"#, r#"["confirm", {"a":[1]} ,-1]"#],
        r#"
        ["confirm",{"really":true},-1]
        ["confirm",2,-2]
        71 answered: "no"
        70 answered: {"a":[1]}
        "#,
    );
    assert_eq!(server.session.client_calls_in_flight(), 0);
}

#[test]
fn ids_of_asks_and_of_calls_do_not_meet() {
    let mut server = Server::v1();
    server.ask(1, "ping", "null", None).unwrap();
    server.check(
        [r#"["slow","a",1]"#, r#"["ping","pong",-1]"#],
        r#"
        ["ping",null,-1]
        run "a"
        1 answered: "pong"
        "#,
    );
    server.finish(r#""a""#);
    server.expect(r#"["slow","done",1]"#);
}

#[test]
fn a_failure_is_the_clients_own_words() {
    let mut server = Server::v1();
    for key in 1..=4 {
        server.ask(key, "confirm", "null", None).unwrap();
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
        4 failed: bad_frame The client failed, and its error cannot be read: invalid type: string "no failure", expected struct Failure at line 1 column 12
        "#,
    );
}

#[test]
fn an_answer_that_comes_twice_or_too_late_is_ignored_and_one_to_nothing_is_bad() {
    let mut server = Server::v1();
    server.ask(1, "confirm", "null", None).unwrap();
    server.ask(2, "confirm", "null", None).unwrap();
    server.session.cancel_client_call(ClientCallKey(2));
    server.settle();
    server.log.clear();
    server.check(
        [r#"["confirm",1,-1]"#, r#"["confirm",2,-1]"#, r#"["confirm",3,-2]"#, r#"["confirm",{},-2,"error"]"#],
        "1 answered: 1",
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
        bad: an answer with id -3 to a call that was never made
        bad: an answer with id -3 to a call that was never made
        bad: an answer with id -9223372036854775808 to a call that was never made
        bad: id -1 names no call; the last was 0
        bad: id -1 names no call; the last was 0
        bad: id -1 names no call; the last was 0
        bad: id -1 names no call; the last was 0
        bad: id -1 for a call; a client's ids are 1, 2, 3 and so on
        bad: not JSON: expected ident at line 1 column 13
        ",
    );
}

#[test]
fn the_event_of_an_answer_does_not_matter() {
    let mut server = Server::v1();
    server.ask(1, "confirm", "null", None).unwrap();
    server.check([r#"["something else",true,-1]"#], "[\"confirm\",null,-1]\n1 answered: true");
}

#[test]
fn whoever_asked_may_go_and_the_client_is_told_once() {
    let mut server = Server::v1();
    server.ask(1, "confirm", "null", Some(SECOND)).unwrap();
    for _ in 0..2 {
        server.session.cancel_client_call(ClientCallKey(1));
        server.settle();
    }
    server.expect("[\"confirm\",null,-1]\n[\"confirm\",null,-1,\"cancel\"]");
    server.pass(2 * SECOND);
    server.expect("");
    // A key can be used again.
    server.ask(1, "confirm", "null", None).unwrap();
    server.expect(r#"["confirm",null,-2]"#);
}

#[test]
fn an_ask_has_its_time() {
    let mut server = Server::v1();
    server.ask(1, "confirm", "1", Some(3 * SECOND)).unwrap();
    server.ask(2, "confirm", "2", Some(SECOND)).unwrap();
    server.ask(3, "confirm", "3", None).unwrap();
    server.log.clear();
    assert_eq!(server.session.poll_timeout(), server.now + SECOND);
    server.pass(SECOND);
    server.expect("[\"confirm\",null,-2,\"cancel\"]\n2 failed: timeout The client did not answer in time");
    assert_eq!(server.session.poll_timeout(), server.now + 2 * SECOND);
    server.check([r#"["confirm",true,-1]"#], "1 answered: true");
    server.pass(10 * SECOND);
    server.expect("");
    assert_eq!(server.ask(4, "confirm", "4", Some(Duration::ZERO)), Err(Code::TIMEOUT));
    server.expect("");
}

#[test]
fn who_cannot_be_asked() {
    let mut classic = Server::classic();
    assert_eq!(classic.ask(1, "confirm", "null", None), Err(Code::UNREACHABLE));
    classic.check([r#"["confirm",1,-1]"#], r#"["confirm",{"error":"Unknown event: confirm"},-1]"#);

    let mut greeting = Server::new(Dialect::V1, ServerConfig::default());
    assert_eq!(greeting.ask(1, "confirm", "null", None), Err(Code::NO_CONNECTION));
    greeting.expect("");

    let mut held = Server::new(Dialect::V1, ServerConfig::default());
    held.session.wait_for_open_hook();
    held.hear(r#"["aaw/hello",{}]"#);
    assert_eq!(held.ask(1, "confirm", "null", None), Err(Code::NO_CONNECTION));
    held.expect("open?");

    let mut server = Server::v1();
    assert_eq!(server.ask(1, "aaw/login", "null", None), Err(Code::NOT_ALLOWED));
    server.ask(1, "confirm", "null", Some(SECOND)).unwrap();
    server.log.clear();
    server.session.close(Close::Stopping);
    assert_eq!(server.ask(2, "confirm", "null", None), Err(Code::NO_CONNECTION));
    server.pass(2 * SECOND);
    server.check([r#"["confirm",1,-1]"#], "close 1001");
}

#[test]
fn open_asks_are_bounded() {
    let mut server = Server::v1_with(ServerConfig { asks: 2, ..ServerConfig::default() });
    server.ask(1, "confirm", "null", None).unwrap();
    server.ask(2, "confirm", "null", None).unwrap();
    assert_eq!(server.ask(3, "confirm", "null", None), Err(Code::BUSY));
    server.log.clear();
    server.check([r#"["confirm",1,-1]"#], "1 answered: 1");
    server.ask(3, "confirm", "null", None).unwrap();
    server.expect(r#"["confirm",null,-3]"#);
}

#[test]
fn what_is_larger_than_a_message_takes_no_id() {
    let limits = Limits { message: 40, ..Limits::default() };
    let mut server = Server::v1_with(ServerConfig { limits, ..ServerConfig::default() });
    assert_eq!(server.ask(1, "confirm", &format!("{:?}", "x".repeat(40)), None), Err(Code::TOO_LARGE));
    server.ask(1, "confirm", "null", None).unwrap();
    server.expect(r#"["confirm",null,-1]"#);
}

#[test]
fn who_does_not_read_is_asked_no_more() {
    let mut server = Server::v1_with(ServerConfig { unsent: 1000, ..ServerConfig::default() });
    server.reads = false;
    let mut asked = 0;
    while server.ask(asked, "confirm", "null", None).is_ok() {
        server.session.cancel_client_call(ClientCallKey(asked));
        server.settle();
        asked += 1;
    }
    assert!((1..10).contains(&asked), "{asked}");
    assert_eq!(server.ask(100, "confirm", "null", None), Err(Code::BUSY));
    server.take_everything();
    server.ask(100, "confirm", "null", None).unwrap();
}
