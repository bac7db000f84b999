//! Returns the current time of the server.

use std::time::SystemTime;

use aaw_event::prelude::*;
use humantime::format_rfc3339_millis;

#[derive(Serialize, JsonSchema)]
pub struct Time {
    /// The time in UTC as in RFC 3339, with milliseconds.
    now: String,
}

pub async fn handler() -> Time {
    Time { now: format_rfc3339_millis(SystemTime::now()).to_string() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_time_has_milliseconds() {
        let at = |ms| format_rfc3339_millis(SystemTime::UNIX_EPOCH + Duration::from_millis(ms)).to_string();
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(1_764_000_000_120), "2025-11-24T16:00:00.120Z");
    }
}
