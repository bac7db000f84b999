//! The log on standard error.

use std::error::Error;
use std::fmt;
use std::io;

use tracing::field::{Field, Visit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::{RecordFields, VisitOutput as _};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

use crate::cli::LogFormat;

/// Starts to log to standard error. `RUST_LOG` sets the level; the default is `info`.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(filter);
    match format {
        LogFormat::Pretty => {
            let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
            subscriber.fmt_fields(PrettyFields).with_target(false).with_ansi(is_terminal).init();
        }
        // Without the current span, since it is the last in the list of spans.
        LogFormat::Json => subscriber.json().flatten_event(true).with_current_span(false).init(),
        LogFormat::Off => {}
    }
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
