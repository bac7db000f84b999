//! Programs, and what they print.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::Notify;

use crate::wait::within_time;
use crate::{DEADLINE, within};

/// How long a program may take that has something to build, on a machine that has other work.
const SLOWLY: Duration = Duration::from_secs(300);

/// A program that runs; it is killed when this is dropped.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    printed: Arc<Printed>,
    /// How many lines of standard output were looked at.
    read: usize,
}

#[derive(Default)]
struct Printed {
    lines: Mutex<Lines>,
    more: Notify,
}

#[derive(Default)]
struct Lines {
    out: Vec<String>,
    err: Vec<String>,
    /// How many of the two streams have ended.
    ended: u32,
}

impl Process {
    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{:?} cannot be started: {error}", command.as_std()));
        let printed = Arc::<Printed>::default();
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        tokio::spawn(keep(stdout, Arc::clone(&printed), |lines| &mut lines.out));
        tokio::spawn(keep(stderr, Arc::clone(&printed), |lines| &mut lines.err));
        Self { stdin: child.stdin.take(), child, printed, read: 0 }
    }

    /// The id by which the system knows it.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// When it takes none.
    pub async fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin.write_all(format!("{line}\n").as_bytes()).await.expect("the program reads");
        stdin.flush().await.expect("the program reads");
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line of its standard output.
    ///
    /// # Panics
    /// When there is none any more.
    pub async fn line(&mut self) -> String {
        let at = self.read;
        self.read += 1;
        self.wait("a line of standard output", |lines| lines.out.get(at).cloned()).await
    }

    /// The next line of its standard output, as JSON.
    ///
    /// # Panics
    /// When it is not.
    pub async fn json(&mut self) -> Value {
        let line = self.line().await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}\n{}", self.printed.tell()))
    }

    /// The first line of its standard error that holds all these words.
    ///
    /// # Panics
    /// When it ends without.
    pub async fn says(&self, words: &[&str]) -> String {
        let find = |lines: &Lines| lines.err.iter().find(|line| words.iter().all(|word| line.contains(word))).cloned();
        self.wait(&format!("{words:?} on standard error"), find).await
    }

    /// [`says`](Self::says), of a program that may have to build something first.
    ///
    /// # Panics
    /// When it ends without.
    pub async fn says_slowly(&self, words: &[&str]) -> String {
        let find = |lines: &Lines| lines.err.iter().find(|line| words.iter().all(|word| line.contains(word))).cloned();
        self.wait_for(SLOWLY, &format!("{words:?} on standard error"), find).await
    }

    /// [`ended`](Self::ended), of a program that may have to build something first.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ended_slowly(&mut self) -> ExitStatus {
        self.wait_for(SLOWLY, "the program to end", |lines| (lines.ended == 2).then_some(())).await;
        self.ended().await
    }

    /// All of its standard error so far.
    pub fn errors(&self) -> String {
        self.printed.lock().err.join("\n")
    }

    /// All of its standard output so far.
    pub fn output(&self) -> String {
        self.printed.lock().out.join("\n")
    }

    /// Sends it a signal: `TERM`, `INT`.
    ///
    /// # Panics
    /// When that is not possible.
    pub async fn signal(&self, name: &str) {
        // The shell's own `kill`: the program of that name is not on every machine.
        let kill = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.id())).status().await;
        assert!(kill.expect("sh is there").success());
    }

    /// Waits until it has ended, and all it printed is here.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ended(&mut self) -> ExitStatus {
        let printed = Arc::clone(&self.printed);
        let status =
            within("the program to end", || printed.tell(), self.child.wait()).await.expect("it can be waited for");
        self.wait("its last words", |lines| (lines.ended == 2).then_some(())).await;
        status
    }

    /// Its memory, in KiB: what it has now.
    ///
    /// # Panics
    /// When the system does not tell.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    async fn wait<T>(&self, what: &str, find: impl Fn(&Lines) -> Option<T>) -> T {
        self.wait_for(DEADLINE, what, find).await
    }

    async fn wait_for<T>(&self, deadline: Duration, what: &str, find: impl Fn(&Lines) -> Option<T>) -> T {
        let found = async {
            loop {
                let more = self.printed.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                {
                    let lines = self.printed.lock();
                    if let Some(found) = find(&lines) {
                        return Ok(found);
                    }
                    if lines.ended == 2 {
                        return Err(());
                    }
                }
                more.await;
            }
        };
        let found = within_time(deadline, what, || self.printed.tell(), found).await;
        found.unwrap_or_else(|()| panic!("{what}: the program has ended. It said:\n{}", self.printed.tell()))
    }
}

impl Printed {
    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) -> String {
        let lines = self.lock();
        format!("--- standard output\n{}\n--- standard error\n{}", lines.out.join("\n"), lines.err.join("\n"))
    }
}

async fn keep(from: impl AsyncRead + Unpin, printed: Arc<Printed>, which: fn(&mut Lines) -> &mut Vec<String>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        which(&mut printed.lock()).push(line);
        printed.more.notify_waiters();
    }
    printed.lock().ended += 1;
    printed.more.notify_waiters();
}
