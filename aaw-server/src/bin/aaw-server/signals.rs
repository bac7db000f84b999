//! SIGINT and SIGTERM, on a thread of their own: they are handled also while every thread of the runtime is blocked by a
//! handler. SIGHUP, if there is a settings file to read again; otherwise it ends the process, as when its terminal is closed.

use std::io;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::{Notify, oneshot};

/// The shortest time that a stop is given.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns a future that completes at the first SIGINT or SIGTERM. `timeout` after that, the process is ended with code 1 if
/// it still runs: handlers that block their threads can prevent everything else. A second signal ends it at once. SIGHUP
/// notifies `reload`, if that is given.
///
/// # Errors
/// If the system cannot start a thread, or the signals cannot be handled.
pub(crate) fn shutdown(
    timeout: Arc<Mutex<Duration>>,
    reload: Option<Arc<Notify>>,
) -> io::Result<impl Future<Output = ()>> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    if reload.is_some() {
        signals.add_signal(SIGHUP)?;
    }
    let (sender, first) = oneshot::channel();
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut stops = signals.forever().filter(|signal| {
            if let (SIGHUP, Some(reload)) = (*signal, &reload) {
                reload.notify_one();
            }
            *signal != SIGHUP
        });
        if stops.next().is_none() {
            return;
        }
        let timeout = *timeout.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = thread::Builder::new().name("deadline".into()).spawn(move || {
            thread::sleep(timeout.max(MIN_TIMEOUT));
            process::exit(1);
        });
        // Fails if the program is ending already.
        let _ = sender.send(());
        if let Some(signal) = stops.next() {
            // By the convention of shells.
            process::exit(128 + signal);
        }
    })?;
    Ok(async {
        // The thread drops the sender only after the signal.
        let _ = first.await;
    })
}
