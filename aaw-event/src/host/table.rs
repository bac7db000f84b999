//! A package's table of events, checked before use.

use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aaw_protocol::{EventName, InvalidName};

use crate::abi::{
    ABI, Bytes, CallFn, DEFAULT_COST, DescribeFn, EventEntry, MAGIC, ModuleHeader, RunFn, StartFn, entry_flags, flags,
    hook_name, kind,
};

/// The checked table of a package.
pub(super) struct ModuleTable {
    pub(super) package: &'static str,
    pub(super) sdk_version: &'static str,
    pub(super) events: Vec<EventInfo>,
    /// The events in the order of `events`, followed by the hooks.
    pub(super) entries: Vec<CallEntry>,
    /// Indices in `entries`.
    pub(super) open_hook: Option<usize>,
    pub(super) close_hook: Option<usize>,
    pub(super) password_reset_hook: Option<usize>,
    pub(super) resume_hook: Option<usize>,
    pub(super) away_hook: Option<usize>,
    pub(super) back_hook: Option<usize>,
    pub(super) guards: Vec<GuardInfo>,
    pub(super) reads_handshakes: bool,
    pub(super) start: StartFn,
    /// `None` in an older package.
    pub(super) describe: Option<DescribeFn>,
    /// A value of [`mode`](crate::abi::mode).
    pub(super) mode: u32,
    /// The services that the program of a linked package has built.
    pub(super) prebuilt: Option<Arc<dyn PrebuiltServices>>,
}

/// What a call of an event or a hook needs.
pub(super) struct CallEntry {
    pub(super) call: CallFn,
    /// `None` in an older package.
    pub(super) run: Option<RunFn>,
    /// Whether `run` only begins the call.
    pub(super) is_streaming: bool,
    /// The package's own text.
    pub(super) name: &'static str,
}

/// Services that the program of a linked package has built, instead of the package's `services()`.
pub(crate) trait PrebuiltServices: Send + Sync + 'static {
    /// A pointer to the `Arc` of services that the package expects.
    fn as_ptr(&self) -> *const c_void;
}

/// One event of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventInfo {
    /// The event's name: the path of its file.
    pub name: EventName,
    /// The kind of its handler.
    pub kind: HandlerKind,
    /// Whether its handler takes an upload.
    pub takes_upload: bool,
    /// How long its handler may run for a call that is not read as a stream, if its author has set a limit;
    /// `Duration::MAX` for no limit. The host enforces it.
    pub max_call_time: Option<Duration>,
    /// How much of its caller's rate limit a call uses: 1 unless its author has set a cost. Calls of an event with the
    /// cost 0 are not counted. The host enforces it.
    pub cost: u32,
    /// Whether its author lets a GET request start the stream, as an `EventSource` does. Always `false` for an event
    /// that does not stream.
    pub allows_get: bool,
}

/// The guard of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuardInfo {
    /// The folder: `users`, `users/admin`; empty for the root.
    pub folder: String,
    /// The index for [`Instance::call`](super::Instance::call).
    pub index: usize,
}

