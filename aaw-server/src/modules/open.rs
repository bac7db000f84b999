//! Opens a library as a module.

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

/// Opened libraries stay in memory, so a warning is logged whenever this many more have been opened.
const WARN_INTERVAL: usize = 200;

/// The number of libraries that this process has opened.
static OPENED: AtomicUsize = AtomicUsize::new(0);

/// Why a library could not be opened. The message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be read.
    #[error("{}: cannot read the library: {reason}", path.display())]
    Unreadable {
        /// The library.
        path: PathBuf,
        /// The system's error.
        reason: io::Error,
    },
    /// The file is not a library of events that this server can open.
    #[error("{}: {reason}", path.display())]
    Check {
        /// The library.
        path: PathBuf,
        /// The reason.
        reason: LibraryCheckError,
    },
    /// The library could not be copied.
    #[error("{}: cannot copy the library to {}: {reason}; set TMPDIR to a writable folder", path.display(), folder.display())]
    Copy {
        /// The library.
        path: PathBuf,
        /// The folder of temporary files.
        folder: PathBuf,
        /// The system's error.
        reason: io::Error,
    },
    /// The dynamic linker cannot open the library, for example because a symbol is undefined.
    #[error("{}: the dynamic linker cannot open the library: {reason}", path.display())]
    Link {
        /// The library.
        path: PathBuf,
        /// The linker's message.
        reason: String,
    },
    /// The library was opened, but its table of events cannot be used.
    #[error("{}: {reason}", path.display())]
    Abi {
        /// The library.
        path: PathBuf,
        /// The reason.
        reason: AbiError,
    },
}

/// Opens a library of events.
///
/// The file is read and checked, and a private copy of it is opened. The file may therefore be overwritten, renamed or
/// removed at any time, and opening the path again opens its new contents. The library is never unloaded, since its
/// code may still run: each opened library keeps about a megabyte of mapped pages, and a warning is logged after every
/// 200.
///
/// This function blocks: it reads, writes and maps files. In async code, call it within `spawn_blocking`, or use
/// [`load`](super::load).
///
/// # Trust
///
/// Opening a library runs its initializers, and its code is not restricted in any way: open only what you would also
/// link.
///
/// # Errors
/// [`OpenError`] if the file cannot be read, is not a library of events for this server, or cannot be copied or linked.
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

/// Reads the file of a library.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, OpenError> {
    // Checked before reading, since reading from a pipe might never end.
    let is_file = std::fs::metadata(path).map(|found| found.is_file());
    let bytes = match is_file {
        Ok(true) => std::fs::read(path),
        Ok(false) => Err(io::Error::other("it is not a regular file")),
        Err(error) => Err(error),
    };
    bytes.map_err(|reason| OpenError::Unreadable { path: path.to_owned(), reason })
}

/// Opens a library that was read from `path`.
pub(super) fn open_bytes(path: &Path, library: &[u8]) -> Result<Module, OpenError> {
    let symbol = check(library).map_err(|reason| OpenError::Check { path: path.to_owned(), reason })?;

    // The linker identifies libraries by their path and would return the one that is open; so each copy has a unique
    // name.
    let folder = std::env::temp_dir();
    let mut name = OsString::from("-");
    name.push(path.file_name().unwrap_or_default());
    let copy = tempfile::Builder::new().prefix("aaw-").suffix(&name).tempfile_in(&folder).and_then(|mut file| {
        io::Write::write_all(&mut file, library)?;
        Ok(file.into_temp_path())
    });
    let copy = copy.map_err(|reason| OpenError::Copy { path: path.to_owned(), folder, reason })?;

    let link_error = |error: libloading::Error| {
        let reason = match std::error::Error::source(&error) {
            Some(cause) => cause.to_string(),
            None => error.to_string(),
        };
        // The message names the temporary copy, which means nothing to the user.
        let mut reason = reason.replace(&*copy.to_string_lossy(), "the library");
        if reason.contains("failed to map") {
            let folder = copy.parent().unwrap_or(Path::new("?")).display();
            reason.push_str(&format!(
                "; it was copied to {folder}: set TMPDIR to a folder on a file system without `noexec`"
            ));
        }
        OpenError::Link { path: path.to_owned(), reason }
    };
    // SAFETY: opening runs the initializers of the library. It was checked to be a complete library that exports the
    // symbol of an events package, and its code is trusted by the operator of the server.
    let library = unsafe { Library::open(Some(&*copy), RTLD_NOW | RTLD_LOCAL) }.map_err(link_error)?;
    // Never unloaded: its code may run at any time, on its own threads and in destructors of thread-locals.
    let library = ManuallyDrop::new(library);
    // SAFETY: only the address of the symbol is taken, which is valid for a symbol of any type.
    let header = unsafe { library.get::<*const ModuleHeader>(symbol.as_bytes()) }.map_err(link_error)?;
    // SAFETY: this is the address of the symbol `aaw_module_v1_…`, which was checked to be a table and which only
    // aaw-event defines, in a library that is never unloaded.
    let module = unsafe { Module::loaded(*header) };

    let opened = OPENED.fetch_add(1, Ordering::Relaxed) + 1;
    tracing::debug!(library = %path.display(), opened, "opened a library");
    if opened.is_multiple_of(WARN_INTERVAL) {
        tracing::warn!(
            "{opened} libraries have been opened, and each stays in memory until the server exits: consider restarting it"
        );
    }
    module.map_err(|reason| OpenError::Abi { path: path.to_owned(), reason })
}
