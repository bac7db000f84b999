//! The table of the results, in Markdown: a column for each system.

use std::fmt::Write as _;
use std::time::Duration;

use aaw_tests::fault_proxy::RandomFaults;
use serde_json::Value;

use super::load::{CallCounts, Load, PushCounts};
use super::system::System;

/// As in `peers/clients/socket.io-retries.mjs`.
const RETRIES: u32 = 3;

/// What was measured with one system.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) system: System,
    pub(crate) calls: CallCounts,
    /// Connections that a fault has ended.
    pub(crate) call_cuts: u64,
    /// Processor time.
    pub(crate) server_time: Duration,
    /// `None`: those of another row. With the connections that a fault has ended.
    pub(crate) pushes: Option<(PushCounts, u64)>,
}

/// The name of a line, and its number.
type Line<T> = (&'static str, fn(&T) -> u64);

/// Returns the page with the table and its conditions. `command` repeats the run. With pushes, connections are cut
/// after `push_cut_time`.
pub(crate) fn page(rows: &[Row], command: &str, load: &Load, faults: &RandomFaults, push_cut_time: Duration) -> String {
    let mut page = String::from("# Calls and pushes through connections that break\n\n");
    table(&mut page, rows);
    let Load { clients, in_flight, timeout, push_interval, .. } = load;
    let RandomFaults { mean_bytes, resets, black_holes, silent, black_hole_time, .. } = faults;
    let (timeout, each) = (timeout.as_secs(), timeout.as_millis() / u128::from(RETRIES + 1));
    let (push_interval, black_hole_time) = (push_interval.as_millis(), black_hole_time.as_secs());
    let conditions = [
        format!("`{command}` repeats it, as far as the clients connect in the same order."),
        format!(
            "{clients} clients in one process of Node, each with {in_flight} calls in flight, and then with a push every \
             {push_interval} ms. A client makes its next call when it knows the result of one."
        ),
        format!(
            "A proxy ends each connection after {mean_bytes} bytes on average (with pushes, after {} s), far more often than a network does: \
             {resets} of 100 with a reset, {black_holes} silently, for {black_hole_time} s, and {silent} is silent from \
             its beginning. The n-th connection has the same fault with each system.",
            push_cut_time.as_secs(),
        ),
        format!(
            "A call has {timeout} s for all of its attempts. An attempt to connect has 4 s, and the next one follows after \
             at most 20 ms."
        ),
        "aaw: `aaw-server --resumption-window 60s`, and aaw-js with `resumption`.".to_owned(),
        format!(
            "Socket.IO {}: WebSocket only, `connectionStateRecovery` for 2 min, and a heartbeat that notices a silent \
             connection after 6 s, as aaw does during a call. The time is that of the client with the most silent \
             connections. A call is `emitWithAck` with `timeout({timeout}000)`, or with `retries: {RETRIES}, ackTimeout: \
             {each}`. With retries a client sends one call at a time. An application that remembers the ids of its calls \
             can recognize those that arrive twice.",
            socket_io_version()
        ),
        "Both clients use the package `ws` for their WebSockets.".to_owned(),
    ];
    page.push('\n');
    for condition in conditions {
        let _ = writeln!(page, "- {condition}");
    }
    page
}

/// The version that is installed.
fn socket_io_version() -> String {
    let package = serde_json::from_str::<Value>(include_str!("../../peers/package.json")).unwrap_or_default();
    package["dependencies"]["socket.io"].as_str().unwrap_or_default().to_owned()
}

fn table(page: &mut String, rows: &[Row]) {
    let mut line = |name: &str, cell: &dyn Fn(&Row) -> String| {
        let cells: Vec<_> = rows.iter().map(cell).collect();
        let _ = writeln!(page, "| {name} | {} |", cells.join(" | "));
    };
    line("", &|row| row.system.name().into());
    line("---", &|_| "--:".into());
    let calls: [Line<CallCounts>; 10] = [
        ("calls", |calls| calls.made),
        ("with a response", |calls| calls.responses),
        ("ran exactly once", |calls| calls.once),
        ("ran twice or more", |calls| calls.repeated),
        ("failed for the caller, but ran", |calls| calls.failed_and_ran),
        ("failed for the caller, and never ran", |calls| calls.failed_and_never_ran),
        ("with a response, but never ran", |calls| calls.succeeded_and_never_ran),
        ("without any result", |calls| calls.without_result),
        ("connections that were continued", |calls| calls.resumed),
        ("connections that were lost", |calls| calls.lost_connections),
    ];
    for (name, count) in calls {
        line(name, &|row| grouped(count(&row.calls)));
    }
    line("connections that were cut", &|row| grouped(row.call_cuts));
    line("time", &|row| seconds(row.calls.wall / 1000.));
    line("processor time, server", &|row| seconds(row.server_time.as_secs_f64()));
    line("processor time, clients", &|row| seconds(row.calls.cpu / 1000.));
    let pushes: [Line<PushCounts>; 6] = [
        ("pushes", |pushes| pushes.sent),
        ("lost", |pushes| pushes.lost),
        ("of these, reported to the client", |pushes| pushes.reported),
        ("received twice", |pushes| pushes.doubled),
        ("connections that were continued", |pushes| pushes.resumed),
        ("connections that were lost", |pushes| pushes.lost_connections),
    ];
    let as_before = || "as before".to_owned();
    for (name, count) in pushes {
        line(name, &|row| row.pushes.as_ref().map_or_else(as_before, |(pushes, _)| grouped(count(pushes))));
    }
    line("connections that were cut", &|row| row.pushes.as_ref().map_or_else(as_before, |(_, cuts)| grouped(*cuts)));
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.1} s")
}

/// Writes a number with spaces between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1 000", "1 234 567"]);
    }
}
