//! A server in its own process, and the processor time and memory that the system accounts to it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, io};

/// A running server. Dropping this kills it.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts this program as a server, on the first processor if the program `taskset` exists.
    pub(crate) fn start(kind: &str) -> io::Result<Self> {
        Self::start_program(&std::env::current_exe()?, &[kind])
    }

    /// Starts a program that prints its address, on the first processor if the program `taskset` exists.
    pub(crate) fn start_program(program: &Path, arguments: &[&str]) -> io::Result<Self> {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", "0"]).arg(program);
        let child = match Self::spawn(pinned, arguments) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::spawn(Command::new(program), arguments),
            child => child,
        };
        Self::from_child(child?, program)
    }

    /// Starts this program as a server, on all processors.
    pub(crate) fn start_anywhere(kind: &str) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        Self::from_child(Self::spawn(Command::new(&program), &[kind])?, &program)
    }

    fn from_child(mut child: Child, program: &Path) -> io::Result<Self> {
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().parse().map_err(|_| {
            io::Error::other(format!("expected the address of the server {}, found {line:?}", program.display()))
        })?;
        Ok(Self { child, address })
    }

    fn spawn(mut command: Command, arguments: &[&str]) -> io::Result<Child> {
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the processor time of the server so far, see [`cpu_of`].
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        cpu_of(&self.child.id().to_string())
    }

    /// Returns the memory that is not shared with other processes, in bytes.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        self.status("RssAnon:")
    }

    /// Returns the peak resident memory so far, including the program, in bytes.
    pub(crate) fn peak_memory(&self) -> io::Result<u64> {
        self.status("VmHWM:")
    }

    /// Returns the value of a line of `/proc/PID/status` (proc(5)), in bytes.
    fn status(&self, name: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|field| field.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes
            .map(|kilobytes| kilobytes << 10)
            .ok_or_else(|| io::Error::other(format!("no {name} in /proc/PID/status")))
    }
}

/// Returns the processor time so far of all threads of a process, in user and in system mode. The first number of
/// `schedstat` is in nanoseconds (the kernel's documentation, sched-stats); `/proc/PID/stat` has only hundredths of a
/// second.
pub(crate) fn cpu_of(pid: &str) -> io::Result<Duration> {
    let mut time = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let Ok(schedstat) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let nanoseconds = schedstat.split_whitespace().next().and_then(|field| field.parse().ok());
        time += Duration::from_nanos(nanoseconds.ok_or_else(|| io::Error::other("no number in schedstat"))?);
    }
    Ok(time)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
