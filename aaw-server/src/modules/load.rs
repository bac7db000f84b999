//! All events of a place: built if need be, then opened.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use aaw_event::Module;

use super::build::{BuildError, Built, build};
use super::find::EventsAt;
use super::folder::{self, FolderError, Found};
use super::open::{self, OpenError};
use crate::Events;

/// Why the events of a place could not be loaded. Each text names the file or the package.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The package could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The folder could not be walked.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// There is no library any more.
    #[error("the folder {} holds no library (*.{})", .0.display(), std::env::consts::DLL_EXTENSION)]
    Empty(PathBuf),
    /// A library could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Loads all events of a place: builds its package with cargo (whose messages appear on standard error) or walks its
/// folder, then checks and opens each library.
///
/// Runs no code of an event; the services are built when the server starts. A package is built in the profile that
/// this program was built in. One library that is wrong spoils the whole: what is served is what lies there.
///
/// Dropping the future ends cargo, and does not open what is not open yet.
///
/// # Errors
/// [`LoadError`] names what is wrong with which file.
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
    let place = look(at).await?;
    Ok(open_all(place.libraries, Known::default()).await?.0)
}

/// What lies at a place now.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) libraries: Vec<Found>,
    /// For a package.
    pub(super) built: Option<Built>,
}

pub(super) async fn look(at: &EventsAt) -> Result<Place, LoadError> {
    let alone = |library: &Path| vec![Found { path: library.to_owned(), prefix: String::new() }];
    match at {
        EventsAt::Package(path) => {
            let built = build(path).await?;
            Ok(Place { libraries: alone(&built.library), built: Some(built) })
        }
        EventsAt::Library(path) => Ok(Place { libraries: alone(path), built: None }),
        EventsAt::Folder(path) => {
            let top = path.clone();
            let libraries = blocking(move || folder::libraries(&top)).await?;
            if libraries.is_empty() {
                return Err(LoadError::Empty(path.clone()));
            }
            Ok(Place { libraries, built: None })
        }
    }
}

/// Libraries that were opened, so that one which has not changed need not be opened again: each stays in memory.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Known {
    /// By path, and with the prefix, which a moved folder changes.
    libraries: HashMap<(PathBuf, String), OpenInfo>,
}

#[derive(Debug, Clone)]
struct OpenInfo {
    /// Of the library's bytes.
    hash: u64,
    module: Module,
}

/// The module follows from the bytes.
impl PartialEq for OpenInfo {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

/// Opens those that are not known as they are; gives them all, and what is known from now on.
pub(super) async fn open_all(libraries: Vec<Found>, known: Known) -> Result<(Vec<Events>, Known), OpenError> {
    blocking(move || {
        let mut events = Vec::new();
        let mut now = Known::default();
        for Found { path, prefix } in libraries {
            let bytes = open::read(&path)?;
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            let hash = hasher.finish();
            let key = (path, prefix);
            let opened = match known.libraries.get(&key) {
                Some(opened) if opened.hash == hash => opened.clone(),
                _ => OpenInfo { hash, module: open::open_bytes(&key.0, &bytes)? },
            };
            let origin = key.0.display().to_string();
            events.push(Events { module: opened.module.clone(), prefix: key.1.clone(), origin });
            now.libraries.insert(key, opened);
        }
        Ok((events, now))
    })
    .await
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Its runtime is being shut down, and whoever waits for this with it.
            Err(_) => std::future::pending().await,
        },
    }
}
