//! What it costs to say something to a room.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::generator::Caller;
use crate::process::Server;
use crate::{Failure, median};

/// What was heard so far, by all members together.
#[derive(Default)]
struct Heard {
    frames: AtomicU64,
    more: Notify,
}

impl Heard {
    /// Waits until it were so many.
    async fn reach(&self, frames: u64) {
        while self.frames.load(Ordering::Relaxed) < frames {
            self.more.notified().await;
        }
    }
}

/// One member of a room speaks, the others hear it: one message at a time, and many on their way.
pub(crate) async fn measure(members: u64, time: Duration, rounds: usize) -> Result<(), Failure> {
    println!("\na message of 100 bytes to a room of {members}");
    for kind in ["linked", "library"] {
        for (name, window) in [("one at a time", 1), ("64 on their way", 64)] {
            let (mut rates, mut costs, mut times) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..rounds {
                let server = Server::start(kind)?;
                let (rate, cost, each) = speak(&server, members, window, time).await?;
                rates.push(rate);
                costs.push(cost);
                times.push(each);
            }
            let [rate, cost, each] = [rates, costs, times].map(|values| median(values.into_iter()));
            print!("  {kind:8} {name:16} {rate:>9.0} deliveries/s {:>6.2} µs CPU/delivery", cost * 1e6);
            // With several on their way this would be the time between two windows, which says nothing.
            match window {
                1 => println!(", the last member has it after {:.2} ms", each * 1e3),
                _ => println!(),
            }
        }
    }
    Ok(())
}

/// Deliveries a second; the server's processor time for each, in seconds; seconds from a message to its last delivery.
async fn speak(server: &Server, members: u64, window: u64, time: Duration) -> Result<(f64, f64, f64), Failure> {
    let heard = Arc::new(Heard::default());
    let mut listeners = JoinSet::new();
    for _ in 0..members {
        let mut member = Caller::connect(server).await?;
        member.send(r#"["room/join",{"name":"bench"}]"#).await?;
        // Answered, so it has joined.
        member.call_once().await?;
        let heard = Arc::clone(&heard);
        listeners.spawn(async move {
            loop {
                let frames = member.answers().await?;
                heard.frames.fetch_add(frames as u64, Ordering::Relaxed);
                heard.more.notify_one();
            }
        });
    }
    let mut speaker = Caller::connect(server).await?;
    // The frame that is delivered has 100 bytes.
    let say = format!(r#"["room/say",{{"name":"bench","text":"{}"}}]"#, "x".repeat(81));
    let mut expected = 0;
    let (mut cpu, mut begun, mut said) = (server.cpu()?, Instant::now(), 0u64);
    let warm_up = Instant::now();
    let mut is_warm = false;
    while begun.elapsed() < time || !is_warm {
        if !is_warm && warm_up.elapsed() >= time / 4 {
            (cpu, begun, said, is_warm) = (server.cpu()?, Instant::now(), 0, true);
        }
        for _ in 0..window {
            speaker.send(&say).await?;
        }
        expected += window * members;
        said += window;
        tokio::select! {
            () = heard.reach(expected) => {}
            Some(ended) = listeners.join_next() => {
                let ended: Result<io::Result<()>, _> = ended;
                ended??;
            }
        }
    }
    let (cpu, elapsed) = ((server.cpu()? - cpu).as_secs_f64(), begun.elapsed().as_secs_f64());
    let deliveries = (said * members) as f64;
    Ok((deliveries / elapsed, cpu / deliveries, elapsed / said as f64))
}
