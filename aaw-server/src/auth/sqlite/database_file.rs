//! Notices that the file of an open database was deleted or replaced.
//!
//! A program that has a file open does not notice that it was deleted: what SQLite writes from then on goes into a file
//! without a name, and is lost when the program ends. So each operation compares the file at the path with the one that
//! was opened, before it does anything and again before it reports success: what was reported as done was in the file at
//! the path at that time. The write-ahead log beside the file has the latest changes, and is compared as well.
//!
//! A file that is put back by renaming is the same file, and is used again at once. Another file, such as a backup, is
//! used after a restart: opening it here would write into a file that its operator may still be copying, and its
//! write-ahead log has the path of that of the deleted one.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::role::Role;

/// An open file of a database, with what is known to be wrong with it.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    id: Option<FileId>,
    wal_path: PathBuf,
    wal_id: Option<FileId>,
    failures: Mutex<DiskFailures>,
}

/// Why the disk cannot be used, as far as operations have failed for that reason.
#[derive(Debug, Default)]
struct DiskFailures {
    reads: Option<DiskFailure>,
    writes: Option<DiskFailure>,
}

/// Why an operation has failed.
#[derive(Debug, Clone)]
pub(super) struct DiskFailure {
    pub(super) why: String,
    /// Whether the contents of the file are damaged. A check that reads other parts of it says nothing about that, so it lasts
    /// until a restart.
    pub(super) is_damage: bool,
}

/// What identifies a file as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl DatabaseFile {
    /// The file at this path, which was just opened.
    pub(super) fn opened(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        // SQLite writes beside the file that a symbolic link leads to.
        let mut wal_path = std::fs::canonicalize(&path)?.into_os_string();
        wal_path.push("-wal");
        let wal_path = PathBuf::from(wal_path);
        Ok(Self {
            id: FileId::of(&std::fs::metadata(&path)?),
            wal_id: std::fs::metadata(&wal_path).ok().and_then(|wal| FileId::of(&wal)),
            path,
            wal_path,
            failures: Mutex::default(),
        })
    }

    /// Checks that the file at the path is the one that was opened.
    ///
    /// # Errors
    /// What has happened to it, and what to do.
    pub(super) fn check(&self) -> Result<(), String> {
        check_same(&self.path, self.id, "put it back, or stop the server and restore a backup")?;
        match self.wal_id {
            Some(_) => check_same(&self.wal_path, self.wal_id, "restart the server"),
            None => Ok(()),
        }
    }

    /// Whether the file is there without its write-ahead log, and no other program has made a new one.
    pub(super) fn has_lost_its_log(&self) -> bool {
        let is_deleted =
            |path: &Path| std::fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        check_same(&self.path, self.id, "").is_ok() && self.wal_id.is_some() && is_deleted(&self.wal_path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether an operation of this role has failed since the disk was last seen to work.
    pub(super) fn has_failed(&self, role: Role) -> bool {
        self.lock().of(role).is_some()
    }

    /// Records a failure. Damage that is known stays known, whatever fails after it.
    pub(super) fn failed(&self, role: Role, failure: DiskFailure) {
        let mut failures = self.lock();
        let known = failures.of(role);
        if !known.as_ref().is_some_and(|known| known.is_damage) {
            *known = Some(failure);
        }
    }

    /// Why the contents of the file are known to be damaged, until a restart.
    pub(super) fn damage(&self) -> Option<String> {
        let DiskFailures { reads, writes } = &*self.lock();
        [reads, writes].into_iter().flatten().find(|failure| failure.is_damage).map(|failure| failure.why.clone())
    }

    /// Records that a check of the disk has succeeded.
    pub(super) fn works(&self, role: Role) {
        self.lock().of(role).take_if(|failure| !failure.is_damage);
    }

    fn lock(&self) -> MutexGuard<'_, DiskFailures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskFailures {
    fn of(&mut self, role: Role) -> &mut Option<DiskFailure> {
        match role {
            Role::Reads => &mut self.reads,
            Role::Writes => &mut self.writes,
        }
    }
}

fn check_same(path: &Path, opened: Option<FileId>, remedy: &str) -> Result<(), String> {
    let path_text = path.display();
    match std::fs::metadata(path) {
        Ok(found) if FileId::of(&found) == opened => Ok(()),
        Ok(_) => Err(format!(
            "{path_text} was replaced by another file while the server uses it; restart the server to use the new one"
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("{path_text} was deleted while the server uses it; {remedy}"))
        }
        Err(error) => Err(format!("{path_text} cannot be reached: {error}")),
    }
}

impl FileId {
    #[cfg(unix)]
    fn of(file: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        Some(Self { device: file.dev(), inode: file.ino() })
    }

    /// Elsewhere an open file cannot be deleted.
    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Option<Self> {
        None
    }
}
