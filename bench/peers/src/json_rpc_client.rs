//! jsonrpsee's client under load, as `aaw-bench client` runs aaw's: it prints the calls, the seconds, and the processor time
//! of this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonrpsee::core::client::ClientT;
use jsonrpsee::rpc_params;
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use serde_json::value::RawValue;

use crate::{BoxError, run};

pub(crate) fn measure(arguments: &[String]) -> Result<(), BoxError> {
    let [kind, url, seconds] = arguments else { return Err("expected client KIND URL SECONDS".into()) };
    let in_flight = match kind.as_str() {
        "jsonrpsee" => 32,
        "jsonrpsee-single" => 1,
        other => return Err(format!("expected jsonrpsee or jsonrpsee-single, found {other:?}").into()),
    };
    let time = Duration::try_from_secs_f64(seconds.parse()?)?;
    run(async {
        let client = Arc::new(WsClientBuilder::default().build(url).await?);
        call_for(&client, in_flight, time / 2).await?;
        let (cpu, started) = (cpu()?, Instant::now());
        let calls = call_for(&client, in_flight, time).await?;
        let (cpu, seconds) = ((self::cpu()? - cpu).as_secs_f64(), started.elapsed().as_secs_f64());
        println!(r#"{{"calls":{calls},"seconds":{seconds},"cpu_seconds":{cpu}}}"#);
        Ok(())
    })
}

/// Awaits calls of `echo` with a body of 100 bytes, each task one after the other.
async fn call_for(client: &Arc<WsClient>, in_flight: u64, time: Duration) -> Result<u64, BoxError> {
    let end = Instant::now() + time;
    let mut callers = tokio::task::JoinSet::new();
    for first in 0..in_flight {
        let client = Arc::clone(client);
        callers.spawn(async move {
            let mut calls = 0;
            while Instant::now() < end {
                let number = 100_000_000 + first + in_flight * calls;
                let body = format!(r#"{{"a":"{}","n":{number}}}"#, "x".repeat(78));
                let params = rpc_params![RawValue::from_string(body.clone())?];
                let response: Box<RawValue> = client.request("echo", params).await?;
                if response.get() != body {
                    return Err(format!("expected {body}, received {response}").into());
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

/// The processor time of all threads of this process.
fn cpu() -> Result<Duration, BoxError> {
    let mut time = Duration::ZERO;
    for thread in std::fs::read_dir("/proc/self/task")? {
        // A thread may end meanwhile.
        let Ok(schedstat) = std::fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        time += Duration::from_nanos(schedstat.split_whitespace().next().unwrap_or_default().parse()?);
    }
    Ok(time)
}
