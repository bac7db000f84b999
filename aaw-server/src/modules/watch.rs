//! Loads events again whenever their sources change.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use notify::event::{AccessKind, AccessMode, EventKind, MetadataKind, ModifyKind};
use notify::{PollWatcher, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::build::{BuiltPackage, package_of};
use super::find::EventsAt;
use super::folder::{is_hidden, is_library};
use super::load::{LoadError, ModuleCache, locate, open_all};
use crate::registry::Events;

/// How long there must be no further change before the events are loaded again: editors save several files in a row,
/// and write a file in several steps.
const QUIET_PERIOD: Duration = Duration::from_millis(100);

/// The maximum time to wait for a quiet period.
const MAX_DEBOUNCE: Duration = Duration::from_secs(2);

/// How often in a row a load is given up for a newer save. More often, it is probably the build that writes to its sources.
const MAX_RESTARTS: usize = 3;

/// Why the source of events cannot be watched, for example because the system's limit of watched folders is reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {}: {reason}", path.display())]
pub struct WatchError {
    path: PathBuf,
    reason: notify::Error,
}

/// Loads events, and loads them again whenever their sources change.
///
/// The sources of a package are its `src`, its `Cargo.toml` and `Cargo.lock`, its path dependencies, and all other
/// files that cargo has used; those of a folder are its libraries. Temporary files of editors are ignored. A file that is
/// saved during a build ends that build, and starts another one.
///
/// ```no_run
/// # async fn example(serve: impl Fn(Vec<aaw_server::Events>)) -> Result<(), Box<dyn std::error::Error>> {
/// use aaw_server::modules::{EventsAt, Watch};
///
/// let mut watch = Watch::new(EventsAt::find("events".as_ref())?)?;
/// serve(watch.load().await?);
/// loop {
///     serve(watch.next().await);
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Watch {
    at: EventsAt,
    /// The modules that were returned last.
    cache: ModuleCache,
    watched: WatchedPaths,
    /// Never read: it watches until it is dropped.
    watcher: FileWatcher,
    /// How often files are looked at; `None` if the system reports changes.
    poll_interval: Option<Duration>,
    changes: Arc<Changes>,
    /// When the last load that was not dropped began.
    loaded_at: Option<SystemTime>,
    /// Whether there was a change that was not loaded yet.
    is_stale: bool,
    /// Whether the last attempt failed; the next success is then logged even if the events are unchanged.
    has_failed: bool,
}

impl Watch {
    /// Starts to watch; all changes from now on are noticed.
    ///
    /// # Errors
    /// [`WatchError`] if the system cannot watch the folders: their number is limited.
    pub fn new(at: EventsAt) -> Result<Self, WatchError> {
        Self::start(at, None)
    }

    /// [`new`](Self::new), for file systems that report no changes, such as some network file systems and mounts of
    /// containers: reads all files once in `interval`.
    ///
    /// # Errors
    /// [`WatchError`] if the folders cannot be read.
    pub fn polling(at: EventsAt, interval: Duration) -> Result<Self, WatchError> {
        Self::start(at, Some(interval))
    }

    fn start(at: EventsAt, poll_interval: Option<Duration>) -> Result<Self, WatchError> {
        let watched = WatchedPaths::new(&at, None);
        let changes = Arc::default();
        let watcher = start_watcher(&at, &watched, poll_interval, &changes)?;
        Ok(Self {
            at,
            cache: ModuleCache::default(),
            watched,
            watcher,
            poll_interval,
            changes,
            loaded_at: None,
            is_stale: true,
            has_failed: false,
        })
    }

    /// Loads the events for the first time, as [`load`](super::load) does.
    ///
    /// # Errors
    /// As [`load`](super::load).
    pub async fn load(&mut self) -> Result<Vec<Events>, LoadError> {
        Ok(self.load_newest().await?.0)
    }

    /// Waits until the events have changed, and returns all of them.
    ///
    /// If loading fails, the error is logged and the next change is awaited. A change that results in the same
    /// libraries is ignored. Unchanged libraries are not opened again and keep their [`Module`](aaw_event::Module).
    ///
    /// Dropping the future kills cargo and loses no change: the next call loads again.
    pub async fn next(&mut self) -> Vec<Events> {
        loop {
            if !self.is_stale {
                self.wait_for_change().await;
                self.is_stale = true;
            }
            let loaded = self.load_newest().await;
            let had_failed = std::mem::replace(&mut self.has_failed, loaded.is_err());
            match loaded {
                Ok((events, true)) => return events,
                Ok((_, false)) if had_failed => tracing::info!("the error is fixed; the events are unchanged"),
                Ok((_, false)) => tracing::debug!("a file was saved; the events are unchanged"),
                Err(error) => tracing::error!("keeping the previous events: {error}"),
            }
        }
    }

    /// Clears the cache of opened modules: the next change returns the events even if they are unchanged, and opens
    /// them again.
    ///
    /// For a server that could not start the services of the events, because the cause may lie elsewhere, for example
    /// in a database.
    pub fn forget(&mut self) {
        self.cache = ModuleCache::default();
    }

    /// Waits for a change, and then for a quiet period.
    async fn wait_for_change(&self) {
        self.changes.any.notified().await;
        self.wait_for_quiet_period().await;
    }

    async fn wait_for_quiet_period(&self) {
        let first = Instant::now();
        while first.elapsed() < MAX_DEBOUNCE && timeout(QUIET_PERIOD, self.changes.any.notified()).await.is_ok() {}
    }

    /// Loads, and starts again when a file is saved meanwhile: a build may take long, or never end. Returns the events,
    /// and whether they have changed.
    async fn load_newest(&mut self) -> Result<(Vec<Events>, bool), LoadError> {
        for _ in 0..MAX_RESTARTS {
            let changes = Arc::clone(&self.changes);
            // Files that were saved before are loaded now.
            let _ = changes.saved.notified().now_or_never();
            tokio::select! {
                biased;
                loaded = self.try_load() => return loaded,
                () = changes.saved.notified() => {}
            }
            tracing::info!("a file was saved meanwhile: loading the events again");
            self.wait_for_quiet_period().await;
        }
        self.try_load().await
    }

    /// Loads once; returns the events, and whether they have changed.
    async fn try_load(&mut self) -> Result<(Vec<Events>, bool), LoadError> {
        self.restart_watcher();
        // Loading includes all changes that were reported so far.
        let _ = self.changes.any.notified().now_or_never();
        let started = SystemTime::now();
        let loaded = self.load_changed().await;
        self.loaded_at = Some(started);
        self.is_stale = false;
        loaded
    }

    async fn load_changed(&mut self) -> Result<(Vec<Events>, bool), LoadError> {
        let located = locate(&self.at, self.loaded_at).await?;
        if let Some(built) = &located.built {
            let watched = WatchedPaths::new(&self.at, Some(built));
            if watched != self.watched {
                self.watched = watched;
                self.restart_watcher();
            }
        }
        let (events, cache) = open_all(located.libraries, self.cache.clone()).await?;
        let have_changed = cache != self.cache;
        self.cache = cache;
        Ok((events, have_changed))
    }

    /// Replaces the watcher, since a removed and created folder has to be watched again. The old watcher works until
    /// the new one does.
    fn restart_watcher(&mut self) {
        match start_watcher(&self.at, &self.watched, self.poll_interval, &self.changes) {
            Ok(watcher) => self.watcher = watcher,
            Err(error) => tracing::warn!("some changes may not be noticed: {error}"),
        }
    }
}

/// What watches the files, until it is dropped.
#[derive(Debug)]
enum FileWatcher {
    System(RecommendedWatcher),
    Poll(PollWatcher),
}

impl FileWatcher {
    fn watch(&mut self, folder: &Path) -> notify::Result<()> {
        match self {
            Self::System(watcher) => watcher.watch(folder, RecursiveMode::NonRecursive),
            Self::Poll(watcher) => watcher.watch(folder, RecursiveMode::NonRecursive),
        }
    }
}

/// The changes that were noticed and not handled yet.
#[derive(Debug, Default)]
struct Changes {
    /// There is a change of any kind.
    any: Notify,
    /// A file was probably saved: not a change by the build itself, which writes `Cargo.lock` and sets times.
    saved: Notify,
}

/// Watches the paths, and reports each relevant change to `changes`.
fn start_watcher(
    at: &EventsAt,
    watched: &WatchedPaths,
    poll_interval: Option<Duration>,
    changes: &Arc<Changes>,
) -> Result<FileWatcher, WatchError> {
    let failed = |reason| WatchError { path: at.path().to_owned(), reason };
    let (paths, changes) = (watched.clone(), changes.clone());
    let handler = move |event: notify::Result<notify::Event>| match event {
        Ok(event) if !event.need_rescan() && !paths.is_affected_by(&event) => {}
        // Also if notifications were lost or there is an error: an unnecessary load is harmless.
        event => {
            if !event.is_ok_and(|event| is_by_build(&event)) {
                changes.saved.notify_one();
            }
            changes.any.notify_one();
        }
    };
    let mut watcher = match poll_interval {
        None => FileWatcher::System(notify::recommended_watcher(handler).map_err(failed)?),
        Some(interval) => {
            // The times are compared by the second, which two saves can share.
            let config = notify::Config::default().with_poll_interval(interval).with_compare_contents(true);
            FileWatcher::Poll(PollWatcher::new(handler, config).map_err(failed)?)
        }
    };
    for folder in watched.folders() {
        match watcher.watch(&folder) {
            Ok(()) => {}
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(watcher)
}

/// Whether an event may be from a build: see [`Changes::saved`].
fn is_by_build(event: &notify::Event) -> bool {
    matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)))
        || (!event.paths.is_empty() && event.paths.iter().all(|path| path.ends_with("Cargo.lock")))
}

