//! Builds an events package with cargo.
//!
//! Cargo's messages for people go to standard error (see [`cargo_output`]), its messages for programs as JSON to its
//! standard output, which is parsed here.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::SystemTime;

use tokio::process::Command;

use super::blocking::blocking;
use super::cargo_json::{Metadata, Package, Target, artifacts};
use super::cargo_output;
use super::folder::is_library;
use super::missed_changes;
use super::process_group::ProcessGroup;

/// Why an events package could not be built. The message names the package.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Cargo is not installed.
    #[error("cannot find {cargo}, which is needed to build the events package {}: install Rust from https://rustup.rs, or serve a folder of built libraries (*.{})", package.display(), std::env::consts::DLL_EXTENSION)]
    CargoNotFound {
        /// The folder of the package.
        package: PathBuf,
        /// The program that was to be run.
        cargo: String,
    },
    /// Cargo could not be run.
    #[error("cannot run {cargo} to build the events package {}: {reason}", package.display())]
    CargoNotRunnable {
        /// The folder of the package.
        package: PathBuf,
        /// The program that was to be run.
        cargo: String,
        /// The system's error.
        reason: io::Error,
    },
    /// The package lies inside a workspace that does not list it as a member.
    #[error("the events package {} lies inside the workspace {workspace} but is not a member of it: add it to `members` there, or add an empty `[workspace]` table to its own Cargo.toml", package.display())]
    NotAWorkspaceMember {
        /// The folder of the package.
        package: PathBuf,
        /// The `Cargo.toml` of the workspace.
        workspace: String,
    },
    /// Cargo rejects the `Cargo.toml` of the package.
    #[error("cargo rejects the events package {}:\n{message}", package.display())]
    InvalidManifest {
        /// The folder of the package.
        package: PathBuf,
        /// Cargo's message.
        message: String,
    },
    /// The package does not build a dynamic library.
    #[error("the package {} does not build a dynamic library: expected crate-type = [\"cdylib\", \"rlib\"] in the [lib] table of its Cargo.toml", package.display())]
    MissingCdylib {
        /// The folder of the package.
        package: PathBuf,
    },
    /// A workspace without a root package, in which no member or several members build a dynamic library.
    #[error("{} is a workspace, and {}: expected the folder of one events package", package.display(), describe_members(.found))]
    AmbiguousWorkspace {
        /// The folder of the workspace.
        package: PathBuf,
        /// The members that build a dynamic library.
        found: Vec<String>,
    },
    /// The package does not compile, or a dependency is missing.
    #[error("building the events package {} failed ({status}): see cargo's messages above", package.display())]
    Failed {
        /// The folder of the package.
        package: PathBuf,
        /// The exit status of cargo.
        status: ExitStatus,
    },
    /// Cargo succeeded, but did not report exactly one library.
    #[error("cargo built the events package {}, but reported {} libraries (*.{}): expected one", package.display(), found.len(), std::env::consts::DLL_EXTENSION)]
    UnexpectedLibraries {
        /// The folder of the package.
        package: PathBuf,
        /// The libraries that cargo reported.
        found: Vec<PathBuf>,
    },
}

fn describe_members(found: &[String]) -> String {
    match found {
        [] => "none of its members builds a dynamic library (crate-type cdylib)".to_owned(),
        _ => format!("several of its members build a dynamic library ({})", found.join(", ")),
    }
}

/// A package that was built.
#[derive(Debug)]
pub(super) struct BuiltPackage {
    pub(super) library: PathBuf,
    /// The folder of the package. It differs from the requested folder if that is the root of a workspace.
    pub(super) folder: PathBuf,
    pub(super) workspace: PathBuf,
    /// The files and folders that the library depends on, including path dependencies and those that build scripts
    /// name.
    pub(super) sources: BTreeSet<PathBuf>,
    /// The folders that cargo writes to.
    pub(super) output_folders: BTreeSet<PathBuf>,
}

