//! What a package can ask of its host as a whole: to keep its logs.

use std::ffi::c_void;
use std::sync::Arc;

use tracing::Level;
use tracing::level_filters::LevelFilter;

use crate::abi::{Bytes, HostVtable, RawHost};
use crate::contain::contained;

/// Whoever runs packages.
///
/// Only a package that was loaded as a library uses this: it has `tracing` and `log` of its own and forwards what they
/// record. What a linked package records is in the program's own subscriber already.
pub trait Host: Send + Sync + 'static {
    /// Keeps one record. Called from any thread, often within a call's poll: it should be quick.
    fn log(&self, record: LogRecord<'_>);

    /// The most verbose level that is worth forwarding. Asked once, when the package starts.
    fn max_level(&self) -> LevelFilter;
}

/// One record of a package's `tracing` or `log`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LogRecord<'a> {
    /// How grave it is.
    pub level: Level,
    /// Where it comes from: a module's path, as a rule.
    pub target: &'a str,
    /// What it says: the spans it lies in with their fields, the message, the fields.
    pub message: &'a str,
    /// The package's name.
    pub package: &'a str,
}

/// A [`Host`] as one package sees it.
pub(super) struct HostOf {
    pub(super) host: Arc<dyn Host>,
    pub(super) package: &'static str,
}

static VTABLE: HostVtable = HostVtable { size: size_of::<HostVtable>(), retain, release, log, max_level };

/// Borrowed: who keeps it calls `retain`.
pub(super) fn raw(host: &Arc<HostOf>) -> RawHost {
    RawHost { ctx: Arc::as_ptr(host).cast(), vtable: &VTABLE }
}

unsafe extern "C" fn retain(ctx: *const c_void) {
    // SAFETY: `ctx` came from `raw`, and whoever calls holds it.
    unsafe { Arc::increment_strong_count(ctx.cast::<HostOf>()) }
}

unsafe extern "C" fn release(ctx: *const c_void) {
    // SAFETY: as above; it gives back what it has retained.
    let dropped = contained(|| unsafe { Arc::decrement_strong_count(ctx.cast::<HostOf>()) });
    if let Err(panic) = dropped {
        tracing::error!(panic, "the host panicked while it was dropped");
    }
}

unsafe extern "C" fn log(ctx: *const c_void, level: u32, target: Bytes, message: Bytes) {
    // SAFETY: `ctx` came from `raw` and is held; the texts live for this call.
    let (this, target, message) =
        unsafe { (&*ctx.cast::<HostOf>(), target.as_checked().unwrap_or("?"), message.as_checked().unwrap_or("?")) };
    let record = LogRecord { level: level_of(level), target, message, package: this.package };
    // A log that panics can hardly be logged.
    let _ = contained(|| this.host.log(record));
}

unsafe extern "C" fn max_level(ctx: *const c_void) -> u32 {
    // SAFETY: as above.
    let this = unsafe { &*ctx.cast::<HostOf>() };
    contained(|| match this.host.max_level().into_level() {
        None => 0,
        Some(level) => number_of(level),
    })
    .unwrap_or(0)
}

/// The number by which a level crosses.
pub(crate) fn number_of(level: Level) -> u32 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

fn level_of(number: u32) -> Level {
    match number {
        0 | 1 => Level::ERROR,
        2 => Level::WARN,
        3 => Level::INFO,
        4 => Level::DEBUG,
        _ => Level::TRACE,
    }
}
