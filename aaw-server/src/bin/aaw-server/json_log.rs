//! The log of `--log json`: one line of JSON per call on standard output, written at once. `CallRecord` has the fields.
//!
//! A separate thread writes, so that a reader of the pipe that stops reading does not block the server. Lines beyond
//! the limits of the queue are dropped, and their number is logged.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use aaw_server::CallRecord;

/// The maximum number of queued lines.
const MAX_QUEUED_LINES: usize = 8192;

/// The maximum size of the queued lines; a line contains a body and a response.
const MAX_QUEUED_BYTES: usize = 16 << 20;

/// How long the program waits at its end for the queued lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

enum LogEntry {
    Line(Vec<u8>),
    /// The last entry: the thread ends.
    End,
}

/// Queues calls for the log.
pub(crate) struct JsonLog {
    entries: SyncSender<LogEntry>,
    counters: Arc<LogCounters>,
}

#[derive(Default)]
struct LogCounters {
    queued_bytes: AtomicUsize,
    dropped_lines: AtomicU64,
}

/// The thread that writes.
pub(crate) struct LogWriter {
    entries: SyncSender<LogEntry>,
    thread: JoinHandle<()>,
    finished: Receiver<()>,
}

/// Starts the thread.
pub(crate) fn start() -> io::Result<(JsonLog, LogWriter)> {
    let (sender, entries) = sync_channel(MAX_QUEUED_LINES);
    let (finished_sender, finished) = sync_channel(1);
    let counters = Arc::<LogCounters>::default();
    let log = JsonLog { entries: sender.clone(), counters: Arc::clone(&counters) };
    let thread = std::thread::Builder::new().name("json-log".into()).spawn(move || {
        write_lines(&entries, &counters);
        // Fails if the program does not wait any more.
        let _ = finished_sender.send(());
    })?;
    Ok((log, LogWriter { entries: sender, thread, finished }))
}

impl JsonLog {
    /// Queues the line of a call, or drops it if the queue is full. Never blocks.
    pub(crate) fn write(&self, call: &CallRecord<'_>) {
        let Ok(mut line) = serde_json::to_vec(call) else { return };
        line.push(b'\n');
        let len = line.len();
        let queued = self.counters.queued_bytes.fetch_add(len, Ordering::Relaxed);
        if queued + len > MAX_QUEUED_BYTES || self.entries.try_send(LogEntry::Line(line)).is_err() {
            self.counters.queued_bytes.fetch_sub(len, Ordering::Relaxed);
            self.counters.dropped_lines.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl LogWriter {
    /// Waits until all queued lines are written, for up to [`FLUSH_TIMEOUT`].
    pub(crate) fn finish(self) {
        // If the queue is full, the reader has stopped reading, and waiting would be in vain.
        if self.entries.try_send(LogEntry::End).is_ok()
            && self.finished.recv_timeout(FLUSH_TIMEOUT) != Err(RecvTimeoutError::Timeout)
        {
            // The thread has nothing left to do, so this does not block.
            let _ = self.thread.join();
        }
    }
}

fn write_lines(entries: &Receiver<LogEntry>, counters: &LogCounters) {
    let mut out = io::stdout().lock();
    while let Ok(LogEntry::Line(line)) = entries.recv() {
        // Errors are ignored: a closed pipe must not fail calls, and there may be another reader later.
        let _ = out.write_all(&line).and_then(|()| out.flush());
        counters.queued_bytes.fetch_sub(line.len(), Ordering::Relaxed);
        let dropped = counters.dropped_lines.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "calls are missing from the JSON log: the reader of standard output is too slow");
        }
    }
}
