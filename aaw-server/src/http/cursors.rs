//! Which streams are read by polling: a table of cursors, with the time handed in.
//!
//! A cursor stands for a stream that waits between two requests. It is named anew in each answer, so an old one finds
//! nothing; it lasts a while, and there are only so many.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use aaw_protocol::clock;

/// The name of a stream that waits: 128 random bits, so that nobody comes to another's by guessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Cursor(u128);

impl Cursor {
    /// A new one. Nothing if the system has no randomness to give.
    pub(super) fn random() -> Option<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).ok()?;
        Some(Self(u128::from_le_bytes(bytes)))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_one = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        is_one.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Why a cursor gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotThere {
    /// There is none of this name: made up, expired, used before, or of another event.
    Unknown,
    /// Another request reads with it right now.
    InUse,
}

/// The table. `T` is what waits.
#[derive(Debug)]
pub(super) struct Cursors<T> {
    places: HashMap<Cursor, Place<T>>,
    /// Those that wait, the one that expires first in front. One that was taken since is skipped.
    due: VecDeque<(Instant, Cursor)>,
    /// Streams that are read by polling: those that wait and those in a request.
    open: usize,
}

#[derive(Debug)]
enum Place<T> {
    Waits { event: String, stream: T },
    InUse,
}

impl<T> Default for Cursors<T> {
    fn default() -> Self {
        Self { places: HashMap::new(), due: VecDeque::new(), open: 0 }
    }
}

impl<T> Cursors<T> {
    /// One more stream is read by polling, unless there are `most` already.
    pub(super) fn open(&mut self, most: usize) -> bool {
        let is_room = self.open < most;
        self.open += usize::from(is_room);
        is_room
    }

    /// A stream that was in a request is over. It came with `used`, unless it was the first.
    pub(super) fn close(&mut self, used: Option<Cursor>) {
        self.open = self.open.saturating_sub(1);
        self.forget(used);
    }

    /// Lets a stream wait until `now + idle`. It came with `used`, unless it was the first. True if a stream waits that
    /// did not before: somebody has to look at the time.
    pub(super) fn park(
        &mut self,
        now: Instant,
        idle: Duration,
        cursor: Cursor,
        used: Option<Cursor>,
        event: &str,
        stream: T,
    ) {
        self.forget(used);
        self.places.insert(cursor, Place::Waits { event: event.to_owned(), stream });
        self.due.push_back((clock::after(now, idle), cursor));
    }

    /// Takes the stream of this cursor, if it is of this event. From here on the cursor is in use, until
    /// [`park`](Self::park) or [`close`](Self::close).
    pub(super) fn take(&mut self, cursor: Cursor, of: &str) -> Result<T, NotThere> {
        match self.places.get_mut(&cursor) {
            Some(place @ Place::Waits { .. }) => {
                if matches!(place, Place::Waits { event, .. } if event != of) {
                    return Err(NotThere::Unknown);
                }
                match std::mem::replace(place, Place::InUse) {
                    Place::Waits { stream, .. } => Ok(stream),
                    Place::InUse => Err(NotThere::InUse),
                }
            }
            Some(Place::InUse) => Err(NotThere::InUse),
            None => Err(NotThere::Unknown),
        }
    }

