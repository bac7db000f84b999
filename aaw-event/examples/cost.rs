//! Measures the cost of a call between host and handler, and of an item of a stream:
//! `cargo run --release -p aaw-event --example cost`.
//!
//! Expect 60 to 200 nanoseconds per call of a linked package, and about 100 more if the package has a runtime of its
//! own, depending on the machine. An item should cost less than a call: nothing is allocated or parsed for it.
#![allow(unsafe_code, reason = "loads the table as if it were the symbol of a library")]
#![allow(missing_docs, unreachable_pub, reason = "its events are written as an author writes them")]

use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use aaw_event::Module;
use aaw_event::host::{Caller, HandlerKind, Host, ItemSink, LogRecord};
use aaw_protocol::Failure;
use tracing::level_filters::LevelFilter;

mod events {
    use aaw_event::prelude::*;

    #[derive(Deserialize)]
    pub struct Body {
        pub id: i64,
    }

    #[derive(Serialize)]
    pub struct User {
        id: i64,
        name: &'static str,
    }

    pub async fn ping() -> bool {
        true
    }

    pub async fn typed(body: Body) -> User {
        User { id: body.id, name: "Ada" }
    }

    pub async fn with_services(body: Body, _: Services) -> Result<User> {
        Ok(User { id: body.id, name: "Ada" })
    }

    pub fn one_way() {}

    pub fn count(to: u64) -> impl Stream<Item = u64> {
        stream! {
            for number in 0..to {
                yield number;
            }
        }
    }
}

type Entry = aaw_event::export::HandlerEntry<aaw_event::export::NoServices>;

aaw_event::__package!(
    "cost",
    "cost",
    aaw_event::export::NoServices,
    aaw_event::export::sync_services(aaw_event::export::no_services),
    [
        crate::Entry::streaming1("count", crate::events::count),
        crate::Entry::unary0("ping", crate::events::ping),
        crate::Entry::one_way0("one_way", crate::events::one_way),
        crate::Entry::unary1("typed", crate::events::typed),
        crate::Entry::unary2("with_services", crate::events::with_services),
    ]
);

struct NullHost;

impl Host for NullHost {
    fn log(&self, record: LogRecord<'_>) {
        eprintln!("{}", record.message);
    }

    fn max_level(&self) -> LevelFilter {
        LevelFilter::WARN
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

/// The calls, or the items, that are polled together.
const BATCH: u32 = 32;

/// Takes [`BATCH`] items per poll.
struct Batch {
    out: Vec<u8>,
    items: u32,
}

impl ItemSink for Batch {
    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    fn end_item(&mut self, _: usize) -> bool {
        self.items += 1;
        self.items < BATCH
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // SAFETY: the header of this build, which is never unloaded.
    let loaded = unsafe { Module::loaded(__aaw::PACKAGE.header()) }.expect("the table is valid");
    for (how, module) in [("linked", module()), ("loaded", loaded)] {
        let instance = module.start(Arc::new(NullHost)).await.expect("there are no services to build");
        for (index, event) in module.events().iter().enumerate() {
            let instance = instance.clone();
            let (name, is_stream) = (event.name.clone(), event.kind == HandlerKind::Streaming);
            // On a separate thread: a loaded package polls inside its own runtime, which here is of the same tokio as
            // `main`, and runtimes must not be nested.
            let measure = move || {
                let caller = Arc::new(NullHost);
                let mut out = Vec::with_capacity(1024);
                let mut best = f64::MAX;
                for _ in 0..20 {
                    const CALLS: u32 = 100_000;
                    let cx = &mut Context::from_waker(Waker::noop());
                    let start = Instant::now();
                    if is_stream {
                        let mut call = instance.call(index, &CALLS.to_string(), &caller);
                        for _ in 0..CALLS / BATCH {
                            let mut batch = Batch { out: std::mem::take(&mut out), items: 0 };
                            black_box(call.poll_items(cx, &mut batch, usize::MAX));
                            out = batch.out;
                            out.clear();
                        }
                    } else {
                        for _ in 0..CALLS / BATCH {
                            instance.within_runtime(|| {
                                for _ in 0..BATCH {
                                    out.clear();
                                    let body = black_box(r#"{"id":17}"#);
                                    black_box(instance.run(index, body, &caller, cx, &mut out, usize::MAX));
                                }
                            });
                        }
                    }
                    best = best.min(start.elapsed().as_nanos() as f64 / f64::from(CALLS));
                }
                println!("{how} {name}: {best:.0} ns{}", if is_stream { " per item" } else { "" });
            };
            std::thread::spawn(measure).join().expect("the measurement panicked");
        }
    }
}
