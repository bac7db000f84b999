//! What modules log, in our log.

use aaw_event::host::{Host, LogRecord};
use tracing::level_filters::LevelFilter;

/// Takes the log records of modules over into our own log.
pub(crate) struct ModuleLog;

impl Host for ModuleLog {
    fn log(&self, record: LogRecord<'_>) {
        let LogRecord { level, target, message, package, .. } = record;
        // The level of an event is part of its static description, so there is one description a level.
        macro_rules! log {
            ($level:ident) => {
                tracing::event!(target: "aaw::module", tracing::Level::$level, package, "{target}: {message}")
            };
        }
        match level {
            tracing::Level::ERROR => log!(ERROR),
            tracing::Level::WARN => log!(WARN),
            tracing::Level::INFO => log!(INFO),
            tracing::Level::DEBUG => log!(DEBUG),
            tracing::Level::TRACE => log!(TRACE),
        }
    }

    fn max_level(&self) -> LevelFilter {
        LevelFilter::current()
    }
}
