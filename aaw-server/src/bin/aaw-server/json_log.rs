//! `--log json`: one line a call on standard output, written at once.
//!
//! A thread of its own writes, so that a reader of the pipe who stops reading does not stop the server: what it cannot
//! take is counted, and the count is logged.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use aaw_server::CallRecord;

/// Lines that wait for the reader of the pipe, at most,
const MOST_LINES: usize = 8192;

/// and their bytes: a line holds a body and a result.
const MOST_BYTES: usize = 16 << 20;

/// How long the end of the program waits for a reader that does not read.
const PATIENCE: Duration = Duration::from_secs(2);

enum Entry {
    Line(Vec<u8>),
    /// There will be no more that anybody waits for.
    End,
}

/// Where calls are handed in.
pub(crate) struct JsonLog {
    lines: SyncSender<Entry>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    waiting_bytes: AtomicUsize,
    lost: AtomicU64,
}

/// The thread that writes.
pub(crate) struct Writer {
    lines: SyncSender<Entry>,
    thread: JoinHandle<()>,
    done: Receiver<()>,
}

/// Starts the thread.
pub(crate) fn start() -> io::Result<(JsonLog, Writer)> {
    let (sender, lines) = sync_channel(MOST_LINES);
    let (done_sender, done) = sync_channel(1);
    let counts = Arc::<Counts>::default();
    let log = JsonLog { lines: sender.clone(), counts: Arc::clone(&counts) };
    let thread = std::thread::Builder::new().name("json-log".into()).spawn(move || {
        write_lines(&lines, &counts);
        // Nobody may wait for it.
        let _ = done_sender.send(());
    })?;
    Ok((log, Writer { lines: sender, thread, done }))
}

impl JsonLog {
    /// Hands in a call. Never waits.
    pub(crate) fn write(&self, call: &CallRecord<'_>) {
        let Ok(mut line) = serde_json::to_vec(call) else { return };
        line.push(b'\n');
        let len = line.len();
        let waiting = self.counts.waiting_bytes.fetch_add(len, Ordering::Relaxed);
        if waiting + len > MOST_BYTES || self.lines.try_send(Entry::Line(line)).is_err() {
            self.counts.waiting_bytes.fetch_sub(len, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writer {
    /// Waits until all is written that was handed in, or the reader has had its time.
    pub(crate) fn finish(self) {
        // With no room for the end, the reader has stopped reading, and is not waited for.
        if self.lines.try_send(Entry::End).is_ok() && self.done.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout)
        {
            // It has said its last word.
            let _ = self.thread.join();
        }
    }
}

fn write_lines(lines: &Receiver<Entry>, counts: &Counts) {
    let mut out = io::stdout().lock();
    while let Ok(Entry::Line(line)) = lines.recv() {
        // A closed pipe is no reason to fail a call, and there may be another reader later.
        let _ = out.write_all(&line).and_then(|()| out.flush());
        counts.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
        let lost = counts.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "calls are missing in the log: its reader is too slow");
        }
    }
}
