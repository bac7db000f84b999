//! `aaw-server init`: creates a small events package.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The files of the package, and their templates.
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

/// The name of the package if its folder's name contains no usable characters.
const DEFAULT_NAME: &str = "events";

/// Why no package was created. The message names the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitError {
    /// A file exists already. Nothing was written.
    #[error("{} already exists: nothing was written; choose a new or an empty folder", .0.display())]
    Exists(PathBuf),
    /// The path of the folder is a file. Nothing was written.
    #[error("{} is not a folder: nothing was written", .0.display())]
    NotAFolder(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}: {reason}", path.display())]
    Unwritable {
        /// The file or the folder.
        path: PathBuf,
        /// The system's error.
        reason: io::Error,
    },
}

/// A package that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CreatedPackage {
    /// The name of the package, derived from the folder's.
    pub(crate) name: String,
    /// The files that were written, in this order.
    pub(crate) files: Vec<PathBuf>,
}

/// Creates a small events package in `folder`, which is created if necessary.
///
/// The package depends on the aaw-event of the checkout in which this program was built, or, if there is no checkout
/// (as for an installed program), on the published version.
///
/// # Errors
/// [`InitError`] if a file exists already or cannot be written. No file is ever overwritten.
pub(crate) fn init(folder: &Path) -> Result<CreatedPackage, InitError> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    if folder.exists() && !folder.is_dir() {
        return Err(InitError::NotAFolder(folder));
    }
    let name = package_name(&folder);
    let files = FILES.map(|(file, template)| (folder.join(file), fill_template(template, &name)));
    // All files are checked before the first is written. A dangling link counts as an existing file.
    if let Some((path, _)) = files.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
        return Err(InitError::Exists(path.clone()));
    }
    for (path, text) in &files {
        write_new(path, text).map_err(|reason| match reason.kind() {
            io::ErrorKind::AlreadyExists => InitError::Exists(path.clone()),
            _ => InitError::Unwritable { path: path.clone(), reason },
        })?;
    }
    Ok(CreatedPackage { name, files: files.into_iter().map(|(path, _)| path).collect() })
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(path.parent().expect("a file in a folder"))?;
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

fn fill_template(template: &str, name: &str) -> String {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the checkout's folder");
    template
        .replace("{{name}}", name)
        .replace("{{aaw-event}}", &dependency(&checkout.join("aaw-event")))
        .replace("{{aaw-event-build}}", &dependency(&checkout.join("aaw-event/build")))
}

/// Returns a dependency on the crate at `path`, or on the published version if there is none.
fn dependency(path: &Path) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match path.to_str().filter(|_| path.join("Cargo.toml").is_file()) {
        Some(path) => format!("{{ version = {version:?}, path = {} }}", toml_string(path)),
        None => format!("{version:?}"),
    }
}

/// Quotes a string for TOML.
fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Derives a package name that cargo accepts from the name of the folder.
fn package_name(folder: &Path) -> String {
    let folder = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let parts = folder.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|part| !part.is_empty());
    let name = parts.collect::<Vec<_>>().join("-");
    if name.is_empty() {
        return DEFAULT_NAME.to_owned();
    }
    // Names that a crate cannot have: keywords, its dependencies, and folders of cargo.
    const RESERVED: &[&str] = &[
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
    let starts_with_letter = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if starts_with_letter && !RESERVED.contains(&&*name) { name } else { format!("{DEFAULT_NAME}-{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_named_after_its_folder() {
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
    fn all_placeholders_are_filled_in() {
        let folder = tempfile::tempdir().unwrap();
        let package = init(&folder.path().join("deep/my events")).unwrap();
        assert_eq!((package.name.as_str(), package.files.len()), ("my-events", FILES.len()));
        for file in package.files {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains("{{"), "{}:\n{text}", file.display());
        }
    }

    #[test]
    fn existing_files_are_never_overwritten() {
        for (existing, _) in FILES {
            let folder = tempfile::tempdir().unwrap();
            let existing = folder.path().join(existing);
            fs::create_dir_all(existing.parent().unwrap()).unwrap();
            fs::write(&existing, "mine").unwrap();

            let error = init(folder.path()).unwrap_err();
            assert!(matches!(&error, InitError::Exists(path) if *path == existing), "{error}");
            assert!(error.to_string().contains("nothing was written"), "{error}");
            let entries: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(entries.len(), 1, "{entries:?}");
            assert_eq!(fs::read_to_string(existing).unwrap(), "mine");
        }
    }

    #[test]
    fn unrelated_files_are_ignored_and_a_file_is_not_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let notes = folder.path().join("notes.txt");
        fs::write(&notes, "mine").unwrap();
        init(folder.path()).unwrap();
        assert!(matches!(init(&notes), Err(InitError::NotAFolder(path)) if path == notes));
    }

    #[test]
    fn a_crate_without_a_checkout_is_taken_from_the_registry() {
        assert_eq!(dependency(Path::new("/no/such/aaw-event")), format!("{:?}", env!("CARGO_PKG_VERSION")));
        assert_eq!(toml_string(r#"C:\a "b""#), r#""C:\\a \"b\"""#);
    }
}
