//! `aaw-server init`: creates a small events package.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use crate::cli::DEFAULT_EVENTS;
use crate::settings::quote_toml;

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

/// The version of this program, and of the crates that a package depends on.
const VERSION: &str = env!("CARGO_PKG_VERSION");

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

/// Where a package takes the crates `aaw-event` and `aaw-event-build` from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AawSource {
    /// The registry, in the version of this program.
    Registry,
    /// The clone of aaw in which this program was built, by its absolute path.
    Clone(String),
    /// The same, by its path relative to the package, which is inside the clone.
    SurroundingClone(String),
}

impl AawSource {
    /// Returns the source for a package in `folder`, if this program was built in the folder `clone`.
    ///
    /// A program that was installed from the registry, or copied to another machine, has no clone, so it must be looked
    /// for when the program runs.
    fn find(folder: &Path, clone: &Path) -> Self {
        // A folder of that name that is something else, or another version, is not the clone; and cargo deletes its own
        // checkouts (`cargo install --git`).
        let is_this_version = fs::read_to_string(clone.join("Cargo.toml"))
            .is_ok_and(|manifest| manifest.contains(&format!("\nversion = {VERSION:?}\n")));
        let is_there = is_this_version
            && !clone.components().any(|part| part.as_os_str() == "checkouts")
            && ["aaw-event", "aaw-event/build"].iter().all(|krate| clone.join(krate).join("Cargo.toml").is_file());
        match clone.to_str().filter(|_| is_there) {
            None => Self::Registry,
            Some(path) => match path_to_ancestor(folder, clone) {
                None => Self::Clone(path.to_owned()),
                Some(relative) => Self::SurroundingClone(relative),
            },
        }
    }

    /// The dependency on the crate in this folder of the clone, as TOML.
    fn dependency(&self, folder: &str) -> String {
        match self {
            Self::Registry => format!("{VERSION:?}"),
            Self::Clone(clone) | Self::SurroundingClone(clone) => {
                format!("{{ version = {VERSION:?}, path = {} }}", quote_toml(&format!("{clone}/{folder}")))
            }
        }
    }

    /// The comment above the dependency.
    fn comment(&self) -> String {
        let origin = match self {
            Self::Registry => return String::new(),
            Self::Clone(_) => "the clone of aaw in which aaw-server was built. Builds on this machine only",
            Self::SurroundingClone(_) => "the clone of aaw around this package. Builds wherever the whole clone is",
        };
        format!(
            "# From {origin}.\n\
             # For other machines, write the path of a clone there. Once aaw is on crates.io: aaw-event = {VERSION:?}\n\
             # The same applies to aaw-event-build below.\n"
        )
    }

    /// What the package's README says about other machines.
    fn elsewhere(&self) -> String {
        let clone = match self {
            Self::Registry => {
                return "Cargo downloads all dependencies, so the package builds on any machine.".to_owned();
            }
            Self::Clone(clone) | Self::SurroundingClone(clone) => clone,
        };
        format!(
            "`Cargo.toml` takes `aaw-event` and `aaw-event-build` from the clone of aaw at `{clone}`. Where there is no such \
             folder, change both paths to a clone there. Once aaw is on crates.io, write the version instead: \
             `aaw-event = {VERSION:?}`."
        )
    }

    /// What `aaw-server init` tells the user.
    pub(crate) fn note(&self) -> String {
        match self {
            Self::Registry => format!("aaw-event {VERSION} is taken from crates.io"),
            Self::Clone(clone) => format!(
                "aaw-event is taken from {clone}, so the package builds on this machine only; its Cargo.toml says what to \
                 change for others"
            ),
            Self::SurroundingClone(clone) => format!(
                "aaw-event is taken from {clone}, the clone around the package; its Cargo.toml says what to change if \
                 the package is moved"
            ),
        }
    }
}

