//! The log on standard error. One message is one line, and a failed or stuck output blocks nothing; see [`line_writer`].

use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;

use tracing::field::{Field, Visit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::{RecordFields, VisitOutput as _};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::reload;

use crate::line_writer::{self, LineQueue, LineWriter};
use crate::settings::{LogFormat, SetLogLevel};

/// Starts the thread that writes to standard error.
pub(crate) fn stderr() -> io::Result<(LineQueue, LineWriter)> {
    // Without the buffer and the lock of `io::stderr`, which a stuck write would hold.
    let output = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    line_writer::start("log", output, |lost| {
        tracing::warn!(lost, "log lines are missing: standard error failed, or its reader is too slow");
    })
}

/// Starts to log to standard error. Returns a function that sets another level.
///
/// # Errors
/// If the level is invalid.
pub(crate) fn start(format: LogFormat, level: &str, stderr: &LineQueue) -> Result<SetLogLevel, ParseError> {
    log_panics(stderr.clone());
    let filter = EnvFilter::builder().parse(level)?;
    let subscriber = tracing_subscriber::fmt().with_writer(LogOutput(stderr.clone())).with_env_filter(filter);
    Ok(match format {
        LogFormat::Pretty => {
            let is_terminal = io::stderr().is_terminal();
            let subscriber = subscriber.fmt_fields(PrettyFields).with_target(false).with_ansi(is_terminal);
            let subscriber = subscriber.with_filter_reloading();
            let set_level = set_level(subscriber.reload_handle());
            subscriber.init();
            set_level
        }
        LogFormat::Json => {
            // Without the current span, since it is the last in the list of spans.
            let subscriber = subscriber.json().flatten_event(true).with_current_span(false).with_filter_reloading();
            let set_level = set_level(subscriber.reload_handle());
            subscriber.init();
            set_level
        }
        LogFormat::Off => Box::new(|_| Ok(())),
    })
}

fn set_level<S: 'static>(filter: reload::Handle<EnvFilter, S>) -> SetLogLevel {
    Box::new(move |level| {
        let new = EnvFilter::builder().parse(level).map_err(|error| error.to_string())?;
        filter.reload(new).map_err(|error| error.to_string())
    })
}

/// Logs panics of this program in place of the standard library's hook, which writes to standard error itself, and so can
/// block. Panics of handlers in libraries are reported with their calls.
fn log_panics(stderr: LineQueue) {
    std::panic::set_hook(Box::new(move |info| {
        let backtrace = Backtrace::capture();
        tracing::error!("{info}");
        if backtrace.status() == BacktraceStatus::Captured {
            stderr.push(format!("{backtrace}\n").into());
        }
    }));
}

/// Queues each message as one line.
struct LogOutput(LineQueue);

impl<'a> MakeWriter<'a> for LogOutput {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine(&self.0)
    }
}

/// Receives one message, in one write.
struct LogLine<'a>(&'a LineQueue);

impl Write for LogLine<'_> {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        self.0.push(to_line(message));
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Escapes the line breaks within a message. Texts of panics and of clients have them, and could imitate further
/// messages.
fn to_line(message: &[u8]) -> Vec<u8> {
    let text = message.strip_suffix(b"\n").unwrap_or(message);
    let mut line = Vec::with_capacity(text.len() + 1);
    for &byte in text {
        match byte {
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            _ => line.push(byte),
        }
    }
    line.push(b'\n');
    line
}

/// The fields of the spans of connections and calls that are left out of the pretty log: they are for tracing systems,
/// or the line "connected" has them.
const HIDDEN_FIELDS: [&str; 7] = [
    "otel.kind",
    "otel.name",
    "rpc.system",
    "network.protocol.name",
    "network.peer.port",
    "aaw.dialect",
    "aaw.client_key",
];

/// The default format of fields, without [`HIDDEN_FIELDS`].
struct PrettyFields;

impl<'w> FormatFields<'w> for PrettyFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = PrettyVisitor(DefaultVisitor::new(writer, true));
        fields.record(&mut visitor);
        visitor.0.finish()
    }
}

struct PrettyVisitor<'a>(DefaultVisitor<'a>);

fn is_shown(field: &Field) -> bool {
    !HIDDEN_FIELDS.contains(&field.name())
}

impl Visit for PrettyVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if is_shown(field) {
            self.0.record_debug(field, value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if is_shown(field) {
            self.0.record_str(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        if is_shown(field) {
            self.0.record_error(field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        let line = |message: &str| String::from_utf8(to_line(message.as_bytes())).unwrap();
        assert_eq!(line("a\n"), "a\n");
        assert_eq!(line("a\r\nb\n\n"), "a\\r\\nb\\n\n");
        assert_eq!(line("\u{1b}[32mä\u{1b}[0m\n"), "\u{1b}[32mä\u{1b}[0m\n");
    }
}
