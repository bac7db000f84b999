//! The server that is attacked: the program `aaw-server` in a process of its own.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::error::BoxError;

/// How long a server may take to start, and to stop once it was told to.
const DEADLINE: Duration = Duration::from_secs(15);

/// How many of the last lines of the log are kept, to be printed if something has failed.
const KEPT_LINES: usize = 12;

/// Which events the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Events {
    Stock,
    /// Those of the tests, among which are uploads that no handler reads: the stock events take no upload.
    Tests,
}

/// Where the program and the events are.
#[derive(Debug)]
pub(crate) struct Programs {
    server: PathBuf,
    /// A folder with a folder for each library of events.
    events: TempDir,
    /// Ends the server when this process ends, however that happens.
    has_setpriv: bool,
    pub(crate) has_trusted_proxy: bool,
}

impl Programs {
    /// Finds them beside this program.
    pub(crate) fn find() -> Result<Self, BoxError> {
        let own = std::env::current_exe()?;
        let folder = own.parent().ok_or("this program is in no folder")?;
        let server = folder.join("aaw-server");
        let events = TempDir::new()?;
        for (name, library) in [("stock", "libaaw_events.so"), ("tests", "libaaw_test_events.so")] {
            let built = folder.join(library);
            std::fs::create_dir(events.path().join(name))?;
            std::fs::copy(&built, events.path().join(name).join(library))
                .map_err(|error| format!("cannot copy {}: {error}; `tests/attacks/run` builds it", built.display()))?;
        }
        let help = Command::new(&server).arg("--help").output();
        let help = help.map_err(|error| format!("cannot run {}: {error}", server.display()))?;
        Ok(Self {
            has_trusted_proxy: String::from_utf8_lossy(&help.stdout).contains("--trusted-proxy"),
            has_setpriv: works(Command::new("setpriv").args(["--pdeathsig", "KILL", "true"])),
            server,
            events,
        })
    }

    fn events(&self, events: Events) -> PathBuf {
        self.events.path().join(match events {
            Events::Stock => "stock",
            Events::Tests => "tests",
        })
    }
}

/// Whether a command runs and succeeds.
pub(crate) fn works(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A file system in a mount namespace of its own. It ends with the process that it was mounted for.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    pub(crate) folder: PathBuf,
    /// The file with an ext4 file system; without one, a megabyte of memory is mounted.
    pub(crate) image: Option<PathBuf>,
}

impl Mount {
    /// The words before those of the command that is to see the file system.
    fn command(&self) -> Vec<OsString> {
        let script = match &self.image {
            Some(_) => r#"mount -t ext4 -o loop,errors=remount-ro "$0" "$1" && shift && exec "$@""#,
            None => r#"mount -t tmpfs -o size=1m,mode=700 tmpfs "$0" && exec "$@""#,
        };
        let mut words: Vec<OsString> = ["unshare", "--mount", "sh", "-c", script].map(Into::into).into();
        words.extend(self.image.iter().map(Into::into));
        words.push(self.folder.clone().into());
        words
    }

    /// Whether mounting it is possible here.
    pub(crate) fn is_possible(&self) -> bool {
        let words = self.command();
        works(Command::new(&words[0]).args(&words[1..]).arg("true"))
    }
}

/// How a server is started. Everything else has its default.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) events: Events,
    /// The file of users.
    pub(crate) auth: Option<PathBuf>,
    pub(crate) trusts_proxy: bool,
    /// `ulimit -n`.
    pub(crate) open_files: Option<u32>,
    /// A file system that is mounted for the server alone.
    pub(crate) mount: Option<Mount>,
    /// Whether a write beyond a limit of file sizes fails as on a full disk, instead of ending the process by a signal.
    pub(crate) ignores_file_size_signal: bool,
}

impl Setup {
    pub(crate) fn new(events: Events) -> Self {
        Self { events, auth: None, trusts_proxy: false, open_files: None, mount: None, ignores_file_size_signal: false }
    }

