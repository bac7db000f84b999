//! How long a connection may exceed the sustained limit of the pushes that wait for it.

use std::time::{Duration, Instant};

use aaw_protocol::clock;

/// A connection that exceeds the limit. Its time begins again whenever it has caught up by the limit, so that a client that reads
/// steadily can read a burst, which may be many times the limit. The burst limit bounds what waits meanwhile.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PushBacklog {
    since: Instant,
    /// The most bytes that have waited since.
    highest: usize,
}

impl PushBacklog {
    /// Notes that so many bytes wait now.
    pub(super) fn note(backlog: &mut Option<Box<Self>>, now: Instant, waiting: usize, limit: usize) {
        if waiting <= limit {
            *backlog = None;
            return;
        }
        match backlog {
            Some(backlog) if waiting.saturating_add(limit) > backlog.highest => {
                backlog.highest = backlog.highest.max(waiting);
            }
            Some(backlog) => **backlog = Self { since: now, highest: waiting },
            None => *backlog = Some(Box::new(Self { since: now, highest: waiting })),
        }
    }

    /// When the connection is to be closed.
    pub(super) fn due(&self, timeout: Duration) -> Instant {
        clock::after(self.since, timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_begins_again_when_the_connection_has_caught_up_by_the_limit() {
        let (start, mut backlog) = (Instant::now(), None);
        let mut due = |seconds, waiting| {
            PushBacklog::note(&mut backlog, start + Duration::from_secs(seconds), waiting, 10);
            backlog.as_ref().map(|backlog| (backlog.due(Duration::from_secs(5)) - start).as_secs())
        };
        assert_eq!(due(0, 10), None);
        assert_eq!(due(1, 50), Some(6));
        assert_eq!(due(2, 60), Some(6), "more waits");
        assert_eq!(due(3, 51), Some(6));
        assert_eq!(due(4, 50), Some(9));
        assert_eq!(due(5, 41), Some(9));
        assert_eq!(due(6, 9), None);
    }
}
