//! Tests of packages that violate the ABI, and of packages and hosts of different versions.

use std::cell::Cell;
use std::ffi::c_void;
use std::mem::offset_of;
use std::sync::Arc;
use std::task::{Context, Poll, Waker as StdWaker};

use aaw_protocol::Failure;
use serde::{Serialize, Serializer};
use tracing::level_filters::LevelFilter;

use super::call::Call;
use super::{Begun, Caller, Host, Instance, ItemSink, LogRecord, Module, Step};
use crate::abi::{
    Bytes, CallArgs, CallVtable, EventEntry, ModuleHeader, Output, PollArgs, RawCall, RunFn, Sink, Space, Waker,
    committed, kind, step,
};
use crate::export::{HandlerEntry, NoServices, PackageSymbol, no_services, sync_services};
use crate::prelude::{Stream, stream};

/// A response of this many bytes, written in pieces of a few bytes.
async fn long(len: usize) -> Vec<u8> {
    // Each element and its comma or bracket take two bytes.
    vec![7; (len - 1) / 2]
}

/// Panics when a part of it has been written.
#[derive(Clone)]
struct HalfWritten;

impl Serialize for HalfWritten {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq as _;
        let mut seq = serializer.serialize_seq(None)?;
        seq.serialize_element(&"x".repeat(1000))?;
        panic!("half-written")
    }
}

async fn half_written() -> HalfWritten {
    HalfWritten
}

fn items() -> impl Stream<Item = u8> {
    stream! {
        yield 1;
        yield 2;
    }
}

static PACKAGE: PackageSymbol<NoServices> = PackageSymbol::new(
    "violations",
    true,
    sync_services(no_services),
    const {
        &[
            HandlerEntry::unary1("long", long),
            HandlerEntry::unary0("half_written", half_written),
            HandlerEntry::streaming0("items", items),
        ]
    },
);

struct NullHost;

impl Host for NullHost {
    fn log(&self, _: LogRecord<'_>) {}

    fn max_level(&self) -> LevelFilter {
        LevelFilter::OFF
    }
}

impl Caller for NullHost {
    fn id(&self) -> String {
        String::new()
    }

    fn send_event(&self, _: &str, _: &str) -> Result<(), Failure> {
        Ok(())
    }