    /// When the next one expires.
    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        while let Some((due, cursor)) = self.due.front() {
            if matches!(self.places.get(cursor), Some(Place::Waits { .. })) {
                return Some(*due);
            }
            self.due.pop_front();
        }
        None
    }

    /// What has expired. To be dropped where nobody waits for this table.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        while self.poll_timeout().is_some_and(|due| due <= now) {
            if let Some((_, cursor)) = self.due.pop_front()
                && let Some(Place::Waits { stream, .. }) = self.places.remove(&cursor)
            {
                self.open = self.open.saturating_sub(1);
                expired.push(stream);
            }
        }
        expired
    }

    /// All that wait, as if they had expired.
    pub(super) fn clear(&mut self) -> Vec<T> {
        let cursors: Vec<_> = self.due.drain(..).map(|(_, cursor)| cursor).collect();
        let waiting = cursors.into_iter().filter_map(|cursor| match self.places.remove(&cursor)? {
            Place::Waits { stream, .. } => Some(stream),
            // In a request: that one forgets it.
            Place::InUse => {
                self.places.insert(cursor, Place::InUse);
                None
            }
        });
        let waiting: Vec<_> = waiting.collect();
        self.open = self.open.saturating_sub(waiting.len());
        waiting
    }

    fn forget(&mut self, used: Option<Cursor>) {
        if let Some(used) = used {
            self.places.remove(&used);
        }
        // Those that were taken lie behind the first that waits; they must not pile up.
        if self.due.len() > 2 * self.places.len() + 16 {
            let Self { due, places, .. } = self;
            due.retain(|(_, cursor)| matches!(places.get(cursor), Some(Place::Waits { .. })));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    struct Table {
        cursors: Cursors<&'static str>,
        now: Instant,
    }

    impl Table {
        fn new() -> Self {
            Self { cursors: Cursors::default(), now: Instant::now() }
        }

        fn park(&mut self, cursor: u128, used: Option<u128>, stream: &'static str) {
            let used = used.map(Cursor);
            if used.is_none() {
                assert!(self.cursors.open(2));
            }
            self.cursors.park(self.now, IDLE, Cursor(cursor), used, "count", stream);
        }

        fn take(&mut self, cursor: u128) -> Result<&'static str, NotThere> {
            self.cursors.take(Cursor(cursor), "count")
        }

        fn passes(&mut self, seconds: u64) -> Vec<&'static str> {
            self.now += Duration::from_secs(seconds);
            self.cursors.handle_timeout(self.now)
        }
    }

    #[test]
    fn a_cursor_is_good_once() {
        let mut table = Table::new();
        table.park(1, None, "a");
        assert_eq!(table.take(1), Ok("a"));
        assert_eq!(table.take(1), Err(NotThere::InUse), "another request reads with it");
        table.park(2, Some(1), "a");
        assert_eq!(table.take(1), Err(NotThere::Unknown), "it was used before");
        assert_eq!(table.take(2), Ok("a"));
        table.cursors.close(Some(Cursor(2)));
        assert_eq!(table.take(2), Err(NotThere::Unknown));
    }

    #[test]
    fn one_that_is_made_up_or_of_another_event_finds_nothing_and_takes_nothing() {
        let mut table = Table::new();
        table.park(1, None, "a");
        assert_eq!(table.take(7), Err(NotThere::Unknown));
        assert_eq!(table.cursors.take(Cursor(1), "other"), Err(NotThere::Unknown));
        assert_eq!(table.take(1), Ok("a"), "it is still there");
    }

    #[test]
    fn unused_it_expires_and_each_use_gives_it_its_whole_time_again() {
        let mut table = Table::new();
        table.park(1, None, "a");
        table.passes(30);
        table.park(2, None, "b");
        assert_eq!(table.cursors.poll_timeout(), Some(table.now + IDLE / 2));
        table.take(1).unwrap();
        table.park(3, Some(1), "a");
        assert_eq!(table.passes(59), [] as [&str; 0]);
        assert_eq!(table.passes(1), ["b", "a"]);
        assert_eq!(table.take(3), Err(NotThere::Unknown));
        assert_eq!(table.cursors.poll_timeout(), None);
    }

    #[test]
    fn one_in_use_does_not_expire() {
        let mut table = Table::new();
        table.park(1, None, "a");
        table.take(1).unwrap();
        assert_eq!(table.cursors.poll_timeout(), None);
        assert_eq!(table.passes(1000), [] as [&str; 0]);
        table.park(2, Some(1), "a");
        assert_eq!(table.take(2), Ok("a"));
    }

    #[test]
    fn there_are_only_so_many_be_they_waiting_or_in_use() {
        let mut table = Table::new();
        table.park(1, None, "a");
        table.park(2, None, "b");
        assert!(!table.cursors.open(2));
        table.take(1).unwrap();
        assert!(!table.cursors.open(2), "in use it counts as well");
        table.cursors.close(Some(Cursor(1)));
        assert!(table.cursors.open(2));
        table.cursors.close(None);
        table.passes(60);
        assert!(table.cursors.open(2) && table.cursors.open(2), "an expired one counts no more");
    }

    #[test]
    fn at_the_end_of_the_server_all_that_wait_are_given_back() {
        let mut table = Table::new();
        table.park(1, None, "a");
        table.park(2, None, "b");
        table.take(1).unwrap();
        assert_eq!(table.cursors.clear(), ["b"]);
        assert_eq!(table.take(1), Err(NotThere::InUse));
        table.cursors.close(Some(Cursor(1)));
        assert_eq!((table.cursors.open, table.cursors.places.len()), (0, 0));
    }

    #[test]
    fn what_was_used_leaves_nothing_behind() {
        let mut table = Table::new();
        table.park(0, None, "a");
        for n in 0..1000 {
            table.take(n).unwrap();
            table.park(n + 1, Some(n), "a");
        }
        assert_eq!(table.cursors.places.len(), 1);
        assert!(table.cursors.due.len() < 32, "{}", table.cursors.due.len());
    }

    #[test]
    fn a_cursor_reads_back_as_itself_and_nothing_else_does() {
        let (a, b) = (Cursor::random().unwrap(), Cursor::random().unwrap());
        assert_ne!(a, b);
        assert_eq!(Cursor::parse(&a.to_string()), Some(a));
        let upper = a.to_string().to_uppercase() + "A";
        for bad in ["", "1", &upper[1..], &format!("{a}0"), "+0000000000000000000000000000001"] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }
}
