//! The session as a whole: a frame comes in, frames go out. [`Server`] stands in for whoever owns the socket; its
//! clock is moved by hand.

mod barrier;
mod client_calls;
mod opening;
mod streams;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::{
    Call, CallKey, ClientCallKey, Close, Completion, Input, ItemFrame, Output, ServerConfig, ServerConnection,
};
use crate::codec;
use crate::dialect::Dialect;
use crate::failure::{Code, Failure};
use crate::hello::Limits;

/// A session with a few events: `ping`; `echo`; `plain`, which answers nothing; `explode`, which fails; `picky`, which takes no body; `large`, whose
/// answer is a string as long as its body says; and `slow`, which goes on, and may yield items, until it is named by its
/// body and told how to end. `change` is the same, as a barrier.
struct Server {
    session: ServerConnection,
    now: Instant,
    /// Whether the client takes what it is sent. What it does not take stays in `unsent`.
    reads: bool,
    unsent: Vec<usize>,
    running: Vec<Handler>,
    /// What happened since the last look, one thing a line.
    log: String,
}

/// A call of `slow`.
struct Handler {
    body: String,
    key: CallKey,
    frame: Vec<u8>,
    items: ItemFrame,
}

impl Server {
    fn new(dialect: Dialect, config: ServerConfig) -> Self {
        let now = Instant::now();
        let session = ServerConnection::new(dialect, "7f".into(), config, now);
        Self { session, now, reads: true, unsent: Vec::new(), running: Vec::new(), log: String::new() }
    }

    /// After the greeting.
    fn v1() -> Self {
        Self::v1_with(ServerConfig::default())
    }

    fn v1_with(config: ServerConfig) -> Self {
        let mut server = Self::new(Dialect::V1, config);
        server.hear(r#"["aaw/hello",{}]"#);
        server.log.clear();
        server
    }

    fn classic() -> Self {
        Self::new(Dialect::Classic, ServerConfig::default())
    }

    /// One text after the other comes in; then this, line by line, is what happened:
    ///
    /// - a frame, as it was sent; `bad: …` for the v1 frame that says this of a bad frame,
    /// - `run BODY`: a call of `slow` began; `drop BODY`: its handler is to be dropped,
    /// - `credit N for BODY`: its stream may go on; `item JSON for BODY`, `end for BODY`: what its caller uploads,
    /// - `KEY answered: JSON`, `KEY failed: CODE TEXT`: what became of an ask,
    /// - `ping`, `open?`, `close CODE`.
    #[track_caller]
    fn check<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>, expected: &str) {
        for text in texts {
            self.hear(text);
        }
        self.expect(expected);
    }

