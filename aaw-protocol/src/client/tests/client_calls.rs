//! What the server asks.

use super::*;

impl Rig {
    /// Takes in a text, and gives back what comes of it.
    fn hears(&mut self, text: &str) -> Vec<Output<&'static str>> {
        self.session.handle_text(self.now, text);
        self.outputs()
    }

    fn asked(&mut self, text: &str) -> ClientCallKey {
        match &self.hears(text)[..] {
            [Output::ClientCall { key, .. }] => *key,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn reply(&mut self, key: ClientCallKey, outcome: Result<&str, Failure>) -> Vec<String> {
        self.session.respond(key, outcome);
        self.sent()
    }
}

fn failure(code: Code) -> Failure {
    Failure::new(code, "no")
}

#[test]
fn what_the_server_asks_is_given_out_and_the_reply_sent() {
    let mut rig = Rig::open(Dialect::V1);
    let heard = rig.hears(r#"["con\u0066irm",{"really":true},-1]"#);
    let [Output::ClientCall { key, event, data }] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((&**event, &**data), ("confirm", r#"{"really":true}"#));
    let second = rig.asked(r#"["confirm",2,-2,"call",{"timeout":5}]"#);
    assert_eq!(rig.session.running_client_calls(), 2);
    assert_eq!(rig.reply(second, Ok("true")), [r#"["confirm",true,-2]"#]);
    assert_eq!(
        rig.reply(*key, Err(failure(Code::HANDLER))),
        [r#"["confirm",{"error":"no","code":"handler"},-1,"error"]"#]
    );
    // Once.
    assert!(rig.reply(*key, Ok("1")).is_empty());
    assert_eq!(rig.session.running_client_calls(), 0);
}

#[test]
fn asks_do_not_disturb_calls() {
    let mut rig = Rig::open(Dialect::V1);
    assert_eq!(rig.call("e", "a"), [r#"["e",0,1]"#]);
    let key = rig.asked(r#"["e",null,-1]"#);
    assert_eq!(rig.reply(key, Ok("7")), [r#"["e",7,-1]"#]);
    assert_eq!(rig.text(r#"["e",8,1]"#), [("a", CallResult::Response("8".into()))]);
}

#[test]
fn what_the_server_takes_back_is_dropped_once() {
    let mut rig = Rig::open(Dialect::V1);
    let key = rig.asked(r#"["confirm",1,-1]"#);
    let heard = rig.hears(r#"["confirm",null,-1,"cancel"]"#);
    assert!(matches!(&heard[..], [Output::ClientCallCancelled { key: cancelled }] if *cancelled == key), "{heard:?}");
    assert!(rig.hears(r#"["confirm",null,-1,"cancel"]"#).is_empty());
    assert!(rig.reply(key, Ok("1")).is_empty());
    // It crosses with the reply.
    let key = rig.asked(r#"["confirm",1,-2]"#);
    rig.reply(key, Ok("1"));
    assert!(rig.hears(r#"["confirm",null,-2,"cancel"]"#).is_empty());
}

#[test]
fn ids_come_one_after_the_other() {
    let mut rig = Rig::open(Dialect::V1);
    for bad in [
        r#"["e",1,-2]"#,
        r#"["e",null,-1,"cancel"]"#,
        r#"["e",null,-1,"item"]"#,
        r#"["e",null,-1,"error"]"#,
        r#"["e",1,-9223372036854775808]"#,
    ] {
        let heard = rig.hears(bad);
        assert!(matches!(&heard[..], [Output::Warning(ProtocolWarning::BadFrame(_))]), "{bad}: {heard:?}");
    }
    rig.asked(r#"["e",1,-1]"#);
    assert!(matches!(&rig.hears(r#"["e",1,-1]"#)[..], [Output::Warning(_)]));
    rig.asked(r#"["e",1,-2]"#);
}

#[test]
fn what_is_unanswered_is_bounded() {
    let mut rig = Rig::new(ClientConfig { max_asked: 2, ..ClientConfig::default() });
    rig.connect(Dialect::V1);
    let key = rig.asked(r#"["e",1,-1]"#);
    rig.asked(r#"["e",1,-2]"#);
    rig.session.handle_text(rig.now, r#"["e",1,-3]"#);
    assert_eq!(rig.sent(), [r#"["e",{"error":"2 questions are unanswered already","code":"busy"},-3,"error"]"#]);
    rig.reply(key, Ok("1"));
    rig.asked(r#"["e",1,-4]"#);
}

#[test]
fn a_reply_is_no_larger_than_a_message_may_be() {
    let mut rig = Rig::new(ClientConfig { max_message: 200, ..ClientConfig::default() });
    rig.connect(Dialect::V1);
    let key = rig.asked(r#"["e",1,-1]"#);
    let large = format!("{:?}", "x".repeat(300));
    assert_eq!(
        rig.reply(key, Ok(&large)),
        [r#"["e",{"error":"The answer is larger than a message may be (200 bytes)","code":"too_large"},-1,"error"]"#]
    );
    let key = rig.asked(r#"["e",1,-2]"#);
    let sent = rig.reply(key, Err(Failure::new(Code::new("c".repeat(300)), "x".repeat(1000))));
    assert!(sent.len() == 1 && sent[0].len() < 300 && sent[0].contains(r#""code":"handler""#), "{sent:?}");
}

#[test]
fn a_long_name_does_not_come_back() {
    let mut rig = Rig::open(Dialect::V1);
    let key = rig.asked(&format!(r#"["{}",null,-1]"#, "n".repeat(100_000)));
    let sent = rig.reply(key, Err(Failure::unknown_event(&"n".repeat(100_000))));
    assert!(sent.len() == 1 && sent[0].len() < 1000 && sent[0].ends_with(r#"-1,"error"]"#), "{sent:?}");
}

#[test]
fn asks_end_with_their_connection_and_a_late_reply_goes_to_no_other() {
    let mut rig = Rig::open(Dialect::V1);
    let old = rig.asked(r#"["e",1,-1]"#);
    rig.session.handle_disconnected(rig.now, DisconnectReason::Broken("cut".into()));
    let outputs = rig.outputs();
    assert!(
        outputs.iter().any(|output| matches!(output, Output::ClientCallCancelled { key } if *key == old)),
        "{outputs:?}"
    );
    rig.pass(60 * SECOND);
    rig.outputs();
    rig.connect(Dialect::V1);
    let new = rig.asked(r#"["e",2,-1]"#);
    assert!(rig.reply(old, Ok("1")).is_empty());
    assert_eq!(rig.reply(new, Ok("2")), [r#"["e",2,-1]"#]);
}

#[test]
fn nothing_is_asked_of_a_client_that_closes() {
    let mut rig = Rig::open(Dialect::V1);
    let key = rig.asked(r#"["e",1,-1]"#);
    rig.session.close(rig.now);
    let outputs = rig.outputs();
    assert!(matches!(&outputs[..], [Output::ClientCallCancelled { .. }, Output::Close]), "{outputs:?}");
    assert!(rig.reply(key, Ok("1")).is_empty());
    assert!(rig.hears(r#"["e",1,-2]"#).is_empty());
}

#[test]
fn replies_do_not_wait_for_calls() {
    let mut rig = Rig::open(Dialect::V1);
    let key = rig.asked(r#"["e",1,-1]"#);
    rig.session.handle_blocked();
    assert!(rig.call("e", "a").is_empty());
    assert_eq!(rig.reply(key, Ok("1")), [r#"["e",1,-1]"#]);
}
