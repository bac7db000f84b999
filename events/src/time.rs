//! Returns the current time of the server.

use aaw_event::prelude::*;
use jiff::Timestamp;

#[derive(Serialize)]
pub struct Time {
    /// The time in UTC as in RFC 3339, with milliseconds.
    now: String,
}

pub async fn handler() -> Time {
    Time { now: format!("{:.3}", Timestamp::now()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_has_milliseconds() {
        let at = |millisecond| format!("{:.3}", Timestamp::from_millisecond(millisecond).unwrap());
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(1_764_000_000_120), "2025-11-24T16:00:00.120Z");
    }
}
