//! The results: as tables, as JSON, and as a picture.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::clients::CLIENTS;
use crate::http::HTTP_SERVERS;
use crate::measurement::{BoxError, median};
use crate::plot::{Bar, Chart};
use crate::rows::{ROWS, versions};
use crate::{machine, plot};

/// A quantity that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Column {
    Busy,
    Waits,
    Yields,
    Wide,
    Single,
    SingleP50,
    SingleP99,
    SingleP999,
    Medium,
    Big,
    Handshake,
    HandshakeRate,
    Sparse,
    SparseP50,
    SparseP99,
    SparseIdle,
    Push,
    Pushes,
    RoomPush,
    RoomPushes,
    DuringP50,
    DuringP99,
    DuringManyP99,
    Item,
    ItemBesideSlow,
    AfterCalls,
    AfterPushes,
    AfterLargeEchoes,
    Batch,
    ClientBusy,
    ClientRate,
    ClientSingle,
    ClientItem,
    HttpPost,
    HttpItem,
}

/// A table: its title, what its rows are, and its columns with their headings.
type Table = (&'static str, Rows, &'static [(Column, &'static str)]);

/// What the rows of a table are.
#[derive(Debug, Clone, Copy)]
enum Rows {
    Servers,
    Clients,
    Http,
}

impl Rows {
    /// The heading of their names.
    fn heading(self) -> &'static str {
        match self {
            Self::Servers | Self::Http => "server",
            Self::Clients => "client",
        }
    }

    fn names(self) -> Vec<&'static str> {
        match self {
            Self::Servers => ROWS.iter().map(|row| row.name).collect(),
            Self::Clients => CLIENTS.iter().map(|client| client.name).collect(),
            Self::Http => HTTP_SERVERS.iter().map(|server| server.name).collect(),
        }
    }

    /// The rows that the others are divided by.
    fn baselines(self) -> &'static [&'static str] {
        match self {
            Self::Servers => &["raw", "bun"],
            Self::Clients => &["jsonrpsee", "original on Node"],
            Self::Http => &["axum"],
        }
    }
}

const TABLES: [Table; 8] = [
    (
        "Calls with a body of 100 bytes",
        Rows::Servers,
        &[
            (Column::Busy, "32 connections, 32 in flight each: µs CPU/call"),
            (Column::Waits, "the same, each waits once (a timer of 0 ms): µs CPU/call"),
            (Column::Yields, "the same, each yields to other tasks once: µs CPU/call"),
            (Column::Wide, "64 connections, 1 in flight each: µs CPU/call"),
            (Column::Single, "1 connection, 1 in flight: µs CPU/call"),
            (Column::SingleP50, "1 connection: p50, µs"),
            (Column::SingleP99, "1 connection: p99, µs"),
            (Column::SingleP999, "1 connection: p99.9, µs"),
            (Column::Batch, "256 calls in one write: system calls that receive or send"),
        ],
    ),
    (
        "Calls with larger bodies",
        Rows::Servers,
        &[
            (Column::Medium, "10 KB, 8 connections, 4 in flight each: µs CPU/call"),
            (Column::Big, "500 KB, 4 connections, 1 in flight each: µs CPU/call"),
        ],
    ),
    (
        "Connections, and 10 000 that each call once in 5 s",
        Rows::Servers,
        &[
            (Column::Handshake, "a connection opened and closed: µs CPU"),
            (Column::HandshakeRate, "opened and closed per second"),
            (Column::Sparse, "a call among 10 000 connections: µs CPU"),
            (Column::SparseP50, "such a call: p50, µs"),
            (Column::SparseP99, "such a call: p99, µs"),
            (Column::SparseIdle, "memory of one of 10 000 before its first call, KiB"),
        ],
    ),
    (
        "Pushes of 100 bytes to many connections",
        Rows::Servers,
        &[
            (Column::Push, "to 1000, 1 in flight: µs CPU/delivery"),
            (Column::Pushes, "to 1000, 8 in flight: µs CPU/delivery"),
            (Column::RoomPush, "to a room of 1000, 1 in flight: µs CPU/delivery"),
            (Column::RoomPushes, "to a room of 1000, 8 in flight: µs CPU/delivery"),
            (Column::DuringP50, "a call during pushes to 1000: p50, µs"),
            (Column::DuringP99, "a call during pushes to 1000: p99, µs"),
            (Column::DuringManyP99, "a call during pushes to 10 000: p99, µs"),
        ],
    ),
    (
        "Items of a stream",
        Rows::Servers,
        &[
            (Column::Item, "alone: ns CPU/item"),
            (Column::ItemBesideSlow, "beside a slow reader of another stream: ns CPU/item"),
        ],
    ),
    (
        "Memory of an idle connection, in KiB",
        Rows::Servers,
        &[
            (Column::AfterCalls, "after one call"),
            (Column::AfterPushes, "after 300 small pushes"),
            (Column::AfterLargeEchoes, "after one echo of 1 MB"),
        ],
    ),
    (
        "Clients: calls with a body of 100 bytes on one connection, and items of a stream",
        Rows::Clients,
        &[
            (Column::ClientBusy, "32 in flight: µs CPU/call"),
            (Column::ClientRate, "32 in flight: calls per second"),
            (Column::ClientSingle, "1 in flight: µs CPU/call"),
            (Column::ClientItem, "ns CPU/item"),
        ],
    ),
    (
        "Events over HTTP",
        Rows::Http,
        &[
            (Column::HttpPost, "POST of 100 bytes, 32 connections with 1 in flight each: µs CPU/request"),
            (Column::HttpItem, "a stream as NDJSON: ns CPU/item"),
        ],
    ),
];

