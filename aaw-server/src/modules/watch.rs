//! When to load again: whenever what the events are made from has changed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::build::Built;
use super::find::EventsAt;
use super::folder::{is_hidden, is_library};
use super::load::{Known, LoadError, look, open_all};
use crate::Events;

/// A saved file is seldom alone, and seldom written in one go: how long it must have been quiet.
const QUIET: Duration = Duration::from_millis(100);

/// How long it may go on without ever being quiet.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a place cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be watched: {reason}", path.display())]
pub struct WatchError {
    path: PathBuf,
    reason: notify::Error,
}

/// Loads the events of a place, and loads them again whenever something has changed that they are made from.
///
/// A package is made from its `src`, its `Cargo.toml` and `Cargo.lock`, the packages that it depends on by path, and
/// whatever else cargo has used; a folder, from its libraries. What editors leave beside a file is ignored. A change
/// during a build leads to another one.
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
    /// What was handed out last.
    known: Known,
    interest: Interest,
    /// Never read: while it lives, it listens.
    watcher: RecommendedWatcher,
    changed: Arc<Notify>,
    /// Something has changed that was not loaded yet.
    is_stale: bool,
    /// The last attempt failed, and somebody may be waiting to hear that all is well again.
    has_failed: bool,
}

impl Watch {
    /// Begins to listen; what changes from now on is not missed.
    ///
    /// # Errors
    /// When the system does not let us: it has a bound for the number of folders that are watched.
    pub fn new(at: EventsAt) -> Result<Self, WatchError> {
        let interest = Interest::new(&at, None);
        let changed = Arc::default();
        let watcher = listen(&at, &interest, &changed)?;
        Ok(Self { at, known: Known::default(), interest, watcher, changed, is_stale: true, has_failed: false })
    }

    /// Loads the events, for the first time, as [`load`](super::load) does.
    ///
    /// # Errors
    /// As [`load`](super::load).
    pub async fn load(&mut self) -> Result<Vec<Events>, LoadError> {
        Ok(self.attempt().await?.0)
    }

    /// Waits until the events have changed, and gives them all.
    ///
    /// Never fails: what cannot be loaded is logged, with the remark that the old events go on, and the next change
    /// waited for. A change that leads to the same libraries is none. Libraries that have not changed are not opened
    /// again: their [`Module`](aaw_event::Module) is the old one.
    ///
    /// Dropping the future ends cargo and loses nothing: the next call begins again.
    pub async fn next(&mut self) -> Vec<Events> {
        loop {
            if !self.is_stale {
                self.change().await;
                self.is_stale = true;
            }
            let attempt = self.attempt().await;
            let had_failed = std::mem::replace(&mut self.has_failed, attempt.is_err());
            match attempt {
                Ok((events, true)) => return events,
                Ok((_, false)) if had_failed => tracing::info!("all is well again, and the events are the same"),
                Ok((_, false)) => tracing::debug!("a file was saved, and the events are the same"),
                Err(error) => tracing::error!("the old events go on: {error}"),
            }
        }
    }

    /// Forgets what was handed out: the next change gives the events even if they are the same, opened anew.
    ///
    /// For a server that could not use them, since the fault may lie elsewhere, in a database say.
    pub fn forget(&mut self) {
        self.known = Known::default();
    }

    /// Returns when there was a change and it has been quiet since.
    async fn change(&self) {
        self.changed.notified().await;
        let first = Instant::now();
        while first.elapsed() < PATIENCE && timeout(QUIET, self.changed.notified()).await.is_ok() {}
    }

    /// Loads once; gives the events, and whether they are others than before.
    async fn attempt(&mut self) -> Result<(Vec<Events>, bool), LoadError> {
        self.listen_anew();
        // Whatever was reported so far is read now.
        let _ = self.changed.notified().now_or_never();
        let loaded = self.load_once().await;
        self.is_stale = false;
        loaded
    }

    async fn load_once(&mut self) -> Result<(Vec<Events>, bool), LoadError> {
        let place = look(&self.at).await?;
        if let Some(built) = &place.built {
            let interest = Interest::new(&self.at, Some(built));
            if interest != self.interest {
                self.interest = interest;
                self.listen_anew();
            }
        }
        let (events, known) = open_all(place.libraries, self.known.clone()).await?;
        let are_others = known != self.known;
        self.known = known;
        Ok((events, are_others))
    }

