//! What a path means: a package to build, or libraries that are ready.

use std::io;
use std::path::{Path, PathBuf};

use super::folder::{self, FolderError, is_library};

/// Where events come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventsAt {
    /// A folder with a `Cargo.toml`: an events package, to be built.
    Package(PathBuf),
    /// A folder of libraries, in sub-folders too.
    Folder(PathBuf),
    /// One library.
    Library(PathBuf),
}

/// Why there are no events at a path. Each text names it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// There is nothing.
    #[error("there is no {}: expected an events package, or a folder of libraries; `aaw-server init {}` writes a package to begin with", path.display(), path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The system does not let us look.
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// A file of another kind.
    #[error("{} is a file: expected the folder of an events package (with a Cargo.toml), a folder of libraries, or a library (*.{})", path.display(), std::env::consts::DLL_EXTENSION)]
    File {
        /// The path.
        path: PathBuf,
    },
    /// A folder of other things.
    #[error("{} holds no events: expected a Cargo.toml (an events package), or libraries (*.{}); `aaw-server init {}` writes a package to begin with", path.display(), std::env::consts::DLL_EXTENSION, path.display())]
    Nothing {
        /// The path.
        path: PathBuf,
    },
    /// A folder of libraries that cannot be walked.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

impl EventsAt {
    /// Looks at what lies at `path`. A folder that has a `Cargo.toml` is a package, whatever else it holds.
    ///
    /// # Errors
    /// [`FindError`]: nothing is there, or nothing that could be events.
    pub fn find(path: &Path) -> Result<Self, FindError> {
        // Absolute, since messages and cargo must not depend on where somebody stands.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let found = match std::fs::metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FindError::Missing { path }),
            Err(reason) => return Err(FindError::Unreadable { path, reason }),
        };
        if !found.is_dir() {
            return if is_library(&path) { Ok(Self::Library(path)) } else { Err(FindError::File { path }) };
        }
        if path.join("Cargo.toml").exists() {
            return Ok(Self::Package(path));
        }
        match folder::libraries(&path)?.is_empty() {
            true => Err(FindError::Nothing { path }),
            false => Ok(Self::Folder(path)),
        }
    }

    /// The path itself.
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
    fn a_path_says_what_it_holds() {
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
            ("missing", "there is no "),
            ("other/notes.txt", "other/notes.txt is a file: expected"),
            ("other", "other holds no events: expected a Cargo.toml"),
            ("empty", "empty holds no events: expected a Cargo.toml"),
        ] {
            let error = find(path).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(path), "{error}");
        }
        let missing = find("missing").unwrap_err().to_string();
        assert!(missing.contains("`aaw-server init "), "{missing}");
    }
}
