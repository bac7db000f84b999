//! From a package to its library, with cargo.
//!
//! Cargo's messages go where cargo would print them: our standard error, with its colours. What we need to know comes
//! as JSON on its standard output.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};

use serde::Deserialize;
use tokio::process::Command;

use super::folder::is_library;

/// Why an events package could not be built. Each text names it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Cargo is not there.
    #[error("{cargo} is not there, which is needed to build the events package {}: install Rust from https://rustup.rs, or serve a folder of libraries that are ready (*.{})", package.display(), std::env::consts::DLL_EXTENSION)]
    NoCargo {
        /// The folder of the package.
        package: PathBuf,
        /// What was to be run.
        cargo: String,
    },
    /// Cargo could not be run.
    #[error("{cargo} cannot be run to build the events package {}: {reason}", package.display())]
    Unrunnable {
        /// The folder of the package.
        package: PathBuf,
        /// What was to be run.
        cargo: String,
        /// What the system says.
        reason: io::Error,
    },
    /// It lies inside a workspace that does not know it.
    #[error("the events package {} lies inside the workspace {workspace} and is no member of it: add it to `members` there, or give it an empty `[workspace]` table in its own Cargo.toml", package.display())]
    NoMember {
        /// The folder of the package.
        package: PathBuf,
        /// The `Cargo.toml` of the workspace.
        workspace: String,
    },
    /// Cargo does not accept its `Cargo.toml`.
    #[error("cargo does not accept the events package {}:\n{message}", package.display())]
    BadManifest {
        /// The folder of the package.
        package: PathBuf,
        /// Cargo's words.
        message: String,
    },
    /// The package makes no library that could be opened.
    #[error("the package {} makes no library that can be opened: expected crate-type = [\"cdylib\", \"rlib\"] in the [lib] table of its Cargo.toml", package.display())]
    NoCdylib {
        /// The folder of the package.
        package: PathBuf,
    },
    /// A workspace without a package of its own, and not just one of its members makes a library.
    #[error("{} is a workspace, and {}: expected the folder of one events package", package.display(), several(.found))]
    Workspace {
        /// The folder of the workspace.
        package: PathBuf,
        /// The members that make a library.
        found: Vec<String>,
    },
    /// It does not compile, or something it needs is missing.
    #[error("the events package {} was not built ({status}): see cargo's messages above", package.display())]
    Failed {
        /// The folder of the package.
        package: PathBuf,
        /// How cargo ended.
        status: ExitStatus,
    },
    /// Cargo says that all is well, but not where the library is.
    #[error("cargo built the events package {}, but named {} libraries (*.{}) of it: expected one", package.display(), found.len(), std::env::consts::DLL_EXTENSION)]
    NoLibrary {
        /// The folder of the package.
        package: PathBuf,
        /// The libraries that it named.
        found: Vec<PathBuf>,
    },
}

fn several(found: &[String]) -> String {
    match found {
        [] => "none of its members makes a library (crate-type cdylib)".to_owned(),
        _ => format!("several of its members make a library ({})", found.join(", ")),
    }
}

/// A package that was built.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) library: PathBuf,
    /// The folder of the package; another than the one that was asked for when that is a workspace's.
    pub(super) package: PathBuf,
    pub(super) workspace: PathBuf,
    /// The files that cargo has made it from, dependencies by path and what build scripts have named included.
    pub(super) sources: BTreeSet<PathBuf>,
    /// Where cargo writes.
    pub(super) made: BTreeSet<PathBuf>,
}