    /// Folders come and go, and a watch goes with its folder; so each time there are new ones for all. The old watcher
    /// listens until the new one does.
    fn listen_anew(&mut self) {
        match listen(&self.at, &self.interest, &self.changed) {
            Ok(watcher) => self.watcher = watcher,
            Err(error) => tracing::warn!("some changes may go unnoticed: {error}"),
        }
    }
}

/// Notifies of each change that is of interest. Any number of changes at once are one.
fn listen(at: &EventsAt, interest: &Interest, changed: &Arc<Notify>) -> Result<RecommendedWatcher, WatchError> {
    let failed = |reason| WatchError { path: at.path().to_owned(), reason };
    let (of, changed) = (interest.clone(), changed.clone());
    let handler = move |event: notify::Result<notify::Event>| match event {
        Ok(event) if !event.need_rescan() && !of.concerned(&event) => {}
        // Also when events were lost, or there is an error: better look once too often.
        _ => changed.notify_one(),
    };
    let mut watcher = notify::recommended_watcher(handler).map_err(failed)?;
    for folder in interest.folders() {
        match watcher.watch(&folder, RecursiveMode::NonRecursive) {
            Ok(()) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(watcher)
}

/// The folder went away since it was seen; the one above tells of that.
fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Which files matter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Interest {
    /// Those for themselves, whether they exist or not.
    files: BTreeSet<PathBuf>,
    /// Folders with all that is in them.
    trees: BTreeSet<PathBuf>,
    /// Folders that never matter, whatever they lie in: cargo writes there, and would set itself off.
    made: BTreeSet<PathBuf>,
    /// Of the files in trees, only libraries matter.
    libraries_only: bool,
}

impl Interest {
    fn new(at: &EventsAt, built: Option<&Built>) -> Self {
        let mut files = BTreeSet::new();
        let mut trees = BTreeSet::new();
        let made = built.map(|built| built.made.clone()).unwrap_or_default();
        match at {
            EventsAt::Library(path) => files.extend([path.clone()]),
            EventsAt::Folder(path) => trees.extend([path.clone()]),
            EventsAt::Package(path) => {
                let mut packages = BTreeSet::from([path.clone()]);
                if let Some(built) = built {
                    packages.extend([built.package.clone(), built.workspace.clone()]);
                    packages.extend(built.sources.iter().filter_map(|source| package_of(source)));
                    // A folder among them was named by a build script, and stands for all that is in it.
                    let (folders, single) = built.sources.iter().cloned().partition::<Vec<_>, _>(|path| path.is_dir());
                    files.extend(single);
                    trees.extend(folders);
                }
                for package in packages {
                    let matters = [
                        "Cargo.toml",
                        "Cargo.lock",
                        "build.rs",
                        "rust-toolchain.toml",
                        "rust-toolchain",
                        ".cargo/config.toml",
                    ];
                    files.extend(matters.map(|file| package.join(file)));
                    trees.insert(package.join("src"));
                }
            }
        }
        // As the system reports them: without links on the way.
        let real = |paths: BTreeSet<PathBuf>| paths.into_iter().map(|path| without_links(&path)).collect();
        let libraries_only = matches!(at, EventsAt::Folder(_));
        Self { files: real(files), trees: real(trees), made: real(made), libraries_only }
    }

    fn concerned(&self, event: &notify::Event) -> bool {
        // Building opens and reads all of it, which changes nothing.
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
        if self.is_made(path) {
            return false;
        }
        // Without an ending it may have been a folder, which may be gone and cannot be asked.
        let matters = !self.libraries_only || is_library(path) || path.extension().is_none();
        let inside = path.strip_prefix(tree).unwrap_or(path);
        matters && !inside.iter().any(|part| is_hidden(Path::new(part))) && !is_scratch(path)
    }

    /// The folders to listen to. Each by itself, since the folder of a package can hold a target folder as well, with
    /// more folders in it than a system lets us watch.
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

    /// Links are followed; `seen` has the real folders, so that a loop of links ends.
    fn add_tree(&self, folder: &Path, seen: &mut BTreeSet<PathBuf>, folders: &mut BTreeSet<PathBuf>) {
        // What cannot be read is told of when it is loaded.
        let entries = std::fs::read_dir(folder).and_then(|entries| Ok((entries, folder.canonicalize()?)));
        let Ok((entries, real)) = entries else { return };
        if self.is_made(&real) || !seen.insert(real) {
            return;
        }
        folders.insert(folder.to_owned());
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.is_dir() && !is_hidden(&path) {
                self.add_tree(&path, seen, folders);
            }
        }
    }

    fn is_made(&self, path: &Path) -> bool {
        self.made.iter().any(|made| path.starts_with(made))
    }
}

/// The package that a source belongs to: the nearest folder above it with a `Cargo.toml`.
fn package_of(source: &Path) -> Option<PathBuf> {
    source.ancestors().skip(1).find(|folder| folder.join("Cargo.toml").is_file()).map(Path::to_owned)
}

/// The same path with the links in it followed, as far as it exists.
fn without_links(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => without_links(parent).join(name),
        _ => path.to_owned(),
    }
}

