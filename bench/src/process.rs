//! A server as a process of its own, and what the system accounts to it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, io};

/// Processor time is accounted in ticks, of which there are 100 a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server. Dropped, it ends.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts this program again as a server, on the first processor if the machine lets us choose.
    pub(crate) fn start(kind: &str) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(&program);
        match Self::spawn(command, kind) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::start_anywhere(kind),
            child => Self::started(child?, kind),
        }
    }

    /// The same on all processors.
    pub(crate) fn start_anywhere(kind: &str) -> io::Result<Self> {
        Self::started(Self::spawn(Command::new(std::env::current_exe()?), kind)?, kind)
    }

    fn started(mut child: Child, kind: &str) -> io::Result<Self> {
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().parse().map_err(|_| io::Error::other(format!("the server {kind} said {line:?}")))?;
        Ok(Self { child, address })
    }

    fn spawn(mut command: Command, kind: &str) -> io::Result<Child> {
        command.arg(kind).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Processor time so far, in user and in system mode (proc(5)).
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is the name in parentheses, which may hold anything; the others are numbers.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: f64 =
            after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
    }

    /// Memory that is not shared with other processes, in bytes.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        self.status("RssAnon:")
    }

    /// The most memory that it had resident so far, its program included, in bytes.
    pub(crate) fn peak_memory(&self) -> io::Result<u64> {
        self.status("VmHWM:")
    }

    /// A line of proc(5)'s status, in bytes.
    fn status(&self, name: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|field| field.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes.map(|kilobytes| kilobytes << 10).ok_or_else(|| io::Error::other(format!("no {name} in the status")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
