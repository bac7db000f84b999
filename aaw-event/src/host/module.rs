//! A package's table, checked.

use std::fmt;
use std::sync::Arc;

use aaw_protocol::{EventName, InvalidName};

use super::instance::Starting;
use super::logs::Host;
use crate::abi::{ABI, Bytes, CallFn, EventEntry, MAGIC, ModuleHeader, StartFn, entry_flags, flags, kind, mode};
use crate::export::{CLOSE, OPEN, PASSWORD_RESET};
use crate::module::Given;

/// An events package that was checked and can be started, any number of times. Cloning is cheap.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Checked>,
}

pub(super) struct Checked {
    package: &'static str,
    sdk_version: &'static str,
    events: Vec<EventInfo>,
    /// In the order of `events`; behind them the hooks.
    pub(super) entries: Vec<Entry>,
    /// Their places in `entries`.
    open_hook: Option<usize>,
    close_hook: Option<usize>,
    password_reset_hook: Option<usize>,
    guards: Vec<GuardInfo>,
    pub(super) start: StartFn,
    /// A value of [`mode`].
    pub(super) mode: u32,
    /// The services that a linked program hands in.
    pub(super) given: Option<Arc<dyn Given>>,
}

/// What a call of an event needs.
pub(super) struct Entry {
    pub(super) call: CallFn,
    /// The package's own text.
    pub(super) name: &'static str,
}

/// One event of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventInfo {
    /// Its name: the path of its file.
    pub name: EventName,
    /// How it answers.
    pub kind: HandlerKind,
    /// Whether its handler looks at what its caller sends after the body.
    pub takes_upload: bool,
}

/// The guard of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuardInfo {
    /// The folder: `users`, `users/admin`; empty for the root.
    pub folder: String,
    /// What [`Instance::call`](super::Instance::call) takes.
    pub index: usize,
}

impl GuardInfo {
    /// Whether it runs before the event `name` of its package: one of its folder, or of a folder inside it.
    pub fn guards(&self, name: &str) -> bool {
        self.folder.is_empty() || name.strip_prefix(&*self.folder).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// How an event answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandlerKind {
    /// Once: an `async fn`.
    Unary,
    /// Not at all: a `fn` that returns nothing.
    OneWay,
    /// Any number of times: a `fn` that returns a stream.
    Streaming,
}

impl fmt::Display for HandlerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unary => "unary",
            Self::OneWay => "one_way",
            Self::Streaming => "streaming",
        })
    }
}

/// Why a library's symbol is not an events package that this host can run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AbiError {
    /// The symbol has no address, or one that no header can have.
    #[error("the symbol has no usable address")]
    BadAddress,
    /// The symbol is something else.
    #[error("this is not an events package: its symbol does not begin as a package's does")]
    NotAPackage,
    /// The package was built with an aaw-event that speaks another ABI.
    #[error(
        "the package speaks module ABI {found}, this host speaks {expected}: build it with the aaw-event of this host"
    )]
    OtherAbi {
        /// The package's.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// The package's tables are shorter than this ABI's.
    #[error(
        "the package's {table} has {found} bytes, this host expects at least {expected}: it was not built by aaw-event"
    )]
    TooSmall {
        /// Which table.
        table: &'static str,
        /// The package's size.
        found: usize,
        /// What the ABI needs.
        expected: usize,
    },
    /// A panic in the package would end the host.
    #[error(
        "the package was built with panic = \"abort\", so a panic in a handler would end the server: build it with \
         panic = \"unwind\""
    )]
    Aborts,
    /// A text is missing or not UTF-8, a table or a function is missing.
    #[error("the package's {0} is missing or damaged")]
    Damaged(&'static str),
    /// An event has a name that none can have.
    #[error("the package {package} has an event with an impossible name: {reason}")]
    BadName {
        /// The package.
        package: String,
        /// The rule that was broken.
        reason: InvalidName,
    },
    /// An event has a name that belongs to aaw.
    #[error("the package {package} has an event {name}: names under aaw/ are reserved")]
    ReservedName {
        /// The package.
        package: String,
        /// The event.
        name: EventName,
    },
    /// Two events have one name.
    #[error("the package {package} has two events {name}")]
    Duplicate {
        /// The package.
        package: String,
        /// The event.
        name: EventName,
    },
    /// An event is of a kind that this host does not know.
    #[error(
        "the package {package} has an event {name} of kind {found}, which this host does not know: update the server"
    )]
    UnknownKind {
        /// The package.
        package: String,
        /// The event.
        name: EventName,
        /// The number of the kind.
        found: u32,
    },
}

