//! The clients of the Rust library.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aaw_client::{CallError, Client, connect_lazy_with};
use aaw_tests::resumption::{client_config, label};
use tokio::task::JoinSet;

use crate::calls::{Added, CallBody, Clients, FailedCall, Label, Report, first_id};

/// Makes `calls[n]` calls with the client of number n, all clients at the same time.
pub(crate) async fn run(plan: &Clients, calls: &[u64]) -> Report {
    let ends = Instant::now() + plan.time;
    let mut clients = JoinSet::new();
    for (client, calls) in calls.iter().enumerate() {
        clients.spawn(client_calls(Arc::new(plan.clone()), client as u32, *calls, ends));
    }
    let mut report = Report::default();
    while let Some(of_client) = clients.join_next().await {
        report.add(of_client.expect("a client does not panic"));
    }
    report
}

async fn client_calls(plan: Arc<Clients>, client: u32, calls: u64, ends: Instant) -> Report {
    let mut config = client_config();
    config.backoff.max = Duration::from_millis(20);
    // Longer than the default timeout of a call, so that calls are not sent if a handshake is not answered.
    config.connect_timeout = Duration::from_secs(4);
    let connection = connect_lazy_with(&plan.url, config).expect("the URL of the proxy");
    let next = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..plan.in_flight {
        let (plan, connection, next) = (Arc::clone(&plan), connection.clone(), Arc::clone(&next));
        callers.spawn(async move {
            let mut report = Report::default();
            while Instant::now() < ends {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= calls {
                    break;
                }
                report.made += 1;
                match call(&connection, &plan, first_id(client) + number).await {
                    Ok(()) => report.responses += 1,
                    Err(failed) => report.failed.push(failed),
                }
            }
            report
        });
    }
    let mut report = Report::default();
    while let Some(of_caller) = callers.join_next().await {
        report.add(of_caller.expect("a caller does not panic"));
    }
    connection.close().await;
    report
}

async fn call(client: &Client, plan: &Clients, id: u64) -> Result<(), FailedCall> {
    let response: Result<Added, CallError> =
        client.send_async("counter/add", CallBody::new(plan, id), plan.timeout).await;
    match response {
        Ok(added) if added.id == id => Ok(()),
        Ok(added) => Err(FailedCall { id, label: Label::Failed, error: format!("the response to {}", added.id) }),
        Err(error) => Err(FailedCall { id, label: label(&error).into(), error: error.to_string() }),
    }
}
