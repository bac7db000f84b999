//! Resumption: what both sides of a connection say about it, and when each acknowledges what it has received.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::clock;
use crate::text::Shortened;

/// The close code with which a client announces that it will resume the connection.
pub const CLOSE_RESUMING: u16 = 4002;
/// The close code of a socket whose connection continues on another one.
pub const CLOSE_SUPERSEDED: u16 = 4001;

/// The number of messages after which a receiver acknowledges at once.
pub const MAX_UNACKNOWLEDGED_MESSAGES: u64 = 64;
/// The bytes of messages after which a receiver acknowledges at once.
pub const MAX_UNACKNOWLEDGED_BYTES: usize = 64 << 10;

/// The secret name of the state of a resumable connection: 128 random bits.
///
/// Any client that knows it can continue the connection, so its [`Debug`](fmt::Debug) output does not contain it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ResumptionKey([u8; 16]);

impl ResumptionKey {
    /// Makes a key of bytes from a secure random source.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let digits: &[u8; 32] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Debug for ResumptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumptionKey(…)")
    }
}

impl Serialize for ResumptionKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", u128::from_be_bytes(self.0)))
    }
}

impl<'de> Deserialize<'de> for ResumptionKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        // The text of the error must not contain what may be nearly a key.
        Self::parse(&text).ok_or_else(|| de::Error::custom("a key must be 32 digits, 0 to 9 and a to f"))
    }
}

/// What a client asks for in its hello.
#[derive(Clone, Serialize, Deserialize)]
#[serde(expecting = "an object with a key")]
pub struct ResumptionRequest {
    /// The key of the state.
    pub key: ResumptionKey,
    /// Whether the state of this key is to be continued.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resume: bool,
    /// The number of messages that the client has received from this state. Required to resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
    /// The number of this hello among those that resume the state, from 1. It tells one that arrives late from the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// The token of the connection's session, if the client has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Box<str>>,
    /// The key of the new state, if the state of `key` is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<ResumptionKey>,
}

impl fmt::Debug for ResumptionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resume, received, .. } = self;
        f.debug_struct("ResumptionRequest").field("resume", resume).field("received", received).finish_non_exhaustive()
    }
}

/// What a server agrees to in its welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumptionTerms {
    /// How long the server keeps the state after a socket has broken, in milliseconds.
    pub window: u64,
    /// The bytes of unacknowledged messages that the server keeps while it starts further calls.
    pub log: usize,
    /// The number of messages that the server has received, if the connection was resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
}

/// Counts the messages that are received, and decides when to acknowledge them.
///
/// An acknowledgement serves only to free memory, and to tell a client that its call is taken: so it waits for a write that
/// leaves in any case. A message that is answered at once needs none of its own.
#[derive(Debug, Default)]
pub(crate) struct ReceivedMessages {
    count: u64,
    acknowledged: u64,
    bytes: usize,
    /// When the first message was received that is not acknowledged.
    oldest: Option<Instant>,
}

impl ReceivedMessages {
    /// An acknowledgement leads a write if as many messages are unacknowledged.
    const LEADING_MESSAGES: u64 = MAX_UNACKNOWLEDGED_MESSAGES / 2;
    const LEADING_BYTES: usize = MAX_UNACKNOWLEDGED_BYTES / 4;
    /// Or if one of them is as old; then it does not wait for a write if it is urgent.
    const LEADING_AGE: Duration = Duration::from_secs(1);
    /// Otherwise an acknowledgement is sent on its own when a message is as old.
    const MAX_AGE: Duration = Duration::from_secs(10);
    /// From this number of bytes on an acknowledgement is urgent.
    const URGENT_BYTES: usize = 4 << 10;

    /// Counts a message of this length.
    pub(crate) fn receive(&mut self, now: Instant, bytes: usize) {
        self.receive_many(now, 1, bytes);
    }

    /// Counts a message that stands for several.
    pub(crate) fn receive_many(&mut self, now: Instant, messages: u64, bytes: usize) {
        self.count = self.count.saturating_add(messages);
        self.bytes += bytes;
        self.oldest.get_or_insert(now);
    }

    /// Returns when to acknowledge at the latest. It is `urgent` if the other side waits for it.
    pub(crate) fn due(&self, urgent: bool) -> Option<Instant> {
        let age = if self.is_urgent(urgent) { Self::LEADING_AGE } else { Self::MAX_AGE };
        self.oldest.map(|oldest| clock::after(oldest, age))
    }

    /// Returns when to acknowledge if that cannot wait for the next write.
    pub(crate) fn urgent_due(&self, urgent: bool) -> Option<Instant> {
        self.due(urgent).filter(|_| self.is_urgent(urgent))
    }

