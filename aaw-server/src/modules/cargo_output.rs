//! Passes cargo's messages for people on to standard error.
//!
//! A terminal is inherited by cargo, which then has colours and a progress bar. Anything else may be a full disk, a closed
//! pipe or a pipe that is not read, at which cargo would fail or hang: its messages are then copied by a thread of this
//! process, and are lost if they cannot be written.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::oneshot;

/// The maximum number of queued chunks, each of at most [`CHUNK_BYTES`].
const MAX_QUEUED_CHUNKS: usize = 256;

const CHUNK_BYTES: usize = 8 << 10;

/// How long the end of a build waits for its messages to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

enum Entry {
    Chunk(Vec<u8>),
    /// All chunks before it are written.
    Flush(oneshot::Sender<()>),
}

/// What cargo's standard error should be.
pub(super) fn stdio() -> Stdio {
    if io::stderr().is_terminal() { Stdio::inherit() } else { Stdio::piped() }
}

/// Copies what cargo writes, until it closes its standard error, and waits for up to [`FLUSH_TIMEOUT`] until all of it is
/// written.
pub(super) async fn copy(mut stderr: impl AsyncRead + Unpin) {
    let Some(entries) = writer() else { return };
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(len @ 1..) = stderr.read(&mut chunk).await {
        // A full queue means that nothing is written any more.
        let _ = entries.try_send(Entry::Chunk(chunk[..len].to_vec()));
    }
    let (sender, written) = oneshot::channel();
    if entries.try_send(Entry::Flush(sender)).is_ok() {
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, written).await;
    }
}

/// The queue of the thread that writes. It is one for all builds, since a stuck write never ends.
fn writer() -> Option<&'static SyncSender<Entry>> {
    static WRITER: OnceLock<Option<SyncSender<Entry>>> = OnceLock::new();
    let start = || {
        let (sender, entries) = sync_channel(MAX_QUEUED_CHUNKS);
        std::thread::Builder::new().name("cargo-output".into()).spawn(move || write(&entries)).ok()?;
        Some(sender)
    };
    WRITER.get_or_init(start).as_ref()
}

fn write(entries: &Receiver<Entry>) {
    while let Ok(entry) = entries.recv() {
        match entry {
            Entry::Chunk(chunk) => {
                let _ = io::stderr().write_all(&chunk);
            }
            Entry::Flush(written) => {
                let _ = written.send(());
            }
        }
    }
}