/// Builds the package in a folder, in the profile that this program was built in.
///
/// Dropping the future ends cargo.
pub(super) async fn build(folder: &Path) -> Result<Built, BuildError> {
    let asked = cargo(folder, &["metadata", "--no-deps", "--format-version=1"], Stdio::piped()).await?;
    if !asked.status.success() {
        return Err(refused(folder, &asked.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&asked.stdout).map_err(|error| BuildError::BadManifest {
        package: folder.to_owned(),
        message: format!("what `cargo metadata` says cannot be understood: {error}"),
    })?;
    let package = metadata.package_in(folder)?;
    let package_folder = package.manifest_path.parent().unwrap_or(folder).to_owned();

    let mut args = vec!["build", "--lib", "--message-format=json-render-diagnostics", "--package", &package.id];
    if !cfg!(debug_assertions) {
        args.push("--release");
    }
    let built = cargo(&package_folder, &args, Stdio::inherit()).await?;
    if !built.status.success() {
        return Err(BuildError::Failed { package: package_folder, status: built.status });
    }
    let mut found = libraries_of(&package.id, &built.stdout);
    match found.pop() {
        Some(library) if found.is_empty() => {
            let made = metadata.build_directory.iter().chain([&metadata.target_directory]).cloned().collect();
            let sources = sources_of(&library, &metadata.workspace_root, &made);
            Ok(Built { library, package: package_folder, workspace: metadata.workspace_root, sources, made })
        }
        last => {
            found.extend(last);
            Err(BuildError::NoLibrary { package: package_folder, found })
        }
    }
}

async fn cargo(folder: &Path, args: &[&str], stderr: Stdio) -> Result<Output, BuildError> {
    let cargo = std::env::var_os("CARGO").filter(|cargo| !cargo.is_empty());
    run(&cargo.unwrap_or_else(|| "cargo".into()), folder, args, stderr).await
}

async fn run(cargo: &OsStr, folder: &Path, args: &[&str], stderr: Stdio) -> Result<Output, BuildError> {
    let mut command = Command::new(cargo);
    // In its folder, since cargo looks for its configuration from there upwards.
    command.args(args).arg("--manifest-path").arg(folder.join("Cargo.toml")).current_dir(folder);
    for name in leaked(std::env::vars_os().map(|(name, _)| name)) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);
    let output = match command.spawn() {
        Ok(child) => child.wait_with_output().await,
        Err(error) => Err(error),
    };
    output.map_err(|reason| {
        let (package, cargo) = (folder.to_owned(), cargo.to_string_lossy().into_owned());
        match reason.kind() {
            // The system says so of a folder that has gone as well.
            io::ErrorKind::NotFound if folder.is_dir() => BuildError::NoCargo { package, cargo },
            _ => BuildError::Unrunnable { package, cargo, reason },
        }
    })
}

/// Which variables come from a cargo that started us, and speak of our package instead of the one to be built.
///
/// Build scripts that look at one of them would run again whenever the one build follows the other. What speaks of no
/// package (`CARGO_HOME`, `CARGO_TARGET_DIR`, `RUSTUP_TOOLCHAIN` and their like) stays.
fn leaked(names: impl Iterator<Item = OsString>) -> Vec<OsString> {
    const PREFIXES: [&str; 5] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CFG_", "CARGO_FEATURE_"];
    const WHOLE: [&str; 11] = [
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_TMPDIR",
        "OUT_DIR",
        "TARGET",
        "HOST",
        "NUM_JOBS",
        "OPT_LEVEL",
        "PROFILE",
        "DEBUG",
        "RUST_RECURSION_COUNT",
    ];
    // Where cargo adds its own folders for what it runs; somebody else's are needed.
    const PATHS: [&str; 3] = ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"];
    let names: Vec<_> = names.collect();
    if !names.iter().any(|name| name == "CARGO_MANIFEST_DIR") {
        return Vec::new();
    }
    let leaks = |name: &OsString| {
        let name = name.to_string_lossy();
        WHOLE.contains(&&*name) || PATHS.contains(&&*name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    names.into_iter().filter(leaks).collect()
}

/// What `cargo metadata` says, as far as it matters.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
    /// Another than the above if so configured.
    build_directory: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

impl Target {
    fn is_cdylib(&self) -> bool {
        self.crate_types.iter().any(|kind| kind == "cdylib")
    }
}

impl Metadata {
    /// The package in `folder`; or, when that is a workspace without one, its only member that makes a library.
    fn package_in(&self, folder: &Path) -> Result<&Package, BuildError> {
        let manifest = folder.join("Cargo.toml");
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let makes_library = |package: &&Package| package.targets.iter().any(Target::is_cdylib);
        if let Some(package) = self.packages.iter().find(|package| real(&package.manifest_path) == real(&manifest)) {
            let none = BuildError::NoCdylib { package: folder.to_owned() };
            return Some(package).filter(makes_library).ok_or(none);
        }
        let members: Vec<_> = self.packages.iter().filter(makes_library).collect();
        match *members {
            [package] => Ok(package),
            _ => {
                let found = members.iter().map(|package| package.name.clone()).collect();
                Err(BuildError::Workspace { package: folder.to_owned(), found })
            }
        }
    }
}

/// Cargo's words when it did not even look at the package.
fn refused(folder: &Path, stderr: &[u8]) -> BuildError {
    let message = String::from_utf8_lossy(stderr);
    let package = folder.to_owned();
    if message.contains("believes it's in a workspace when it's not") {
        let workspace = message.lines().find_map(|line| line.trim().strip_prefix("workspace:")).unwrap_or("around it");
        return BuildError::NoMember { package, workspace: workspace.trim().to_owned() };
    }
    BuildError::BadManifest { package, message: message.trim_end().to_owned() }
}

/// The libraries of one package among cargo's messages.
fn libraries_of(package: &str, messages: &[u8]) -> Vec<PathBuf> {
    #[derive(Deserialize)]
    struct Artifact {
        package_id: String,
        target: Target,
        filenames: Vec<PathBuf>,
    }
    // Messages of other kinds lack its fields.
    let artifacts =
        messages.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice::<Artifact>(line).ok());
    artifacts
        .filter(|artifact| artifact.package_id == package && artifact.target.is_cdylib())
        .flat_map(|artifact| artifact.filenames)
        .filter(|file| is_library(file))
        .collect()
}

/// What the library was made from, as the file that cargo writes beside it says: `library: source source …`.
fn sources_of(library: &Path, workspace: &Path, made: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let rules = std::fs::read_to_string(library.with_extension("d")).unwrap_or_else(|error| {
        tracing::warn!(%error, "cargo does not say what {} was made from", library.display());
        String::new()
    });
    let sources = rules.lines().filter_map(|rule| rule.split_once(": ")).flat_map(|(_, sources)| unescaped(sources));
    sources
        .map(|source| workspace.join(source))
        .filter(|source| !made.iter().any(|folder| source.starts_with(folder)))
        .collect()
}

/// Paths with spaces between them; a space of a path's own has a backslash before it.
fn unescaped(sources: &str) -> Vec<String> {
    let mut paths = vec![String::new()];
    let mut rest = sources.chars().peekable();
    while let Some(next) = rest.next() {
        match (next, rest.peek()) {
            ('\\', Some(' ')) => paths.last_mut().expect("never empty").extend(rest.next()),
            (' ', _) => paths.push(String::new()),
            _ => paths.last_mut().expect("never empty").push(next),
        }
    }
    paths.retain(|path| !path.is_empty());
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaked_of(names: &[&str]) -> Vec<String> {
        let leaked = leaked(names.iter().map(Into::into));
        leaked.into_iter().map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn what_an_outer_cargo_says_of_us_is_removed_and_nothing_else() {
        let stays = ["PATH", "HOME", "CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_TERM_COLOR", "RUSTUP_TOOLCHAIN"];
        let goes = ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_CRATE_NAME", "OUT_DIR", "LD_LIBRARY_PATH"];
        assert_eq!(leaked_of(&[&stays[..], &goes].concat()), goes);
    }

    #[test]
    fn without_an_outer_cargo_everything_stays() {
        assert_eq!(leaked_of(&["PATH", "LD_LIBRARY_PATH", "OUT_DIR"]), [""; 0]);
    }

    #[test]
    fn spaces_in_paths_are_read_as_cargo_writes_them() {
        assert_eq!(unescaped(r"/a/b.rs /with\ two\ spaces/c.rs"), ["/a/b.rs", "/with two spaces/c.rs"]);
        assert_eq!(unescaped(""), [""; 0]);
    }

    #[test]
    fn the_library_is_found_among_cargos_messages() {
        let artifact = |id: &str, kind: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"{id}","target":{{"crate_types":["{kind}"]}},"filenames":["/t/lib{file}.rlib","/t/{file}{}"]}}"#,
                std::env::consts::DLL_SUFFIX
            )
        };
        let messages = [
            r#"{"reason":"build-script-executed","package_id":"mine"}"#.to_owned(),
            artifact("other", "cdylib", "other"),
            artifact("mine", "bin", "program"),
            "not JSON".to_owned(),
            artifact("mine", "cdylib", "mine"),
        ];
        let expected = PathBuf::from(format!("/t/mine{}", std::env::consts::DLL_SUFFIX));
        assert_eq!(libraries_of("mine", messages.join("\n").as_bytes()), [expected]);
    }

    #[tokio::test]
    async fn without_cargo_it_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let cargo = OsStr::new("/no/such/cargo");
        let error = run(cargo, folder.path(), &[], Stdio::null()).await.unwrap_err().to_string();
        assert!(error.starts_with("/no/such/cargo is not there") && error.contains("https://rustup.rs"), "{error}");

        let gone = run(cargo, Path::new("/no/such/events"), &[], Stdio::null()).await.unwrap_err().to_string();
        assert!(gone.contains("cannot be run to build the events package /no/such/events"), "{gone}");
    }

    #[test]
    fn cargos_refusal_of_a_stranger_in_its_workspace_is_explained() {
        let stderr = "error: current package believes it's in a workspace when it's not:\ncurrent:   /w/e/Cargo.toml\nworkspace: /w/Cargo.toml\n\nthis may be fixable …";
        let error = refused(Path::new("/w/e"), stderr.as_bytes()).to_string();
        assert_eq!(
            error,
            "the events package /w/e lies inside the workspace /w/Cargo.toml and is no member of it: add it to `members` there, or give it an empty `[workspace]` table in its own Cargo.toml"
        );
    }
}
