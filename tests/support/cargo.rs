//! What cargo builds: the programs, and the test events as a library.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// What was built, in the profile that the tests were built in.
#[derive(Debug)]
pub struct Built {
    /// The program `aaw-server`.
    pub server: PathBuf,
    /// The program `aaw`.
    pub cli: PathBuf,
    /// The example that links events.
    pub linked: PathBuf,
    /// The example that calls.
    pub caller: PathBuf,
    /// The library of the test events.
    pub events: PathBuf,
}

/// The folder of the workspace.
///
/// # Panics
/// Never: this package lies in it.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

/// A cargo that does not know that a cargo has started us.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let leaks = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "LD_LIBRARY_PATH"];
        if leaks.iter().any(|leak| name.to_string_lossy().starts_with(leak)) {
            cargo.env_remove(name);
        }
    }
    cargo.kill_on_drop(true);
    cargo
}

/// Builds the programs and the library, once a test program.
///
/// # Panics
/// When that fails.
pub async fn built() -> &'static Built {
    static BUILT: OnceCell<Built> = OnceCell::const_new();
    BUILT.get_or_init(build).await
}

async fn build() -> Built {
    let mut command = cargo();
    command.current_dir(workspace()).args(["build", "--message-format=json-render-diagnostics"]);
    for package in ["aaw-server", "aaw-cli", "aaw-example-linked", "aaw-example-caller", "aaw-test-events"] {
        command.args(["-p", package]);
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output().await.expect("cargo is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages: Vec<Value> =
        output.stdout.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let program = |name: &str| {
        let made =
            messages.iter().find(|message| message["target"]["name"] == name && message["executable"].is_string());
        PathBuf::from(made.and_then(|made| made["executable"].as_str()).expect("cargo names what it made"))
    };
    let libraries = messages.iter().filter(|message| message["target"]["name"] == "aaw_test_events");
    let mut files = libraries.flat_map(|made| made["filenames"].as_array().cloned().unwrap_or_default());
    let library = files.find_map(|file| {
        let file = PathBuf::from(file.as_str()?);
        (file.extension()? == std::env::consts::DLL_EXTENSION).then_some(file)
    });
    Built {
        server: program("aaw-server"),
        cli: program("aaw"),
        linked: program("aaw-example-linked"),
        caller: program("aaw-example-caller"),
        events: library.expect("cargo names the library"),
    }
}
