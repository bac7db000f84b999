//! Determines what lies at a path: a package to be built, or built libraries.

use std::io;
use std::path::{Path, PathBuf};

use super::folder::{self, FolderError, is_library};

/// The source of events.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventsAt {
    /// An events package to be built: a folder with a `Cargo.toml`.
    Package(PathBuf),
    /// A folder that contains libraries, possibly in subfolders.
    Folder(PathBuf),
    /// A single library.
    Library(PathBuf),
}

/// Why no events were found at a path. The message names the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// The path does not exist.
    #[error("{} does not exist: expected an events package or a folder of libraries; `aaw-server init {}` creates a package to start from", path.display(), quoted(path))]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// The path cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The system's error.
        reason: io::Error,
    },
    /// The path is a file that is not a library.
    #[error("{} is a file: expected the folder of an events package (with a Cargo.toml), a folder of libraries, or a library (*.{})", path.display(), std::env::consts::DLL_EXTENSION)]
    NotALibrary {
        /// The path.
        path: PathBuf,
    },
    /// The path is a folder with neither a `Cargo.toml` nor libraries.
    #[error("{} contains no events: expected a Cargo.toml (an events package) or libraries (*.{}); `aaw-server init {}` creates a package to start from", path.display(), std::env::consts::DLL_EXTENSION, quoted(path))]
    NoEvents {
        /// The path.
        path: PathBuf,
    },
    /// A subfolder cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// Returns a path as an argument for a shell.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    // Fails for a NUL only, which no path contains.
    shlex::try_quote(&path).map_or_else(|_| path.clone().into_owned(), Into::into)
}

impl EventsAt {
    /// Determines what lies at `path`. A folder with a `Cargo.toml` is a package, whatever else it contains.
    ///
    /// # Errors
    /// [`FindError`] if the path does not exist, cannot be read, or contains no events.
    pub fn find(path: &Path) -> Result<Self, FindError> {
        // Absolute, so that messages and cargo do not depend on the working directory.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let found = match std::fs::metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FindError::NotFound { path }),
            Err(reason) => return Err(FindError::Unreadable { path, reason }),
        };
        if !found.is_dir() {
            return if is_library(&path) { Ok(Self::Library(path)) } else { Err(FindError::NotALibrary { path }) };
        }
        if path.join("Cargo.toml").exists() {
            return Ok(Self::Package(path));
        }
        match folder::libraries(&path)?.is_empty() {
            true => Err(FindError::NoEvents { path }),
            false => Ok(Self::Folder(path)),
        }
    }

    /// Returns the path, made absolute.
    pub fn path(&self) -> &Path {
        match self {
            Self::Package(path) | Self::Folder(path) | Self::Library(path) => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_path_is_determined_from_its_contents() {
        let at = tempfile::tempdir().unwrap();
        let at = at.path();
        let library = |name: &str| format!("{name}.{}", std::env::consts::DLL_EXTENSION);
        for folder in ["package/src", "libraries/deep/er", "other", "empty"] {
            std::fs::create_dir_all(at.join(folder)).unwrap();
        }
        let deep = format!("libraries/deep/er/{}", library("x"));
        for file in ["package/Cargo.toml", "other/notes.txt", &deep] {
            std::fs::write(at.join(file), "").unwrap();
        }

        let find = |path: &str| EventsAt::find(&at.join(path));
        assert_eq!(find("package").unwrap(), EventsAt::Package(at.join("package")));
        assert_eq!(find("libraries").unwrap(), EventsAt::Folder(at.join("libraries")));
        assert_eq!(find(&deep).unwrap(), EventsAt::Library(at.join(&deep)));
        for (path, expected) in [
            ("missing", "missing does not exist: expected"),
            ("other/notes.txt", "other/notes.txt is a file: expected"),
            ("other", "other contains no events: expected a Cargo.toml"),
            ("empty", "empty contains no events: expected a Cargo.toml"),
        ] {
            let error = find(path).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(path), "{error}");
        }
        let missing = find("missing").unwrap_err().to_string();
        assert!(missing.contains("`aaw-server init "), "{missing}");
        let missing = find("not there").unwrap_err().to_string();
        assert!(missing.contains(&format!("`aaw-server init '{}'`", at.join("not there").display())), "{missing}");
    }
}
