//! Does to a [`ClientConnection`] whatever a string of bytes says, and checks after each step that it kept its promises.
//! The property test draws the bytes, the fuzz target `client_connection` gets them from libFuzzer; both include this
//! file.
//!
//! Promises, whatever comes in and in whatever order:
//!
//! - each call ends exactly once, none that was not made or was cancelled;
//! - a stream gives no more items than it was given room for, and none after its end;
//! - an upload's items are sent only as the server makes room for them, and none after its end, which is said once;
//! - what the server asks is given out in order, is replied to or cancelled once, and no more of it is open than may be;
//! - on a new connection a token goes out before any call does, and the connection is open only after its answer or
//!   its time;
//! - nothing is written without a connection, the first thing on a v1 connection is the hello, ids are 1, 2, 3 … on
//!   each connection, and no more calls are open than the limits allow;
//! - time that was reached is not asked for again, so the timer of an owner cannot spin;
//! - a closed session ends, with every call.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use aaw_protocol::client::{
    Backoff, CallKey, CallResult, ClientCallKey, ClientConfig, ClientConnection, DisconnectReason, EncodedMessage,
    NotSent, Output, StreamOptions,
};
use aaw_protocol::{Code, Dialect, Failure, Token, codec};

/// One session from its first attempt to its end. Each operation is two bytes: what, and a detail.
pub(crate) fn exercise(bytes: &[u8]) {
    let mut bytes = bytes.iter().copied();
    let mut exercise = Exercise::new();
    while let Some(operation) = bytes.next() {
        exercise.step(operation, bytes.next().unwrap_or_default());
    }
    exercise.finish();
}

struct Exercise {
    session: ClientConnection<u64>,
    now: Instant,
    next_key: u64,
    open: BTreeSet<u64>,
    link: Link,
    /// The streams among them.
    streams: BTreeMap<u64, Items>,
    /// Calls written on this connection that the client has not cancelled.
    uncancelled: BTreeMap<i64, Written>,
    last_id: i64,
    /// What the server has asked on this connection and knows no end of; how many it asked; what was given out.
    asks: BTreeSet<i64>,
    last_ask: i64,
    asked: Vec<ClientCallKey>,
    /// The id of the token's own call on this connection, until it is answered, and until when calls wait for it.
    resume: Option<(i64, Instant)>,
    closing: bool,
    ended: bool,
}

#[derive(Debug, PartialEq)]
enum Link {
    None,
    Wanted,
    Up { dialect: Dialect, greeted: bool },
}

/// What the server knows of a call.
struct Written {
    event: String,
    /// Those of the caller. None if there are none, or no more.
    upload: Option<Items>,
}

#[derive(Default)]
struct Items {
    room: u64,
    came: u64,
}

impl Items {
    fn raise(&mut self, room: u64) {
        self.room = self.room.max(room);
    }

    fn one_more(&mut self, of: &str) {
        self.came += 1;
        assert!(self.came <= self.room, "{of}: {} items, and room for {}", self.came, self.room);
    }
}

/// So small that they are reached.
const MOST: u32 = 4;
const EVENTS: [&str; 5] = ["a", "b/c", "\u{e9}\"\\", "aaw/login", "aaw/logout"];
const RESUME: Duration = Duration::from_secs(5);

