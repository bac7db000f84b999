//! A library that was built with an earlier version of the module ABI, see `../kept_library/README.md`.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use aaw_event::Module;
use aaw_event::host::{Begun, Call, Caller, Instance, ItemSink, Step, UploadSource, UploadStep};
use aaw_protocol::{Code, Failure};
use aaw_server::modules::open;

use crate::fixture::{index, items, start};

async fn kept() -> (Module, Instance) {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kept_library/kept-x86_64-linux-gnu.so");
    let module = open(&library).unwrap();
    let instance = start(&module).await;
    (module, instance)
}

/// Keeps what is pushed to it.
#[derive(Default)]
struct Recorder(Mutex<Vec<(String, String)>>);

impl Caller for Recorder {
    fn id(&self) -> String {
        "recorder".to_owned()
    }

    fn send_event(&self, event: &str, data: &str) -> Result<(), Failure> {
        self.0.lock().unwrap().push((event.to_owned(), data.to_owned()));
        Ok(())
    }

    fn broadcast(&self, _: &str, _: bool) {}
}

/// Begins a call and polls it once.
fn run(module: &Module, instance: &Instance, event: &str, body: &str) -> (Begun, String) {
    let mut out = b"head ".to_vec();
    let cx = &mut Context::from_waker(Waker::noop());
    let begun = instance.run(index(module, event), body, &Arc::<Recorder>::default(), cx, &mut out, 1000);
    let out = String::from_utf8(out).unwrap();
    (begun, out.strip_prefix("head ").unwrap().to_owned())
}

#[track_caller]
fn done(begun: (Begun, String)) -> (Step, String) {
    match begun {
        (Begun::Done(step), out) => (step, out),
        (Begun::Pending(call), _) => panic!("it is pending: {call:?}"),
    }
}

#[tokio::test]
async fn a_kept_library_responds_fails_and_panics() {
    let (module, instance) = kept().await;
    assert_eq!((module.package(), instance.has_runtime()), ("kept", true));
    let run = |event, body| done(run(&module, &instance, event, body));
    assert_eq!(run("greet", r#"{"name":"Ada"}"#), (Step::Item, r#""Hello, Ada""#.to_owned()));
    let failure = Failure::new(Code::new("no_name".to_owned()), "A name is required");
    assert_eq!(run("greet", r#"{"name":""}"#), (Step::Failed(failure), String::new()));
    let (step, out) = run("greet", "[1");
    assert!(matches!(step, Step::Refused(failure) if failure.code == Code::BAD_BODY) && out.is_empty());
    let long = format!("{:?}", "x".repeat(2000));
    assert_eq!(run("echo", &long), (Step::TooLarge(2002), String::new()));
    let (step, out) = run("explode", "");
    assert!(matches!(step, Step::Panicked(text) if text.starts_with("boom (at ")) && out.is_empty());
}

#[tokio::test]
async fn a_kept_library_waits_in_its_own_runtime_also_within_a_batch() {
    let (module, instance) = kept().await;
    let begun = instance.within_runtime(|| run(&module, &instance, "wait", "1").0);
    let Begun::Pending(call) = begun else { panic!("the response is not ready at once") };
    assert_eq!(items(call).await.0, [r#""waited""#]);
}

/// Takes three items a poll.
#[derive(Default)]
struct ThreeItems {
    buffer: Vec<u8>,
    items: usize,
}

impl ItemSink for ThreeItems {
    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    fn end_item(&mut self, start: usize) -> bool {
        assert!(start < self.buffer.len());
        self.buffer.push(b' ');
        self.items += 1;
        self.items < 3
    }
}

fn poll_items(call: &mut Call) -> (u64, Poll<Step>, String) {
    let mut sink = ThreeItems::default();
    let polled = call.poll_items(&mut Context::from_waker(Waker::noop()), &mut sink, 100);
    (polled.items, polled.step, String::from_utf8(sink.buffer).unwrap())
}

#[tokio::test]
async fn the_items_of_a_kept_library_are_taken_in_batches() {
    let (module, instance) = kept().await;
    let Begun::Pending(mut call) = run(&module, &instance, "count", "7").0 else { panic!("it was polled") };
    assert_eq!(poll_items(&mut call), (3, Poll::Ready(Step::Item), "1 2 3 ".to_owned()));
    assert_eq!(poll_items(&mut call), (3, Poll::Ready(Step::Item), "4 5 6 ".to_owned()));
    assert_eq!(poll_items(&mut call), (1, Poll::Ready(Step::End), "7 ".to_owned()));
    assert_eq!(poll_items(&mut call), (0, Poll::Ready(Step::End), String::new()));

    // The library reports both when it is polled; the host must know at once which of them is not a call.
    let (step, _) = done(run(&module, &instance, "count", "[1"));
    assert!(matches!(step, Step::Refused(failure) if failure.code == Code::BAD_BODY));
    let Begun::Pending(mut call) = run(&module, &instance, "count", "[1]").0 else { panic!("it was polled") };
    let (_, step, _) = poll_items(&mut call);
    assert!(matches!(step, Poll::Ready(Step::Refused(failure)) if failure.code == Code::BAD_BODY));
}

struct TwoNumbers(Mutex<u8>);

impl UploadSource for TwoNumbers {
    fn poll_next(&self, _: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<UploadStep> {
        let mut number = self.0.lock().unwrap();
        *number += 1;
        if *number > 2 {
            return Poll::Ready(UploadStep::End);
        }
        out.extend_from_slice(number.to_string().as_bytes());
        Poll::Ready(UploadStep::Item)
    }
}

#[tokio::test]
async fn a_kept_library_takes_uploads_pushes_and_is_guarded() {
    let (module, instance) = kept().await;
    let upload = Arc::new(TwoNumbers(Mutex::new(0)));
    let recorder = Arc::<Recorder>::default();
    let sums = instance.call_with_upload(index(&module, "sums"), "10", &recorder, &upload);
    assert_eq!(items(sums).await, (vec!["11".to_owned(), "13".to_owned()], Step::End));

    let cx = &mut Context::from_waker(Waker::noop());
    let begun = instance.run(index(&module, "push"), r#"{"a":1}"#, &recorder, cx, &mut Vec::new(), 100);
    assert!(matches!(begun, Begun::Done(Step::End)), "{begun:?}");
    assert_eq!(*recorder.0.lock().unwrap(), [("pushed".to_owned(), r#"{"a":1}"#.to_owned())]);

    let guard = module.guards()[0].index;
    let guard = |body: &str| {
        instance.run(guard, body, &recorder, &mut Context::from_waker(Waker::noop()), &mut Vec::new(), 100)
    };
    let refusal = Failure::new(Code::HANDLER, "Staff only");
    let refused = guard(r#"{"event":"admin/secret","identity":null}"#);
    assert!(matches!(&refused, Begun::Done(Step::Failed(failure)) if *failure == refusal), "{refused:?}");
    let passed = guard(r#"{"event":"admin/secret","identity":{"id":"1","email":"ada@example.org"}}"#);
    assert!(matches!(passed, Begun::Done(Step::End)), "{passed:?}");

    assert_eq!(Arc::strong_count(&recorder), 1, "the library keeps none of its callers");
}
