//! What became of the attackers: statuses, close codes, codes of failures, and when.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// How often something happened, and how long after the connection had begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    first: Duration,
    last: Duration,
}

/// What became of all connections of an attack. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcomes(Rc<RefCell<BTreeMap<String, Tally>>>);

impl Outcomes {
    /// Counts something that happened to a connection after this time.
    pub(crate) fn add(&self, what: &str, after: Duration) {
        let mut all = self.0.borrow_mut();
        if let Some(tally) = all.get_mut(what) {
            tally.count += 1;
            tally.first = tally.first.min(after);
            tally.last = tally.last.max(after);
        } else {
            all.insert(what.to_owned(), Tally { count: 1, first: after, last: after });
        }
    }

    pub(crate) fn into_report(self) -> OutcomeReport {
        OutcomeReport(self.0.borrow().clone())
    }
}

/// What became of all connections, at the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct OutcomeReport(BTreeMap<String, Tally>);

impl OutcomeReport {
    pub(crate) fn has(&self, what: &str) -> bool {
        self.0.keys().any(|name| name.starts_with(what))
    }

    /// What must never happen, whatever clients do: a handler that panics or fails for a reason of the server's own.
    pub(crate) fn forbidden(&self) -> Vec<String> {
        let forbidden = ["code panic", "code internal", "HTTP 500"];
        let found = self.0.iter().filter(|(name, _)| forbidden.iter().any(|one| name.starts_with(one)));
        found.map(|(name, tally)| format!("{} × {name}", tally.count)).collect()
    }

    /// The most frequent first.
    pub(crate) fn to_text(&self, most: usize) -> String {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.count));
        let more = all.len().saturating_sub(most);
        let mut parts: Vec<String> = all.into_iter().take(most).map(|(name, tally)| describe(name, tally)).collect();
        if more > 0 {
            parts.push(format!("{more} more kinds"));
        }
        if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") }
    }
}

fn describe(name: &str, tally: &Tally) -> String {
    let (first, last) = (tally.first.as_secs_f64(), tally.last.as_secs_f64());
    match last - first < 0.1 {
        true => format!("{name} ×{} ({last:.1} s)", tally.count),
        false => format!("{name} ×{} ({first:.1}–{last:.1} s)", tally.count),
    }
}

/// Returns the code in the start of a frame of aaw, if the frame reports a failure.
pub(crate) fn failure_code(sample: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(sample);
    if !text.contains(r#"{"error":"#) {
        return None;
    }
    let (_, rest) = text.rsplit_once(r#""code":""#)?;
    rest.split_once('"').map(|(code, _)| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found() {
        let failure = br#"["nope",{"error":"Unknown event: nope","code":"unknown_event"},1,"error"]"#;
        assert_eq!(failure_code(failure).as_deref(), Some("unknown_event"));
        assert_eq!(failure_code(br#"["ping",{"pong":true},1]"#), None);
    }

    #[test]
    fn a_panic_is_forbidden() {
        let outcomes = Outcomes::default();
        outcomes.add("code panic", Duration::from_secs(1));
        outcomes.add("closed 1009", Duration::from_secs(1));
        assert_eq!(outcomes.into_report().forbidden(), ["1 × code panic"]);
    }
}
