//! A TCP proxy between a client and a server that injects faults: it cuts connections, at random or after an exact number
//! of bytes, delays and splits what it passes on, and lets connections go silent.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use aaw_tests::fault_proxy::{Direction, FaultPlan, FaultProxy};
//! use aaw_tests::{TestServer, WireClient};
//!
//! let server = TestServer::start().await;
//! // The first connection ends after 500 bytes to the client, the second after 3 bytes to the server. Others are left alone.
//! let plan = FaultPlan::cuts([(Direction::ToClient, 500), (Direction::ToServer, 3)]);
//! let proxy = FaultProxy::start(server.addr, plan).await;
//! WireClient::connect_v1(proxy.addr()).await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
//! assert_eq!(proxy.stats().connections, 1);
//! # }
//! ```
//!
//! What happens to a connection follows from the plan and the connection's number alone, not from time or from other
//! connections, so a seed repeats a schedule as far as the clients connect in the same order. A connection takes two buffers
//! of 16 KiB.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::random::Random;

/// The bytes that are passed on at a time, in each direction.
const BUFFER: usize = 16 << 10;

/// The bytes for which one piece is delayed, on average. A delay takes at least a millisecond, so more of them would make
/// connections with short pieces slower than any network.
pub const BYTES_PER_DELAY: u64 = 2048;

/// How long a cut connection is read, so that the bytes before the cut arrive: closing a socket with unread bytes resets the
/// connection, and drops what was not sent yet.
const DRAIN: Duration = Duration::from_secs(1);

/// One of the two directions of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Both peers see the end of the data. What was passed on before arrives.
    Close,
    /// Both peers see a reset. What was passed on before and not read yet may be lost.
    Reset,
    /// Nothing is read or written any more, and both sockets stay open for this time. Then they are reset.
    BlackHole(Duration),
}

/// When a fault occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultPoint {
    /// Exactly after this number of bytes of the connection in this direction, at once.
    Bytes(Direction, u64),
    /// After this time, from the start of the connection.
    Time(Duration),
}

/// The sizes and delays of the pieces in which bytes are passed on: at random, from 1 byte and from no delay to these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pieces {
    /// The longest piece, in bytes.
    pub max_bytes: usize,
    /// The longest delay before a piece is passed on. One piece is delayed for each [`BYTES_PER_DELAY`], on average.
    pub max_delay: Duration,
}

/// What happens to one connection. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionPlan {
    /// How it ends, if its peers do not end it before.
    pub fault: Option<(FaultPoint, Fault)>,
    /// What the client sends after its first bytes, which are its handshake, is passed on after this time, also if the client has
    /// given up the connection meanwhile.
    pub late: Option<Duration>,
    /// How it passes on its bytes. `None`: as they come.
    pub pieces: Option<Pieces>,
    /// The seed of its pieces.
    pub seed: u64,
}

impl ConnectionPlan {
    /// A connection that is closed after exactly this number of bytes.
    #[must_use]
    pub fn cut(direction: Direction, bytes: u64) -> Self {
        Self { fault: Some((FaultPoint::Bytes(direction, bytes), Fault::Close)), ..Self::default() }
    }

    /// Returns the sizes and the delays of the pieces in one direction, in order. They do not end.
    pub fn pieces(&self, direction: Direction) -> impl Iterator<Item = (usize, Duration)> + Send + use<> {
        let mut random = Random::of_part(self.seed, direction as u64);
        let pieces = self.pieces;
        std::iter::repeat_with(move || match pieces {
            None => (BUFFER, Duration::ZERO),
            Some(Pieces { max_bytes, max_delay }) => {
                let size = 1 + random.below(max_bytes.clamp(1, BUFFER) as u64) as usize;
                let delay = max_delay.mul_f64(random.below(1000) as f64 / 1000.);
                (size, if random.below(BYTES_PER_DELAY) < size as u64 { delay } else { Duration::ZERO })
            }
        })
    }
}

/// What happens to connections at random. The default has all kinds of faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RandomFaults {
    /// The bytes after which a connection ends, on average: the numbers differ widely.
    pub mean_bytes: u64,
    /// The connections out of 8 that end after a time, not after a number of bytes.
    pub by_time: u64,
    /// That time, on average.
    pub mean_time: Duration,
    /// The connections out of 100 that end with a reset.
    pub resets: u64,
    /// The connections out of 100 that end as black holes.
    pub black_holes: u64,
    /// The connections out of 100 that are black holes from their beginning, so that not even the handshake succeeds.
    pub silent: u64,
    /// How long a black hole stays open.
    pub black_hole_time: Duration,
    /// The connections out of 100 that pass on their bytes in pieces, each with a size of its own for the longest.
    pub in_pieces: u64,
    /// The longest delay of a piece.
    pub max_delay: Duration,
}

impl Default for RandomFaults {
    fn default() -> Self {
        Self {
            mean_bytes: 20_000,
            by_time: 1,
            mean_time: Duration::from_millis(50),
            resets: 40,
            black_holes: 3,
            silent: 1,
            black_hole_time: Duration::from_secs(15),
            in_pieces: 30,
            max_delay: Duration::from_millis(3),
        }
    }
}

