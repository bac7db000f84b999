//! Reloads events while they are called. A separate binary, since it counts the file descriptors of the process.

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
use fixture::{built_library, call, start};

const RELOADS: usize = 100;
const CALLERS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloading_loses_no_calls_and_leaks_no_file_descriptors() {
    let path = built_library().await;
    let load = async || {
        let path = path.clone();
        let module = tokio::task::spawn_blocking(move || open(&path).unwrap()).await.unwrap();
        let instance = start(&module).await;
        (module, instance)
    };
    // Opens everything that stays open for the lifetime of the process.
    let (module, instance) = load().await;
    call(&module, &instance, "ping", "").await;
    drop((module, instance));
    let before = settled_descriptors(usize::MAX);

    let current: Arc<ArcSwap<(Module, Instance)>> = Arc::new(ArcSwap::from_pointee(load().await));
    let (stop, completed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers = (0..CALLERS).map(|caller| {
        let (current, stop, completed) = (current.clone(), stop.clone(), completed.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let loaded = current.load_full();
                let body = format!("[{caller}]");
                assert_eq!(call(&loaded.0, &loaded.1, "echo", &body).await, body);
                completed.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    for _ in 0..RELOADS {
        let before_reload = completed.load(Ordering::Relaxed);
        current.store(Arc::new(load().await));
        while completed.load(Ordering::Relaxed) < before_reload + CALLERS {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    drop(current);
    assert!(completed.load(Ordering::Relaxed) >= RELOADS * CALLERS);
    if let (Some(before), Some(after)) = (before, settled_descriptors(before.unwrap_or(0))) {
        assert!(after <= before, "{before} file descriptors before, {after} after");
    }
}

/// Returns the number of open file descriptors, once it is no larger than expected: a stopped package closes its own on
/// a thread that cannot be joined. `None` on systems without `/proc`.
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
