//! A well-behaved client that calls `ping` at a fixed rate, whatever the server does. The time of a call begins when it
//! should have been sent, so that a server that stands still is not measured by the calls that were never made.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::frames;
use crate::machine::set_niceness_of_this_thread;
use crate::sources::Place;

/// The time between two calls.
const INTERVAL: Duration = Duration::from_millis(4);

/// Before other programs, so that what is measured is how long the server takes, and not this client.
pub(crate) const NICENESS: i32 = -10;

/// The calls of one connection, until it is told to stop.
pub(crate) struct Probe {
    stopped: Arc<AtomicBool>,
    started: Instant,
    sent: Arc<AtomicU64>,
    writer: JoinHandle<()>,
    reader: JoinHandle<Responses>,
}

/// The ids of the responses and when they arrived, and why the connection has ended, if it has.
type Responses = (Vec<(u64, Instant)>, Option<String>);

/// What became of the calls.
pub(crate) struct Pings {
    /// When each should have been sent, and how long its response took; `None` without one.
    calls: Vec<(Instant, Option<Duration>)>,
    /// Why the connection has ended, if it has.
    pub(crate) ended: Option<String>,
}

/// The latencies of a part of the calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) calls: usize,
    /// Without a response.
    pub(crate) lost: usize,
}

impl Probe {
    pub(crate) fn start(target: SocketAddr, place: &Place) -> Result<Self, String> {
        let mut client = Client::connect(target, place)?;
        let mut socket = client.socket()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let started = Instant::now();
        // How many calls were sent, once no more will be.
        let sent = Arc::new(AtomicU64::new(u64::MAX));
        let (stop, stop_reader) = (Arc::clone(&stopped), Arc::clone(&stopped));
        let (all_sent, all) = (Arc::clone(&sent), Arc::clone(&sent));
        let writer = std::thread::spawn(move || {
            set_niceness_of_this_thread(NICENESS);
            let mut frame = Vec::new();
            let mut id = 0;
            while !stop.load(Ordering::Relaxed) {
                id += 1;
                std::thread::sleep(intended(started, id).saturating_duration_since(Instant::now()));
                frame.clear();
                frames::append_text(&mut frame, &format!(r#"["ping",null,{id}]"#));
                if socket.write_all(&frame).is_err() {
                    break;
                }
            }
            all_sent.store(id, Ordering::Release);
            // Its pong wakes the reader, which may have all responses by then.
            let _ = socket.write_all(&frames::text(r#"["aaw/ping"]"#));
        });
        let reader = std::thread::spawn(move || {
            set_niceness_of_this_thread(NICENESS);
            let mut responses = Vec::new();
            loop {
                if responses.len() as u64 == all.load(Ordering::Acquire) {
                    return (responses, None);
                }
                match client.read_text() {
                    Ok(text) => {
                        let at = Instant::now();
                        let id = text.strip_prefix(r#"["ping",{"pong":true},"#).and_then(|rest| rest.strip_suffix(']'));
                        match id.and_then(|id| id.parse().ok()) {
                            Some(id) => responses.push((id, at)),
                            // A push, which is as good as nothing, or a refused call, which has no response.
                            None => continue,
                        }
                    }
                    Err(_) if stop_reader.load(Ordering::Relaxed) => return (responses, None),
                    Err(error) => return (responses, Some(error)),
                }
            }
        });
        Ok(Self { stopped, started, sent, writer, reader })
    }

    /// Ends the calls, waits for the last responses, and returns all of them.
    pub(crate) fn stop(self) -> Result<Pings, String> {
        let Self { stopped, started, sent, writer, reader } = self;
        stopped.store(true, Ordering::Relaxed);
        let failed = |_| "a thread of the well-behaved client panicked".to_owned();
        writer.join().map_err(failed)?;
        let (responses, ended) = reader.join().map_err(failed)?;
        let mut calls: Vec<_> = (1..=sent.load(Ordering::Acquire)).map(|id| (intended(started, id), None)).collect();
        for (id, at) in responses {
            if let Some((intended, latency)) = usize::try_from(id - 1).ok().and_then(|index| calls.get_mut(index)) {
                *latency = Some(at.saturating_duration_since(*intended));
            }
        }
        Ok(Pings { calls, ended })
    }
}

fn intended(started: Instant, id: u64) -> Instant {
    started + INTERVAL * u32::try_from(id).unwrap_or(u32::MAX)
}

impl Pings {
    /// The latencies of the calls that should have been sent between two moments.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Latency {
        let calls: Vec<_> = self.calls.iter().filter(|(at, _)| *at >= from && *at < to).collect();
        let mut times: Vec<Duration> = calls.iter().map(|(_, latency)| latency.unwrap_or(Duration::MAX)).collect();
        times.sort_unstable();
        // The smallest time that `part` of all calls do not exceed.
        let at = |part: f64| {
            let index = (times.len() as f64 * part).ceil() as usize;
            times.get(index.saturating_sub(1)).copied().unwrap_or_default()
        };
        let lost = calls.iter().filter(|(_, latency)| latency.is_none()).count();
        Latency { p50: at(0.5), p99: at(0.99), calls: calls.len(), lost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_count_lost_calls_as_the_slowest() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let calls = (0..100).map(|ms| (at(ms), (ms >= 2).then_some(Duration::from_millis(ms)))).collect();
        let pings = Pings { calls, ended: None };
        let all = pings.between(start, at(100));
        assert_eq!((all.calls, all.lost, all.p50), (100, 2, Duration::from_millis(51)));
        assert_eq!(all.p99, Duration::MAX);
        assert_eq!(pings.between(at(10), at(20)).p99, Duration::from_millis(19));
    }
}
