//! The calls of the clients, and what has become of them.

use std::error::Error;
use std::time::Duration;

use aaw_tests::random::Random;
use aaw_tests::resumption::CallLabel;
use serde::{Deserialize, Serialize};

/// Why the program cannot go on.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// What all clients are told.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    /// That of the proxy.
    pub(crate) url: String,
    pub(crate) seed: u64,
    /// Of a call.
    pub(crate) timeout: Duration,
    /// Calls in flight, of a client.
    pub(crate) in_flight: u32,
    /// After which no further calls are made.
    pub(crate) time: Duration,
    /// Whether some handlers take longer than a call's default timeout.
    pub(crate) has_default_timeouts: bool,
}

/// The ids of a client's calls begin here. JavaScript's numbers are exact up to 2^53, so there may be 2^21 clients.
pub(crate) fn first_id(client: u32) -> u64 {
    u64::from(client) << 32
}

/// The body of a call of `counter/add`. `callBody` of `clients.mjs` makes similar ones.
#[derive(Debug, Serialize)]
pub(crate) struct CallBody {
    id: u64,
    by: i64,
    delay_ms: u64,
    padding: String,
    returned_bytes: u64,
}

impl CallBody {
    /// Most calls are small and return at once.
    pub(crate) fn new(plan: &Clients, id: u64) -> Self {
        let mut random = Random::of_part(plan.seed, id);
        let delay_ms = match random.below(100) {
            0 if plan.has_default_timeouts => random.below(6000),
            0 => random.below(300),
            1..=9 => random.below(20),
            _ => 0,
        };
        let mut size = || if random.percent(2) { random.below(10_000) } else { random.below(100) };
        let (padding, returned_bytes) = ("x".repeat(size() as usize), size());
        Self { id, by: 1, delay_ms, padding, returned_bytes }
    }
}

/// The response of `counter/add`.
#[derive(Debug, Deserialize)]
pub(crate) struct Added {
    pub(crate) id: u64,
}

/// What has become of the calls of some clients.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Report {
    /// Calls that were made.
    pub(crate) made: u64,
    /// Calls that have a response.
    pub(crate) responses: u64,
    /// The others.
    pub(crate) failed: Vec<FailedCall>,
}

/// A call without a response.
#[derive(Debug, Deserialize)]
pub(crate) struct FailedCall {
    pub(crate) id: u64,
    pub(crate) label: Label,
    /// The client's error.
    pub(crate) error: String,
}

/// What the client knows about a call without a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Label {
    NotSent,
    Sent,
    Taken,
    Unknown,
    /// The server has refused it, or the response is not that of the call.
    Failed,
}

impl Label {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not sent",
            Self::Sent => "sent",
            Self::Taken => "taken",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
        }
    }
}

impl From<Option<CallLabel>> for Label {
    fn from(label: Option<CallLabel>) -> Self {
        match label {
            Some(CallLabel::NotSent) => Self::NotSent,
            Some(CallLabel::Sent) => Self::Sent,
            Some(CallLabel::Taken) => Self::Taken,
            Some(CallLabel::Unknown) => Self::Unknown,
            None => Self::Failed,
        }
    }
}

impl Report {
    pub(crate) fn add(&mut self, other: Self) {
        self.made += other.made;
        self.responses += other.responses;
        self.failed.extend(other.failed);
    }
}
