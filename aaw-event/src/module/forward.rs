//! Forwards a loaded package's `tracing` and `log` records, and its panics, to the host.
//!
//! A library has its own statics, so its records do not reach the subscriber of the host. Without this they are lost.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once, PoisonError, RwLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::abi::{Bytes, RawHost};
use crate::catch_panic::record_panic;

/// The hosts of this library's instances. The newest receives the records: there are several only in tests, and while
/// one instance replaces another.
static HOSTS: RwLock<Vec<Arc<HostHandle>>> = RwLock::new(Vec::new());

/// The most verbose level that the newest host wants, as the ABI's number.
static MAX_LEVEL: AtomicU32 = AtomicU32::new(0);

/// Forwards records to the host while it lives.
pub(super) struct LogForwarding(Arc<HostHandle>);

impl LogForwarding {
    /// # Safety
    /// The host is alive during this call.
    pub(super) unsafe fn to(host: RawHost) -> Self {
        // SAFETY: alive, as the caller guarantees.
        unsafe { ((*host.vtable).retain)(host.ctx) };
        let host = Arc::new(HostHandle(host));
        MAX_LEVEL.store(host.max_level(), Ordering::Relaxed);
        HOSTS.write().unwrap_or_else(PoisonError::into_inner).push(host.clone());
        install();
        Self(host)
    }
}

impl Drop for LogForwarding {
    fn drop(&mut self) {
        HOSTS.write().unwrap_or_else(PoisonError::into_inner).retain(|host| !Arc::ptr_eq(host, &self.0));
    }
}

/// Retained for as long as this lives.
struct HostHandle(RawHost);

// SAFETY: the ABI lets any thread call the functions of a `HostVtable`.
unsafe impl Send for HostHandle {}
// SAFETY: the ABI lets several threads call them at once.
unsafe impl Sync for HostHandle {}

impl HostHandle {
    fn log(&self, level: u32, target: &str, message: &str) {
        // SAFETY: retained; the texts outlive the call.
        unsafe { ((*self.0.vtable).log)(self.0.ctx, level, Bytes::of(target), Bytes::of(message)) }
    }

    fn max_level(&self) -> u32 {
        // SAFETY: retained.
        unsafe { ((*self.0.vtable).max_level)(self.0.ctx) }
    }
}

impl Drop for HostHandle {
    fn drop(&mut self) {
        // SAFETY: releases the count that `LogForwarding::to` took, once.
        unsafe { ((*self.0.vtable).release)(self.0.ctx) }
    }
}

fn forward(level: u32, target: &str, message: &str) {
    // The lock is not held while the host logs.
    let host = HOSTS.read().unwrap_or_else(PoisonError::into_inner).last().cloned();
    if let Some(host) = host {
        host.log(level, target, message);
    }
}

fn is_wanted(level: u32) -> bool {
    level <= MAX_LEVEL.load(Ordering::Relaxed)
}

/// Installs the subscriber, the logger and the panic hook, once per library. A subscriber or logger that the author has
/// installed before stays.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = tracing::subscriber::set_global_default(Registry::default().with(ForwardingLayer));
        let _ = log::set_logger(&ForwardingLayer);
        std::panic::set_hook(Box::new(|info| {
            // A panic of a call is reported to the host as the call's result. A panic of a thread or task is reported
            // here.
            if let Err(text) = record_panic(info) {
                forward(1, "panic", &format!("a thread or task of the events package panicked: {text}"));
            }
        }));
    });
    let level = match MAX_LEVEL.load(Ordering::Relaxed) {
        0 => log::LevelFilter::Off,
        1 => log::LevelFilter::Error,
        2 => log::LevelFilter::Warn,
        3 => log::LevelFilter::Info,
        4 => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    };
    log::set_max_level(level);
    // Callsites have cached their interest for the level of an earlier host.
    tracing::callsite::rebuild_interest_cache();
}

struct ForwardingLayer;

fn number_of(level: Level) -> u32 {
    crate::host::level_number(level)
}

impl log::Log for ForwardingLayer {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        is_wanted(metadata.level() as u32)
    }

    fn log(&self, record: &log::Record<'_>) {
        if is_wanted(record.level() as u32) {
            forward(record.level() as u32, record.target(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ForwardingLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_wanted(number_of(*metadata.level()))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = RecordedFields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<RecordedFields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut text = String::new();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            text.push_str(span.name());
            if let Some(fields) = span.extensions().get::<RecordedFields>()
                && !fields.pairs.is_empty()
            {
                let _ = write!(text, "{{{}}}", fields.pairs);
            }
            text.push_str(": ");
        }
        let mut fields = RecordedFields::default();
        event.record(&mut fields);
        text.push_str(&fields.message);
        if !fields.message.is_empty() && !fields.pairs.is_empty() {
            text.push(' ');
        }
        text.push_str(&fields.pairs);
        forward(number_of(*event.metadata().level()), event.metadata().target(), &text);
    }
}

/// Fields as text: `message` separately, the others as `name=value`.
#[derive(Default)]
struct RecordedFields {
    message: String,
    pairs: String,
}

impl RecordedFields {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == "message" {
            let _ = self.message.write_fmt(value);
        } else {
            let space = if self.pairs.is_empty() { "" } else { " " };
            let _ = write!(self.pairs, "{space}{}={value}", field.name());
        }
    }
}

impl Visit for RecordedFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.add(field, format_args!("{value}"));
        } else {
            self.add(field, format_args!("{value:?}"));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, format_args!("{value}"));
    }
}
