//! The log on standard error.

use std::io;

use aaw_server::CallRecord;
use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts to log to standard error. `RUST_LOG` sets the level; the default is `info`.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(filter);
    match format {
        LogFormat::Pretty => {
            let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
            subscriber.with_target(false).with_ansi(is_terminal).init();
        }
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
        LogFormat::Off => {}
    }
}

/// Logs a finished call at the level `debug`.
pub(crate) fn log_call(call: &CallRecord<'_>) {
    let ms = call.elapsed.as_secs_f64() * 1e3;
    // The name of an unknown event is arbitrary text of the client, and its failure repeats it.
    let on_one_line = |text: &str| text.replace(char::is_control, " ");
    let event = on_one_line(call.event);
    match call.result {
        Ok(_) => tracing::debug!(connection = %call.connection, "{event} {ms:.1} ms"),
        Err(failure) => {
            let failure = on_one_line(&failure.to_string());
            tracing::debug!(connection = %call.connection, "{event} {ms:.1} ms: {failure}");
        }
    }
}