/// Whether the folder was removed meanwhile; the watch of its parent reports that.
fn is_not_found(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// The paths whose changes are relevant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WatchedPaths {
    /// Single files, whether they exist or not.
    files: BTreeSet<PathBuf>,
    /// Folders with everything below them.
    trees: BTreeSet<PathBuf>,
    /// Folders that are never watched: cargo writes there, so a build would trigger the next one.
    output_folders: BTreeSet<PathBuf>,
    /// Whether only the libraries in `trees` are relevant.
    libraries_only: bool,
}

impl WatchedPaths {
    fn new(at: &EventsAt, built: Option<&BuiltPackage>) -> Self {
        let mut files = BTreeSet::new();
        let mut trees = BTreeSet::new();
        let output_folders = built.map(|built| built.output_folders.clone()).unwrap_or_default();
        match at {
            EventsAt::Library(path) => files.extend([path.clone()]),
            EventsAt::Folder(path) => trees.extend([path.clone()]),
            EventsAt::Package(path) => {
                let mut packages = BTreeSet::from([path.clone()]);
                if let Some(built) = built {
                    packages.extend([built.folder.clone(), built.workspace.clone()]);
                    packages.extend(built.sources.iter().filter_map(|source| package_of(source)));
                    // A folder in the list was named by a build script, which depends on everything below it.
                    let (source_folders, source_files) =
                        built.sources.iter().cloned().partition::<Vec<_>, _>(|path| path.is_dir());
                    files.extend(source_files);
                    trees.extend(source_folders);
                }
                for package in packages {
                    let package_files = [
                        "Cargo.toml",
                        "Cargo.lock",
                        "build.rs",
                        "rust-toolchain.toml",
                        "rust-toolchain",
                        ".cargo/config.toml",
                    ];
                    files.extend(package_files.map(|file| package.join(file)));
                    trees.insert(package.join("src"));
                }
            }
        }
        // Without symbolic links, as the system reports paths.
        let resolved = |paths: BTreeSet<PathBuf>| paths.into_iter().map(|path| resolve_links(&path)).collect();
        let libraries_only = matches!(at, EventsAt::Folder(_));
        Self {
            files: resolved(files),
            trees: resolved(trees),
            output_folders: resolved(output_folders),
            libraries_only,
        }
    }

