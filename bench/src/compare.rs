//! The comparison of all servers: which measurements there are, and in which order they run.

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use crate::calls::Load;
use crate::clients::{CLIENTS, ClientRow};
use crate::connection::Recipients;
use crate::http::{self, HTTP_SERVERS};
use crate::machine;
use crate::measurement::{BoxError, percentile, runtime};
use crate::options::{Group, Options};
use crate::process::Server;
use crate::report::{Column, Report};
use crate::rows::{ROWS, Row};
use crate::wire::{BIG, MEDIUM, SMALL};
use crate::{batch, calls, handshakes, items, memory, pushes, sparse};

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    rounds: usize,
    /// For each measurement of processor time; a warm-up of half of it precedes.
    time: Duration,
    /// For the latency of calls during pushes.
    pinging: Duration,
    members: usize,
    /// Members for the latency of calls during pushes to many.
    many_members: usize,
    /// Connections that rarely call, and the time in which each calls once.
    sparse: usize,
    period: Duration,
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
        many_members: 10_000,
        sparse: 10_000,
        period: Duration::from_secs(5),
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
        many_members: 100,
        sparse: 100,
        period: Duration::from_millis(200),
        idle: 100,
        settle: Duration::from_millis(100),
        limit: Duration::from_secs(1),
        batches: 5,
    };
}

impl fmt::Display for Extent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, time, members, many_members, sparse, period, idle, .. } = self;
        let (time, period) = (time.as_millis(), period.as_secs_f64());
        write!(
            formatter,
            "Rounds: {rounds}, {time} ms a measurement; pushes to {members} and {many_members} connections; {sparse} connections \
             that call once in {period} s; memory of {idle} connections"
        )
    }
}

/// No measurement takes as long.
const DEADLINE: Duration = Duration::from_secs(60);

/// Calls: with many concurrent ones on each connection, on many connections, and one at a time.
const BUSY: Load = Load { connections: 32, in_flight: 32, size: SMALL };
const WIDE: Load = Load { connections: 64, in_flight: 1, size: SMALL };
const SINGLE: Load = Load { connections: 1, in_flight: 1, size: SMALL };

/// Calls with larger bodies.
const MEDIUM_BODIES: Load = Load { connections: 8, in_flight: 4, size: MEDIUM };
const BIG_BODIES: Load = Load { connections: 4, in_flight: 1, size: BIG };

/// Measures the rows and groups of the options. Servers that cannot be started are left out.
pub(crate) fn run(extent: Extent, options: &Options) -> Result<Report, BoxError> {
    let names = &options.rows;
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
    for (group, measure) in MEASUREMENTS {
        if options.has(group) {
            measure(&mut comparison, extent)?;
        }
    }
    Ok(comparison.report)
}

type Measure = fn(&mut Comparison, Extent) -> Result<(), BoxError>;

/// All groups, in the order in which they are measured.
const MEASUREMENTS: [(Group, Measure); 11] = [
    (Group::Calls, Comparison::calls),
    (Group::Bodies, Comparison::bodies),
    (Group::Handshakes, Comparison::handshakes),
    (Group::Sparse, Comparison::sparse),
    (Group::Pushes, Comparison::pushes),
    (Group::Rooms, Comparison::rooms),
    (Group::Items, Comparison::items),
    (Group::Memory, Comparison::memory),
    (Group::Batches, Comparison::batches),
    (Group::Clients, Comparison::clients),
    (Group::Http, Comparison::http),
];

struct Comparison {
    report: Report,
    rows: Vec<&'static Row>,
    started: Instant,
}

impl Comparison {
    fn calls(&mut self, extent: Extent) -> Result<(), BoxError> {
        for (load, columns) in [
            (BUSY, &[Column::Busy][..]),
            (WIDE, &[Column::Wide]),
            (SINGLE, &[Column::Single, Column::SingleP50, Column::SingleP99, Column::SingleP999]),
        ] {
            self.load(extent, load, columns)?;
        }
        self.rounds("calls that wait", extent.rounds, Row::start_for_waits, async |row, server| {
            Ok(vec![(Column::Waits, calls::measure(server, row.wire, BUSY, extent.time).await?.cpu_per_call)])
        })?;
        self.rounds("calls that yield", extent.rounds, Row::start_for_yields, async |row, server| {
            Ok(vec![(Column::Yields, calls::measure(server, row.wire, BUSY, extent.time).await?.cpu_per_call)])
        })
    }

    fn bodies(&mut self, extent: Extent) -> Result<(), BoxError> {
        self.load(extent, MEDIUM_BODIES, &[Column::Medium])?;
        self.load(extent, BIG_BODIES, &[Column::Big])
    }

    /// Measures calls. The columns are, as far as they are given, the processor time and the percentiles of the latency.
    fn load(&mut self, extent: Extent, load: Load, columns: &[Column]) -> Result<(), BoxError> {
        let Load { connections, in_flight, size } = load;
        let name = format!("calls with {size} bytes, {connections} × {in_flight}");
        self.rounds(
            &name,
            extent.rounds,
            |row| Some(row.start()),
            async |row, server| {
                let measured = calls::measure(server, row.wire, load, extent.time).await?;
                let at = |part| percentile(&measured.latencies, part).as_secs_f64();
                let values = [measured.cpu_per_call, at(0.5), at(0.99), at(0.999)];
                Ok(columns.iter().copied().zip(values).collect())
            },
        )
    }

    fn handshakes(&mut self, extent: Extent) -> Result<(), BoxError> {
        self.rounds(
            "handshakes",
            extent.rounds,
            |row| Some(row.start()),
            async |row, server| {
                let measured = handshakes::measure(server, row.wire, extent.time).await?;
                Ok(vec![(Column::Handshake, measured.cpu), (Column::HandshakeRate, measured.per_second)])
            },
        )
    }

