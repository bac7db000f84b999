//! The server: this program again, in a process of its own.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use aaw_client::Client;
use aaw_server::{Config, Server};
use aaw_test_events::_services::Executions;
use aaw_tests::counting_allocator::{most_allocated, reset_most_allocated};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::calls::{BoxError, Report};

/// How long the server may take for a call of this program itself.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long handlers may run on after the clients have ended.
const SETTLING: Duration = Duration::from_secs(10);

/// Serves the test events. Prints the port, and for each line on standard input the most bytes that were allocated at any time
/// since the last line, beyond those of that time. Stops when standard input ends.
pub(crate) async fn serve() -> Result<(), BoxError> {
    let server = Server::new(Config { port: 0, resumption_window: Duration::from_secs(60), ..Config::default() })
        .events(aaw_test_events::module())
        .bind()
        .await?;
    println!("{}", server.local_addr().port());
    server
        .serve(async {
            let mut lines = BufReader::new(tokio::io::stdin()).lines();
            let mut before = reset_most_allocated();
            while let Ok(Some(_)) = lines.next_line().await {
                println!("{}", most_allocated().saturating_sub(before));
                before = reset_most_allocated();
            }
        })
        .await;
    Ok(())
}

/// The running server. Dropping it ends it.
pub(crate) struct ServerProcess {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    port: u16,
}

/// What the server has counted.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Counted {
    pub(crate) sum: i64,
    /// The ids of calls that have run.
    pub(crate) calls: u64,
    /// The first of those that have run several times.
    pub(crate) repeated: Vec<(u64, Executions)>,
    /// Those of the calls that have failed, in the order of the report.
    pub(crate) executions: Vec<Executions>,
}

impl ServerProcess {
    pub(crate) async fn start() -> Result<Self, BoxError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("server").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("the server's output is piped")?;
        let mut stdout = BufReader::new(stdout).lines();
        let port = stdout.next_line().await?.ok_or("the server has ended")?;
        Ok(Self { child, stdin, stdout, port: port.parse()? })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Returns what the server has counted, once that does not change any more.
    pub(crate) async fn counted(&self, report: &Report) -> Result<Counted, BoxError> {
        let client = aaw_client::connect(&format!("ws://{}", self.addr())).await?;
        let started = tokio::time::Instant::now();
        let mut counted = count(&client, report).await?;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = count(&client, report).await?;
            let is_settled = (now.sum, now.calls) == (counted.sum, counted.calls);
            counted = now;
            if is_settled {
                break;
            }
            if started.elapsed() > SETTLING {
                return Err(format!("{SETTLING:?} after the last client has ended, calls still begin").into());
            }
        }
        client.close().await;
        Ok(counted)
    }

    /// Returns the most bytes that it had allocated at any time since the last call, beyond those that it had then.
    pub(crate) async fn most_allocated(&mut self) -> Result<u64, BoxError> {
        self.stdin.as_mut().ok_or("the server was stopped")?.write_all(b"\n").await?;
        let bytes = self.stdout.next_line().await?.ok_or("the server has ended")?;
        Ok(bytes.parse()?)
    }

    pub(crate) async fn stop(&mut self) -> Result<(), BoxError> {
        self.stdin = None;
        let status =
            tokio::time::timeout(TIMEOUT, self.child.wait()).await.map_err(|_| "the server does not stop")??;
        if status.success() { Ok(()) } else { Err(format!("the server has ended with {status}").into()) }
    }
}

async fn count(client: &Client, report: &Report) -> Result<Counted, BoxError> {
    let ids: Vec<u64> = report.failed.iter().map(|failed| failed.id).collect();
    let mut counted: Counted = client.send_async("counter/get", json!({}), TIMEOUT).await?;
    for ids in ids.chunks(1000) {
        let part: Counted = client.send_async("counter/get", json!({ "ids": ids }), TIMEOUT).await?;
        counted.executions.extend(part.executions);
    }
    Ok(counted)
}