impl Exercise {
    fn new() -> Self {
        let config = ClientConfig {
            max_in_flight: MOST,
            max_waiting_calls: 400,
            max_waiting_sends: 200,
            max_asked: 3,
            resume_timeout: RESUME,
            max_message: 150,
            backoff: Backoff { min: Duration::from_millis(10), ..Backoff::default() },
            ..ClientConfig::default()
        };
        let mut new = Self {
            session: ClientConnection::new(config, 7),
            now: Instant::now(),
            next_key: 1,
            open: BTreeSet::new(),
            link: Link::None,
            streams: BTreeMap::new(),
            uncancelled: BTreeMap::new(),
            last_id: 0,
            asks: BTreeSet::new(),
            last_ask: 0,
            asked: Vec::new(),
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
                let draft = EncodedMessage::new(event, &body).expect("a string");
                self.session.call(now, CallKey(key), draft, timeout.map(|timeout| now + timeout), key);
            }
            16 => {
                let options = StreamOptions { window: u64::from(detail % 4) + 1, upload: !detail.is_multiple_of(3) };
                let timeout = detail.is_multiple_of(5).then_some(Duration::from_millis(u64::from(detail) * 40));
                let key = self.next_key;
                self.next_key += 1;
                self.open.insert(key);
                self.streams.insert(key, Items { room: options.window, came: 0 });
                let draft = EncodedMessage::new(event, &detail).expect("a number");
                self.session.stream(now, CallKey(key), draft, options, timeout.map(|timeout| now + timeout), key);
            }
            // What the reader and the sender of a stream do, or of a call that is none, or over.
            17 => {
                let place = detail as usize % (self.open.len() + 1);
                let key = self.open.iter().nth(place).copied().unwrap_or(u64::from(detail));
                match detail / 32 {
                    0 => self.session.upload_end(CallKey(key)),
                    1 => {
                        let room = u64::from(detail % 16);
                        self.session.grant_credit(CallKey(key), room);
                        self.streams.entry(key).and_modify(|items| items.raise(room));
                    }
                    _ => {
                        let draft = EncodedMessage::new(event, &"x".repeat(detail as usize)).expect("a string");
                        for _ in 0..detail % 8 {
                            let _ = self.session.upload_item(CallKey(key), draft.clone());
                        }
                    }
                }
            }
            // What a server says of a stream: one that is open, or of anything else.
            18 | 19 => {
                let room = u64::from(detail % 4);
                let known = self.uncancelled.iter().rev().nth(detail as usize % 6);
                let (id, event) = known.map_or((i64::from(detail) - 3, event), |(id, call)| (*id, call.event.as_str()));
                let event = codec::event_json(event);
                let text = match detail % 5 {
                    0 => format!(r#"[{event},null,{id},"end"]"#),
                    1 => format!(r#"[{event},{room},{id},"credit"]"#),
                    _ => format!(r#"[{event},{detail},{id},"item"]"#),
                };
                self.hear(&text);
            }
            // The server asks, in order or not, and goes back on it; seldom says that the session is over.
            20 | 21 => {
                let next = self.last_ask - 1;
                let id = if detail.is_multiple_of(8) { -i64::from(detail % 16) - 1 } else { next };
                let text = match detail % 5 {
                    0 => format!(r#"["a",null,{},"cancel"]"#, -i64::from(detail % 8) - 1),
                    1 => format!(r#"["{}",{detail},{id},"call",{{}}]"#, "n".repeat(detail as usize * 2)),
                    2 if detail > 200 => r#"["aaw/session",{"ended":"expired"}]"#.to_owned(),
                    _ => format!(r#"["a",{detail},{id}]"#),
                };
                self.hear(&text);
            }
            // Handlers answer, some of them too late.
            22 => {
                if !self.asked.is_empty() {
                    let key = self.asked[detail as usize % self.asked.len()];
                    let text = format!("{:?}", "x".repeat(detail as usize));
                    match detail % 3 {
                        0 => self.session.respond(key, Err(Failure::new(Code::HANDLER, text))),
                        _ => self.session.respond(key, Ok(&text)),
                    }
                }
            }
            // What a login is answered with; the token, for which this may be an answer, too.
            23 => {
                let id = self.resume.map_or(i64::from(detail % 8), |(id, _)| id);
                let text = match detail % 4 {
                    0 => format!(r#"["aaw/resume",{{"error":"Session expired"}},{id},"error"]"#),
                    1 => format!(r#"["aaw/resume",{{"error":"later","code":"busy"}},{id},"error"]"#),
                    2 => format!(r#"["aaw/login",{{"token":"t{detail}","user":{{}}}},{id}]"#),
                    _ => {
                        self.session.set_token(detail.is_multiple_of(3).then(|| Token::new("t")));
                        return self.drain();
                    }
                };
                self.hear(&text);
            }
            3 => {
                let _ = self.session.send(EncodedMessage::new(event, &detail).expect("a number"));
            }
            4 => {
                if let Some(&key) = self.open.iter().nth(detail as usize % 8) {
                    self.open.remove(&key);
                    self.session.cancel(now, CallKey(key));
                }
            }
            5 | 6 => {
                let dialect = if detail.is_multiple_of(2) { Dialect::V1 } else { Dialect::Classic };
                self.session.handle_connected(now, dialect);
                if self.link == Link::Wanted {
                    self.link = Link::Up { dialect, greeted: dialect == Dialect::Classic };
                    self.last_id = 0;
                    self.last_ask = 0;
                }
            }
            7 => {
                self.session.handle_connect_failed(now);
                if self.link == Link::Wanted {
                    self.link = Link::None;
                }
            }
            8 => {
                self.session.handle_disconnected(now, DisconnectReason::Broken("cut".into()));
                if let Link::Up { .. } = self.link {
                    self.lose();
                }
            }
            9 => self.hear(&format!(
                r#"["aaw/welcome",{{"connection":"c","limits":{{"calls":{},"message":120}}}}]"#,
                detail % 6
            )),
            // An answer: to a call that is open, or to any other; with its id or without.
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
                self.hear(&text);
            }
            12 => {
                self.now += Duration::from_millis(u64::from(detail) * u64::from(detail));
                self.pass_time();
            }
            13 => match detail % 3 {
                0 => self.session.handle_blocked(),
                _ => self.session.handle_writable(),
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
                self.hear(text);
            }
            // Rarely, or nothing would happen after it.
            _ if detail > 240 => {
                // Sends that wait go out now.
                self.closing = true;
                self.session.close(now);
            }
            _ => {
                self.session.handle_sign_of_life(now);
                self.session.handle_binary();
            }
        }
        self.drain();
    }

    fn hear(&mut self, text: &str) {
        if let Ok(frame) = codec::decode_strictly(text)
            && frame.kind == codec::Kind::Credit
            && let Ok(Some(id)) = frame.v1_id()
            && let Some(Written { upload: Some(items), .. }) = self.uncancelled.get_mut(&id)
        {
            items.raise(frame.data.parse().unwrap_or_default());
        }
        // As the session reads it: an answer that is no JSON is found out by whoever parses it.
        if let Ok(frame) = codec::decode(text)
            && let Ok(Some(id)) = frame.v1_id()
            && matches!(self.link, Link::Up { dialect: Dialect::V1, .. })
        {
            let asks = matches!(frame.kind, codec::Kind::Unmarked | codec::Kind::Call) && id == self.last_ask - 1;
            if asks {
                self.last_ask = id;
                self.asks.insert(id);
            }
            if frame.kind == codec::Kind::Cancel {
                self.asks.remove(&id);
            }
            let is_answer = matches!(frame.kind, codec::Kind::Unmarked | codec::Kind::Error);
            if is_answer && self.resume.is_some_and(|(resume, _)| resume == id) {
                self.resume = None;
            }
        }
        self.session.handle_sign_of_life(self.now);
        self.session.handle_text(self.now, text);
    }

    /// The connection is gone.
    fn lose(&mut self) {
        self.link = Link::None;
        self.uncancelled.clear();
        self.asks.clear();
        self.resume = None;
    }

    fn finish(mut self) {
        self.closing = true;
        self.session.close(self.now);
        self.drain();
        self.now += Duration::from_secs(3600);
        self.pass_time();
        assert!(self.ended, "a closed session ends");
        assert!(self.open.is_empty(), "these calls never ended: {:?}", self.open);
        assert_eq!(self.session.poll_timeout(), None);
    }

    fn pass_time(&mut self) {
        self.session.handle_timeout(self.now);
        self.drain();
        if let Some(at) = self.session.poll_timeout() {
            assert!(at > self.now, "a time that was reached is asked for again");
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            let too_late = CallResult::NotSent(NotSent::Closed);
            let refused = matches!(&output, Output::CallDone { result, .. } if *result == too_late);
            assert!(!self.ended || refused, "after the end came {output:?}");
            self.check(output);
        }
    }

    fn check(&mut self, output: Output<u64>) {
        match output {
            Output::Connect => {
                assert_eq!(self.link, Link::None);
                self.link = Link::Wanted;
            }
            Output::Send(frame) => self.check_sent(std::str::from_utf8(&frame).expect("a frame is text")),
            Output::Ping | Output::Close => assert!(matches!(self.link, Link::Up { .. })),
            Output::Abort => {
                assert!(matches!(self.link, Link::Up { .. }));
                self.lose();
            }
            Output::CallDone { waiter, result } => {
                assert!(self.open.remove(&waiter), "call {waiter} ended once too often, with {result:?}");
                let stream = self.streams.remove(&waiter).is_some();
                assert!(!stream || !matches!(result, CallResult::Response(_)), "a stream has items");
                assert!(stream || result != CallResult::StreamEnded, "a call has an answer");
            }
            Output::Item { key: CallKey(key), .. } => {
                assert!(self.open.contains(&key), "an item after the end of {key}");
                self.streams.get_mut(&key).expect("a stream").one_more("a stream");
            }
            // Who was told may have gone just now.
            Output::UploadCredit { .. } => {}
            Output::Closed => self.ended = true,
            Output::ClientCall { key, .. } => {
                assert!(!self.asked.contains(&key), "a key of its own");
                self.asked.push(key);
                assert!(self.session.running_client_calls() <= 3, "more is asked than may be");
            }
            Output::ClientCallCancelled { .. }
            | Output::LoggedIn { .. }
            | Output::LoggedOut
            | Output::Unauthorized(_) => {}
            Output::Opened { .. } => {
                let waits = self.resume.is_some_and(|(_, due)| self.now < due);
                assert!(!waits, "it is open, and its token on its way");
            }
            Output::Push { .. } | Output::Disconnected(_) | Output::Warning(_) => {}
        }
    }

    fn check_sent(&mut self, text: &str) {
        let Link::Up { dialect, greeted } = &mut self.link else { panic!("sent without a connection: {text}") };
        let frame = codec::decode_strictly(text).expect("a frame");
        if !*greeted {
            assert_eq!(frame.event, "aaw/hello");
            *greeted = true;
            return;
        }
        assert!(*dialect == Dialect::V1 || frame.kind == codec::Kind::Unmarked, "a kind to a classic server: {text}");
        let id = frame.v1_id().expect("an integer");
        let waits = self.resume.is_some_and(|(_, due)| self.now < due);
        if frame.event == "aaw/resume" {
            assert!(self.last_id == 0 && id == Some(1), "the token goes out first");
            if *dialect == Dialect::V1 {
                self.resume = Some((1, self.now + RESUME));
            }
        } else if id.is_none_or(|id| id > 0) && !self.closing {
            assert!(!waits, "{text} does not wait for the token");
        }
        let mut called = |event: String, upload| {
            let id = id.expect("a call has an id");
            assert_eq!(id, self.last_id + 1, "an id was skipped");
            assert!(text.len() <= 150);
            self.last_id = id;
            self.uncancelled.insert(id, Written { event, upload });
        };
        match (id, frame.kind) {
            (Some(id), codec::Kind::Unmarked | codec::Kind::Error) if id < 0 => {
                assert!(self.asks.remove(&id), "{text} answers what nobody asks");
            }
            (Some(_), codec::Kind::Unmarked) => called(frame.event.into_owned(), None),
            (Some(_), codec::Kind::Call) => {
                let meta = frame.parse_meta().expect("a meta");
                assert!(meta.credit.is_some());
                called(frame.event.into_owned(), meta.upload.then(Items::default));
            }
            (Some(id), codec::Kind::Cancel) => assert!(self.uncancelled.remove(&id).is_some()),
            (Some(id), codec::Kind::Credit) => assert!(self.uncancelled.contains_key(&id)),
            (Some(id), kind @ (codec::Kind::Item | codec::Kind::End)) => {
                let call = self.uncancelled.get_mut(&id).expect("an upload of a call that was made");
                let upload = &mut call.upload;
                match upload {
                    None => panic!("an upload that has ended goes on: {text}"),
                    Some(_) if kind == codec::Kind::End => *upload = None,
                    Some(items) => {
                        items.one_more("an upload");
                        assert!(text.len() <= 150);
                    }
                }
            }
            (Some(_), codec::Kind::Error) => panic!("an error for nothing: {text}"),
            (None, _) => {}
        }
        assert!(self.session.in_flight() <= MOST as usize, "more calls than the limit");
    }
}
