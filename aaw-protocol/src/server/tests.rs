//! Tests of the whole state machine. [`Server`] takes the place of the socket's owner and has a simulated clock.

mod barrier;
mod client_calls;
mod opening;
mod resumption;
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
use crate::websocket::frame_len;

/// A connection with a few events:
///
/// - `ping` and `echo` respond at once; `one_way` has no response; `explode` fails; `picky` refuses every body; `large`
///   responds with a string of the length in its body.
/// - `slow` stays pending and may yield items, until the test completes the call with this body.
/// - `change` is the same, as a barrier.
struct Server {
    connection: ServerConnection,
    now: Instant,
    /// Whether the socket accepts frames. The bytes of those it does not accept are in `unsent`.
    writable: bool,
    unsent: usize,
    running: Vec<SlowHandler>,
    /// The events since the last check, one per line.
    log: String,
}

/// A pending call of `slow` or `change`.
struct SlowHandler {
    body: String,
    key: CallKey,
    frame: Vec<u8>,
    items: ItemFrame,
}

impl Server {
    fn new(dialect: Dialect, config: ServerConfig) -> Self {
        let now = Instant::now();
        let connection = ServerConnection::new(dialect, "7f".into(), config, now);
        Self { connection, now, writable: true, unsent: 0, running: Vec::new(), log: String::new() }
    }

    /// A v1 connection after the handshake.
    fn v1() -> Self {
        Self::v1_with(ServerConfig::default())
    }

    fn v1_with(config: ServerConfig) -> Self {
        let mut server = Self::new(Dialect::V1, config);
        server.receive(r#"["aaw/hello",{}]"#);
        server.log.clear();
        server
    }

    fn classic() -> Self {
        Self::new(Dialect::Classic, ServerConfig::default())
    }

    /// Receives the texts one by one and compares the log, line by line:
    ///
    /// - a frame as it was sent, or `bad: …` for the frame that reports a bad frame to a v1 client,
    /// - `run BODY`: a call of `slow` started; `drop BODY`: its handler must be dropped,
    /// - `credit N for BODY`: its stream may continue; `item JSON for BODY`, `end for BODY`: its upload,
    /// - `KEY responded: JSON`, `KEY failed: CODE TEXT`: the result of a client call,
    /// - `ping`, `open?`, `close CODE`.
    #[track_caller]
    fn check<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>, expected: &str) {
        for text in texts {
            self.receive(text);
        }
        self.expect(expected);
    }

