//! The servers under comparison.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measurement::BoxError;
use crate::process::Server;
use crate::wire::Wire;

/// A server: a row of the tables.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    program: Program,
    /// The argument that starts it.
    kind: &'static str,
    /// The argument that starts it for pushes, if it has them.
    pushes: Option<&'static str>,
    /// Whether it also has pushes to a room.
    rooms: bool,
    /// The argument that starts it for streams in aaw's dialect v1, if it has them.
    items: Option<&'static str>,
    /// The argument that starts it with an `echo` that waits once, if there is one.
    waits: Option<&'static str>,
    /// The same for an `echo` that yields to other tasks once.
    yields: Option<&'static str>,
    pub(crate) wire: Wire,
}

#[derive(Clone, Copy)]
pub(crate) enum Program {
    /// This program.
    Own,
    /// The program of `bench/peers`.
    Peers,
    /// A script of `bench/js` on Bun, which is installed there.
    Bun,
    /// A script of `bench/js` on Node.
    Node,
}

/// All servers, in the order of the tables.
pub(crate) const ROWS: &[Row] = &[
    row("raw", Program::Peers, "raw", Wire::Classic).pushes("raw-fan-out").items("raw-items"),
    row("raw-json", Program::Peers, "raw-json", Wire::Classic),
    row("tungstenite", Program::Own, "echo", Wire::Classic),
    row("aaw", Program::Own, "linked", Wire::V1).pushes("linked").rooms().items("linked").waits("waiting", "yielding"),
    row("aaw-resumable", Program::Own, "linked", Wire::Resumable).pushes("linked").rooms(),
    row("aaw-classic", Program::Own, "linked", Wire::Classic).pushes("linked").rooms(),
    row("aaw-library", Program::Own, "library", Wire::V1).pushes("library").rooms().items("library"),
    row("socketioxide", Program::Peers, "socketioxide", Wire::SocketIo).pushes("socketioxide").rooms(),
    row("socket.io", Program::Node, "socket.io.js", Wire::SocketIo).pushes("socket.io.js").rooms(),
    row("jsonrpsee", Program::Peers, "jsonrpsee", Wire::JsonRpc).pushes("jsonrpsee"),
    row("bun", Program::Bun, "bun.js", Wire::Classic).pushes("bun.js").rooms(),
    row("original", Program::Bun, "original.js", Wire::Original).pushes("original.js"),
    row("ws", Program::Node, "ws.js", Wire::Classic).pushes("ws.js"),
];

/// A server that answers calls.
const fn row(name: &'static str, program: Program, kind: &'static str, wire: Wire) -> Row {
    Row { name, program, kind, pushes: None, rooms: false, items: None, waits: None, yields: None, wire }
}

impl Row {
    const fn pushes(self, kind: &'static str) -> Self {
        Self { pushes: Some(kind), ..self }
    }

    const fn rooms(self) -> Self {
        Self { rooms: true, ..self }
    }

    const fn items(self, kind: &'static str) -> Self {
        Self { items: Some(kind), ..self }
    }

    const fn waits(self, for_a_timer: &'static str, for_a_turn: &'static str) -> Self {
        Self { waits: Some(for_a_timer), yields: Some(for_a_turn), ..self }
    }

    pub(crate) fn start(&self) -> Result<Server, BoxError> {
        self.start_as(self.kind)
    }

    /// Starts the server for pushes, if it has them.
    pub(crate) fn start_for_pushes(&self) -> Option<Result<Server, BoxError>> {
        self.pushes.map(|kind| self.start_as(kind))
    }

    /// Starts the server for pushes to a room, if it has them.
    pub(crate) fn start_for_rooms(&self) -> Option<Result<Server, BoxError>> {
        if self.rooms { self.start_for_pushes() } else { None }
    }

    /// Starts the server for streams, if it has them.
    pub(crate) fn start_for_items(&self) -> Option<Result<Server, BoxError>> {
        self.items.map(|kind| self.start_as(kind))
    }

    /// Starts the server with an `echo` that waits for a timer, if it has one.
    pub(crate) fn start_for_waits(&self) -> Option<Result<Server, BoxError>> {
        self.waits.map(|kind| self.start_as(kind))
    }