impl Column {
    /// The name in JSON.
    fn key(self) -> &'static str {
        match self {
            Self::Busy => "calls_32x32_cpu_seconds",
            Self::Waits => "calls_32x32_that_wait_cpu_seconds",
            Self::Yields => "calls_32x32_that_yield_cpu_seconds",
            Self::Wide => "calls_64x1_cpu_seconds",
            Self::Single => "calls_1x1_cpu_seconds",
            Self::SingleP50 => "calls_1x1_p50_seconds",
            Self::SingleP99 => "calls_1x1_p99_seconds",
            Self::SingleP999 => "calls_1x1_p999_seconds",
            Self::Medium => "calls_8x4_10_kb_cpu_seconds",
            Self::Big => "calls_4x1_500_kb_cpu_seconds",
            Self::Handshake => "handshake_cpu_seconds",
            Self::HandshakeRate => "handshakes_per_second",
            Self::Sparse => "sparse_calls_cpu_seconds",
            Self::SparseP50 => "sparse_calls_p50_seconds",
            Self::SparseP99 => "sparse_calls_p99_seconds",
            Self::SparseIdle => "bytes_per_connection_before_a_call",
            Self::Push => "push_1_in_flight_cpu_seconds_per_delivery",
            Self::Pushes => "push_8_in_flight_cpu_seconds_per_delivery",
            Self::RoomPush => "room_push_1_in_flight_cpu_seconds_per_delivery",
            Self::RoomPushes => "room_push_8_in_flight_cpu_seconds_per_delivery",
            Self::DuringP50 => "call_during_pushes_p50_seconds",
            Self::DuringP99 => "call_during_pushes_p99_seconds",
            Self::DuringManyP99 => "call_during_pushes_to_10000_p99_seconds",
            Self::Item => "item_cpu_seconds",
            Self::ItemBesideSlow => "item_beside_slow_reader_cpu_seconds",
            Self::AfterCalls => "bytes_per_connection_after_one_call",
            Self::AfterPushes => "bytes_per_connection_after_300_pushes",
            Self::AfterLargeEchoes => "bytes_per_connection_after_1_mb_echo",
            Self::Batch => "system_calls_per_batch_of_256",
            Self::ClientBusy => "client_calls_1x32_cpu_seconds",
            Self::ClientRate => "client_calls_1x32_per_second",
            Self::ClientSingle => "client_calls_1x1_cpu_seconds",
            Self::ClientItem => "client_item_cpu_seconds",
            Self::HttpPost => "http_post_cpu_seconds",
            Self::HttpItem => "http_item_cpu_seconds",
        }
    }

    /// The factor from the unit in JSON to that of the tables.
    fn scale(self) -> f64 {
        match self {
            Self::AfterCalls | Self::AfterPushes | Self::AfterLargeEchoes | Self::SparseIdle => 1.0 / 1024.0,
            Self::Batch | Self::HandshakeRate | Self::ClientRate => 1.0,
            Self::Item | Self::ItemBesideSlow | Self::ClientItem | Self::HttpItem => 1e9,
            _ => 1e6,
        }
    }
}

/// All values of all rounds.
pub(crate) struct Report {
    values: BTreeMap<(Column, &'static str), Vec<f64>>,
    /// When and where the columns were measured that an earlier run has measured.
    kept: BTreeMap<Column, String>,
    /// What was measured.
    extent: String,
    /// The largest part of the processors' time that other programs used.
    busy: f64,
}

/// More than this part of the processors' time for other programs changes the results.
const TOO_BUSY: f64 = 0.1;

impl Report {
    pub(crate) fn new(extent: String) -> Self {
        Self { values: BTreeMap::new(), kept: BTreeMap::new(), extent, busy: 0.0 }
    }

    pub(crate) fn add(&mut self, row: &'static str, column: Column, value: f64) {
        self.values.entry((column, row)).or_default().push(value);
    }

    /// Records the part of the processors' time that other programs use, and warns when it is large.
    pub(crate) fn busy(&mut self, part: f64) {
        if part > TOO_BUSY {
            eprintln!("bench: warning: other programs use {:.0} % of the processors", part * 100.0);
        }
        self.busy = self.busy.max(part);
    }

