//! The programs and the libraries that the tests run, and where they may build others.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// The paths of programs and libraries, built with the profile of the tests.
#[derive(Debug)]
pub struct Artifacts {
    /// The program `aaw-server`.
    pub server: PathBuf,
    /// The program `aaw`.
    pub cli: PathBuf,
    /// The example that links events into a server of its own.
    pub linked: PathBuf,
    /// The example that calls events.
    pub caller: PathBuf,
    /// The library of the test events.
    pub events: PathBuf,
    /// The library of the events for rooms, client calls and guards.
    pub rooms: PathBuf,
}

/// Returns the root folder of the workspace.
///
/// # Panics
/// Never: this package is a folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is a folder of the workspace").to_owned()
}

/// Returns the target folder for packages that a test builds: the folder `nested` of the workspace's target folder.
///
/// Cargo keeps one file for each name of a dynamic library, whatever its features. A package of the workspace that is
/// built alone has other features, so building it in the workspace's target folder would replace the library that other
/// tests are linked with.
pub fn nested_target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    workspace().join(target).join("nested")
}

/// Returns the command `cargo`, without the variables that the cargo that runs the tests has set, so that it works as
/// if it were started from a shell.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let inherited = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "LD_LIBRARY_PATH"];
        if inherited.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    cargo.kill_on_drop(true);
    cargo
}

/// Builds the programs and libraries, once for each test binary. There is nothing left to build if `tests/run` runs the
/// tests.
///
/// # Panics
/// If the build fails.
pub async fn artifacts() -> &'static Artifacts {
    static ARTIFACTS: OnceCell<Artifacts> = OnceCell::const_new();
    ARTIFACTS.get_or_init(build).await
}

async fn build() -> Artifacts {
    let mut command = cargo();
    // The whole workspace, exactly as `tests/run` builds it: any other selection of packages has other features, and
    // would build dependencies a second time.
    command.current_dir(workspace()).args(["build", "--locked", "--workspace", "--lib", "--bins", "--tests"]);
    command.arg("--message-format=json-render-diagnostics");
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output().await.expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages: Vec<Value> =
        output.stdout.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    // A target is reported twice, as itself and as its unit tests.
    let built = |name: &str| {
        let of_name = messages.iter().filter(|message| message["target"]["name"] == name);
        of_name.filter(|message| message["profile"]["test"] == false).cloned().collect::<Vec<_>>()
    };
    let program = |name: &str| {
        let path = built(name).iter().find_map(|artifact| artifact["executable"].as_str().map(PathBuf::from));
        path.unwrap_or_else(|| panic!("cargo reports no program {name}"))
    };
    let library = |name: &str| {
        let artifacts = built(name);
        let mut files = artifacts.iter().flat_map(|artifact| artifact["filenames"].as_array().into_iter().flatten());
        let is_library = |file: &&Value| file.as_str().is_some_and(|file| file.ends_with(std::env::consts::DLL_SUFFIX));
        let path = files.find(is_library).and_then(Value::as_str).map(PathBuf::from);
        path.unwrap_or_else(|| panic!("cargo reports no library {name}"))
    };
    Artifacts {
        server: program("aaw-server"),
        cli: program("aaw"),
        linked: program("aaw-example-linked"),
        caller: program("aaw-example-caller"),
        events: library("aaw_test_events"),
        rooms: library("aaw_test_rooms"),
    }
}
