//! Starting a package: building its services.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};

use super::call::{Call, Step};
use super::instance::Instance;
use super::logs::{self, Host, PackageHost};
use super::running::RunningPackage;
use super::table::ModuleTable;

/// A package that is starting; returned by [`Module::start`](super::Module::start).
///
/// Resolves to the [`Instance`] when the services are built. The error is meant for the operator: it contains the whole
/// error of `services()`, or the text of its panic (with the code `panic`). A loaded package builds its services in its
/// own runtime, polled from here.
#[must_use = "nothing runs until this is awaited"]
pub struct StartFuture {
    state: StartState,
    package: &'static str,
}

enum StartState {
    NotStarted { table: Arc<ModuleTable>, host: Arc<PackageHost> },
    BuildingServices { services: Call, package: Arc<RunningPackage> },
    Done,
}

impl StartFuture {
    pub(super) fn new(table: Arc<ModuleTable>, host: Arc<dyn Host>) -> Self {
        let package = table.package;
        let host = Arc::new(PackageHost { host, package });
        Self { state: StartState::NotStarted { table, host }, package }
    }

    fn failed(&self, code: Code, why: &str) -> Poll<Result<Instance, Failure>> {
        Poll::Ready(Err(Failure::new(code, format!("the package {} did not start: {why}", self.package))))
    }
}

impl Future for StartFuture {
    type Output = Result<Instance, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (mut services, package) = match std::mem::replace(&mut self.state, StartState::Done) {
            StartState::BuildingServices { services, package } => (services, package),
            StartState::NotStarted { table, host } => {
                let prebuilt = table.prebuilt.as_ref().map_or(std::ptr::null(), |prebuilt| prebuilt.as_ptr());
                // SAFETY: the table was checked; `prebuilt` was made by this very package, and lives in `table`.
                let raw = unsafe { (table.start)(logs::raw(&host), table.mode, prebuilt) };
                if raw.data.is_null() {
                    return self.failed(Code::PANIC, "it panicked");
                }
                // SAFETY: just returned by `start` for this host, and not null.
                let package = Arc::new(unsafe { RunningPackage::new(table, raw, host) });
                // SAFETY: just started, and called once.
                let services = unsafe { ((*raw.vtable).services)(raw.data) };
                // SAFETY: made by this instance, and kept nowhere else.
                (unsafe { Call::new(services, package.clone(), None) }, package)
            }
            // A future may return anything when polled after its end.
            StartState::Done => return Poll::Pending,
        };
        match services.poll(cx, &mut Vec::new(), usize::MAX) {
            Poll::Pending => {
                self.state = StartState::BuildingServices { services, package };
                Poll::Pending
            }
            Poll::Ready(Step::End) => {
                drop(services);
                Poll::Ready(Ok(Instance::new(package)))
            }
            Poll::Ready(Step::Failed(failure)) => self.failed(failure.code, &failure.error),
            Poll::Ready(Step::Panicked(text)) => self.failed(Code::PANIC, &format!("its services panicked: {text}")),
            Poll::Ready(step @ (Step::Item | Step::Refused(_) | Step::TooLarge(_) | Step::Broken(_))) => {
                self.failed(Code::HANDLER, &format!("its services ended with an unexpected step: {step:?}"))
            }
        }
    }
}

impl fmt::Debug for StartFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartFuture").field("package", &self.package).finish_non_exhaustive()
    }
}
