//! The cost of a call for the client: the processor time of its process.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::measurement::BoxError;
use crate::process::Server;
use crate::rows::{Program, Row, server};

/// A client: a row of the table of clients.
pub(crate) struct ClientRow {
    pub(crate) name: &'static str,
    program: Program,
    /// The row of the server that it calls.
    pub(crate) server: &'static str,
    /// The kind of client with 32 calls in flight.
    pub(crate) busy: &'static str,
    /// The kind with one call in flight.
    pub(crate) single: Option<&'static str>,
    /// The kind that reads a stream.
    pub(crate) items: Option<&'static str>,
}

/// All clients, in the order of the table.
pub(crate) const CLIENTS: &[ClientRow] = &[
    ClientRow { single: Some("raw-single"), ..client("raw", Program::Own, "aaw", "raw") },
    ClientRow { single: Some("aaw-single"), items: Some("aaw-items"), ..client("aaw", Program::Own, "aaw", "aaw") },
    ClientRow { single: Some("jsonrpsee-single"), ..client("jsonrpsee", Program::Peers, "jsonrpsee", "jsonrpsee") },
    client("aaw-js on Node", Program::Node, "aaw", "aaw"),
    client("original on Node", Program::Node, "original", "original"),
    client("aaw-js on Node, ws", Program::Node, "aaw", "aaw-ws"),
    client("socket.io on Node", Program::Node, "socket.io", "socket.io"),
    client("aaw-js on Bun", Program::Bun, "aaw", "aaw"),
    client("original on Bun", Program::Bun, "original", "original"),
    client("socket.io on Bun", Program::Bun, "socket.io", "socket.io"),
];

const fn client(name: &'static str, program: Program, server: &'static str, busy: &'static str) -> ClientRow {
    ClientRow { name, program, server, busy, single: None, items: None }
}

/// What a client has printed, for one call or item.
pub(crate) struct ClientMeasurement {
    /// The processor time of the client, in seconds.
    pub(crate) cpu: f64,
    pub(crate) per_second: f64,
}

impl ClientRow {
    /// Starts the server that the client calls.
    pub(crate) fn start_server(&self) -> Result<Server, BoxError> {
        self.server().start()
    }

    fn server(&self) -> &'static Row {
        server(self.server).expect("the names of servers in this table are those of rows")
    }

    /// Returns what is missing to run the client with its server.
    pub(crate) fn missing(&self) -> Result<Option<String>, BoxError> {
        Ok(self.program.missing()?.or(self.server().missing()?))
    }

    /// Runs the client as `kind`, on the processor of this program.
    pub(crate) fn run(&self, kind: &str, server: &Server, time: Duration) -> Result<ClientMeasurement, BoxError> {
        let script = match self.program {
            Program::Own | Program::Peers => "client",
            Program::Bun | Program::Node => "client.js",
        };
        let (program, first) = self.program.command(Path::new(script))?;
        let output = Command::new(program)
            // Node 20 has a WebSocket only with it.
            .env("NODE_OPTIONS", "--experimental-websocket")
            .arg(first)
            .args([kind, &format!("ws://{}", server.address), &time.as_secs_f64().to_string()])
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("the client {} as {kind} ended with {}", self.name, output.status).into());
        }
        let line: Value = serde_json::from_slice(&output.stdout)?;
        let number = |key: &str| line[key].as_f64().filter(|number| *number > 0.0).ok_or(format!("no {key} in {line}"));
        let calls = number("calls")?;
        Ok(ClientMeasurement { cpu: number("cpu_seconds")? / calls, per_second: calls / number("seconds")? })
    }
}
