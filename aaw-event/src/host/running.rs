//! A started package, shared by its [`Instance`](super::Instance) and its calls.

use std::sync::Arc;

use super::logs::PackageHost;
use super::table::ModuleTable;
use crate::abi::RawInstance;

/// Stops the package when the last reference is dropped. Every call holds one, so calls end before their package does.
pub(super) struct RunningPackage {
    pub(super) table: Arc<ModuleTable>,
    raw: RawInstance,
    /// Keeps the host alive for calls into the package, independently of the package's own count.
    _host: Arc<PackageHost>,
}

// SAFETY: the ABI lets an instance be used and stopped by any thread.
unsafe impl Send for RunningPackage {}
// SAFETY: the ABI lets several threads use an instance at once; only `stop` is exclusive, and that is `Drop`.
unsafe impl Sync for RunningPackage {}

impl RunningPackage {
    /// # Safety
    /// `raw` was returned by `table.start` for `host`, is not null, and is kept nowhere else.
    pub(super) unsafe fn new(table: Arc<ModuleTable>, raw: RawInstance, host: Arc<PackageHost>) -> Self {
        Self { table, raw, _host: host }
    }

    /// The package's instance, valid while `self` lives.
    pub(super) fn raw(&self) -> RawInstance {
        self.raw
    }
}

impl Drop for RunningPackage {
    fn drop(&mut self) {
        // SAFETY: every `Call` holds its `RunningPackage`, so no call is left, and `raw` is not used again.
        unsafe { ((*self.raw.vtable).stop)(self.raw.data) }
    }
}
