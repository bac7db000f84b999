//! Tests of streams and uploads.

use super::*;
use crate::codec::MAX_CREDIT;

/// A server with one running call of `slow`, with id 1, body 1 and this meta.
fn running(meta: &str) -> Server {
    let mut server = Server::v1();
    server.check([&*format!(r#"["slow",1,1,"call",{meta}]"#)], "run 1");
    server
}

/// A server on which a call with id 2, body 2 and this meta waits for call 1 in the wait queue.
fn queued(meta: &str) -> Server {
    let mut server = Server::v1_with(limits(1, 1 << 20));
    server.check([r#"["slow",1,1]"#, &*format!(r#"["slow",2,2,"call",{meta}]"#)], "run 1");
    server
}

// --- Items
// ------------------------------------------------------------------------------------------------------------

#[test]
fn a_stream_is_items_and_an_end() {
    let mut server = running(r#"{"credit":3}"#);
    assert_eq!(server.credit("1"), 3);
    assert!(server.item("1", "\"a\"") && server.item("1", "{}"));
    assert!(server.end("1"));
    server.expect(
        r#"
        ["slow","a",1,"item"]
        ["slow",{},1,"item"]
        ["slow",null,1,"end"]
        "#,
    );
    assert!(server.connection.is_idle());
}

#[test]
fn a_stream_fails_with_or_without_credit() {
    let mut server = running(r#"{"credit":1}"#);
    server.item("1", "0");
    let failure = Failure::new(Code::HANDLER, "Something went wrong");
    assert!(server.complete_with("1", b"", Completion::Failed(failure)));
    server.expect(
        r#"
        ["slow",0,1,"item"]
        ["slow",{"error":"Something went wrong","code":"handler"},1,"error"]
        "#,
    );
}

#[test]
fn an_empty_stream_needs_no_credit() {
    let mut server = running(r#"{"credit":0}"#);
    assert_eq!(server.credit("1"), 0);
    server.end("1");
    server.expect(r#"["slow",null,1,"end"]"#);
}

#[test]
fn items_of_a_call_that_is_over_are_dropped() {
    let mut server = running(r#"{"credit":9}"#);
    server.check([r#"["slow",null,1,"cancel"]"#], "drop 1");
    assert_eq!(server.credit("1"), 0);
    assert!(!server.item("1", "0") && !server.end("1"));
    server.expect("");
}

#[test]
fn a_caller_without_credit_gets_no_items_and_null_at_the_end() {
    let mut server = Server::v1();
    server.check([r#"["slow",1,1]"#, r#"["slow",2]"#], "run 1\nrun 2");
    for body in ["1", "2"] {
        assert_eq!(server.credit(body), u64::MAX);
        assert!(server.item(body, "0") && server.end(body));
    }
    server.expect(r#"["slow",null,1]"#);
}

#[test]
fn a_classic_stream_without_an_id_sends_pushes_and_no_end() {
    let mut server = Server::classic();
    server.check([r#"["slow",1]"#, r#"["slow",2]"#, r#"["slow",3,"x"]"#], "run 1\nrun 2\nrun 3");
    assert_eq!(server.credit("1"), u64::MAX);
    server.item("1", "\"a\"");
    server.item("2", "\"b\"");
    server.item("1", "\"c\"");
    server.end("1");
    server.complete_with("2", b"", Completion::Failed(Failure::new(Code::HANDLER, "no")));
    server.complete_with("3", b"[1,2]", Completion::Responded);
    server.expect(
        r#"
        ["slow","a"]
        ["slow","b"]
        ["slow","c"]
        ["slow",{"error":"no"}]
        ["slow",[1,2],"x"]
        "#,
    );
}

#[test]
fn the_caller_chooses_the_response_mode() {
    let mode = |dialect, text: &str| {
        let mut server = Server::new(dialect, ServerConfig::default());
        if dialect == Dialect::V1 {
            server.receive(r#"["aaw/hello",{}]"#);
        }
        let Input::Call(call) = server.connection.handle_text(server.now, text) else {
            panic!("{text} was not accepted")
        };
        (call.response_mode(), call.upload)
    };
    use super::super::ResponseMode;
    assert_eq!(mode(Dialect::V1, r#"["e",1,1]"#), (ResponseMode::Single, false));
    assert_eq!(mode(Dialect::V1, r#"["e",1,1,"call",{"credit":0}]"#), (ResponseMode::Items, false));
    assert_eq!(mode(Dialect::V1, r#"["e",1,1,"call",{"credit":null,"in":true}]"#), (ResponseMode::Single, true));
    assert_eq!(mode(Dialect::V1, r#"["e",1,1,"call",{"credit":5,"in":true}]"#), (ResponseMode::Items, true));
    assert_eq!(mode(Dialect::V1, r#"["e",1]"#), (ResponseMode::Nothing, false));
    assert_eq!(mode(Dialect::Classic, r#"["e",1]"#), (ResponseMode::Pushes, false));
    assert_eq!(mode(Dialect::Classic, r#"["e",1,"x"]"#), (ResponseMode::Single, false));
}

#[test]
fn an_item_above_the_message_limit_fails_its_stream() {
    let limits = Limits { message: 200, ..Limits::default() };
    let mut server = Server::v1_with(ServerConfig { limits, ..ServerConfig::default() });
    server.check([r#"["slow",1,1,"call",{"credit":9}]"#], "run 1");
    // `["slow",…,1,"item"]` has 18 bytes in addition to the item.
    let fits = "7".repeat(200 - 18);
    assert!(server.item("1", &fits));
    server.expect(&format!(r#"["slow",{fits},1,"item"]"#));
    assert!(!server.item("1", &format!("{fits}7")));
    server.expect(
        r#"
        drop 1
        ["slow",{"error":"The item exceeds the message limit of 200 bytes","code":"too_large"},1,"error"]
        "#,
    );
    assert!(!server.item("1", "0") && !server.end("1"));
    server.expect("");
}

#[test]
fn a_timeout_fails_a_running_stream() {
    let mut server = running(r#"{"credit":9,"timeout":50}"#);
    server.item("1", "0");
    server.pass(50 * MS);
    server.expect(
        r#"
        ["slow",0,1,"item"]
        drop 1
        ["slow",{"error":"The call did not complete within its timeout","code":"timeout"},1,"error"]
        "#,
    );
    assert!(!server.item("1", "1"));
    server.check([r#"["slow",99,1,"credit"]"#], "");
}

#[test]
fn streams_pause_while_the_client_does_not_read() {
    let mut server = Server::v1_with(ServerConfig { max_unsent_bytes: 1000, ..ServerConfig::default() });
    server.check([r#"["slow",1,1,"call",{"credit":99}]"#], "run 1");
    server.writable = false;
    assert!(server.connection.may_stream());
    let mut sent = 0;
    while server.connection.may_stream() {
        server.item("1", "0");
        sent += 1;
    }
    assert!((1..100).contains(&sent), "items count towards the unsent bytes");
    // Only streams pause: the server still reads.
    assert!(server.connection.wants_input());
    server.write_everything();
    assert!(server.connection.may_stream());
    server.connection.close(Close::Stopping);
    assert!(!server.connection.may_stream());
}

// --- Credit
// -----------------------------------------------------------------------------------------------------------

#[test]
fn credit_only_grows() {
    let mut server = running(r#"{"credit":2}"#);
    server.check(
        [
            r#"["slow",5,1,"credit"]"#,
            r#"["other",5,1,"credit"]"#,
            r#"["slow",4,1,"credit"]"#,
            r#"["slow",0,1,"credit"]"#,
            r#"["slow",9007199254740992,1,"credit"]"#,
        ],
        "
        credit 5 for 1
        credit 9007199254740992 for 1
        ",
    );
    assert_eq!(server.credit("1"), MAX_CREDIT);
}

#[test]
fn malformed_credit_is_a_bad_frame_and_the_stream_continues() {
    let mut server = running(r#"{"credit":1}"#);
    for bad in ["-1", "1.0", "1.5", "2e1", "-0", "null", "\"7\"", "[7]", "{}", "true", "9007199254740993", "1e400"] {
        let expected = format!("bad: credit must be an integer from 0 to 9007199254740992, found {bad}");
        server.check([&*format!(r#"["slow",{bad},1,"credit"]"#)], &expected);
    }
    assert!(server.item("1", "0") && server.end("1"));
    server.expect("[\"slow\",0,1,\"item\"]\n[\"slow\",null,1,\"end\"]");
    // Also for a call that is over.
    server.check([r#"["slow",-1,1,"credit"]"#], "bad: credit must be an integer from 0 to 9007199254740992, found -1");
}

#[test]
fn credit_in_the_meta_is_validated() {
    Server::v1().check(
        [
            r#"["slow",1,1,"call",{"credit":9007199254740993}]"#,
            r#"["slow",2,2,"call",{"credit":-1}]"#,
            r#"["slow",3,3,"call",{"credit":9007199254740992}]"#,
        ],
        r#"
        ["slow",{"error":"bad meta (element 5): credit must be an integer from 0 to 9007199254740992, found 9007199254740993 at line 1 column 27","code":"bad_frame"},1,"error"]
        ["slow",{"error":"bad meta (element 5): invalid value: integer `-1`, expected u64 at line 1 column 12","code":"bad_frame"},2,"error"]
        run 3
        "#,
    );
}

#[test]
fn credit_for_a_call_without_items_is_ignored_and_for_an_unknown_call_is_a_bad_frame() {
    let mut server = running("{}");
    server.check([r#"["slow",9,1,"credit"]"#], "");
    assert_eq!(server.credit("1"), u64::MAX);
    server.complete("1");
    server.log.clear();
    server.check(
        [
            r#"["slow",9,1,"credit"]"#,
            r#"["slow",9,2,"credit"]"#,
            r#"["slow",9,-1,"credit"]"#,
            r#"["slow",9,null,"credit"]"#,
        ],
        r#"
        bad: id 2 belongs to no call; the last id was 1
        bad: id -1 belongs to no call; the last id was 1
        bad: kind "credit" without an id (element 3)
        "#,
    );
}

#[test]
fn credit_for_a_queued_call_counts_when_it_runs() {
    let mut server = queued(r#"{"credit":2}"#);
    server.check(
        [
            r#"["slow",7,2,"credit"]"#,
            r#"["slow",5,2,"credit"]"#,
            r#"["slow",-5,2,"credit"]"#,
            // An event after the call has the same id in the wait queue.
            r#"["slow","event"]"#,
        ],
        "bad: credit must be an integer from 0 to 9007199254740992, found -5",
    );
    server.complete("1");
    server.expect("[\"slow\",\"done\",1]\nrun 2");
    assert_eq!(server.credit("2"), 7);
}

#[test]
fn a_queued_call_keeps_its_own_credit_if_that_is_higher() {
    for (meta, credit) in [(r#"{"credit":9}"#, 9), ("{}", u64::MAX)] {
        let mut server = queued(meta);
        server.check([r#"["slow",7,2,"credit"]"#], "");
        server.complete("1");
        assert_eq!(server.credit("2"), credit, "{meta}");
    }
}

#[test]
fn credit_for_a_call_cancelled_in_the_wait_queue_is_ignored() {
    let mut server = queued(r#"{"credit":2}"#);
    server.check([r#"["slow",null,2,"cancel"]"#, r#"["slow",7,2,"credit"]"#], "");
    server.complete("1");
    server.expect(r#"["slow","done",1]"#);
}

// --- Deferred responses
// -----------------------------------------------------------------------------------------------

#[test]
fn a_response_without_credit_is_deferred() {
    let mut server = running(r#"{"credit":0}"#);
    assert!(server.complete("1"));
    server.check([r#"["echo",[2],2,"call",{"credit":0}]"#], "");
    // Both calls are open, although no handler runs.
    assert_eq!(server.connection.open_calls(), 2);
    assert!(!server.connection.is_idle() && server.connection.wants_input());
    server.check(
        [r#"["echo",0,2,"credit"]"#, r#"["echo",1,2,"credit"]"#, r#"["slow",64,1,"credit"]"#],
        r#"
        ["echo",[2],2,"item"]
        ["echo",null,2,"end"]
        ["slow","done",1,"item"]
        ["slow",null,1,"end"]
        "#,
    );
    assert!(server.connection.is_idle());
    server.check([r#"["slow",65,1,"credit"]"#], "");
}

#[test]
fn a_deferred_response_is_sent_once() {
    let mut server = running(r#"{"credit":0}"#);
    let key = server.key("1");
    server.complete("1");
    assert!(!server.connection.complete(key, b"[\"slow\",1".to_vec(), Completion::Responded));
    assert!(!server.connection.handle_item(key, "[\"slow\",1,1,\"item\"]".into()));
    server.connection.grant_upload_credit(key, 64);
    server.check([r#"["slow",1,1,"credit"]"#], "[\"slow\",\"done\",1,\"item\"]\n[\"slow\",null,1,\"end\"]");
}

#[test]
fn failures_and_ends_need_no_credit() {
    Server::v1().check(
        [
            r#"["explode",{},1,"call",{"credit":0}]"#,
            r#"["nope",{},2,"call",{"credit":0}]"#,
            r#"["one_way",{},3,"call",{"credit":0}]"#,
            r#"["large",2000000,4,"call",{"credit":0}]"#,
        ],
        r#"
        ["explode",{"error":"Something went wrong","code":"handler"},1,"error"]
        ["nope",{"error":"Unknown event: nope","code":"unknown_event"},2,"error"]
        ["one_way",null,3,"end"]
        ["large",{"error":"The response exceeds the message limit of 1048576 bytes","code":"too_large"},4,"error"]
        "#,
    );
}

#[test]
fn a_deferred_response_can_be_cancelled_and_times_out() {
    let mut server = Server::v1();
    server.check(
        [
            r#"["echo",1,1,"call",{"credit":0}]"#,
            r#"["echo",2,2,"call",{"credit":0,"timeout":50}]"#,
            r#"["echo",null,1,"cancel"]"#,
            r#"["echo",1,1,"credit"]"#,
        ],
        "",
    );
    // No handler is left to drop.
    server.pass(50 * MS);
    server.expect(r#"["echo",{"error":"The call did not complete within its timeout","code":"timeout"},2,"error"]"#);
    assert!(server.connection.is_idle());
}

#[test]
fn deferred_responses_are_bounded() {
    let mut server = Server::v1_with(ServerConfig { max_running_bytes: 860, ..limits(9, 1 << 20) });
    let call = |id| format!(r#"["large",400,{id},"call",{{"credit":0}}]"#);
    // Two deferred responses and a running call reach the limit, so the fourth call is queued.
    server.check([&*call(1), &call(2), r#"["slow",3,3,"call",{"credit":0}]"#, &call(4)], "run 3");
    assert_eq!(server.connection.open_calls(), 3);
    let large = format!("\"{}\"", "x".repeat(400));
    server.complete_with("3", large.as_bytes(), Completion::Responded);
    server.expect(
        r#"
        ["slow",{"error":"Responses of 836 bytes wait for credit; the limit is 860","code":"too_large"},3,"error"]
        ["large",{"error":"Responses of 836 bytes wait for credit; the limit is 860","code":"too_large"},4,"error"]
        "#,
    );
    // A response that is sent or cancelled frees its bytes.
    server.check([r#"["large",null,1,"cancel"]"#, &*call(5)], "");
    server.check(
        [r#"["large",1,2,"credit"]"#, &*call(6)],
        &format!("[\"large\",{large},2,\"item\"]\n[\"large\",null,2,\"end\"]"),
    );
    assert_eq!(server.connection.open_calls(), 2);
}

#[test]
fn deferred_responses_delay_calls_but_not_credit() {
    let mut server = Server::v1_with(limits(1, 1 << 20));
    server.check(
        [r#"["echo",1,1,"call",{"credit":0}]"#, r#"["ping",null,2]"#, r#"["aaw/ping"]"#, r#"["echo",1,1,"credit"]"#],
        r#"
        ["aaw/pong",null]
        ["echo",1,1,"item"]
        ["echo",null,1,"end"]
        ["ping",{"pong":true},2]
        "#,
    );
}

#[test]
fn a_call_that_got_credit_in_the_wait_queue_responds_at_once() {
    let mut server = Server::v1_with(limits(1, 1 << 20));
    server.check([r#"["slow",1,1]"#, r#"["echo",2,2,"call",{"credit":0}]"#, r#"["echo",1,2,"credit"]"#], "run 1");
    server.complete("1");
    server.expect(
        r#"
        ["slow","done",1]
        ["echo",2,2,"item"]
        ["echo",null,2,"end"]
        "#,
    );
}

// --- Uploads
// ----------------------------------------------------------------------------------------------------------

#[test]
fn an_upload_sends_items_within_its_credit() {
    let mut server = running(r#"{"in":true,"credit":4}"#);
    server.grant("1", 2);
    server.check(
        [r#"["slow",{"a":1},1,"item"]"#, r#"["slow", [2] ,1,"item"]"#],
        r#"
        ["slow",2,1,"credit"]
        item {"a":1} for 1
        item [2] for 1
        "#,
    );
    server.grant("1", 3);
    server.check(
        [r#"["slow",null,1,"item"]"#, r#"["slow",null,1,"end"]"#],
        r#"
        ["slow",3,1,"credit"]
        item null for 1
        end for 1
        "#,
    );
    server.complete("1");
    server.expect("[\"slow\",\"done\",1,\"item\"]\n[\"slow\",null,1,\"end\"]");
}

#[test]
fn upload_credit_only_grows() {
    let mut server = running(r#"{"in":true}"#);
    for credit in [64, 64, 3, 0, 65, u64::MAX] {
        server.grant("1", credit);
    }
    server.expect(
        r#"
        ["slow",64,1,"credit"]
        ["slow",65,1,"credit"]
        ["slow",9007199254740992,1,"credit"]
        "#,
    );
}

#[test]
fn no_credit_is_sent_without_an_open_upload() {
    let mut server = running("{}");
    server.grant("1", 64);
    server.check([r#"["slow",2,2,"call",{"in":true}]"#, r#"["slow",null,2,"end"]"#], "run 2\nend for 2");
    server.grant("2", 64);
    server.check([r#"["slow",3,3,"call",{"in":true}]"#, r#"["slow",null,3,"cancel"]"#], "run 3\ndrop 3");
    server.grant("3", 64);
    server.expect("");
}

#[test]
fn an_upload_item_beyond_its_credit_fails_the_call() {
    let mut server = running(r#"{"in":true}"#);
    server.grant("1", 1);
    server.check(
        [r#"["slow",1,1,"item"]"#, r#"["slow",2,1,"item"]"#, r#"["slow",3,1,"item"]"#, r#"["slow",null,1,"end"]"#],
        r#"
        ["slow",1,1,"credit"]
        item 1 for 1
        drop 1
        ["slow",{"error":"item 2 of the upload of call 1 exceeds its credit of 1","code":"bad_frame"},1,"error"]
        "#,
    );
    assert!(!server.complete("1"));
}

#[test]
fn an_upload_item_before_any_credit_fails_the_call() {
    running(r#"{"in":true}"#).check(
        [r#"["slow",1,1,"item"]"#],
        r#"
        drop 1
        ["slow",{"error":"item 1 of the upload of call 1 exceeds its credit of 0","code":"bad_frame"},1,"error"]
        "#,
    );
}

#[test]
fn frames_after_the_end_of_an_upload_are_bad() {
    let mut server = running(r#"{"in":true}"#);
    server.grant("1", 9);
    server.check(
        [r#"["slow",null,1,"end"]"#, r#"["slow",1,1,"item"]"#, r#"["slow",null,1,"end"]"#],
        r#"
        ["slow",9,1,"credit"]
        end for 1
        bad: an item of an upload for call 1 after its end
        bad: an item of an upload for call 1 after its end
        "#,
    );
    server.complete("1");
    server.expect(r#"["slow","done",1]"#);
}

#[test]
fn items_for_a_call_without_upload_are_bad_and_for_a_finished_call_are_ignored() {
    let mut server = queued("{}");
    let items = |id| [format!(r#"["slow",1,{id},"item"]"#), format!(r#"["slow",null,{id},"end"]"#)];
    for id in [1, 2] {
        let bad = format!("bad: an item of an upload for call {id}, which has no upload\n").repeat(2);
        server.check(items(id).iter().map(String::as_str), &bad);
    }
    server.complete("1");
    server.complete("2");
    server.log.clear();
    server.check(items(1).iter().map(String::as_str), "");
    server.check(items(2).iter().map(String::as_str), "");
    server.check(items(3).iter().map(String::as_str), &"bad: id 3 belongs to no call; the last id was 2\n".repeat(2));
    server.check(items(-1).iter().map(String::as_str), &"bad: id -1 belongs to no call; the last id was 2\n".repeat(2));
}

#[test]
fn items_for_a_refused_call_are_ignored() {
    Server::v1().check(
        [r#"["nope",1,1,"call",{"in":true}]"#, r#"["nope",1,1,"item"]"#, r#"["nope",null,1,"end"]"#],
        r#"["nope",{"error":"Unknown event: nope","code":"unknown_event"},1,"error"]"#,
    );
}

#[test]
fn items_for_a_call_with_a_deferred_response_are_ignored() {
    let mut server = running(r#"{"in":true,"credit":0}"#);
    server.grant("1", 2);
    server.check([r#"["slow",1,1,"item"]"#], "[\"slow\",2,1,\"credit\"]\nitem 1 for 1");
    server.complete("1");
    server.check(
        [r#"["slow",2,1,"item"]"#, r#"["slow",null,1,"end"]"#, r#"["slow",1,1,"credit"]"#],
        "[\"slow\",\"done\",1,\"item\"]\n[\"slow\",null,1,\"end\"]",
    );
}

#[test]
fn a_queued_upload_has_no_credit() {
    let mut server = queued(r#"{"in":true}"#);
    server.check(
        [r#"["slow",1,2,"item"]"#, r#"["slow",2,2,"item"]"#, r#"["slow",null,2,"end"]"#],
        r#"["slow",{"error":"item 1 of the upload of call 2 exceeds its credit of 0","code":"bad_frame"},2,"error"]"#,
    );
    server.complete("1");
    server.expect(r#"["slow","done",1]"#);
}

#[test]
fn an_upload_that_ended_in_the_wait_queue_ends_when_its_call_runs() {
    let mut server = queued(r#"{"in":true}"#);
    server.check(
        [r#"["slow",null,2,"end"]"#, r#"["slow",null,2,"end"]"#, r#"["slow",1,2,"item"]"#, r#"["slow",3,3]"#],
        "
        bad: an item of an upload for call 2 after its end
        bad: an item of an upload for call 2 after its end
        ",
    );
    server.complete("1");
    // The end precedes any other queued call, so the handler does not wait for that call.
    server.expect("[\"slow\",\"done\",1]\nrun 2\nend for 2");
    server.grant("2", 64);
    server.expect("");
}

#[test]
fn the_end_of_an_upload_is_not_reported_for_a_call_that_is_over() {
    let mut server = queued(r#"{"in":true}"#);
    server.check([r#"["echo",3,3,"call",{"in":true}]"#, r#"["slow",null,2,"end"]"#, r#"["echo",null,3,"end"]"#], "");
    server.complete_with("1", b"1", Completion::Responded);
    server.expect("[\"slow\",1,1]\nrun 2\nend for 2");
    server.complete("2");
    // The call completed at once.
    server.expect("[\"slow\",\"done\",2]\n[\"echo\",3,3]");
    // The cancel arrives before the owner polls the end of the upload.
    let mut server = queued(r#"{"in":true}"#);
    server.check([r#"["slow",null,2,"end"]"#], "");
    server.connection.complete(server.key("1"), Vec::new(), Completion::OneWayDone);
    let call = server.connection.poll_queued().unwrap();
    let input = server.connection.handle_queued(server.now, &call);
    server.handle_input(input);
    server.check([r#"["slow",null,2,"cancel"]"#], "run 2\n[\"slow\",null,1]\ndrop 2");
    assert!(server.connection.poll_queued().is_none());
}

#[test]
fn untaken_upload_items_are_bounded() {
    // An item costs 64 bytes in addition to its text.
    let mut server = Server::v1_with(ServerConfig { max_upload_bytes: 1000, ..ServerConfig::default() });
    server.check([r#"["slow",1,1,"call",{"in":true}]"#, r#"["slow",2,2,"call",{"in":true}]"#], "run 1\nrun 2");
    server.grant("1", 4);
    server.grant("2", 4);
    server.log.clear();
    let item = |id, len| format!(r#"["slow",{},{id},"item"]"#, "7".repeat(len));
    for len in [436, 236] {
        server.receive(&item(1, len));
    }
    // One more than the first grant: the first item was taken.
    server.grant("1", 5);
    server.receive(&item(1, 336));
    server.log.clear();
    server.check(
        [&*item(2, 337)],
        r#"
        drop 2
        ["slow",{"error":"Upload items of 1101 bytes wait for their handlers; the limit is 1000","code":"too_large"},2,"error"]
        "#,
    );
    // The failed call no longer counts.
    server.check([&*item(1, 236)], &format!("item {} for 1", "7".repeat(236)));
    server.check([r#"["slow",null,1,"cancel"]"#], "drop 1");
    assert_eq!(server.connection.upload_bytes, 0);
}

#[test]
fn an_upload_within_its_window_never_exceeds_the_limit() {
    let config = ServerConfig { max_upload_bytes: 64 * 100, ..ServerConfig::default() };
    let mut server = Server::v1_with(config);
    server.check([r#"["slow",1,1,"call",{"in":true}]"#], "run 1");
    // Items of 36 and 64 bytes; a window of 64, renewed when half of it is used.
    for sent in 0..10_000 {
        if sent % 32 == 0 {
            server.grant("1", sent + 64);
        }
        server.receive(&format!(r#"["slow","{}",1,"item"]"#, "x".repeat(34)));
    }
    assert!(!server.log.contains("too_large"));
}

// --- Cancel and drain
// -------------------------------------------------------------------------------------------------

#[test]
fn a_cancel_ends_both_streams_and_a_second_one_is_ignored() {
    let mut server = running(r#"{"in":true,"credit":2}"#);
    server.grant("1", 2);
    server.item("1", "0");
    server.log.clear();
    server.check(
        [
            r#"["slow",1,1,"item"]"#,
            r#"["slow",null,1,"cancel"]"#,
            r#"["slow",null,1,"cancel"]"#,
            r#"["slow",2,1,"item"]"#,
            r#"["slow",null,1,"end"]"#,
            r#"["slow",9,1,"credit"]"#,
        ],
        "item 1 for 1\ndrop 1",
    );
    assert!(server.connection.is_idle());
}

#[test]
fn streams_continue_while_the_connection_drains() {
    let mut server = running(r#"{"in":true,"credit":1}"#);
    server.connection.drain();
    server.grant("1", 1);
    server.check(
        [r#"["slow",1,1,"item"]"#, r#"["slow",2,1,"credit"]"#, r#"["slow",null,1,"end"]"#],
        "[\"slow\",1,1,\"credit\"]\nitem 1 for 1\ncredit 2 for 1\nend for 1",
    );
    server.item("1", "0");
    server.end("1");
    server.expect("[\"slow\",0,1,\"item\"]\n[\"slow\",null,1,\"end\"]");
    assert!(server.connection.is_idle());
}
