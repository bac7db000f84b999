//! The cost of members with presence that leave a room at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::measurement::BoxError;
use crate::process::Server;
use crate::wire::Wire;

/// What the members have received.
#[derive(Default)]
struct Received {
    joined: AtomicU64,
    /// The departures that members received which leave themselves.
    left_by_leaving: AtomicU64,
    left_by_staying: AtomicU64,
    /// The connections that have ended.
    ended: AtomicU64,
    more: Notify,
}

impl Received {
    async fn reach(&self, counter: &AtomicU64, count: u64) {
        while counter.load(Ordering::Relaxed) < count {
            self.more.notified().await;
        }
    }
}

/// Measures rooms with these numbers of members, of which so many close their connection at the same time.
pub(crate) async fn measure(rooms: &[(u64, u64)], rounds: usize) -> Result<(), BoxError> {
    println!("\nmembers with presence that leave together");
    for (members, leaving) in rooms {
        for _ in 0..rounds {
            leave_together(*members, *leaving).await?;
        }
    }
    Ok(())
}

async fn leave_together(members: u64, leaving: u64) -> Result<(), BoxError> {
    let server = Server::start_anywhere("presence")?;
    let received = Arc::new(Received::default());
    let (leave, must_leave) = watch::channel(false);
    let mut readers = JoinSet::new();
    for number in 0..members {
        let mut member = Connection::open(server.address, Wire::V1).await?;
        member.send(r#"["room/join",{"name":"bench","presence":true}]"#).await?;
        // Once this call has returned, the member has joined.
        member.greet(r#"["room/size","bench",1]"#, r#"["room/size""#).await?;
        let (received, must_leave) = (Arc::clone(&received), must_leave.clone());
        let leaves = number < leaving;
        readers.spawn(async move { read(member, &received, leaves, must_leave).await });
    }
    received.reach(&received.joined, members * (members - 1) / 2).await;
    let (cpu, started) = (server.cpu()?, Instant::now());
    leave.send_replace(true);
    received.reach(&received.ended, leaving).await;
    received.reach(&received.left_by_staying, leaving * (members - leaving)).await;
    let (cpu, elapsed) = ((server.cpu()? - cpu).as_secs_f64(), started.elapsed().as_secs_f64());
    println!(
        "  {leaving} of {members}: {:>8} notices to those that leave, {:>8} to the others, {:>7.1} ms CPU, {:>7.1} ms",
        received.left_by_leaving.load(Ordering::Relaxed),
        received.left_by_staying.load(Ordering::Relaxed),
        cpu * 1e3,
        elapsed * 1e3,
    );
    Ok(())
}

async fn read(mut member: Connection, received: &Received, leaves: bool, mut must_leave: watch::Receiver<bool>) {
    let left = if leaves { &received.left_by_leaving } else { &received.left_by_staying };
    let mut waits = leaves;
    loop {
        let count = |text: &[u8]| {
            let counter = if text.starts_with(br#"["aaw/left""#) { left } else { &received.joined };
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        let texts = tokio::select! {
            texts = member.read_texts(count) => texts,
            Ok(_) = must_leave.changed(), if waits => {
                waits = false;
                member.end_sending().await
            }
        };
        if texts.is_err() {
            received.ended.fetch_add(1, Ordering::Relaxed);
        }
        received.more.notify_one();
        if texts.is_err() {
            return;
        }
    }
}
