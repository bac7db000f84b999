//! Prints rows: each as it is measured, and all of them as a table, as text or Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use crate::probe::Latency;
use crate::row::{Client, Row, Verdict, in_mib, in_ms};

/// How many kinds of outcomes are named in a table.
const OUTCOMES: usize = 4;

/// Describes one row in some lines.
pub(crate) fn describe(row: &Row) -> String {
    let mut out = format!("{} ({}): {}\n", row.attack, row.sources.name(), row.verdict());
    if let Some(budget) = &row.budget {
        let memory = &row.memory;
        let back =
            memory.back_after.map_or_else(|| "not back".to_owned(), |time| format!("back after {}", seconds(time)));
        let _ = writeln!(
            out,
            "  memory: {} MiB before, {} at most, {} after ({back}); may grow by {} = {}",
            in_mib(memory.before),
            in_mib(memory.peak),
            in_mib(memory.after),
            in_mib(budget.bytes),
            budget.derivation
        );
    }
    let clients = [
        ("a client at another address", &row.client),
        ("one at an attacker's address", &row.neighbour),
        ("one of a server that is not attacked", &row.twin),
    ];
    for (who, client) in clients {
        if let Some(client) = client {
            let _ = write!(
                out,
                "  {who}: ping p50/p99 {} ms quiet, {} during, {} after; {} of {} lost",
                both(&client.quiet),
                both(&client.during),
                both(&client.after),
                client.during.lost,
                client.during.calls
            );
            let _ = writeln!(out, "{}", client.ended.as_ref().map_or(String::new(), |end| format!("; {end}")));
        }
    }
    for bystander in &row.bystanders {
        let _ = writeln!(out, "  {}", bystander.to_text());
    }
    if row.budget.is_some() {
        let _ = writeln!(out, "  attackers: {}; {}", speed(row), row.report.outcomes.to_text(8));
        let around = &row.surroundings;
        let _ = writeln!(
            out,
            "  processors: {:.2} the server, {:.2} the attackers, {:.2} other programs, {:.2} stolen{}; {} lines logged",
            around.server,
            row.report.cpu.as_secs_f64() / row.report.time.as_secs_f64().max(0.001),
            around.others,
            around.stolen,
            if around.is_busy() { ": a busy machine, latencies mean little" } else { "" },
            row.log_lines
        );
    }
    for note in &row.notes {
        let _ = writeln!(out, "  {note}");
    }
    for failure in &row.failures {
        let reason = crate::explained::reason(row.attack, row.sources, &failure.text);
        let reason = reason.map_or_else(String::new, |reason| format!(" — explained: {reason}"));
        let _ = writeln!(out, "  not held: {}{reason}", failure.text);
    }
    out
}

/// The columns of a table.
const HEAD: [&str; 10] = [
    "attack",
    "from",
    "memory, MiB",
    "budget",
    "ping p50/p99 before, ms",
    "during",
    "after",
    "same address, during",
    "what became of the attackers",
    "held",
];

/// Returns the table as Markdown, and the reasons of the rows that are not held.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut out = format!("| {} |\n|{}\n", HEAD.join(" | "), "---|".repeat(HEAD.len()));
    for row in rows {
        let _ = writeln!(out, "| {} |", cells(row).join(" | "));
    }
    let not_held: Vec<_> = rows.iter().filter(|row| row.verdict() != Verdict::Held).collect();
    if !not_held.is_empty() {
        out.push('\n');
    }
    for row in not_held {
        for failure in &row.failures {
            let reason = crate::explained::reason(row.attack, row.sources, &failure.text);
            let reason = reason.map_or_else(String::new, |reason| format!(" Explained: {reason}."));
            let _ = writeln!(out, "- *{}*, {}: {}.{reason}", row.attack, row.sources.name(), failure.text);
        }
    }
    out
}

/// Returns the table as text with aligned columns.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut table: Vec<Vec<String>> = vec![HEAD.map(str::to_owned).to_vec()];
    table.extend(rows.iter().map(cells));
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| table.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    let mut out = String::new();
    for row in &table {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
    out
}

fn cells(row: &Row) -> Vec<String> {
    let (memory, budget) = match &row.budget {
        Some(budget) => {
            let memory = &row.memory;
            let parts = [memory.before, memory.peak, memory.after].map(in_mib);
            (parts.join(" → "), in_mib(budget.bytes))
        }
        None => ("–".to_owned(), "–".to_owned()),
    };
    let neighbour = match &row.neighbour {
        Some(Client { ended: Some(end), .. }) => end.clone(),
        Some(Client { during, .. }) if during.lost > 0 => format!("{} of {} lost", during.lost, during.calls),
        Some(client) => both(&client.during),
        None => "–".to_owned(),
    };
    let [quiet, during, after] = match &row.client {
        Some(client) => [both(&client.quiet), both(&client.during), both(&client.after)],
        None => ["–"; 3].map(str::to_owned),
    };
    let mut attackers = if row.notes.is_empty() { row.report.outcomes.to_text(OUTCOMES) } else { row.notes.join("; ") };
    for bystander in &row.bystanders {
        attackers.push_str(&format!(" — {}", bystander.to_text()));
    }
    let verdict = row.verdict().to_string();
    let from = row.sources.name().to_owned();
    vec![row.attack.to_owned(), from, memory, budget, quiet, during, after, neighbour, attackers, verdict]
}

fn both(latency: &Latency) -> String {
    format!("{}/{}", in_ms(latency.p50), in_ms(latency.p99))
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// What the attackers have sent in a second.
fn speed(row: &Row) -> String {
    let seconds = row.report.time.as_secs_f64().max(0.001);
    let megabytes = row.report.bytes as f64 / seconds / 1e6;
    format!("{megabytes:.1} MB/s, {:.0} connections/s for {seconds:.1} s", row.report.connections as f64 / seconds)
}
