//! A started package whose events can be called.

use std::fmt;
use std::sync::Arc;

use super::call::Call;
use super::caller::{self, Caller};
use super::running::RunningPackage;
use super::upload::{self, UploadSource};
use crate::abi::{Bytes, CallArgs, RawUpload};

/// A package whose services are built: its events can be called. Cloning is cheap.
///
/// The package stops when the last clone and the last [`Call`] have been dropped: its services are dropped, and a
/// loaded package's runtime is shut down on a separate thread, without blocking the caller. A linked package's services
/// are dropped on the thread that drops the last reference.
#[derive(Clone)]
pub struct Instance {
    package: Arc<RunningPackage>,
}

impl Instance {
    pub(super) fn new(package: Arc<RunningPackage>) -> Self {
        Self { package }
    }

    /// Begins a call of the event at index `event` in [`Module::events`](super::Module::events), or of a hook. The call
    /// has no upload.
    ///
    /// `body` is JSON, or empty when the caller sent none. It is parsed before this returns. A one-way handler has also
    /// run to its end by then; a unary or streaming handler runs when the [`Call`] is polled.
    ///
    /// # Panics
    /// When there is no such index.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::sync::Arc;
    ///
    /// use aaw_event::host::{Caller, Instance, Step};
    ///
    /// async fn ping<C: Caller>(instance: &Instance, ping: usize, caller: &Arc<C>) -> Result<String, String> {
    ///     let mut call = instance.call(ping, "{}", caller);
    ///     let mut json = Vec::new();
    ///     match poll_fn(|cx| call.poll(cx, &mut json, 1024 * 1024)).await {
    ///         Step::Item => Ok(String::from_utf8_lossy(&json).into_owned()),
    ///         Step::Refused(failure) | Step::Failed(failure) => Err(failure.error),
    ///         Step::TooLarge(len) => Err(format!("the response has {len} bytes, more than 1 MiB")),
    ///         Step::Panicked(_) => Err("Internal error".to_owned()),
    ///         Step::End => Err("a one-way event has no response".to_owned()),
    ///     }
    /// }
    /// ```
    pub fn call<C: Caller>(&self, event: usize, body: &str, caller: &Arc<C>) -> Call {
        self.begin(event, body, caller, std::ptr::null())
    }

    /// Begins a call, as [`Instance::call`] does, with an upload.
    ///
    /// A handler that takes no upload (see [`EventInfo::takes_upload`](super::EventInfo::takes_upload)) ignores it. A
    /// handler that takes it may keep it beyond the call; when the handler has dropped it, the package holds no
    /// reference to it.
    ///
    /// # Panics
    /// As [`Instance::call`].
    pub fn call_with_upload<C: Caller, U: UploadSource>(
        &self,
        event: usize,
        body: &str,
        caller: &Arc<C>,
        upload: &Arc<U>,
    ) -> Call {
        let upload = upload::raw(upload);
        self.begin(event, body, caller, &raw const upload)
    }

    fn begin<C: Caller>(&self, event: usize, body: &str, caller: &Arc<C>, upload: *const RawUpload) -> Call {
        let entry = &self.package.table.entries[event];
        let args = CallArgs {
            size: size_of::<CallArgs>(),
            event: Bytes::of(entry.name),
            body: Bytes::of(body),
            caller: caller::raw(caller),
            upload,
        };
        // SAFETY: a running instance of the package that the entry belongs to; everything in `args` outlives this call.
        let raw = unsafe { (entry.call)(self.package.raw().data, &raw const args) };
        // SAFETY: made by this instance, and kept nowhere else.
        unsafe { Call::new(raw, self.package.clone()) }
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}