    fn sparse(&mut self, extent: Extent) -> Result<(), BoxError> {
        let name = format!("{} connections that rarely call", extent.sparse);
        self.rounds(
            &name,
            1,
            |row| Some(row.start()),
            async |row, server| {
                let measured = sparse::measure(server, row.wire, extent.sparse, extent.settle, extent.period).await?;
                Ok(vec![
                    (Column::SparseIdle, measured.idle),
                    (Column::Sparse, measured.cpu_per_call),
                    (Column::SparseP50, measured.p50.as_secs_f64()),
                    (Column::SparseP99, measured.p99.as_secs_f64()),
                ])
            },
        )
    }

    fn pushes(&mut self, extent: Extent) -> Result<(), BoxError> {
        let members = extent.members;
        for (column, in_flight) in [(Column::Push, 1), (Column::Pushes, 8)] {
            let name = format!("pushes to {members}, {in_flight} in flight");
            self.rounds(&name, extent.rounds, Row::start_for_pushes, async |row, server| {
                let cost = pushes::measure(server, row.wire, Recipients::All, members, in_flight, extent.time).await?;
                Ok(vec![(column, cost)])
            })?;
        }
        for (members, columns) in [
            (extent.members, &[(Column::DuringP50, 0.5), (Column::DuringP99, 0.99)][..]),
            (extent.many_members, &[(Column::DuringManyP99, 0.99)]),
        ] {
            let name = format!("calls during pushes to {members}");
            self.rounds(&name, 1, Row::start_for_pushes, async |row, server| {
                let latencies = pushes::calls_meanwhile(server, row.wire, members, extent.pinging).await?;
                let at = |part| percentile(&latencies, part).as_secs_f64();
                Ok(columns.iter().map(|(column, part)| (*column, at(*part))).collect())
            })?;
        }
        Ok(())
    }

    fn rooms(&mut self, extent: Extent) -> Result<(), BoxError> {
        let members = extent.members;
        for (column, in_flight) in [(Column::RoomPush, 1), (Column::RoomPushes, 8)] {
            let name = format!("pushes to a room of {members}, {in_flight} in flight");
            self.rounds(&name, extent.rounds, Row::start_for_rooms, async |row, server| {
                let cost = pushes::measure(server, row.wire, Recipients::Room, members, in_flight, extent.time).await?;
                Ok(vec![(column, cost)])
            })?;
        }
        Ok(())
    }

    fn items(&mut self, extent: Extent) -> Result<(), BoxError> {
        for (column, beside_slow, name) in
            [(Column::Item, false, "stream items"), (Column::ItemBesideSlow, true, "stream items beside a slow reader")]
        {
            self.rounds(name, extent.rounds, Row::start_for_items, async |row, server| {
                Ok(vec![(column, items::measure(server, row.wire, beside_slow, extent.time).await?)])
            })?;
        }
        Ok(())
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

    fn clients(&mut self, extent: Extent) -> Result<(), BoxError> {
        let mut clients = Vec::new();
        for client in CLIENTS.iter().filter(|client| self.rows.iter().any(|row| row.name == client.server)) {
            match client.missing()? {
                None => clients.push(client),
                Some(missing) => {
                    eprintln!("bench: the client {} is left out, because this is missing: {missing}", client.name);
                }
            }
        }
        for round in 1..=extent.rounds {
            self.begin_round("clients", round, extent.rounds)?;
            for client in &clients {
                if let Err(error) = self.client(client, extent) {
                    eprintln!("bench: the client {}: {error}", client.name);
                }
            }
        }
        Ok(())
    }

    fn client(&mut self, client: &ClientRow, extent: Extent) -> Result<(), BoxError> {
        let server = client.start_server()?;
        let busy = client.run(client.busy, &server, extent.time)?;
        self.report.add(client.name, Column::ClientBusy, busy.cpu);
        self.report.add(client.name, Column::ClientRate, busy.per_second);
        for (kind, column) in [(client.single, Column::ClientSingle), (client.items, Column::ClientItem)] {
            if let Some(kind) = kind {
                self.report.add(client.name, column, client.run(kind, &server, extent.time)?.cpu);
            }
        }
        Ok(())
    }

    fn http(&mut self, extent: Extent) -> Result<(), BoxError> {
        let mut servers = Vec::new();
        for server in HTTP_SERVERS.iter().filter(|server| self.rows.iter().any(|row| row.name == server.server)) {
            match server.missing()? {
                None => servers.push(server),
                Some(missing) => {
                    eprintln!("bench: {} is left out for HTTP, because this is missing: {missing}", server.name);
                }
            }
        }
        for round in 1..=extent.rounds {
            self.begin_round("HTTP", round, extent.rounds)?;
            for row in &servers {
                let server = row.start()?;
                let measured = within(DEADLINE, async {
                    let post = http::measure_posts(&server, extent.time).await?;
                    Ok((post, http::measure_items(&server, extent.time).await?))
                });
                match measured {
                    Ok((post, item)) => {
                        self.report.add(row.name, Column::HttpPost, post);
                        self.report.add(row.name, Column::HttpItem, item);
                    }
                    Err(error) => eprintln!("bench: {}: HTTP: {error}", row.name),
                }
            }
        }
        Ok(())
    }

    fn begin_round(&mut self, name: &str, round: usize, rounds: usize) -> Result<(), BoxError> {
        self.report.busy(machine::busy()?);
        let seconds = self.started.elapsed().as_secs();
        eprintln!("bench: {seconds:>3} s: {name}, round {round} of {rounds}");
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
            self.begin_round(name, round, rounds)?;
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