/// A package that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CreatedPackage {
    /// The name of the package, derived from the folder's.
    pub(crate) name: String,
    /// The files that were written, in this order.
    pub(crate) files: Vec<PathBuf>,
    /// Where it takes aaw's crates from.
    pub(crate) source: AawSource,
}

/// Creates a small events package in `folder`, which is created if necessary.
///
/// The package depends on the aaw-event of the clone in which this program was built, or, if there is none (as for an
/// installed program), on the published version.
///
/// # Errors
/// [`InitError`] if a file exists already or cannot be written. No file is ever overwritten.
pub(crate) fn init(folder: &Path) -> Result<CreatedPackage, InitError> {
    init_from(folder, Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a package inside the clone"))
}

fn init_from(folder: &Path, clone: &Path) -> Result<CreatedPackage, InitError> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    if folder.exists() && !folder.is_dir() {
        return Err(InitError::NotAFolder(folder));
    }
    let name = package_name(&folder);
    let source = AawSource::find(&folder, clone);
    let files = FILES.map(|(file, template)| (folder.join(file), fill_template(template, &name, &source)));
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
    Ok(CreatedPackage { name, files: files.into_iter().map(|(path, _)| path).collect(), source })
}

/// The command that serves the package in `folder`, for a shell.
pub(crate) fn serve_command(folder: &Path) -> String {
    let path = folder.to_string_lossy();
    let argument = match &*path {
        DEFAULT_EVENTS => String::new(),
        // Not a flag.
        path if path.starts_with('-') => format!(" {}", quoted(&format!("./{path}"))),
        path => format!(" {}", quoted(path)),
    };
    format!("aaw-server{argument} --watch")
}