    fn is_urgent(&self, urgent: bool) -> bool {
        urgent || self.bytes >= Self::URGENT_BYTES
    }

    /// Returns the number to acknowledge now, if that is due, or if a write leaves in any case and takes it along.
    pub(crate) fn poll(&mut self, now: Instant, urgent: bool, is_writing: bool) -> Option<u64> {
        let unacknowledged = self.count - self.acknowledged;
        let leads = || {
            unacknowledged >= Self::LEADING_MESSAGES
                || self.bytes >= Self::LEADING_BYTES
                || self.oldest.is_some_and(|oldest| now.duration_since(oldest) >= Self::LEADING_AGE)
        };
        let is_due = unacknowledged >= MAX_UNACKNOWLEDGED_MESSAGES
            || self.bytes >= MAX_UNACKNOWLEDGED_BYTES
            || (is_writing && unacknowledged > 0 && leads())
            || self.due(urgent).is_some_and(|due| due <= now);
        is_due.then(|| self.acknowledge())
    }

    /// Returns the number of messages so far, which the other side is told.
    pub(crate) fn acknowledge(&mut self) -> u64 {
        (self.acknowledged, self.bytes, self.oldest) = (self.count, 0, None);
        self.count
    }
}

/// Parses the data of an acknowledgement.
pub(crate) fn parse_count(data: &str) -> Result<u64, String> {
    /// The largest integer that every JSON implementation represents exactly.
    const MAX: u64 = 1 << 53;
    data.parse()
        .ok()
        .filter(|count| *count <= MAX && (data.len() == 1 || !data.starts_with(['0', '+'])))
        .ok_or_else(|| format!("an acknowledgement must be an integer from 0 to {MAX}, found {}", Shortened(data)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_lower_case_digits_and_is_not_shown() {
        let text = "\"0f14e45fceea167a5a36dedd4bea2543\"";
        let key: ResumptionKey = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&key).unwrap(), text);
        assert_eq!(format!("{key:?}"), "ResumptionKey(…)");
        for bad in [
            "\"0F14e45fceea167a5a36dedd4bea2543\"",
            "\"0f14e45fceea167a5a36dedd4bea254\"",
            "\"0f14e45fceea167a5a36dedd4bea25433\"",
            "\"0f14e45fceea167a5a36dedd4bea254ü\"",
            "\"\"",
            "7",
        ] {
            let error = serde_json::from_str::<ResumptionKey>(bad).unwrap_err().to_string();
            assert!(!error.contains("0f14"), "{error}");
        }
    }

    #[test]
    fn acknowledgements_wait_for_a_write() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut received = ReceivedMessages::default();
        assert_eq!((received.poll(start, true, true), received.due(true)), (None, None));
        received.receive(start, 100);
        assert_eq!(received.poll(at(0), false, true), None, "the answer may be its own acknowledgement");
        assert_eq!(received.poll(at(999), true, true), None);
        assert_eq!(received.poll(at(1000), false, false), None);
        assert_eq!(received.poll(at(1000), false, true), Some(1));
        received.receive(at(1000), 100);
        assert_eq!((received.due(true), received.due(false)), (Some(at(2000)), Some(at(11_000))));
        assert_eq!(received.poll(at(2000), true, false), Some(2));
        received.receive(at(3000), 100);
        assert_eq!(received.poll(at(13_000), false, false), Some(3));
    }

    #[test]
    fn many_or_large_messages_are_acknowledged_at_once() {
        let now = Instant::now();
        let mut received = ReceivedMessages::default();
        for _ in 0..31 {
            received.receive(now, 10);
        }
        assert_eq!(received.poll(now, false, true), None);
        received.receive(now, 10);
        assert_eq!(received.poll(now, false, false), None);
        assert_eq!(received.poll(now, false, true), Some(32));
        for _ in 0..64 {
            assert_eq!(received.poll(now, false, false), None);
            received.receive(now, 10);
        }
        assert_eq!(received.poll(now, false, false), Some(96));
        received.receive(now, (16 << 10) - 1);
        assert_eq!(received.poll(now, false, true), None);
        received.receive(now, 1);
        assert_eq!(received.poll(now, false, true), Some(98));
        received.receive(now, 64 << 10);
        assert_eq!(received.poll(now, false, false), Some(99));
    }

    #[test]
    fn a_count_is_an_integer() {
        assert_eq!(parse_count("0"), Ok(0));
        assert_eq!(parse_count("9007199254740992"), Ok(1 << 53));
        for bad in
            ["9007199254740993", "-1", "1.0", "1e3", "\"1\"", "null", "{}", "", "18446744073709551616", "01", "+1"]
        {
            assert!(parse_count(bad).is_err(), "{bad}");
        }
    }
}
