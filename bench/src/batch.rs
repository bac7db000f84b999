//! The system calls of a server for many calls that arrive in one write.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::connection::Connection;
use crate::measurement::BoxError;
use crate::process::Server;
use crate::wire::{SMALL, Wire};

/// Calls in one write.
pub(crate) const CALLS: usize = 256;

/// The system calls that receive and send.
const TRACED: &str = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg";

/// Returns the server's system calls that receive and send for each batch, or `None` if the program `strace` does not
/// exist or must not attach.
pub(crate) async fn measure(server: &Server, wire: Wire, batches: usize) -> Result<Option<f64>, BoxError> {
    let mut connection = Connection::open(server.address, wire).await?;
    let mut out = Vec::new();
    batch(&mut connection, &mut out).await?;
    let output = tempfile::NamedTempFile::new()?;
    let mut strace = Command::new("strace");
    strace.args(["-c", "-f", "-e", TRACED, "-p", &server.id().to_string(), "-o"]).arg(output.path());
    let Ok(mut strace) = strace.stdin(Stdio::null()).stderr(Stdio::piped()).spawn() else { return Ok(None) };
    let mut messages = BufReader::new(strace.stderr.take().ok_or("no standard error")?);
    let mut line = String::new();
    messages.read_line(&mut line)?;
    if !line.contains("attached") {
        strace.kill()?;
        strace.wait()?;
        return Ok(None);
    }
    let mut done = Ok(());
    for _ in 0..batches {
        if done.is_ok() {
            done = batch(&mut connection, &mut out).await;
        }
    }
    // strace prints its counts when it is interrupted.
    Command::new("kill").args(["-INT", &strace.id().to_string()]).status()?;
    strace.wait()?;
    done?;
    // Each line has the columns % time, seconds, usecs/call, calls, [errors,] syscall.
    let table = std::fs::read_to_string(output.path())?;
    let calls = table.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let name = columns.last().filter(|name| TRACED.contains(**name))?;
        (!name.is_empty()).then(|| columns.get(3)?.parse::<f64>().ok())?
    });
    Ok(Some(calls.sum::<f64>() / batches as f64))
}

async fn batch(connection: &mut Connection, out: &mut Vec<u8>) -> Result<(), BoxError> {
    connection.call(CALLS, SMALL, out).await?;
    let mut received = 0;
    while received < CALLS {
        received += connection.responses(SMALL).await?;
    }
    Ok(())
}
