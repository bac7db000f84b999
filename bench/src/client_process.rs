//! A client under load, in a process of its own: `aaw-bench client KIND URL SECONDS`.
//!
//! It prints one line of JSON: `calls` (or items), `seconds`, and `cpu_seconds`, the processor time of this process. The
//! clients of `bench/js` and `bench/peers` print the same line.

use std::time::{Duration, Instant};

use aaw_client::Client;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::measurement::BoxError;
use crate::process::cpu_of;
use crate::wire::{SMALL, Wire, body, number_in};

/// The calls in flight.
const IN_FLIGHT: u64 = 32;

/// Runs a client until it has printed its line.
#[tokio::main]
pub(crate) async fn run(arguments: &[String]) -> Result<(), BoxError> {
    let [kind, url, seconds] = arguments else {
        return Err("expected client KIND URL SECONDS".into());
    };
    let time = Duration::try_from_secs_f64(seconds.parse()?)?;
    let measured = match kind.as_str() {
        "aaw" => calls(&aaw_client::connect(url).await?, IN_FLIGHT, time).await?,
        "aaw-single" => calls(&aaw_client::connect(url).await?, 1, time).await?,
        "aaw-items" => items(&aaw_client::connect(url).await?, time).await?,
        "raw" => raw_calls(url, IN_FLIGHT as usize, time).await?,
        "raw-single" => raw_calls(url, 1, time).await?,
        other => return Err(format!("expected aaw, aaw-single, aaw-items, raw or raw-single; found {other:?}").into()),
    };
    println!("{measured}");
    Ok(())
}

/// The processor time and the wall time so far.
struct Start {
    cpu: Duration,
    at: Instant,
}

impl Start {
    fn now() -> Result<Self, BoxError> {
        Ok(Self { cpu: cpu_of("self")?, at: Instant::now() })
    }

    fn line(&self, calls: u64) -> Result<Value, BoxError> {
        let (cpu, seconds) = (cpu_of("self")? - self.cpu, self.at.elapsed().as_secs_f64());
        Ok(json!({ "calls": calls, "seconds": seconds, "cpu_seconds": cpu.as_secs_f64() }))
    }
}

/// Awaits calls, each task one after the other: half of the time as a warm-up, then all of it.
async fn calls(client: &Client, in_flight: u64, time: Duration) -> Result<Value, BoxError> {
    call_for(client, in_flight, time / 2).await?;
    let start = Start::now()?;
    let calls = call_for(client, in_flight, time).await?;
    start.line(calls)
}

async fn call_for(client: &Client, in_flight: u64, time: Duration) -> Result<u64, BoxError> {
    let end = Instant::now() + time;
    let mut callers = JoinSet::new();
    for first in 0..in_flight {
        let client = client.clone();
        callers.spawn(async move {
            let mut calls = 0;
            while Instant::now() < end {
                let number = first + in_flight * calls;
                let body = RawValue::from_string(body(number, SMALL))?;
                let response: Box<RawValue> = client.send_async("echo", body, Duration::from_secs(10)).await?;
                if number_in(response.get().as_bytes(), SMALL)? != number {
                    return Err("the response belongs to another call".into());
                }
                calls += 1;
            }
            Ok::<_, BoxError>(calls)
        });
    }
    let mut calls = 0;
    while let Some(caller) = callers.join_next().await {
        calls += caller??;
    }
    Ok(calls)
}

/// Reads a stream of numbers.
async fn items(client: &Client, time: Duration) -> Result<Value, BoxError> {
    let mut stream = client.stream::<u64>("count", json!({ "to": 1_000_000_000_000_u64 }));
    let mut last = 0;
    let mut read_for = async |time: Duration| {
        let end = Instant::now() + time;
        let mut items = 0_u64;
        while !items.is_multiple_of(64) || Instant::now() < end {
            let item = stream.next().await.ok_or("the stream has ended")??;
            if item != last + 1 {
                return Err(format!("expected the item {}, received {item}", last + 1).into());
            }
            (last, items) = (item, items + 1);
        }
        Ok::<u64, BoxError>(items)
    };
    read_for(time / 2).await?;
    let start = Start::now()?;
    let items = read_for(time).await?;
    start.line(items)
}

/// The generator of the other measurements, which writes frames by hand: the least that a client can cost.
async fn raw_calls(url: &str, in_flight: usize, time: Duration) -> Result<Value, BoxError> {
    let address = url.strip_prefix("ws://").ok_or("expected a URL that begins with ws://")?.parse()?;
    let mut connection = Connection::open(address, Wire::V1).await?;
    let (mut free, mut out) = (in_flight, Vec::new());
    let mut call_for = async |time: Duration| {
        let (end, mut calls) = (Instant::now() + time, 0);
        while Instant::now() < end {
            connection.call(free, SMALL, &mut out).await?;
            free = connection.responses(SMALL).await?;
            calls += free as u64;
        }
        Ok::<u64, BoxError>(calls)
    };
    call_for(time / 2).await?;
    let start = Start::now()?;
    let calls = call_for(time).await?;
    start.line(calls)
}