impl Module {
    /// Checks the table of a library that was opened.
    ///
    /// Costs a walk over its events. The library's own code does not run.
    ///
    /// # Errors
    /// [`AbiError`] says what is wrong with it; each of its messages can stand alone after the library's path.
    ///
    /// # Safety
    /// `header` is the address of the symbol `aaw_module_v1_…` in a library that was built by aaw-event, and that
    /// library is never unloaded.
    pub unsafe fn loaded(header: *const ModuleHeader) -> Result<Self, AbiError> {
        // SAFETY: handed on.
        unsafe { check(header, mode::LOADED, None) }
    }

    /// The table of a package that is part of this program.
    pub(crate) fn linked(header: &'static ModuleHeader, given: Option<Arc<dyn Given>>) -> Self {
        // SAFETY: a reference that lives for ever, to what only `events!()` makes.
        let checked = unsafe { check(header, mode::LINKED, given) };
        match checked {
            Ok(module) => module,
            // The tables of this very build: `events!()` has checked the names.
            Err(error) => panic!("a linked events package cannot be used: {error}"),
        }
    }

    /// The package's name, as in its `Cargo.toml`.
    pub fn package(&self) -> &str {
        self.inner.package
    }

    /// The version of aaw-event that the package was built with.
    pub fn sdk_version(&self) -> &str {
        self.inner.sdk_version
    }

    /// What it offers, sorted by name when `events!()` made it. An event's place here is what
    /// [`Instance::call`](super::Instance::call) takes.
    pub fn events(&self) -> &[EventInfo] {
        &self.inner.events
    }

    /// What is to run when a connection has opened, if anything: what [`Instance::call`](super::Instance::call) takes.
    /// Its body is the JSON of an [`OpenInfo`](crate::OpenInfo).
    ///
    /// It gives [`Step::End`](super::Step::End) when the connection may stay; every other end refuses it.
    pub fn open_hook(&self) -> Option<usize> {
        self.inner.open_hook
    }

    /// What is to run when a connection has ended, if anything: what [`Instance::call`](super::Instance::call) takes.
    /// Its body is the JSON of a [`CloseInfo`](crate::CloseInfo).
    pub fn close_hook(&self) -> Option<usize> {
        self.inner.close_hook
    }

    /// What is to run before the events of a folder and those of the folders inside it, outermost first. Its body is the
    /// JSON of a [`GuardedCall`](crate::GuardedCall).
    ///
    /// It gives [`Step::End`](super::Step::End) when the event may run; **every other end refuses the call**, and
    /// nothing of it runs: neither further guards nor the handler.
    pub fn guards(&self) -> &[GuardInfo] {
        &self.inner.guards
    }

    /// What delivers the token by which a forgotten password is set anew, if anything: what
    /// [`Instance::call`](super::Instance::call) takes. Its body is the JSON of a
    /// [`PasswordReset`](crate::PasswordReset).
    pub fn password_reset_hook(&self) -> Option<usize> {
        self.inner.password_reset_hook
    }

    /// Starts the package: builds its services.
    ///
    /// Nothing runs until the future is polled. Dropping it gives the start up.
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
    ///         Err(why) => {
    ///             eprintln!("{why}");
    ///             None
    ///         }
    ///     }
    /// }
    /// ```
    pub fn start(&self, host: Arc<dyn Host>) -> Starting {
        Starting::new(self.inner.clone(), self.inner.package, host)
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("package", &self.package()).field("events", &self.inner.events).finish()
    }
}

