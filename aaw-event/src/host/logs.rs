//! What the host provides to a package as a whole: a destination for its logs.

use std::ffi::c_void;
use std::sync::Arc;

use tracing::Level;
use tracing::level_filters::LevelFilter;

use crate::abi::{Bytes, HostVtable, RawHost};
use crate::catch_panic::catch_panic;

/// The program that runs packages, as the destination of their logs.
///
/// Only a package that was loaded as a library uses it: such a package has `tracing` and `log` statics of its own and
/// forwards their records. The records of a linked package reach the program's own subscriber directly.
pub trait Host: Send + Sync + 'static {
    /// Receives one record. Called from any thread, often during the poll of a call, so it should return quickly.
    fn log(&self, record: LogRecord<'_>);

    /// The most verbose level that is forwarded. Read once, when the package starts.
    fn max_level(&self) -> LevelFilter;
}

/// One record of a package's `tracing` or `log`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LogRecord<'a> {
    /// The severity.
    pub level: Level,
    /// The record's target: usually the path of a module.
    pub target: &'a str,
    /// The text: the enclosing spans with their fields, the message, the fields.
    pub message: &'a str,
    /// The package's name.
    pub package: &'a str,
}

/// A [`Host`] for one package: it adds the package's name to each record.
pub(super) struct PackageHost {
    pub(super) host: Arc<dyn Host>,
    pub(super) package: &'static str,
}

static VTABLE: HostVtable = HostVtable { size: size_of::<HostVtable>(), retain, release, log, max_level };

/// Borrows `host` for one call; the package retains it.
pub(super) fn raw(host: &Arc<PackageHost>) -> RawHost {
    RawHost { ctx: Arc::as_ptr(host).cast(), vtable: &VTABLE }
}

unsafe extern "C" fn retain(ctx: *const c_void) {
    // SAFETY: `ctx` is the `Arc` of `raw`, which the package holds or borrows.
    unsafe { Arc::increment_strong_count(ctx.cast::<PackageHost>()) }
}

unsafe extern "C" fn release(ctx: *const c_void) {
    // SAFETY: as above; the package gives back a count that it has retained.
    let dropped = catch_panic(|| unsafe { Arc::decrement_strong_count(ctx.cast::<PackageHost>()) });
    if let Err(panic) = dropped {
        tracing::error!(panic, "the host panicked while it was dropped");
    }
}

unsafe extern "C" fn log(ctx: *const c_void, level: u32, target: Bytes, message: Bytes) {
    // SAFETY: as in `retain`; the texts live for this call.
    let (this, target, message) = unsafe {
        (&*ctx.cast::<PackageHost>(), target.as_checked().unwrap_or("?"), message.as_checked().unwrap_or("?"))
    };
    let record = LogRecord { level: level_of(level), target, message, package: this.package };
    // A panic of the log itself has nowhere to be logged.
    let _ = catch_panic(|| this.host.log(record));
}

unsafe extern "C" fn max_level(ctx: *const c_void) -> u32 {
    // SAFETY: as in `retain`.
    let this = unsafe { &*ctx.cast::<PackageHost>() };
    catch_panic(|| match this.host.max_level().into_level() {
        None => 0,
        Some(level) => number_of(level),
    })
    .unwrap_or(0)
}

/// The ABI's number of a level.
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