/// Builds the package in a folder, in the profile in which this program was built. `last_build` is when this program began
/// to build it last.
///
/// Dropping the future kills cargo and all that it has started, such as build scripts.
pub(super) async fn build(folder: &Path, last_build: Option<SystemTime>) -> Result<BuiltPackage, BuildError> {
    let metadata = read_metadata(folder).await?;
    let package = package_in(&metadata, folder)?;
    let package_folder = package.manifest_path.parent().unwrap_or(folder).to_owned();
    let output_folders: BTreeSet<_> =
        metadata.build_directory.iter().chain([&metadata.target_directory]).cloned().collect();
    let previous = PreviousBuild {
        libraries: previous_libraries(&metadata.target_directory, package),
        package: package_folder.clone(),
        workspace: metadata.workspace_root.clone(),
        output_folders: output_folders.clone(),
    };
    blocking(move || previous.touch_missed_changes(last_build)).await;

    let mut command = std::process::Command::new(cargo_path());
    command.args(["build", "--lib", "--message-format=json-render-diagnostics", "--package", &package.id]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command.arg("--manifest-path").arg(package_folder.join("Cargo.toml")).current_dir(&package_folder);
    let output = run(command, &package_folder, Messages::Shown).await?;
    if !output.status.success() {
        return Err(BuildError::Failed { package: package_folder, status: output.status });
    }
    let found = libraries_of(&package.id, &output.stdout);
    let [library] = <[PathBuf; 1]>::try_from(found)
        .map_err(|found| BuildError::UnexpectedLibraries { package: package_folder.clone(), found })?;
    let workspace = metadata.workspace_root;
    let sources = sources_of(&library, &workspace, &output_folders);
    Ok(BuiltPackage { library, folder: package_folder, workspace, sources, output_folders })
}

/// The folder in the target folder to which cargo writes with the profile of [`build`].
const PROFILE_FOLDER: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// The libraries that earlier builds of this package have left: one, or one for each `build.target`.
fn previous_libraries(target_folder: &Path, package: &Package) -> Vec<PathBuf> {
    let Some(target) = package.targets.iter().find(|target| target.builds_cdylib()) else { return Vec::new() };
    let subfolders = target_folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let profile_folders =
        subfolders.map(|folder| folder.join(PROFILE_FOLDER)).chain([target_folder.join(PROFILE_FOLDER)]);
    profile_folders.map(|folder| folder.join(target.cdylib_file())).filter(|library| library.is_file()).collect()
}

/// What is known about the previous build of a package, by this program or an earlier one.
struct PreviousBuild {
    libraries: Vec<PathBuf>,
    package: PathBuf,
    workspace: PathBuf,
    output_folders: BTreeSet<PathBuf>,
}

impl PreviousBuild {
    fn touch_missed_changes(&self, last_build: Option<SystemTime>) {
        // Where a whole tree was copied here, such as an image of a container, the times of the library tell that, too.
        let written = |library: &PathBuf| library.metadata().map(|found| missed_changes::changed(&found)).ok();
        let builds: Vec<_> = self.libraries.iter().filter_map(written).chain(last_build).collect();
        let mut sources = BTreeSet::from([self.package.join("src")]);
        for library in &self.libraries {
            sources.extend(sources_of(library, &self.workspace, &self.output_folders));
        }
        let packages: BTreeSet<_> = sources.iter().filter_map(|source| package_of(source)).collect();
        sources.extend(packages.into_iter().map(|package| package.join("src")));
        missed_changes::touch(&sources, &self.output_folders, &builds);
    }
}

/// Returns the package of a source file: the nearest folder above it with a `Cargo.toml`.
pub(super) fn package_of(source: &Path) -> Option<PathBuf> {
    source.ancestors().skip(1).find(|folder| folder.join("Cargo.toml").is_file()).map(Path::to_owned)
}

fn cargo_path() -> OsString {
    std::env::var_os("CARGO").filter(|cargo| !cargo.is_empty()).unwrap_or_else(|| "cargo".into())
}

async fn read_metadata(folder: &Path) -> Result<Metadata, BuildError> {
    let mut command = std::process::Command::new(cargo_path());
    command.args(["metadata", "--format-version", "1", "--no-deps", "--manifest-path"]);
    command.arg(folder.join("Cargo.toml")).current_dir(folder);
    let output = run(command, folder, Messages::Returned).await?;
    if !output.status.success() {
        return Err(metadata_error(folder, &output.stderr));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| BuildError::InvalidManifest {
        package: folder.to_owned(),
        message: format!("cannot parse the output of `cargo metadata`: {error}"),
    })
}

/// What happens with what cargo writes to its standard error.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Messages {
    /// It is in the output that is returned.
    Returned,
    Shown,
}

