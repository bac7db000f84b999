//! A session with a hand-moved clock.

use std::time::{Duration, Instant};

use super::*;
use crate::{Code, Dialect, Failure, Token, clock};

mod client_calls;
mod streams;
mod token;

/// A session whose calls are known by words, and its clock.
struct Rig {
    session: ClientConnection<&'static str>,
    now: Instant,
    calls: u64,
}

const SECOND: Duration = Duration::from_secs(1);

impl Rig {
    fn new(config: ClientConfig) -> Self {
        let mut rig = Self { session: ClientConnection::new(config, 1), now: Instant::now(), calls: 0 };
        assert!(matches!(&rig.outputs()[..], [Output::Connect]));
        rig
    }

    /// Connected, greeted, and with nothing left to say.
    fn open(dialect: Dialect) -> Self {
        let mut rig = Self::new(ClientConfig::default());
        rig.connect(dialect);
        rig
    }

    fn connect(&mut self, dialect: Dialect) {
        self.session.handle_connected(self.now, dialect);
        if dialect == Dialect::V1 {
            self.session.handle_text(self.now, r#"["aaw/welcome",{"connection":"c1"}]"#);
        }
        assert!(self.outputs().iter().any(|output| matches!(output, Output::Opened { .. })));
    }

    /// Makes a call, and gives back what is written then.
    fn call(&mut self, event: &str, waiter: &'static str) -> Vec<String> {
        self.call_key(event, waiter);
        self.sent()
    }

    fn call_key(&mut self, event: &str, waiter: &'static str) -> CallKey {
        self.calls += 1;
        let deadline = Some(self.now + 3 * SECOND);
        self.session.call(self.now, CallKey(self.calls), EncodedMessage::new(event, &0).unwrap(), deadline, waiter);
        CallKey(self.calls)
    }

    /// Takes in a text, and gives back how calls ended.
    fn text(&mut self, text: &str) -> Vec<(&'static str, CallResult)> {
        self.session.handle_text(self.now, text);
        self.done()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
    }

    fn outputs(&mut self) -> Vec<Output<&'static str>> {
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    fn sent(&mut self) -> Vec<String> {
        let outputs = self.outputs().into_iter();
        outputs
            .filter_map(|output| if let Output::Send(frame) = output { Some(text_of(&frame)) } else { None })
            .collect()
    }

    fn done(&mut self) -> Vec<(&'static str, CallResult)> {
        let done =
            |output| if let Output::CallDone { waiter, outcome } = output { Some((waiter, outcome)) } else { None };
        self.outputs().into_iter().filter_map(done).collect()
    }

    fn problems(&mut self, text: &str) -> Vec<String> {
        self.session.handle_text(self.now, text);
        let problem = |output| if let Output::Warning(problem) = output { Some(problem.to_string()) } else { None };
        self.outputs().into_iter().filter_map(problem).collect()
    }

    fn pushes(&mut self, text: &str) -> Vec<String> {
        self.session.handle_text(self.now, text);
        let push =
            |output| if let Output::Push { event, data } = output { Some(format!("{event} {data}")) } else { None };
        self.outputs().into_iter().filter_map(push).collect()
    }
}

fn text_of(frame: &[u8]) -> String {
    std::str::from_utf8(frame).unwrap().to_owned()
}

fn answered(json: &str) -> CallResult {
    CallResult::Response(json.into())
}

#[test]
fn two_calls_of_one_event_each_get_their_own_answer() {
    let mut rig = Rig::open(Dialect::V1);
    assert_eq!(rig.call("e", "first"), [r#"["e",0,1]"#]);
    assert_eq!(rig.call("e", "second"), [r#"["e",0,2]"#]);
    assert_eq!(rig.text(r#"["e","two",2]"#), [("second", answered(r#""two""#))]);
    assert_eq!(rig.text(r#"["e","one",1]"#), [("first", answered(r#""one""#))]);
}

#[test]
fn a_push_with_the_name_of_an_open_call_is_a_push() {
    let mut rig = Rig::open(Dialect::V1);
    rig.call("e", "caller");
    assert_eq!(rig.pushes(r#"["e",{"pushed":true}]"#), [r#"e {"pushed":true}"#]);
    assert_eq!(rig.text(r#"["e",1,1]"#), [("caller", answered("1"))]);
}

#[test]
fn an_answer_is_one_though_it_looks_like_a_classic_failure() {
    let mut rig = Rig::open(Dialect::V1);
    rig.call("e", "caller");
    assert_eq!(rig.text(r#"["e",{"error":"x"},1]"#), [("caller", answered(r#"{"error":"x"}"#))]);
}

#[test]
fn failures_carry_all_that_the_server_said() {
    let mut rig = Rig::open(Dialect::V1);
    rig.call("e", "a");
    rig.call("e", "b");
    let done = rig.text(r#"["e",{"error":"no","code":"mine","data":[1]},1,"error"]"#);
    let [("a", CallResult::Failed(failure))] = &done[..] else { panic!("{done:?}") };
    assert_eq!((failure.error.as_str(), failure.code.as_str()), ("no", "mine"));
    assert_eq!(failure.data.as_ref().unwrap().get(), "[1]");
    // One that cannot be read is one all the same.
    let done = rig.text(r#"["e",7,2,"error"]"#);
    assert!(matches!(&done[..], [("b", CallResult::Failed(failure))] if failure.code == Code::BAD_FRAME), "{done:?}");
}

#[test]
fn after_a_time_out_the_server_is_told_and_a_late_answer_goes_nowhere() {
    let mut rig = Rig::open(Dialect::V1);
    rig.call("e", "caller");
    rig.pass(3 * SECOND - Duration::from_millis(1));
    assert!(rig.outputs().is_empty());
    rig.pass(Duration::from_millis(1));
    let outputs = rig.outputs();
    assert!(
        matches!(&outputs[..], [Output::Send(cancel), Output::CallDone { waiter: "caller", outcome: CallResult::TimedOut { sent: true } }]
            if cancel == r#"["e",null,1,"cancel"]"#),
        "{outputs:?}"
    );
    rig.session.handle_text(rig.now, r#"["e",1,1]"#);
    assert!(rig.outputs().is_empty());
}

#[test]
fn a_cancelled_call_is_told_to_the_server_if_it_was_written() {
    let mut rig = Rig::new(ClientConfig::default());
    let unwritten = rig.call_key("e", "unwritten");
    rig.session.cancel(rig.now, unwritten);
    rig.connect(Dialect::V1);
    let written = rig.call_key("e", "written");
    assert_eq!(rig.sent(), [r#"["e",0,1]"#]);
    rig.session.cancel(rig.now, written);
    assert_eq!(rig.sent(), [r#"["e",null,1,"cancel"]"#]);
    rig.session.cancel(rig.now, written);
    assert!(rig.outputs().is_empty());
}

#[test]
fn when_it_breaks_what_was_written_is_unknown_and_the_rest_waits_for_the_next() {
    let mut rig = Rig::open(Dialect::V1);
    rig.call("e", "written");
    rig.session.handle_blocked();
    rig.call("e", "unwritten");
    let why = DisconnectReason::Broken("cut".into());
    rig.session.handle_disconnected(rig.now, why.clone());
    assert_eq!(rig.done(), [("written", CallResult::Unknown(why))]);

    rig.pass(SECOND);
    assert!(matches!(&rig.outputs()[..], [Output::Connect]));
    rig.session.handle_connected(rig.now, Dialect::V1);
    // The ids of a new connection begin anew.
    assert_eq!(rig.sent(), [r#"["aaw/hello",{}]"#, r#"["e",0,1]"#]);
}

#[test]
fn a_call_that_waits_for_a_connection_times_out_by_its_own_time() {
    let mut rig = Rig::new(ClientConfig::default());
    rig.call("e", "caller");
    assert_eq!(rig.session.poll_timeout(), Some(rig.now + 3 * SECOND));
    rig.pass(3 * SECOND);
    assert_eq!(rig.done(), [("caller", CallResult::TimedOut { sent: false })]);
}

#[test]
fn what_waits_is_bounded_and_keeps_its_order() {
    let mut rig = Rig::new(ClientConfig { max_waiting_sends: 70, max_waiting_calls: 70, ..ClientConfig::default() });
    let send = |body: &str| EncodedMessage::new("s", body).unwrap();
    assert_eq!(rig.session.send(send("1")), Ok(()));
    rig.call("c", "fits");
    assert_eq!(rig.session.send(send("2")), Ok(()));
    assert_eq!(rig.session.send(send("3")), Err(NotSent::QueueFull { limit: 70 }));
    rig.call("c", "fits too");
    rig.call_key("c", "too much");
    assert_eq!(rig.done(), [("too much", CallResult::NotSent(NotSent::QueueFull { limit: 70 }))]);
    rig.session.handle_connected(rig.now, Dialect::Classic);
    assert_eq!(rig.sent(), [r#"["s","1"]"#, r#"["c",0,1]"#, r#"["s","2"]"#, r#"["c",0,2]"#]);
}

#[test]
fn the_limits_of_the_welcome_hold() {
    let mut rig = Rig::new(ClientConfig::default());
    rig.session.handle_connected(rig.now, Dialect::V1);
    rig.text(r#"["aaw/welcome",{"connection":"c","limits":{"calls":2,"message":60}}]"#);
    assert_eq!(rig.call("e", "a").len() + rig.call("e", "b").len(), 2);
    assert!(rig.call("e", "c").is_empty());
    rig.session.handle_text(rig.now, r#"["e",1,1]"#);
    assert_eq!(rig.sent(), [r#"["e",0,3]"#]);
    assert_eq!(
        rig.session.send(EncodedMessage::new("s", &"x".repeat(60)).unwrap()),
        Err(NotSent::TooLarge { size: 88, limit: 60 })
    );
}

#[test]
fn what_may_be_too_large_waits_for_the_welcome() {
    let big = || EncodedMessage::new("big", &"x".repeat(2 << 20)).unwrap();
    for (allowed, written) in [(4 << 20, true), (1 << 20, false)] {
        let mut rig = Rig::new(ClientConfig::default());
        rig.session.handle_connected(rig.now, Dialect::V1);
        rig.session.call(rig.now, CallKey(1), big(), None, "big");
        assert_eq!(rig.sent().len(), 1, "the hello");
        rig.session
            .handle_text(rig.now, &format!(r#"["aaw/welcome",{{"connection":"c","limits":{{"message":{allowed}}}}}]"#));
        let outputs = rig.outputs();
        assert_eq!(outputs.iter().any(|output| matches!(output, Output::Send(_))), written);
        let refused = |output: &Output<_>| {
            matches!(output, Output::CallDone { outcome: CallResult::NotSent(NotSent::TooLarge { .. }), .. })
        };
        assert_eq!(outputs.iter().any(refused), !written);
    }
}

#[test]
fn a_classic_answer_without_an_id_goes_to_the_oldest_call_of_its_event() {
    let mut rig = Rig::open(Dialect::Classic);
    rig.call("e", "first");
    rig.call("other", "other");
    rig.call("e", "second");
    assert_eq!(rig.text(r#"["e",1]"#), [("first", answered("1"))]);
    assert_eq!(
        rig.text(r#"["e",{"error":"Error: no"}]"#),
        [("second", CallResult::Failed(Failure::new(Code::HANDLER, "Error: no")))]
    );
    assert_eq!(rig.pushes(r#"["e",3]"#), ["e 3"]);
    assert_eq!(rig.text(r#"["other",{"error":"x","more":1}]"#), [("other", answered(r#"{"error":"x","more":1}"#))]);
}

#[test]
fn a_classic_server_that_echoes_ids_is_taken_at_its_word() {
    let mut rig = Rig::open(Dialect::Classic);
    rig.call("e", "first");
    rig.call("e", "second");
    assert_eq!(rig.text(r#"["e",2,2]"#), [("second", answered("2"))]);
    assert_eq!(rig.pushes(r#"["e","a push"]"#), [r#"e "a push""#]);
    assert_eq!(
        rig.text(r#"["e",{"error":"no"},1]"#),
        [("first", CallResult::Failed(Failure::new(Code::HANDLER, "no")))]
    );
}

#[test]
fn a_classic_call_given_up_still_takes_its_late_answer_for_a_while() {
    let mut rig = Rig::open(Dialect::Classic);
    rig.call("e", "slow");
    rig.pass(3 * SECOND);
    assert_eq!(rig.done(), [("slow", CallResult::TimedOut { sent: true })]);
    assert!(rig.sent().is_empty(), "a classic server knows no cancel");
    rig.call("e", "next");
    assert_eq!(rig.text(r#"["e","of slow"]"#), []);
    assert_eq!(rig.text(r#"["e","of next"]"#), [("next", answered(r#""of next""#))]);

    rig.call("e", "never answered");
    rig.pass(3 * SECOND);
    rig.pass(2 * SECOND);
    rig.call("e", "later");
    rig.pass(SECOND);
    rig.outputs();
    assert_eq!(rig.text(r#"["e",1]"#), [("later", answered("1"))]);
}

#[test]
fn what_makes_no_sense_is_reported_and_the_connection_goes_on() {
    let mut rig = Rig::open(Dialect::V1);
    rig.call("e", "caller");
    for (text, expected) in [
        ("hello", "not JSON"),
        ("{}", "found an object"),
        (r#"["e",1,99]"#, "call 99, which was never made"),
        (r#"["e",1,"1"]"#, "an integer"),
        (r#"["e",1,1,"maybe"]"#, "unknown kind"),
        (r#"["e",1,1,"item"]"#, "not asked for"),
        (r#"["e",{},1,"call"]"#, "not asked for"),
        (r#"["aaw/welcome",7]"#, "welcome that cannot be read"),
        (r#"["aaw/error",{"error":"Unknown event: x","code":"unknown_event"}]"#, "the server says: Unknown event: x"),
    ] {
        let problems = rig.problems(text);
        assert!(problems.len() == 1 && problems[0].contains(expected), "{text}: {problems:?}");
    }
    rig.session.handle_binary();
    assert!(matches!(&rig.outputs()[..], [Output::Warning(_)]));
    assert!(rig.pushes(r#"["aaw/something/new",1]"#).is_empty());
    assert_eq!(rig.text(r#"["e",1,1]"#), [("caller", answered("1"))]);
}

#[test]
fn a_silent_server_is_pinged_twice_and_then_left() {
    let mut rig = Rig::open(Dialect::V1);
    for _ in 0..2 {
        rig.pass(20 * SECOND);
        assert!(matches!(&rig.outputs()[..], [Output::Ping]));
    }
    rig.pass(20 * SECOND);
    assert!(matches!(&rig.outputs()[..], [Output::Abort, Output::Disconnected(DisconnectReason::Silent)]));
}

#[test]
fn a_server_that_never_greets_is_left() {
    let mut rig = Rig::new(ClientConfig::default());
    rig.session.handle_connected(rig.now, Dialect::V1);
    rig.outputs();
    rig.pass(10 * SECOND);
    assert!(matches!(&rig.outputs()[..], [Output::Abort, Output::Disconnected(DisconnectReason::NoWelcome)]));
}

#[test]
fn attempts_go_on_and_wait_longer_each_time() {
    let mut rig = Rig::new(ClientConfig::default());
    for failures in 0..20 {
        rig.session.handle_connect_failed(rig.now);
        let wait = rig.session.poll_timeout().unwrap() - rig.now;
        assert!(wait <= Duration::from_millis((100u64 << failures).min(10_000)), "{failures}: {wait:?}");
        rig.pass(wait);
        assert!(matches!(&rig.outputs()[..], [Output::Connect]));
    }
}

#[test]
fn closing_says_what_was_sent_before_and_ends_everything() {
    let mut rig = Rig::open(Dialect::V1);
    rig.call("e", "written");
    rig.session.handle_blocked();
    rig.session.send(EncodedMessage::new("s", &1).unwrap()).unwrap();
    rig.call("e", "unwritten");
    rig.session.close(rig.now);
    let outputs = rig.outputs();
    assert!(
        matches!(&outputs[..], [
            Output::CallDone { waiter: "written", outcome: CallResult::Unknown(DisconnectReason::ClosedByUs) },
            Output::Send(send),
            Output::CallDone { waiter: "unwritten", outcome: CallResult::NotSent(NotSent::Closed) },
            Output::Close,
        ] if send == r#"["s",1]"#),
        "{outputs:?}"
    );
    assert_eq!(rig.session.send(EncodedMessage::new("s", &1).unwrap()), Err(NotSent::Closed));
    // What the server has to say about what was sent is still heard; nothing can be said any more.
    assert_eq!(rig.problems(r#"["aaw/error",{"error":"Unknown event: s"}]"#), ["the server says: Unknown event: s"]);
    rig.session.handle_text(rig.now, r#"["ask",{},-1]"#);
    assert!(rig.outputs().is_empty());
    rig.session.handle_disconnected(rig.now, DisconnectReason::Broken("reset".into()));
    assert!(matches!(&rig.outputs()[..], [Output::Disconnected(DisconnectReason::ClosedByUs), Output::Closed]));
}

#[test]
fn closing_does_not_wait_for_a_server_that_does_not_answer_it() {
    let mut rig = Rig::open(Dialect::V1);
    rig.session.close(rig.now);
    rig.outputs();
    rig.pass(2 * SECOND);
    assert!(matches!(
        &rig.outputs()[..],
        [Output::Abort, Output::Disconnected(DisconnectReason::ClosedByUs), Output::Closed]
    ));
}

#[test]
fn a_time_of_the_largest_duration_never_ends_and_panics_nowhere() {
    for dialect in [Dialect::V1, Dialect::Classic] {
        let endless = Duration::MAX;
        let config = ClientConfig {
            heartbeat: Some(endless),
            backoff: Backoff { min: endless, max: endless, factor: f64::MAX },
            welcome_timeout: endless,
            close_timeout: endless,
            ..ClientConfig::default()
        };
        let mut rig = Rig::new(config);
        rig.session.handle_connected(rig.now, dialect);
        rig.outputs();
        let deadline = clock::after(rig.now, endless);
        rig.session.call(rig.now, CallKey(1), EncodedMessage::new("e", &0).unwrap(), Some(deadline), "caller");
        rig.outputs();
        rig.pass(365 * 24 * 3600 * SECOND);
        assert!(rig.outputs().is_empty(), "{dialect:?}");
        rig.session.cancel(rig.now, CallKey(1));
        rig.outputs();
        rig.session.handle_disconnected(rig.now, DisconnectReason::Broken("cut".into()));
        assert!(rig.session.poll_timeout().is_some());

        let mut rig = Rig::new(ClientConfig { close_timeout: endless, ..ClientConfig::default() });
        rig.connect(dialect);
        rig.session.close(rig.now);
        rig.outputs();
        rig.pass(365 * 24 * 3600 * SECOND);
        assert!(rig.outputs().is_empty(), "{dialect:?}");
    }
}

#[test]
fn after_a_stall_the_server_has_its_time_to_answer_a_ping() {
    let mut rig = Rig::open(Dialect::V1);
    rig.pass(1000 * SECOND);
    assert!(matches!(&rig.outputs()[..], [Output::Ping]));
    rig.pass(19 * SECOND);
    assert!(rig.outputs().is_empty());
    rig.session.handle_sign_of_life(rig.now);
    rig.pass(19 * SECOND);
    assert!(rig.outputs().is_empty());
}