/// # Safety
/// As for [`Module::loaded`].
unsafe fn check(header: *const ModuleHeader, mode: u32, given: Option<Arc<dyn Given>>) -> Result<Module, AbiError> {
    if header.is_null() || !header.is_aligned() {
        return Err(AbiError::BadAddress);
    }
    // Nothing beyond these three is read before they are known to be good.
    // SAFETY: the caller vouches for a symbol of aaw-event's; whichever its ABI, these three are its first 16 bytes.
    let (magic, abi, size) = unsafe {
        ((&raw const (*header).magic).read(), (&raw const (*header).abi).read(), (&raw const (*header).size).read())
    };
    if magic != MAGIC {
        return Err(AbiError::NotAPackage);
    }
    if abi != ABI {
        return Err(AbiError::OtherAbi { found: abi, expected: ABI });
    }
    at_least::<ModuleHeader>("header", size as usize)?;
    // SAFETY: this ABI's, and as long as this ABI needs; the library is never unloaded.
    let header: &'static ModuleHeader = unsafe { &*header };
    if header.flags & flags::UNWINDS == 0 {
        return Err(AbiError::Aborts);
    }
    let package = text(header.package, "name")?;
    let sdk_version = text(header.sdk_version, "version of aaw-event")?;
    let start = header.start.ok_or(AbiError::Damaged("start function"))?;

    let stride = header.event_stride as usize;
    at_least::<EventEntry>("table of events", stride)?;
    let len = header.event_count.checked_mul(stride).filter(|len| isize::try_from(*len).is_ok());
    let damaged = !stride.is_multiple_of(align_of::<EventEntry>())
        || header.events.is_null()
        || !header.events.is_aligned()
        || len.is_none();
    if damaged && header.event_count > 0 {
        return Err(AbiError::Damaged("table of events"));
    }
    let mut events = Vec::new();
    let mut entries = Vec::new();
    let (mut open_hook, mut close_hook, mut password_reset_hook) = (None, None, None);
    let mut guard_entries = Vec::new();
    for index in 0..header.event_count {
        // SAFETY: the table has `event_count` entries, `stride` bytes apart, of at least this ABI's size.
        let entry = unsafe { header.events.byte_add(index * stride).read() };
        let own_name = text(entry.name, "name of an event")?;
        let call = entry.call.ok_or(AbiError::Damaged("function of an event"))?;
        let hook = match entry.kind {
            kind::OPEN => Some((OPEN.name, &mut open_hook)),
            kind::CLOSE => Some((CLOSE.name, &mut close_hook)),
            kind::PASSWORD_RESET => Some((PASSWORD_RESET.name, &mut password_reset_hook)),
            _ => None,
        };
        if entry.kind == kind::GUARD {
            let folder = folder_of(own_name).ok_or(AbiError::Damaged("table of guards"))?;
            guard_entries.push((folder, Entry { call, name: own_name }));
            continue;
        }
        if let Some((expected, hook)) = hook {
            let is_second = hook.replace(Entry { call, name: own_name }).is_some();
            if is_second || own_name != expected {
                return Err(AbiError::Damaged("table of hooks"));
            }
            continue;
        }
        let name =
            EventName::parse(own_name).map_err(|reason| AbiError::BadName { package: package.to_owned(), reason })?;
        if name.is_reserved() {
            return Err(AbiError::ReservedName { package: package.to_owned(), name });
        }
        let kind = match entry.kind {
            kind::ANSWER => HandlerKind::Unary,
            kind::PLAIN => HandlerKind::OneWay,
            kind::STREAM => HandlerKind::Streaming,
            found => return Err(AbiError::UnknownKind { package: package.to_owned(), name, found }),
        };
        entries.push(Entry { call, name: own_name });
        events.push(EventInfo { name, kind, takes_upload: entry.flags & entry_flags::TAKES_UPLOAD != 0 });
    }
    let [open_hook, close_hook, password_reset_hook] = [open_hook, close_hook, password_reset_hook].map(|hook| {
        hook.map(|hook| {
            entries.push(hook);
            entries.len() - 1
        })
    });
    // A folder's name is longer than those of the folders around it, so these stand before it.
    guard_entries.sort_by_key(|(folder, _)| (folder.len(), *folder));
    if guard_entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(AbiError::Damaged("table of guards"));
    }
    let guards = guard_entries.into_iter().map(|(folder, entry)| {
        entries.push(entry);
        GuardInfo { folder: folder.to_owned(), index: entries.len() - 1 }
    });
    let guards = guards.collect();
    let mut names: Vec<_> = events.iter().map(|event| &event.name).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(AbiError::Duplicate { package: package.to_owned(), name: pair[0].clone() });
    }
    let checked = Checked {
        package,
        sdk_version,
        events,
        entries,
        open_hook,
        close_hook,
        password_reset_hook,
        guards,
        start,
        mode,
        given,
    };
    Ok(Module { inner: Arc::new(checked) })
}

