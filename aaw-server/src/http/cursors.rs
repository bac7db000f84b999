//! The table of streams that are read by polling; the time is passed in.
//!
//! A cursor identifies a stream between two requests. Each response names a new one, so an old one is not valid any
//! more; a cursor expires when it is not used, and the number of streams is limited.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use aaw_protocol::clock;

/// The name of a parked stream: 128 random bits, so that a client cannot guess another client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Cursor(u128);

impl Cursor {
    /// A new cursor; `None` if the operating system's random number generator fails.
    pub(super) fn random() -> Option<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).ok()?;
        Some(Self(u128::from_le_bytes(bytes)))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_valid = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        is_valid.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Why a cursor gives no stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CursorError {
    /// No such cursor: it was never issued, has expired, was used before, or is of another event.
    Unknown,
    /// Another request is reading with it.
    InUse,
}

/// The table. `T` is a parked stream.
#[derive(Debug)]
pub(super) struct CursorTable<T> {
    slots: HashMap<Cursor, CursorSlot<T>>,
    /// When each parked stream expires, in order. Entries whose stream has been taken since are skipped.
    expiry: VecDeque<(Instant, Cursor)>,
    /// The number of streams: those parked and those in a request.
    open: usize,
}

#[derive(Debug)]
enum CursorSlot<T> {
    Parked { event: String, stream: T },
    InUse,
}

impl<T> Default for CursorTable<T> {
    fn default() -> Self {
        Self { slots: HashMap::new(), expiry: VecDeque::new(), open: 0 }
    }
}

impl<T> CursorTable<T> {
    /// Counts one more stream. Returns false if there are `max` already.
    pub(super) fn open(&mut self, max: usize) -> bool {
        let is_below = self.open < max;
        self.open += usize::from(is_below);
        is_below
    }

    /// Ends a stream that was in a request. `used` is the cursor of that request, if it was not the first.
    pub(super) fn close(&mut self, used: Option<Cursor>) {
        self.open = self.open.saturating_sub(1);
        self.remove(used);
    }

    /// Parks a stream under a new cursor, until `now + idle`. `used` is the cursor of the request that read it, if it
    /// was not the first.
    pub(super) fn park(
        &mut self,
        now: Instant,
        idle: Duration,
        cursor: Cursor,
        used: Option<Cursor>,
        event: &str,
        stream: T,
    ) {
        self.remove(used);
        self.slots.insert(cursor, CursorSlot::Parked { event: event.to_owned(), stream });
        self.expiry.push_back((clock::after(now, idle), cursor));
    }

    /// Takes the stream of this cursor, if it was parked for this event. The cursor is in use from then on, until
    /// [`park`](Self::park) or [`close`](Self::close).
    pub(super) fn take(&mut self, cursor: Cursor, requested: &str) -> Result<T, CursorError> {
        match self.slots.get_mut(&cursor) {
            Some(slot @ CursorSlot::Parked { .. }) => {
                if matches!(slot, CursorSlot::Parked { event, .. } if event != requested) {
                    return Err(CursorError::Unknown);
                }
                match std::mem::replace(slot, CursorSlot::InUse) {
                    CursorSlot::Parked { stream, .. } => Ok(stream),
                    CursorSlot::InUse => Err(CursorError::InUse),
                }
            }
            Some(CursorSlot::InUse) => Err(CursorError::InUse),
            None => Err(CursorError::Unknown),
        }
    }

