//! The cost of an item of a stream.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::measurement::BoxError;
use crate::process::Server;
use crate::wire::Wire;

/// Bytes that the slow reader reads at a time, and the pause after each read.
const SLOW_READ: usize = 1 << 10;
const PAUSE: Duration = Duration::from_millis(10);

/// A stream of numbers that does not end during a measurement, with credit for all of them.
const COUNT: &str = r#"["count",{"to":1000000000000},1,"call",{"credit":1000000000000}]"#;

/// Reads a stream for `time`, after a warm-up of half of it, and returns the processor time of the server for each item, in
/// seconds. With `beside_slow`, another connection has called for such a stream as well, and reads it slowly.
pub(crate) async fn measure(server: &Server, wire: Wire, beside_slow: bool, time: Duration) -> Result<f64, BoxError> {
    // It ends with this function.
    let mut slow = JoinSet::new();
    if beside_slow {
        slow.spawn(read_slowly(server.address, wire));
    }
    let mut reader = Connection::open(server.address, wire).await?;
    reader.send(COUNT).await?;
    let mut last = 0;
    read(&mut reader, &mut last, time / 2).await?;
    let (cpu, first) = (server.cpu()?, last);
    read(&mut reader, &mut last, time).await?;
    let cpu = server.cpu()? - cpu;
    match slow.try_join_next() {
        Some(ended) => Err(format!("the slow reader has ended: {ended:?}").into()),
        None => Ok(cpu.as_secs_f64() / (last - first) as f64),
    }
}

/// Reads items for `time`. Each must have the number after `last`.
async fn read(reader: &mut Connection, last: &mut u64, time: Duration) -> Result<(), BoxError> {
    let started = Instant::now();
    while started.elapsed() < time {
        reader
            .read_texts(|text| {
                let number = text.strip_prefix(br#"["count","#).and_then(|text| text.strip_suffix(br#",1,"item"]"#));
                let number = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
                if number != Some(*last + 1) {
                    let text = String::from_utf8_lossy(text);
                    return Err(format!("expected the item {}, received {text}", *last + 1).into());
                }
                *last += 1;
                Ok(())
            })
            .await?;
    }
    Ok(())
}

async fn read_slowly(address: SocketAddr, wire: Wire) -> Result<(), BoxError> {
    let mut connection = Connection::open(address, wire).await?;
    connection.send(COUNT).await?;
    loop {
        connection.skip(SLOW_READ).await?;
        tokio::time::sleep(PAUSE).await;
    }
}
