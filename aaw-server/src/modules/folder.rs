//! The libraries of a folder, and the prefixes of their events.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// Why a folder of libraries cannot be walked. Each text names the folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The system does not let us read it.
    #[error("the folder {} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
}

/// A library, and the folders between it and the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// As it stands before the names of its events: `shop/orders`, or nothing. Whether it can be part of a name is seen
    /// where both are put together.
    pub(super) prefix: String,
}

/// Whether a path has the ending of this system's libraries.
pub(super) fn is_library(path: &Path) -> bool {
    path.extension() == Some(OsStr::new(std::env::consts::DLL_EXTENSION))
}

pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// All libraries below a folder, sorted; hidden files and folders are not looked at.
///
/// Symbolic links are followed. One that leads to a folder which it lies in is left alone.
pub(super) fn libraries(top: &Path) -> Result<Vec<Found>, FolderError> {
    let mut found = Vec::new();
    walk(top, &mut Vec::new(), &mut Vec::new(), &mut found)?;
    Ok(found)
}

/// `names` lead from the top to `folder`; `within` are the real folders that one passes on the way.
fn walk(
    folder: &Path,
    names: &mut Vec<String>,
    within: &mut Vec<PathBuf>,
    found: &mut Vec<Found>,
) -> Result<(), FolderError> {
    let unreadable = |reason| FolderError::Unreadable { path: folder.to_owned(), reason };
    let real = folder.canonicalize().map_err(unreadable)?;
    if within.contains(&real) {
        return Ok(());
    }
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).filter(|path| !is_hidden(path)).collect();
    paths.sort();
    within.push(real);
    for path in paths {
        if path.is_dir() {
            names.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
            walk(&path, names, within, found)?;
            names.pop();
        } else if is_library(&path) {
            found.push(Found { path, prefix: names.join("/") });
        }
    }
    within.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with empty files, `.so` standing for this system's ending.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let top = tempfile::tempdir().unwrap();
        for file in files {
            let file = top.path().join(file.replace(".so", std::env::consts::DLL_SUFFIX));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        top
    }

    fn check(top: &Path, expected: &[(&str, &str)]) {
        let found = libraries(top).unwrap();
        let expected: Vec<_> = expected
            .iter()
            .map(|(file, prefix)| Found {
                path: top.join(file.replace(".so", std::env::consts::DLL_SUFFIX)),
                prefix: (*prefix).to_owned(),
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn folders_are_prefixes_and_other_files_are_ignored() {
        let top = folder(&["b.so", "a.so", "shop/orders/c.so", "notes.txt", "a.so.tmp", "not a name/readme", "so"]);
        check(top.path(), &[("a.so", ""), ("b.so", ""), ("shop/orders/c.so", "shop/orders")]);
    }

    #[test]
    fn hidden_files_and_folders_are_ignored() {
        let top = folder(&[".a.so", ".git/b.so", "c.so"]);
        check(top.path(), &[("c.so", "")]);
    }

    #[test]
    fn links_are_followed_and_loops_are_harmless() {
        let top = folder(&["v1/a.so"]);
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, top.path().join(at)).unwrap();
        link("v1", "v2");
        link(".", "itself");
        link("..", "v1/up");
        check(top.path(), &[("v1/a.so", "v1"), ("v2/a.so", "v2")]);
    }
}
