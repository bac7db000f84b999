//! `aaw-server init`: a small events package to begin with.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What is written: where, and from which file in `template/`.
const FILES: [(&str, &str); 8] = [
    ("Cargo.toml", include_str!("../../../template/Cargo.toml.in")),
    ("build.rs", include_str!("../../../template/build.rs")),
    ("src/lib.rs", include_str!("../../../template/src/lib.rs")),
    ("src/ping.rs", include_str!("../../../template/src/ping.rs")),
    ("src/count.rs", include_str!("../../../template/src/count.rs")),
    ("src/hello.rs", include_str!("../../../template/src/hello.rs")),
    (".gitignore", include_str!("../../../template/gitignore")),
    ("README.md", include_str!("../../../template/README.md.in")),
];

/// What a package is called when its folder's name says nothing.
const DEFAULT_NAME: &str = "events";

/// Why no package was written. Each text names the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitError {
    /// A file would be overwritten. Nothing was written.
    #[error("{} is there already: nothing was written; expected a new or an empty folder", .0.display())]
    Exists(PathBuf),
    /// There is a file where the folder should be. Nothing was written.
    #[error("{} is no folder: nothing was written", .0.display())]
    NoFolder(PathBuf),
    /// The system does not let us write.
    #[error("{} cannot be written: {reason}", path.display())]
    Unwritable {
        /// The file or the folder.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
}

/// A package that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// The package's name, made from the folder's.
    pub(crate) name: String,
    /// The files, in the order of writing.
    pub(crate) files: Vec<PathBuf>,
}

/// Writes a small events package into `folder`, which is made if need be.
///
/// It depends on the aaw-event of the checkout that this program was built in; where that is gone (or never was: an
/// installed program), on the published version.
///
/// # Errors
/// [`InitError`]: a file is there already, or the system does not let us. A file is never overwritten.
pub(crate) fn init(folder: &Path) -> Result<Written, InitError> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    if folder.exists() && !folder.is_dir() {
        return Err(InitError::NoFolder(folder));
    }
    let name = package_name(&folder);
    let files = FILES.map(|(file, template)| (folder.join(file), filled(template, &name)));
    // All of them first, so that nothing is written when one is there; a dangling link is there too.
    if let Some((path, _)) = files.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
        return Err(InitError::Exists(path.clone()));
    }
    for (path, text) in &files {
        write_new(path, text).map_err(|reason| match reason.kind() {
            io::ErrorKind::AlreadyExists => InitError::Exists(path.clone()),
            _ => InitError::Unwritable { path: path.clone(), reason },
        })?;
    }
    Ok(Written { name, files: files.into_iter().map(|(path, _)| path).collect() })
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(path.parent().expect("a file in a folder"))?;
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

fn filled(template: &str, name: &str) -> String {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the checkout's folder");
    template
        .replace("{{name}}", name)
        .replace("{{aaw-event}}", &dependency(&checkout.join("aaw-event")))
        .replace("{{aaw-event-build}}", &dependency(&checkout.join("aaw-event/build")))
}

/// A dependency on the crate at `path`, or on its published version when there is none.
fn dependency(path: &Path) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match path.to_str().filter(|_| path.join("Cargo.toml").is_file()) {
        Some(path) => format!("{{ version = {version:?}, path = {} }}", toml_text(path)),
        None => format!("{version:?}"),
    }
}

/// A string as TOML writes it.
fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A name that cargo accepts, as close to the folder's as can be.
fn package_name(folder: &Path) -> String {
    let folder = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let parts = folder.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|part| !part.is_empty());
    let name = parts.collect::<Vec<_>>().join("-");
    if name.is_empty() {
        return DEFAULT_NAME.to_owned();
    }
    // A crate cannot be called like a keyword, nor like what it depends on, and must not begin with a digit.
    const TAKEN: &[&str] = &[
        "aaw-event",
        "aaw-event-build",
        "alloc",
        "as",
        "async",
        "await",
        "become",
        "box",
        "break",
        "build",
        "const",
        "continue",
        "core",
        "crate",
        "deps",
        "do",
        "dyn",
        "else",
        "enum",
        "examples",
        "extern",
        "false",
        "final",
        "fn",
        "for",
        "gen",
        "if",
        "impl",
        "in",
        "incremental",
        "let",
        "loop",
        "macro",
        "match",
        "mod",
        "move",
        "mut",
        "override",
        "priv",
        "proc-macro",
        "proc_macro",
        "pub",
        "ref",
        "return",
        "self",
        "serde",
        "static",
        "std",
        "struct",
        "super",
        "test",
        "tokio",
        "trait",
        "true",
        "try",
        "type",
        "typeof",
        "unsafe",
        "unsized",
        "use",
        "virtual",
        "where",
        "while",
        "yield",
    ];
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if begins_well && !TAKEN.contains(&&*name) { name } else { format!("{DEFAULT_NAME}-{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_called_like_its_folder() {
        for (folder, expected) in [
            ("/x/events", "events"),
            ("/x/My Shop (new)", "my-shop-new"),
            ("/x/snake_case", "snake_case"),
            ("/x/2024", "events-2024"),
            ("/x/_x", "events-_x"),
            ("/x/fn", "events-fn"),
            ("/x/test", "events-test"),
            ("/x/tokio", "events-tokio"),
            ("/x/日本", "events"),
            ("/", "events"),
        ] {
            assert_eq!(package_name(Path::new(folder)), expected, "{folder}");
        }
    }

    #[test]
    fn everything_is_filled_in() {
        let folder = tempfile::tempdir().unwrap();
        let written = init(&folder.path().join("deep/my events")).unwrap();
        assert_eq!((written.name.as_str(), written.files.len()), ("my-events", FILES.len()));
        for file in written.files {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains("{{"), "{}:\n{text}", file.display());
        }
    }

    #[test]
    fn nothing_is_written_over_anything() {
        for (there, _) in FILES {
            let folder = tempfile::tempdir().unwrap();
            let there = folder.path().join(there);
            fs::create_dir_all(there.parent().unwrap()).unwrap();
            fs::write(&there, "mine").unwrap();

            let error = init(folder.path()).unwrap_err();
            assert!(matches!(&error, InitError::Exists(path) if *path == there), "{error}");
            assert!(error.to_string().contains("nothing was written"), "{error}");
            let entries: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(entries.len(), 1, "{entries:?}");
            assert_eq!(fs::read_to_string(there).unwrap(), "mine");
        }
    }

    #[test]
    fn other_files_do_not_matter_and_a_file_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let notes = folder.path().join("notes.txt");
        fs::write(&notes, "mine").unwrap();
        init(folder.path()).unwrap();
        assert!(matches!(init(&notes), Err(InitError::NoFolder(path)) if path == notes));
    }

    #[test]
    fn a_crate_that_is_not_there_is_taken_from_the_registry() {
        assert_eq!(dependency(Path::new("/no/such/aaw-event")), format!("{:?}", env!("CARGO_PKG_VERSION")));
        assert_eq!(toml_text(r#"C:\a "b""#), r#""C:\\a \"b\"""#);
    }
}
