//! Tests of the whole state machine with a simulated clock.

use std::time::{Duration, Instant};

use super::*;
use crate::resumption::ResumptionKey;
use crate::{Code, Dialect, Failure, Token, clock};

mod client_calls;
mod login;
mod streams;

/// A connection with a clock. The waiters of its calls are texts.
struct TestClient {
    connection: ClientConnection<&'static str>,
    now: Instant,
    calls: u64,
}

const SECOND: Duration = Duration::from_secs(1);

impl TestClient {
    fn new(config: ClientConfig) -> Self {
        let mut client = Self { connection: ClientConnection::new(config, 1), now: Instant::now(), calls: 0 };
        assert!(matches!(&client.outputs()[..], [Output::Connect]));
        client
    }

    /// An open connection without pending output.
    fn open(dialect: Dialect) -> Self {
        let mut client = Self::new(ClientConfig::default());
        client.connect(dialect);
        client
    }

    fn connect(&mut self, dialect: Dialect) {
        self.connection.handle_connected(self.now, dialect);
        if dialect == Dialect::V1 {
            self.connection.handle_text(self.now, r#"["aaw/welcome",{"connection":"c1"}]"#);
        }
        assert!(self.outputs().iter().any(|output| matches!(output, Output::Opened { .. })));
    }

    /// Makes a call and returns the frames that are sent.
    fn call(&mut self, event: &str, waiter: &'static str) -> Vec<String> {
        self.call_key(event, waiter);
        self.sent()
    }

    fn call_key(&mut self, event: &str, waiter: &'static str) -> CallKey {
        self.calls += 1;
        let deadline = Some(self.now + 3 * SECOND);
        self.connection.call(self.now, CallKey(self.calls), EncodedMessage::new(event, &0).unwrap(), deadline, waiter);
        CallKey(self.calls)
    }

    /// Receives a text and returns the results of the calls that it ends.
    fn results(&mut self, text: &str) -> Vec<(&'static str, CallResult)> {
        self.connection.handle_text(self.now, text);
        self.done()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_timeout(self.now);
    }

    fn outputs(&mut self) -> Vec<Output<&'static str>> {
        std::iter::from_fn(|| self.connection.poll_output()).collect()
    }

    fn sent(&mut self) -> Vec<String> {
        let outputs = self.outputs().into_iter();
        outputs
            .filter_map(|output| if let Output::Send(frame) = output { Some(text_of(&frame)) } else { None })
            .collect()
    }

    fn done(&mut self) -> Vec<(&'static str, CallResult)> {
        let done =
            |output| if let Output::CallDone { waiter, result } = output { Some((waiter, result)) } else { None };
        self.outputs().into_iter().filter_map(done).collect()
    }

    fn warnings(&mut self, text: &str) -> Vec<String> {
        self.connection.handle_text(self.now, text);
        let warning = |output| if let Output::Warning(warning) = output { Some(warning.to_string()) } else { None };
        self.outputs().into_iter().filter_map(warning).collect()
    }

    fn pushes(&mut self, text: &str) -> Vec<String> {
        self.connection.handle_text(self.now, text);
        let push =
            |output| if let Output::Push { event, data } = output { Some(format!("{event} {data}")) } else { None };
        self.outputs().into_iter().filter_map(push).collect()
    }
}

fn text_of(frame: &[u8]) -> String {
    std::str::from_utf8(frame).unwrap().to_owned()
}

fn response(json: &str) -> CallResult {
    CallResult::Response(json.into())
}