    fn is_affected_by(&self, event: &notify::Event) -> bool {
        // A build opens and reads the sources, which is not a change.
        let is_read = matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
        !is_read && event.paths.iter().any(|path| self.contains(path))
    }

    fn contains(&self, path: &Path) -> bool {
        if self.files.contains(path) {
            return true;
        }
        let Some(tree) = self.trees.iter().find(|tree| path.starts_with(tree)) else { return false };
        if path == tree {
            return true;
        }
        if self.is_output(path) {
            return false;
        }
        // A path without an extension may be a removed folder, which cannot be checked any more.
        let is_relevant = !self.libraries_only || is_library(path) || path.extension().is_none();
        let inside = path.strip_prefix(tree).unwrap_or(path);
        is_relevant && !inside.iter().any(|part| is_hidden(Path::new(part))) && !is_temporary(path)
    }

    /// The folders to watch. Each is watched separately and not recursively: the folder of a package may contain a
    /// target folder, with more folders in it than the system can watch.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for path in self.files.iter().chain(&self.trees) {
            folders.extend(path.parent().filter(|folder| folder.is_dir()).map(Path::to_owned));
        }
        let mut seen = BTreeSet::new();
        for tree in &self.trees {
            self.add_tree(tree, &mut seen, &mut folders);
        }
        folders
    }

    /// Adds a folder and its subfolders. Links are followed; `seen` contains the resolved folders, so that a cycle of
    /// links ends.
    fn add_tree(&self, folder: &Path, seen: &mut BTreeSet<PathBuf>, folders: &mut BTreeSet<PathBuf>) {
        // An unreadable folder is reported when the events are loaded.
        let entries = std::fs::read_dir(folder).and_then(|entries| Ok((entries, folder.canonicalize()?)));
        let Ok((entries, resolved)) = entries else { return };
        if self.is_output(&resolved) || !seen.insert(resolved) {
            return;
        }
        folders.insert(folder.to_owned());
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.is_dir() && !is_hidden(&path) {
                self.add_tree(&path, seen, folders);
            }
        }
    }

    fn is_output(&self, path: &Path) -> bool {
        self.output_folders.iter().any(|folder| path.starts_with(folder))
    }
}