/// Quotes an argument for a shell, if necessary.
fn quoted(argument: &str) -> String {
    // Fails for a NUL only, which no argument contains.
    shlex::try_quote(argument).map_or_else(|_| argument.to_owned(), Into::into)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(path.parent().expect("a file in a folder"))?;
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

fn fill_template(template: &str, name: &str, source: &AawSource) -> String {
    template
        .replace("{{name}}", name)
        .replace("{{aaw-comment}}", &source.comment())
        .replace("{{aaw-event}}", &source.dependency("aaw-event"))
        .replace("{{aaw-event-build}}", &source.dependency("aaw-event/build"))
        .replace("{{elsewhere}}", &source.elsewhere())
}

/// Returns the path from `folder`, which need not exist, up to `ancestor`: `../..`; or `None` if it is not inside.
fn path_to_ancestor(folder: &Path, ancestor: &Path) -> Option<String> {
    let existing = folder.ancestors().find(|folder| folder.exists())?;
    let missing = folder.strip_prefix(existing).ok()?;
    if !missing.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    // Links are resolved, as cargo and the system do for `..`.
    let existing = existing.canonicalize().ok()?;
    let inside = existing.strip_prefix(ancestor.canonicalize().ok()?).ok()?;
    Some(vec![".."; inside.components().count() + missing.components().count()].join("/"))
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

    /// A folder that looks like a clone of aaw.
    fn clone_of_aaw() -> tempfile::TempDir {
        let clone = tempfile::tempdir().unwrap();
        for krate in ["aaw-event", "aaw-event/build"] {
            fs::create_dir_all(clone.path().join(krate)).unwrap();
            fs::write(clone.path().join(krate).join("Cargo.toml"), "").unwrap();
        }
        fs::write(clone.path().join("Cargo.toml"), format!("[workspace.package]\nversion = {VERSION:?}\n")).unwrap();
        clone
    }

    #[test]
    fn a_clone_of_another_version_is_not_used() {
        let (folder, clone) = (tempfile::tempdir().unwrap(), clone_of_aaw());
        fs::write(clone.path().join("Cargo.toml"), "[workspace.package]\nversion = \"99.0.0\"\n").unwrap();
        let (source, _) = created(&folder.path().join("my-events"), clone.path());
        assert!(matches!(source, AawSource::Registry), "{source:?}");
    }

    /// Creates the package, checks that every placeholder was filled in, and returns its source and its Cargo.toml.
    fn created(folder: &Path, clone: &Path) -> (AawSource, String) {
        let package = init_from(folder, clone).unwrap();
        assert_eq!((package.name.as_str(), package.files.len()), ("my-events", FILES.len()));
        for file in package.files {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains("{{"), "{}:\n{text}", file.display());
        }
        (package.source, fs::read_to_string(folder.join("Cargo.toml")).unwrap())
    }

    #[test]
    fn git_ignores_the_file_of_users_in_a_new_package_and_here() {
        let here = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../.gitignore")).unwrap();
        for ignored in [include_str!("../../../template/gitignore"), &here] {
            let pattern = format!("{}*", crate::settings::DEFAULT_STORE);
            assert!(ignored.lines().any(|line| line == pattern), "{ignored}");
        }
    }

    #[test]
    fn a_program_without_a_clone_takes_the_crates_from_the_registry() {
        let folder = tempfile::tempdir().unwrap();
        let (source, manifest) = created(&folder.path().join("my events"), Path::new("/no/such/clone"));
        assert_eq!(source, AawSource::Registry);
        assert!(manifest.contains(&format!("\naaw-event = {VERSION:?}\n")), "{manifest}");
        assert!(manifest.contains(&format!("\naaw-event-build = {VERSION:?}\n")), "{manifest}");
        assert!(!manifest.contains("clone"), "{manifest}");
    }

    #[test]
    fn a_program_from_a_clone_takes_the_crates_from_there_and_says_what_to_change() {
        let (folder, clone) = (tempfile::tempdir().unwrap(), clone_of_aaw());
        let path = clone.path().to_str().unwrap();
        let (source, manifest) = created(&folder.path().join("my events"), clone.path());
        assert_eq!(source, AawSource::Clone(path.to_owned()));
        for krate in ["aaw-event = ", "aaw-event-build = "] {
            let folder = if krate.contains("build") { "aaw-event/build" } else { "aaw-event" };
            let dependency = format!("\n{krate}{{ version = {VERSION:?}, path = \"{path}/{folder}\" }}\n");
            assert!(manifest.contains(&dependency), "{manifest}");
        }
        assert!(manifest.contains(&format!("crates.io: aaw-event = {VERSION:?}\n")), "{manifest}");
        assert!(source.note().contains("this machine only"), "{}", source.note());
    }

    #[test]
    fn a_package_inside_the_clone_refers_to_it_by_a_relative_path() {
        let clone = clone_of_aaw();
        let (source, manifest) = created(&clone.path().join("deep/er/my events"), clone.path());
        assert_eq!(source, AawSource::SurroundingClone("../../..".to_owned()));
        assert!(manifest.contains(r#"path = "../../../aaw-event" }"#), "{manifest}");
        assert!(manifest.contains(r#"path = "../../../aaw-event/build" }"#), "{manifest}");
        // `deep/none/..` is not resolved before `none` exists.
        assert_eq!(path_to_ancestor(&clone.path().join("deep/none/../x"), clone.path()), None);
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
    fn the_printed_command_is_quoted_for_a_shell() {
        for (folder, expected) in [
            ("events", "aaw-server --watch"),
            ("shop", "aaw-server shop --watch"),
            ("/tmp/my shop", "aaw-server '/tmp/my shop' --watch"),
            ("it's", "aaw-server \"it's\" --watch"),
            ("$HOME", "aaw-server '$HOME' --watch"),
            ("~", "aaw-server '~' --watch"),
            ("-shop", "aaw-server ./-shop --watch"),
            ("- shop", "aaw-server './- shop' --watch"),
        ] {
            assert_eq!(serve_command(Path::new(folder)), expected, "{folder}");
        }
    }

    #[test]
    fn paths_are_quoted_for_toml() {
        assert_eq!(quote_toml(r#"C:\a "b""#), r#""C:\\a \"b\"""#);
    }
}
