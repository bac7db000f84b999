//! The systems that are compared, and their servers.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use aaw_tests::Process;
use aaw_tests::cargo::{nested_target, workspace};
use tokio::process::Command;

/// A system, with one way to make calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    Aaw,
    /// Events with an acknowledgement and a timeout.
    SocketIo,
    /// The same, with retries.
    SocketIoRetries,
}

impl System {
    pub(crate) const ALL: [Self; 3] = [Self::Aaw, Self::SocketIo, Self::SocketIoRetries];

    /// The name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aaw => "aaw",
            Self::SocketIo => "Socket.IO",
            Self::SocketIoRetries => "Socket.IO, retries",
        }
    }

    /// The module of the folder `clients`, without its extension.
    pub(crate) fn client(self) -> &'static str {
        match self {
            Self::Aaw => "aaw",
            Self::SocketIo => "socket.io",
            Self::SocketIoRetries => "socket.io-retries",
        }
    }

    /// Whether its pushes differ from those of the systems before.
    pub(crate) fn has_pushes(self) -> bool {
        self != Self::SocketIoRetries
    }
}

/// A server in a process of its own. Dropping it ends it.
pub(crate) struct SystemServer {
    process: Process,
    port: u16,
}

impl SystemServer {
    /// Starts the server of a system. `aaw_server` is the program, which builds the test events first.
    ///
    /// # Panics
    /// If it does not start.
    pub(crate) async fn start(system: System, aaw_server: &Path) -> Self {
        let folder = workspace().join("tests");
        let (process, line) = match system {
            System::Aaw => {
                let mut command = Command::new(aaw_server);
                command.args(["--port", "0", "--resumption-window", "60s"]).arg(folder.join("events"));
                command.env("CARGO_TARGET_DIR", nested_target());
                let process = Process::start_building(command);
                let line = process.stderr_line(&["listening on"]).await;
                (process, line)
            }
            System::SocketIo | System::SocketIoRetries => {
                let mut command = Command::new("node");
                command.arg(folder.join("reliability/peers/server.mjs"));
                let mut process = Process::start(command);
                let line = process.line().await;
                (process, line)
            }
        };
        let port = line.rsplit(|c: char| !c.is_ascii_digit()).find_map(|digits| digits.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port in {line}"));
        Self { process, port }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The processor time that it has taken.
    pub(crate) fn cpu_time(&self) -> Duration {
        self.process.cpu_time()
    }

    pub(crate) async fn stop(&mut self) {
        self.process.signal("TERM").await;
        self.process.exited().await;
    }
}
