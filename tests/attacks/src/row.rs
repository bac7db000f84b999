//! One row of the table: what was measured, and whether it is held.

use std::fmt;
use std::time::Duration;

use crate::budget::Budget;
use crate::bystanders::BystanderReport;
use crate::explained;
use crate::field::AttackReport;
use crate::probe::Latency;
use crate::sources::Sources;

/// What other programs may use without the run being called busy, in processors.
const BUSY: f64 = 0.2;

/// Memory is back within this much of what it was, or within 8 MiB where that is more: so much free memory `aaw-server` keeps
/// by design (`MIN_KEPT` of its `heap_trim`), and a server that has just started has kept none.
const BACK_WITHIN: f64 = 1.2;
const KEPT_BYTES: u64 = 8 << 20;

/// How many lines an attack may add to the log, besides some in a second.
const LOG_LINES: u64 = 50;
const LOG_LINES_A_SECOND: f64 = 10.0;

/// The memory of the server, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) before: u64,
    pub(crate) peak: u64,
    pub(crate) after: u64,
    /// How long after the attack it was back; `None` if it was not.
    pub(crate) back_after: Option<Duration>,
}

impl Memory {
    /// The most that counts as being back.
    pub(crate) fn limit_of_rest(before: u64) -> u64 {
        ((before as f64 * BACK_WITHIN) as u64).max(before + KEPT_BYTES)
    }
}

/// What else happened on the machine during the attack.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Surroundings {
    /// What the server used, in processors.
    pub(crate) server: f64,
    /// What programs used that are neither the server nor the suite.
    pub(crate) others: f64,
    /// What other virtual machines used.
    pub(crate) stolen: f64,
}

impl Surroundings {
    pub(crate) fn is_busy(&self) -> bool {
        self.others > BUSY || self.stolen > BUSY
    }
}

/// The latencies of one well-behaved client.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) quiet: Latency,
    pub(crate) during: Latency,
    pub(crate) after: Latency,
    pub(crate) ended: Option<String>,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) attack: &'static str,
    pub(crate) sources: Sources,
    pub(crate) budget: Option<Budget>,
    pub(crate) memory: Memory,
    /// At an address that no attacker has.
    pub(crate) client: Option<Client>,
    /// At an address of an attacker.
    pub(crate) neighbour: Option<Client>,
    /// Of a server that is not attacked.
    pub(crate) twin: Option<Client>,
    pub(crate) report: AttackReport,
    pub(crate) bystanders: Vec<BystanderReport>,
    pub(crate) surroundings: Surroundings,
    pub(crate) log_lines: u64,
    /// What else is to be told.
    pub(crate) notes: Vec<String>,
    pub(crate) failures: Vec<Failure>,
}

/// Why a row is not held.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something that no other program can cause.
    Fact,
    /// The p99 of `ping`, which a busy machine raises.
    Latency,
    /// A bystander took long, which a busy machine may cause as well.
    Slowness,
}

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: Kind::Fact }
    }

    fn latency(text: String) -> Self {
        Self { text, kind: Kind::Latency }
    }

    fn is_known(&self, row: &Row) -> Option<&'static str> {
        explained::reason(row.attack, row.sources, &self.text)
    }
}

/// What a row is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) latency_slack: Duration,
    pub(crate) slowest_bystander: Duration,
    pub(crate) spares_neighbours: bool,
    /// Some of these must be among the outcomes.
    pub(crate) leads_to: &'static [&'static str],
}

/// Whether a row is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Held,
    /// With the reasons.
    Explained(Vec<&'static str>),
    NotHeld,
    /// Only a latency was too high, on a busy machine, and that of a server that is not attacked as well.
    Unclear,
}

impl Row {
    /// Adds the failures that the measured values show.
    pub(crate) fn judge(&mut self, limits: Limits) {
        let mut failures = std::mem::take(&mut self.failures);
        self.judge_memory(&mut failures);
        self.judge_clients(limits, &mut failures);
        let complaints = self.bystanders.iter().filter_map(|one| {
            let kind = if one.failures.is_empty() { Kind::Slowness } else { Kind::Fact };
            one.complaint(limits.slowest_bystander).map(|text| Failure { text, kind })
        });
        failures.extend(complaints);
        failures.extend(self.report.outcomes.forbidden().into_iter().map(Failure::new));
        if !limits.leads_to.is_empty() && !limits.leads_to.iter().any(|what| self.report.outcomes.has(what)) {
            failures.push(Failure::new(format!("the attackers met none of: {}", limits.leads_to.join(", "))));
        }
        let lines = LOG_LINES + (self.report.time.as_secs_f64() * LOG_LINES_A_SECOND) as u64;
        if self.log_lines > lines {
            failures.push(Failure::new(format!("{} lines in the log, more than {lines}", self.log_lines)));
        }
        self.failures = failures;
    }

    fn judge_memory(&self, failures: &mut Vec<Failure>) {
        let Some(budget) = &self.budget else { return };
        let Memory { before, peak, after, back_after } = self.memory;
        let grown = peak.saturating_sub(before);
        if grown > budget.bytes {
            let (grown, most) = (in_mib(grown), in_mib(budget.bytes));
            failures
                .push(Failure::new(format!("memory grew by {grown} MiB, budget {most} MiB ({})", budget.derivation)));
        }
        if back_after.is_none() {
            let (after, before) = (in_mib(after), in_mib(before));
            failures.push(Failure::new(format!("memory not back: {after} MiB after 10 s, {before} before")));
        }
    }