/// Runs a cargo command for the package in `folder`. Its working directory is the package's folder, since cargo
/// searches for its configuration from there upwards.
async fn run(command: std::process::Command, folder: &Path, messages: Messages) -> Result<Output, BuildError> {
    let cargo = command.get_program().to_owned();
    let mut command = Command::from(command);
    for name in leaked_variables(std::env::vars_os().map(|(name, _)| name)) {
        command.env_remove(name);
    }
    let stderr = if messages == Messages::Shown { cargo_output::stdio() } else { Stdio::piped() };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);
    let output = async {
        let (mut child, group) = ProcessGroup::spawn(&mut command)?;
        let shown = child.stderr.take_if(|_| messages == Messages::Shown);
        let copied = async {
            if let Some(stderr) = shown {
                cargo_output::copy(stderr).await;
            }
        };
        let output = tokio::join!(child.wait_with_output(), copied).0;
        group.ended();
        output
    };
    output.await.map_err(|reason| run_error(&cargo, folder, reason))
}

fn run_error(cargo: &OsStr, folder: &Path, reason: io::Error) -> BuildError {
    let (package, cargo) = (folder.to_owned(), cargo.to_string_lossy().into_owned());
    match reason.kind() {
        // The system returns `NotFound` for a missing working directory as well.
        io::ErrorKind::NotFound if folder.is_dir() => BuildError::CargoNotFound { package, cargo },
        _ => BuildError::CargoNotRunnable { package, cargo, reason },
    }
}

/// Returns the environment variables that an outer cargo has set for this process and that describe this package
/// instead of the one to be built.
///
/// They are removed: build scripts that depend on one of them would otherwise run again whenever a build with and a
/// build without the outer cargo alternate. Variables that do not describe a package (`CARGO_HOME`, `CARGO_TARGET_DIR`,
/// `RUSTUP_TOOLCHAIN` and so on) are kept.
fn leaked_variables(names: impl Iterator<Item = OsString>) -> Vec<OsString> {
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
    // Cargo adds its own folders to these for the programs it runs. Without an outer cargo they are kept.
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

/// Returns the package in `folder`; or, if that is a workspace without a root package, its only member that builds a
/// dynamic library.
fn package_in<'a>(metadata: &'a Metadata, folder: &Path) -> Result<&'a Package, BuildError> {
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let manifest = canonical(&folder.join("Cargo.toml"));
    let has_cdylib = |package: &&Package| package.targets.iter().any(Target::builds_cdylib);
    let packages = &metadata.packages;
    if let Some(package) = packages.iter().find(|package| canonical(&package.manifest_path) == manifest) {
        let error = BuildError::MissingCdylib { package: folder.to_owned() };
        return Some(package).filter(has_cdylib).ok_or(error);
    }
    let members: Vec<_> = packages.iter().filter(has_cdylib).collect();
    match *members {
        [package] => Ok(package),
        _ => {
            let found = members.iter().map(|package| package.name.clone()).collect();
            Err(BuildError::AmbiguousWorkspace { package: folder.to_owned(), found })
        }
    }
}

/// The error when `cargo metadata` fails, from its messages.
fn metadata_error(folder: &Path, stderr: &[u8]) -> BuildError {
    let message = String::from_utf8_lossy(stderr);
    let package = folder.to_owned();
    if message.contains("believes it's in a workspace when it's not") {
        let workspace = message.lines().find_map(|line| line.trim().strip_prefix("workspace:")).unwrap_or("around it");
        return BuildError::NotAWorkspaceMember { package, workspace: workspace.trim().to_owned() };
    }
    BuildError::InvalidManifest { package, message: message.trim_end().to_owned() }
}

/// Returns the dynamic libraries of one package from cargo's messages.
fn libraries_of(package: &str, messages: &[u8]) -> Vec<PathBuf> {
    artifacts(messages)
        .filter(|artifact| artifact.package_id == package && artifact.target.builds_cdylib())
        .flat_map(|artifact| artifact.filenames)
        .filter(|file| is_library(file))
        .collect()
}

