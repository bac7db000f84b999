//! The cost of an item of a stream, the memory of a stream, and the effect of a stalled stream on other calls.

use std::io;
use std::time::{Duration, Instant};

use aaw_client::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::measurement::{BoxError, median};
use crate::process::Server;

/// The time limit of a call; far more than any takes.
const DEADLINE: Duration = Duration::from_secs(120);

/// Measures a long stream over both transports, and calls beside a stalled stream.
pub(crate) async fn measure(items: u64, calls: u32, stall: Duration, rounds: usize) -> Result<(), BoxError> {
    println!("\na stream of {items} numbers");
    for kind in ["linked", "library"] {
        for (name, transport) in [("WebSocket", Transport::WebSocket), ("NDJSON", Transport::Ndjson)] {
            let server = Server::start(kind)?;
            let (cpu, started) = (server.cpu()?, Instant::now());
            match transport {
                Transport::WebSocket => read(&server, items).await?,
                Transport::Ndjson => read_lines(&server, items).await?,
            }
            let (cpu, elapsed) = ((server.cpu()? - cpu).as_secs_f64(), started.elapsed().as_secs_f64());
            let (rate, cost) = (items as f64 / elapsed, cpu / items as f64 * 1e6);
            let peak = server.peak_memory()? >> 10;
            println!("  {kind:8} {name:10} {rate:>9.0} items/s {cost:>6.2} µs CPU/item, peak {peak} KiB resident");
        }
    }
    println!("\n{calls} sequential calls, and a stream of {items} numbers, on one connection");
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let server = Server::start("linked")?;
        alone.push(measure_beside(&server, calls, items, None).await?);
        beside.push(measure_beside(&server, calls, items, Some(stall)).await?);
    }
    for (name, measured) in [("alone", &alone), ("beside a stalled stream", &beside)] {
        let p50 = median(measured.iter().map(|measurement| measurement.call_p50)) * 1e6;
        let rate = median(measured.iter().map(|measurement| measurement.items_per_second));
        println!("  {name:24} p50 of a call {p50:>6.1} µs, {rate:>9.0} items/s");
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Transport {
    WebSocket,
    Ndjson,
}

async fn connect(server: &Server) -> Result<Client, BoxError> {
    Ok(aaw_client::connect(&format!("ws://{}", server.address)).await?)
}

async fn read(server: &Server, items: u64) -> Result<(), BoxError> {
    let client = connect(server).await?;
    expect(count(&client, items).await?, items)
}

async fn count(client: &Client, to: u64) -> Result<u64, BoxError> {
    let mut stream = client.stream::<u64>("count", json!({ "to": to }));
    let mut seen = 0;
    while let Some(item) = stream.next().await {
        item?;
        seen += 1;
    }
    Ok(seen)
}

async fn read_lines(server: &Server, items: u64) -> Result<(), BoxError> {
    let mut socket = TcpStream::connect(server.address).await?;
    let body = json!({ "to": items }).to_string();
    let request = format!(
        "POST /events/count HTTP/1.1\r\nhost: {}\r\naccept: application/x-ndjson\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        server.address,
        body.len()
    );
    socket.write_all(request.as_bytes()).await?;
    let mut response = BufReader::with_capacity(64 << 10, socket);
    let (mut line, mut seen) = (Vec::new(), 0);
    // Headers and the sizes of chunks are lines that end in CRLF, items are lines that end in LF. The server ends each
    // chunk at the end of a line.
    while response.read_until(b'\n', &mut line).await? > 0 {
        let is_item = line.first().is_some_and(u8::is_ascii_digit) && !line.ends_with(b"\r\n");
        seen += u64::from(is_item);
        line.clear();
    }
    expect(seen, items)
}

fn expect(seen: u64, items: u64) -> Result<(), BoxError> {
    if seen == items {
        Ok(())
    } else {
        Err(io::Error::other(format!("expected {items} items, received {seen}")).into())
    }
}

/// The performance of calls and of a stream, alone or beside a stalled stream.
struct BesideStream {
    call_p50: f64,
    items_per_second: f64,
}

async fn measure_beside(
    server: &Server,
    calls: u32,
    items: u64,
    stall: Option<Duration>,
) -> Result<BesideStream, BoxError> {
    let client = connect(server).await?;
    let started = Instant::now();
    // It never ends, and is not read.
    let stalled = stall.map(|_| client.stream::<u64>("count", json!({ "to": 1_000_000_000 })));
    let mut latencies = Vec::with_capacity(calls as usize);
    for _ in 0..calls {
        let call = Instant::now();
        let _: Value = client.send_async("ping", (), DEADLINE).await?;
        latencies.push(call.elapsed());
    }
    latencies.sort();
    let streaming = Instant::now();
    expect(count(&client, items).await?, items)?;
    let items_per_second = items as f64 / streaming.elapsed().as_secs_f64();
    if let Some(left) = stall.and_then(|stall| stall.checked_sub(started.elapsed())) {
        tokio::time::sleep(left).await;
    }
    // After all that time it continues.
    if let Some(mut stalled) = stalled {
        for _ in 0..1000 {
            stalled.next().await.ok_or_else(|| io::Error::other("the stalled stream ended"))??;
        }
    }
    let call_p50 = latencies.get(latencies.len() / 2).copied().unwrap_or_default().as_secs_f64();
    Ok(BesideStream { call_p50, items_per_second })
}
