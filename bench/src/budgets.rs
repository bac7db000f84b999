//! The resident memory of a server over time, while clients make it hold as much as they can, and after they have left.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::connection::{Connection, Recipients};
use crate::frames;
use crate::measurement::{BoxError, runtime};
use crate::rows::target;
use crate::wire::{LARGE, Wire};

/// The time between two looks at the memory.
const STEP: Duration = Duration::from_millis(500);

/// How long clients hold what they have made the server hold.
const HOLD: Duration = Duration::from_secs(6);

/// How long the memory is measured after that.
const REST: Duration = Duration::from_secs(11);

/// The same, where what stays is the question.
const LONG_REST: Duration = Duration::from_secs(61);

/// A server in a process of its own, on all processors.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    /// Starts a server of this program, or with the stock events the program `aaw-server` of the same folder, or of a path.
    fn start(kind: &str) -> Result<Self, BoxError> {
        if !kind.ends_with("aaw-server") {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg(kind).stdin(Stdio::null()).stdout(Stdio::piped());
            let mut child = command.spawn()?;
            let mut line = String::new();
            BufReader::new(child.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
            return Ok(Self { child, address: line.trim().parse()? });
        }
        // A whole path replaces the folder.
        let program = target()?.join("release").join(kind);
        let events = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
        let mut command = Command::new(&program);
        command.arg(events).args(["--port", "0"]).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
        let address = loop {
            let line = lines.next().ok_or("aaw-server has ended")??;
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split_once('(').and_then(|(_, address)| address.strip_suffix(')')?.parse().ok());
            }
        };
        // Read to its end, so that the server can go on logging.
        std::thread::spawn(move || lines.count());
        Ok(Self { child, address: address.ok_or("expected an address in the log of aaw-server")? })
    }

    /// Returns the resident memory in MiB.
    fn resident(&self) -> Result<u64, BoxError> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()?.div_ceil(1024))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The memory in MiB, by the time since the beginning.
#[derive(Default)]
struct Curve(BTreeMap<Duration, u64>);

impl Curve {
    /// Measures until `during` has completed. Returns its result.
    async fn follow<T>(
        &mut self,
        program: &Program,
        started: Instant,
        during: impl Future<Output = T>,
    ) -> Result<T, BoxError> {
        tokio::pin!(during);
        loop {
            self.0.insert(started.elapsed(), program.resident()?);
            tokio::select! {
                biased;
                result = &mut during => return Ok(result),
                () = sleep(STEP) => {}
            }
        }
    }

    fn at(&self, time: Duration) -> u64 {
        self.0.range(..=time).next_back().map_or(0, |(_, memory)| *memory)
    }
}

/// Measures the cases of one server, or of `linked` and `aaw-server`. With a second argument, only those whose name contains
/// it.
pub(crate) fn measure(arguments: &[String]) -> Result<(), BoxError> {
    let kinds = match arguments.first() {
        Some(kind) => vec![kind.as_str()],
        None => vec!["linked", "aaw-server"],
    };
    let name = arguments.get(1).map_or("", String::as_str);
    println!("Resident MiB: at rest before, the most while clients hold it, 3 s, 10 s (and 60 s) after that.");
    println!("| server | case | before | most | after 3 s | 10 s | 60 s |\n|---|---|--:|--:|--:|--:|--:|");
    for kind in kinds {
        for (case, rest) in [
            (Case::Pinning(1), REST),
            (Case::Pinning(2), REST),
            (Case::Pinning(50), REST),
            (Case::Echoes, REST),
            (Case::StoppedReaders, REST),
            (Case::NoHello, REST),
            (Case::SmallBlocks, LONG_REST),
        ] {
            if case.to_string().contains(name) {
                runtime()?.block_on(case.measure(kind, rest))?;
            }
        }
    }
    Ok(())
}

/// What clients do.
#[derive(Debug, Clone, Copy)]
enum Case {
    /// As many connections send 256 calls with responses of 1 MB each, and read nothing.
    Pinning(usize),
    /// 100 connections receive a response of 1 MB, and stay.
    Echoes,
    /// Half of the 200 members of a busy room do not read.
    StoppedReaders,
    /// 1000 v1 connections send no hello during 60 000 broadcasts.
    NoHello,
    /// 50 connections send 64 000 small calls each, and read nothing.
    SmallBlocks,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pinning(connections) => write!(f, "pinning, {connections} connections"),
            Self::Echoes => f.write_str("100 echoes of 1 MB"),
            Self::StoppedReaders => f.write_str("stopped readers of a room"),
            Self::NoHello => f.write_str("no hello"),
            Self::SmallBlocks => f.write_str("small blocks"),
        }
    }
}