    fn broadcast(&self, _: &str, _: bool) {}
}

fn start(header: &'static ModuleHeader) -> Instance {
    let mut starting = Module::linked(header, None).start(Arc::new(NullHost));
    match std::pin::Pin::new(&mut starting).poll(&mut Context::from_waker(StdWaker::noop())) {
        Poll::Ready(Ok(instance)) => instance,
        other => panic!("{other:?}"),
    }
}

/// The package itself, without violations.
fn package() -> Instance {
    // SAFETY: static.
    start(unsafe { &*PACKAGE.header() })
}

/// The package with `run` in the place of its first event's.
fn with_run(run: RunFn) -> Instance {
    // SAFETY: a header and its entries are plain data; what they point to is static.
    let (mut header, entry) = unsafe { (PACKAGE.header().read(), (*PACKAGE.header()).events.read()) };
    let entry = EventEntry { name: Bytes::of("bad"), kind: kind::UNARY, run: Some(run), ..entry };
    header.events = Box::leak(Box::new(entry));
    header.event_count = 1;
    start(Box::leak(Box::new(header)))
}

/// Runs the event at `index`, with a limit of `max_len` bytes.
fn run_event(instance: &Instance, index: usize, body: &str, max_len: usize) -> (Step, String) {
    let mut out = b"head ".to_vec();
    let cx = &mut Context::from_waker(StdWaker::noop());
    match instance.run(index, body, &Arc::new(NullHost), cx, &mut out, max_len) {
        Begun::Done(step) => (step, String::from_utf8(out).unwrap().strip_prefix("head ").unwrap().to_owned()),
        Begun::Pending(call) => panic!("{call:?} is pending"),
    }
}

/// Returns what the host says about `run`. Nothing of its output is left, and the next call works.
fn violation(run_function: RunFn) -> String {
    let (step, out) = run_event(&with_run(run_function), 0, "", 10_000);
    assert_eq!(out, "");
    assert_eq!(run_event(&package(), 0, "5", 10_000), (Step::Item, "[7,7]".to_owned()));
    match step {
        Step::Broken(what) => what,
        step => panic!("{step:?}"),
    }
}

/// Calls the host's function.
unsafe fn commit(output: Output, len: usize) -> u32 {
    let mut next = Space::NONE;
    // SAFETY: the table is static.
    unsafe { ((*output.vtable).commit)(output.poll, len, &raw mut next) }
}

unsafe fn reserve(output: Output, written: usize, additional: usize) -> Space {
    // SAFETY: the table is static.
    unsafe { ((*output.vtable).reserve)(output.poll, written, additional) }
}

/// A [`RunFn`] with this body, which has the [`Output`] as `$output`.
macro_rules! run_fn {
    (|$output:ident| $body:expr) => {{
        unsafe extern "C" fn run(_: *const c_void, _: *const CallArgs, poll: *const PollArgs, _: *mut RawCall) -> u32 {
            // SAFETY: the host's arguments.
            unsafe {
                let $output = (*poll).output;
                $body
            }
        }
        run
    }};
}

#[test]
fn an_item_longer_than_its_space_is_a_violation() {
    let what = violation(run_fn!(|output| {
        assert_eq!(commit(output, output.space.len + 1), committed::REJECTED);
        step::ITEM
    }));
    assert!(what.starts_with("it ended an item of ") && what.contains(" were reserved"), "{what}");
}

#[test]
fn a_second_item_of_one_response_is_a_violation() {
    let what = violation(run_fn!(|output| {
        output.space.ptr.write(b'1');
        assert_eq!(commit(output, 1), committed::ENOUGH);
        assert_eq!(commit(output, 1), committed::REJECTED);
        step::ITEM
    }));
    assert_eq!(what, "it ended an item after the last one that this poll takes");
}

#[test]
fn more_written_than_reserved_is_a_violation() {
    let what = violation(run_fn!(|output| {
        assert!(reserve(output, output.space.len + 1, 1).ptr.is_null());
        step::ITEM
    }));
    assert!(what.starts_with("it wrote ") && what.contains(" were reserved"), "{what}");
}

#[test]
fn an_item_that_was_not_ended_is_a_violation() {
    assert_eq!(violation(run_fn!(|_output| step::ITEM)), "it returned an item without having ended one");
}

#[test]
fn an_output_cannot_be_used_on_another_thread() {
    let what = violation(run_fn!(|output| {
        let (number, vtable) = (output.poll, &*output.vtable);
        let elsewhere = std::thread::spawn(move || {
            let output = Output { poll: number, space: Space::NONE, vtable };
            // The functions look the number up, and find nothing on this thread.
            (commit(output, 1), reserve(output, 0, 1).ptr.is_null())
        });
        assert_eq!(elsewhere.join().unwrap(), (committed::REJECTED, true));
        step::ITEM
    }));
    assert_eq!(what, "it returned an item without having ended one");
}

#[test]
fn an_output_cannot_be_used_after_its_poll() {
    thread_local! {
        static KEPT: Cell<Option<Output>> = const { Cell::new(None) };
    }
    violation(run_fn!(|output| {
        KEPT.set(Some(output));
        step::ITEM
    }));
    let kept = KEPT.take().unwrap();
    // SAFETY: the functions find that there is no such poll.
    assert_eq!(unsafe { commit(kept, 1) }, committed::REJECTED);
    KEPT.set(Some(kept));
    // Nor during another one.
    let what = violation(run_fn!(|_output| {
        assert_eq!(commit(KEPT.take().unwrap(), 1), committed::REJECTED);
        step::ITEM
    }));
    assert_eq!(what, "it returned an item without having ended one");
}

#[test]
fn impossible_lengths_are_refused() {
    let (step, out) = run_event(
        &with_run(run_fn!(|output| {
            for (written, additional) in [(0, usize::MAX), (1, usize::MAX), (0, isize::MAX as usize)] {
                assert!(reserve(output, written, additional).ptr.is_null());
            }
            assert_eq!(commit(output, usize::MAX - 1), committed::REJECTED);
            step::ITEM
        })),
        0,
        "",
        usize::MAX,
    );
    assert!(matches!(step, Step::Broken(_)) && out.is_empty(), "{step:?}");
}

#[test]
fn a_pending_call_must_be_there() {
    assert_eq!(violation(run_fn!(|_output| step::PENDING)), "it returned no call that could be polled again");
}

thread_local! {
    /// How many calls of [`COUNTED`] were dropped.
    static DROPPED: Cell<u32> = const { Cell::new(0) };
}

/// A call that waits for ever.
static COUNTED: CallVtable = {
    unsafe extern "C" fn poll(_: *mut c_void, _: *const Waker, _: Sink) -> u32 {
        step::PENDING
    }
    unsafe extern "C" fn drop(_: *mut c_void) {
        DROPPED.set(DROPPED.get() + 1);
    }
    CallVtable { size: size_of::<CallVtable>(), poll, drop, poll_items: None }
};

/// The host's place holds the call's state, and must not be used for another one before the call has been dropped.
#[test]
fn a_call_that_was_stored_is_dropped_whatever_the_step() {
    unsafe extern "C" fn run(
        _: *const c_void,
        args: *const CallArgs,
        poll: *const PollArgs,
        call: *mut RawCall,
    ) -> u32 {
        // SAFETY: the host's arguments. The body is the step.
        unsafe {
            call.write(RawCall { data: std::ptr::null_mut(), vtable: &raw const COUNTED });
            let output = (*poll).output;
            output.space.ptr.write(b'1');
            commit(output, 1);
            (*args).body.as_str().parse().unwrap()
        }
    }
    let package = with_run(run);
    let steps = [step::ITEM, step::END, step::ERROR, step::PANIC, step::REFUSED, 99];
    for (step, dropped) in steps.into_iter().zip(1..) {
        run_event(&package, 0, &step.to_string(), 100);
        assert_eq!(DROPPED.get(), dropped, "with the step {step}");
    }
    // A pending call is kept, and has written nothing.
    let (mut out, cx) = (Vec::new(), &mut Context::from_waker(StdWaker::noop()));
    let begun = package.run(0, "0", &Arc::new(NullHost), cx, &mut out, 100);
    assert!(matches!(begun, Begun::Pending(_)) && out.is_empty(), "{begun:?}");
    assert_eq!(DROPPED.get(), 6);
    drop(begun);
    assert_eq!(DROPPED.get(), 7);
}

#[test]
fn an_unknown_step_is_a_violation() {
    assert_eq!(violation(run_fn!(|_output| 99)), "it returned the step 99, which this host does not know");
}

#[test]
fn a_panic_between_reserving_and_ending_leaves_nothing() {
    let (step, out) = run_event(&package(), 1, "", 10_000);
    assert!(matches!(step, Step::Panicked(text) if text.starts_with("half-written")));
    assert_eq!(out, "");
}

#[test]
fn an_item_of_any_length_is_whole() {
    let package = package();
    for len in [3, 255, 257, 4095, 100_001] {
        let (step, out) = run_event(&package, 0, &len.to_string(), usize::MAX);
        assert_eq!((step, out.len()), (Step::Item, len));
        assert!(out.starts_with("[7") && out.ends_with("7]"));
        // At the limit, and one byte beyond.
        assert_eq!(run_event(&package, 0, &len.to_string(), len).0, Step::Item);
        assert_eq!(run_event(&package, 0, &len.to_string(), len - 1), (Step::TooLarge(len), String::new()));
    }
}

#[test]
fn a_poll_within_a_poll_has_an_output_of_its_own() {
    let (step, out) = run_event(
        &with_run(run_fn!(|output| {
            output.space.ptr.write(b'1');
            assert_eq!(run_event(&package(), 0, "5", 100), (Step::Item, "[7,7]".to_owned()));
            assert_eq!(commit(output, 1), committed::ENOUGH);
            step::ITEM
        })),
        0,
        "",
        100,
    );
    assert_eq!((step, out), (Step::Item, "1".to_owned()));
}

/// As an older host calls a package: without a place for the call.
#[test]
fn a_package_allocates_its_call_if_the_host_lends_no_place() {
    let package = package();
    let caller = Arc::new(NullHost);
    let entry = &package.package.table.entries[0];
    let mut out = Vec::new();
    let cx = &mut Context::from_waker(StdWaker::noop());
    let polled = super::call::poll_in_place(cx, &mut out, 100, |poll| {
        let mut pending = RawCall { data: std::ptr::null_mut(), vtable: std::ptr::null() };
        // The place is beyond the size, so that it must not be looked at.
        let place = Space { ptr: std::ptr::without_provenance_mut(16), len: 512 };
        let args = super::instance::call_args(entry, "5", &caller, std::ptr::null());
        let args = CallArgs { size: offset_of!(CallArgs, place), place, ..args };
        // SAFETY: the arguments of an older host.
        unsafe { (entry.run.unwrap())(package.package.raw().data, &raw const args, poll, &raw mut pending) }
    });
    assert_eq!((polled.step, out), (Poll::Ready(Step::Item), b"[7,7]".to_vec()));
}

/// As an older host polls, through a sink; and as this host polls an older package.
#[test]
fn a_stream_can_be_polled_item_by_item() {
    struct Both(Vec<u8>);

    impl ItemSink for Both {
        fn buffer(&mut self) -> &mut Vec<u8> {
            &mut self.0
        }

        fn end_item(&mut self, _: usize) -> bool {
            self.0.push(b' ');
            true
        }
    }

    for is_older in [false, true] {
        let package = package();
        let mut call = package.call(2, "", &Arc::new(NullHost));
        if is_older {
            call = older(call);
        }
        let mut sink = Both(Vec::new());
        let polled = call.poll_items(&mut Context::from_waker(StdWaker::noop()), &mut sink, 100);
        assert_eq!((polled.items, polled.step, &*sink.0), (2, Poll::Ready(Step::End), &b"1 2 "[..]));
    }
}

/// The call with the table of an older package.
fn older(call: Call) -> Call {
    // SAFETY: a table is plain data.
    let vtable = unsafe { call.raw().vtable.read() };
    let vtable = CallVtable { size: CallVtable::SIZE_WITHOUT_POLL_ITEMS, poll_items: None, ..vtable };
    call.with_vtable(Box::leak(Box::new(vtable)))
}