/// What happens to the connections of a proxy, by their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultPlan {
    /// These plans, for the first connections. Nothing happens to others.
    Listed(Vec<ConnectionPlan>),
    /// Faults of this kind, for all connections.
    Random {
        /// The seed of all random numbers.
        seed: u64,
        /// The kinds of faults.
        faults: RandomFaults,
    },
}

impl FaultPlan {
    /// Nothing happens.
    #[must_use]
    pub fn none() -> Self {
        Self::Listed(Vec::new())
    }

    /// The first connection is closed at the first of these points, the second at the second, and so on.
    #[must_use]
    pub fn cuts(points: impl IntoIterator<Item = (Direction, u64)>) -> Self {
        Self::Listed(points.into_iter().map(|(direction, bytes)| ConnectionPlan::cut(direction, bytes)).collect())
    }

    /// Returns the plan of a connection. The first has the number 0.
    #[must_use]
    pub fn connection(&self, number: u64) -> ConnectionPlan {
        match self {
            Self::Listed(plans) => {
                usize::try_from(number).ok().and_then(|number| plans.get(number)).cloned().unwrap_or_default()
            }
            Self::Random { seed, faults } => random_connection(faults, Random::of_part(*seed, number)),
        }
    }
}

fn random_connection(faults: &RandomFaults, mut random: Random) -> ConnectionPlan {
    let point = match random.below(8) {
        n if n < faults.by_time => {
            let millis = random.exponential(u64::try_from(faults.mean_time.as_millis()).unwrap_or(u64::MAX));
            FaultPoint::Time(Duration::from_millis(millis))
        }
        n => {
            let direction = if n % 2 == 0 { Direction::ToServer } else { Direction::ToClient };
            FaultPoint::Bytes(direction, random.exponential(faults.mean_bytes))
        }
    };
    let fault = match random.below(100) {
        n if n < faults.black_holes => Fault::BlackHole(faults.black_hole_time),
        n if n < faults.black_holes + faults.resets => Fault::Reset,
        _ => Fault::Close,
    };
    let pieces = random.percent(faults.in_pieces).then(|| Pieces {
        // Often small, and then nearly each frame is split.
        max_bytes: 1 << random.below(12),
        max_delay: faults.max_delay,
    });
    let fault = match random.percent(faults.silent) {
        true => (FaultPoint::Bytes(Direction::ToServer, 0), Fault::BlackHole(faults.black_hole_time)),
        false => (point, fault),
    };
    ConnectionPlan { fault: Some(fault), late: None, pieces, seed: random.next_u64() }
}

/// What a proxy has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProxyStats {
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that were closed by the plan, or by [`FaultProxy::cut_all`].
    pub closed: u64,
    /// Connections that were reset by the plan.
    pub resets: u64,
    /// Connections that have become black holes, by the plan or by [`FaultProxy::swallow_all`].
    pub black_holes: u64,
    /// Bytes passed on to the server, over all connections.
    pub to_server: u64,
    /// Bytes passed on to clients, over all connections.
    pub to_client: u64,
}

impl ProxyStats {
    /// The connections that a fault has ended.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.closed + self.resets + self.black_holes
    }
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    closed: AtomicU64,
    resets: AtomicU64,
    black_holes: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl Counters {
    fn passed(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    fn faults(&self, fault: Fault) -> &AtomicU64 {
        match fault {
            Fault::Close => &self.closed,
            Fault::Reset => &self.resets,
            Fault::BlackHole(_) => &self.black_holes,
        }
    }
}

/// A running proxy. Dropping it ends its connections.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    counters: Arc<Counters>,
    /// Changes to the fault that all open connections are to have.
    faults: watch::Sender<Fault>,
    accepting: AbortHandle,
}

impl FaultProxy {
    /// Starts a proxy on a free loopback port, for the server at `upstream`.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(upstream: SocketAddr, plan: FaultPlan) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let addr = listener.local_addr().expect("a socket that is bound");
        let (counters, faults) = (Arc::<Counters>::default(), watch::Sender::new(Fault::Close));
        let accepting = tokio::spawn(accept(listener, upstream, plan, Arc::clone(&counters), faults.clone()));
        Self { addr, counters, faults, accepting: accepting.abort_handle() }
    }

    /// Returns the address that it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the URL that clients connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.addr)
    }

    /// Returns what it has done so far.
    #[must_use]
    pub fn stats(&self) -> ProxyStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ProxyStats {
            connections: read(&self.counters.connections),
            closed: read(&self.counters.closed),
            resets: read(&self.counters.resets),
            black_holes: read(&self.counters.black_holes),
            to_server: read(&self.counters.to_server),
            to_client: read(&self.counters.to_client),
        }
    }

    /// Closes all connections that are open now, also those that are black holes.
    pub fn cut_all(&self) {
        self.faults.send_replace(Fault::Close);
    }

    /// Makes all connections that are open now black holes, until [`cut_all`](Self::cut_all) or the end of the proxy. Later
    /// connections work.
    pub fn swallow_all(&self) {
        self.faults.send_replace(Fault::BlackHole(Duration::MAX));
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts connections until it is aborted, and their tasks with it.
async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    plan: FaultPlan,
    counters: Arc<Counters>,
    faults: watch::Sender<Fault>,
) {
    let mut connections = JoinSet::new();
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted,
            // The results of the tasks are not kept.
            Some(_) = connections.join_next() => continue,
        };
        let Ok((client, _)) = client else {
            // There are too many open files, for example.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let plan = plan.connection(counters.connections.fetch_add(1, Ordering::Relaxed));
        let (counters, faults) = (Arc::clone(&counters), faults.subscribe());
        connections.spawn(async move {
            // An error is that of one of the peers, and the other has seen a reset.
            let _ = serve(client, upstream, &plan, &counters, faults).await;
        });
    }
}