/// Resolves the symbolic links in a path, as far as it exists.
fn resolve_links(path: &Path) -> PathBuf {
    if let Ok(resolved) = path.canonicalize() {
        return resolved;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => resolve_links(parent).join(name),
        _ => path.to_owned(),
    }
}

/// Whether a path is a temporary file that an editor writes beside the saved file. Hidden ones are detected elsewhere.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    // vim creates this file to test whether the folder is writable.
    name == b"4913"
        || name.ends_with(b"~")
        || (name.starts_with(b"#") && name.ends_with(b"#"))
        || matches!(path.extension().and_then(OsStr::to_str), Some("swp" | "swx" | "tmp" | "bak"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(watched: &WatchedPaths, path: &str, expected: bool) {
        assert_eq!(watched.contains(Path::new(path)), expected, "{path}");
    }

    #[test]
    fn only_the_sources_of_a_package_are_watched() {
        let watched = WatchedPaths::new(&EventsAt::Package("/no/such/events".into()), None);
        for path in
            ["src/a.rs", "src/sub/b.rs", "src/sub", "src/query.sql", "src", "Cargo.toml", "Cargo.lock", "build.rs"]
        {
            check(&watched, &format!("/no/such/events/{path}"), true);
        }
        for path in [
            "target/x",
            "orders.db",
            "src/.a.rs.swp",
            "src/a.rs~",
            "src/4913",
            "src/#a.rs#",
            "src/.git/x",
            ".git/x",
            "srcs",
        ] {
            check(&watched, &format!("/no/such/events/{path}"), false);
        }
        check(&watched, "/no/such/other/src/a.rs", false);
    }

    #[test]
    fn the_sources_that_cargo_reports_are_watched_too() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        for folder in ["events/src", "events/target/debug", "shared/src"] {
            std::fs::create_dir_all(top.join(folder)).unwrap();
        }
        for file in ["events/Cargo.toml", "shared/Cargo.toml", "shared/src/lib.rs", "page.html"] {
            std::fs::write(top.join(file), "").unwrap();
        }
        let built = BuiltPackage {
            library: "/elsewhere/libevents.so".into(),
            folder: top.join("events"),
            workspace: top.clone(),
            // The last one is a folder, as from `rerun-if-changed=.` in a build script.
            sources: [top.join("shared/src/lib.rs"), top.join("page.html"), top.join("events")].into(),
            output_folders: [top.join("events/target")].into(),
        };
        let watched = WatchedPaths::new(&EventsAt::Package(top.join("events")), Some(&built));
        for (path, expected) in [
            ("events/src/a.rs", true),
            ("shared/src/new.rs", true),
            ("shared/Cargo.toml", true),
            ("Cargo.lock", true),
            ("page.html", true),
            ("notes.html", false),
            ("events/orders.sql", true),
            ("events/target/debug/libevents.so", false),
        ] {
            check(&watched, &top.join(path).to_string_lossy(), expected);
        }
        let folders = watched.folders();
        assert!(
            folders.contains(&top.join("shared/src")) && !folders.contains(&top.join("events/target")),
            "{folders:?}"
        );
    }

    #[test]
    fn only_the_libraries_of_a_folder_are_watched() {
        let watched = WatchedPaths::new(&EventsAt::Folder("/no/such".into()), None);
        let library = |name: &str| format!("/no/such/{name}{}", std::env::consts::DLL_SUFFIX);
        check(&watched, &library("a"), true);
        check(&watched, &library("shop/a"), true);
        check(&watched, "/no/such/shop", true);
        check(&watched, &library(".a"), false);
        check(&watched, &format!("{}.tmp", library("a")), false);
        check(&watched, "/no/such/notes.txt", false);
    }

    #[test]
    fn what_a_build_does_to_its_sources_is_not_a_save() {
        let event = |kind, path: &str| notify::Event::new(EventKind::Modify(kind)).add_path(path.into());
        assert!(is_by_build(&event(ModifyKind::Metadata(MetadataKind::Any), "/e/src/a.rs")));
        assert!(is_by_build(&event(ModifyKind::Any, "/e/Cargo.lock")));
        assert!(!is_by_build(&event(ModifyKind::Any, "/e/src/a.rs")));
        // From the watcher that polls.
        assert!(!is_by_build(&event(ModifyKind::Metadata(MetadataKind::WriteTime), "/e/src/a.rs")));
    }

    #[test]
    fn reads_are_ignored_and_writes_are_not() {
        let watched = WatchedPaths::new(&EventsAt::Library("/no/such/a.so".into()), None);
        let event = |kind| notify::Event::new(kind).add_path("/no/such/a.so".into());
        assert!(!watched.is_affected_by(&event(EventKind::Access(AccessKind::Open(AccessMode::Any)))));
        assert!(watched.is_affected_by(&event(EventKind::Access(AccessKind::Close(AccessMode::Write)))));
        assert!(watched.is_affected_by(&event(EventKind::Modify(ModifyKind::Any))));
        assert!(watched.is_affected_by(&event(EventKind::Remove(notify::event::RemoveKind::File))));
    }
}
