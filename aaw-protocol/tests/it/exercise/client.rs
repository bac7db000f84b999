//! Interprets bytes as operations on a [`ClientConnection`], and checks its invariants after each one. The property
//! test generates the bytes, the fuzz target `client_connection` receives them from libFuzzer; both include this file.
//!
//! The invariants, for any input in any order:
//!
//! - Each call ends exactly once, except for cancelled ones, which end without a result.
//! - A stream yields no more items than its credit, and none after its end.
//! - The items of an upload are sent within the server's credit, and none after its end, which is sent once.
//! - Client calls are returned in order, and end with one response or cancel. Their number is limited.
//! - On a new connection the token is sent before any call, and the connection opens only after its response or its
//!   timeout.
//! - Nothing is written without a connection. The first frame on a v1 connection is the hello. Ids are 1, 2, 3 and so
//!   on for each connection. The number of open calls is limited.
//! - A timeout that was handled is not returned again, so that the owner's timer cannot spin.
//! - A client that was closed ends, and so do all its calls.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use aaw_protocol::client::{
    Backoff, CallKey, CallResult, ClientCallKey, ClientConfig, ClientConnection, DisconnectReason, EncodedMessage,
    NotSent, Output, RetryHint, StreamOptions,
};
use aaw_protocol::{Code, Dialect, Failure, Token, codec};

/// Runs one client from its first connection attempt to its end. Each operation takes two bytes: its kind and a detail.
pub(crate) fn exercise(bytes: &[u8]) {
    let mut bytes = bytes.iter().copied();
    let mut exercise = ClientExercise::new();
    while let Some(operation) = bytes.next() {
        exercise.step(operation, bytes.next().unwrap_or_default());
    }
    exercise.finish();
}

struct ClientExercise {
    connection: ClientConnection<u64>,
    now: Instant,
    next_key: u64,
    open: BTreeSet<u64>,
    state: SimulatedConnection,
    /// The streams among the open calls.
    streams: BTreeMap<u64, ItemCount>,
    /// The calls written on this connection that the client has not cancelled.
    uncancelled: BTreeMap<i64, WrittenCall>,
    last_id: i64,
    /// The client calls on this connection without a response, the last id, and the keys of those that were returned.
    client_calls: BTreeSet<i64>,
    last_client_call: i64,
    received_client_calls: Vec<ClientCallKey>,
    /// The id of the `aaw/resume` call on this connection until its response, and how long other calls wait for it.
    resume: Option<(i64, Instant)>,
    closing: bool,
    ended: bool,
}

#[derive(Debug, PartialEq)]
enum SimulatedConnection {
    None,
    Requested,
    Up { dialect: Dialect, hello_sent: bool },
}

/// A call from the server's point of view.
struct WrittenCall {
    event: String,
    /// The items of its upload. `None` without an upload or after its end.
    upload: Option<ItemCount>,
}

#[derive(Default)]
struct ItemCount {
    credit: u64,
    count: u64,
}

impl ItemCount {
    fn raise(&mut self, credit: u64) {
        self.credit = self.credit.max(credit);
    }

    fn add(&mut self, of: &str) {
        self.count += 1;
        assert!(self.count <= self.credit, "{of}: {} items, and credit for {}", self.count, self.credit);
    }
}

/// Low enough to be reached.
const MAX_IN_FLIGHT: u32 = 4;
const EVENTS: [&str; 5] = ["a", "b/c", "\u{e9}\"\\", "aaw/login", "aaw/logout"];
const RESUME_TIMEOUT: Duration = Duration::from_secs(5);