/// Reads the sources of a library from the dependency file that cargo writes beside it: `library: source source …`.
fn sources_of(library: &Path, workspace: &Path, output_folders: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let rules = std::fs::read_to_string(library.with_extension("d")).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot read the list of sources that cargo writes for {}", library.display());
        String::new()
    });
    let sources = rules.lines().filter_map(|rule| rule.split_once(": ")).flat_map(|(_, sources)| split_paths(sources));
    sources
        .map(|source| workspace.join(source))
        .filter(|source| !output_folders.iter().any(|folder| source.starts_with(folder)))
        .collect()
}

/// Splits a list of paths at its spaces. A space within a path is preceded by a backslash.
fn split_paths(sources: &str) -> Vec<String> {
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

    fn leaked(names: &[&str]) -> Vec<String> {
        let leaked = leaked_variables(names.iter().map(Into::into));
        leaked.into_iter().map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn the_package_variables_of_an_outer_cargo_are_removed_and_others_kept() {
        let kept = ["PATH", "HOME", "CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_TERM_COLOR", "RUSTUP_TOOLCHAIN"];
        let removed = ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_CRATE_NAME", "OUT_DIR", "LD_LIBRARY_PATH"];
        assert_eq!(leaked(&[&kept[..], &removed].concat()), removed);
    }

    #[test]
    fn without_an_outer_cargo_all_variables_are_kept() {
        assert_eq!(leaked(&["PATH", "LD_LIBRARY_PATH", "OUT_DIR"]), [""; 0]);
    }

    #[test]
    fn escaped_spaces_in_paths_are_read() {
        assert_eq!(split_paths(r"/a/b.rs /with\ two\ spaces/c.rs"), ["/a/b.rs", "/with two spaces/c.rs"]);
        assert_eq!(split_paths(""), [""; 0]);
    }

    #[test]
    fn the_library_is_found_among_cargos_messages() {
        let artifact = |id: &str, kind: &str, file: &str| {
            serde_json::json!({
                "reason": "compiler-artifact",
                "package_id": id,
                "manifest_path": "/p/Cargo.toml",
                "target": {
                    "kind": [kind], "crate_types": [kind], "name": file, "src_path": "/p/src/lib.rs", "edition": "2024",
                    "doc": true, "doctest": false, "test": true
                },
                "profile": {
                    "opt_level": "0", "debuginfo": 0, "debug_assertions": true, "overflow_checks": true, "test": false
                },
                "features": [],
                "filenames": [format!("/t/lib{file}.rlib"), format!("/t/{file}{}", std::env::consts::DLL_SUFFIX)],
                "executable": null,
                "fresh": false
            })
            .to_string()
        };
        let messages = [
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
            r#"{"reason":"of-a-newer-cargo","package_id":"mine"}"#.to_owned(),
            artifact("other", "cdylib", "other"),
            artifact("mine", "bin", "program"),
            "not JSON".to_owned(),
            artifact("mine", "cdylib", "mine"),
        ];
        let expected = PathBuf::from(format!("/t/mine{}", std::env::consts::DLL_SUFFIX));
        assert_eq!(libraries_of("mine", messages.join("\n").as_bytes()), [expected]);
    }

    #[tokio::test]
    async fn without_cargo_the_error_explains_what_to_do() {
        let no_cargo = || std::process::Command::new("/no/such/cargo");
        let folder = tempfile::tempdir().unwrap();
        let error = run(no_cargo(), folder.path(), Messages::Returned).await.unwrap_err().to_string();
        assert!(error.starts_with("cannot find /no/such/cargo") && error.contains("https://rustup.rs"), "{error}");

        let missing_folder = run(no_cargo(), Path::new("/no/such/events"), Messages::Returned).await.unwrap_err();
        assert_eq!(
            missing_folder.to_string().split(": ").next(),
            Some("cannot run /no/such/cargo to build the events package /no/such/events")
        );
    }

    #[test]
    fn a_package_that_its_workspace_does_not_list_is_explained() {
        let stderr = "error: current package believes it's in a workspace when it's not:\ncurrent:   /w/e/Cargo.toml\nworkspace: /w/Cargo.toml\n\nthis may be fixable …";
        let error = metadata_error(Path::new("/w/e"), stderr.as_bytes()).to_string();
        assert_eq!(
            error,
            "the events package /w/e lies inside the workspace /w/Cargo.toml but is not a member of it: add it to `members` there, or add an empty `[workspace]` table to its own Cargo.toml"
        );
    }
}
