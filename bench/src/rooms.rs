//! The cost of sending a message to a room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::measurement::{BoxError, median};
use crate::process::Server;
use crate::wire::{SMALL, Wire};

/// The number of frames that all members together have received.
#[derive(Default)]
struct Deliveries {
    frames: AtomicU64,
    more: Notify,
}

impl Deliveries {
    /// Waits until at least this many frames have been received.
    async fn reach(&self, frames: u64) {
        while self.frames.load(Ordering::Relaxed) < frames {
            self.more.notified().await;
        }
    }
}

/// Measures a sender in a room with `members` receivers: with one message at a time, and with many in flight.
pub(crate) async fn measure(members: u64, time: Duration, rounds: usize) -> Result<(), BoxError> {
    println!("\na message of 100 bytes to a room of {members}");
    for kind in ["linked", "library"] {
        for (name, window) in [("one at a time", 1), ("64 in flight", 64)] {
            let (mut rates, mut costs, mut times) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..rounds {
                let server = Server::start(kind)?;
                let (rate, cost, each) = send_messages(&server, members, window, time).await?;
                rates.push(rate);
                costs.push(cost);
                times.push(each);
            }
            let [rate, cost, each] = [rates, costs, times].map(|values| median(values.into_iter()));
            print!("  {kind:8} {name:16} {rate:>9.0} deliveries/s {:>6.2} µs CPU/delivery", cost * 1e6);
            // With several in flight this would be the time between two windows, not a latency.
            match window {
                1 => println!(", the last member receives it after {:.2} ms", each * 1e3),
                _ => println!(),
            }
        }
    }
    Ok(())
}

/// Returns the deliveries per second, the processor time of the server for each, and the time from a message to its
/// last delivery, both in seconds.
async fn send_messages(
    server: &Server,
    members: u64,
    window: u64,
    time: Duration,
) -> Result<(f64, f64, f64), BoxError> {
    let deliveries = Arc::new(Deliveries::default());
    let mut receivers = JoinSet::new();
    for _ in 0..members {
        let mut member = Connection::open(server.address, Wire::V1).await?;
        member.send(r#"["room/join",{"name":"bench"}]"#).await?;
        // Once this call has returned, the member has joined.
        member.call_once(SMALL).await?;
        let deliveries = Arc::clone(&deliveries);
        receivers.spawn(async move {
            loop {
                let frames = member.read_texts(|_| Ok(())).await?;
                deliveries.frames.fetch_add(frames as u64, Ordering::Relaxed);
                deliveries.more.notify_one();
            }
        });
    }
    let mut sender = Connection::open(server.address, Wire::V1).await?;
    // The frame that is delivered has 100 bytes.
    let say = format!(r#"["room/say",{{"name":"bench","text":"{}"}}]"#, "x".repeat(81));
    let mut expected = 0;
    let (mut cpu, mut started, mut sent) = (server.cpu()?, Instant::now(), 0u64);
    let warm_up = Instant::now();
    let mut is_warm = false;
    while started.elapsed() < time || !is_warm {
        if !is_warm && warm_up.elapsed() >= time / 4 {
            (cpu, started, sent, is_warm) = (server.cpu()?, Instant::now(), 0, true);
        }
        for _ in 0..window {
            sender.send(&say).await?;
        }
        expected += window * members;
        sent += window;
        tokio::select! {
            () = deliveries.reach(expected) => {}
            Some(ended) = receivers.join_next() => {
                let ended: Result<Result<(), BoxError>, _> = ended;
                ended??;
            }
        }
    }
    let (cpu, elapsed) = ((server.cpu()? - cpu).as_secs_f64(), started.elapsed().as_secs_f64());
    let deliveries = (sent * members) as f64;
    Ok((deliveries / elapsed, cpu / deliveries, elapsed / sent as f64))
}
