//! Tests of barriers: calls that no later call overtakes.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn no_call_overtakes_a_barrier() {
    let mut server = Server::v1();
    server.check(
        [
            r#"["slow","before",1]"#,
            r#"["change","c",2]"#,
            r#"["ping",null,3]"#,
            r#"["one_way",null]"#,
            r#"["slow","after",4]"#,
        ],
        "run \"before\"\nrun \"c\"",
    );
    // The end of an earlier call does not release the barrier.
    server.complete(r#""before""#);
    server.expect(r#"["slow","done",1]"#);
    server.complete(r#""c""#);
    server.expect(
        r#"
        ["change","done",2]
        ["ping",{"pong":true},3]
        run "after"
        "#,
    );
}

#[test]
fn a_barrier_waits_for_an_earlier_barrier() {
    let mut server = Server::v1();
    server.check([r#"["change","c",1]"#, r#"["change","d",2]"#, r#"["ping",null,3]"#], "run \"c\"");
    server.complete(r#""c""#);
    server.expect("[\"change\",\"done\",1]\nrun \"d\"");
    server.complete(r#""d""#);
    server.expect("[\"change\",\"done\",2]\n[\"ping\",{\"pong\":true},3]");
}

#[test]
fn classic_calls_do_not_overtake_a_barrier() {
    let mut server = Server::classic();
    server.check([r#"["change","c"]"#, r#"["ping",null]"#], "run \"c\"");
    server.complete(r#""c""#);
    server.expect("[\"change\",\"done\"]\n[\"ping\",{\"pong\":true}]");
}

#[test]
fn calls_wait_for_a_one_way_barrier() {
    let mut server = Server::v1();
    server.check([r#"["change","c"]"#, r#"["ping",null,1]"#], "run \"c\"");
    server.complete(r#""c""#);
    server.expect(r#"["ping",{"pong":true},1]"#);
}

#[test]
fn a_failed_barrier_releases_the_wait_queue() {
    let mut server = Server::v1();
    server.check([r#"["change","c",1]"#, r#"["ping",null,2]"#], "run \"c\"");
    server.complete_with(r#""c""#, b"", Completion::Failed(Failure::new(Code::HANDLER, "no")));
    server.expect("[\"change\",{\"error\":\"no\",\"code\":\"handler\"},1,\"error\"]\n[\"ping\",{\"pong\":true},2]");
}

#[test]
fn a_cancelled_barrier_releases_the_wait_queue() {
    let mut server = Server::v1();
    server.check(
        [r#"["change","c",1]"#, r#"["ping",null,2]"#, r#"["change",null,1,"cancel"]"#],
        "run \"c\"\ndrop \"c\"\n[\"ping\",{\"pong\":true},2]",
    );
}

#[test]
fn a_timed_out_barrier_releases_the_wait_queue() {
    let mut server = Server::v1();
    server.check([r#"["change","c",1,"call",{"timeout":1000}]"#, r#"["ping",null,2]"#], "run \"c\"");
    server.pass(SECOND);
    server.expect(
        r#"
        drop "c"
        ["change",{"error":"The call did not complete within its timeout","code":"timeout"},1,"error"]
        ["ping",{"pong":true},2]
        "#,
    );
}

#[test]
fn a_deferred_response_of_a_barrier_releases_the_wait_queue() {
    let mut server = Server::v1();
    server.check([r#"["change","c",1,"call",{"credit":0}]"#, r#"["ping",null,2]"#], "run \"c\"");
    server.complete(r#""c""#);
    server.expect(r#"["ping",{"pong":true},2]"#);
    server.check([r#"["change",1,1,"credit"]"#], "[\"change\",\"done\",1,\"item\"]\n[\"change\",null,1,\"end\"]");
}

#[test]
fn frames_other_than_calls_pass_a_barrier() {
    let mut server = Server::v1();
    server.client_call(7, "confirm", "null", None).unwrap();
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
        7 responded: true
        ["aaw/pong",null]
        drop "a"
        "#,
    );
    server.complete(r#""c""#);
    server.expect(r#"["change","done",2]"#);
}

#[test]
fn the_wait_queue_behind_a_barrier_is_bounded() {
    let limits = Limits { line: 300, ..Limits::default() };
    let mut server = Server::v1_with(ServerConfig { limits, ..ServerConfig::default() });
    server.receive(r#"["change","c",1]"#);
    for id in 2..10 {
        server.receive(&format!(r#"["ping",null,{id}]"#));
    }
    assert!(server.log.contains(r#""code":"busy""#), "{}", server.log);
    assert!(!server.log.contains("pong"), "{}", server.log);
}

#[test]
fn a_stopping_server_waits_for_the_barrier_and_refuses_the_calls_behind_it() {
    let mut server = Server::v1();
    server.check([r#"["change","c",1]"#, r#"["ping",null,2]"#], "run \"c\"");
    server.connection.drain();
    server.drain_outputs();
    server.expect(r#"["ping",{"error":"The server is stopping","code":"busy"},2,"error"]"#);
    assert!(!server.connection.is_idle());
    server.check([r#"["ping",null,3]"#], r#"["ping",{"error":"The server is stopping","code":"busy"},3,"error"]"#);
    server.complete(r#""c""#);
    server.expect(r#"["change","done",1]"#);
    assert!(server.connection.is_idle());
}