    #[track_caller]
    fn expect(&mut self, expected: &str) {
        let expected = expected.lines().map(str::trim).filter(|line| !line.is_empty());
        assert_eq!(std::mem::take(&mut self.log).lines().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    fn hear(&mut self, text: &str) {
        self.session.handle_sign_of_life(self.now);
        let input = self.session.handle_text(self.now, text);
        self.take_up(input);
        self.settle();
    }

    fn take_up(&mut self, input: Input<'_>) {
        match input {
            Input::Call(call) => self.run(call),
            Input::UploadItem { key, data } => {
                let line = format!("item {data} for {}\n", self.handler(key).body);
                self.log.push_str(&line);
            }
            Input::UploadEnd { key } => {
                let line = format!("end for {}\n", self.handler(key).body);
                self.log.push_str(&line);
            }
            Input::Handled | Input::Refused { .. } | Input::BadFrame(_) => {}
        }
    }

    fn handler(&self, key: CallKey) -> &Handler {
        self.running.iter().find(|handler| handler.key == key).expect("it was begun")
    }

    fn key(&self, body: &str) -> CallKey {
        self.running.iter().find(|handler| handler.body == body).expect("it was begun").key
    }

    fn run(&mut self, call: Call<'_>) {
        if let Err(bad) = call.check() {
            self.session.reject(call, bad);
            return;
        }
        let mut frame = call.begin_response();
        let outcome = match call.event.as_ref() {
            "ping" => {
                frame.extend_from_slice(br#"{"pong":true}"#);
                Completion::Responded
            }
            "echo" => {
                frame.extend_from_slice(call.body.as_bytes());
                Completion::Responded
            }
            "large" => {
                let text = "x".repeat(call.body.parse().unwrap());
                frame.extend_from_slice(codec::event_json(&text).as_bytes());
                Completion::Responded
            }
            "plain" => Completion::OneWayDone,
            // As a parser does that quotes what it found.
            "picky" => Completion::Refused(Failure::new(Code::BAD_BODY, format!("bad body: {}", call.body))),
            "explode" => Completion::Failed(Failure::new(Code::HANDLER, "Something went wrong")),
            name @ ("slow" | "change") => {
                let body = call.body.to_owned();
                writeln!(self.log, "run {body}").unwrap();
                let items = call.item_frame();
                let is_barrier = name == "change";
                let key =
                    if is_barrier { self.session.add_pending_barrier(call) } else { self.session.add_pending(call) };
                self.running.push(Handler { body, key, frame, items });
                return;
            }
            unknown => Completion::Refused(Failure::unknown_event(unknown)),
        };
        self.session.complete_now(call, frame, outcome);
    }

    /// The `slow` call with this body answers `"done"`. False if nobody waits for it.
    fn finish(&mut self, body: &str) -> bool {
        self.finish_with(body, b"\"done\"", Completion::Responded)
    }

    fn finish_with(&mut self, body: &str, answer: &[u8], outcome: Completion) -> bool {
        let at = self.running.iter().position(|handler| handler.body == body).expect("it was begun");
        let Handler { key, mut frame, .. } = self.running.remove(at);
        frame.extend_from_slice(answer);
        let waited_for = self.session.complete(key, frame, outcome);
        self.settle();
        waited_for
    }

    /// The `slow` call with this body yields an item. False if nobody waits for it.
    fn item(&mut self, body: &str, item: &str) -> bool {
        let handler = self.running.iter().find(|handler| handler.body == body).expect("it was begun");
        let mut frame = handler.items.begin();
        frame.extend_from_slice(item.as_bytes());
        handler.items.end(&mut frame);
        let waited_for = self.session.handle_item(handler.key, frame.into());
        self.settle();
        waited_for
    }

    /// The stream of the `slow` call with this body is over.
    fn end(&mut self, body: &str) -> bool {
        let at = self.running.iter().position(|handler| handler.body == body).expect("it was begun");
        let Handler { key, .. } = self.running.remove(at);
        let waited_for = self.session.complete(key, Vec::new(), Completion::StreamEnded);
        self.settle();
        waited_for
    }

    /// The `slow` call with this body takes what its caller uploads, up to this item.
    fn grant(&mut self, body: &str, room: u64) {
        self.session.grant_upload_credit(self.key(body), room);
        self.settle();
    }

    fn credit(&self, body: &str) -> u64 {
        self.session.credit(self.key(body))
    }

    /// Asks the client; the code if it cannot be.
    fn ask(&mut self, key: u64, event: &str, body: &str, timeout: Option<Duration>) -> Result<(), Code> {
        let deadline = timeout.map(|timeout| self.now + timeout);
        let asked = self.session.client_call(self.now, ClientCallKey(key), event, body, deadline);
        self.settle();
        asked.map_err(|failure| failure.code)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
        self.settle();
    }

    fn take_everything(&mut self) {
        for len in self.unsent.drain(..) {
            self.session.handle_sent(len);
        }
        self.settle();
    }

    /// What the owner does after each input.
    fn settle(&mut self) {
        loop {
            while let Some(output) = self.session.poll_output() {
                match output {
                    Output::Send(frame) => {
                        let len = frame.len();
                        if self.reads {
                            self.session.handle_sent(len);
                        } else {
                            self.unsent.push(len);
                        }
                        let text = std::str::from_utf8(&frame).expect("a frame is text");
                        let sent = codec::decode_strictly(text).expect("a frame is a frame");
                        match serde_json::from_str::<Failure>(sent.data) {
                            Ok(bad) if sent.event == "aaw/error" && bad.code == Code::BAD_FRAME => {
                                writeln!(self.log, "bad: {bad}").unwrap();
                            }
                            _ => writeln!(self.log, "{text}").unwrap(),
                        }
                    }
                    Output::Credit { key, items } => {
                        assert_eq!(self.session.credit(key), items);
                        let line = format!("credit {items} for {}\n", self.handler(key).body);
                        self.log.push_str(&line);
                    }
                    Output::ClientCallDone { key: ClientCallKey(key), outcome: Ok(json) } => {
                        writeln!(self.log, "{key} answered: {json}").unwrap();
                    }
                    Output::ClientCallDone { key: ClientCallKey(key), outcome: Err(failure) } => {
                        writeln!(self.log, "{key} failed: {} {failure}", failure.code).unwrap();
                    }
                    Output::RunOpenHook => self.log.push_str("open?\n"),
                    Output::Ping => self.log.push_str("ping\n"),
                    Output::Close(close) => writeln!(self.log, "close {}", close.code()).unwrap(),
                    Output::Drop(key) => {
                        let line = format!("drop {}\n", self.handler(key).body);
                        self.log.push_str(&line);
                    }
                }
            }
            let Some(waiting) = self.session.poll_queued() else { return };
            let input = self.session.handle_queued(self.now, &waiting);
            self.take_up(input);
        }
    }
}

/// So many calls run, and the line holds so many bytes.
fn limited(calls: u32, line: u32) -> ServerConfig {
    ServerConfig { limits: Limits { calls, line, ..Limits::default() }, ..ServerConfig::default() }
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

// --- The greeting -----------------------------------------------------------------------------------------------------

#[test]
fn hello_is_welcomed() {
    let mut server = Server::new(Dialect::V1, ServerConfig::default());
    assert!(!server.session.is_open());
    server.check(
        [r#"["aaw/hello",{"session":"later","new":1}]"#],
        r#"["aaw/welcome",{"connection":"7f","resumed":false,"limits":{"calls":256,"line":1048576,"message":1048576}}]"#,
    );
    assert!(server.session.is_open());
    server.check([r#"["aaw/hello",{}]"#], "bad: a second aaw/hello");
}

#[test]
fn calls_may_follow_the_hello_at_once_but_not_precede_it() {
    let mut server = Server::new(Dialect::V1, ServerConfig::default());
    server.check(
        [r#"["ping",null,1]"#, r#"["plain",{}]"#, "nonsense"],
        r#"
        bad: the first frame must be ["aaw/hello", {…}]
        bad: the first frame must be ["aaw/hello", {…}]
        bad: not JSON: expected ident at line 1 column 2
        "#,
    );
    server.hear(r#"["aaw/hello",{}]"#);
    server.log.clear();
    server.check([r#"["ping",null,1]"#], r#"["ping",{"pong":true},1]"#);
}

#[test]
fn a_hello_of_the_wrong_shape_can_be_said_again() {
    let mut server = Server::new(Dialect::V1, ServerConfig::default());
    server.check(
        [
            r#"["aaw/hello"]"#,
            r#"["aaw/hello",[]]"#,
            r#"["aaw/hello",{},1]"#,
            r#"["aaw/hello",{},null,"call"]"#,
            r#"["aaw/hello",{"resume":"yes"}]"#,
        ],
        r#"
        bad: the body of aaw/hello must be an object
        bad: the body of aaw/hello must be an object
        bad: the first frame must be ["aaw/hello", {…}]
        bad: the first frame must be ["aaw/hello", {…}]
        bad: the body of aaw/hello: invalid type: string "yes", expected a boolean at line 1 column 15
        "#,
    );
    server.hear(r#"["aaw/hello",{}]"#);
    assert!(server.session.is_open());
}

#[test]
fn a_hello_that_never_comes_ends_the_connection() {
    let mut server = Server::new(Dialect::V1, ServerConfig::default());
    assert_eq!(server.session.poll_timeout(), server.now + 10 * SECOND);
    server.pass(10 * SECOND - MS);
    server.expect("");
    server.pass(MS);
    server.expect("close 1002");
    // It is said once, nothing that still comes is looked at, and nothing is left to wait for.
    server.pass(SECOND);
    server.check([r#"["aaw/hello",{}]"#], "");
    assert!(server.session.poll_timeout() > server.now + 1000 * SECOND);
}

#[test]
fn a_classic_client_says_no_hello() {
    let mut server = Server::classic();
    assert!(server.session.is_open());
    server.pass(11 * SECOND);
    server.check([r#"["aaw/hello",{}]"#], r#"["aaw/hello",{"error":"Unknown event: aaw/hello"}]"#);
}

// --- Ids --------------------------------------------------------------------------------------------------------------

#[test]
fn ids_count_up_from_one() {
    Server::v1().check(
        [
            r#"["ping",null,1]"#,
            r#"["echo",[1,2],2]"#,
            r#"["echo",{},3,"call"]"#,
            r#"["explode",{},4]"#,
            r#"["nope",{},5]"#,
        ],
        r#"
        ["ping",{"pong":true},1]
        ["echo",[1,2],2]
        ["echo",{},3]
        ["explode",{"error":"Something went wrong","code":"handler"},4,"error"]
        ["nope",{"error":"Unknown event: nope","code":"unknown_event"},5,"error"]
        "#,
    );
}

#[test]
fn an_id_that_is_not_the_next_is_bad_and_takes_nothing() {
    let mut server = Server::v1();
    server.check(
        [
            r#"["ping",null,2]"#,
            r#"["ping",null,1]"#,
            r#"["ping",null,1]"#,
            r#"["ping",null,4,"call"]"#,
            r#"["ping",null,9223372036854775807]"#,
            r#"["ping",null,-1,"call"]"#,
            r#"["ping",null,0]"#,
            r#"["ping",null,-0]"#,
            r#"["ping",null,"2"]"#,
            r#"["ping",null,2.0]"#,
            r#"["ping",null,2e0]"#,
            r#"["ping",null,9223372036854775808]"#,
            r#"["ping",null,{}]"#,
            r#"["ping",null,true]"#,
            r#"["ping",null,2]"#,
        ],
        r#"
        bad: id 2 for a call; the next is 1
        ["ping",{"pong":true},1]
        bad: id 1 for a call; the next is 2
        bad: id 4 for a call; the next is 2
        bad: id 9223372036854775807 for a call; the next is 2
        bad: id -1 for a call; a client's ids are 1, 2, 3 and so on
        bad: the id (element 3) must be an integer other than 0, found 0
        bad: the id (element 3) must be an integer other than 0, found -0
        bad: the id (element 3) must be an integer other than 0, found "2"
        bad: the id (element 3) must be an integer other than 0, found 2.0
        bad: the id (element 3) must be an integer other than 0, found 2e0
        bad: the id (element 3) must be an integer other than 0, found 9223372036854775808
        bad: the id (element 3) must be a string or a number, found {}
        bad: the id (element 3) must be a string or a number, found true
        ["ping",{"pong":true},2]
        "#,
    );
}

#[test]
fn an_id_is_given_back_when_the_frame_turns_out_to_be_none() {
    Server::v1().check(
        [
            r#"["echo",{"a":},1]"#,
            r#"["echo",oops,1]"#,
            r#"["echo",1,"call",{},1]"#,
            r#"["echo",{},1]"#,
            r#"["echo",{},2]"#,
        ],
        r#"
        bad: not JSON: expected value at line 1 column 14
        bad: not JSON: expected value at line 1 column 9
        bad: unknown kind {} (element 4); known are call, error, item, end, credit, cancel
        ["echo",{},1]
        ["echo",{},2]
        "#,
    );
}

#[test]
fn an_id_is_given_back_when_the_call_would_have_waited() {
    let mut server = Server::v1_with(limited(1, 1 << 20));
    server.check(
        [r#"["slow","a",1]"#, r#"["echo",{"a":},2]"#, r#"["echo",1,0,"call",2]"#, r#"["echo",{},2]"#],
        r#"
        run "a"
        bad: not JSON: expected value at line 1 column 14
        bad: bad meta (element 5): expected an object, found a number
        "#,
    );
    server.finish(r#""a""#);
    server.expect(
        r#"
        ["slow","done",1]
        ["echo",{},2]
        "#,
    );
}

#[test]
fn a_number_at_the_end_is_called_an_id_only_if_it_is_one() {
    Server::v1().check(
        [r#"["echo",1,2,7]"#, r#"["echo",{},1,"call",7]"#],
        r#"
        bad: unknown kind 7 (element 4); known are call, error, item, end, credit, cancel
        bad: bad meta (element 5): expected an object, found a number
        "#,
    );
}

// --- Frames that are no calls -----------------------------------------------------------------------------------------

#[test]
fn bad_frames_are_answered_and_the_connection_goes_on() {
    Server::v1().check(
        [
            "{}",
            "[]",
            "[7]",
            r#"["e",1,2,"maybe"]"#,
            r#"["e",1,2,null,{}]"#,
            r#"["e",1,2,"call",{},6]"#,
            r#"["e",1,null,"call"]"#,
            r#"["e",1,null,"cancel"]"#,
            r#"["ping",null,1]"#,
        ],
        r#"
        bad: expected a JSON array [event, data, id, kind, meta], found an object
        bad: an empty array; expected [event, data, …]
        bad: the event (element 1) must be a string, found 7
        bad: unknown kind "maybe" (element 4); known are call, error, item, end, credit, cancel
        bad: unknown kind null (element 4); known are call, error, item, end, credit, cancel
        bad: more than 5 elements; expected [event, data, id, kind, meta]
        bad: kind "call" without an id (element 3)
        bad: kind "cancel" without an id (element 3)
        ["ping",{"pong":true},1]
        "#,
    );
}

#[test]
fn a_bad_frame_is_told_by_aaw_error() {
    let mut server = Server::v1();
    let Input::BadFrame(bad) = server.session.handle_text(server.now, "[]") else { panic!("it is bad") };
    assert_eq!(bad.to_string(), "an empty array; expected [event, data, …]");
    assert_eq!(
        server.session.poll_output(),
        Some(Output::Send(
            r#"["aaw/error",{"error":"an empty array; expected [event, data, …]","code":"bad_frame"}]"#.into()
        ))
    );
}

#[test]
fn answers_to_calls_that_were_never_made_are_bad() {
    Server::v1().check(
        [r#"["e",1,-1]"#, r#"["e",{"error":"no"},-1,"error"]"#, r#"["e",{},1,"error"]"#, r#"["e",1,-1,"item"]"#],
        "
        bad: an answer with id -1 to a call that was never made
        bad: an answer with id -1 to a call that was never made
        bad: an answer with id 1 to a call that was never made
        bad: id -1 names no call; the last was 0
        ",
    );
}

#[test]
fn a_ping_is_answered_and_an_ack_is_taken() {
    Server::v1().check(
        [r#"["aaw/ping"]"#, r#"["aaw/ack",{"low":1,"pushes":0}]"#, r#"["aaw/ping",{},1]"#],
        r#"
        ["aaw/pong",null]
        ["aaw/ping",{"error":"Unknown event: aaw/ping","code":"unknown_event"},1,"error"]
        "#,
    );
}

#[test]
fn a_binary_message_is_bad() {
    let mut server = Server::v1();
    server.session.handle_binary();
    server.settle();
    server.expect("bad: a binary message; expected text");
    let mut server = Server::classic();
    server.session.handle_binary();
    server.settle();
    server.expect("");
}

// --- Cancel and time --------------------------------------------------------------------------------------------------

#[test]
fn cancel_drops_a_running_call_once() {
    let mut server = Server::v1();
    server.check(
        [r#"["slow","a",1]"#, r#"["slow",null,1,"cancel"]"#, r#"["slow",null,1,"cancel"]"#, r#"["ping",null,2]"#],
        r#"
        run "a"
        drop "a"
        ["ping",{"pong":true},2]
        "#,
    );
    assert!(server.session.is_idle());
    // The handler was done at the same moment: nobody waits for it.
    assert!(!server.finish(r#""a""#));
    server.check([r#"["slow",null,1,"cancel"]"#, r#"["e",null,2,"cancel"]"#], "");
    server.check([r#"["slow",null,3,"cancel"]"#], "bad: id 3 names no call; the last was 2");
    server.check([r#"["slow",null,-3,"cancel"]"#], "bad: id -3 names no call; the last was 2");
}

#[test]
fn a_cancelled_call_in_line_never_runs() {
    let mut server = Server::v1_with(limited(1, 1 << 20));
    server.check(
        [
            r#"["slow","a",1]"#,
            r#"["slow","b",2]"#,
            r#"["slow","c",3]"#,
            r#"["slow",null,2,"cancel"]"#,
            r#"["slow",null,2,"cancel"]"#,
        ],
        r#"run "a""#,
    );
    server.finish(r#""a""#);
    server.expect(
        r#"
        ["slow","done",1]
        run "c"
        "#,
    );
}

#[test]
fn cancelling_a_running_call_lets_the_next_in_line_run() {
    let mut server = Server::v1_with(limited(1, 1 << 20));
    server.check(
        [r#"["slow","a",1]"#, r#"["slow","b",2]"#, r#"["slow",null,1,"cancel"]"#],
        r#"
        run "a"
        drop "a"
        run "b"
        "#,
    );
}

#[test]
fn a_late_cancel_does_not_take_the_send_that_came_after_the_call() {
    let mut server = Server::v1_with(limited(1, 200));
    // The second call is too large for the line; the send after it waits in the place that the call never had.
    let large = format!(r#"["echo","{}",2]"#, "x".repeat(200));
    server.check(
        [r#"["slow","a",1]"#, &large, r#"["slow","sent"]"#, r#"["echo",null,2,"cancel"]"#],
        r#"
        run "a"
        ["echo",{"error":"Too many calls: 1 run and the line is full","code":"busy"},2,"error"]
        "#,
    );
    server.finish(r#""a""#);
    server.expect(
        r#"
        ["slow","done",1]
        run "sent"
        "#,
    );
}

#[test]
fn a_running_call_ends_when_its_time_is_up() {
    let mut server = Server::v1();
    server.check([r#"["slow","a",1,"call",{"timeout":50}]"#, r#"["slow","b",2]"#], "run \"a\"\nrun \"b\"");
    assert_eq!(server.session.poll_timeout(), server.now + 50 * MS);
    server.pass(49 * MS);
    server.expect("");
    server.pass(MS);
    server.expect(
        r#"
        drop "a"
        ["slow",{"error":"The handler did not end within the time its caller gave it","code":"timeout"},1,"error"]
        "#,
    );
    assert!(!server.finish(r#""a""#));
    assert!(server.finish(r#""b""#));
}

#[test]
fn a_finished_or_cancelled_call_has_no_deadline_left() {
    let mut server = Server::v1();
    server.hear(r#"["slow",1,1,"call",{"timeout":50}]"#);
    server.hear(r#"["slow",2,2,"call",{"timeout":50}]"#);
    server.hear(r#"["slow",null,2,"cancel"]"#);
    server.finish("1");
    assert_eq!(server.session.poll_timeout(), server.now + 20 * SECOND);
    server.log.clear();
    server.pass(SECOND);
    server.expect("");
}

#[test]
fn a_call_in_line_whose_time_is_up_never_runs() {
    let mut server = Server::v1_with(limited(1, 1 << 20));
    server.check(
        [r#"["slow","a",1]"#, r#"["slow","b",2,"call",{"timeout":50}]"#, r#"["slow","c",3,"call",{"timeout":51}]"#],
        r#"run "a""#,
    );
    server.pass(50 * MS);
    server.expect("");
    server.finish(r#""a""#);
    server.expect(
        r#"
        ["slow","done",1]
        ["slow",{"error":"The handler did not end within the time its caller gave it","code":"timeout"},2,"error"]
        run "c"
        "#,
    );
    // Its time began when it came, not when it ran.
    server.pass(MS);
    server.expect(
        r#"
        drop "c"
        ["slow",{"error":"The handler did not end within the time its caller gave it","code":"timeout"},3,"error"]
        "#,
    );
}

#[test]
fn a_timeout_beyond_the_clock_is_none() {
    let mut server = Server::v1();
    server.hear(r#"["slow",1,1,"call",{"timeout":18446744073709551615}]"#);
    server.hear(r#"["slow",2,2,"call",{"timeout":null}]"#);
    server.pass(SECOND);
    assert_eq!(server.session.running(), 2);
}

#[test]
fn a_bad_meta_fails_that_call_alone() {
    Server::v1().check(
        [
            r#"["ping",null,1,"call",{"timeout":-5}]"#,
            r#"["ping",null,2,"call",{"credit":"x"}]"#,
            r#"["ping",null,3,"call",{"timeout":5,"unknown":[],"traceparent":"00-a-b-01"}]"#,
            r#"["ping",null,4,"call",null]"#,
        ],
        r#"
        ["ping",{"error":"bad meta (element 5): invalid value: integer `-5`, expected u64 at line 1 column 13","code":"bad_frame"},1,"error"]
        ["ping",{"error":"bad meta (element 5): invalid type: string \"x\", expected u64 at line 1 column 13","code":"bad_frame"},2,"error"]
        ["ping",{"pong":true},3]
        ["ping",{"pong":true},4]
        "#,
    );
}

// --- Sends, plain events, credit --------------------------------------------------------------------------------------

#[test]
fn a_send_is_answered_by_nothing_unless_it_was_refused() {
    Server::v1().check(
        [r#"["ping",null]"#, r#"["plain"]"#, r#"["explode",{}]"#, r#"["large",2000000]"#, r#"["no\"pe",{}]"#],
        r#"["aaw/error",{"error":"Unknown event: no\"pe","code":"unknown_event","event":"no\"pe"}]"#,
    );
}

#[test]
fn a_plain_event_that_was_called_answers_null_once_it_has_run() {
    Server::v1().check(
        [r#"["plain",{},1]"#, r#"["plain",{},2,"call",{"credit":0}]"#],
        r#"
        ["plain",null,1]
        ["plain",null,2,"end"]
        "#,
    );
}

#[test]
fn with_credit_an_answer_is_one_item_and_the_end() {
    let mut server = Server::v1();
    server.check(
        [
            r#"["echo",[1],1,"call",{"credit":4}]"#,
            r#"["explode",{},2,"call",{"credit":4}]"#,
            r#"["nope",{},3,"call",{"credit":4}]"#,
            r#"["slow",0,4,"call",{"credit":1}]"#,
        ],
        r#"
        ["echo",[1],1,"item"]
        ["echo",null,1,"end"]
        ["explode",{"error":"Something went wrong","code":"handler"},2,"error"]
        ["nope",{"error":"Unknown event: nope","code":"unknown_event"},3,"error"]
        run 0
        "#,
    );
    server.finish("0");
    server.expect(
        r#"
        ["slow","done",4,"item"]
        ["slow",null,4,"end"]
        "#,
    );
}

#[test]
fn an_answer_larger_than_a_message_fails_that_call_alone() {
    let limits = Limits { message: 200, ..Limits::default() };
    let mut server = Server::v1_with(ServerConfig { limits, ..ServerConfig::default() });
    let mut classic = Server::new(Dialect::Classic, ServerConfig { limits, ..ServerConfig::default() });
    // `["large","…",1]` is the text and 14 bytes besides.
    server.hear(r#"["large",186,1]"#);
    assert_eq!(server.log.trim_end().len(), 200);
    server.log.clear();
    server.check(
        [r#"["large",187,2]"#, r#"["large",187,3,"call",{"credit":1}]"#, r#"["ping",null,4]"#],
        r#"
        ["large",{"error":"The answer is larger than a message may be (200 bytes)","code":"too_large"},2,"error"]
        ["large",{"error":"The answer is larger than a message may be (200 bytes)","code":"too_large"},3,"error"]
        ["ping",{"pong":true},4]
        "#,
    );
    classic
        .check([r#"["large",300]"#], r#"["large",{"error":"The answer is larger than a message may be (200 bytes)"}]"#);
}

#[test]
fn a_refusal_larger_than_a_message_is_cut_and_keeps_its_code() {
    let limits = Limits { message: 5000, ..Limits::default() };
    let body = format!("\"{}\"", "x".repeat(4000));
    let cut = "x".repeat(200 - r#"bad body: ""#.len());
    Server::v1_with(ServerConfig { limits, ..ServerConfig::default() }).check(
        [r#"["picky",5,1]"#, &*format!(r#"["picky",{body},2]"#), &*format!(r#"["picky",{body}]"#)],
        &format!(
            r#"
            ["picky",{{"error":"bad body: 5","code":"bad_body"}},1,"error"]
            ["picky",{{"error":"bad body: \"{cut}…","code":"bad_body"}},2,"error"]
            ["aaw/error",{{"error":"bad body: \"{cut}…","code":"bad_body","event":"picky"}}]
            "#
        ),
    );
}

#[test]
fn a_name_that_no_event_can_have_is_refused_and_not_repeated() {
    let mut server = Server::v1_with(limited(0, 1 << 20));
    let long = "n".repeat(100_000);
    let short = format!("{}…", "n".repeat(200));
    server.check(
        [&*format!(r#"["{long}",{{}},1]"#), &*format!(r#"["{long}",{{]"#), &*format!(r#"["{long}",{{}}]"#)],
        &format!(
            r#"
            ["{short}",{{"error":"Unknown event: {short}","code":"unknown_event"}},1,"error"]
            bad: not JSON: key must be a string at line 1 column 100006
            ["aaw/error",{{"error":"Unknown event: {short}","code":"unknown_event","event":"{short}"}}]
            "#
        ),
    );
    server.check([&*format!(r#"["{long}",oops,2]"#)], "bad: not JSON: expected value at line 1 column 100005");
}

// --- Classic ----------------------------------------------------------------------------------------------------------

#[test]
fn a_classic_id_comes_back_byte_for_byte() {
    for id in [r#""a\u0020\"é""#, "123456789012345678901234567890", "1.50", "1e5", "-0", "0", "7"] {
        Server::classic().check(
            [
                &*format!(r#"["ping",null,{id}]"#),
                &*format!(r#"["explode",null,{id}]"#),
                &*format!(r#"["plain",null,{id}]"#),
            ],
            &format!(
                r#"
                ["ping",{{"pong":true}},{id}]
                ["explode",{{"error":"Something went wrong"}},{id}]
                ["plain",null,{id}]
                "#
            ),
        );
    }
}

#[test]
fn a_classic_call_without_an_id_is_answered_unless_it_is_plain() {
    let mut server = Server::classic();
    server.check(
        [
            r#"["ping",null]"#,
            r#"["ping"]"#,
            r#"["echo",5,null]"#,
            r#"["explode",{}]"#,
            r#"["plain",{}]"#,
            r#"["nope",{}]"#,
        ],
        r#"
        ["ping",{"pong":true}]
        ["ping",{"pong":true}]
        ["echo",5]
        ["explode",{"error":"Something went wrong"}]
        ["nope",{"error":"Unknown event: nope"}]
        "#,
    );
    server.check([r#"["slow",1,"x"]"#, r#"["slow",2]"#], "run 1\nrun 2");
    server.finish("2");
    server.finish("1");
    server.expect(
        r#"
        ["slow","done"]
        ["slow","done","x"]
        "#,
    );
}

#[test]
fn bad_classic_frames_are_answered_by_nothing() {
    let mut server = Server::classic();
    let long_id = format!(r#"["ping",null,"{}"]"#, "x".repeat(200));
    for text in [
        "nonsense",
        "{}",
        r#"["ping",null,{}]"#,
        r#"["ping",null,7,"cancel"]"#,
        r#"["ping",null,7,"call",{}]"#,
        r#"["ping",{"a":},7]"#,
        &long_id,
    ] {
        let Input::BadFrame(_) = (match server.session.handle_text(server.now, text) {
            Input::Call(call) => match call.check() {
                Ok(()) => panic!("{text} is a call"),
                Err(bad) => server.session.reject(call, bad),
            },
            other => other,
        }) else {
            panic!("{text} is bad")
        };
    }
    server.check([r#"["ping",null]"#], r#"["ping",{"pong":true}]"#);
}

// --- What fills up ----------------------------------------------------------------------------------------------------

#[test]
fn calls_past_the_limit_wait_and_nothing_overtakes_them() {
    let mut server = Server::v1_with(limited(2, 1 << 20));
    server.check(
        [
            r#"["slow",1,1]"#,
            r#"["slow","a send runs too"]"#,
            r#"["slow",2,2]"#,
            r#"["slow","and waits too"]"#,
            r#"["ping",null,3]"#,
            r#"["aaw/ping"]"#,
        ],
        r#"
        run 1
        run "a send runs too"
        ["aaw/pong",null]
        "#,
    );
    assert!(!server.session.is_idle());
    server.finish("1");
    server.expect("[\"slow\",\"done\",1]\nrun 2");
    server.finish(r#""a send runs too""#);
    server.expect(r#"run "and waits too""#);
    server.finish("2");
    server.expect("[\"slow\",\"done\",2]\n[\"ping\",{\"pong\":true},3]");
    server.check([r#"["ping",null,4]"#], r#"["ping",{"pong":true},4]"#);
}

#[test]
fn nothing_overtakes_what_could_run_and_was_not_asked_for_yet() {
    let mut server = Server::v1_with(limited(1, 1 << 20));
    server.check([r#"["slow",1,1]"#, r#"["slow",2,2]"#], "run 1");
    let Handler { key, frame, .. } = server.running.remove(0);
    server.session.complete(key, frame, Completion::OneWayDone);
    // There is room, and the owner has more input at hand before it asks for the second call.
    let Input::Handled = server.session.handle_text(server.now, r#"["slow",3,3]"#) else { panic!("it waits") };
    server.settle();
    server.expect("[\"slow\",null,1]\nrun 2");
}

#[test]
fn classic_calls_wait_in_line_with_their_ids() {
    let mut server = Server::new(Dialect::Classic, limited(1, 1 << 20));
    server.check([r#"["slow",1]"#, r#"["ping",null,1.50]"#, r#"["ping",null]"#, r#"["plain",null]"#], "run 1");
    server.finish("1");
    server.expect(
        r#"
        ["slow","done"]
        ["ping",{"pong":true},1.50]
        ["ping",{"pong":true}]
        "#,
    );
}

#[test]
fn what_finds_no_room_in_the_line_is_refused() {
    // A waiting frame costs its text and the place it takes.
    let mut server = Server::v1_with(limited(1, 2 * (15 + size_of::<super::wait_queue::Place>() as u32)));
    server.check(
        [r#"["slow",1,1]"#, r#"["ping",null,2]"#, r#"["ping",null,3]"#, r#"["ping",null,4]"#, r#"["plain",{}]"#],
        r#"
        run 1
        ["ping",{"error":"Too many calls: 1 run and the line is full","code":"busy"},4,"error"]
        ["aaw/error",{"error":"Too many calls: 1 run and the line is full","code":"busy","event":"plain"}]
        "#,
    );
    // What is taken out makes room at once.
    server.check([r#"["ping",null,3,"cancel"]"#, r#"["ping",null,5]"#], "");
    server.finish("1");
    server.expect(
        r#"
        ["slow","done",1]
        ["ping",{"pong":true},2]
        ["ping",{"pong":true},5]
        "#,
    );
}

#[test]
fn a_client_that_does_not_read_its_answers_starts_no_more_calls() {
    // One frame fills it, two are twice as much.
    let mut server = Server::v1_with(ServerConfig { unsent: 450, ..limited(9, 300) });
    server.reads = false;
    server.check([r#"["large",100,1]"#], &format!(r#"["large","{}",1]"#, "x".repeat(100)));
    server.check([r#"["ping",null,2]"#], "");
    assert!(server.session.wants_input());
    // Past the line's room each refusal is one more frame that it does not read, until nothing is taken from it.
    server.hear(&format!(r#"["echo","{}",3]"#, "x".repeat(300)));
    assert!(server.log.contains("busy") && !server.session.wants_input());
    server.log.clear();
    server.take_everything();
    server.expect(r#"["ping",{"pong":true},2]"#);
    assert!(server.session.wants_input());
}

// --- Stopping, and silence --------------------------------------------------------------------------------------------

#[test]
fn a_draining_session_finishes_what_runs_and_refuses_the_rest() {
    let mut server = Server::v1_with(limited(1, 1 << 20));
    server.check([r#"["slow",1,1]"#, r#"["ping",null,2]"#, r#"["plain",{}]"#], "run 1");
    server.session.drain();
    server.settle();
    server.expect(
        r#"
        ["ping",{"error":"The server is stopping","code":"busy"},2,"error"]
        ["aaw/error",{"error":"The server is stopping","code":"busy","event":"plain"}]
        "#,
    );
    server.check([r#"["ping",null,3]"#], r#"["ping",{"error":"The server is stopping","code":"busy"},3,"error"]"#);
    server.check([r#"["ping",oops,4]"#], "bad: not JSON: expected value at line 1 column 9");
    assert!(!server.session.is_idle());
    server.finish("1");
    server.expect(r#"["slow","done",1]"#);
    assert!(server.session.is_idle());
    server.session.close(Close::Stopping);
    server.session.close(Close::Silent);
    server.settle();
    server.expect("close 1001");
}

#[test]
fn a_silent_client_is_pinged_twice_and_given_up() {
    let mut server = Server::v1();
    server.pass(20 * SECOND);
    server.expect("ping");
    server.pass(20 * SECOND);
    server.expect("ping");
    server.pass(20 * SECOND - MS);
    server.expect("");
    server.pass(MS);
    server.expect("close 1001");
}

#[test]
fn anything_heard_begins_the_silence_anew() {
    let mut server = Server::v1();
    server.pass(40 * SECOND);
    server.expect("ping");
    server.hear("nonsense");
    server.log.clear();
    assert_eq!(server.session.poll_timeout(), server.now + 20 * SECOND);
    for _ in 0..10 {
        server.pass(20 * SECOND);
        server.expect("ping");
        server.session.handle_sign_of_life(server.now);
    }
}

#[test]
fn limits_without_end_do_not_overflow_the_clock() {
    let config = ServerConfig { heartbeat: Duration::MAX, hello_timeout: Duration::MAX, ..ServerConfig::default() };
    let mut server = Server::new(Dialect::V1, config);
    server.pass(100_000 * SECOND);
    server.expect("");
}
