//! The wire samples in `wire/`, played against the server's session. `wire/README.md` says what they mean.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use aaw_protocol::server::{Call, CallKey, Config, Input, Outcome, Output, ServerSession};
use aaw_protocol::{Code, Dialect, Failure, codec, dialect};
use serde::Deserialize;

#[derive(Deserialize)]
struct Exchange {
    name: String,
    dialect: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Step {
    Client(String),
    Bad(String),
    Server(String),
    Done(String),
    Pass(u64),
}

#[derive(Deserialize)]
struct Handshake {
    offered: Option<String>,
    chosen: Option<String>,
    dialect: String,
}

fn exchanges() -> Vec<Exchange> {
    [include_str!("../wire/v1.json"), include_str!("../wire/classic.json")]
        .into_iter()
        .flat_map(|file| serde_json::from_str::<Vec<Exchange>>(file).expect("the samples have their form"))
        .collect()
}

fn dialect_called(name: &str) -> Dialect {
    match name {
        "v1" => Dialect::V1,
        "classic" => Dialect::Classic,
        other => panic!("no dialect is called {other}"),
    }
}

/// The server that the samples speak of.
struct Server {
    session: ServerSession,
    now: Instant,
    slow: Vec<(String, CallKey, Vec<u8>)>,
    sent: VecDeque<String>,
}

impl Server {
    fn new(dialect: Dialect) -> Self {
        let now = Instant::now();
        let session = ServerSession::new(dialect, "7f".into(), Config::default(), now);
        Self { session, now, slow: Vec::new(), sent: VecDeque::new() }
    }

    /// Whether the text made sense.
    fn hear(&mut self, text: &str) -> bool {
        let sense = match self.session.handle_text(self.now, text) {
            Input::Call(call) => match call.check() {
                Ok(()) => {
                    self.run(call);
                    true
                }
                Err(bad) => {
                    self.session.reject(call, bad);
                    false
                }
            },
            Input::Bad(_) => false,
            _ => true,
        };
        self.settle();
        sense
    }

    fn run(&mut self, call: Call<'_>) {
        let mut frame = call.begin_answer();
        let outcome = match call.event.as_ref() {
            "ping" => {
                frame.extend_from_slice(br#"{"pong":true}"#);
                Outcome::Answered
            }
            "echo" => {
                frame.extend_from_slice(call.body.as_bytes());
                Outcome::Answered
            }
            "slow" => {
                let body = call.body.to_owned();
                self.slow.push((body, self.session.suspend(call), frame));
                return;
            }
            "explode" => Outcome::Failed(Failure::new(Code::HANDLER, "Something went wrong")),
            "announce" => Outcome::Ran,
            "notify" => {
                self.sent.push_back(format!(r#"["notified",{}]"#, call.body));
                Outcome::Ran
            }
            unknown => Outcome::Refused(Failure::unknown_event(unknown)),
        };
        self.session.finish_now(call, frame, outcome);
    }

    fn finish(&mut self, body: &str) {
        let at = self.slow.iter().position(|(slow, ..)| slow == body).expect("it runs");
        let (_, key, mut frame) = self.slow.remove(at);
        frame.extend_from_slice(body.as_bytes());
        assert!(self.session.finish(key, frame, Outcome::Answered));
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(frame) => {
                    self.session.handle_sent(frame.len());
                    self.sent.push_back(String::from_utf8(frame.into()).expect("a frame is text"));
                }
                Output::Drop(key) => self.slow.retain(|(_, slow, _)| *slow != key),
                other => panic!("{other:?} in a sample"),
            }
        }
    }
}

#[test]
fn the_server_says_what_the_samples_say() {
    for Exchange { name, dialect, steps } in exchanges() {
        let mut server = Server::new(dialect_called(&dialect));
        for step in steps {
            if !matches!(step, Step::Server(_)) {
                assert_eq!(server.sent.pop_front(), None, "{dialect}, {name}: sent and in no step");
            }
            match step {
                Step::Client(text) => assert!(server.hear(&text), "{dialect}, {name}: {text} makes sense"),
                Step::Bad(text) => assert!(!server.hear(&text), "{dialect}, {name}: {text} makes no sense"),
                Step::Server(text) => assert_eq!(server.sent.pop_front(), Some(text), "{dialect}, {name}"),
                Step::Done(body) => server.finish(&body),
                Step::Pass(ms) => {
                    server.now += Duration::from_millis(ms);
                    server.session.handle_timeout(server.now);
                    server.settle();
                }
            }
        }
        assert_eq!(server.sent.pop_front(), None, "{dialect}, {name}: sent and in no step");
    }
}

#[test]
fn every_frame_that_makes_sense_decodes_alike_both_ways() {
    for Exchange { name, steps, .. } in exchanges() {
        for step in steps {
            if let Step::Client(text) | Step::Server(text) = step {
                let strict = codec::decode_strictly(&text).unwrap_or_else(|bad| panic!("{name}: {text}: {bad}"));
                assert_eq!(
                    codec::decode(&text),
                    Ok(codec::Frame { checked: codec::decode(&text).unwrap().checked, ..strict })
                );
            }
        }
    }
}

#[test]
fn handshakes_choose_what_the_samples_say() {
    let handshakes: Vec<Handshake> = serde_json::from_str(include_str!("../wire/handshakes.json")).unwrap();
    for Handshake { offered, chosen, dialect } in handshakes {
        let negotiated = dialect::negotiate(offered.as_deref().unwrap_or_default());
        assert_eq!(negotiated.chosen, chosen.as_deref(), "{offered:?}");
        assert_eq!(negotiated.dialect, dialect_called(&dialect), "{offered:?}");
        assert_eq!(dialect::accepted(chosen.as_deref()), negotiated.dialect, "{offered:?}");
    }
}

/// The specification shows frames as `C: …` and `S: …`, a line each. All of them are samples, so they are true.
#[test]
fn the_examples_of_the_specification_are_samples() {
    let (mut client, mut server) = (HashSet::new(), HashSet::new());
    for step in exchanges().into_iter().flat_map(|exchange| exchange.steps) {
        match step {
            Step::Client(text) | Step::Bad(text) => _ = client.insert(text),
            Step::Server(text) => _ = server.insert(text),
            Step::Done(_) | Step::Pass(_) => {}
        }
    }
    let mut examples = 0;
    for line in include_str!("../../PROTOCOL.md").lines() {
        for (prefix, samples) in [("C: ", &client), ("S: ", &server)] {
            if let Some(text) = line.strip_prefix(prefix) {
                assert!(samples.contains(text), "{line} is in no sample");
                examples += 1;
            }
        }
    }
    assert!(examples > 20, "the examples were found");
}