    /// Starts the server with an `echo` that yields, if it has one.
    pub(crate) fn start_for_yields(&self) -> Option<Result<Server, BoxError>> {
        self.yields.map(|kind| self.start_as(kind))
    }

    pub(crate) fn has_pushes(&self) -> bool {
        self.pushes.is_some()
    }

    fn start_as(&self, kind: &str) -> Result<Server, BoxError> {
        let (program, first) = self.program.command(Path::new(kind))?;
        Ok(Server::start_program(&program, &[&first.to_string_lossy()])?)
    }

    /// Returns what is missing to start the server.
    pub(crate) fn missing(&self) -> Result<Option<String>, BoxError> {
        self.program.missing()
    }
}

/// Returns the row of this name.
pub(crate) fn server(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

impl Program {
    /// Returns the program to execute, and its first argument: `kind`, or the script of this name.
    pub(crate) fn command(self, kind: &Path) -> Result<(PathBuf, PathBuf), BoxError> {
        Ok(match self {
            Self::Own => (std::env::current_exe()?, kind.to_owned()),
            Self::Peers => (peers()?, kind.to_owned()),
            Self::Bun => (bun(), js_folder().join(kind)),
            Self::Node => (PathBuf::from("node"), js_folder().join(kind)),
        })
    }

    /// Returns what is missing to start the program.
    pub(crate) fn missing(self) -> Result<Option<String>, BoxError> {
        let installed = ["ws", "socket.io"].iter().all(|name| js_folder().join("node_modules").join(name).exists());
        Ok(match self {
            Self::Own => None,
            Self::Peers => (!peers()?.exists()).then(|| peers().map(|path| path.display().to_string())).transpose()?,
            Self::Bun => (!bun().exists()).then(|| "Bun, which `npm ci --prefix bench/js` installs".to_owned()),
            Self::Node if version_of("node").is_none() => Some("Node.js".to_owned()),
            Self::Node => (!installed).then(|| "its packages, which `npm ci --prefix bench/js` installs".to_owned()),
        })
    }
}

/// Returns the versions of the programs and packages under comparison.
pub(crate) fn versions() -> Vec<(String, String)> {
    let programs = ["rustc", "node"].map(Into::into);
    let mut versions: Vec<(String, String)> = programs
        .into_iter()
        .chain([bun().to_string_lossy().into_owned()])
        .filter_map(|program: String| {
            let name = Path::new(&program).file_name()?.to_string_lossy().into_owned();
            let version = version_of(&program)?;
            let number = version.split_whitespace().find(|word| word.contains('.'))?;
            Some((name, number.trim_start_matches('v').to_owned()))
        })
        .collect();
    let lock = std::fs::read_to_string(folder().join("peers/Cargo.lock")).unwrap_or_default();
    for name in ["tokio", "tungstenite", "socketioxide", "jsonrpsee"] {
        let package = lock.split("[[package]]").find(|package| package.contains(&format!("name = \"{name}\"\n")));
        let version = package.and_then(|package| package.split("version = \"").nth(1)?.split('"').next());
        versions.extend(version.map(|version| (name.to_owned(), version.to_owned())));
    }
    for name in ["socket.io", "socket.io-client", "ws", "async-await-websockets"] {
        let package = js_folder().join("node_modules").join(name).join("package.json");
        let package = std::fs::read(package).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let version = package.and_then(|package: serde_json::Value| Some(package.get("version")?.as_str()?.to_owned()));
        versions.extend(version.map(|version| (name.to_owned(), version)));
    }
    versions
}

fn version_of(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The folder of this package.
pub(crate) fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn js_folder() -> PathBuf {
    folder().join("js")
}

fn bun() -> PathBuf {
    js_folder().join("node_modules/.bin/bun")
}

/// The program of the other workspace: `bench/run` builds it below the same target folder.
fn peers() -> Result<PathBuf, BoxError> {
    Ok(target()?.join("bench-peers/dist/aaw-bench-peers"))
}

/// The target folder: this program is in a folder of it.
pub(crate) fn target() -> Result<PathBuf, BoxError> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).ok_or("expected this program in a target folder")?.to_owned())
}
