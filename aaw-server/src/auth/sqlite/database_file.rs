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
use std::sync::{Mutex, PoisonError};

/// An open file of a database, with what is known to be wrong with it.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    id: Option<FileId>,
    wal_path: PathBuf,
    wal_id: Option<FileId>,
    /// Why the last write failed, if the disk was the reason.
    write_failure: Mutex<Option<String>>,
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
            write_failure: Mutex::default(),
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

    pub(super) fn write_failure(&self) -> Option<String> {
        self.write_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_write_failure(&self, failure: Option<String>) {
        *self.write_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
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
