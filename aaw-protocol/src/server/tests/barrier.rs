//! Calls that nothing overtakes.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn nothing_overtakes_a_change() {
    let mut server = Server::v1();
    server.check(
        [
            r#"["slow","before",1]"#,
            r#"["change","c",2]"#,
            r#"["ping",null,3]"#,
            r#"["plain",null]"#,
            r#"["slow","after",4]"#,
        ],
        "run \"before\"\nrun \"c\"",
    );
    // What came before ends when it likes, and lets nothing go.
    server.finish(r#""before""#);
    server.expect(r#"["slow","done",1]"#);
    server.finish(r#""c""#);
    server.expect(
        r#"
        ["change","done",2]
        ["ping",{"pong":true},3]
        run "after"
        "#,
    );
}

#[test]
fn one_change_waits_for_another() {
    let mut server = Server::v1();
    server.check([r#"["change","c",1]"#, r#"["change","d",2]"#, r#"["ping",null,3]"#], "run \"c\"");
    server.finish(r#""c""#);
    server.expect("[\"change\",\"done\",1]\nrun \"d\"");
    server.finish(r#""d""#);
    server.expect("[\"change\",\"done\",2]\n[\"ping\",{\"pong\":true},3]");
}

#[test]
fn classic_clients_keep_their_order_too() {
    let mut server = Server::classic();
    server.check([r#"["change","c"]"#, r#"["ping",null]"#], "run \"c\"");
    server.finish(r#""c""#);
    server.expect("[\"change\",\"done\"]\n[\"ping\",{\"pong\":true}]");
}

#[test]
fn a_send_that_changes_something_is_waited_for() {
    let mut server = Server::v1();
    server.check([r#"["change","c"]"#, r#"["ping",null,1]"#], "run \"c\"");
    server.finish(r#""c""#);
    server.expect(r#"["ping",{"pong":true},1]"#);
}

#[test]
fn a_change_that_fails_lets_the_line_go() {
    let mut server = Server::v1();
    server.check([r#"["change","c",1]"#, r#"["ping",null,2]"#], "run \"c\"");
    server.finish_with(r#""c""#, b"", Completion::Failed(Failure::new(Code::HANDLER, "no")));
    server.expect("[\"change\",{\"error\":\"no\",\"code\":\"handler\"},1,\"error\"]\n[\"ping\",{\"pong\":true},2]");
}

#[test]
fn a_change_that_is_cancelled_lets_the_line_go() {
    let mut server = Server::v1();
    server.check(
        [r#"["change","c",1]"#, r#"["ping",null,2]"#, r#"["change",null,1,"cancel"]"#],
        "run \"c\"\ndrop \"c\"\n[\"ping\",{\"pong\":true},2]",
    );
}

#[test]
fn a_change_that_runs_out_of_time_lets_the_line_go() {
    let mut server = Server::v1();
    server.check([r#"["change","c",1,"call",{"timeout":1000}]"#, r#"["ping",null,2]"#], "run \"c\"");
    server.pass(SECOND);
    server.expect(
        r#"
        drop "c"
        ["change",{"error":"The handler did not end within the time its caller gave it","code":"timeout"},1,"error"]
        ["ping",{"pong":true},2]
        "#,
    );
}

#[test]
fn an_answer_that_waits_for_credit_holds_nobody_up() {
    let mut server = Server::v1();
    server.check([r#"["change","c",1,"call",{"credit":0}]"#, r#"["ping",null,2]"#], "run \"c\"");
    server.finish(r#""c""#);
    server.expect(r#"["ping",{"pong":true},2]"#);
    server.check([r#"["change",1,1,"credit"]"#], "[\"change\",\"done\",1,\"item\"]\n[\"change\",null,1,\"end\"]");
}

#[test]
fn everything_but_calls_is_read_meanwhile() {
    let mut server = Server::v1();
    server.ask(7, "confirm", "null", None).unwrap();
    server.check(
        [r#"["slow","a",1,"call",{"credit":1,"in":true}]"#, r#"["change","c",2]"#, r#"["slow","waits",3]"#],
        "[\"confirm\",null,-1]\nrun \"a\"\nrun \"c\"",
    );
    server.grant(r#""a""#, 4);
    server.check(
        [
            r#"["slow",5,1,"credit"]"#,
            r#"["slow","item",1,"item"]"#,
            r#"["confirm",true,-1]"#,
            r#"["aaw/ping"]"#,
            r#"["slow",null,3,"cancel"]"#,
            r#"["slow",null,1,"cancel"]"#,
        ],
        r#"
        ["slow",4,1,"credit"]
        credit 5 for "a"
        item "item" for "a"
        7 answered: true
        ["aaw/pong",null]
        drop "a"
        "#,
    );
    server.finish(r#""c""#);
    server.expect(r#"["change","done",2]"#);
}

#[test]
fn the_line_behind_a_change_is_bounded() {
    let limits = Limits { line: 300, ..Limits::default() };
    let mut server = Server::v1_with(ServerConfig { limits, ..ServerConfig::default() });
    server.hear(r#"["change","c",1]"#);
    for id in 2..10 {
        server.hear(&format!(r#"["ping",null,{id}]"#));
    }
    assert!(server.log.contains(r#""code":"busy""#), "{}", server.log);
    assert!(!server.log.contains("pong"), "{}", server.log);
}

#[test]
fn a_server_that_stops_waits_for_the_change_and_refuses_what_stands_behind_it() {
    let mut server = Server::v1();
    server.check([r#"["change","c",1]"#, r#"["ping",null,2]"#], "run \"c\"");
    server.session.drain();
    server.settle();
    server.expect(r#"["ping",{"error":"The server is stopping","code":"busy"},2,"error"]"#);
    assert!(!server.session.is_idle());
    server.check([r#"["ping",null,3]"#], r#"["ping",{"error":"The server is stopping","code":"busy"},3,"error"]"#);
    server.finish(r#""c""#);
    server.expect(r#"["change","done",1]"#);
    assert!(server.session.is_idle());
}
