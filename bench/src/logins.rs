//! How many can log in, and what calls bear beside them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::Failure;
use crate::process::Server;

const REGISTER: &str = r#"["aaw/register",{"email":"ada@example.com","password":"correct horse"},1]"#;
const LOG_IN: &str = r#"["aaw/login",{"email":"ada@example.com","password":"correct horse"},1]"#;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// `connections` log in at once and again for `time`, with the hashing that users have; `ping` is called beside them, and
/// before, when it is alone.
pub(crate) async fn measure(connections: usize, time: Duration) -> Result<(), Failure> {
    let server = Server::start_anywhere("auth")?;
    let mut pinger = connect(&server).await?;
    ask(&mut pinger, REGISTER).await?;
    let alone = pings(&mut pinger, Instant::now() + Duration::from_secs(2)).await?;
    println!("\n{connections} connections log in at once, on all processors");
    tell("alone", alone);
    let (done, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let mut sockets = Vec::with_capacity(connections);
    for _ in 0..connections {
        sockets.push(connect(&server).await?);
    }
    let (cpu, begun) = (server.cpu()?, Instant::now());
    for mut socket in sockets {
        let (done, stop) = (Arc::clone(&done), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) && ask(&mut socket, LOG_IN).await.is_ok() {
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let beside = pings(&mut pinger, begun + time).await?;
    let (elapsed, cpu) = (begun.elapsed().as_secs_f64(), (server.cpu()? - cpu).as_secs_f64());
    stop.store(true, Ordering::Relaxed);
    tell("beside them", beside);
    let logins = done.load(Ordering::Relaxed) as f64;
    println!(
        "  {:.0} log-ins/s, {:.1} ms CPU each; peak {} MiB resident",
        logins / elapsed,
        cpu / logins.max(1.0) * 1e3,
        server.peak_memory()? >> 20
    );
    Ok(())
}

fn tell(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default().as_secs_f64() * 1e3;
    println!("  ping {name:12} p50 {:>7.3} ms, p99 {:>7.3} ms ({} calls)", at(50), at(99), times.len());
}

async fn pings(socket: &mut Socket, until: Instant) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        ask(socket, r#"["ping",null,1]"#).await?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

async fn connect(server: &Server) -> Result<Socket, Failure> {
    Ok(connect_async(format!("ws://{}", server.address)).await?.0)
}

async fn ask(socket: &mut Socket, frame: &str) -> Result<(), Failure> {
    socket.send(Message::text(frame)).await?;
    match socket.next().await {
        Some(Ok(Message::Text(text))) if !text.contains(r#"{"error""#) => Ok(()),
        other => Err(io::Error::other(format!("{frame} got {other:?}")).into()),
    }
}