    #[track_caller]
    fn expect(&mut self, expected: &str) {
        let expected = expected.lines().map(str::trim).filter(|line| !line.is_empty());
        assert_eq!(std::mem::take(&mut self.log).lines().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    fn receive(&mut self, text: &str) {
        self.connection.handle_sign_of_life(self.now);
        let input = self.connection.handle_text(self.now, text);
        self.handle_input(input);
        self.drain_outputs();
    }

    fn handle_input(&mut self, input: Input<'_>) {
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
            Input::Hello(_) => self.connection.begin(true),
            Input::Acknowledged(_) | Input::Handled | Input::Refused { .. } | Input::BadFrame(_) => {}
        }
    }

    fn handler(&self, key: CallKey) -> &SlowHandler {
        self.running.iter().find(|handler| handler.key == key).expect("the call is pending")
    }

    fn key(&self, body: &str) -> CallKey {
        self.running.iter().find(|handler| handler.body == body).expect("the call is pending").key
    }

    fn run(&mut self, call: Call<'_>) {
        if let Err(bad) = call.check() {
            self.connection.reject(call, bad);
            return;
        }
        let mut frame = call.begin_response();
        let completion = match call.event.as_ref() {
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
            "one_way" => Completion::OneWayDone,
            // Like a parser whose error quotes the value.
            "picky" => Completion::Refused(Failure::new(Code::BAD_BODY, format!("bad body: {}", call.body))),
            "explode" => Completion::Failed(Failure::new(Code::HANDLER, "Something went wrong")),
            name @ ("slow" | "change") => {
                let body = call.body.to_owned();
                writeln!(self.log, "run {body}").unwrap();
                let items = call.item_frame();
                let is_barrier = name == "change";
                let key = if is_barrier {
                    self.connection.add_pending_barrier(call)
                } else {
                    self.connection.add_pending(call)
                };
                self.running.push(SlowHandler { body, key, frame, items });
                return;
            }
            unknown => Completion::Refused(Failure::unknown_event(unknown)),
        };
        self.connection.complete_now(call, frame, completion);
    }

    /// Completes the `slow` call with this body with the response `"done"`. Returns `false` if the call is over.
    fn complete(&mut self, body: &str) -> bool {
        self.complete_with(body, b"\"done\"", Completion::Responded)
    }

    fn complete_with(&mut self, body: &str, response: &[u8], completion: Completion) -> bool {
        let at = self.running.iter().position(|handler| handler.body == body).expect("the call is pending");
        let SlowHandler { key, mut frame, .. } = self.running.remove(at);
        frame.extend_from_slice(response);
        let was_open = self.connection.complete(key, frame, completion);
        self.drain_outputs();
        was_open
    }

    /// Sends an item of the `slow` call with this body. Returns `false` if the call is over.
    fn item(&mut self, body: &str, item: &str) -> bool {
        let handler = self.running.iter().find(|handler| handler.body == body).expect("the call is pending");
        let mut frame = handler.items.begin();
        frame.extend_from_slice(item.as_bytes());
        handler.items.end(&mut frame);
        let was_open = self.connection.handle_item(handler.key, frame.into());
        self.drain_outputs();
        was_open
    }

    /// Ends the stream of the `slow` call with this body.
    fn end(&mut self, body: &str) -> bool {
        let at = self.running.iter().position(|handler| handler.body == body).expect("the call is pending");
        let SlowHandler { key, .. } = self.running.remove(at);
        let was_open = self.connection.complete(key, Vec::new(), Completion::StreamEnded);
        self.drain_outputs();
        was_open
    }

    /// Grants upload credit for the `slow` call with this body.
    fn grant(&mut self, body: &str, credit: u64) {
        self.connection.grant_upload_credit(self.key(body), credit);
        self.drain_outputs();
    }

    fn credit(&self, body: &str) -> u64 {
        self.connection.credit(self.key(body))
    }

    /// Makes a client call. Returns the code of the failure if it fails at once.
    fn client_call(&mut self, key: u64, event: &str, body: &str, timeout: Option<Duration>) -> Result<(), Code> {
        let deadline = timeout.map(|timeout| self.now + timeout);
        let result = self.connection.client_call(self.now, ClientCallKey(key), event, body, deadline);
        self.drain_outputs();
        result.map_err(|failure| failure.code)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_timeout(self.now);
        self.drain_outputs();
    }

    fn write_everything(&mut self) {
        self.unsent = 0;
        self.connection.set_unsent_bytes(0);
        self.drain_outputs();
    }

    /// Does what the owner of the socket does after each input.
    fn drain_outputs(&mut self) {
        loop {
            while let Some(output) = self.connection.poll_output() {
                match output {
                    Output::Send(frame) | Output::SendUncounted(frame) | Output::Welcome(frame) => {
                        let len = frame.len();
                        if !self.writable {
                            self.unsent += frame_len(len);
                        }
                        let text = std::str::from_utf8(&frame).expect("a frame is UTF-8");
                        let sent = codec::decode_strictly(text).expect("the server sends valid frames");
                        match serde_json::from_str::<Failure>(sent.data) {
                            Ok(bad) if sent.event == "aaw/error" && bad.code == Code::BAD_FRAME => {
                                writeln!(self.log, "bad: {bad}").unwrap();
                            }
                            _ => writeln!(self.log, "{text}").unwrap(),
                        }
                    }
                    Output::Credit { key, items } => {
                        assert_eq!(self.connection.credit(key), items);
                        let line = format!("credit {items} for {}\n", self.handler(key).body);
                        self.log.push_str(&line);
                    }
                    Output::ClientCallDone { key: ClientCallKey(key), result: Ok(json) } => {
                        writeln!(self.log, "{key} responded: {json}").unwrap();
                    }
                    Output::ClientCallDone { key: ClientCallKey(key), result: Err(failure) } => {
                        writeln!(self.log, "{key} failed: {} {failure}", failure.code).unwrap();
                    }
                    Output::RunOpenHook => self.log.push_str("open?\n"),
                    Output::Ping => self.log.push_str("ping\n"),
                    Output::Close(close) => writeln!(self.log, "close {}", close.code()).unwrap(),
                    Output::Drop { key, .. } => {
                        let line = format!("drop {}\n", self.handler(key).body);
                        self.log.push_str(&line);
                    }
                }
            }
            self.connection.set_unsent_bytes(self.unsent);
            let Some(queued) = self.connection.poll_queued() else { return };
            let input = self.connection.handle_queued(self.now, &queued);
            self.handle_input(input);
        }
    }
}

/// A configuration with this many concurrent calls, and this many bytes of wait queue.
fn limits(calls: u32, line: u32) -> ServerConfig {
    ServerConfig { limits: Limits { calls, line, ..Limits::default() }, ..ServerConfig::default() }
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

// --- The handshake
// ----------------------------------------------------------------------------------------------------

#[test]
fn a_hello_gets_a_welcome() {
    let mut server = Server::new(Dialect::V1, ServerConfig::default());
    assert!(!server.connection.is_open());
    server.check(
        [r#"["aaw/hello",{"session":"later","new":1}]"#],
        r#"["aaw/welcome",{"connection":"7f","resumed":false,"limits":{"calls":256,"line":1048576,"message":1048576}}]"#,
    );
    assert!(server.connection.is_open());
    server.check([r#"["aaw/hello",{}]"#], "bad: a second aaw/hello");
}

#[test]
fn calls_may_follow_the_hello_at_once_but_not_precede_it() {
    let mut server = Server::new(Dialect::V1, ServerConfig::default());
    server.check(
        [r#"["ping",null,1]"#, r#"["one_way",{}]"#, "nonsense"],
        r#"
        bad: the first frame must be ["aaw/hello", {…}]
        bad: the first frame must be ["aaw/hello", {…}]
        bad: not JSON: expected ident at line 1 column 2
        "#,
    );
    server.receive(r#"["aaw/hello",{}]"#);
    server.log.clear();
    server.check([r#"["ping",null,1]"#], r#"["ping",{"pong":true},1]"#);
}

#[test]
fn a_malformed_hello_can_be_repeated() {
    let mut server = Server::new(Dialect::V1, ServerConfig::default());
    server.check(
        [
            r#"["aaw/hello"]"#,
            r#"["aaw/hello",[]]"#,
            r#"["aaw/hello",{},1]"#,
            r#"["aaw/hello",{},null,"call"]"#,
            r#"["aaw/hello",{"resumption":7}]"#,
        ],
        r#"
        bad: the body of aaw/hello must be an object
        bad: the body of aaw/hello must be an object
        bad: the first frame must be ["aaw/hello", {…}]
        bad: the first frame must be ["aaw/hello", {…}]
        bad: the body of aaw/hello: invalid type: integer `7`, expected an object with a key at line 1 column 15
        "#,
    );
    server.receive(r#"["aaw/hello",{}]"#);
    assert!(server.connection.is_open());
}

#[test]
fn a_missing_hello_closes_the_connection() {
    let mut server = Server::new(Dialect::V1, ServerConfig::default());
    assert_eq!(server.connection.poll_timeout(), server.now + 10 * SECOND);
    server.pass(10 * SECOND - MS);
    server.expect("");
    server.pass(MS);
    server.expect("close 1002");
    // The connection closes once, later messages are ignored, and no timer is left.
    server.pass(SECOND);
    server.check([r#"["aaw/hello",{}]"#], "");
    assert!(server.connection.poll_timeout() > server.now + 1000 * SECOND);
}

#[test]
fn a_classic_client_needs_no_hello() {
    let mut server = Server::classic();
    assert!(server.connection.is_open());
    server.pass(11 * SECOND);
    server.check([r#"["aaw/hello",{}]"#], r#"["aaw/hello",{"error":"Unknown event: aaw/hello"}]"#);
}

// --- Ids
// --------------------------------------------------------------------------------------------------------------

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
fn an_id_other_than_the_next_is_an_error_and_is_not_used() {
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
fn an_invalid_frame_does_not_use_its_id() {
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
        bad: unknown kind {} (element 4); expected call, error, item, end, credit or cancel
        ["echo",{},1]
        ["echo",{},2]
        "#,
    );
}

#[test]
fn an_invalid_frame_does_not_use_its_id_while_calls_wait() {
    let mut server = Server::v1_with(limits(1, 1 << 20));
    server.check(
        [r#"["slow","a",1]"#, r#"["echo",{"a":},2]"#, r#"["echo",1,0,"call",2]"#, r#"["echo",{},2]"#],
        r#"
        run "a"
        bad: not JSON: expected value at line 1 column 14
        bad: bad meta (element 5): expected an object, found a number
        "#,
    );
    server.complete(r#""a""#);
    server.expect(
        r#"
        ["slow","done",1]
        ["echo",{},2]
        "#,
    );
}

#[test]
fn a_trailing_number_that_is_not_an_id_is_not_reported_as_one() {
    Server::v1().check(
        [r#"["echo",1,2,7]"#, r#"["echo",{},1,"call",7]"#],
        r#"
        bad: unknown kind 7 (element 4); expected call, error, item, end, credit or cancel
        bad: bad meta (element 5): expected an object, found a number
        "#,
    );
}

// --- Frames other than calls
// ------------------------------------------------------------------------------------------

#[test]
fn bad_frames_are_reported_and_the_connection_stays_open() {
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
        bad: unknown kind "maybe" (element 4); expected call, error, item, end, credit or cancel
        bad: unknown kind null (element 4); expected call, error, item, end, credit or cancel
        bad: more than 5 elements; expected [event, data, id, kind, meta]
        bad: kind "call" without an id (element 3)
        bad: kind "cancel" without an id (element 3)
        ["ping",{"pong":true},1]
        "#,
    );
}

#[test]
fn a_bad_frame_is_reported_with_aaw_error() {
    let mut server = Server::v1();
    let Input::BadFrame(bad) = server.connection.handle_text(server.now, "[]") else { panic!("the frame is bad") };
    assert_eq!(bad.to_string(), "an empty array; expected [event, data, …]");
    assert_eq!(
        server.connection.poll_output(),
        Some(Output::Send(
            r#"["aaw/error",{"error":"an empty array; expected [event, data, …]","code":"bad_frame"}]"#.into()
        ))
    );
}

#[test]
fn responses_to_unknown_calls_are_bad_frames() {
    Server::v1().check(
        [r#"["e",1,-1]"#, r#"["e",{"error":"no"},-1,"error"]"#, r#"["e",{},1,"error"]"#, r#"["e",1,-1,"item"]"#],
        "
        bad: a response with id -1 to a client call that was never made
        bad: a response with id -1 to a client call that was never made
        bad: a response with id 1 to a client call that was never made
        bad: id -1 belongs to no call; the last id was 0
        ",
    );
}

#[test]
fn a_ping_gets_a_pong_and_an_ack_is_ignored() {
    Server::v1().check(
        [r#"["aaw/ping"]"#, r#"["aaw/ack",{"low":1,"pushes":0}]"#, r#"["aaw/ping",{},1]"#],
        r#"
        ["aaw/pong",null]
        ["aaw/ping",{"error":"Unknown event: aaw/ping","code":"unknown_event"},1,"error"]
        "#,
    );
}

#[test]
fn a_binary_message_is_a_bad_frame() {
    let mut server = Server::v1();
    server.connection.handle_binary(Instant::now(), 3);
    server.drain_outputs();
    server.expect("bad: a binary message; expected text");
    let mut server = Server::classic();
    server.connection.handle_binary(Instant::now(), 3);
    server.drain_outputs();
    server.expect("");
}

// --- Cancels and timeouts
// ---------------------------------------------------------------------------------------------

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
    assert!(server.connection.is_idle());
    // The handler finished at the same time: its result is dropped.
    assert!(!server.complete(r#""a""#));
    server.check([r#"["slow",null,1,"cancel"]"#, r#"["e",null,2,"cancel"]"#], "");
    server.check([r#"["slow",null,3,"cancel"]"#], "bad: id 3 belongs to no call; the last id was 2");
    server.check([r#"["slow",null,-3,"cancel"]"#], "bad: id -3 belongs to no call; the last id was 2");
}

#[test]
fn a_call_cancelled_in_the_wait_queue_never_runs() {
    let mut server = Server::v1_with(limits(1, 1 << 20));
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
    server.complete(r#""a""#);
    server.expect(
        r#"
        ["slow","done",1]
        run "c"
        "#,
    );
}

#[test]
fn cancelling_a_running_call_starts_the_next_queued_call() {
    let mut server = Server::v1_with(limits(1, 1 << 20));
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
fn a_late_cancel_does_not_remove_the_event_after_the_call() {
    let mut server = Server::v1_with(limits(1, 200));
    // The second call does not fit the wait queue; the event after it is queued with the id of that call.
    let large = format!(r#"["echo","{}",2]"#, "x".repeat(200));
    server.check(
        [r#"["slow","a",1]"#, &large, r#"["slow","event"]"#, r#"["echo",null,2,"cancel"]"#],
        r#"
        run "a"
        ["echo",{"error":"Too many calls: 1 run and the wait queue is full","code":"busy"},2,"error"]
        "#,
    );
    server.complete(r#""a""#);
    server.expect(
        r#"
        ["slow","done",1]
        run "event"
        "#,
    );
}

#[test]
fn a_response_in_place_is_the_only_one_of_its_call_and_fits() {
    let limits = Limits { message: 100, ..Limits::default() };
    let mut server = Server::v1_with(ServerConfig { limits, ..ServerConfig::default() });
    let calls =
        [r#"["slow","a",1]"#, r#"["slow","b",2,"call",{"credit":9}]"#, r#"["slow","c",3]"#, r#"["slow","d",4]"#];
    server.check(calls, "run \"a\"\nrun \"b\"\nrun \"c\"\nrun \"d\"");
    let keys = ["a", "b", "c", "d"].map(|body| server.key(&format!("{body:?}")));
    let mut complete = |key, response: &str, completion: &Completion| {
        let mut out = format!(r#"before["slow",{response}"#).into_bytes();
        let is_complete = server.connection.complete_pending_in_place(key, &mut out, 6, completion);
        (is_complete, String::from_utf8(out).expect("text"))
    };
    let before = |response: &str| format!(r#"before["slow",{response}"#);
    assert_eq!(complete(keys[0], "1", &Completion::Responded), (true, before("1,1]")));
    assert_eq!(complete(keys[0], "1", &Completion::Responded), (false, before("1")), "it is over");
    assert_eq!(complete(keys[1], "1", &Completion::Responded), (false, before("1")), "an item, and its end follows");
    assert_eq!(complete(keys[2], "1", &Completion::OneWayDone), (false, before("1")), "not a response");
    // With `["slow",` and `,4]` a byte more than the limit, and exactly as much.
    let (large, fitting) = ("7".repeat(90), "7".repeat(89));
    assert_eq!(complete(keys[3], &large, &Completion::Responded), (false, before(&large)));
    assert_eq!(complete(keys[3], &fitting, &Completion::Responded), (true, before(&format!("{fitting},4]"))));
    assert_eq!(server.connection.open_calls(), 2);
}

#[test]
fn a_running_call_fails_at_its_timeout() {
    let mut server = Server::v1();
    server.check([r#"["slow","a",1,"call",{"timeout":50}]"#, r#"["slow","b",2]"#], "run \"a\"\nrun \"b\"");
    // A deadline is approached in steps.
    let due = server.connection.poll_timeout();
    assert!(due > server.now && due <= server.now + 50 * MS, "{:?}", due - server.now);
    server.pass(49 * MS);
    server.expect("");
    assert_eq!(server.connection.poll_timeout(), server.now + MS);
    server.pass(MS);
    server.expect(
        r#"
        drop "a"
        ["slow",{"error":"The call did not complete within its timeout","code":"timeout"},1,"error"]
        "#,
    );
    assert!(!server.complete(r#""a""#));
    assert!(server.complete(r#""b""#));
}

#[test]
fn a_finished_or_cancelled_call_has_no_deadline() {
    let mut server = Server::v1();
    server.receive(r#"["slow",1,1,"call",{"timeout":50}]"#);
    server.receive(r#"["slow",2,2,"call",{"timeout":50}]"#);
    server.receive(r#"["slow",null,2,"cancel"]"#);
    server.complete("1");
    assert_eq!(server.connection.poll_timeout(), server.now + 20 * SECOND);
    server.log.clear();
    server.pass(SECOND);
    server.expect("");
}

#[test]
fn a_queued_call_whose_timeout_expired_never_runs() {
    let mut server = Server::v1_with(limits(1, 1 << 20));
    server.check(
        [r#"["slow","a",1]"#, r#"["slow","b",2,"call",{"timeout":50}]"#, r#"["slow","c",3,"call",{"timeout":51}]"#],
        r#"run "a""#,
    );
    server.pass(50 * MS);
    server.expect("");
    server.complete(r#""a""#);
    server.expect(
        r#"
        ["slow","done",1]
        ["slow",{"error":"The call did not complete within its timeout","code":"timeout"},2,"error"]
        run "c"
        "#,
    );
    // The timeout counts from the arrival of the call, not from its start.
    server.pass(MS);
    server.expect(
        r#"
        drop "c"
        ["slow",{"error":"The call did not complete within its timeout","code":"timeout"},3,"error"]
        "#,
    );
}

#[test]
fn a_timeout_beyond_the_clock_never_expires() {
    let mut server = Server::v1();
    server.receive(r#"["slow",1,1,"call",{"timeout":18446744073709551615}]"#);
    server.receive(r#"["slow",2,2,"call",{"timeout":null}]"#);
    server.pass(SECOND);
    assert_eq!(server.connection.open_calls(), 2);
}

#[test]
fn a_bad_meta_fails_only_its_call() {
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

// --- One-way sends and response modes --------------------------------------------------------------------------------

#[test]
fn a_one_way_event_gets_a_frame_only_if_it_is_refused() {
    Server::v1().check(
        [r#"["ping",null]"#, r#"["one_way"]"#, r#"["explode",{}]"#, r#"["large",2000000]"#, r#"["no\"pe",{}]"#],
        r#"["aaw/error",{"error":"Unknown event: no\"pe","code":"unknown_event","event":"no\"pe"}]"#,
    );
}

#[test]
fn a_call_of_a_one_way_handler_gets_null_once_it_has_run() {
    Server::v1().check(
        [r#"["one_way",{},1]"#, r#"["one_way",{},2,"call",{"credit":0}]"#],
        r#"
        ["one_way",null,1]
        ["one_way",null,2,"end"]
        "#,
    );
}

#[test]
fn with_credit_a_response_is_one_item_and_the_end() {
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
    server.complete("0");
    server.expect(
        r#"
        ["slow","done",4,"item"]
        ["slow",null,4,"end"]
        "#,
    );
}

#[test]
fn a_response_above_the_message_limit_fails_only_its_call() {
    let limits = Limits { message: 200, ..Limits::default() };
    let mut server = Server::v1_with(ServerConfig { limits, ..ServerConfig::default() });
    let mut classic = Server::new(Dialect::Classic, ServerConfig { limits, ..ServerConfig::default() });
    // `["large","…",1]` has 14 bytes in addition to the text.
    server.receive(r#"["large",186,1]"#);
    assert_eq!(server.log.trim_end().len(), 200);
    server.log.clear();
    server.check(
        [r#"["large",187,2]"#, r#"["large",187,3,"call",{"credit":1}]"#, r#"["ping",null,4]"#],
        r#"
        ["large",{"error":"The response exceeds the message limit of 200 bytes","code":"too_large"},2,"error"]
        ["large",{"error":"The response exceeds the message limit of 200 bytes","code":"too_large"},3,"error"]
        ["ping",{"pong":true},4]
        "#,
    );
    classic.check([r#"["large",300]"#], r#"["large",{"error":"The response exceeds the message limit of 200 bytes"}]"#);
}

#[test]
fn a_refusal_above_the_message_limit_is_shortened_and_keeps_its_code() {
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
fn a_name_above_the_length_limit_is_refused_and_shortened() {
    let mut server = Server::v1_with(limits(0, 1 << 20));
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

// --- Classic
// ----------------------------------------------------------------------------------------------------------

#[test]
fn a_classic_id_is_returned_byte_for_byte() {
    for id in [r#""a\u0020\"é""#, "123456789012345678901234567890", "1.50", "1e5", "-0", "0", "7"] {
        Server::classic().check(
            [
                &*format!(r#"["ping",null,{id}]"#),
                &*format!(r#"["explode",null,{id}]"#),
                &*format!(r#"["one_way",null,{id}]"#),
            ],
            &format!(
                r#"
                ["ping",{{"pong":true}},{id}]
                ["explode",{{"error":"Something went wrong"}},{id}]
                ["one_way",null,{id}]
                "#
            ),
        );
    }
}

#[test]
fn a_classic_id_that_is_too_long_is_a_bad_frame() {
    let mut server = Server::classic();
    let text = format!(r#"["ping",null,{}]"#, "1".repeat(201));
    let Input::BadFrame(bad) = server.connection.handle_text(server.now, &text) else { panic!("{text}") };
    let expected = "the id (element 3) must be a string or a number of at most 200 bytes, found 111";
    assert!(bad.to_string().starts_with(expected), "{bad}");
}

#[test]
fn a_classic_call_without_an_id_gets_a_response_unless_the_handler_is_one_way() {
    let mut server = Server::classic();
    server.check(
        [
            r#"["ping",null]"#,
            r#"["ping"]"#,
            r#"["echo",5,null]"#,
            r#"["explode",{}]"#,
            r#"["one_way",{}]"#,
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
    server.complete("2");
    server.complete("1");
    server.expect(
        r#"
        ["slow","done"]
        ["slow","done","x"]
        "#,
    );
}

#[test]
fn bad_classic_frames_get_no_response() {
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
        let Input::BadFrame(_) = (match server.connection.handle_text(server.now, text) {
            Input::Call(call) => match call.check() {
                Ok(()) => panic!("{text} was accepted"),
                Err(bad) => server.connection.reject(call, bad),
            },
            other => other,
        }) else {
            panic!("{text} was not rejected")
        };
    }
    server.check([r#"["ping",null]"#], r#"["ping",{"pong":true}]"#);
}

// --- Limits
// -----------------------------------------------------------------------------------------------------------

#[test]
fn calls_past_the_limit_wait_and_nothing_overtakes_them() {
    let mut server = Server::v1_with(limits(2, 1 << 20));
    server.check(
        [
            r#"["slow",1,1]"#,
            r#"["slow","event 1"]"#,
            r#"["slow",2,2]"#,
            r#"["slow","event 2"]"#,
            r#"["ping",null,3]"#,
            r#"["aaw/ping"]"#,
        ],
        r#"
        run 1
        run "event 1"
        ["aaw/pong",null]
        "#,
    );
    assert!(!server.connection.is_idle());
    server.complete("1");
    server.expect("[\"slow\",\"done\",1]\nrun 2");
    server.complete(r#""event 1""#);
    server.expect(r#"run "event 2""#);
    server.complete("2");
    server.expect("[\"slow\",\"done\",2]\n[\"ping\",{\"pong\":true},3]");
    server.check([r#"["ping",null,4]"#], r#"["ping",{"pong":true},4]"#);
}

#[test]
fn a_new_call_does_not_overtake_a_runnable_queued_call() {
    let mut server = Server::v1_with(limits(1, 1 << 20));
    server.check([r#"["slow",1,1]"#, r#"["slow",2,2]"#], "run 1");
    let SlowHandler { key, frame, .. } = server.running.remove(0);
    server.connection.complete(key, frame, Completion::OneWayDone);
    // The queued call could run, but more input is handled before the owner polls it.
    let Input::Handled = server.connection.handle_text(server.now, r#"["slow",3,3]"#) else {
        panic!("the call is queued")
    };
    server.drain_outputs();
    server.expect("[\"slow\",null,1]\nrun 2");
}

#[test]
fn queued_classic_calls_keep_their_ids() {
    let mut server = Server::new(Dialect::Classic, limits(1, 1 << 20));
    server.check([r#"["slow",1]"#, r#"["ping",null,1.50]"#, r#"["ping",null]"#, r#"["one_way",null]"#], "run 1");
    server.complete("1");
    server.expect(
        r#"
        ["slow","done"]
        ["ping",{"pong":true},1.50]
        ["ping",{"pong":true}]
        "#,
    );
}

#[test]
fn a_full_wait_queue_refuses_calls() {
    // A queued frame costs its text and its slot.
    let mut server = Server::v1_with(limits(1, 2 * (15 + size_of::<super::wait_queue::QueuedFrame>() as u32)));
    server.check(
        [r#"["slow",1,1]"#, r#"["ping",null,2]"#, r#"["ping",null,3]"#, r#"["ping",null,4]"#, r#"["one_way",{}]"#],
        r#"
        run 1
        ["ping",{"error":"Too many calls: 1 run and the wait queue is full","code":"busy"},4,"error"]
        ["aaw/error",{"error":"Too many calls: 1 run and the wait queue is full","code":"busy","event":"one_way"}]
        "#,
    );
    // Removing a call frees its space at once.
    server.check([r#"["ping",null,3,"cancel"]"#, r#"["ping",null,5]"#], "");
    server.complete("1");
    server.expect(
        r#"
        ["slow","done",1]
        ["ping",{"pong":true},2]
        ["ping",{"pong":true},5]
        "#,
    );
}

#[test]
fn no_call_starts_while_the_client_does_not_read() {
    // One frame reaches the limit, two reach twice the limit.
    let mut server = Server::v1_with(ServerConfig { max_unsent_bytes: 105, ..limits(9, 300) });
    server.writable = false;
    server.check([r#"["large",100,1]"#], &format!(r#"["large","{}",1]"#, "x".repeat(100)));
    server.check([r#"["ping",null,2]"#], "");
    assert!(server.connection.wants_input());
    // With a full wait queue each refusal is one more unsent frame, until the server stops reading.
    server.receive(&format!(r#"["echo","{}",3]"#, "x".repeat(300)));
    assert!(server.log.contains("busy") && !server.connection.wants_input());
    server.log.clear();
    server.write_everything();
    server.expect(r#"["ping",{"pong":true},2]"#);
    assert!(server.connection.wants_input());
}

#[test]
fn while_a_sender_is_held_up_calls_wait_and_the_rest_is_handled() {
    let mut server = Server::v1_with(limits(9, 2000));
    server.connection.set_held_up(true);
    server.check([r#"["ping",null,1]"#, r#"["ping",null,2]"#], "");
    assert!(server.connection.wants_input());
    server.check([r#"["aaw/ping"]"#, r#"["ping",null,2,"cancel"]"#], r#"["aaw/pong",null]"#);
    // The last call that is read fits, however large it is.
    server.check([&*format!(r#"["echo","{}",3]"#, "x".repeat(3000))], "");
    assert!(!server.connection.wants_input(), "the next call would be refused");
    server.connection.set_held_up(false);
    server.write_everything();
    assert!(server.log.starts_with(r#"["ping",{"pong":true},1]"#) && !server.log.contains("busy"), "{}", server.log);
    assert!(server.connection.wants_input());
}

#[test]
fn while_a_sender_is_held_up_one_call_waits_even_if_the_wait_queue_has_no_space() {
    let mut server = Server::v1_with(limits(9, 1));
    server.connection.set_held_up(true);
    server.check([r#"["aaw/ping"]"#], r#"["aaw/pong",null]"#);
    assert!(server.connection.wants_input());
    server.check([r#"["ping",null,1]"#], "");
    assert!(!server.connection.wants_input(), "the next call would be refused");
    server.connection.set_held_up(false);
    server.write_everything();
    server.expect(r#"["ping",{"pong":true},1]"#);
    assert!(server.connection.wants_input());
}

// --- Shutdown and heartbeat
// -------------------------------------------------------------------------------------------

#[test]
fn a_draining_connection_finishes_running_calls_and_refuses_others() {
    let mut server = Server::v1_with(limits(1, 1 << 20));
    server.check([r#"["slow",1,1]"#, r#"["ping",null,2]"#, r#"["one_way",{}]"#], "run 1");
    server.connection.drain();
    server.drain_outputs();
    server.expect(
        r#"
        ["ping",{"error":"The server is stopping","code":"busy"},2,"error"]
        ["aaw/error",{"error":"The server is stopping","code":"busy","event":"one_way"}]
        "#,
    );
    server.check([r#"["ping",null,3]"#], r#"["ping",{"error":"The server is stopping","code":"busy"},3,"error"]"#);
    server.check([r#"["ping",oops,4]"#], "bad: not JSON: expected value at line 1 column 9");
    assert!(!server.connection.is_idle());
    server.complete("1");
    server.expect(r#"["slow","done",1]"#);
    assert!(server.connection.is_idle());
    server.connection.close(Close::Stopping);
    server.connection.close(Close::Silent);
    server.drain_outputs();
    server.expect("close 1001");
}

#[test]
fn a_silent_client_is_pinged_twice_and_disconnected() {
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
fn any_message_restarts_the_heartbeat() {
    let mut server = Server::v1();
    server.pass(40 * SECOND);
    server.expect("ping");
    server.receive("nonsense");
    server.log.clear();
    assert_eq!(server.connection.poll_timeout(), server.now + 20 * SECOND);
    for _ in 0..10 {
        server.pass(20 * SECOND);
        server.expect("ping");
        server.connection.handle_sign_of_life(server.now);
    }
}

#[test]
fn infinite_timeouts_do_not_overflow_the_clock() {
    let config =
        ServerConfig { heartbeat_interval: Duration::MAX, hello_timeout: Duration::MAX, ..ServerConfig::default() };
    let mut server = Server::new(Dialect::V1, config);
    server.pass(100_000 * SECOND);
    server.expect("");
}
