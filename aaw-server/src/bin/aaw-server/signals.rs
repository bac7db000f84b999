//! SIGINT and SIGTERM, on a thread of their own: they are handled also while every thread of the runtime is blocked by a
//! handler.

use std::io;
use std::process;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::oneshot;

/// The shortest time that a stop is given.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns a future that completes at the first signal. `timeout` after that, the process is ended with code 1 if it still
/// runs: handlers that block their threads can prevent everything else. A second signal ends it at once.
///
/// # Errors
/// If the system cannot start a thread, or the signals cannot be handled.
pub(crate) fn shutdown(timeout: Duration) -> io::Result<impl Future<Output = ()>> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (sender, first) = oneshot::channel();
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut received = signals.forever();
        if received.next().is_none() {
            return;
        }
        let _ = thread::Builder::new().name("deadline".into()).spawn(move || {
            thread::sleep(timeout.max(MIN_TIMEOUT));
            process::exit(1);
        });
        // Fails if the program is ending already.
        let _ = sender.send(());
        if let Some(signal) = received.next() {
            // By the convention of shells.
            process::exit(128 + signal);
        }
    })?;
    Ok(async {
        // The thread drops the sender only after the signal.
        let _ = first.await;
    })
}