/// Why a direction of a connection is not passed on any further.
enum Stopped {
    /// The plan's point is reached.
    AtPoint,
    /// A peer has reset the connection.
    Failed(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

async fn serve(
    mut client: TcpStream,
    upstream: SocketAddr,
    plan: &ConnectionPlan,
    counters: &Counters,
    mut faults: watch::Receiver<Fault>,
) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream).await.inspect_err(|_| drop(reset(&client)))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let fault = plan.fault.map_or(Fault::Close, |(_, fault)| fault);
    let pass_on = async {
        let (client_reader, client_writer) = client.split();
        let (server_reader, server_writer) = server.split();
        tokio::try_join!(
            relay(client_reader, server_writer, Direction::ToServer, plan, counters),
            relay(server_reader, client_writer, Direction::ToClient, plan, counters),
        )
    };
    let fault = tokio::select! {
        // The cut of a connection that also has data is exact.
        biased;
        passed = pass_on => match passed {
            Ok(_) => return Ok(()),
            Err(Stopped::AtPoint) => fault,
            Err(Stopped::Failed(error)) => {
                reset(&client)?;
                reset(&server)?;
                return Err(error);
            }
        },
        () = time_point(plan) => fault,
        // The proxy keeps the sender while its connections run.
        _ = faults.changed() => *faults.borrow(),
    };
    counters.faults(fault).fetch_add(1, Ordering::Relaxed);
    match fault {
        Fault::Close => {
            // Both, whatever becomes of the first.
            let closed = tokio::join!(client.shutdown(), server.shutdown());
            closed.0.and(closed.1)?;
            let _ = tokio::time::timeout(DRAIN, async { tokio::join!(drain(&mut client), drain(&mut server)) }).await;
        }
        Fault::Reset => {
            reset(&client)?;
            reset(&server)?;
        }
        Fault::BlackHole(time) => {
            let is_cut = async { while faults.changed().await.is_ok() && *faults.borrow() != Fault::Close {} };
            let _ = tokio::time::timeout(time, is_cut).await;
            reset(&client)?;
            reset(&server)?;
        }
    }
    Ok(())
}

/// Completes at the plan's point in time, if it has one.
async fn time_point(plan: &ConnectionPlan) {
    match plan.fault {
        Some((FaultPoint::Time(after), _)) => tokio::time::sleep(after).await,
        _ => std::future::pending().await,
    }
}

/// Passes on the bytes of one direction, until their end or the plan's point.
async fn relay(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    direction: Direction,
    plan: &ConnectionPlan,
    counters: &Counters,
) -> Result<(), Stopped> {
    let mut left = match plan.fault {
        Some((FaultPoint::Bytes(of, bytes), _)) if of == direction => bytes,
        _ => u64::MAX,
    };
    let mut late = plan.late.filter(|_| direction == Direction::ToServer);
    let mut is_first = true;
    let mut pieces = plan.pieces(direction);
    let mut buffer = vec![0; BUFFER];
    while left > 0 {
        let (size, delay) = pieces.next().unwrap_or((BUFFER, Duration::ZERO));
        let size = usize::try_from(left).map_or(size, |left| size.min(left));
        let read = from.read(&mut buffer[..size]).await?;
        if read == 0 {
            to.shutdown().await?;
            return Ok(());
        }
        let late = if std::mem::take(&mut is_first) { None } else { late.take() };
        let delay = delay.max(late.unwrap_or_default());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        to.write_all(&buffer[..read]).await?;
        left -= read as u64;
        counters.passed(direction).fetch_add(read as u64, Ordering::Relaxed);
    }
    Err(Stopped::AtPoint)
}

/// Reads until the peer has closed.
async fn drain(from: &mut TcpStream) {
    // Small, because many connections may be cut within a second.
    let mut buffer = vec![0; 1024];
    while matches!(from.read(&mut buffer).await, Ok(1..)) {}
}

/// Makes the socket reset its connection when it is dropped.
fn reset(socket: &TcpStream) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}