    /// Adds the columns that were not measured from the results in a folder.
    pub(crate) fn add_kept(&mut self, folder: &Path) -> Result<(), BoxError> {
        let kept: Value = serde_json::from_slice(&std::fs::read(folder.join("results.json"))?)?;
        let kept_run = format!("{}, {}", text_of(&kept["date"]), text_of(&kept["machine"]));
        let measured: BTreeSet<Column> = self.values.keys().map(|(column, _)| *column).collect();
        for (_, rows, columns) in TABLES {
            for (column, _) in columns.iter().filter(|(column, _)| !measured.contains(column)) {
                for name in rows.names() {
                    let values = kept["rounds"][column.key()][name].as_array();
                    for value in values.into_iter().flatten().filter_map(Value::as_f64) {
                        self.add(name, *column, value);
                        let earlier = kept["kept"][column.key()].as_str().unwrap_or(&kept_run);
                        self.kept.insert(*column, earlier.to_owned());
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the median of the rounds, in the unit of the tables.
    pub(crate) fn median(&self, row: &'static str, column: Column) -> Option<f64> {
        let values = self.values.get(&(column, row))?;
        Some(median(values.iter().copied()) * column.scale())
    }

    /// Returns the tables, with the machine and the versions.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        for (title, rows, columns) in TABLES {
            if !self.values.keys().any(|(measured, _)| columns.iter().any(|(column, _)| column == measured)) {
                continue;
            }
            let headings: Vec<&str> = columns.iter().map(|(_, heading)| *heading).collect();
            let _ = write!(
                text,
                "**{title}**\n\n| {} | {} |\n|---|{}\n",
                rows.heading(),
                headings.join(" | "),
                "--:|".repeat(columns.len())
            );
            for name in rows.names() {
                let cells: Vec<String> = columns.iter().map(|(column, _)| self.cell(rows, name, *column)).collect();
                if cells.iter().any(|cell| cell != "–") {
                    let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
                }
            }
            let _ = writeln!(text, "\nIn parentheses: multiples of {}.\n", rows.baselines().join(" and of "));
            for (column, heading) in columns {
                if let Some(run) = self.kept.get(column) {
                    let _ = writeln!(text, "Measured by an earlier run ({run}): {heading}.\n");
                }
            }
        }
        let versions: Vec<String> = versions().iter().map(|(name, version)| format!("{name} {version}")).collect();
        let _ = writeln!(
            text,
            "{}. Medians of the rounds. {}, {}; {}. Other programs used up to {:.0} % of the processors.",
            self.extent,
            machine::today(),
            machine::describe(),
            versions.join(", "),
            self.busy * 100.0
        );
        text
    }

    fn cell(&self, rows: Rows, row: &'static str, column: Column) -> String {
        let Some(value) = self.median(row, column) else { return "–".to_owned() };
        let ratio = |baseline: &&'static str| {
            let of = self.median(baseline, column).filter(|of| *of > 0.0);
            of.map_or_else(|| "–".to_owned(), |of| short(value / of))
        };
        let ratios: Vec<String> = rows.baselines().iter().map(ratio).collect();
        format!("{} ({})", short(value), ratios.join(", "))
    }

    /// Returns the values of all rounds.
    pub(crate) fn json(&self) -> Value {
        let mut rounds = serde_json::Map::new();
        for ((column, row), values) in &self.values {
            let column = rounds.entry(column.key()).or_insert_with(|| json!({}));
            column[*row] = json!(values);
        }
        json!({
            "date": machine::today(),
            "machine": machine::describe(),
            "versions": versions().into_iter().collect::<BTreeMap<_, _>>(),
            "extent": self.extent,
            "busy": self.busy,
            "kept": self.kept.iter().map(|(column, run)| (column.key(), run)).collect::<BTreeMap<_, _>>(),
            "rounds": rounds,
        })
    }

    /// Returns what the picture shows.
    fn charts(&self) -> Vec<Chart> {
        let charts = [
            ("µs of processor time for a call (32 connections, 32 in flight each)", Rows::Servers, Column::Busy),
            ("µs of processor time for a delivery (one message to 1000 connections)", Rows::Servers, Column::Push),
            ("ns of processor time for an item of a stream", Rows::Servers, Column::Item),
            ("µs of processor time for a POST over HTTP", Rows::Http, Column::HttpPost),
            ("µs of the client's processor time for a call (32 in flight)", Rows::Clients, Column::ClientBusy),
        ];
        let bars = |rows: Rows, column| {
            let bar = |name| self.median(name, column).map(|value| Bar { name, value, label: short(value) });
            rows.names().into_iter().filter_map(bar).collect()
        };
        charts.into_iter().map(|(title, rows, column)| Chart { title, bars: bars(rows, column) }).collect()
    }

    /// Writes `results.md`, `results.json` and `plot.svg` into a folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), BoxError> {
        let markdown = self.markdown();
        println!("{markdown}");
        std::fs::create_dir_all(folder)?;
        let page = format!(
            "# Results\n\nWritten by `bench/run`; [README.md](README.md) says what is measured, and how.\n\n{markdown}"
        );
        std::fs::write(folder.join("results.md"), page)?;
        std::fs::write(folder.join("results.json"), format!("{:#}\n", self.json()))?;
        std::fs::write(folder.join("plot.svg"), plot::svg(&self.charts()))?;
        eprintln!("bench: wrote results.md, results.json and plot.svg into {}", folder.display());
        Ok(())
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}

/// Formats with three digits, if the number is less than a thousand.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