impl ClientExercise {
    fn new() -> Self {
        let config = ClientConfig {
            max_in_flight: MAX_IN_FLIGHT,
            max_queued_call_bytes: 400,
            max_queued_event_bytes: 200,
            max_client_calls: 3,
            resume_timeout: RESUME_TIMEOUT,
            max_message_bytes: 150,
            backoff: Backoff { min: Duration::from_millis(10), ..Backoff::default() },
            ..ClientConfig::default()
        };
        let mut new = Self {
            connection: ClientConnection::new(config, 7),
            now: Instant::now(),
            next_key: 1,
            open: BTreeSet::new(),
            state: SimulatedConnection::None,
            streams: BTreeMap::new(),
            uncancelled: BTreeMap::new(),
            last_id: 0,
            client_calls: BTreeSet::new(),
            last_client_call: 0,
            received_client_calls: Vec::new(),
            resume: None,
            closing: false,
            ended: false,
        };
        new.drain();
        new
    }

    fn step(&mut self, operation: u8, detail: u8) {
        let event = EVENTS[detail as usize % EVENTS.len()];
        let now = self.now;
        match operation % 24 {
            0..3 => {
                let body = "x".repeat(detail as usize);
                let timeout = (!detail.is_multiple_of(5)).then_some(Duration::from_millis(u64::from(detail) * 40));
                let key = self.next_key;
                self.next_key += 1;
                self.open.insert(key);
                let message = EncodedMessage::new(event, &body).expect("a string");
                self.connection.call(now, CallKey(key), message, timeout.map(|timeout| now + timeout), key);
            }
            16 => {
                let options = StreamOptions { window: u64::from(detail % 4) + 1, upload: !detail.is_multiple_of(3) };
                let timeout = detail.is_multiple_of(5).then_some(Duration::from_millis(u64::from(detail) * 40));
                let key = self.next_key;
                self.next_key += 1;
                self.open.insert(key);
                self.streams.insert(key, ItemCount { credit: options.window, count: 0 });
                let message = EncodedMessage::new(event, &detail).expect("a number");
                self.connection.stream(now, CallKey(key), message, options, timeout.map(|timeout| now + timeout), key);
            }
            // Operations of the reader and the sender of a stream, also for calls that are not streams or are over.
            17 => {
                let index = detail as usize % (self.open.len() + 1);
                let key = self.open.iter().nth(index).copied().unwrap_or(u64::from(detail));
                match detail / 32 {
                    0 => self.connection.upload_end(CallKey(key)),
                    1 => {
                        let credit = u64::from(detail % 16);
                        self.connection.grant_credit(CallKey(key), credit);
                        self.streams.entry(key).and_modify(|items| items.raise(credit));
                    }
                    _ => {
                        let message = EncodedMessage::new(event, &"x".repeat(detail as usize)).expect("a string");
                        for _ in 0..detail % 8 {
                            let _ = self.connection.upload_item(CallKey(key), message.clone());
                        }
                    }
                }
            }
            // Stream frames of the server, for an open stream or an unrelated id.
            18 | 19 => {
                let credit = u64::from(detail % 4);
                let known = self.uncancelled.iter().rev().nth(detail as usize % 6);
                let (id, event) = known.map_or((i64::from(detail) - 3, event), |(id, call)| (*id, call.event.as_str()));
                let event = codec::event_json(event);
                let text = match detail % 5 {
                    0 => format!(r#"[{event},null,{id},"end"]"#),
                    1 => format!(r#"[{event},{credit},{id},"credit"]"#),
                    _ => format!(r#"[{event},{detail},{id},"item"]"#),
                };
                self.receive(&text);
            }
            // Client calls, in order or not, and their cancels; rarely the end of the session.
            20 | 21 => {
                let next = self.last_client_call - 1;
                let id = if detail.is_multiple_of(8) { -i64::from(detail % 16) - 1 } else { next };
                let text = match detail % 5 {
                    0 => format!(r#"["a",null,{},"cancel"]"#, -i64::from(detail % 8) - 1),
                    1 => format!(r#"["{}",{detail},{id},"call",{{}}]"#, "n".repeat(detail as usize * 2)),
                    2 if detail > 200 => r#"["aaw/session",{"ended":"expired"}]"#.to_owned(),
                    _ => format!(r#"["a",{detail},{id}]"#),
                };
                self.receive(&text);
            }
            // Responses to client calls, some of them late.
            22 => {
                if !self.received_client_calls.is_empty() {
                    let key = self.received_client_calls[detail as usize % self.received_client_calls.len()];
                    let text = format!("{:?}", "x".repeat(detail as usize));
                    match detail % 3 {
                        0 => self.connection.respond(key, Err(Failure::new(Code::HANDLER, text))),
                        _ => self.connection.respond(key, Ok(&text)),
                    }
                }
            }
            // Responses of login events and of `aaw/resume`, and tokens from the application.
            23 => {
                let id = self.resume.map_or(i64::from(detail % 8), |(id, _)| id);
                let text = match detail % 4 {
                    0 => format!(r#"["aaw/resume",{{"error":"Session expired"}},{id},"error"]"#),
                    1 => format!(r#"["aaw/resume",{{"error":"later","code":"busy"}},{id},"error"]"#),
                    2 => format!(r#"["aaw/login",{{"token":"t{detail}","user":{{}}}},{id}]"#),
                    _ => {
                        self.connection.set_token(detail.is_multiple_of(3).then(|| Token::new("t")));
                        return self.drain();
                    }
                };
                self.receive(&text);
            }
            3 => {
                let _ = self.connection.send(EncodedMessage::new(event, &detail).expect("a number"));
            }
            4 => {
                if let Some(&key) = self.open.iter().nth(detail as usize % 8) {
                    self.open.remove(&key);
                    self.connection.cancel(now, CallKey(key));
                }
            }
            5 | 6 => {
                let dialect = if detail.is_multiple_of(2) { Dialect::V1 } else { Dialect::Classic };
                self.connection.handle_connected(now, dialect);
                if self.state == SimulatedConnection::Requested {
                    self.state = SimulatedConnection::Up { dialect, hello_sent: dialect == Dialect::Classic };
                    self.last_id = 0;
                    self.last_client_call = 0;
                }
            }
            7 => {
                let hint = [RetryHint::Unknown, RetryHint::Refused, RetryHint::After(Duration::MAX)];
                self.connection.handle_connect_failed(now, hint[detail as usize % 3]);
                if self.state == SimulatedConnection::Requested {
                    self.state = SimulatedConnection::None;
                }
            }
            8 => {
                self.connection.handle_disconnected(now, DisconnectReason::Broken("cut".into()));
                if let SimulatedConnection::Up { .. } = self.state {
                    self.disconnect();
                }
            }
            9 => self.receive(&format!(
                r#"["aaw/welcome",{{"connection":"c","limits":{{"calls":{},"message":120}}}}]"#,
                detail % 6
            )),
            // A response to an open call or to another id, with or without an id.
            10 | 11 => {
                let known = self.uncancelled.iter().rev().nth(detail as usize % 6);
                let (id, event) = known.map_or((i64::from(detail) - 3, event), |(id, call)| (*id, call.event.as_str()));
                let event = codec::event_json(event);
                let text = match detail % 7 {
                    0 => format!(r#"[{event},{{"error":"no"}},{id},"error"]"#),
                    1 => format!("[{event},{{}}]"),
                    2 => format!(r#"[{event},{{"error":"no"}}]"#),
                    3 => format!("[{event},not json,{id}]"),
                    _ => format!("[{event},{{}},{id}]"),
                };
                self.receive(&text);
            }
            12 => {
                self.now += Duration::from_millis(u64::from(detail) * u64::from(detail));
                self.pass_time();
            }
            13 => match detail % 3 {
                0 => self.connection.handle_blocked(),
                _ => self.connection.handle_writable(),
            },
            14 => {
                let text = [
                    "",
                    "[]",
                    "{}",
                    "[7]",
                    r#"["a"]"#,
                    r#"["a",1,0]"#,
                    r#"["a",1,-1]"#,
                    r#"["a",1,-2,"call",{}]"#,
                    r#"["a",1,1,"item"]"#,
                    r#"["a",null,1,"end"]"#,
                    r#"["a",1,1,"credit"]"#,
                    r#"["a",1,1,"call"]"#,
                    r#"["aaw/error",{"error":"x"}]"#,
                    r#"["aaw/error"]"#,
                    r#"["aaw/welcome",[]]"#,
                    r#"["aaw/new",1]"#,
                    r#"["a",1,"id"]"#,
                    r#"["a",1,99]"#,
                    r#"["a",1,null,"error"]"#,
                    r#"["a",7,1,"error"]"#,
                ][detail as usize % 20];
                self.receive(text);
            }
            // Rarely, because nothing happens after a close.
            _ if detail > 240 => {
                // Queued events are sent now.
                self.closing = true;
                self.connection.close(now);
            }
            _ => {
                self.connection.handle_sign_of_life(now);
                self.connection.handle_binary(self.now, 3);
            }
        }
        self.drain();
    }

    fn receive(&mut self, text: &str) {
        if let Ok(frame) = codec::decode_strictly(text)
            && frame.kind == codec::Kind::Credit
            && let Ok(Some(id)) = frame.v1_id()
            && let Some(WrittenCall { upload: Some(items), .. }) = self.uncancelled.get_mut(&id)
        {
            items.raise(frame.data.parse().unwrap_or_default());
        }
        // With the shortcut of the codec, like the connection: the body of a response may be invalid JSON.
        if let Ok(frame) = codec::decode(text)
            && let Ok(Some(id)) = frame.v1_id()
            && matches!(self.state, SimulatedConnection::Up { dialect: Dialect::V1, .. })
        {
            let is_client_call =
                matches!(frame.kind, codec::Kind::Unmarked | codec::Kind::Call) && id == self.last_client_call - 1;
            if is_client_call {
                self.last_client_call = id;
                self.client_calls.insert(id);
            }
            if frame.kind == codec::Kind::Cancel {
                self.client_calls.remove(&id);
            }
            let is_response = matches!(frame.kind, codec::Kind::Unmarked | codec::Kind::Error);
            if is_response && self.resume.is_some_and(|(resume, _)| resume == id) {
                self.resume = None;
            }
        }
        self.connection.handle_sign_of_life(self.now);
        self.connection.handle_text(self.now, text);
    }

    /// Resets the state of a lost connection.
    fn disconnect(&mut self) {
        self.state = SimulatedConnection::None;
        self.uncancelled.clear();
        self.client_calls.clear();
        self.resume = None;
    }

    fn finish(mut self) {
        self.closing = true;
        self.connection.close(self.now);
        self.drain();
        self.now += Duration::from_secs(3600);
        self.pass_time();
        assert!(self.ended, "a closed client ends");
        assert!(self.open.is_empty(), "these calls never ended: {:?}", self.open);
        assert_eq!(self.connection.poll_timeout(), None);
    }

    fn pass_time(&mut self) {
        self.connection.handle_timeout(self.now);
        self.drain();
        if let Some(at) = self.connection.poll_timeout() {
            assert!(at > self.now, "a handled timeout is returned again");
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.connection.poll_output() {
            let too_late = CallResult::NotSent(NotSent::Closed);
            let refused = matches!(&output, Output::CallDone { result, .. } if *result == too_late);
            assert!(!self.ended || refused, "after the end: {output:?}");
            self.check(output);
        }
    }

    fn check(&mut self, output: Output<u64>) {
        match output {
            Output::Connect => {
                assert_eq!(self.state, SimulatedConnection::None);
                self.state = SimulatedConnection::Requested;
            }
            Output::Send(frame) => self.check_sent(std::str::from_utf8(&frame).expect("a frame is UTF-8")),
            Output::Ping | Output::Close => assert!(matches!(self.state, SimulatedConnection::Up { .. })),
            Output::Abort => {
                assert!(matches!(self.state, SimulatedConnection::Up { .. }));
                self.disconnect();
            }
            Output::CallDone { waiter, result } => {
                assert!(self.open.remove(&waiter), "call {waiter} ended twice, with {result:?}");
                let stream = self.streams.remove(&waiter).is_some();
                assert!(!stream || !matches!(result, CallResult::Response(_)), "a stream has items");
                assert!(stream || result != CallResult::StreamEnded, "a call has a response");
            }
            Output::Interrupted(_) | Output::Resumed | Output::Gap { .. } => panic!("resumption was not offered"),
            Output::Item { key: CallKey(key), .. } => {
                assert!(self.open.contains(&key), "an item after the end of {key}");
                self.streams.get_mut(&key).expect("a stream").add("a stream");
            }
            // The call may have ended in the meantime.
            Output::UploadCredit { .. } => {}
            Output::Closed => self.ended = true,
            Output::ClientCall { key, .. } => {
                assert!(!self.received_client_calls.contains(&key), "keys are unique");
                self.received_client_calls.push(key);
                assert!(self.connection.running_client_calls() <= 3, "more client calls than the limit");
            }
            Output::ClientCallCancelled { .. }
            | Output::LoggedIn { .. }
            | Output::LoggedOut
            | Output::Unauthorized(_) => {}
            Output::Opened { .. } => {
                let is_resuming = self.resume.is_some_and(|(_, due)| self.now < due);
                assert!(!is_resuming, "opened before the response to the token");
            }
            Output::Push { .. } | Output::Disconnected(_) | Output::Warning(_) => {}
        }
    }

    fn check_sent(&mut self, text: &str) {
        let SimulatedConnection::Up { dialect, hello_sent } = &mut self.state else {
            panic!("sent without a connection: {text}")
        };
        let frame = codec::decode_strictly(text).expect("a valid frame");
        if !*hello_sent {
            assert_eq!(frame.event, "aaw/hello");
            *hello_sent = true;
            return;
        }
        assert!(*dialect == Dialect::V1 || frame.kind == codec::Kind::Unmarked, "a kind to a classic server: {text}");
        let id = frame.v1_id().expect("an integer");
        let is_resuming = self.resume.is_some_and(|(_, due)| self.now < due);
        if frame.event == "aaw/resume" {
            assert!(self.last_id == 0 && id == Some(1), "the token is sent first");
            if *dialect == Dialect::V1 {
                self.resume = Some((1, self.now + RESUME_TIMEOUT));
            }
        } else if id.is_none_or(|id| id > 0) && !self.closing {
            assert!(!is_resuming, "{text} was sent before the response to the token");
        }
        let mut called = |event: String, upload| {
            let id = id.expect("a call has an id");
            assert_eq!(id, self.last_id + 1, "an id was skipped");
            assert!(text.len() <= 150);
            self.last_id = id;
            self.uncancelled.insert(id, WrittenCall { event, upload });
        };
        match (id, frame.kind) {
            (Some(id), codec::Kind::Unmarked | codec::Kind::Error) if id < 0 => {
                assert!(self.client_calls.remove(&id), "{text} responds to an unknown client call");
            }
            (Some(_), codec::Kind::Unmarked) => called(frame.event.into_owned(), None),
            (Some(_), codec::Kind::Call) => {
                let meta = frame.parse_meta().expect("valid meta");
                assert!(meta.credit.is_some());
                called(frame.event.into_owned(), meta.upload.then(ItemCount::default));
            }
            (Some(id), codec::Kind::Cancel) => assert!(self.uncancelled.remove(&id).is_some()),
            (Some(id), codec::Kind::Credit) => assert!(self.uncancelled.contains_key(&id)),
            (Some(id), kind @ (codec::Kind::Item | codec::Kind::End)) => {
                let call = self.uncancelled.get_mut(&id).expect("an upload of a call that was made");
                let upload = &mut call.upload;
                match upload {
                    None => panic!("an item after the end of the upload: {text}"),
                    Some(_) if kind == codec::Kind::End => *upload = None,
                    Some(items) => {
                        items.add("an upload");
                        assert!(text.len() <= 150);
                    }
                }
            }
            (Some(_), codec::Kind::Error) => panic!("an error for an unknown call: {text}"),
            (None, _) => {}
        }
        assert!(self.connection.in_flight() <= MAX_IN_FLIGHT as usize, "more calls than the limit");
    }
}
