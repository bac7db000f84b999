//! The rows that are not held for a known reason. A row that is listed here does not fail the run, and is printed with its
//! reason.

use crate::sources::Sources;

/// Why a row is not held.
struct Explanation {
    attack: &'static str,
    /// From everywhere if there is none.
    sources: Option<Sources>,
    /// Which of the row's failures it explains: those whose text contains this.
    failure: &'static str,
    reason: &'static str,
}

const ARENAS: &str =
    "what is counted stays within the limit; the rest is free memory that glibc keeps in the arenas of its threads";

const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        attack: "open files",
        sources: Some(Sources::Proxy),
        failure: "newcomers",
        reason: "the connections of a proxy count before their clients are known, and the attackers open more of them than the server may",
    },
    Explanation {
        attack: "log-ins",
        sources: Some(Sources::Fifty),
        failure: "log-ins: the slowest",
        reason: "each of the fifty addresses is a client, and a log-in waits for one hash of each of them, about 20 ms",
    },
    Explanation { attack: "large fragments", sources: None, failure: "memory grew", reason: ARENAS },
    Explanation { attack: "pinned responses", sources: None, failure: "memory grew", reason: ARENAS },
    Explanation { attack: "request bodies", sources: None, failure: "memory grew", reason: ARENAS },
];

/// Returns the reason why a row has failed in this way, if it is known.
pub(crate) fn reason(attack: &str, sources: Sources, failure: &str) -> Option<&'static str> {
    let explained = EXPLANATIONS.iter().find(|one| {
        one.attack == attack && one.sources.is_none_or(|known| known == sources) && failure.contains(one.failure)
    });
    explained.map(|one| one.reason)
}
