//! Finds the libraries in a folder, and the prefixes of their events.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// Why a folder of libraries cannot be searched. The message names the folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The folder cannot be read.
    #[error("cannot read the folder {}: {reason}", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        reason: io::Error,
    },
}

/// A library, and its position below the searched folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundLibrary {
    pub(super) path: PathBuf,
    /// The folders between the searched folder and the library, such as `shop/orders`, which prefix the names of its
    /// events. Empty at the top. Whether the result is a valid name is checked when the registry is built.
    pub(super) prefix: String,
}

/// Whether a path has the extension of this system's libraries.
pub(super) fn is_library(path: &Path) -> bool {
    path.extension() == Some(OsStr::new(std::env::consts::DLL_EXTENSION))
}

pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Returns all libraries below a folder, sorted. Hidden files and folders are ignored.
///
/// Symbolic links are followed, except those to a folder that contains them.
pub(super) fn libraries(top: &Path) -> Result<Vec<FoundLibrary>, FolderError> {
    let mut found = Vec::new();
    walk(top, &mut Vec::new(), &mut Vec::new(), &mut found)?;
    Ok(found)
}

/// `names` is the path from the top to `folder`; `ancestors` are the folders on the way, without symbolic links.
fn walk(
    folder: &Path,
    names: &mut Vec<String>,
    ancestors: &mut Vec<PathBuf>,
    found: &mut Vec<FoundLibrary>,
) -> Result<(), FolderError> {
    let unreadable = |reason| FolderError::Unreadable { path: folder.to_owned(), reason };
    let real = folder.canonicalize().map_err(unreadable)?;
    if ancestors.contains(&real) {
        return Ok(());
    }
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).filter(|path| !is_hidden(path)).collect();
    paths.sort();
    ancestors.push(real);
    for path in paths {
        if path.is_dir() {
            names.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
            walk(&path, names, ancestors, found)?;
            names.pop();
        } else if is_library(&path) {
            found.push(FoundLibrary { path, prefix: names.join("/") });
        }
    }
    ancestors.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with empty files; `.so` stands for the extension of this system.
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
            .map(|(file, prefix)| FoundLibrary {
                path: top.join(file.replace(".so", std::env::consts::DLL_SUFFIX)),
                prefix: (*prefix).to_owned(),
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn subfolders_become_prefixes_and_other_files_are_ignored() {
        let top = folder(&["b.so", "a.so", "shop/orders/c.so", "notes.txt", "a.so.tmp", "not a name/readme", "so"]);
        check(top.path(), &[("a.so", ""), ("b.so", ""), ("shop/orders/c.so", "shop/orders")]);
    }

    #[test]
    fn hidden_files_and_folders_are_ignored() {
        let top = folder(&[".a.so", ".git/b.so", "c.so"]);
        check(top.path(), &[("c.so", "")]);
    }

    #[test]
    fn links_are_followed_and_cycles_are_ignored() {
        let top = folder(&["v1/a.so"]);
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, top.path().join(at)).unwrap();
        link("v1", "v2");
        link(".", "itself");
        link("..", "v1/up");
        check(top.path(), &[("v1/a.so", "v1"), ("v2/a.so", "v2")]);
    }
}
