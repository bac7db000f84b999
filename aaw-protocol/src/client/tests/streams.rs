//! Tests of streams and uploads.

use super::*;

const WINDOW: StreamOptions = StreamOptions { window: 4, upload: false };
const DUPLEX: StreamOptions = StreamOptions { window: 4, upload: true };

impl TestClient {
    fn stream(&mut self, options: StreamOptions, waiter: &'static str) -> CallKey {
        self.calls += 1;
        let key = CallKey(self.calls);
        self.connection.stream(self.now, key, EncodedMessage::new("s", &0).unwrap(), options, None, waiter);
        key
    }

    /// Receives a text and returns descriptions of the outputs.
    fn stream_outputs(&mut self, text: &str) -> Vec<String> {
        self.connection.handle_text(self.now, text);
        self.outputs().into_iter().map(describe).collect()
    }

    fn upload(&mut self, key: CallKey, item: &str) -> Result<Vec<String>, NotSent> {
        self.connection.upload_item(key, EncodedMessage::new("s", item).unwrap())?;
        Ok(self.sent())
    }
}

fn describe(output: Output<&'static str>) -> String {
    match output {
        Output::Item { key, data } => format!("{} item {data}", key.0),
        Output::UploadCredit { key, items } => format!("{} upload credit {items}", key.0),
        Output::CallDone { waiter, result: CallResult::StreamEnded } => format!("{waiter} ended"),
        Output::CallDone { waiter, result: CallResult::Failed(failure) } => format!("{waiter} failed: {failure}"),
        Output::CallDone { waiter, result } => format!("{waiter} {result:?}"),
        Output::Send(frame) => text_of(&frame),
        Output::Warning(warning) => warning.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_stream_yields_its_items_in_order_and_ends_once() {
    let mut client = TestClient::open(Dialect::V1);
    client.stream(WINDOW, "reader");
    assert_eq!(client.sent(), [r#"["s",0,1,"call",{"credit":4}]"#]);
    assert_eq!(client.stream_outputs(r#"["s",{"a":1},1,"item"]"#), [r#"1 item {"a":1}"#]);
    assert_eq!(client.stream_outputs(r#"["s",[2],1,"item"]"#), ["1 item [2]"]);
    assert_eq!(client.stream_outputs(r#"["s",null,1,"end"]"#), ["reader ended"]);
    // Frames after the end are ignored, because they may have crossed with a cancel.
    for text in [r#"["s",3,1,"item"]"#, r#"["s",null,1,"end"]"#, r#"["s",9,1,"credit"]"#, r#"["s",4,1]"#] {
        assert!(client.stream_outputs(text).is_empty(), "{text}");
    }
}

#[test]
fn a_stream_may_fail_after_items() {
    let mut client = TestClient::open(Dialect::V1);
    client.stream(WINDOW, "reader");
    client.sent();
    assert_eq!(client.stream_outputs(r#"["s",1,1,"item"]"#), ["1 item 1"]);
    assert_eq!(client.stream_outputs(r#"["s",{"error":"no","code":"mine"},1,"error"]"#), ["reader failed: no"]);
}

#[test]
fn credit_is_sent_only_if_it_grows() {
    let mut client = TestClient::open(Dialect::V1);
    let key = client.stream(WINDOW, "reader");
    client.sent();
    for (credit, frames) in [
        (4, &[][..]),
        (6, &[r#"["s",6,1,"credit"]"#]),
        (5, &[]),
        (6, &[]),
        (u64::MAX, &[r#"["s",9007199254740992,1,"credit"]"#]),
    ] {
        client.connection.grant_credit(key, credit);
        assert_eq!(client.sent(), frames, "{credit}");
    }
    client.stream_outputs(r#"["s",null,1,"end"]"#);
    client.connection.grant_credit(key, u64::MAX);
    assert!(client.outputs().is_empty());
}

#[test]
fn credit_granted_before_the_call_is_written_is_sent_with_the_call() {
    let mut client = TestClient::new(ClientConfig::default());
    let key = client.stream(WINDOW, "reader");
    client.connection.grant_credit(key, 8);
    assert!(client.outputs().is_empty());
    client.connection.handle_connected(client.now, Dialect::V1);
    assert_eq!(client.sent(), [r#"["aaw/hello",{}]"#, r#"["s",0,1,"call",{"credit":8}]"#]);
}

#[test]
fn items_beyond_the_credit_fail_the_stream() {
    let mut client = TestClient::open(Dialect::V1);
    client.stream(StreamOptions { window: 1, ..WINDOW }, "reader");
    client.sent();
    assert_eq!(client.stream_outputs(r#"["s",1,1,"item"]"#), ["1 item 1"]);
    let outputs = client.stream_outputs(r#"["s",2,1,"item"]"#);
    let [cancel, failed] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(cancel, r#"["s",null,1,"cancel"]"#);
    assert!(failed.contains("more items than the credit of 1"), "{failed}");
    assert!(client.stream_outputs(r#"["s",3,1,"item"]"#).is_empty());
}

#[test]
fn received_items_are_returned_before_a_disconnection() {
    let mut client = TestClient::open(Dialect::V1);
    client.stream(WINDOW, "reader");
    client.sent();
    client.connection.handle_text(client.now, r#"["s",1,1,"item"]"#);
    client.connection.handle_disconnected(client.now, DisconnectReason::Silent);
    let outputs: Vec<_> = client.outputs().into_iter().map(describe).collect();
    assert_eq!(outputs, ["1 item 1", "reader Unknown(Silent)", "Disconnected(Silent)"]);
}

#[test]
fn a_stream_can_be_cancelled_before_and_after_it_is_written() {
    let mut client = TestClient::new(ClientConfig::default());
    let unwritten = client.stream(DUPLEX, "unwritten");
    client.connection.cancel(client.now, unwritten);
    client.connect(Dialect::V1);
    let written = client.stream(DUPLEX, "written");
    assert_eq!(client.sent(), [r#"["s",0,1,"call",{"credit":4,"in":true}]"#]);
    client.connection.cancel(client.now, written);
    client.connection.upload_end(written);
    client.connection.grant_credit(written, 9);
    assert_eq!(client.upload(written, "late"), Err(NotSent::UploadClosed));
    assert_eq!(client.sent(), [r#"["s",null,1,"cancel"]"#]);
    assert!(client.stream_outputs(r#"["s",1,1,"item"]"#).is_empty());
}

#[test]
fn a_stream_ends_at_its_deadline() {
    let mut client = TestClient::open(Dialect::V1);
    let deadline = Some(client.now + SECOND);
    client.connection.stream(client.now, CallKey(1), EncodedMessage::new("s", &0).unwrap(), WINDOW, deadline, "reader");
    client.sent();
    client.stream_outputs(r#"["s",1,1,"item"]"#);
    client.pass(SECOND);
    let outputs: Vec<_> = client.outputs().into_iter().map(describe).collect();
    assert_eq!(outputs, [r#"["s",null,1,"cancel"]"#, "reader TimedOut { sent: true, taken: false }"]);
}

#[test]
fn an_open_stream_counts_as_a_call_in_flight() {
    let mut client = TestClient::new(ClientConfig { max_in_flight: 1, ..ClientConfig::default() });
    client.connect(Dialect::V1);
    client.stream(WINDOW, "reader");
    assert_eq!(client.sent().len(), 1);
    assert!(client.call("e", "caller").is_empty());
    assert_eq!(client.stream_outputs(r#"["s",1,1,"item"]"#), ["1 item 1"]);
    assert_eq!(client.stream_outputs(r#"["s",null,1,"end"]"#), ["reader ended", r#"["e",0,2]"#]);
}

#[test]
fn stream_frames_for_other_calls_are_bad_frames() {
    let mut client = TestClient::open(Dialect::V1);
    client.call("e", "caller");
    client.stream(WINDOW, "reader");
    client.sent();
    for (text, expected) in [
        (r#"["e",1,1,"item"]"#, r#"unexpected kind "item""#),
        (r#"["e",null,1,"end"]"#, r#"unexpected kind "end""#),
        (r#"["e",5,1,"credit"]"#, r#"unexpected kind "credit""#),
        (r#"["s",5,2,"credit"]"#, r#"unexpected kind "credit""#),
        (r#"["e",1,9,"item"]"#, "call 9, which was never made"),
        (r#"["e",1,9,"end"]"#, "call 9, which was never made"),
        (r#"["e",1,9,"credit"]"#, "call 9, which was never made"),
    ] {
        let warnings = client.stream_outputs(text);
        assert!(warnings.len() == 1 && warnings[0].contains(expected), "{text}: {warnings:?}");
    }
    assert_eq!(client.stream_outputs(r#"["e",1,1]"#), [r#"caller Response("1")"#]);
    assert_eq!(client.stream_outputs(r#"["s",null,2,"end"]"#), ["reader ended"]);
}

#[test]
fn a_plain_response_to_a_stream_is_one_item() {
    let mut client = TestClient::open(Dialect::V1);
    client.stream(WINDOW, "reader");
    client.sent();
    assert_eq!(client.stream_outputs(r#"["s",[1,2],1]"#), ["1 item [1,2]", "reader ended"]);
}

#[test]
fn a_classic_response_to_a_stream_is_one_item() {
    let mut client = TestClient::open(Dialect::Classic);
    let key = client.stream(WINDOW, "first");
    client.stream(WINDOW, "second");
    assert_eq!(client.sent(), [r#"["s",0,1]"#, r#"["s",0,2]"#]);
    client.connection.grant_credit(key, 100);
    assert!(client.outputs().is_empty(), "classic has no credit");
    assert_eq!(client.stream_outputs(r#"["s",[1,2]]"#), ["1 item [1,2]", "first ended"]);
    assert_eq!(client.stream_outputs(r#"["s",{"error":"no"},2]"#), ["second failed: no"]);
}

#[test]
fn an_upload_to_a_classic_server_is_not_sent() {
    let mut client = TestClient::new(ClientConfig::default());
    let key = client.stream(DUPLEX, "sender");
    client.connection.upload_end(key);
    client.connection.handle_connected(client.now, Dialect::Classic);
    let outputs: Vec<_> = client.outputs().into_iter().map(describe).collect();
    assert_eq!(outputs, ["Opened { connection: None }", "sender NotSent(NoUploads)"]);
}

#[test]
fn upload_items_are_sent_within_the_servers_credit() {
    let mut client = TestClient::open(Dialect::V1);
    let key = client.stream(DUPLEX, "sender");
    assert_eq!(client.sent(), [r#"["s",0,1,"call",{"credit":4,"in":true}]"#]);
    assert_eq!(
        client.upload(key, "early"),
        Err(NotSent::UploadClosed),
        "there is no credit before the server grants it"
    );
    assert_eq!(client.stream_outputs(r#"["s",2,1,"credit"]"#), ["1 upload credit 2"]);
    assert!(client.stream_outputs(r#"["s",2,1,"credit"]"#).is_empty());
    assert!(client.stream_outputs(r#"["s",1,1,"credit"]"#).is_empty());
    assert_eq!(client.upload(key, "a").unwrap(), [r#"["s","a",1,"item"]"#]);
    assert_eq!(client.upload(key, "b").unwrap(), [r#"["s","b",1,"item"]"#]);
    assert_eq!(client.upload(key, "c"), Err(NotSent::UploadClosed));
    assert_eq!(client.stream_outputs(r#"["s",3,1,"credit"]"#), ["1 upload credit 3"]);
    client.connection.upload_end(key);
    client.connection.upload_end(key);
    assert_eq!(client.sent(), [r#"["s",null,1,"end"]"#]);
    assert_eq!(client.upload(key, "c"), Err(NotSent::UploadClosed));
    assert!(client.stream_outputs(r#"["s",9,1,"credit"]"#).is_empty(), "the credit crossed with the end");
    // The other direction continues.
    assert_eq!(client.stream_outputs(r#"["s",1,1,"item"]"#), ["1 item 1"]);
}

#[test]
fn an_upload_that_ended_before_its_call_was_written_ends_right_after_it() {
    let mut client = TestClient::new(ClientConfig::default());
    let key = client.stream(DUPLEX, "sender");
    client.connection.upload_end(key);
    client.connection.handle_connected(client.now, Dialect::V1);
    assert_eq!(client.sent()[1..], [r#"["s",0,1,"call",{"credit":4,"in":true}]"#, r#"["s",null,1,"end"]"#]);
}

#[test]
fn an_upload_item_above_the_limit_is_rejected_and_the_upload_continues() {
    let mut client = TestClient::new(ClientConfig { max_message_bytes: 100, ..ClientConfig::default() });
    client.connect(Dialect::V1);
    let key = client.stream(DUPLEX, "sender");
    client.sent();
    client.stream_outputs(r#"["s",2,1,"credit"]"#);
    let big = "x".repeat(100);
    assert_eq!(client.upload(key, &big), Err(NotSent::TooLarge { size: 135, limit: 100 }));
    assert_eq!(
        client.upload(key, "1").unwrap().len() + client.upload(key, "2").unwrap().len(),
        2,
        "it has used no credit"
    );
}

#[test]
fn malformed_credit_is_a_bad_frame() {
    let mut client = TestClient::open(Dialect::V1);
    client.stream(DUPLEX, "sender");
    client.sent();
    for data in ["-1", "1.5", "1e3", r#""5""#, "null", "[]", "9007199254740993", "99999999999999999999999"] {
        let warnings = client.stream_outputs(&format!(r#"["s",{data},1,"credit"]"#));
        assert!(
            warnings.len() == 1 && warnings[0].contains("credit must be an integer from 0 to"),
            "{data}: {warnings:?}"
        );
    }
    assert!(client.stream_outputs(r#"["s",0,1,"credit"]"#).is_empty());
    assert_eq!(client.stream_outputs(r#"["s",9007199254740992,1,"credit"]"#), ["1 upload credit 9007199254740992"]);
}

#[test]
fn uploads_pause_while_the_socket_is_blocked() {
    let mut client = TestClient::open(Dialect::V1);
    let key = client.stream(DUPLEX, "sender");
    assert!(client.connection.can_upload());
    client.sent();
    client.stream_outputs(r#"["s",2,1,"credit"]"#);
    client.connection.handle_blocked();
    assert!(!client.connection.can_upload());
    client.connection.handle_writable();
    client.connection.upload_item(key, EncodedMessage::new("s", "a").unwrap()).unwrap();
    assert!(!client.connection.can_upload(), "an item is not polled yet");
}
