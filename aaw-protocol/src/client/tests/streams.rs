//! Streams and uploads, with a hand-moved clock.

use super::*;

const WINDOW: StreamOptions = StreamOptions { window: 4, upload: false };
const DUPLEX: StreamOptions = StreamOptions { window: 4, upload: true };

impl Rig {
    fn stream(&mut self, options: StreamOptions, waiter: &'static str) -> CallKey {
        self.calls += 1;
        let key = CallKey(self.calls);
        self.session.stream(self.now, key, EncodedMessage::new("s", &0).unwrap(), options, None, waiter);
        key
    }

    /// Takes in a text, and gives back what it means for streams and uploads, and what is sent because of it.
    fn heard(&mut self, text: &str) -> Vec<String> {
        self.session.handle_text(self.now, text);
        self.outputs().into_iter().map(words).collect()
    }

    fn upload(&mut self, key: CallKey, item: &str) -> Result<Vec<String>, NotSent> {
        self.session.upload_item(key, EncodedMessage::new("s", item).unwrap())?;
        Ok(self.sent())
    }
}

fn words(output: Output<&'static str>) -> String {
    match output {
        Output::Item { key, data } => format!("{} item {data}", key.0),
        Output::UploadCredit { key, items } => format!("{} room {items}", key.0),
        Output::CallDone { waiter, outcome: CallResult::StreamEnded } => format!("{waiter} ended"),
        Output::CallDone { waiter, outcome: CallResult::Failed(failure) } => format!("{waiter} failed: {failure}"),
        Output::CallDone { waiter, outcome } => format!("{waiter} {outcome:?}"),
        Output::Send(frame) => text_of(&frame),
        Output::Warning(problem) => problem.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_stream_gives_its_items_in_order_and_ends_once() {
    let mut rig = Rig::open(Dialect::V1);
    rig.stream(WINDOW, "reader");
    assert_eq!(rig.sent(), [r#"["s",0,1,"call",{"credit":4}]"#]);
    assert_eq!(rig.heard(r#"["s",{"a":1},1,"item"]"#), [r#"1 item {"a":1}"#]);
    assert_eq!(rig.heard(r#"["s",[2],1,"item"]"#), ["1 item [2]"]);
    assert_eq!(rig.heard(r#"["s",null,1,"end"]"#), ["reader ended"]);
    // What comes after the end has crossed with something, and is nobody's.
    for text in [r#"["s",3,1,"item"]"#, r#"["s",null,1,"end"]"#, r#"["s",9,1,"credit"]"#, r#"["s",4,1]"#] {
        assert!(rig.heard(text).is_empty(), "{text}");
    }
}

#[test]
fn a_stream_may_fail_after_items() {
    let mut rig = Rig::open(Dialect::V1);
    rig.stream(WINDOW, "reader");
    rig.sent();
    assert_eq!(rig.heard(r#"["s",1,1,"item"]"#), ["1 item 1"]);
    assert_eq!(rig.heard(r#"["s",{"error":"no","code":"mine"},1,"error"]"#), ["reader failed: no"]);
}

#[test]
fn room_is_told_once_and_only_if_there_is_more() {
    let mut rig = Rig::open(Dialect::V1);
    let key = rig.stream(WINDOW, "reader");
    rig.sent();
    for (room, frames) in [
        (4, &[][..]),
        (6, &[r#"["s",6,1,"credit"]"#]),
        (5, &[]),
        (6, &[]),
        (u64::MAX, &[r#"["s",9007199254740992,1,"credit"]"#]),
    ] {
        rig.session.grant_credit(key, room);
        assert_eq!(rig.sent(), frames, "{room}");
    }
    rig.heard(r#"["s",null,1,"end"]"#);
    rig.session.grant_credit(key, u64::MAX);
    assert!(rig.outputs().is_empty());
}

#[test]
fn room_that_is_made_while_the_call_waits_is_told_with_the_call() {
    let mut rig = Rig::new(ClientConfig::default());
    let key = rig.stream(WINDOW, "reader");
    rig.session.grant_credit(key, 8);
    assert!(rig.outputs().is_empty());
    rig.session.handle_connected(rig.now, Dialect::V1);
    assert_eq!(rig.sent(), [r#"["aaw/hello",{}]"#, r#"["s",0,1,"call",{"credit":8}]"#]);
}

#[test]
fn a_server_that_sends_more_than_there_is_room_for_is_cut_off() {
    let mut rig = Rig::open(Dialect::V1);
    rig.stream(StreamOptions { window: 1, ..WINDOW }, "reader");
    rig.sent();
    assert_eq!(rig.heard(r#"["s",1,1,"item"]"#), ["1 item 1"]);
    let outputs = rig.heard(r#"["s",2,1,"item"]"#);
    let [cancel, failed] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(cancel, r#"["s",null,1,"cancel"]"#);
    assert!(failed.contains("more items than the 1 that there was room for"), "{failed}");
    assert!(rig.heard(r#"["s",3,1,"item"]"#).is_empty());
}

#[test]
fn when_it_breaks_the_items_that_came_are_given_before_the_end() {
    let mut rig = Rig::open(Dialect::V1);
    rig.stream(WINDOW, "reader");
    rig.sent();
    rig.session.handle_text(rig.now, r#"["s",1,1,"item"]"#);
    rig.session.handle_disconnected(rig.now, DisconnectReason::Silent);
    let outputs: Vec<_> = rig.outputs().into_iter().map(words).collect();
    assert_eq!(outputs, ["1 item 1", "reader Unknown(Silent)", "Lost(Silent)"]);
}

#[test]
fn a_stream_that_nobody_reads_any_more_is_cancelled_where_it_stands() {
    let mut rig = Rig::new(ClientConfig::default());
    let unwritten = rig.stream(DUPLEX, "unwritten");
    rig.session.cancel(rig.now, unwritten);
    rig.connect(Dialect::V1);
    let written = rig.stream(DUPLEX, "written");
    assert_eq!(rig.sent(), [r#"["s",0,1,"call",{"credit":4,"in":true}]"#]);
    rig.session.cancel(rig.now, written);
    rig.session.upload_end(written);
    rig.session.grant_credit(written, 9);
    assert_eq!(rig.upload(written, "late"), Err(NotSent::Over));
    assert_eq!(rig.sent(), [r#"["s",null,1,"cancel"]"#]);
    assert!(rig.heard(r#"["s",1,1,"item"]"#).is_empty());
}

#[test]
fn a_stream_with_a_time_ends_at_it() {
    let mut rig = Rig::open(Dialect::V1);
    let deadline = Some(rig.now + SECOND);
    rig.session.stream(rig.now, CallKey(1), EncodedMessage::new("s", &0).unwrap(), WINDOW, deadline, "reader");
    rig.sent();
    rig.heard(r#"["s",1,1,"item"]"#);
    rig.pass(SECOND);
    let outputs: Vec<_> = rig.outputs().into_iter().map(words).collect();
    assert_eq!(outputs, [r#"["s",null,1,"cancel"]"#, "reader TimedOut { sent: true }"]);
}

#[test]
fn an_open_stream_is_a_call_in_flight() {
    let mut rig = Rig::new(ClientConfig { max_in_flight: 1, ..ClientConfig::default() });
    rig.connect(Dialect::V1);
    rig.stream(WINDOW, "reader");
    assert_eq!(rig.sent().len(), 1);
    assert!(rig.call("e", "caller").is_empty());
    assert_eq!(rig.heard(r#"["s",1,1,"item"]"#), ["1 item 1"]);
    assert_eq!(rig.heard(r#"["s",null,1,"end"]"#), ["reader ended", r#"["e",0,2]"#]);
}

#[test]
fn what_is_said_of_streams_where_there_is_none_makes_no_sense() {
    let mut rig = Rig::open(Dialect::V1);
    rig.call("e", "caller");
    rig.stream(WINDOW, "reader");
    rig.sent();
    for (text, expected) in [
        (r#"["e",1,1,"item"]"#, r#""item" for something that was not asked for"#),
        (r#"["e",null,1,"end"]"#, r#""end" for something"#),
        (r#"["e",5,1,"credit"]"#, r#""credit" for something"#),
        (r#"["s",5,2,"credit"]"#, r#""credit" for something"#),
        (r#"["e",1,9,"item"]"#, "call 9, which was never made"),
        (r#"["e",1,9,"end"]"#, "call 9, which was never made"),
        (r#"["e",1,9,"credit"]"#, "call 9, which was never made"),
    ] {
        let problems = rig.heard(text);
        assert!(problems.len() == 1 && problems[0].contains(expected), "{text}: {problems:?}");
    }
    assert_eq!(rig.heard(r#"["e",1,1]"#), [r#"caller Answered("1")"#]);
    assert_eq!(rig.heard(r#"["s",null,2,"end"]"#), ["reader ended"]);
}

#[test]
fn a_server_that_answers_a_stream_as_a_call_has_given_one_item() {
    let mut rig = Rig::open(Dialect::V1);
    rig.stream(WINDOW, "reader");
    rig.sent();
    assert_eq!(rig.heard(r#"["s",[1,2],1]"#), ["1 item [1,2]", "reader ended"]);
}

#[test]
fn a_classic_server_gives_one_item() {
    let mut rig = Rig::open(Dialect::Classic);
    let key = rig.stream(WINDOW, "first");
    rig.stream(WINDOW, "second");
    assert_eq!(rig.sent(), [r#"["s",0,1]"#, r#"["s",0,2]"#]);
    rig.session.grant_credit(key, 100);
    assert!(rig.outputs().is_empty(), "it knows no credit");
    assert_eq!(rig.heard(r#"["s",[1,2]]"#), ["1 item [1,2]", "first ended"]);
    assert_eq!(rig.heard(r#"["s",{"error":"no"},2]"#), ["second failed: no"]);
}

#[test]
fn a_classic_server_takes_no_upload_and_is_not_asked_to() {
    let mut rig = Rig::new(ClientConfig::default());
    let key = rig.stream(DUPLEX, "sender");
    rig.session.upload_end(key);
    rig.session.handle_connected(rig.now, Dialect::Classic);
    let outputs: Vec<_> = rig.outputs().into_iter().map(words).collect();
    assert_eq!(outputs, ["Opened { connection: None }", "sender NotSent(NoUploads)"]);
}

#[test]
fn items_are_sent_as_the_server_makes_room_for_them() {
    let mut rig = Rig::open(Dialect::V1);
    let key = rig.stream(DUPLEX, "sender");
    assert_eq!(rig.sent(), [r#"["s",0,1,"call",{"credit":4,"in":true}]"#]);
    assert_eq!(rig.upload(key, "early"), Err(NotSent::Over), "there is no room before the server says so");
    assert_eq!(rig.heard(r#"["s",2,1,"credit"]"#), ["1 room 2"]);
    assert!(rig.heard(r#"["s",2,1,"credit"]"#).is_empty());
    assert!(rig.heard(r#"["s",1,1,"credit"]"#).is_empty());
    assert_eq!(rig.upload(key, "a").unwrap(), [r#"["s","a",1,"item"]"#]);
    assert_eq!(rig.upload(key, "b").unwrap(), [r#"["s","b",1,"item"]"#]);
    assert_eq!(rig.upload(key, "c"), Err(NotSent::Over));
    assert_eq!(rig.heard(r#"["s",3,1,"credit"]"#), ["1 room 3"]);
    rig.session.upload_end(key);
    rig.session.upload_end(key);
    assert_eq!(rig.sent(), [r#"["s",null,1,"end"]"#]);
    assert_eq!(rig.upload(key, "c"), Err(NotSent::Over));
    assert!(rig.heard(r#"["s",9,1,"credit"]"#).is_empty(), "it has crossed with the end");
    // The other direction goes on.
    assert_eq!(rig.heard(r#"["s",1,1,"item"]"#), ["1 item 1"]);
}

#[test]
fn an_upload_that_ended_before_its_call_was_written_ends_behind_it() {
    let mut rig = Rig::new(ClientConfig::default());
    let key = rig.stream(DUPLEX, "sender");
    rig.session.upload_end(key);
    rig.session.handle_connected(rig.now, Dialect::V1);
    assert_eq!(rig.sent()[1..], [r#"["s",0,1,"call",{"credit":4,"in":true}]"#, r#"["s",null,1,"end"]"#]);
}

#[test]
fn an_item_above_the_limit_is_refused_alone() {
    let mut rig = Rig::new(ClientConfig { max_message: 100, ..ClientConfig::default() });
    rig.connect(Dialect::V1);
    let key = rig.stream(DUPLEX, "sender");
    rig.sent();
    rig.heard(r#"["s",2,1,"credit"]"#);
    let big = "x".repeat(100);
    assert_eq!(rig.upload(key, &big), Err(NotSent::TooLarge { size: 135, limit: 100 }));
    assert_eq!(rig.upload(key, "1").unwrap().len() + rig.upload(key, "2").unwrap().len(), 2, "it has taken no room");
}

#[test]
fn credit_that_is_no_number_of_items_makes_no_sense() {
    let mut rig = Rig::open(Dialect::V1);
    rig.stream(DUPLEX, "sender");
    rig.sent();
    for data in ["-1", "1.5", "1e3", r#""5""#, "null", "[]", "9007199254740993", "99999999999999999999999"] {
        let problems = rig.heard(&format!(r#"["s",{data},1,"credit"]"#));
        assert!(
            problems.len() == 1 && problems[0].contains("credit must be an integer from 0 to"),
            "{data}: {problems:?}"
        );
    }
    assert!(rig.heard(r#"["s",0,1,"credit"]"#).is_empty());
    assert_eq!(rig.heard(r#"["s",9007199254740992,1,"credit"]"#), ["1 room 9007199254740992"]);
}

#[test]
fn uploads_wait_for_the_socket() {
    let mut rig = Rig::open(Dialect::V1);
    let key = rig.stream(DUPLEX, "sender");
    assert!(rig.session.can_upload());
    rig.sent();
    rig.heard(r#"["s",2,1,"credit"]"#);
    rig.session.handle_blocked();
    assert!(!rig.session.can_upload());
    rig.session.handle_writable();
    rig.session.upload_item(key, EncodedMessage::new("s", "a").unwrap()).unwrap();
    assert!(!rig.session.can_upload(), "one waits to be given out");
}