#[test]
fn two_calls_of_one_event_get_their_own_responses() {
    let mut client = TestClient::open(Dialect::V1);
    assert_eq!(client.call("e", "first"), [r#"["e",0,1]"#]);
    assert_eq!(client.call("e", "second"), [r#"["e",0,2]"#]);
    assert_eq!(client.results(r#"["e","two",2]"#), [("second", response(r#""two""#))]);
    assert_eq!(client.results(r#"["e","one",1]"#), [("first", response(r#""one""#))]);
}

#[test]
fn a_push_with_the_name_of_an_open_call_is_a_push() {
    let mut client = TestClient::open(Dialect::V1);
    client.call("e", "caller");
    assert_eq!(client.pushes(r#"["e",{"pushed":true}]"#), [r#"e {"pushed":true}"#]);
    assert_eq!(client.results(r#"["e",1,1]"#), [("caller", response("1"))]);
}

#[test]
fn a_v1_response_that_looks_like_a_classic_failure_is_a_response() {
    let mut client = TestClient::open(Dialect::V1);
    client.call("e", "caller");
    assert_eq!(client.results(r#"["e",{"error":"x"},1]"#), [("caller", response(r#"{"error":"x"}"#))]);
}

#[test]
fn a_failure_keeps_the_servers_text_code_and_data() {
    let mut client = TestClient::open(Dialect::V1);
    client.call("e", "a");
    client.call("e", "b");
    let done = client.results(r#"["e",{"error":"no","code":"mine","data":[1]},1,"error"]"#);
    let [("a", CallResult::Failed(failure))] = &done[..] else { panic!("{done:?}") };
    assert_eq!((failure.error.as_str(), failure.code.as_str()), ("no", "mine"));
    assert_eq!(failure.data.as_ref().unwrap().get(), "[1]");
    // A malformed failure still fails the call.
    let done = client.results(r#"["e",7,2,"error"]"#);
    assert!(matches!(&done[..], [("b", CallResult::Failed(failure))] if failure.code == Code::BAD_FRAME), "{done:?}");
}

#[test]
fn a_timeout_cancels_the_call_and_a_late_response_is_ignored() {
    let mut client = TestClient::open(Dialect::V1);
    client.call("e", "caller");
    client.pass(3 * SECOND - Duration::from_millis(1));
    assert!(client.outputs().is_empty());
    client.pass(Duration::from_millis(1));
    let outputs = client.outputs();
    assert!(
        matches!(&outputs[..], [Output::Send(cancel), Output::CallDone { waiter: "caller", result: CallResult::TimedOut { sent: true, taken: false } }]
            if cancel == r#"["e",null,1,"cancel"]"#),
        "{outputs:?}"
    );
    client.connection.handle_text(client.now, r#"["e",1,1]"#);
    assert!(client.outputs().is_empty());
}

#[test]
fn the_server_is_notified_of_a_cancel_only_if_the_call_was_written() {
    let mut client = TestClient::new(ClientConfig::default());
    let unwritten = client.call_key("e", "unwritten");
    client.connection.cancel(client.now, unwritten);
    client.connect(Dialect::V1);
    let written = client.call_key("e", "written");
    assert_eq!(client.sent(), [r#"["e",0,1]"#]);
    client.connection.cancel(client.now, written);
    assert_eq!(client.sent(), [r#"["e",null,1,"cancel"]"#]);
    client.connection.cancel(client.now, written);
    assert!(client.outputs().is_empty());
}

#[test]
fn after_a_disconnection_written_calls_are_unknown_and_queued_ones_wait() {
    let mut client = TestClient::open(Dialect::V1);
    client.call("e", "written");
    client.connection.handle_blocked();
    client.call("e", "unwritten");
    let why = DisconnectReason::Broken("cut".into());
    client.connection.handle_disconnected(client.now, why.clone());
    assert_eq!(client.done(), [("written", CallResult::Unknown(why))]);

    client.pass(SECOND);
    assert!(matches!(&client.outputs()[..], [Output::Connect]));
    client.connection.handle_connected(client.now, Dialect::V1);
    // On a new connection the ids start at 1 again.
    assert_eq!(client.sent(), [r#"["aaw/hello",{}]"#, r#"["e",0,1]"#]);
}

#[test]
fn a_call_without_a_connection_ends_at_its_deadline() {
    let mut client = TestClient::new(ClientConfig::default());
    client.call("e", "caller");
    let deadline = client.now + 3 * SECOND;
    let mut steps = 0;
    let done = loop {
        let next = client.connection.poll_timeout().expect("a deadline");
        client.pass(next - client.now);
        steps += 1;
        match client.done() {
            done if done.is_empty() => {}
            done => break done,
        }
    };
    assert_eq!(done, [("caller", CallResult::TimedOut { sent: false, taken: false })]);
    assert_eq!(client.now, deadline);
    assert!(steps <= 4, "{steps} steps");
}

#[test]
fn the_write_queue_is_bounded_and_keeps_its_order() {
    let mut client = TestClient::new(ClientConfig {
        max_queued_event_bytes: 70,
        max_queued_call_bytes: 70,
        ..ClientConfig::default()
    });
    let send = |body: &str| EncodedMessage::new("s", body).unwrap();
    assert_eq!(client.connection.send(send("1")), Ok(()));
    client.call("c", "fits");
    assert_eq!(client.connection.send(send("2")), Ok(()));
    assert_eq!(client.connection.send(send("3")), Err(NotSent::QueueFull { limit: 70 }));
    client.call("c", "fits too");
    client.call_key("c", "too much");
    assert_eq!(client.done(), [("too much", CallResult::NotSent(NotSent::QueueFull { limit: 70 }))]);
    client.connection.handle_connected(client.now, Dialect::Classic);
    assert_eq!(client.sent(), [r#"["s","1"]"#, r#"["c",0,1]"#, r#"["s","2"]"#, r#"["c",0,2]"#]);
}

#[test]
fn the_limits_of_the_welcome_apply() {
    let mut client = TestClient::new(ClientConfig::default());
    client.connection.handle_connected(client.now, Dialect::V1);
    client.results(r#"["aaw/welcome",{"connection":"c","limits":{"calls":2,"message":60}}]"#);
    assert_eq!(client.call("e", "a").len() + client.call("e", "b").len(), 2);
    assert!(client.call("e", "c").is_empty());
    client.connection.handle_text(client.now, r#"["e",1,1]"#);
    assert_eq!(client.sent(), [r#"["e",0,3]"#]);
    assert_eq!(
        client.connection.send(EncodedMessage::new("s", &"x".repeat(60)).unwrap()),
        Err(NotSent::TooLarge { size: 88, limit: 60 })
    );
}

#[test]
fn a_message_that_may_be_too_large_waits_for_the_welcome() {
    let big = || EncodedMessage::new("big", &"x".repeat(2 << 20)).unwrap();
    for (allowed, written) in [(4 << 20, true), (1 << 20, false)] {
        let mut client = TestClient::new(ClientConfig::default());
        client.connection.handle_connected(client.now, Dialect::V1);
        client.connection.call(client.now, CallKey(1), big(), None, "big");
        assert_eq!(client.sent().len(), 1, "the hello");
        client.connection.handle_text(
            client.now,
            &format!(r#"["aaw/welcome",{{"connection":"c","limits":{{"message":{allowed}}}}}]"#),
        );
        let outputs = client.outputs();
        assert_eq!(outputs.iter().any(|output| matches!(output, Output::Send(_))), written);
        let refused = |output: &Output<_>| {
            matches!(output, Output::CallDone { result: CallResult::NotSent(NotSent::TooLarge { .. }), .. })
        };
        assert_eq!(outputs.iter().any(refused), !written);
    }
}

#[test]
fn a_classic_response_without_an_id_belongs_to_the_oldest_call_of_its_event() {
    let mut client = TestClient::open(Dialect::Classic);
    client.call("e", "first");
    client.call("other", "other");
    client.call("e", "second");
    assert_eq!(client.results(r#"["e",1]"#), [("first", response("1"))]);
    assert_eq!(
        client.results(r#"["e",{"error":"Error: no"}]"#),
        [("second", CallResult::Failed(Failure::new(Code::HANDLER, "Error: no")))]
    );
    assert_eq!(client.pushes(r#"["e",3]"#), ["e 3"]);
    assert_eq!(
        client.results(r#"["other",{"error":"x","more":1}]"#),
        [("other", response(r#"{"error":"x","more":1}"#))]
    );
}

#[test]
fn classic_responses_with_ids_are_matched_by_id() {
    let mut client = TestClient::open(Dialect::Classic);
    client.call("e", "first");
    client.call("e", "second");
    assert_eq!(client.results(r#"["e",2,2]"#), [("second", response("2"))]);
    assert_eq!(client.pushes(r#"["e","a push"]"#), [r#"e "a push""#]);
    assert_eq!(
        client.results(r#"["e",{"error":"no"},1]"#),
        [("first", CallResult::Failed(Failure::new(Code::HANDLER, "no")))]
    );
}

#[test]
fn an_abandoned_classic_call_still_takes_its_late_response_for_a_while() {
    let mut client = TestClient::open(Dialect::Classic);
    client.call("e", "slow");
    client.pass(3 * SECOND);
    assert_eq!(client.done(), [("slow", CallResult::TimedOut { sent: true, taken: false })]);
    assert!(client.sent().is_empty(), "classic has no cancel");
    client.call("e", "next");
    assert_eq!(client.results(r#"["e","of slow"]"#), []);
    assert_eq!(client.results(r#"["e","of next"]"#), [("next", response(r#""of next""#))]);

    client.call("e", "no response");
    client.pass(3 * SECOND);
    client.pass(2 * SECOND);
    client.call("e", "later");
    client.pass(SECOND);
    client.outputs();
    assert_eq!(client.results(r#"["e",1]"#), [("later", response("1"))]);
}

#[test]
fn bad_frames_are_warnings_and_the_connection_stays_open() {
    let mut client = TestClient::open(Dialect::V1);
    client.call("e", "caller");
    for (text, expected) in [
        ("hello", "not JSON"),
        ("{}", "found an object"),
        (r#"["e",1,99]"#, "call 99, which was never made"),
        (r#"["e",1,"1"]"#, "an integer"),
        (r#"["e",1,1,"maybe"]"#, "unknown kind"),
        (r#"["e",1,1,"item"]"#, "unexpected kind"),
        (r#"["e",{},1,"call"]"#, "unexpected kind"),
        (r#"["aaw/welcome",7]"#, "malformed aaw/welcome"),
        (
            r#"["aaw/error",{"error":"Unknown event: x","code":"unknown_event"}]"#,
            "the server reported an error: Unknown event: x",
        ),
    ] {
        let warnings = client.warnings(text);
        assert!(warnings.len() == 1 && warnings[0].contains(expected), "{text}: {warnings:?}");
    }
    client.connection.handle_binary(Instant::now(), 3);
    assert!(matches!(&client.outputs()[..], [Output::Warning(_)]));
    assert!(client.pushes(r#"["aaw/something/new",1]"#).is_empty());
    assert_eq!(client.results(r#"["e",1,1]"#), [("caller", response("1"))]);
}

#[test]
fn a_silent_server_is_pinged_twice_and_then_disconnected() {
    let mut client = TestClient::open(Dialect::V1);
    for _ in 0..2 {
        client.pass(20 * SECOND);
        assert!(matches!(&client.outputs()[..], [Output::Ping]));
    }
    client.pass(20 * SECOND);
    assert!(matches!(&client.outputs()[..], [Output::Abort, Output::Disconnected(DisconnectReason::Silent)]));
}

#[test]
fn a_server_without_a_welcome_is_disconnected() {
    let mut client = TestClient::new(ClientConfig::default());
    client.connection.handle_connected(client.now, Dialect::V1);
    client.outputs();
    client.pass(10 * SECOND);
    assert!(matches!(&client.outputs()[..], [Output::Abort, Output::Disconnected(DisconnectReason::NoWelcome)]));
}

#[test]
fn attempts_continue_with_growing_delays() {
    let mut client = TestClient::new(ClientConfig::default());
    for failures in 0..20 {
        client.connection.handle_connect_failed(client.now, RetryHint::Unknown);
        let wait = client.connection.poll_timeout().unwrap() - client.now;
        assert!(wait <= Duration::from_millis((100u64 << failures).min(10_000)), "{failures}: {wait:?}");
        client.pass(wait);
        assert!(matches!(&client.outputs()[..], [Output::Connect]));
    }
}

#[test]
fn a_refused_client_waits_longer_than_one_that_reaches_no_server() {
    let wait = |client: &TestClient| client.connection.poll_timeout().unwrap() - client.now;
    let mut client = TestClient::new(ClientConfig::default());
    client.connection.handle_connect_failed(client.now, RetryHint::Refused);
    assert!(wait(&client) >= 15 * SECOND);
    client.pass(30 * SECOND);
    assert!(matches!(&client.outputs()[..], [Output::Connect]));
    client.connection.handle_connect_failed(client.now, RetryHint::After(7 * SECOND));
    assert!(wait(&client) >= 7 * SECOND);
    // A hook of the server refuses with a close frame, after the handshake.
    for (code, refused) in [(1008, true), (1001, false), (1013, false)] {
        let mut client = TestClient::open(Dialect::V1);
        let reason = DisconnectReason::ClosedByServer { code, reason: String::new() };
        client.connection.handle_disconnected(client.now, reason);
        assert_eq!(wait(&client) >= 15 * SECOND, refused, "{code}");
    }
}

#[test]
fn a_heartbeat_interval_of_zero_disables_pings() {
    let mut client =
        TestClient::new(ClientConfig { heartbeat_interval: Some(Duration::ZERO), ..ClientConfig::default() });
    client.connect(Dialect::V1);
    assert_eq!(client.connection.poll_timeout(), None);
    client.pass(3600 * SECOND);
    assert!(client.outputs().is_empty());
}

#[test]
fn a_limit_of_no_calls_in_flight_counts_as_one() {
    let mut client = TestClient::new(ClientConfig { max_in_flight: 0, ..ClientConfig::default() });
    client.connect(Dialect::Classic);
    client.call("e", "first");
    client.call("e", "second");
    assert_eq!(client.connection.in_flight(), 1);
    assert_eq!(client.results(r#"["e",1,1]"#), [("first", response("1"))]);
}

#[test]
fn closing_sends_queued_events_and_ends_all_calls() {
    let mut client = TestClient::open(Dialect::V1);
    client.call("e", "written");
    client.connection.handle_blocked();
    client.connection.send(EncodedMessage::new("s", &1).unwrap()).unwrap();
    client.call("e", "unwritten");
    client.connection.close(client.now);
    let outputs = client.outputs();
    assert!(
        matches!(&outputs[..], [
            Output::CallDone { waiter: "written", result: CallResult::Unknown(DisconnectReason::ClosedByUs) },
            Output::CallDone { waiter: "unwritten", result: CallResult::NotSent(NotSent::Closed) },
            Output::Send(send),
            Output::Close,
        ] if send == r#"["s",1]"#),
        "{outputs:?}"
    );
    assert_eq!(client.connection.send(EncodedMessage::new("s", &1).unwrap()), Err(NotSent::Closed));
    // Errors about earlier events are still reported; client calls are ignored, because no response can follow.
    assert_eq!(
        client.warnings(r#"["aaw/error",{"error":"Unknown event: s"}]"#),
        ["the server reported an error: Unknown event: s"]
    );
    client.connection.handle_text(client.now, r#"["ask",{},-1]"#);
    assert!(client.outputs().is_empty());
    client.connection.handle_disconnected(client.now, DisconnectReason::Broken("reset".into()));
    assert!(matches!(&client.outputs()[..], [Output::Disconnected(DisconnectReason::ClosedByUs), Output::Closed]));
}

#[test]
fn closing_has_a_timeout() {
    let mut client = TestClient::open(Dialect::V1);
    client.connection.close(client.now);
    client.outputs();
    client.pass(2 * SECOND);
    assert!(matches!(
        &client.outputs()[..],
        [Output::Abort, Output::Disconnected(DisconnectReason::ClosedByUs), Output::Closed]
    ));
}

/// An open connection that can be resumed, without pending output.
fn resumable() -> TestClient {
    let mut client = TestClient::new(ClientConfig::default());
    client.connection.offer_resumption(ResumptionKey::from_random([1; 16]));
    client.connection.handle_connected(client.now, Dialect::V1);
    client.connection.handle_text(client.now, &welcome(r#""window":60000,"log":1000"#, false));
    client.outputs();
    client
}

fn welcome(resumption: &str, resumed: bool) -> String {
    format!(r#"["aaw/welcome",{{"connection":"c1","resumed":{resumed},"resumption":{{{resumption}}}}}]"#)
}

/// Breaks the socket, and sends the hello on another one.
fn resume(client: &mut TestClient) {
    client.connection.handle_disconnected(client.now, DisconnectReason::Broken("reset".into()));
    client.pass(Duration::ZERO);
    client.connection.offer_resumption(ResumptionKey::from_random([2; 16]));
    client.connection.handle_connected(client.now, Dialect::V1);
    client.outputs();
}

/// Passes time until the client gives the socket up. A ping is answered if the server `pongs`. Returns the seconds of the pings, and
/// the time of the end.
fn pings_of(client: &mut TestClient, pongs: bool, limit: Duration) -> (Vec<u64>, Option<Duration>) {
    let (start, mut pings) = (client.now, Vec::new());
    while client.now - start < limit {
        let due = client.connection.poll_timeout().expect("there is a heartbeat");
        client.pass(due.saturating_duration_since(client.now));
        for output in client.outputs() {
            match output {
                Output::Ping => {
                    pings.push((client.now - start).as_secs());
                    if pongs {
                        client.connection.handle_sign_of_life(client.now);
                    }
                }
                Output::Abort => return (pings, Some(client.now - start)),
                _ => {}
            }
        }
    }
    (pings, None)
}

#[test]
fn a_server_that_is_silent_during_a_call_is_probed_also_after_it_has_taken_the_call() {
    let call = |client: &mut TestClient| {
        client.connection.call(client.now, CallKey(7), EncodedMessage::new("e", &0).unwrap(), None, "waiter");
        client.outputs();
        client.pass(SECOND);
        client.connection.handle_sign_of_life(client.now);
        client.connection.handle_text(client.now, r#"["aaw/ack",1]"#);
    };
    let mut client = resumable();
    call(&mut client);
    assert_eq!(pings_of(&mut client, false, 60 * SECOND), (vec![3], Some(6 * SECOND)));
    // A call that takes long costs few pings.
    let mut client = resumable();
    call(&mut client);
    let (pings, aborted) = pings_of(&mut client, true, 120 * SECOND);
    assert_eq!((pings, aborted), (vec![3, 6, 9, 12, 15, 19, 24, 30, 38, 48, 60, 75, 90, 105, 120], None));
}

#[test]
fn a_server_that_ends_each_socket_at_once_is_not_contacted_without_pause() {
    let mut client = resumable();
    let mut at_once = 0;
    for number in 0..20 {
        client.connection.handle_disconnected(client.now, DisconnectReason::Broken("reset".into()));
        client.pass(Duration::ZERO);
        if client.outputs().iter().any(|output| matches!(output, Output::Connect)) {
            at_once += 1;
        } else {
            client.pass(10 * SECOND);
            client.outputs();
        }
        client.connection.offer_resumption(ResumptionKey::from_random([2 + number; 16]));
        client.connection.handle_connected(client.now, Dialect::V1);
        client.connection.handle_text(client.now, &welcome(r#""window":60000,"log":1000,"received":0"#, true));
        client.outputs();
    }
    assert_eq!(at_once, 1, "the first only");
    client.connection.handle_text(client.now, r#"["push",1]"#);
    client.connection.handle_disconnected(client.now, DisconnectReason::Broken("reset".into()));
    client.pass(Duration::ZERO);
    assert!(client.outputs().iter().any(|output| matches!(output, Output::Connect)), "after something new");
}

/// Each call ends before the server would be pinged because of it.
#[test]
fn a_silent_server_is_noticed_although_each_call_times_out_before() {
    for timeout in [500, 1000, 2900, 3000] {
        let mut client = resumable();
        let start = client.now;
        let mut ended = None;
        for number in 0..20 {
            let deadline = Some(client.now + Duration::from_millis(timeout));
            let message = EncodedMessage::new("e", &0).unwrap();
            client.connection.call(client.now, CallKey(100 + number), message, deadline, "waiter");
            client.outputs();
            let mut is_over = false;
            while ended.is_none() && !is_over {
                let due = client.connection.poll_timeout().expect("a deadline");
                client.pass(due.saturating_duration_since(client.now));
                for output in client.outputs() {
                    is_over |= matches!(output, Output::CallDone { .. });
                    if matches!(output, Output::Abort) {
                        ended = Some(client.now - start);
                    }
                }
            }
        }
        assert_eq!(ended.expect("it is noticed").as_secs(), 6, "timeout {timeout}");
    }
}

#[test]
fn a_server_that_stays_silent_has_more_time_on_each_socket_until_something_new_arrives() {
    let mut client = resumable();
    client.connection.call(client.now, CallKey(7), EncodedMessage::new("e", &0).unwrap(), None, "waiter");
    client.outputs();
    client.connection.handle_text(client.now, r#"["aaw/ack",1]"#);
    let resume = |client: &mut TestClient, key| {
        // The longest wait between two attempts.
        client.pass(10 * SECOND);
        client.outputs();
        client.connection.offer_resumption(ResumptionKey::from_random([key; 16]));
        client.connection.handle_connected(client.now, Dialect::V1);
        client.connection.handle_text(client.now, &welcome(r#""window":60000,"log":1000,"received":1"#, true));
        client.outputs();
    };
    for (number, seconds) in [6, 12, 24, 48].into_iter().enumerate() {
        let (_, aborted) = pings_of(&mut client, false, 100 * SECOND);
        assert_eq!(aborted, Some(seconds * SECOND), "socket {number}");
        resume(&mut client, 2 + number as u8);
    }
    client.connection.handle_text(client.now, r#"["push",1]"#);
    client.connection.handle_sign_of_life(client.now);
    // For a call that has waited for minutes, the server may be silent for longer.
    client.connection.call(client.now, CallKey(8), EncodedMessage::new("e", &0).unwrap(), None, "another");
    client.outputs();
    assert_eq!(pings_of(&mut client, false, 100 * SECOND).1, Some(6 * SECOND));
}

#[test]
fn closing_while_a_connection_is_resumed_sends_queued_events_after_the_welcome() {
    let written = EncodedMessage::new("written", &1).unwrap();
    for (resumed, expected) in [
        (true, &[r#"["written",1]"#, r#"["queued",1]"#] as &[_]),
        // The first may have arrived.
        (false, &[r#"["queued",1]"#]),
    ] {
        let mut client = resumable();
        client.connection.send(written.clone()).unwrap();
        client.outputs();
        resume(&mut client);
        client.call("e", "unwritten");
        client.connection.send(EncodedMessage::new("queued", &1).unwrap()).unwrap();
        client.connection.close(client.now);
        let outputs = client.outputs();
        let closed = CallResult::NotSent(NotSent::Closed);
        assert!(
            matches!(&outputs[..], [Output::CallDone { waiter: "unwritten", result }] if *result == closed),
            "{outputs:?}"
        );
        assert_eq!(client.connection.send(written.clone()), Err(NotSent::Closed));
        let terms = if resumed { r#""window":60000,"log":1000,"received":0"# } else { r#""window":60000,"log":1000"# };
        client.connection.handle_text(client.now, &welcome(terms, resumed));
        let outputs = client.outputs();
        let sent = outputs.iter().filter_map(|output| match output {
            Output::Send(frame) => Some(text_of(frame)),
            _ => None,
        });
        assert_eq!(sent.collect::<Vec<_>>(), expected);
        assert!(matches!(outputs.last(), Some(Output::Close)), "{outputs:?}");
        let is_news = |output: &Output<_>| matches!(output, Output::Opened { .. } | Output::Disconnected(_));
        assert!(!outputs.iter().any(is_news), "the end is reported once: {outputs:?}");
        client.connection.handle_disconnected(client.now, DisconnectReason::Broken("end".into()));
        assert!(matches!(&client.outputs()[..], [Output::Disconnected(DisconnectReason::ClosedByUs), Output::Closed]));
    }
}

/// The messages that are counted in the same way by the server, and by the JavaScript client.
#[test]
fn only_the_event_and_the_id_decide_whether_a_message_is_counted() {
    let mut client = resumable();
    for uncounted in [
        r#"["aaw/ack",0]"#,
        r#"["aaw/ack",5,null,"cancel"]"#,
        r#"["aaw/welcome",7]"#,
        r#"["aaw/pong"]"#,
        r#"["aaw/ping",null]"#,
        r#"["aaw/hello",{}]"#,
    ] {
        client.connection.handle_text(client.now, uncounted);
    }
    let gap = r#"["aaw/gap",{"lost":2}]"#;
    for counted in
        [r#"["push",1]"#, "nonsense", r#"["aaw/ack",nonsense]"#, r#"["aaw/ack",0,3]"#, gap, r#"["aaw/new",1]"#]
    {
        client.connection.handle_text(client.now, counted);
    }
    client.connection.handle_disconnected(client.now, DisconnectReason::Broken("reset".into()));
    client.pass(Duration::ZERO);
    client.connection.offer_resumption(ResumptionKey::from_random([2; 16]));
    client.connection.handle_connected(client.now, Dialect::V1);
    let hello = client.sent();
    assert!(hello[0].contains(r#""received":7,"#), "{hello:?}");
}

#[test]
fn closing_while_a_connection_is_resumed_has_a_timeout() {
    let mut client = resumable();
    resume(&mut client);
    client.connection.close(client.now);
    assert_eq!(client.connection.poll_timeout(), Some(client.now + 2 * SECOND));
    client.pass(2 * SECOND);
    let outputs = client.outputs();
    assert!(
        matches!(&outputs[..], [Output::Abort, Output::Disconnected(DisconnectReason::ClosedByUs), Output::Closed]),
        "{outputs:?}"
    );
}

#[test]
fn closing_an_interrupted_connection_reports_its_end() {
    let mut client = resumable();
    client.call("e", "written");
    client.connection.handle_disconnected(client.now, DisconnectReason::Broken("reset".into()));
    client.outputs();
    client.connection.close(client.now);
    let outputs = client.outputs();
    assert!(
        matches!(
            &outputs[..],
            [
                Output::CallDone { waiter: "written", result: CallResult::Unknown(DisconnectReason::ClosedByUs) },
                Output::Disconnected(DisconnectReason::ClosedByUs),
                Output::Closed,
            ]
        ),
        "{outputs:?}"
    );
}

#[test]
fn the_largest_durations_never_expire_and_never_panic() {
    for dialect in [Dialect::V1, Dialect::Classic] {
        let endless = Duration::MAX;
        let config = ClientConfig {
            heartbeat_interval: Some(endless),
            backoff: Backoff { min: endless, max: endless, factor: f64::MAX, refused: endless },
            welcome_timeout: endless,
            close_timeout: endless,
            ..ClientConfig::default()
        };
        let mut client = TestClient::new(config);
        client.connection.handle_connected(client.now, dialect);
        client.outputs();
        let deadline = clock::after(client.now, endless);
        client.connection.call(client.now, CallKey(1), EncodedMessage::new("e", &0).unwrap(), Some(deadline), "caller");
        client.outputs();
        client.pass(365 * 24 * 3600 * SECOND);
        assert!(client.outputs().is_empty(), "{dialect:?}");
        client.connection.cancel(client.now, CallKey(1));
        client.outputs();
        client.connection.handle_disconnected(client.now, DisconnectReason::Broken("cut".into()));
        assert!(client.connection.poll_timeout().is_some());

        let mut client = TestClient::new(ClientConfig { close_timeout: endless, ..ClientConfig::default() });
        client.connect(dialect);
        client.connection.close(client.now);
        client.outputs();
        client.pass(365 * 24 * 3600 * SECOND);
        assert!(client.outputs().is_empty(), "{dialect:?}");
    }
}

#[test]
fn after_a_stall_the_server_has_a_full_interval_to_respond() {
    let mut client = TestClient::open(Dialect::V1);
    client.pass(1000 * SECOND);
    assert!(matches!(&client.outputs()[..], [Output::Ping]));
    client.pass(19 * SECOND);
    assert!(client.outputs().is_empty());
    client.connection.handle_sign_of_life(client.now);
    client.pass(19 * SECOND);
    assert!(client.outputs().is_empty());
}

#[test]
fn a_gap_stands_for_at_least_one_message() {
    let mut client = resumable();
    for bad in ["null", "{}", r#"{"lost":0}"#, r#"{"lost":1.5}"#, r#"{"lost":"3"}"#, r#"{"lost":9007199254740993}"#] {
        let warnings = client.warnings(&format!(r#"["aaw/gap",{bad}]"#));
        assert!(matches!(&warnings[..], [text] if text.contains("`lost`, an integer from 1")), "{bad}: {warnings:?}");
    }
    client.connection.handle_text(client.now, r#"["aaw/gap",{"lost":3}]"#);
    assert!(matches!(client.outputs()[..], [Output::Gap { lost: 3 }]));
}
