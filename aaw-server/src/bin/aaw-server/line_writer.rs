//! Writes lines to an output that may be slow, stuck or gone, without ever blocking the caller.
//!
//! A thread of its own writes. It is handed the lines through a queue with two limits; a line beyond them, or one whose
//! write fails, is lost and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The maximum number of queued lines.
const MAX_QUEUED_LINES: usize = 8192;

/// The maximum size of the queued lines.
const MAX_QUEUED_BYTES: usize = 16 << 20;

/// How long the program waits at its end for the queued lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

enum Entry {
    Line(Vec<u8>),
    /// The last entry: the thread ends.
    End,
}

/// Queues lines. Clones share the queue.
#[derive(Clone)]
pub(crate) struct LineQueue {
    entries: SyncSender<Entry>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    queued_bytes: AtomicUsize,
    lost_lines: AtomicU64,
}

/// The thread that writes.
pub(crate) struct LineWriter {
    queue: LineQueue,
    thread: JoinHandle<()>,
    finished: Receiver<()>,
}

/// Starts the thread. The output must not buffer.
///
/// After lines were lost, `report` receives their number as soon as a write succeeds again.
///
/// # Errors
/// If the system cannot start a thread.
pub(crate) fn start(
    name: &str,
    output: impl Write + Send + 'static,
    report: impl Fn(u64) + Send + 'static,
) -> io::Result<(LineQueue, LineWriter)> {
    let (sender, entries) = sync_channel(MAX_QUEUED_LINES);
    let (finished_sender, finished) = sync_channel(1);
    let queue = LineQueue { entries: sender, counters: Arc::default() };
    let counters = Arc::clone(&queue.counters);
    let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
        write_lines(&entries, output, &counters, report);
        // Fails if the program does not wait any more.
        let _ = finished_sender.send(());
    })?;
    Ok((queue.clone(), LineWriter { queue, thread, finished }))
}

impl LineQueue {
    /// Queues a line, which ends with a line break; or counts it as lost if the queue is full. Never blocks.
    pub(crate) fn push(&self, line: Vec<u8>) {
        let len = line.len();
        let queued = self.counters.queued_bytes.fetch_add(len, Ordering::Relaxed);
        if queued + len > MAX_QUEUED_BYTES || self.entries.try_send(Entry::Line(line)).is_err() {
            self.counters.queued_bytes.fetch_sub(len, Ordering::Relaxed);
            self.counters.lost_lines.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl LineWriter {
    /// Waits until all queued lines are written, for up to [`FLUSH_TIMEOUT`].
    pub(crate) fn finish(self) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        // A full queue may become shorter: the channel has no call that waits for that with a timeout.
        while self.queue.entries.try_send(Entry::End).is_err() {
            if Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if self.finished.recv_timeout(left) != Err(RecvTimeoutError::Timeout) {
            // The thread has nothing left to do, so this does not block.
            let _ = self.thread.join();
        }
    }
}

fn write_lines(entries: &Receiver<Entry>, mut output: impl Write, counters: &Counters, report: impl Fn(u64)) {
    // Whether the last line was written in part.
    let mut is_torn = false;
    while let Ok(Entry::Line(line)) = entries.recv() {
        if is_torn && output.write_all(b"\n").is_ok() {
            is_torn = false;
        }
        // A full disk or a closed pipe must not end the program, and there may be space or a reader later.
        let written = if is_torn { 0 } else { write_counted(&mut output, &line) };
        counters.queued_bytes.fetch_sub(line.len(), Ordering::Relaxed);
        if written < line.len() {
            is_torn |= written > 0;
            counters.lost_lines.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let lost = counters.lost_lines.swap(0, Ordering::Relaxed);
        if lost > 0 {
            report(lost);
        }
    }
}

/// Writes a line, and returns how much of it was written: all of it, unless the output fails.
fn write_counted(output: &mut impl Write, line: &[u8]) -> usize {
    let mut written = 0;
    while written < line.len() {
        match output.write(&line[written..]) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Sends each write to the test. A write waits until the test permits it, up to a number of bytes, or lets it fail;
    /// once the test has dropped the sender of permits, every write succeeds.
    struct Output {
        writes: Sender<String>,
        permits: Receiver<io::Result<usize>>,
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = self.permits.recv().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            let _ = self.writes.send(String::from_utf8_lossy(&bytes[..len]).into_owned());
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Started {
        queue: LineQueue,
        writer: LineWriter,
        writes: Receiver<String>,
        permits: Sender<io::Result<usize>>,
        reports: Arc<Mutex<Vec<u64>>>,
    }

    fn start_test() -> Started {
        let (writes_sender, writes) = channel();
        let (permits, permits_receiver) = channel();
        let reports = Arc::<Mutex<Vec<u64>>>::default();
        let reported = Arc::clone(&reports);
        let output = Output { writes: writes_sender, permits: permits_receiver };
        let (queue, writer) = start("test", output, move |lost| reported.lock().unwrap().push(lost)).unwrap();
        Started { queue, writer, writes, permits, reports }
    }

    #[test]
    fn a_stuck_output_blocks_nobody_and_the_lines_beyond_the_limit_are_counted() {
        let Started { queue, writer, writes, permits, reports } = start_test();
        for line in 0..MAX_QUEUED_LINES + 11 {
            queue.push(format!("{line}\n").into());
        }
        // The thread may have taken the first line out of the queue.
        let lost = queue.counters.lost_lines.load(Ordering::Relaxed);
        assert!((10..=11).contains(&lost), "{lost}");
        drop(permits);
        let accepted = MAX_QUEUED_LINES + 11 - lost as usize;
        assert_eq!(writes.recv().unwrap(), "0\n");
        assert_eq!(writes.iter().take(accepted - 1).count(), accepted - 1);
        writer.finish();
        assert_eq!(*reports.lock().unwrap(), [lost]);
    }

    #[test]
    fn large_lines_are_limited_by_their_size() {
        let Started { queue, writer, writes, permits, reports } = start_test();
        for _ in 0..20 {
            queue.push(vec![b'x'; 1 << 20]);
        }
        drop(permits);
        writer.finish();
        assert_eq!(writes.try_iter().count(), 16);
        assert_eq!(*reports.lock().unwrap(), [4]);
    }

    #[test]
    fn a_failed_write_is_counted_and_the_next_one_is_tried() {
        let Started { queue, writer, writes, permits, reports } = start_test();
        for _ in 0..2 {
            permits.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        }
        drop(permits);
        for line in ["a\n", "b\n", "c\n", "d\n"] {
            queue.push(line.into());
        }
        writer.finish();
        assert_eq!(writes.try_iter().collect::<String>(), "c\nd\n");
        assert_eq!(*reports.lock().unwrap(), [2]);
    }

    #[test]
    fn a_line_that_was_written_in_part_is_ended_before_the_next() {
        let Started { queue, writer, writes, permits, reports } = start_test();
        permits.send(Ok(3)).unwrap();
        permits.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        drop(permits);
        queue.push("abcdef\n".into());
        queue.push("g\n".into());
        writer.finish();
        assert_eq!(writes.try_iter().collect::<String>(), "abc\ng\n");
        assert_eq!(*reports.lock().unwrap(), [1]);
    }
}
