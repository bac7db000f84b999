//! Tests of client calls.

use super::*;

impl TestClient {
    /// Receives a text and returns the outputs.
    fn receive(&mut self, text: &str) -> Vec<Output<&'static str>> {
        self.connection.handle_text(self.now, text);
        self.outputs()
    }

    fn start_client_call(&mut self, text: &str) -> ClientCallKey {
        match &self.receive(text)[..] {
            [Output::ClientCall { key, .. }] => *key,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn respond(&mut self, key: ClientCallKey, result: Result<&str, Failure>) -> Vec<String> {
        self.connection.respond(key, result);
        self.sent()
    }
}

fn failure(code: Code) -> Failure {
    Failure::new(code, "no")
}

#[test]
fn a_client_call_is_returned_and_its_response_sent() {
    let mut client = TestClient::open(Dialect::V1);
    let received = client.receive(r#"["con\u0066irm",{"really":true},-1]"#);
    let [Output::ClientCall { key, event, data }] = &received[..] else { panic!("{received:?}") };
    assert_eq!((&**event, &**data), ("confirm", r#"{"really":true}"#));
    let second = client.start_client_call(r#"["confirm",2,-2,"call",{"timeout":5}]"#);
    assert_eq!(client.connection.running_client_calls(), 2);
    assert_eq!(client.respond(second, Ok("true")), [r#"["confirm",true,-2]"#]);
    assert_eq!(
        client.respond(*key, Err(failure(Code::HANDLER))),
        [r#"["confirm",{"error":"no","code":"handler"},-1,"error"]"#]
    );
    // A second response is ignored.
    assert!(client.respond(*key, Ok("1")).is_empty());
    assert_eq!(client.connection.running_client_calls(), 0);
}

#[test]
fn client_calls_and_calls_do_not_interfere() {
    let mut client = TestClient::open(Dialect::V1);
    assert_eq!(client.call("e", "a"), [r#"["e",0,1]"#]);
    let key = client.start_client_call(r#"["e",null,-1]"#);
    assert_eq!(client.respond(key, Ok("7")), [r#"["e",7,-1]"#]);
    assert_eq!(client.results(r#"["e",8,1]"#), [("a", CallResult::Response("8".into()))]);
}

#[test]
fn a_cancelled_client_call_is_reported_once() {
    let mut client = TestClient::open(Dialect::V1);
    let key = client.start_client_call(r#"["confirm",1,-1]"#);
    let received = client.receive(r#"["confirm",null,-1,"cancel"]"#);
    assert!(
        matches!(&received[..], [Output::ClientCallCancelled { key: cancelled }] if *cancelled == key),
        "{received:?}"
    );
    assert!(client.receive(r#"["confirm",null,-1,"cancel"]"#).is_empty());
    assert!(client.respond(key, Ok("1")).is_empty());
    // The cancel crosses with the response.
    let key = client.start_client_call(r#"["confirm",1,-2]"#);
    client.respond(key, Ok("1"));
    assert!(client.receive(r#"["confirm",null,-2,"cancel"]"#).is_empty());
}

#[test]
fn ids_of_client_calls_must_be_consecutive() {
    let mut client = TestClient::open(Dialect::V1);
    for bad in [
        r#"["e",1,-2]"#,
        r#"["e",null,-1,"cancel"]"#,
        r#"["e",null,-1,"item"]"#,
        r#"["e",null,-1,"error"]"#,
        r#"["e",1,-9223372036854775808]"#,
    ] {
        let received = client.receive(bad);
        assert!(matches!(&received[..], [Output::Warning(ProtocolWarning::BadFrame(_))]), "{bad}: {received:?}");
    }
    client.start_client_call(r#"["e",1,-1]"#);
    assert!(matches!(&client.receive(r#"["e",1,-1]"#)[..], [Output::Warning(_)]));
    client.start_client_call(r#"["e",1,-2]"#);
}

#[test]
fn running_client_calls_are_bounded() {
    let mut client = TestClient::new(ClientConfig { max_client_calls: 2, ..ClientConfig::default() });
    client.connect(Dialect::V1);
    let key = client.start_client_call(r#"["e",1,-1]"#);
    client.start_client_call(r#"["e",1,-2]"#);
    client.connection.handle_text(client.now, r#"["e",1,-3]"#);
    assert_eq!(client.sent(), [r#"["e",{"error":"Too many client calls: 2 are running","code":"busy"},-3,"error"]"#]);
    client.respond(key, Ok("1"));
    client.start_client_call(r#"["e",1,-4]"#);
}

#[test]
fn a_response_above_the_message_limit_becomes_a_failure() {
    let mut client = TestClient::new(ClientConfig { max_message_bytes: 200, ..ClientConfig::default() });
    client.connect(Dialect::V1);
    let key = client.start_client_call(r#"["e",1,-1]"#);
    let large = format!("{:?}", "x".repeat(300));
    assert_eq!(
        client.respond(key, Ok(&large)),
        [r#"["e",{"error":"The response exceeds the message limit of 200 bytes","code":"too_large"},-1,"error"]"#]
    );
    let key = client.start_client_call(r#"["e",1,-2]"#);
    let sent = client.respond(key, Err(Failure::new(Code::new("c".repeat(300)), "x".repeat(1000))));
    assert!(sent.len() == 1 && sent[0].len() < 300 && sent[0].contains(r#""code":"handler""#), "{sent:?}");
}

#[test]
fn a_long_event_name_is_shortened_in_the_response() {
    let mut client = TestClient::open(Dialect::V1);
    let key = client.start_client_call(&format!(r#"["{}",null,-1]"#, "n".repeat(100_000)));
    let sent = client.respond(key, Err(Failure::unknown_event(&"n".repeat(100_000))));
    assert!(sent.len() == 1 && sent[0].len() < 1000 && sent[0].ends_with(r#"-1,"error"]"#), "{sent:?}");
}

#[test]
fn client_calls_end_with_their_connection_and_a_late_response_is_dropped() {
    let mut client = TestClient::open(Dialect::V1);
    let old = client.start_client_call(r#"["e",1,-1]"#);
    client.connection.handle_disconnected(client.now, DisconnectReason::Broken("cut".into()));
    let outputs = client.outputs();
    assert!(
        outputs.iter().any(|output| matches!(output, Output::ClientCallCancelled { key } if *key == old)),
        "{outputs:?}"
    );
    client.pass(60 * SECOND);
    client.outputs();
    client.connect(Dialect::V1);
    let new = client.start_client_call(r#"["e",2,-1]"#);
    assert!(client.respond(old, Ok("1")).is_empty());
    assert_eq!(client.respond(new, Ok("2")), [r#"["e",2,-1]"#]);
}

#[test]
fn a_closing_client_cancels_and_ignores_client_calls() {
    let mut client = TestClient::open(Dialect::V1);
    let key = client.start_client_call(r#"["e",1,-1]"#);
    client.connection.close(client.now);
    let outputs = client.outputs();
    assert!(matches!(&outputs[..], [Output::ClientCallCancelled { .. }, Output::Close]), "{outputs:?}");
    assert!(client.respond(key, Ok("1")).is_empty());
    assert!(client.receive(r#"["e",1,-2]"#).is_empty());
}

#[test]
fn responses_to_client_calls_bypass_the_write_queue() {
    let mut client = TestClient::open(Dialect::V1);
    let key = client.start_client_call(r#"["e",1,-1]"#);
    client.connection.handle_blocked();
    assert!(client.call("e", "a").is_empty());
    assert_eq!(client.respond(key, Ok("1")), [r#"["e",1,-1]"#]);
}
