//! Child processes and their output.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;

use crate::DEADLINE;
use crate::wait::within_time;

/// The deadline for a program that compiles something first, on a busy machine.
pub const BUILD_DEADLINE: Duration = Duration::from_secs(300);

/// A running program. Dropping this kills it.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    output: Arc<watch::Sender<ProcessOutput>>,
    /// The number of lines of standard output that [`line`](Self::line) has returned.
    lines_read: usize,
    deadline: Duration,
}

#[derive(Default)]
struct ProcessOutput {
    stdout: Vec<String>,
    stderr: Vec<String>,
    /// How many of the two streams have ended.
    ended: u32,
}

impl ProcessOutput {
    fn is_complete(&self) -> bool {
        self.ended == 2
    }

    fn summary(&self) -> String {
        format!("--- standard output\n{}\n--- standard error\n{}", self.stdout.join("\n"), self.stderr.join("\n"))
    }
}

impl Process {
    /// Starts a program.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(command: Command) -> Self {
        Self::start_with_stdin(command, Stdio::piped())
    }

    /// Starts a program with this standard input.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_with_stdin(mut command: Command, stdin: Stdio) -> Self {
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {:?}: {error}", command.as_std()));
        let output = Arc::<watch::Sender<ProcessOutput>>::default();
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        tokio::spawn(collect_lines(stdout, Arc::clone(&output), |output| &mut output.stdout));
        tokio::spawn(collect_lines(stderr, Arc::clone(&output), |output| &mut output.stderr));
        Self { stdin: child.stdin.take(), child, output, lines_read: 0, deadline: DEADLINE }
    }

    /// [`start`](Self::start), for a program that compiles something: the methods that wait have a longer deadline.
    pub fn start_building(command: Command) -> Self {
        Self { deadline: BUILD_DEADLINE, ..Self::start(command) }
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// If its standard input is closed.
    pub async fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin.write_all(format!("{line}\n").as_bytes()).await.expect("the program reads");
        stdin.flush().await.expect("the program reads");
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Returns the next line of its standard output.
    ///
    /// # Panics
    /// If the program ends before.
    pub async fn line(&mut self) -> String {
        let index = self.lines_read;
        self.lines_read += 1;
        self.wait_for("a line of standard output", |output| output.stdout.get(index).cloned()).await
    }

    /// Returns the next line of its standard output, as JSON.
    ///
    /// # Panics
    /// If the line is not JSON, or the program ends before.
    pub async fn json(&mut self) -> Value {
        let line = self.line().await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}\n{}", self.summary()))
    }

    /// Returns the first line of its standard error that contains all of `words`.
    ///
    /// # Panics
    /// If the program ends without such a line.
    pub async fn stderr_line(&self, words: &[&str]) -> String {
        let find = |output: &ProcessOutput| {
            output.stderr.iter().find(|line| words.iter().all(|word| line.contains(word))).cloned()
        };
        self.wait_for(&format!("{words:?} on standard error"), find).await
    }

    /// Waits until its standard error has this many lines with all of these words.
    ///
    /// # Panics
    /// As [`stderr_line`](Self::stderr_line).
    pub async fn stderr_lines(&self, words: &[&str], count: usize) {
        let find = |output: &ProcessOutput| {
            let matching = output.stderr.iter().filter(|line| words.iter().all(|word| line.contains(word)));
            (matching.count() >= count).then_some(())
        };
        self.wait_for(&format!("{words:?} {count} times on standard error"), find).await;
    }

    /// Returns all of its standard error so far.
    pub fn stderr(&self) -> String {
        self.output.borrow().stderr.join("\n")
    }

    /// Returns all of its standard output so far.
    pub fn stdout(&self) -> String {
        self.output.borrow().stdout.join("\n")
    }

    /// Sends it a signal: `TERM`, `INT`.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub async fn signal(&self, name: &str) {
        // The `kill` that is built into the shell: not every machine has a program of that name.
        let kill = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.id())).status().await;
        assert!(kill.expect("sh exists").success());
    }

    /// Waits until it has exited and all of its output has been read.
    ///
    /// # Panics
    /// If it does not exit.
    pub async fn exited(&mut self) -> ExitStatus {
        let output = Arc::clone(&self.output);
        let seen = || output.borrow().summary();
        let status = within_time(self.deadline, "the program to exit", seen, self.child.wait()).await;
        self.wait_for("the end of its output", |output| output.is_complete().then_some(())).await;
        status.expect("a child process can be waited for")
    }

    /// Returns its resident memory, in KiB.
    ///
    /// # Panics
    /// If it does not run, or the system is not Linux.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS in /proc/PID/status");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Returns the processor time (user and system) so far, with a resolution of 10 ms.
    ///
    /// # Panics
    /// As [`memory`](Self::memory).
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        // proc(5): the name, in parentheses, is the second field; `utime` is the 14th, and `stime` the 15th.
        let fields = stat.rsplit_once(')').expect("the name of the program").1.split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 10)
    }

    fn summary(&self) -> String {
        self.output.borrow().summary()
    }

    /// Waits until `find` returns something for the output so far.
    async fn wait_for<T>(&self, what: &str, find: impl Fn(&ProcessOutput) -> Option<T>) -> T {
        let mut output = self.output.subscribe();
        let ready = output.wait_for(|output| find(output).is_some() || output.is_complete());
        let seen = || self.summary();
        let found =
            within_time(self.deadline, what, seen, async { ready.await.ok().and_then(|seen| find(&seen)) }).await;
        found.unwrap_or_else(|| panic!("{what}: the program has ended. Its output:\n{}", self.summary()))
    }
}

async fn collect_lines(
    from: impl AsyncRead + Unpin,
    output: Arc<watch::Sender<ProcessOutput>>,
    stream: fn(&mut ProcessOutput) -> &mut Vec<String>,
) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        output.send_modify(|output| stream(output).push(line));
    }
    output.send_modify(|output| output.ended += 1);
}