/// The folder whose guard has this name; it is made of parts as an event's name is.
fn folder_of(guard: &str) -> Option<&str> {
    if guard == "_guard" {
        return Some("");
    }
    guard.strip_suffix("/_guard").filter(|folder| EventName::parse(folder).is_ok())
}

fn at_least<T>(table: &'static str, found: usize) -> Result<(), AbiError> {
    let expected = size_of::<T>();
    if found < expected { Err(AbiError::TooSmall { table, found, expected }) } else { Ok(()) }
}

fn text(bytes: Bytes, what: &'static str) -> Result<&'static str, AbiError> {
    // SAFETY: the texts of a table live as long as its library, which is never unloaded.
    unsafe { bytes.as_checked() }.ok_or(AbiError::Damaged(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::SYMBOL_PREFIX;
    use crate::export::{Entry, NoServices, Package, guard, no_services, sync_services};
    use crate::prelude::{Empty, Services, Stream, Upload, stream};

    async fn handler() {}

    async fn incoming(_: Empty, _: Services, _: Upload<u8>) {}

    fn plain() {}

    fn yields() -> impl Stream<Item = u8> {
        stream! { yield 1; }
    }

    static GOOD: Package<NoServices> = Package::new(
        "good",
        true,
        sync_services(no_services),
        const {
            &[
                Entry::answer0("users/get", handler),
                Entry::hook0(CLOSE, plain),
                Entry::plain0("announce", plain),
                Entry::answer3("users/put", incoming),
                Entry::async_hook0(OPEN, handler),
                Entry::async_hook0(guard("users/_guard"), handler),
                Entry::async_hook0(guard("_guard"), handler),
                Entry::stream0("users/all", yields),
            ]
        },
    );

    /// Checks a copy of a good header in which one thing was changed.
    fn changed(change: impl FnOnce(&mut ModuleHeader)) -> AbiError {
        // SAFETY: a header is plain data; what it points to is static.
        let mut header = unsafe { GOOD.header().read() };
        change(&mut header);
        let header: &'static ModuleHeader = Box::leak(Box::new(header));
        // SAFETY: a header that lives for ever, with one lie in it that is to be found.
        unsafe { Module::loaded(header) }.expect_err("accepted")
    }

    fn with_entries(entries: &'static [EventEntry]) -> AbiError {
        changed(|header| (header.events, header.event_count) = (entries.as_ptr(), entries.len()))
    }

    fn entry(name: &'static str, kind: u32) -> EventEntry {
        // SAFETY: the table of `GOOD` has entries.
        let good = unsafe { (*GOOD.header()).events.read() };
        EventEntry { name: Bytes::of(name), kind, ..good }
    }

    #[test]
    fn a_good_table_is_accepted() {
        // SAFETY: a header of this very build.
        let module = unsafe { Module::loaded(GOOD.header()) }.unwrap();
        let events: Vec<_> =
            module.events().iter().map(|event| (event.name.as_str(), event.kind, event.takes_upload)).collect();
        let expected = [
            ("users/get", HandlerKind::Unary, false),
            ("announce", HandlerKind::OneWay, false),
            ("users/put", HandlerKind::Unary, true),
            ("users/all", HandlerKind::Streaming, false),
        ];
        assert_eq!(events, expected);
        let hooks = (module.open_hook(), module.close_hook());
        assert_eq!(hooks, (Some(4), Some(5)));
        let names: Vec<_> = module.inner.entries.iter().map(|entry| entry.name).collect();
        let expected = ["users/get", "announce", "users/put", "users/all", "_open", "_close", "_guard", "users/_guard"];
        assert_eq!(names, expected);
        let guards: Vec<_> = module.guards().iter().map(|guard| (guard.folder.as_str(), guard.index)).collect();
        assert_eq!(guards, [("", 6), ("users", 7)]);
        assert_eq!(module.password_reset_hook(), None);
    }

    #[test]
    fn a_package_may_have_no_hooks_and_flags_that_are_not_known() {
        // SAFETY: a header is plain data; what it points to is static.
        let mut header = unsafe { GOOD.header().read() };
        let entries = vec![EventEntry { flags: 6, ..entry("a", kind::STREAM) }].leak();
        (header.events, header.event_count) = (entries.as_ptr(), entries.len());
        // SAFETY: a header that lives for ever.
        let module = unsafe { Module::loaded(Box::leak(Box::new(header))) }.unwrap();
        assert_eq!((module.open_hook(), module.close_hook()), (None, None));
        assert!(!module.events()[0].takes_upload);
    }

    #[test]
    fn each_lie_has_its_own_message() {
        // SAFETY: null is never read.
        assert_eq!(unsafe { Module::loaded(std::ptr::null()) }.unwrap_err(), AbiError::BadAddress);
        assert_eq!(changed(|header| header.magic = *b"\x7fELF\0\0\0\0"), AbiError::NotAPackage);
        let other = changed(|header| header.abi = 7);
        assert_eq!(other, AbiError::OtherAbi { found: 7, expected: ABI });
        assert!(other.to_string().contains("ABI 7, this host speaks 1"), "{other}");
        assert!(matches!(changed(|header| header.size = 16), AbiError::TooSmall { table: "header", found: 16, .. }));
        assert!(matches!(changed(|header| header.event_stride = 8), AbiError::TooSmall { found: 8, .. }));
        assert_eq!(changed(|header| header.event_stride += 1), AbiError::Damaged("table of events"));
        assert_eq!(changed(|header| header.flags = 0), AbiError::Aborts);
        assert_eq!(changed(|header| header.package = Bytes::of_slice(b"\xff")), AbiError::Damaged("name"));
        assert_eq!(changed(|header| header.start = None), AbiError::Damaged("start function"));
        assert_eq!(changed(|header| header.events = std::ptr::null()), AbiError::Damaged("table of events"));
        assert_eq!(changed(|header| header.event_count = usize::MAX), AbiError::Damaged("table of events"));
    }

    #[test]
    fn the_symbol_carries_the_abis_number() {
        assert_eq!(SYMBOL_PREFIX, format!("aaw_module_v{ABI}_"));
    }

    #[test]
    fn events_are_checked_one_by_one() {
        let entries = |entries: Vec<EventEntry>| with_entries(entries.leak());
        let package = || "good".to_owned();
        let name = |name| EventName::parse(name).unwrap();
        assert!(matches!(entries(vec![entry("../x", kind::ANSWER)]), AbiError::BadName { .. }));
        let reserved = AbiError::ReservedName { package: package(), name: name("aaw/x") };
        assert_eq!(entries(vec![entry("aaw/x", kind::ANSWER)]), reserved);
        let twice = vec![entry("b", kind::ANSWER), entry("a", kind::PLAIN), entry("b", kind::ANSWER)];
        assert_eq!(entries(twice), AbiError::Duplicate { package: package(), name: name("b") });
        let unknown = AbiError::UnknownKind { package: package(), name: name("a"), found: 9 };
        assert_eq!(entries(vec![entry("a", 9)]), unknown);
        let hook = || AbiError::Damaged("table of hooks");
        assert_eq!(entries(vec![entry("_open", kind::CLOSE)]), hook());
        assert_eq!(entries(vec![entry("opens", kind::OPEN)]), hook());
        assert_eq!(entries(vec![entry("_open", kind::OPEN), entry("_open", kind::OPEN)]), hook());
        assert!(matches!(entries(vec![entry("_open", kind::ANSWER)]), AbiError::BadName { .. }));
        for bad in ["guard", "users_guard", "/_guard", "../_guard", "users//_guard", "_guard/users"] {
            assert_eq!(entries(vec![entry(bad, kind::GUARD)]), AbiError::Damaged("table of guards"), "{bad}");
        }
        let twice = vec![entry("a/_guard", kind::GUARD), entry("_guard", kind::GUARD), entry("a/_guard", kind::GUARD)];
        assert_eq!(entries(twice), AbiError::Damaged("table of guards"));
        assert_eq!(entries(vec![entry("_reset", kind::PASSWORD_RESET)]), hook());
        let without_function = EventEntry { call: None, ..entry("a", kind::ANSWER) };
        assert_eq!(entries(vec![without_function]), AbiError::Damaged("function of an event"));
    }
}