/// What an editor writes beside the file that it saves. Hidden ones are told apart by their dot.
fn is_scratch(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    // vim tries with this one whether it may write.
    name == b"4913"
        || name.ends_with(b"~")
        || (name.starts_with(b"#") && name.ends_with(b"#"))
        || matches!(path.extension().and_then(OsStr::to_str), Some("swp" | "swx" | "tmp" | "bak"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(interest: &Interest, path: &str, expected: bool) {
        assert_eq!(interest.contains(Path::new(path)), expected, "{path}");
    }

    #[test]
    fn of_a_package_its_sources_matter_and_nothing_else() {
        let interest = Interest::new(&EventsAt::Package("/no/such/events".into()), None);
        for path in
            ["src/a.rs", "src/sub/b.rs", "src/sub", "src/query.sql", "src", "Cargo.toml", "Cargo.lock", "build.rs"]
        {
            check(&interest, &format!("/no/such/events/{path}"), true);
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
            check(&interest, &format!("/no/such/events/{path}"), false);
        }
        check(&interest, "/no/such/other/src/a.rs", false);
    }

    #[test]
    fn a_package_is_also_what_cargo_has_made_it_from() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        for folder in ["events/src", "events/target/debug", "shared/src"] {
            std::fs::create_dir_all(top.join(folder)).unwrap();
        }
        for file in ["events/Cargo.toml", "shared/Cargo.toml", "shared/src/lib.rs", "page.html"] {
            std::fs::write(top.join(file), "").unwrap();
        }
        let built = Built {
            library: "/elsewhere/libevents.so".into(),
            package: top.join("events"),
            workspace: top.clone(),
            // The last is a folder, as `rerun-if-changed=.` in a build script gives it.
            sources: [top.join("shared/src/lib.rs"), top.join("page.html"), top.join("events")].into(),
            made: [top.join("events/target")].into(),
        };
        let interest = Interest::new(&EventsAt::Package(top.join("events")), Some(&built));
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
            check(&interest, &top.join(path).to_string_lossy(), expected);
        }
        let folders = interest.folders();
        assert!(
            folders.contains(&top.join("shared/src")) && !folders.contains(&top.join("events/target")),
            "{folders:?}"
        );
    }

    #[test]
    fn of_a_folder_the_libraries_matter() {
        let interest = Interest::new(&EventsAt::Folder("/no/such".into()), None);
        let library = |name: &str| format!("/no/such/{name}{}", std::env::consts::DLL_SUFFIX);
        check(&interest, &library("a"), true);
        check(&interest, &library("shop/a"), true);
        check(&interest, "/no/such/shop", true);
        check(&interest, &library(".a"), false);
        check(&interest, &format!("{}.tmp", library("a")), false);
        check(&interest, "/no/such/notes.txt", false);
    }

    #[test]
    fn reading_changes_nothing_and_writing_does() {
        let interest = Interest::new(&EventsAt::Library("/no/such/a.so".into()), None);
        let event = |kind| notify::Event::new(kind).add_path("/no/such/a.so".into());
        assert!(!interest.concerned(&event(EventKind::Access(AccessKind::Open(AccessMode::Any)))));
        assert!(interest.concerned(&event(EventKind::Access(AccessKind::Close(AccessMode::Write)))));
        assert!(interest.concerned(&event(EventKind::Modify(notify::event::ModifyKind::Any))));
        assert!(interest.concerned(&event(EventKind::Remove(notify::event::RemoveKind::File))));
    }
}