    fn judge_clients(&self, limits: Limits, failures: &mut Vec<Failure>) {
        if let Some(client) = &self.client {
            let most = client.quiet.p99 * 2 + limits.latency_slack;
            if client.during.lost > 0 || client.ended.is_some() {
                let ended = client.ended.as_deref().unwrap_or("its connection stayed open");
                let lost = client.during.lost;
                failures
                    .push(Failure::new(format!("the well-behaved client: {lost} calls without a response, {ended}")));
            } else if client.during.p99 > most {
                let (p99, most) = (in_ms(client.during.p99), in_ms(most));
                failures.push(Failure::latency(format!("ping p99 {p99} ms, more than {most} ms")));
            }
        }
        if let Some(neighbour) = self.neighbour.as_ref().filter(|_| limits.spares_neighbours)
            && (neighbour.during.lost > 0 || neighbour.ended.is_some())
        {
            let ended = neighbour.ended.as_deref().unwrap_or("its connection stayed open");
            let lost = neighbour.during.lost;
            let text = format!("the neighbour at the attackers' address: {lost} calls without a response, {ended}");
            failures.push(Failure::new(text));
        }
    }

    /// Whether the machine alone may be why the row is not held.
    pub(crate) fn may_be_the_machine(&self) -> bool {
        self.surroundings.is_busy()
            && !self.failures.is_empty()
            && self.failures.iter().all(|failure| failure.kind != Kind::Fact)
    }

    /// Whether a server that is not attacked was hardly faster.
    fn is_the_machine(&self) -> bool {
        let during = |client: &Option<Client>| client.as_ref().map(|client| client.during.p99);
        self.may_be_the_machine()
            && self.failures.iter().all(|failure| failure.kind == Kind::Latency)
            && during(&self.twin).zip(during(&self.client)).is_some_and(|(twin, own)| twin * 2 >= own)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let reasons: Vec<_> = self.failures.iter().map(|failure| failure.is_known(self)).collect();
        if reasons.is_empty() {
            return Verdict::Held;
        }
        match reasons.into_iter().collect::<Option<Vec<_>>>() {
            Some(reasons) => Verdict::Explained(reasons),
            None if self.is_the_machine() => Verdict::Unclear,
            None => Verdict::NotHeld,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "held",
            Self::Explained(_) => "explained",
            Self::NotHeld => "not held",
            Self::Unclear => "unclear: the machine was busy",
        })
    }
}

/// A number of bytes in MiB, without the unit.
pub(crate) fn in_mib(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 20.0 { format!("{mib:.1}") } else { format!("{mib:.0}") }
}

/// A time in milliseconds, without the unit; a dash for what never ended.
pub(crate) fn in_ms(time: Duration) -> String {
    if time == Duration::MAX {
        return "–".to_owned();
    }
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn row(p99: Duration, grown: u64) -> Row {
        let latency = |p99| Latency { p50: MS, p99, calls: 100, lost: 0 };
        Row {
            attack: "test",
            sources: Sources::One,
            budget: Some(Budget { bytes: 10 << 20, derivation: String::new() }),
            memory: Memory { before: 1 << 20, peak: (1 << 20) + grown, after: 1 << 20, back_after: Some(MS) },
            client: Some(Client { quiet: latency(MS), during: latency(p99), after: latency(MS), ended: None }),
            neighbour: None,
            twin: None,
            report: AttackReport::default(),
            bystanders: Vec::new(),
            surroundings: Surroundings::default(),
            log_lines: 0,
            notes: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn judged(mut row: Row) -> (Verdict, bool) {
        row.judge(Limits { latency_slack: 5 * MS, slowest_bystander: MS, spares_neighbours: true, leads_to: &[] });
        (row.verdict(), row.may_be_the_machine())
    }

    #[test]
    fn a_latency_on_a_busy_machine_is_unclear_if_a_server_that_is_not_attacked_has_it_too() {
        let mut busy = row(20 * MS, 0);
        busy.surroundings.others = 1.0;
        let mut unclear = row(20 * MS, 0);
        unclear.surroundings.others = 1.0;
        unclear.twin = row(15 * MS, 0).client;
        assert_eq!(judged(busy), (Verdict::NotHeld, true));
        assert_eq!(judged(unclear), (Verdict::Unclear, true));
    }

    #[test]
    fn a_row_is_held_up_to_its_limits() {
        assert_eq!(judged(row(7 * MS, 10 << 20)), (Verdict::Held, false));
        assert_eq!(judged(row(8 * MS, 10 << 20)), (Verdict::NotHeld, false));
        assert_eq!(judged(row(7 * MS, 11 << 20)), (Verdict::NotHeld, false));
        let mut not_back = row(MS, 0);
        not_back.memory.back_after = None;
        assert_eq!(judged(not_back), (Verdict::NotHeld, false));
        let mut noisy = row(MS, 0);
        noisy.log_lines = 1000;
        assert_eq!(judged(noisy), (Verdict::NotHeld, false));
    }
}
