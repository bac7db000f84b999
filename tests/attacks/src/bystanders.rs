//! What else well-behaved clients do while an attack runs, besides calling `ping`.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Client, close_label, http, shortened};
use crate::frames::{CLOSE, FrameReader};
use crate::machine::set_niceness_of_this_thread;
use crate::outcomes::failure_code;
use crate::probe::NICENESS;
use crate::sources::Place;

/// The e-mail address and the password of the user who logs in. Their log-ins are what some attacks aim at.
pub(crate) const EMAIL: &str = "ada@example.org";
pub(crate) const PASSWORD: &str = "correct horse";

/// How fast a reader reads, in bytes a second.
const READING: usize = 2_000_000;

/// What a bystander does again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bystander {
    /// Connects, calls `ping` and leaves.
    Newcomer,
    /// Reads a short stream by polling.
    Poller,
    /// Logs in with the right password.
    User,
    /// Reads what is sent to all, 2 MB a second.
    Reader,
}

impl Bystander {
    fn name(self) -> &'static str {
        match self {
            Self::Newcomer => "newcomers",
            Self::Poller => "pollers",
            Self::User => "log-ins",
            Self::Reader => "readers",
        }
    }

    fn interval(self) -> Duration {
        match self {
            Self::Newcomer | Self::Poller => Duration::from_millis(200),
            // A log-in takes 20 ms of a processor.
            Self::User => Duration::from_millis(400),
            Self::Reader => Duration::ZERO,
        }
    }

    /// Does it once.
    fn act(self, target: SocketAddr, place: &Place, stopped: &AtomicBool) -> Result<(), String> {
        match self {
            Self::Newcomer => expect(&Client::connect(target, place)?.call("ping", "null")?, r#"{"pong":true}"#),
            Self::Poller => poll(target, place),
            Self::User => log_in(target, place, EMAIL, PASSWORD),
            Self::Reader => read(target, place, stopped),
        }
    }
}

/// Logs a user in over a connection of its own.
pub(crate) fn log_in(target: SocketAddr, place: &Place, email: &str, password: &str) -> Result<(), String> {
    let body = format!(r#"{{"email":"{email}","password":"{password}"}}"#);
    expect(&Client::connect(target, place)?.call("aaw/login", &body)?, r#""token":"#)
}

/// Checks that a response contains a text, and describes it by its code otherwise.
pub(crate) fn expect(response: &str, text: &str) -> Result<(), String> {
    if response.contains(text) {
        return Ok(());
    }
    Err(failure_code(response.as_bytes()).map_or_else(|| shortened(response), |code| format!("code {code}")))
}

fn poll(target: SocketAddr, place: &Place) -> Result<(), String> {
    let (status, page) = http(target, place, "POST /events/count?take=2", r#"{"to":3}"#)?;
    let cursor = page.split_once(r#""cursor":""#).and_then(|(_, rest)| rest.split_once('"'));
    let Some((cursor, _)) = cursor.filter(|_| status == 200) else { return Err(format!("HTTP {status}")) };
    let (status, page) = http(target, place, &format!("POST /events/count?take=2&cursor={cursor}"), "")?;
    if status == 200 && page.contains("[3]") { Ok(()) } else { Err(format!("HTTP {status} for its cursor")) }
}

/// Reads until it is told to stop. An end before that is a failure.
fn read(target: SocketAddr, place: &Place, stopped: &AtomicBool) -> Result<(), String> {
    let mut socket = Client::connect(target, place)?.socket()?;
    socket.set_read_timeout(Some(Duration::from_millis(100))).map_err(|error| error.to_string())?;
    let (mut frames, mut buffer, mut close) = (FrameReader::default(), vec![0; 32 << 10], None);
    let mut next = Instant::now();
    while !stopped.load(Ordering::Relaxed) {
        match socket.read(&mut buffer) {
            Ok(0) => return Err("closed without a frame".to_owned()),
            Ok(len) => {
                frames.feed(&buffer[..len], |opcode, sample| {
                    if opcode == CLOSE {
                        close = Some(close_label(sample));
                    }
                });
                if let Some(close) = close {
                    return Err(close);
                }
                next = next.max(Instant::now()) + Duration::from_secs(1) * len as u32 / READING as u32;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.kind().to_string()),
        }
    }
    Ok(())
}

/// A bystander at work.
pub(crate) struct RunningBystander {
    bystander: Bystander,
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<BystanderReport>,
}

/// How a bystander has fared.
#[derive(Debug, Clone, Default)]
pub(crate) struct BystanderReport {
    pub(crate) name: &'static str,
    pub(crate) tries: u64,
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) slowest: Duration,
}

impl RunningBystander {
    pub(crate) fn start(bystander: Bystander, target: SocketAddr, place: Place) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let thread = std::thread::spawn(move || {
            set_niceness_of_this_thread(NICENESS);
            let mut report = BystanderReport { name: bystander.name(), ..BystanderReport::default() };
            while !stop.load(Ordering::Relaxed) {
                let started = Instant::now();
                let done = bystander.act(target, &place, &stop);
                report.tries += 1;
                // The time of a reader is how long it was told to read.
                if bystander != Bystander::Reader {
                    report.slowest = report.slowest.max(started.elapsed());
                }
                if let Err(error) = done {
                    *report.failures.entry(error).or_default() += 1;
                }
                let pause = bystander.interval().max(Duration::from_millis(50));
                std::thread::sleep(pause.saturating_sub(started.elapsed()));
            }
            report
        });
        Self { bystander, stopped, thread }
    }

    pub(crate) fn stop(self) -> BystanderReport {
        self.stopped.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| BystanderReport {
            name: self.bystander.name(),
            failures: BTreeMap::from([("panicked".to_owned(), 1)]),
            ..BystanderReport::default()
        })
    }
}

impl BystanderReport {
    /// As one, if several have done the same.
    pub(crate) fn merge(reports: Vec<Self>) -> Vec<Self> {
        let mut merged: Vec<Self> = Vec::new();
        for report in reports {
            if let Some(same) = merged.iter_mut().find(|one| one.name == report.name) {
                same.tries += report.tries;
                same.slowest = same.slowest.max(report.slowest);
                for (failure, count) in report.failures {
                    *same.failures.entry(failure).or_default() += count;
                }
            } else {
                merged.push(report);
            }
        }
        merged
    }

    /// Why this bystander has not fared as it should have, if so.
    pub(crate) fn complaint(&self, slowest: Duration) -> Option<String> {
        if !self.failures.is_empty() {
            return Some(self.to_text());
        }
        (self.slowest > slowest).then(|| format!("{}: the slowest took {:.2} s", self.name, self.slowest.as_secs_f64()))
    }

    pub(crate) fn to_text(&self) -> String {
        let failed: u64 = self.failures.values().sum();
        let mut text = format!("{}: {} of {}", self.name, self.tries - failed.min(self.tries), self.tries);
        for (failure, count) in self.failures.iter().take(4) {
            text.push_str(&format!(", {count} × {failure}"));
        }
        if !self.slowest.is_zero() {
            text.push_str(&format!(", slowest {:.2} s", self.slowest.as_secs_f64()));
        }
        text
    }
}