impl Case {
    async fn measure(self, kind: &str, rest: Duration) -> Result<(), BoxError> {
        let program = Program::start(kind)?;
        let mut curve = Curve::default();
        let started = Instant::now();
        // The first connection initialises what stays.
        Connection::open(program.address, Wire::V1).await?.call_once(LARGE / 10).await?;
        curve.follow(&program, started, sleep(STEP)).await?;
        let before = program.resident()?;
        let kept = curve.follow(&program, started, self.run(program.address)).await??;
        let ended = started.elapsed();
        curve.follow(&program, started, sleep(rest)).await?;
        drop(kept);
        let most = curve.0.range(..ended).map(|(_, memory)| *memory).max().unwrap_or_default();
        let mut row = format!("| {kind} | {self} | {before} | {most} |");
        for after in [3, 10, 60].map(Duration::from_secs) {
            match after < rest {
                true => write!(row, " {} |", curve.at(ended + after))?,
                false => write!(row, " |")?,
            }
        }
        println!("{row}");
        if std::env::var_os("CURVES").is_some() {
            let points = curve.0.iter().map(|(time, memory)| format!("{:.1}:{memory}", time.as_secs_f64()));
            println!("{}", points.collect::<Vec<_>>().join(" "));
        }
        Ok(())
    }

    /// Returns the connections that stay.
    async fn run(self, address: SocketAddr) -> Result<Vec<Connection>, BoxError> {
        let hello = Wire::V1.hello(0).map_or(String::new(), |(hello, _)| hello);
        match self {
            Self::Pinning(count) => {
                let mut out = Vec::new();
                frames::write(&mut out, 1, hello.as_bytes());
                for id in 1..=256 {
                    frames::write(&mut out, 1, format!(r#"["count",{{"to":165000}},{id}]"#).as_bytes());
                }
                hold(address, count, out).await?;
                Ok(Vec::new())
            }
            Self::SmallBlocks => {
                let mut out = Vec::new();
                frames::write(&mut out, 1, hello.as_bytes());
                for id in 1..=64_000 {
                    frames::write(&mut out, 1, Wire::V1.call(id, 100).as_bytes());
                }
                hold(address, 50, out).await?;
                Ok(Vec::new())
            }
            Self::Echoes => {
                let mut connections = Vec::new();
                for _ in 0..100 {
                    let mut connection = Connection::open(address, Wire::V1).await?;
                    connection.call_once(LARGE).await?;
                    connections.push(connection);
                }
                Ok(connections)
            }
            Self::StoppedReaders => {
                let mut join = Vec::new();
                frames::write(&mut join, 1, hello.as_bytes());
                frames::write(&mut join, 1, br#"["room/join",{"name":"tea"}]"#);
                let mut stopped = Vec::new();
                let mut readers = JoinSet::new();
                for number in 0..200 {
                    let mut socket = open(address).await?;
                    socket.write_all(&join).await?;
                    if number % 2 == 0 {
                        stopped.push(socket);
                    } else {
                        readers.spawn(async move {
                            while socket.read(&mut [0; 64 << 10]).await.is_ok_and(|len| len > 0) {}
                        });
                    }
                }
                let say = format!(r#"["room/say",{{"name":"tea","text":"{}"}}]"#, "x".repeat(200));
                let mut sender = Connection::open(address, Wire::V1).await?;
                let begun = Instant::now();
                while begun.elapsed() < HOLD {
                    for _ in 0..100 {
                        sender.send(&say).await?;
                    }
                    sender.call_once(100).await?;
                }
                Ok(Vec::new())
            }
            Self::NoHello => {
                let mut silent = Vec::new();
                for _ in 0..1000 {
                    silent.push(open(address).await?);
                }
                let mut sender = Connection::open(address, Wire::V1).await?;
                for round in 0..600 {
                    sender.announce(Recipients::All, round * 100, 100).await?;
                    sender.call_once(100).await?;
                }
                Ok(Vec::new())
            }
        }
    }
}

/// Opens a v1 connection, and reads only the response to the handshake.
async fn open(address: SocketAddr) -> Result<TcpStream, BoxError> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(Wire::V1.handshake(address, 0).as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    Ok(socket)
}

/// Has `count` connections send the same bytes, as far as the server reads them, and read nothing, until the time is over.
async fn hold(address: SocketAddr, count: usize, bytes: Vec<u8>) -> Result<(), BoxError> {
    let bytes = Arc::new(bytes);
    let sockets = Arc::new(Mutex::new(Vec::new()));
    let mut writers = JoinSet::new();
    for _ in 0..count {
        let (bytes, sockets, mut socket) = (Arc::clone(&bytes), Arc::clone(&sockets), open(address).await?);
        writers.spawn(async move {
            // The server may close the connection.
            let _ = socket.write_all(&bytes).await;
            sockets.lock().await.push(socket);
        });
    }
    sleep(HOLD).await;
    Ok(())
}
