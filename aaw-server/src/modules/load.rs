//! Loads all events of a source: builds its package if necessary, then opens its libraries.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aaw_event::Module;

use super::blocking::blocking;
use super::build::{BuildError, BuiltPackage, build};
use super::find::EventsAt;
use super::folder::{self, FolderError, FoundLibrary};
use super::open::{self, OpenError};
use crate::registry::Events;

/// Why events could not be loaded. The message names the file or the package.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The package could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The folder could not be searched.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The folder contains no library any more.
    #[error("the folder {} contains no libraries (*.{})", .0.display(), std::env::consts::DLL_EXTENSION)]
    NoLibraries(PathBuf),
    /// A library could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Loads all events of a source: builds its package with cargo (whose messages go to standard error) or searches its
/// folder, then checks and opens each library.
///
/// No handler runs; services are built when the server starts. A package is built in the profile in which this program
/// was built. If one library is invalid, loading fails as a whole.
///
/// Dropping the future kills cargo. Libraries that are already being opened are opened nevertheless, and stay in
/// memory.
///
/// # Errors
/// [`LoadError`] if the package does not build, the folder cannot be read or contains no libraries, or a library cannot
/// be opened.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use aaw_server::modules::{self, EventsAt};
/// use aaw_server::{Config, Server};
///
/// let events = modules::load(&EventsAt::find("events".as_ref())?).await?;
/// let server = events.into_iter().fold(Server::new(Config::default()), Server::events);
/// # drop(server);
/// # Ok(()) }
/// ```
pub async fn load(at: &EventsAt) -> Result<Vec<Events>, LoadError> {
    let located = locate(at, None).await?;
    Ok(open_all(located.libraries, ModuleCache::default()).await?.0)
}

/// The libraries of a source.
#[derive(Debug)]
pub(super) struct LocatedLibraries {
    pub(super) libraries: Vec<FoundLibrary>,
    /// Set if the source is a package.
    pub(super) built: Option<BuiltPackage>,
}

/// Builds the package of a source, or searches its folder. `loaded_at` is when this program began to build it last.
pub(super) async fn locate(at: &EventsAt, loaded_at: Option<SystemTime>) -> Result<LocatedLibraries, LoadError> {
    let single = |library: &Path| vec![FoundLibrary { path: library.to_owned(), prefix: String::new() }];
    match at {
        EventsAt::Package(path) => {
            let built = build(path, loaded_at).await?;
            Ok(LocatedLibraries { libraries: single(&built.library), built: Some(built) })
        }
        EventsAt::Library(path) => Ok(LocatedLibraries { libraries: single(path), built: None }),
        EventsAt::Folder(path) => {
            let top = path.clone();
            let libraries = blocking(move || folder::libraries(&top)).await?;
            if libraries.is_empty() {
                return Err(LoadError::NoLibraries(path.clone()));
            }
            Ok(LocatedLibraries { libraries, built: None })
        }
    }
}

/// The modules that were opened last. A library that has not changed is not opened again, since each opened library
/// stays in memory.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct ModuleCache {
    /// By path and prefix; moving a folder changes the prefix.
    modules: HashMap<(PathBuf, String), CachedModule>,
}

#[derive(Debug, Clone)]
struct CachedModule {
    /// The hash of the library's bytes.
    hash: u64,
    module: Module,
}

/// Compares the hashes only, since the bytes determine the module.
impl PartialEq for CachedModule {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

/// Opens the libraries that are not in the cache or have changed. Returns the events of all libraries, and the new
/// cache.
pub(super) async fn open_all(
    libraries: Vec<FoundLibrary>,
    cache: ModuleCache,
) -> Result<(Vec<Events>, ModuleCache), OpenError> {
    blocking(move || {
        let mut events = Vec::new();
        let mut new_cache = ModuleCache::default();
        for FoundLibrary { path, prefix } in libraries {
            let bytes = open::read(&path)?;
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            let hash = hasher.finish();
            let key = (path, prefix);
            let cached = match cache.modules.get(&key) {
                Some(cached) if cached.hash == hash => cached.clone(),
                _ => CachedModule { hash, module: open::open_bytes(&key.0, &bytes)? },
            };
            let origin = key.0.display().to_string();
            events.push(Events { module: cached.module.clone(), prefix: key.1.clone(), origin });
            new_cache.modules.insert(key, cached);
        }
        Ok((events, new_cache))
    })
    .await
}