impl GuardInfo {
    /// Whether this guard runs before the event `name` of its package: an event of its folder or of a subfolder.
    pub fn guards(&self, name: &str) -> bool {
        self.folder.is_empty() || name.strip_prefix(&*self.folder).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// The kind of an event's handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandlerKind {
    /// An `async fn`: returns one response.
    Unary,
    /// A `fn` that returns nothing: the caller gets no response.
    OneWay,
    /// A `fn` that returns a stream: returns any number of items.
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
    /// The symbol's address is null or misaligned.
    #[error("the symbol's address is null or misaligned")]
    BadAddress,
    /// The symbol does not begin with the magic bytes of a package.
    #[error("this is not an events package: its symbol does not begin with the magic bytes of one")]
    NotAPackage,
    /// The package was built with an aaw-event that has another ABI number.
    #[error("the package uses module ABI {found}, this host uses {expected}: build it with the aaw-event of this host")]
    OtherAbi {
        /// The package's number.
        found: u32,
        /// The host's number.
        expected: u32,
    },
    /// A table of the package is shorter than this ABI requires.
    #[error(
        "the package's {table} has {found} bytes, this host expects at least {expected}: it was not built by aaw-event"
    )]
    TooSmall {
        /// The name of the table.
        table: &'static str,
        /// The size in the package.
        found: usize,
        /// The smallest valid size.
        expected: usize,
    },
    /// The package aborts on panic, so a panic in a handler would end the host.
    #[error(
        "the package was built with panic = \"abort\", so a panic in a handler would end the server: build it with \
         panic = \"unwind\""
    )]
    Aborts,
    /// A text is missing or not UTF-8, or a table or a function is missing.
    #[error("the package's {0} is missing or damaged")]
    Damaged(&'static str),
    /// An event's name is invalid.
    #[error("the package {package} has an event with an invalid name: {reason}")]
    BadName {
        /// The package.
        package: String,
        /// The rule that the name violates.
        reason: InvalidName,
    },
    /// An event's name is reserved for aaw.
    #[error(
        "the package {package}: the event name {name} is reserved: aaw and names under aaw/ belong to aaw; rename the \
         file or folder"
    )]
    ReservedName {
        /// The package.
        package: String,
        /// The event.
        name: EventName,
    },
    /// Two events have the same name.
    #[error("duplicate event {name} in the package {package}")]
    Duplicate {
        /// The package.
        package: String,
        /// The event.
        name: EventName,
    },
    /// An event is of a kind that this host does not know.
    #[error(
        "the package {package} has the event {name} of kind {found}, which this host does not know: update the server"
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

/// Checks a package's header and its table of events.
///
/// # Safety
/// As for [`Module::loaded`](super::Module::loaded).
pub(super) unsafe fn check(
    header: *const ModuleHeader,
    mode: u32,
    prebuilt: Option<Arc<dyn PrebuiltServices>>,
) -> Result<ModuleTable, AbiError> {
    // SAFETY: the caller's guarantee is passed on.
    let header = unsafe { check_header(header) }?;
    let package = text(header.package, "name")?;
    let sdk_version = text(header.sdk_version, "version of aaw-event")?;
    let start = header.start.ok_or(AbiError::Damaged("start function"))?;
    let mut entries = CheckedEntries::new(package);
    for entry in event_table(&header)? {
        entries.add(entry)?;
    }
    let mut table = ModuleTable {
        package,
        sdk_version,
        events: Vec::new(),
        entries: Vec::new(),
        open_hook: None,
        close_hook: None,
        password_reset_hook: None,
        resume_hook: None,
        away_hook: None,
        back_hook: None,
        guards: Vec::new(),
        reads_handshakes: header.flags & flags::READS_HANDSHAKE != 0,
        start,
        describe: header.describe,
        mode,
        prebuilt,
    };
    entries.finish(&mut table)?;
    Ok(table)
}

/// # Safety
/// As for [`Module::loaded`](super::Module::loaded).
unsafe fn check_header(header: *const ModuleHeader) -> Result<ModuleHeader, AbiError> {
    if header.is_null() || !header.is_aligned() {
        return Err(AbiError::BadAddress);
    }
    // Nothing beyond these three fields is read until they are known to be valid. SAFETY: the caller guarantees a
    // symbol of aaw-event; in every version of the ABI these three are its first 16 bytes.
    let (magic, abi, size) = unsafe {
        ((&raw const (*header).magic).read(), (&raw const (*header).abi).read(), (&raw const (*header).size).read())
    };
    if magic != MAGIC {
        return Err(AbiError::NotAPackage);
    }
    if abi != ABI {
        return Err(AbiError::OtherAbi { found: abi, expected: ABI });
    }
    check_size("header", size as usize, ModuleHeader::MIN_SIZE)?;
    // SAFETY: a header of this ABI and of this size.
    let header = unsafe { read_header(header, size as usize) };
    if header.flags & flags::UNWINDS == 0 {
        return Err(AbiError::Aborts);
    }
    Ok(header)
}

