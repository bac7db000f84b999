//! From a file to a module.

use std::ffi::OsString;
use std::io;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use aaw_event::Module;
use aaw_event::abi::ModuleHeader;
use aaw_event::host::AbiError;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::check::{LibraryCheckError, check};

/// Libraries stay for ever, so every so many of them the log says so.
const WARN_EVERY: usize = 200;

/// How many libraries this process has opened.
static OPENED: AtomicUsize = AtomicUsize::new(0);

/// Why a library could not be opened. Each text names it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be read.
    #[error("{}: the library cannot be read: {reason}", path.display())]
    Unreadable {
        /// The library.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// It is no library of events.
    #[error("{}: {reason}", path.display())]
    LibraryCheckError {
        /// The library.
        path: PathBuf,
        /// What is wrong with it.
        reason: LibraryCheckError,
    },
    /// No copy of it could be made.
    #[error("{}: the library cannot be copied to {}: {reason}; set TMPDIR to a folder that can be written", path.display(), folder.display())]
    NotCopied {
        /// The library.
        path: PathBuf,
        /// Where temporary files are kept.
        folder: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The system's linker refused it: something that it needs is missing, say.
    #[error("{}: the system cannot open the library: {reason}", path.display())]
    Refused {
        /// The library.
        path: PathBuf,
        /// What the linker says.
        reason: String,
    },
    /// It was opened, but its table cannot be used.
    #[error("{}: {reason}", path.display())]
    Abi {
        /// The library.
        path: PathBuf,
        /// What is wrong with it.
        reason: AbiError,
    },
}

/// Opens a library of events.
///
/// The file is read whole and checked; what is opened is a copy of these very bytes that no one else sees, so the file
/// may be overwritten, renamed or removed at any time, and opening a path again gives what lies there now. The library
/// is never closed: code of it may still run. About a megabyte of mapped pages stays for each one that was opened, and
/// the log warns after each 200.
///
/// Blocks: it reads, writes and maps files. In async code, use `spawn_blocking` around it, or [`load`](super::load).
///
/// # Trust
///
/// Opening a library runs its initialisers, and nothing can check what its code does: open what you would also link.
///
/// # Errors
/// [`OpenError`] names the file and says what is wrong with it.
///
/// ```no_run
/// use aaw_server::{Config, Server, modules};
///
/// let shop = modules::open("libshop.so".as_ref())?;
/// let server = Server::new(Config::default()).events(shop);
/// # drop(server);
/// # Ok::<(), modules::OpenError>(())
/// ```
pub fn open(path: &Path) -> Result<Module, OpenError> {
    open_bytes(path, &read(path)?)
}

/// The library as it lies there now.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, OpenError> {
    // Asked first, since reading a pipe might never end.
    let is_file = std::fs::metadata(path).map(|found| found.is_file());
    let bytes = match is_file {
        Ok(true) => std::fs::read(path),
        Ok(false) => Err(io::Error::other("it is no regular file")),
        Err(error) => Err(error),
    };
    bytes.map_err(|reason| OpenError::Unreadable { path: path.to_owned(), reason })
}

/// Opens what was read from `path`.
pub(super) fn open_bytes(path: &Path, library: &[u8]) -> Result<Module, OpenError> {
    let symbol = check(library).map_err(|reason| OpenError::LibraryCheckError { path: path.to_owned(), reason })?;

    // The linker takes a path that it has seen for the library that it has; hence a name that is used once.
    let folder = std::env::temp_dir();
    let mut name = OsString::from("-");
    name.push(path.file_name().unwrap_or_default());
    let copy = tempfile::Builder::new().prefix("aaw-").suffix(&name).tempfile_in(&folder).and_then(|mut file| {
        io::Write::write_all(&mut file, library)?;
        Ok(file.into_temp_path())
    });
    let copy = copy.map_err(|reason| OpenError::NotCopied { path: path.to_owned(), folder, reason })?;

    let refused = |error: libloading::Error| {
        let reason = match std::error::Error::source(&error) {
            Some(cause) => cause.to_string(),
            None => error.to_string(),
        };
        // It names the copy, which nobody knows.
        let mut reason = reason.replace(&*copy.to_string_lossy(), "it");
        if reason.contains("failed to map") {
            let folder = copy.parent().unwrap_or(Path::new("?")).display();
            reason.push_str(&format!("; it was copied to {folder}: set TMPDIR to a folder that programs may run from"));
        }
        OpenError::Refused { path: path.to_owned(), reason }
    };
    // SAFETY: its initialisers run: those of a Rust cdylib that was checked to be whole and to say that it is an
    // events package, which whoever starts the server trusts.
    let library = unsafe { Library::open(Some(&*copy), RTLD_NOW | RTLD_LOCAL) }.map_err(refused)?;
    // Never unloaded: its code may run at any time, from its own threads and in what thread-locals leave behind.
    let library = ManuallyDrop::new(library);
    // SAFETY: only its address is taken, which any symbol has.
    let header = unsafe { library.get::<*const ModuleHeader>(symbol.as_bytes()) }.map_err(refused)?;
    // SAFETY: the address of the symbol `aaw_module_v1_…`, which was checked to be a table and which only aaw-event
    // makes, in a library that is never unloaded.
    let module = unsafe { Module::loaded(*header) };

    let opened = OPENED.fetch_add(1, Ordering::Relaxed) + 1;
    tracing::debug!(library = %path.display(), opened, "opened a library");
    if opened.is_multiple_of(WARN_EVERY) {
        tracing::warn!(
            "{opened} libraries were opened, and each stays in memory for good: restart the server when it suits"
        );
    }
    module.map_err(|reason| OpenError::Abi { path: path.to_owned(), reason })
}