    /// When the next parked stream expires.
    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        while let Some((due, cursor)) = self.expiry.front() {
            if matches!(self.slots.get(cursor), Some(CursorSlot::Parked { .. })) {
                return Some(*due);
            }
            self.expiry.pop_front();
        }
        None
    }

    /// Removes the streams that have expired. Drop them without a lock on this table: that drops handlers.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        while self.poll_timeout().is_some_and(|due| due <= now) {
            if let Some((_, cursor)) = self.expiry.pop_front()
                && let Some(CursorSlot::Parked { stream, .. }) = self.slots.remove(&cursor)
            {
                self.open = self.open.saturating_sub(1);
                expired.push(stream);
            }
        }
        expired
    }

    /// Removes the parked streams that fulfil a condition, as if they had expired.
    pub(super) fn remove_if(&mut self, mut condition: impl FnMut(&T) -> bool) -> Vec<T> {
        let removed =
            self.slots.extract_if(|_, slot| matches!(slot, CursorSlot::Parked { stream, .. } if condition(stream)));
        let removed: Vec<_> = removed
            .filter_map(|(_, slot)| match slot {
                CursorSlot::Parked { stream, .. } => Some(stream),
                CursorSlot::InUse => None,
            })
            .collect();
        self.open = self.open.saturating_sub(removed.len());
        removed
    }

    /// Removes all parked streams, as if they had expired.
    pub(super) fn clear(&mut self) -> Vec<T> {
        let cursors: Vec<_> = self.expiry.drain(..).map(|(_, cursor)| cursor).collect();
        let parked = cursors.into_iter().filter_map(|cursor| match self.slots.remove(&cursor)? {
            CursorSlot::Parked { stream, .. } => Some(stream),
            // Its request will close it.
            CursorSlot::InUse => {
                self.slots.insert(cursor, CursorSlot::InUse);
                None
            }
        });
        let parked: Vec<_> = parked.collect();
        self.open = self.open.saturating_sub(parked.len());
        parked
    }

    fn remove(&mut self, used: Option<Cursor>) {
        if let Some(used) = used {
            self.slots.remove(&used);
        }
        // Removes outdated entries behind the first parked stream, which would otherwise accumulate.
        if self.expiry.len() > 2 * self.slots.len() + 16 {
            let Self { expiry, slots, .. } = self;
            expiry.retain(|(_, cursor)| matches!(slots.get(cursor), Some(CursorSlot::Parked { .. })));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    /// A table with a clock that is moved by hand.
    struct TestTable {
        cursors: CursorTable<&'static str>,
        now: Instant,
    }

    impl TestTable {
        fn new() -> Self {
            Self { cursors: CursorTable::default(), now: Instant::now() }
        }

        fn park(&mut self, cursor: u128, used: Option<u128>, stream: &'static str) {
            let used = used.map(Cursor);
            if used.is_none() {
                assert!(self.cursors.open(2));
            }
            self.cursors.park(self.now, IDLE, Cursor(cursor), used, "count", stream);
        }

        fn take(&mut self, cursor: u128) -> Result<&'static str, CursorError> {
            self.cursors.take(Cursor(cursor), "count")
        }

        fn advance(&mut self, seconds: u64) -> Vec<&'static str> {
            self.now += Duration::from_secs(seconds);
            self.cursors.handle_timeout(self.now)
        }
    }

    #[test]
    fn a_cursor_is_valid_for_one_request() {
        let mut table = TestTable::new();
        table.park(1, None, "a");
        assert_eq!(table.take(1), Ok("a"));
        assert_eq!(table.take(1), Err(CursorError::InUse), "another request is reading with it");
        table.park(2, Some(1), "a");
        assert_eq!(table.take(1), Err(CursorError::Unknown), "it was used before");
        assert_eq!(table.take(2), Ok("a"));
        table.cursors.close(Some(Cursor(2)));
        assert_eq!(table.take(2), Err(CursorError::Unknown));
    }

    #[test]
    fn an_unknown_cursor_or_one_of_another_event_leaves_the_stream_parked() {
        let mut table = TestTable::new();
        table.park(1, None, "a");
        assert_eq!(table.take(7), Err(CursorError::Unknown));
        assert_eq!(table.cursors.take(Cursor(1), "other"), Err(CursorError::Unknown));
        assert_eq!(table.take(1), Ok("a"), "the stream is still parked");
    }

    #[test]
    fn an_unused_cursor_expires_and_each_use_restarts_its_time() {
        let mut table = TestTable::new();
        table.park(1, None, "a");
        table.advance(30);
        table.park(2, None, "b");
        assert_eq!(table.cursors.poll_timeout(), Some(table.now + IDLE / 2));
        table.take(1).unwrap();
        table.park(3, Some(1), "a");
        assert_eq!(table.advance(59), [] as [&str; 0]);
        assert_eq!(table.advance(1), ["b", "a"]);
        assert_eq!(table.take(3), Err(CursorError::Unknown));
        assert_eq!(table.cursors.poll_timeout(), None);
    }

    #[test]
    fn a_cursor_in_use_does_not_expire() {
        let mut table = TestTable::new();
        table.park(1, None, "a");
        table.take(1).unwrap();
        assert_eq!(table.cursors.poll_timeout(), None);
        assert_eq!(table.advance(1000), [] as [&str; 0]);
        table.park(2, Some(1), "a");
        assert_eq!(table.take(2), Ok("a"));
    }

    #[test]
    fn the_limit_counts_parked_streams_and_those_in_use() {
        let mut table = TestTable::new();
        table.park(1, None, "a");
        table.park(2, None, "b");
        assert!(!table.cursors.open(2));
        table.take(1).unwrap();
        assert!(!table.cursors.open(2), "a stream in use counts too");
        table.cursors.close(Some(Cursor(1)));
        assert!(table.cursors.open(2));
        table.cursors.close(None);
        table.advance(60);
        assert!(table.cursors.open(2) && table.cursors.open(2), "expired streams do not count");
    }

    #[test]
    fn clear_returns_all_parked_streams_and_keeps_those_in_use() {
        let mut table = TestTable::new();
        table.park(1, None, "a");
        table.park(2, None, "b");
        table.take(1).unwrap();
        assert_eq!(table.cursors.clear(), ["b"]);
        assert_eq!(table.take(1), Err(CursorError::InUse));
        table.cursors.close(Some(Cursor(1)));
        assert_eq!((table.cursors.open, table.cursors.slots.len()), (0, 0));
    }

    #[test]
    fn used_cursors_leave_nothing_behind() {
        let mut table = TestTable::new();
        table.park(0, None, "a");
        for n in 0..1000 {
            table.take(n).unwrap();
            table.park(n + 1, Some(n), "a");
        }
        assert_eq!(table.cursors.slots.len(), 1);
        assert!(table.cursors.expiry.len() < 32, "{}", table.cursors.expiry.len());
    }

    #[test]
    fn only_the_text_of_a_cursor_parses() {
        let (a, b) = (Cursor::random().unwrap(), Cursor::random().unwrap());
        assert_ne!(a, b);
        assert_eq!(Cursor::parse(&a.to_string()), Some(a));
        let upper = a.to_string().to_uppercase() + "A";
        for bad in ["", "1", &upper[1..], &format!("{a}0"), "+0000000000000000000000000000001"] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }
}
