//! Builds the programs that the tests run, and the test events as a library.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// The paths of the programs and of the library, built with the profile of the tests.
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
}

/// Returns the root folder of the workspace.
///
/// # Panics
/// Never: this package is a folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is a folder of the workspace").to_owned()
}

/// Returns the command `cargo`, without the variables that the cargo that runs the tests has set, so that it works as
/// if it were started from a shell.
pub fn cargo() -> Command {
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

/// Builds the programs and the library, once for each test binary.
///
/// # Panics
/// If the build fails.
pub async fn artifacts() -> &'static Artifacts {
    static ARTIFACTS: OnceCell<Artifacts> = OnceCell::const_new();
    ARTIFACTS.get_or_init(build).await
}

async fn build() -> Artifacts {
    let mut command = cargo();
    command.current_dir(workspace()).args(["build", "--message-format=json-render-diagnostics"]);
    for package in ["aaw-server", "aaw-cli", "aaw-example-linked", "aaw-example-caller", "aaw-test-events"] {
        command.args(["-p", package]);
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output().await.expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages: Vec<Value> =
        output.stdout.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let program = |name: &str| {
        let artifact =
            messages.iter().find(|message| message["target"]["name"] == name && message["executable"].is_string());
        let path = artifact.and_then(|artifact| artifact["executable"].as_str());
        PathBuf::from(path.unwrap_or_else(|| panic!("cargo reports no program {name}")))
    };
    let libraries = messages.iter().filter(|message| message["target"]["name"] == "aaw_test_events");
    let mut files = libraries.flat_map(|artifact| artifact["filenames"].as_array().cloned().unwrap_or_default());
    let library = files.find_map(|file| {
        let file = PathBuf::from(file.as_str()?);
        (file.extension()? == std::env::consts::DLL_EXTENSION).then_some(file)
    });
    Artifacts {
        server: program("aaw-server"),
        cli: program("aaw"),
        linked: program("aaw-example-linked"),
        caller: program("aaw-example-caller"),
        events: library.expect("cargo reports the library"),
    }
}
