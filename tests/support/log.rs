//! What is logged.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::sync::Once;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::until;

thread_local! {
    /// `None` while no [`LogCapture`] lives on this thread.
    static LOGGED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Captures what is logged on the current thread, which is all logging in a test with a current-thread runtime.
///
/// All tests of a binary share one subscriber. A subscriber per test would be simpler, but tracing caches for the whole
/// process which call sites are enabled, and loses lines while subscribers are added and removed in parallel. The tests
/// that do not capture pay nothing for spans and lines.
pub struct LogCapture {
    /// Not `Send`: the captured lines are thread-local.
    _not_send: PhantomData<*const ()>,
}

impl LogCapture {
    /// Starts to capture, from level `debug` up, until the returned value is dropped.
    #[must_use]
    pub fn start() -> Self {
        static SUBSCRIBE: Once = Once::new();
        SUBSCRIBE.call_once(|| {
            let is_captured = || LOGGED.try_with(|logged| logged.borrow().is_some()).unwrap_or(false);
            let filter = dynamic_filter_fn(move |of, _| *of.level() <= Level::DEBUG && is_captured());
            let lines = fmt::layer().with_ansi(false).with_writer(ThreadLogWriter);
            tracing_subscriber::registry().with(filter.with_max_level_hint(LevelFilter::DEBUG)).with(lines).init();
        });
        LOGGED.set(Some(Vec::new()));
        Self { _not_send: PhantomData }
    }

    /// Returns everything logged so far.
    pub fn text(&self) -> String {
        LOGGED.with_borrow(|logged| String::from_utf8_lossy(logged.as_deref().unwrap_or_default()).into_owned())
    }

    /// Checks that one line contains all of `words`.
    ///
    /// # Panics
    /// If none does.
    #[track_caller]
    pub fn expect_line(&self, words: &[&str]) {
        let text = self.text();
        assert!(text.lines().any(|line| words.iter().all(|word| line.contains(word))), "no {words:?} in:\n{text}");
    }

    /// Waits for a line that ends with `message`, and returns it.
    ///
    /// # Panics
    /// If there is none within the deadline.
    pub async fn line(&self, message: &str) -> String {
        let mut found = None;
        until(&format!("{message:?} in the log"), || {
            found = self.text().lines().find(|line| line.ends_with(message)).map(str::to_owned);
            found.is_some()
        })
        .await;
        found.unwrap_or_default()
    }
}

impl Drop for LogCapture {
    fn drop(&mut self) {
        LOGGED.set(None);
    }
}

/// Appends to the [`LogCapture`] of the thread that logs; discards the line if there is none.
struct ThreadLogWriter;

impl io::Write for ThreadLogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.as_mut().map(|logged| logged.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for ThreadLogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}