    /// The command, as words.
    fn command(&self, programs: &Programs) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![programs.server.clone().into(), programs.events(self.events).into()];
        words.extend(["--port".into(), "0".into()]);
        if let Some(file) = &self.auth {
            words.extend(["--auth".into(), file.into()]);
        }
        if self.trusts_proxy {
            words.extend(["--trusted-proxy".into(), "127.0.0.0/8".into()]);
        }
        // Limits and ignored signals are handed on by `exec`.
        let mut limits = String::new();
        if let Some(files) = self.open_files {
            limits.push_str(&format!("ulimit -n {files}; "));
        }
        if self.ignores_file_size_signal {
            limits.push_str("trap '' XFSZ; ");
        }
        if let Some(mount) = &self.mount {
            words.splice(0..0, mount.command());
        }
        if !limits.is_empty() {
            let script = format!(r#"{limits}exec "$@""#);
            let before: [OsString; 4] = ["sh".into(), "-c".into(), script.into(), "sh".into()];
            words.splice(0..0, before);
        }
        if programs.has_setpriv {
            let before: [OsString; 3] = ["setpriv".into(), "--pdeathsig".into(), "KILL".into()];
            words.splice(0..0, before);
        }
        words
    }
}

/// A running server. Dropping this kills it.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
}

/// What the server has logged.
#[derive(Debug, Default)]
struct Log {
    lines: AtomicU64,
    last: Mutex<VecDeque<String>>,
}

impl Log {
    fn add(&self, line: String) {
        self.lines.fetch_add(1, Ordering::Relaxed);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == KEPT_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
}

impl ServerProcess {
    /// Starts a server, and waits until it listens. To be called on the main thread: the server ends with the thread that
    /// has started it.
    pub(crate) fn start(programs: &Programs, setup: &Setup) -> Result<Self, BoxError> {
        let words = setup.command(programs);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Only what is set here is configured.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AAW_")) {
            command.env_remove(name);
        }
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", words[0].display()))?;
        let stderr = child.stderr.take().ok_or("no standard error")?;
        let (found, address) = mpsc::channel();
        let log = Arc::new(Log::default());
        let shared = Arc::clone(&log);
        // Read to its end, so that the server can go on logging.
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if let Some(address) = listening(&line) {
                    let _ = found.send(address);
                }
                shared.add(line);
            }
        });
        let mut server = Self { child, address: SocketAddr::from(([0, 0, 0, 0], 0)), log };
        match address.recv_timeout(DEADLINE) {
            Ok(address) => {
                server.address = address;
                Ok(server)
            }
            Err(_) => Err(format!("aaw-server did not start. Its log: {}", server.last_lines()).into()),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The number of lines in the log so far.
    pub(crate) fn log_lines(&self) -> u64 {
        self.log.lines.load(Ordering::Relaxed)
    }

    /// The end of the log.
    pub(crate) fn last_lines(&self) -> String {
        let last = self.log.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }

    /// Whether the server has ended although it was not told to.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The path of a file as the server sees it, also one that is mounted for the server alone.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.id())).join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Ends the server as a crash would.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Tells the server to stop, and returns how long that has taken.
    pub(crate) fn stop(mut self) -> Result<Duration, String> {
        let started = Instant::now();
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?;
        kill_process(pid, Signal::TERM).map_err(|error| format!("cannot stop the server: {error}"))?;
        while started.elapsed() < DEADLINE {
            if let Some(status) = self.ended() {
                let time = started.elapsed();
                return if status.success() { Ok(time) } else { Err(format!("the server stopped with {status}")) };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("the server did not stop within {} s", DEADLINE.as_secs()))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Returns the address in a line of the log that tells it.
fn listening(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split_once('(')?.1.split_once(')')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_log() {
        let line = "2026-11-28T06:05:54.042763Z  INFO listening on ws://localhost:33407 (127.0.0.1:33407)";
        assert_eq!(listening(line), Some(SocketAddr::from(([127, 0, 0, 1], 33407))));
        assert_eq!(listening("2026-11-28T06:05:54.042763Z  INFO event ping (unary)"), None);
    }
}
