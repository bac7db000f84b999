//! What is logged.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::sync::Once;

use tracing_subscriber::fmt::MakeWriter;

thread_local! {
    static LINES: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Keeps what is logged on this thread, which is all of a test whose runtime has one thread.
///
/// One subscriber serves all tests of a program. One for each would be simpler, but tracing decides for all threads at
/// once which places in the code log at all, and while subscribers come and go in parallel, lines are lost.
pub struct Log {
    /// It is of this thread.
    _here: PhantomData<*const ()>,
}

impl Log {
    /// From now on, from level `debug`.
    #[must_use]
    pub fn keep() -> Self {
        static SUBSCRIBE: Once = Once::new();
        SUBSCRIBE.call_once(|| {
            let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false);
            subscriber.with_writer(Here).init();
        });
        LINES.set(Some(Vec::new()));
        Self { _here: PhantomData }
    }

    /// All lines so far.
    pub fn text(&self) -> String {
        LINES.with_borrow(|lines| String::from_utf8_lossy(lines.as_deref().unwrap_or_default()).into_owned())
    }

    /// A line holds all of these.
    ///
    /// # Panics
    /// If none does.
    #[track_caller]
    pub fn says(&self, words: &[&str]) {
        let text = self.text();
        assert!(text.lines().any(|line| words.iter().all(|word| line.contains(word))), "no {words:?} in:\n{text}");
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        LINES.set(None);
    }
}

/// Writes to whoever keeps the lines of this thread.
struct Here;

impl io::Write for Here {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.as_mut().map(|lines| lines.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Here {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}