/// Reads a header. What an older package does not have gets its default.
///
/// # Safety
/// `header` is a header of `size` bytes, at least [`ModuleHeader::MIN_SIZE`] of them.
unsafe fn read_header(header: *const ModuleHeader, size: usize) -> ModuleHeader {
    // SAFETY: all but the last field are within the first `MIN_SIZE` bytes, and that one is read only where it is there.
    unsafe {
        ModuleHeader {
            magic: (&raw const (*header).magic).read(),
            abi: (&raw const (*header).abi).read(),
            size: (&raw const (*header).size).read(),
            flags: (&raw const (*header).flags).read(),
            event_stride: (&raw const (*header).event_stride).read(),
            package: (&raw const (*header).package).read(),
            sdk_version: (&raw const (*header).sdk_version).read(),
            events: (&raw const (*header).events).read(),
            event_count: (&raw const (*header).event_count).read(),
            start: (&raw const (*header).start).read(),
            describe: if size >= size_of::<ModuleHeader>() { (&raw const (*header).describe).read() } else { None },
        }
    }
}

/// The entries of a checked header.
fn event_table(header: &ModuleHeader) -> Result<impl Iterator<Item = EventEntry> + use<>, AbiError> {
    let stride = header.event_stride as usize;
    check_size("table of events", stride, EventEntry::MIN_SIZE)?;
    let len = header.event_count.checked_mul(stride).filter(|len| isize::try_from(*len).is_ok());
    let is_damaged = !stride.is_multiple_of(align_of::<EventEntry>())
        || header.events.is_null()
        || !header.events.is_aligned()
        || len.is_none();
    if is_damaged && header.event_count > 0 {
        return Err(AbiError::Damaged("table of events"));
    }
    let (events, count) = (header.events, header.event_count);
    // SAFETY: the table has `event_count` entries, `stride` bytes apart.
    Ok((0..count).map(move |index| unsafe { read_entry(events.byte_add(index * stride), stride) }))
}

/// Reads an entry. What an older package does not have gets its default.
///
/// # Safety
/// `entry` is an entry of `size` bytes, at least [`EventEntry::MIN_SIZE`] of them.
unsafe fn read_entry(entry: *const EventEntry, size: usize) -> EventEntry {
    // SAFETY: these fields are within the first `MIN_SIZE` bytes, and the others are read only where they are there.
    unsafe {
        EventEntry {
            name: (&raw const (*entry).name).read(),
            kind: (&raw const (*entry).kind).read(),
            flags: (&raw const (*entry).flags).read(),
            call: (&raw const (*entry).call).read(),
            max_call_ms: if size >= EventEntry::SIZE_WITHOUT_RUN {
                (&raw const (*entry).max_call_ms).read()
            } else {
                0
            },
            run: if size >= EventEntry::SIZE_WITHOUT_COST { (&raw const (*entry).run).read() } else { None },
            cost: if size >= EventEntry::SIZE_WITHOUT_RESERVED {
                (&raw const (*entry).cost).read()
            } else {
                DEFAULT_COST
            },
            reserved: 0,
        }
    }
}

/// The entries of a table, sorted into events, hooks and guards as they are checked.
struct CheckedEntries {
    package: &'static str,
    events: Vec<EventInfo>,
    event_entries: Vec<CallEntry>,
    open_hook: Option<CallEntry>,
    close_hook: Option<CallEntry>,
    password_reset_hook: Option<CallEntry>,
    resume_hook: Option<CallEntry>,
    away_hook: Option<CallEntry>,
    back_hook: Option<CallEntry>,
    /// By folder.
    guards: Vec<(&'static str, CallEntry)>,
}

impl CheckedEntries {
    fn new(package: &'static str) -> Self {
        Self {
            package,
            events: Vec::new(),
            event_entries: Vec::new(),
            open_hook: None,
            close_hook: None,
            password_reset_hook: None,
            resume_hook: None,
            away_hook: None,
            back_hook: None,
            guards: Vec::new(),
        }
    }

