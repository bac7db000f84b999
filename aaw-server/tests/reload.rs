//! Reloading while events are called. A binary of its own, since it counts the file descriptors of the process.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fixture;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aaw_event::Module;
use aaw_event::host::Instance;
use aaw_server::modules::open;
use arc_swap::ArcSwap;
use fixture::{call, start, stock_library};

const RELOADS: usize = 100;
const CALLERS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_lose_no_call_and_leak_no_file_descriptor() {
    let path = stock_library().await;
    let load = async || {
        let path = path.clone();
        let module = tokio::task::spawn_blocking(move || open(&path).unwrap()).await.unwrap();
        let instance = start(&module).await;
        (module, instance)
    };
    // Whatever is opened once and for all is open after this.
    let (module, instance) = load().await;
    call(&module, &instance, "ping", "").await;
    drop((module, instance));
    let before = settled_descriptors(usize::MAX);

    let current: Arc<ArcSwap<(Module, Instance)>> = Arc::new(ArcSwap::from_pointee(load().await));
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers = (0..CALLERS).map(|caller| {
        let (current, stop, answered) = (current.clone(), stop.clone(), answered.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let now = current.load_full();
                let body = format!("[{caller}]");
                assert_eq!(call(&now.0, &now.1, "echo", &body).await, body);
                answered.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    for _ in 0..RELOADS {
        let so_far = answered.load(Ordering::Relaxed);
        current.store(Arc::new(load().await));
        while answered.load(Ordering::Relaxed) < so_far + CALLERS {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    drop(current);
    assert!(answered.load(Ordering::Relaxed) >= RELOADS * CALLERS);
    if let (Some(before), Some(after)) = (before, settled_descriptors(before.unwrap_or(0))) {
        assert!(after <= before, "{before} file descriptors before, {after} after");
    }
}

/// How many are open, once they are no more than expected: a package that was stopped closes its own on a thread that
/// nobody can wait for. `None` where nobody can tell.
fn settled_descriptors(expected: usize) -> Option<usize> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
        if open <= expected || Instant::now() > deadline {
            return Some(open);
        }
        std::thread::yield_now();
    }
}
