//! An events package that was checked and can be started.

use std::fmt;
use std::sync::Arc;

use aaw_protocol::{Code, Failure};

use super::logs::Host;
use super::start::StartFuture;
use super::table::{AbiError, EventInfo, GuardInfo, ModuleTable, PrebuiltServices, check};
use crate::abi::{ModuleHeader, mode, status};
use crate::contract::Contract;
use crate::sink::SinkBuffer;

/// An events package that was checked and can be started any number of times. Cloning is cheap.
#[derive(Clone)]
pub struct Module {
    table: Arc<ModuleTable>,
}

impl Module {
    /// Checks the table of a library that was opened at run time.
    ///
    /// Reads the table of events once. The library's own code does not run.
    ///
    /// # Errors
    /// An [`AbiError`] when the symbol is not the table of a package that this host can run. Its message is written to
    /// follow the library's path.
    ///
    /// # Safety
    /// `header` is the address of the symbol `aaw_module_v1_…` in a library that was built with aaw-event, and that
    /// library is never unloaded.
    pub unsafe fn loaded(header: *const ModuleHeader) -> Result<Self, AbiError> {
        // SAFETY: the caller's guarantee is passed on.
        let table = unsafe { check(header, mode::LOADED, None) }?;
        Ok(Self { table: Arc::new(table) })
    }

    /// Checks the table of a package that is linked into this program.
    pub(crate) fn linked(header: &'static ModuleHeader, prebuilt: Option<Arc<dyn PrebuiltServices>>) -> Self {
        // SAFETY: a `'static` reference to a header, which only `events!()` makes.
        let table = unsafe { check(header, mode::LINKED, prebuilt) };
        match table {
            Ok(table) => Self { table: Arc::new(table) },
            // The table belongs to this very build, and the build script has checked the names.
            Err(error) => panic!("a linked events package cannot be used: {error}"),
        }
    }

    /// The package's name, as in its `Cargo.toml`.
    pub fn package(&self) -> &str {
        self.table.package
    }

    /// The version of aaw-event that the package was built with.
    pub fn sdk_version(&self) -> &str {
        self.table.sdk_version
    }

    /// The package's events, sorted by name if `events!()` made the table. The index of an event in this slice is the
    /// index that [`Instance::call`](super::Instance::call) takes.
    pub fn events(&self) -> &[EventInfo] {
        &self.table.events
    }

    /// The hook that runs when a connection has opened, as an index for [`Instance::call`](super::Instance::call). Its
    /// body is the JSON of an [`OpenInfo`](crate::OpenInfo).
    ///
    /// Its call returns [`Step::End`](super::Step::End) if the connection is accepted. With every other result the host
    /// closes the connection.
    pub fn open_hook(&self) -> Option<usize> {
        self.table.open_hook
    }

    /// The hook that runs when a connection has closed, as an index for [`Instance::call`](super::Instance::call). Its
    /// body is the JSON of a [`CloseInfo`](crate::CloseInfo).
    pub fn close_hook(&self) -> Option<usize> {
        self.table.close_hook
    }

    /// The guards, which run before the events of their folder and of its subfolders; outermost first. The body of a
    /// guard is the JSON of a [`GuardedCall`](crate::GuardedCall).
    ///
    /// Its call returns [`Step::End`](super::Step::End) if the event may run. **Every other result rejects the call**:
    /// neither further guards nor the handler run.
    pub fn guards(&self) -> &[GuardInfo] {
        &self.table.guards
    }

    /// The hook that delivers the token with which a user sets a new password, as an index for
    /// [`Instance::call`](super::Instance::call). Its body is the JSON of a [`PasswordReset`](crate::PasswordReset).
    pub fn password_reset_hook(&self) -> Option<usize> {
        self.table.password_reset_hook
    }

    /// The hook that runs before a connection goes on over another socket, as an index for
    /// [`Instance::call`](super::Instance::call). Its body is the JSON of an [`OpenInfo`](crate::OpenInfo) of that socket.
    ///
    /// Its call returns [`Step::End`](super::Step::End) if the connection may go on there. With every other result the host
    /// leaves the connection as it is.
    pub fn resume_hook(&self) -> Option<usize> {
        self.table.resume_hook
    }

    /// The hook that runs when a connection has lost its socket and may be resumed, as an index for
    /// [`Instance::call`](super::Instance::call). Its body is the JSON of an [`AwayInfo`](crate::AwayInfo).
    pub fn away_hook(&self) -> Option<usize> {
        self.table.away_hook
    }

    /// The hook that runs when a connection that was away has been resumed, as an index for
    /// [`Instance::call`](super::Instance::call). Its body is the JSON of a [`BackInfo`](crate::BackInfo).
    ///
    /// The host alternates the two: this one runs after [`away_hook`](Self::away_hook), and neither begins before the other
    /// has ended.
    pub fn back_hook(&self) -> Option<usize> {
        self.table.back_hook
    }

    /// Whether the package's handlers read the HTTP request behind their call: the operation `handshake` of a
    /// [`Caller`](super::Caller), and [`OpenInfo::handshake`](crate::OpenInfo::handshake). A host need not keep it for others.
    pub fn reads_handshakes(&self) -> bool {
        self.table.reads_handshakes
    }

    /// Describes what the package's events take and return. `None` if the package was built before packages could.
    ///
    /// Unlike checking the table, this runs code of the package. It takes about a millisecond for a hundred events, and more in a
    /// debug build; keep the result.
    ///
    /// # Errors
    /// The code that describes a type has panicked, or the result is not a contract.
    pub fn contract(&self) -> Result<Option<Contract>, Failure> {
        let Some(describe) = self.table.describe else { return Ok(None) };
        let mut json = Vec::new();
        let mut buffer = SinkBuffer::unlimited(&mut json);
        // SAFETY: the function of a checked table. The buffer outlives the call.
        let result = unsafe { describe(buffer.sink()) };
        let failed = |error: serde_json::Error| {
            let package = self.package();
            Failure::new(Code::INTERNAL, format!("The description of the package {package} is damaged: {error}"))
        };
        match result {
            status::OK => serde_json::from_slice(&json).map(Some).map_err(failed),
            _ => Err(serde_json::from_slice(&json).unwrap_or_else(failed)),
        }
    }

    /// Starts the package: builds its services.
    ///
    /// Nothing runs until the future is polled. Dropping it cancels the start.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use aaw_event::Module;
    /// use aaw_event::host::{Host, Instance, LogRecord};
    /// use tracing::level_filters::LevelFilter;
    ///
    /// struct Printer;
    ///
    /// impl Host for Printer {
    ///     fn log(&self, record: LogRecord<'_>) {
    ///         eprintln!("{} {}: {}", record.package, record.level, record.message);
    ///     }
    ///
    ///     fn max_level(&self) -> LevelFilter {
    ///         LevelFilter::INFO
    ///     }
    /// }
    ///
    /// async fn start(module: &Module) -> Option<Instance> {
    ///     match module.start(Arc::new(Printer)).await {
    ///         Ok(instance) => Some(instance),
    ///         Err(failure) => {
    ///             eprintln!("{failure}");
    ///             None
    ///         }
    ///     }
    /// }
    /// ```
    pub fn start(&self, host: Arc<dyn Host>) -> StartFuture {
        StartFuture::new(self.table.clone(), host)
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("package", &self.package()).field("events", &self.table.events).finish()
    }
}