    fn add(&mut self, entry: EventEntry) -> Result<(), AbiError> {
        let own_name = text(entry.name, "name of an event")?;
        let call = entry.call.ok_or(AbiError::Damaged("function of an event"))?;
        let is_streaming = entry.kind == kind::STREAMING;
        let call_entry = CallEntry { call, run: entry.run, is_streaming, name: own_name };
        let (hook, expected_name) = match entry.kind {
            kind::OPEN => (&mut self.open_hook, hook_name::OPEN),
            kind::CLOSE => (&mut self.close_hook, hook_name::CLOSE),
            kind::PASSWORD_RESET => (&mut self.password_reset_hook, hook_name::PASSWORD_RESET),
            kind::RESUME => (&mut self.resume_hook, hook_name::RESUME),
            kind::AWAY => (&mut self.away_hook, hook_name::AWAY),
            kind::BACK => (&mut self.back_hook, hook_name::BACK),
            kind::GUARD => {
                let folder = guarded_folder(own_name).ok_or(AbiError::Damaged("table of guards"))?;
                self.guards.push((folder, call_entry));
                return Ok(());
            }
            _ => return self.add_event(entry, call_entry),
        };
        let is_second = hook.replace(call_entry).is_some();
        if is_second || own_name != expected_name {
            return Err(AbiError::Damaged("table of hooks"));
        }
        Ok(())
    }

    fn add_event(&mut self, entry: EventEntry, call_entry: CallEntry) -> Result<(), AbiError> {
        let package = || self.package.to_owned();
        let name =
            EventName::parse(call_entry.name).map_err(|reason| AbiError::BadName { package: package(), reason })?;
        if name.is_reserved() {
            return Err(AbiError::ReservedName { package: package(), name });
        }
        let kind = match entry.kind {
            kind::UNARY => HandlerKind::Unary,
            kind::ONE_WAY => HandlerKind::OneWay,
            kind::STREAMING => HandlerKind::Streaming,
            found => return Err(AbiError::UnknownKind { package: package(), name, found }),
        };
        self.event_entries.push(call_entry);
        let takes_upload = entry.flags & entry_flags::TAKES_UPLOAD != 0;
        let max_call_time = match entry.max_call_ms {
            0 => None,
            u32::MAX => Some(Duration::MAX),
            ms => Some(Duration::from_millis(ms.into())),
        };
        let allows_get = kind == HandlerKind::Streaming && entry.flags & entry_flags::ALLOWS_GET != 0;
        self.events.push(EventInfo { name, kind, takes_upload, max_call_time, cost: entry.cost, allows_get });
        Ok(())
    }

    /// Checks for duplicates, and writes events and hooks to `table`.
    fn finish(mut self, table: &mut ModuleTable) -> Result<(), AbiError> {
        // A folder's path is longer than those of the folders around it, so this order is outermost first.
        self.guards.sort_by_key(|(folder, _)| (folder.len(), *folder));
        if self.guards.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(AbiError::Damaged("table of guards"));
        }
        let mut names: Vec<_> = self.events.iter().map(|event| &event.name).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(AbiError::Duplicate { package: self.package.to_owned(), name: pair[0].clone() });
        }
        table.events = self.events;
        table.entries = self.event_entries;
        let mut add = |entry| {
            table.entries.push(entry);
            table.entries.len() - 1
        };
        table.open_hook = self.open_hook.map(&mut add);
        table.close_hook = self.close_hook.map(&mut add);
        table.password_reset_hook = self.password_reset_hook.map(&mut add);
        table.resume_hook = self.resume_hook.map(&mut add);
        table.away_hook = self.away_hook.map(&mut add);
        table.back_hook = self.back_hook.map(&mut add);
        let guards = self.guards.into_iter();
        table.guards =
            guards.map(|(folder, entry)| GuardInfo { folder: folder.to_owned(), index: add(entry) }).collect();
        Ok(())
    }
}

/// The folder of the guard with this name; `None` if the name is not that of a guard in a folder that can hold events.
fn guarded_folder(guard: &str) -> Option<&str> {
    if guard == "_guard" {
        return Some("");
    }
    guard.strip_suffix("/_guard").filter(|folder| EventName::parse(folder).is_ok())
}

fn check_size(table: &'static str, found: usize, expected: usize) -> Result<(), AbiError> {
    if found < expected { Err(AbiError::TooSmall { table, found, expected }) } else { Ok(()) }
}

fn text(bytes: Bytes, what: &'static str) -> Result<&'static str, AbiError> {
    // SAFETY: the texts of a table live as long as its library, which is never unloaded.
    unsafe { bytes.as_checked() }.ok_or(AbiError::Damaged(what))
}
