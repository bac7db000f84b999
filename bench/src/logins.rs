//! Log-ins per second, and the latency of other calls meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::measurement::BoxError;
use crate::process::Server;

const REGISTER: &str = r#"["aaw/register",{"email":"ada@example.com","password":"correct horse"},1]"#;
const LOG_IN: &str = r#"["aaw/login",{"email":"ada@example.com","password":"correct horse"},1]"#;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Measures `connections` that log in repeatedly for `time`, with the default password hashing, and the latency of
/// `ping` before and meanwhile.
pub(crate) async fn measure(connections: usize, time: Duration) -> Result<(), BoxError> {
    let server = Server::start_anywhere("auth")?;
    let mut pinger = connect(&server).await?;
    call(&mut pinger, REGISTER).await?;
    let alone = pings(&mut pinger, Instant::now() + Duration::from_secs(2)).await?;
    println!("\n{connections} connections log in repeatedly, on all processors");
    print_latencies("alone", alone);
    let (done, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let mut sockets = Vec::with_capacity(connections);
    for _ in 0..connections {
        sockets.push(connect(&server).await?);
    }
    let (cpu, started) = (server.cpu()?, Instant::now());
    for mut socket in sockets {
        let (done, stop) = (Arc::clone(&done), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) && call(&mut socket, LOG_IN).await.is_ok() {
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let meanwhile = pings(&mut pinger, started + time).await?;
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), (server.cpu()? - cpu).as_secs_f64());
    stop.store(true, Ordering::Relaxed);
    print_latencies("meanwhile", meanwhile);
    let logins = done.load(Ordering::Relaxed) as f64;
    println!(
        "  {:.0} log-ins/s, {:.1} ms CPU each; peak {} MiB resident",
        logins / elapsed,
        cpu / logins.max(1.0) * 1e3,
        server.peak_memory()? >> 20
    );
    Ok(())
}

fn print_latencies(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default().as_secs_f64() * 1e3;
    println!("  ping {name:12} p50 {:>7.3} ms, p99 {:>7.3} ms ({} calls)", at(50), at(99), times.len());
}

async fn pings(socket: &mut Socket, until: Instant) -> Result<Vec<Duration>, BoxError> {
    let mut times = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        call(socket, r#"["ping",null,1]"#).await?;
        times.push(started.elapsed());
    }
    Ok(times)
}

async fn connect(server: &Server) -> Result<Socket, BoxError> {
    Ok(connect_async(format!("ws://{}", server.address)).await?.0)
}

async fn call(socket: &mut Socket, frame: &str) -> Result<(), BoxError> {
    socket.send(Message::text(frame)).await?;
    match socket.next().await {
        Some(Ok(Message::Text(text))) if !text.contains(r#"{"error""#) => Ok(()),
        other => Err(io::Error::other(format!("expected a response to {frame}, received {other:?}")).into()),
    }
}
