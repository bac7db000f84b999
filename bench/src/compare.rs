//! The comparison of all servers: which measurements there are, and in which order they run.

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use crate::calls::Load;
use crate::machine;
use crate::measurement::{BoxError, percentile, runtime};
use crate::process::Server;
use crate::report::{Column, Report};
use crate::rows::{ROWS, Row};
use crate::{batch, calls, memory, pushes};

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    rounds: usize,
    /// For each measurement of processor time; a warm-up of half of it precedes.
    time: Duration,
    /// For the latency of calls during pushes.
    pinging: Duration,
    members: usize,
    idle: usize,
    /// How long connections are idle before their memory is measured.
    settle: Duration,
    /// For the pushes, and for the large bodies, before the memory is measured.
    limit: Duration,
    batches: usize,
}

impl Extent {
    /// For figures.
    pub(crate) const FULL: Self = Self {
        rounds: 3,
        time: Duration::from_millis(500),
        pinging: Duration::from_secs(2),
        members: 1000,
        idle: 5000,
        settle: Duration::from_secs(3),
        limit: Duration::from_secs(4),
        batches: 50,
    };

    /// Only shows that everything works.
    pub(crate) const QUICK: Self = Self {
        rounds: 1,
        time: Duration::from_millis(100),
        pinging: Duration::from_millis(200),
        members: 50,
        idle: 100,
        settle: Duration::from_millis(100),
        limit: Duration::from_secs(1),
        batches: 5,
    };
}

impl fmt::Display for Extent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, time, members, idle, .. } = self;
        let time = time.as_millis();
        write!(
            formatter,
            "Rounds: {rounds}, {time} ms a measurement; pushes to {members} connections; memory of {idle} connections"
        )
    }
}

/// No measurement takes as long.
const DEADLINE: Duration = Duration::from_secs(120);

/// Calls: with many concurrent ones on each connection, on many connections, and one at a time.
const BUSY: Load = Load { connections: 32, in_flight: 32 };
const WIDE: Load = Load { connections: 64, in_flight: 1 };
const SINGLE: Load = Load { connections: 1, in_flight: 1 };

/// Measures these rows, or all. Servers that cannot be started are left out.
pub(crate) fn run(extent: Extent, names: &[String]) -> Result<Report, BoxError> {
    if let Some(unknown) = names.iter().find(|name| !ROWS.iter().any(|row| row.name == **name)) {
        let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        return Err(format!("no server has the name {unknown}; expected some of {}", known.join(", ")).into());
    }
    let mut rows: Vec<&Row> = Vec::new();
    for row in ROWS.iter().filter(|row| names.is_empty() || names.iter().any(|name| name == row.name)) {
        match row.missing()? {
            None => rows.push(row),
            Some(missing) => eprintln!("bench: {} is left out, because this is missing: {missing}", row.name),
        }
    }
    let mut comparison = Comparison { report: Report::new(extent.to_string()), rows, started: Instant::now() };
    comparison.calls(extent)?;
    comparison.pushes(extent)?;
    comparison.memory(extent)?;
    comparison.batches(extent)?;
    Ok(comparison.report)
}

struct Comparison {
    report: Report,
    rows: Vec<&'static Row>,
    started: Instant,
}

impl Comparison {
    fn calls(&mut self, extent: Extent) -> Result<(), BoxError> {
        for (load, columns) in [
            (BUSY, [Some(Column::Busy), None, None]),
            (WIDE, [Some(Column::Wide), None, None]),
            (SINGLE, [Some(Column::Single), Some(Column::SingleP50), Some(Column::SingleP99)]),
        ] {
            let name = format!("calls, {} × {}", load.connections, load.in_flight);
            self.rounds(
                &name,
                extent.rounds,
                |row| Some(row.start()),
                async |row, server| {
                    let measured = calls::measure(server, row.wire, load, extent.time).await?;
                    let values = [
                        measured.cpu_per_call,
                        percentile(&measured.latencies, 0.5).as_secs_f64(),
                        percentile(&measured.latencies, 0.99).as_secs_f64(),
                    ];
                    Ok(columns.into_iter().zip(values).filter_map(|(column, value)| Some((column?, value))).collect())
                },
            )?;
        }
        Ok(())
    }

    fn pushes(&mut self, extent: Extent) -> Result<(), BoxError> {
        let members = extent.members;
        for (column, in_flight) in [(Column::Push, 1), (Column::Pushes, 8)] {
            let name = format!("pushes to {members}, {in_flight} in flight");
            self.rounds(&name, extent.rounds, Row::start_for_pushes, async |row, server| {
                let cost = pushes::measure(server, row.wire, members, in_flight, extent.time).await?;
                Ok(vec![(column, cost)])
            })?;
        }
        self.rounds("calls during pushes", 1, Row::start_for_pushes, async |row, server| {
            let latencies = pushes::calls_meanwhile(server, row.wire, members, extent.pinging).await?;
            let at = |part| percentile(&latencies, part).as_secs_f64();
            Ok(vec![(Column::DuringP50, at(0.5)), (Column::DuringP99, at(0.99))])
        })
    }

    fn memory(&mut self, extent: Extent) -> Result<(), BoxError> {
        let start = |row: &Row| row.start_for_pushes().or_else(|| Some(row.start()));
        self.rounds("memory", 1, start, async |row, server| {
            let measured =
                memory::measure(server, row.wire, extent.idle, row.has_pushes(), extent.settle, extent.limit).await?;
            let mut values = vec![
                (Column::AfterCalls, measured.after_calls),
                (Column::AfterLargeEchoes, measured.after_large_echoes),
            ];
            values.extend(measured.after_pushes.map(|bytes| (Column::AfterPushes, bytes)));
            Ok(values)
        })
    }

    fn batches(&mut self, extent: Extent) -> Result<(), BoxError> {
        let mut is_missing = false;
        self.rounds(
            "batches",
            1,
            |row| Some(row.start()),
            async |row, server| {
                let calls = batch::measure(server, row.wire, extent.batches).await?;
                is_missing |= calls.is_none();
                Ok(calls.map(|calls| (Column::Batch, calls)).into_iter().collect())
            },
        )?;
        if is_missing {
            eprintln!("bench: system calls are not counted: strace is missing, or must not attach to a process");
        }
        Ok(())
    }

    /// Measures all rows, each with a new server, and this in several rounds: a change of the machine's speed affects all
    /// rows. An error ends only the measurement of its row.
    fn rounds(
        &mut self,
        name: &str,
        rounds: usize,
        start: impl Fn(&Row) -> Option<Result<Server, BoxError>>,
        mut measure: impl AsyncFnMut(&Row, &Server) -> Result<Vec<(Column, f64)>, BoxError>,
    ) -> Result<(), BoxError> {
        for round in 1..=rounds {
            self.report.busy(machine::busy()?);
            let seconds = self.started.elapsed().as_secs();
            eprintln!("bench: {seconds:>3} s: {name}, round {round} of {rounds}");
            for row in &self.rows {
                let Some(server) = start(row) else { continue };
                let measured = server.and_then(|server| within(DEADLINE, measure(row, &server)));
                match measured {
                    Ok(values) => {
                        for (column, value) in values {
                            self.report.add(row.name, column, value);
                        }
                    }
                    Err(error) => eprintln!("bench: {}: {name}: {error}", row.name),
                }
            }
        }
        Ok(())
    }
}

/// Runs a measurement on a runtime of its own, which ends its connections.
fn within<T>(limit: Duration, measuring: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
    runtime()?.block_on(async { tokio::time::timeout(limit, measuring).await? })
}
