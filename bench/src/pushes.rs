//! The cost of a push to many connections, and the latency of calls meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use crate::connection::{Connection, Recipients};
use crate::measurement::{BoxError, runtime};
use crate::process::Server;
use crate::wire::{SMALL, Wire};

/// Connections that receive pushes.
pub(crate) struct Audience {
    received: Arc<Received>,
    recipients: Recipients,
    members: u64,
    /// The number of the last push.
    last: u64,
    tasks: JoinSet<Result<Connection, BoxError>>,
    /// The members end when it is dropped.
    is_open: watch::Sender<()>,
}

/// The number of pushes that all members together have received.
#[derive(Default)]
struct Received {
    pushes: AtomicU64,
    more: Notify,
}

impl Audience {
    /// Lets these connections receive pushes. They are in the room if `recipients` are those in the room.
    pub(crate) fn new(members: Vec<Connection>, recipients: Recipients) -> Self {
        let received = Arc::<Received>::default();
        let (is_open, _) = watch::channel(());
        let mut tasks = JoinSet::new();
        let count = members.len() as u64;
        for mut member in members {
            let (received, mut ended) = (Arc::clone(&received), is_open.subscribe());
            tasks.spawn(async move {
                loop {
                    tokio::select! {
                        pushes = member.pushes() => {
                            received.pushes.fetch_add(pushes?, Ordering::Relaxed);
                            received.more.notify_one();
                        }
                        _ = ended.changed() => return Ok(member),
                    }
                }
            });
        }
        Self { received, recipients, members: count, last: 0, tasks, is_open }
    }

    /// Sends `count` pushes in one write, and waits until all members have received them.
    pub(crate) async fn send(&mut self, sender: &mut Connection, count: u64) -> Result<(), BoxError> {
        self.send_ahead(sender, count, 0).await
    }

    /// Sends `count` pushes in one write, and waits until all members have received all pushes but the last `ahead`.
    async fn send_ahead(&mut self, sender: &mut Connection, count: u64, ahead: u64) -> Result<(), BoxError> {
        sender.announce(self.recipients, self.last, count).await?;
        self.last += count;
        let expected = self.last.saturating_sub(ahead) * self.members;
        while self.received.pushes.load(Ordering::Relaxed) < expected {
            tokio::select! {
                () = self.received.more.notified() => {}
                Some(ended) = self.tasks.join_next() => drop(ended??),
            }
        }
        Ok(())
    }

    /// Returns the number of pushes so far.
    pub(crate) fn sent(&self) -> u64 {
        self.last
    }

    /// Returns the members, which have received all pushes that were sent.
    pub(crate) async fn end(mut self) -> Result<Vec<Connection>, BoxError> {
        drop(self.is_open);
        let mut members = Vec::with_capacity(self.tasks.len());
        while let Some(member) = self.tasks.join_next().await {
            members.push(member??);
        }
        Ok(members)
    }
}

/// Opens connections that the server sends pushes to.
pub(crate) async fn members(
    server: &Server,
    wire: Wire,
    recipients: Recipients,
    count: usize,
) -> Result<Vec<Connection>, BoxError> {
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        members.push(match recipients {
            Recipients::All => Connection::open_subscribed(server.address, wire).await?,
            Recipients::Room => Connection::open_in_room(server.address, wire).await?,
        });
    }
    // Once each call has returned, the server has finished all handshakes, and all members are in the room.
    for member in &mut members {
        member.call_once(SMALL).await?;
    }
    Ok(members)
}

/// Sends pushes to `count` connections for `time`, `in_flight` at once, after a warm-up of half of it. Returns the
/// processor time of the server for each delivery, in seconds.
pub(crate) async fn measure(
    server: &Server,
    wire: Wire,
    recipients: Recipients,
    count: usize,
    in_flight: u64,
    time: Duration,
) -> Result<f64, BoxError> {
    let mut audience = Audience::new(members(server, wire, recipients, count).await?, recipients);
    let mut sender = Connection::open(server.address, wire).await?;
    let warm_up = Instant::now();
    while warm_up.elapsed() < time / 2 {
        audience.send(&mut sender, in_flight).await?;
    }
    let (cpu, started, first) = (server.cpu()?, Instant::now(), audience.last);
    while started.elapsed() < time {
        audience.send(&mut sender, in_flight).await?;
    }
    let cpu = server.cpu()? - cpu;
    Ok(cpu.as_secs_f64() / ((audience.last - first) * audience.members) as f64)
}

/// Returns the latencies of calls on a further connection, sorted, while 8 to 16 pushes to `count` connections are always
/// in flight.
pub(crate) async fn calls_meanwhile(
    server: &Server,
    wire: Wire,
    count: usize,
    time: Duration,
) -> Result<Vec<Duration>, BoxError> {
    let mut audience = Audience::new(members(server, wire, Recipients::All, count).await?, Recipients::All);
    let mut sender = Connection::open(server.address, wire).await?;
    let (done, address) = (Arc::new(AtomicBool::new(false)), server.address);
    let is_done = Arc::clone(&done);
    let (opened, is_open) = oneshot::channel();
    // The caller has a thread of its own: otherwise its latency would include the work of the generator.
    let calling = std::thread::spawn(move || {
        runtime()?.block_on(async move {
            let mut caller = Connection::open_subscribed(address, wire).await?;
            let _ = opened.send(());
            let mut latencies = Vec::new();
            loop {
                let started = Instant::now();
                caller.call_once(SMALL).await?;
                latencies.push(started.elapsed());
                if is_done.load(Ordering::Relaxed) {
                    return Ok::<_, BoxError>(latencies);
                }
            }
        })
    });
    // An error of the caller is returned below.
    let _ = is_open.await;
    let started = Instant::now();
    let mut sent = Ok(());
    while started.elapsed() < time && sent.is_ok() {
        // The server has the next pushes before it has sent the last ones.
        sent = audience.send_ahead(&mut sender, 8, 8).await;
    }
    done.store(true, Ordering::Relaxed);
    // The last call may need the end of the pushes to return.
    let mut latencies = tokio::task::spawn_blocking(|| calling.join()).await?.map_err(|_| "the caller panicked")??;
    sent?;
    latencies.sort();
    Ok(latencies)
}
