//! The table of streams that are read by polling; the time is passed in.
//!
//! A cursor identifies a stream between two requests. Each response names a new one, so an old one is not valid any
//! more; a cursor expires when it is not used, and the number of streams is limited.
//!
//! A peer is an address, as the limits count it, and a client is a peer or a whole IPv6 site. Each has a limit. While the table is
//! full, a client that has a smaller share than another can still begin a stream: the client with the most streams loses the one
//! that has not been used for the longest time. Streams that no request is reading go first. Shares are not those of peers, since a
//! site has 65 536 networks, and one stream in each would displace those of all other clients.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aaw_protocol::clock;
use tokio::sync::Notify;

use crate::client_network::{ClientNetwork, site_limit};

/// The peer that has begun a stream; `None` if its address is unknown, which all such peers share.
pub(super) type Peer = Option<ClientNetwork>;

/// A peer whose address is not one of IPv6, or all peers of an IPv6 site.
type Client = Option<ClientNetwork>;

fn client(peer: Peer) -> Client {
    peer.map(ClientNetwork::client)
}

/// How many cursors of evicted streams are remembered, for a clear error.
const MAX_REMEMBERED: usize = 1024;

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
    /// Its stream was ended in favour of another client's.
    Evicted,
}

/// How many streams there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct CursorLimits {
    pub(super) total: usize,
    /// Of one peer whose address is known.
    pub(super) peer: usize,
}

impl CursorLimits {
    /// Of one IPv6 site.
    pub(super) fn site(self) -> usize {
        site_limit(self.peer, self.total)
    }
}

/// Why a stream may not begin. `retry_after` is the time until the next stream expires that has to end before, if one is
/// going to expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenError {
    /// The table is full, and no client has a larger share.
    Full { retry_after: Option<Duration> },
    /// The peer has as many streams as one may have.
    PeerLimit { retry_after: Option<Duration> },
    /// The peers of its IPv6 site have as many streams as one site may have.
    SiteLimit { retry_after: Option<Duration> },
}

/// A stream that a request is reading.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    id: StreamId,
    /// Notified when the stream is evicted.
    pub(super) evicted: Arc<Notify>,
}

/// A stream that has begun.
#[derive(Debug)]
pub(super) struct Opened<T> {
    pub(super) reading: Reading,
    /// Whether another client's stream had to end.
    pub(super) has_evicted: bool,
    /// That stream, if it was parked. Drop it without a lock on the table: that drops its handler.
    pub(super) evicted: Option<T>,
}

/// Identifies a stream from one use to the next. Later uses have larger ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct StreamId(u64);

/// The table. `T` is a parked stream.
#[derive(Debug)]
pub(super) struct CursorTable<T> {
    cursors: HashMap<Cursor, CursorSlot>,
    /// The streams that no request is reading. In the order of their last use they also expire.
    parked: BTreeMap<StreamId, Parked<T>>,
    /// The streams that a request is reading.
    in_use: BTreeMap<StreamId, InUse>,
    /// The number of streams of each peer that has any.
    peers: HashMap<Peer, usize>,
    /// The same for clients.
    clients: HashMap<Client, usize>,
    /// The cursors in the slots [`CursorSlot::Evicted`], the oldest first.
    evicted: VecDeque<Cursor>,
    next_id: u64,
}

#[derive(Debug, Clone, Copy)]
enum CursorSlot {
    Parked(StreamId),
    InUse,
    Evicted,
}

#[derive(Debug)]
struct Parked<T> {
    cursor: Cursor,
    event: String,
    peer: Peer,
    due: Instant,
    stream: T,
}

#[derive(Debug)]
struct InUse {
    /// The cursor of the request, if it was not the first.
    cursor: Option<Cursor>,
    peer: Peer,
    evicted: Arc<Notify>,
}

impl<T> Default for CursorTable<T> {
    fn default() -> Self {
        Self {
            cursors: HashMap::new(),
            parked: BTreeMap::new(),
            in_use: BTreeMap::new(),
            peers: HashMap::new(),
            clients: HashMap::new(),
            evicted: VecDeque::new(),
            next_id: 0,
        }
    }
}

impl<T> CursorTable<T> {
    /// Counts one more stream, which a request of this peer reads.
    pub(super) fn open(&mut self, now: Instant, peer: Peer, limits: CursorLimits) -> Result<Opened<T>, OpenError> {
        let own = self.peers.get(&peer).copied().unwrap_or(0);
        if peer.is_some() && own >= limits.peer {
            return Err(OpenError::PeerLimit { retry_after: self.next_expiry(now, |parked| parked == peer) });
        }
        let client = client(peer);
        let of_client = self.clients.get(&client).copied().unwrap_or(0);
        if client != peer && of_client >= limits.site() {
            let retry_after = self.next_expiry(now, |parked| self::client(parked) == client);
            return Err(OpenError::SiteLimit { retry_after });
        }
        let is_full = self.parked.len() + self.in_use.len() >= limits.total;
        let evicted = match is_full.then(|| self.greediest_beyond(of_client)) {
            None => None,
            Some(Some(share)) => Some(self.evict_of_share(share)),
            Some(None) => return Err(OpenError::Full { retry_after: self.next_expiry(now, |_| true) }),
        };
        *self.peers.entry(peer).or_default() += 1;
        *self.clients.entry(client).or_default() += 1;
        let reading = self.begin_use(None, peer);
        Ok(Opened { reading, has_evicted: evicted.is_some(), evicted: evicted.flatten() })
    }

    /// Ends a stream that was in a request. Has no effect if it was evicted.
    pub(super) fn close(&mut self, reading: &Reading) {
        if let Some(InUse { cursor, peer, .. }) = self.in_use.remove(&reading.id) {
            self.forget(cursor, peer);
        }
    }

    /// Parks a stream under a new cursor, until `now + idle`. Returns the stream if it was evicted meanwhile.
    pub(super) fn park(
        &mut self,
        now: Instant,
        idle: Duration,
        cursor: Cursor,
        reading: &Reading,
        event: &str,
        stream: T,
    ) -> Result<(), T> {
        let Some(InUse { cursor: used, peer, .. }) = self.in_use.remove(&reading.id) else { return Err(stream) };
        if let Some(used) = used {
            self.cursors.remove(&used);
        }
        let id = self.new_id();
        self.cursors.insert(cursor, CursorSlot::Parked(id));
        let parked = Parked { cursor, event: event.to_owned(), peer, due: clock::after(now, idle), stream };
        self.parked.insert(id, parked);
        Ok(())
    }

    /// Takes the stream of this cursor, if it was parked for this event. The cursor is in use from then on, until
    /// [`park`](Self::park) or [`close`](Self::close).
    pub(super) fn take(&mut self, cursor: Cursor, requested: &str) -> Result<(Reading, T), CursorError> {
        let id = match self.cursors.get(&cursor) {
            Some(CursorSlot::Parked(id)) => *id,
            Some(CursorSlot::InUse) => return Err(CursorError::InUse),
            Some(CursorSlot::Evicted) => return Err(CursorError::Evicted),
            None => return Err(CursorError::Unknown),
        };
        if self.parked.get(&id).is_none_or(|parked| parked.event != requested) {
            return Err(CursorError::Unknown);
        }
        let Parked { peer, stream, .. } = self.parked.remove(&id).ok_or(CursorError::Unknown)?;
        self.cursors.insert(cursor, CursorSlot::InUse);
        Ok((self.begin_use(Some(cursor), peer), stream))
    }

    /// When the next parked stream expires.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.parked.first_key_value().map(|(_, parked)| parked.due)
    }

    /// Removes the streams that have expired. Drop them without a lock on this table: that drops handlers.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        while self.poll_timeout().is_some_and(|due| due <= now) {
            expired.extend(self.parked.pop_first().map(|(_, parked)| self.removed(parked)));
        }
        expired
    }

    /// Removes the parked streams that fulfil a condition, as if they had expired.
    pub(super) fn remove_if(&mut self, mut condition: impl FnMut(&mut T) -> bool) -> Vec<T> {
        let parked = self.parked.iter_mut();
        let ids: Vec<_> = parked.filter_map(|(id, parked)| condition(&mut parked.stream).then_some(*id)).collect();
        let mut removed = Vec::with_capacity(ids.len());
        for id in ids {
            removed.extend(self.parked.remove(&id).map(|parked| self.removed(parked)));
        }
        removed
    }

    /// Removes all parked streams, as if they had expired. Those in a request are closed by it.
    pub(super) fn clear(&mut self) -> Vec<T> {
        self.remove_if(|_| true)
    }

    fn new_id(&mut self) -> StreamId {
        self.next_id += 1;
        StreamId(self.next_id)
    }

    fn begin_use(&mut self, cursor: Option<Cursor>, peer: Peer) -> Reading {
        let (id, evicted) = (self.new_id(), Arc::<Notify>::default());
        self.in_use.insert(id, InUse { cursor, peer, evicted: Arc::clone(&evicted) });
        Reading { id, evicted }
    }

    /// Returns the largest share of a client, if another client with `own` streams may take a place of it. Its share must remain
    /// the larger one, or two clients would evict each other's streams in turn; but a client without any gets one.
    fn greediest_beyond(&self, own: usize) -> Option<usize> {
        let share = self.clients.values().copied().max()?;
        (share >= own + 2 || own == 0).then_some(share)
    }

    /// Evicts a stream of a client that has so many. Returns it if it was parked.
    fn evict_of_share(&mut self, share: usize) -> Option<T> {
        let Self { parked, in_use, clients, .. } = self;
        let is_of_share = |peer: &Peer| clients.get(&client(*peer)) == Some(&share);
        if let Some(id) = parked.iter().find(|(_, parked)| is_of_share(&parked.peer)).map(|(id, _)| *id) {
            let parked = parked.remove(&id)?;
            let cursor = parked.cursor;
            let stream = self.removed(parked);
            self.remember_evicted(cursor);
            return Some(stream);
        }
        let id = in_use.iter().find(|(_, in_use)| is_of_share(&in_use.peer)).map(|(id, _)| *id)?;
        let InUse { cursor, peer, evicted } = in_use.remove(&id)?;
        self.forget(cursor, peer);
        if let Some(cursor) = cursor {
            self.remember_evicted(cursor);
        }
        evicted.notify_one();
        None
    }

    fn remember_evicted(&mut self, cursor: Cursor) {
        if self.evicted.len() >= MAX_REMEMBERED
            && let Some(oldest) = self.evicted.pop_front()
        {
            self.cursors.remove(&oldest);
        }
        self.cursors.insert(cursor, CursorSlot::Evicted);
        self.evicted.push_back(cursor);
    }

    /// Counts off a parked stream that is in the table no more.
    fn removed(&mut self, parked: Parked<T>) -> T {
        self.forget(Some(parked.cursor), parked.peer);
        parked.stream
    }

    fn forget(&mut self, cursor: Option<Cursor>, peer: Peer) {
        if let Some(cursor) = cursor {
            self.cursors.remove(&cursor);
        }
        count_off(&mut self.peers, peer);
        count_off(&mut self.clients, client(peer));
    }

    /// The time until the next parked stream of such a peer expires.
    fn next_expiry(&self, now: Instant, of: impl Fn(Peer) -> bool) -> Option<Duration> {
        let next = self.parked.values().find(|parked| of(parked.peer))?;
        Some(next.due.saturating_duration_since(now))
    }
}

fn count_off(counts: &mut HashMap<Option<ClientNetwork>, usize>, of: Option<ClientNetwork>) {
    if let Some(count) = counts.get_mut(&of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&of);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    const LIMITS: CursorLimits = CursorLimits { total: 4, peer: 3 };

    fn peer(number: u8) -> Peer {
        Some(IpAddr::from([192, 0, 2, number]).into())
    }

    /// A table with a clock that is moved by hand.
    struct TestTable {
        cursors: CursorTable<&'static str>,
        now: Instant,
    }

    impl TestTable {
        fn new() -> Self {
            Self { cursors: CursorTable::default(), now: Instant::now() }
        }

        fn open(&mut self, of: u8) -> Result<Opened<&'static str>, OpenError> {
            self.cursors.open(self.now, peer(of), LIMITS)
        }

        fn park(&mut self, cursor: u128, reading: &Reading, stream: &'static str) -> Result<(), &'static str> {
            self.cursors.park(self.now, IDLE, Cursor(cursor), reading, "count", stream)
        }

        /// Begins a stream of this peer and parks it. Returns the stream that had to end.
        fn begin(&mut self, of: u8, cursor: u128, stream: &'static str) -> Result<Option<&'static str>, OpenError> {
            let opened = self.open(of)?;
            self.park(cursor, &opened.reading, stream).expect("it was not evicted");
            Ok(opened.evicted)
        }

        fn take(&mut self, cursor: u128) -> Result<(Reading, &'static str), CursorError> {
            self.cursors.take(Cursor(cursor), "count")
        }

        fn taken(&mut self, cursor: u128) -> Result<&'static str, CursorError> {
            self.take(cursor).map(|(_, stream)| stream)
        }

        fn advance(&mut self, seconds: u64) -> Vec<&'static str> {
            self.now += Duration::from_secs(seconds);
            self.cursors.handle_timeout(self.now)
        }

        fn expect_empty(&self) {
            let CursorTable { cursors, parked, in_use, peers, clients, evicted, .. } = &self.cursors;
            let sizes = [cursors.len() - evicted.len(), parked.len(), in_use.len(), peers.len(), clients.len()];
            assert_eq!(sizes, [0; 5]);
        }
    }

    #[test]
    fn a_cursor_is_valid_for_one_request() {
        let mut table = TestTable::new();
        table.begin(1, 1, "a").unwrap();
        let (reading, stream) = table.take(1).unwrap();
        assert_eq!(stream, "a");
        assert_eq!(table.taken(1), Err(CursorError::InUse), "another request is reading with it");
        table.park(2, &reading, "a").unwrap();
        assert_eq!(table.taken(1), Err(CursorError::Unknown), "it was used before");
        let (reading, _) = table.take(2).unwrap();
        table.cursors.close(&reading);
        assert_eq!(table.taken(2), Err(CursorError::Unknown));
        table.expect_empty();
    }

    #[test]
    fn an_unknown_cursor_or_one_of_another_event_leaves_the_stream_parked() {
        let mut table = TestTable::new();
        table.begin(1, 1, "a").unwrap();
        assert_eq!(table.taken(7), Err(CursorError::Unknown));
        assert!(matches!(table.cursors.take(Cursor(1), "other"), Err(CursorError::Unknown)));
        assert_eq!(table.taken(1), Ok("a"), "the stream is still parked");
    }

    #[test]
    fn an_unused_cursor_expires_and_each_use_restarts_its_time() {
        let mut table = TestTable::new();
        table.begin(1, 1, "a").unwrap();
        table.advance(30);
        table.begin(1, 2, "b").unwrap();
        assert_eq!(table.cursors.poll_timeout(), Some(table.now + IDLE / 2));
        let (reading, _) = table.take(1).unwrap();
        table.park(3, &reading, "a").unwrap();
        assert_eq!(table.advance(59), [] as [&str; 0]);
        assert_eq!(table.advance(1), ["b", "a"]);
        assert_eq!(table.taken(3), Err(CursorError::Unknown));
        assert_eq!(table.cursors.poll_timeout(), None);
        table.expect_empty();
    }

    #[test]
    fn a_cursor_in_use_does_not_expire() {
        let mut table = TestTable::new();
        table.begin(1, 1, "a").unwrap();
        let (reading, _) = table.take(1).unwrap();
        assert_eq!(table.cursors.poll_timeout(), None);
        assert_eq!(table.advance(1000), [] as [&str; 0]);
        table.park(2, &reading, "a").unwrap();
        assert_eq!(table.taken(2), Ok("a"));
    }

    #[test]
    fn a_peer_has_a_limit_of_its_own_which_counts_parked_streams_and_those_in_use() {
        let mut table = TestTable::new();
        table.begin(1, 1, "a").unwrap();
        table.advance(10);
        table.begin(1, 2, "b").unwrap();
        let first = table.open(1).unwrap().reading;
        let refused = table.open(1).map(|_| ());
        assert_eq!(refused, Err(OpenError::PeerLimit { retry_after: Some(IDLE - Duration::from_secs(10)) }));
        let (second, _) = table.take(1).unwrap();
        assert!(table.open(1).is_err(), "a stream in use counts, too");
        table.cursors.close(&second);
        table.begin(1, 3, "c").unwrap();
        table.cursors.close(&first);
        table.advance(60);
        assert!(table.open(1).is_ok() && table.open(1).is_ok(), "expired streams do not count");
        // Peers without an address have no such limit: they may be many.
        let mut unknown = CursorTable::<()>::default();
        for _ in 0..LIMITS.total {
            assert!(unknown.open(table.now, None, LIMITS).is_ok());
        }
        let full = unknown.open(table.now, None, LIMITS).map(|_| ());
        assert_eq!(full, Err(OpenError::Full { retry_after: None }));
    }

    #[test]
    fn in_a_full_table_the_peer_with_the_most_loses_its_oldest() {
        let mut table = TestTable::new();
        table.begin(2, 20, "other").unwrap();
        for (cursor, stream) in [(1, "a"), (2, "b"), (3, "c")] {
            table.begin(1, cursor, stream).unwrap();
        }
        // A use makes a stream newer.
        let (reading, _) = table.take(1).unwrap();
        table.park(4, &reading, "a").unwrap();
        assert_eq!(table.begin(2, 21, "second"), Ok(Some("b")));
        assert_eq!(table.taken(2), Err(CursorError::Evicted));
        // Now both have two: neither takes the other's place.
        for of in [1, 2] {
            assert!(matches!(table.open(of), Err(OpenError::Full { retry_after: Some(_) })), "{of}");
        }
        // A peer that has none gets one.
        assert_eq!(table.begin(3, 30, "third"), Ok(Some("other")));
        assert_eq!(table.taken(20), Err(CursorError::Evicted));
        assert_eq!(table.taken(4), Ok("a"), "the others are still there");
        assert_eq!(table.taken(21), Ok("second"));
    }

    /// Begins a stream of this network of an IPv6 site, and parks it.
    fn begin_in_site(
        table: &mut TestTable,
        limits: CursorLimits,
        network: u16,
    ) -> Result<Option<&'static str>, OpenError> {
        let address = IpAddr::from([0x2001, 0xdb8, 1, network, 0, 0, 0, 1]);
        let opened = table.cursors.open(table.now, Some(address.into()), limits)?;
        table.park(1000 + u128::from(network), &opened.reading, "of the site").expect("it was not evicted");
        Ok(opened.evicted)
    }

    #[test]
    fn a_site_with_a_stream_in_each_of_its_networks_has_a_limit_and_displaces_no_other() {
        let limits = CursorLimits { total: 1024, peer: 20 };
        let mut table = TestTable::new();
        let of_site = (0..1024).take_while(|network| begin_in_site(&mut table, limits, *network).is_ok()).count();
        assert_eq!(of_site, 320);
        let retry_after = Some(IDLE);
        assert_eq!(begin_in_site(&mut table, limits, 2000), Err(OpenError::SiteLimit { retry_after }));
        table.advance(60);
        assert!(begin_in_site(&mut table, limits, 2000).is_ok());
        table.advance(60);
        table.expect_empty();
    }

    #[test]
    fn in_a_full_table_a_site_displaces_its_own_streams_and_no_others() {
        let limits = CursorLimits { total: 8, peer: 6 };
        let mut table = TestTable::new();
        for of in 1..=3 {
            table.begin(of, of.into(), "other").unwrap();
        }
        for network in 0..5 {
            assert_eq!(begin_in_site(&mut table, limits, network), Ok(None));
        }
        // Each network is fresh, and the site has the most.
        for network in 5..10 {
            assert!(matches!(begin_in_site(&mut table, limits, network), Err(OpenError::Full { .. })), "{network}");
        }
        let opened = table.cursors.open(table.now, peer(4), limits).unwrap();
        assert_eq!(opened.evicted.or(table.taken(1000).ok()), Some("of the site"));
        for of in 1..=3 {
            assert_eq!(table.taken(of), Ok("other"));
        }
    }

    #[test]
    fn a_stream_that_is_being_read_is_evicted_if_none_is_parked() {
        let mut table = TestTable::new();
        table.begin(1, 1, "a").unwrap();
        let (reading, stream) = table.take(1).unwrap();
        let others: Vec<_> = (0..2).map(|_| table.open(1).unwrap().reading).collect();
        table.open(2).unwrap();
        let opened = table.open(3).unwrap();
        assert!(opened.has_evicted && opened.evicted.is_none());
        let mut notified = Box::pin(reading.evicted.notified());
        let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
        assert!(notified.as_mut().poll(cx).is_ready(), "its request is told");
        assert_eq!(table.park(2, &reading, stream), Err("a"), "it cannot be parked any more");
        assert_eq!(table.taken(1), Err(CursorError::Evicted));
        assert_eq!(table.taken(2), Err(CursorError::Unknown));
        table.cursors.close(&reading);
        assert_eq!(table.cursors.peers.get(&peer(1)), Some(&2), "it is counted off once");
        others.iter().for_each(|reading| table.cursors.close(reading));
        assert_eq!(table.cursors.peers.get(&peer(1)), None);
    }

    #[test]
    fn the_cursors_of_evicted_streams_are_remembered_for_a_while() {
        let mut table = TestTable::new();
        let mut cursor = 0;
        let limits = CursorLimits { total: 1, peer: 1 };
        for round in 0..MAX_REMEMBERED + 10 {
            let of = peer(u8::try_from(round % 2).unwrap());
            let opened = table.cursors.open(table.now, of, limits).unwrap();
            cursor += 1;
            table.park(cursor, &opened.reading, "a").unwrap();
        }
        assert_eq!(table.taken(cursor), Ok("a"));
        assert_eq!(table.taken(cursor - 1), Err(CursorError::Evicted));
        assert_eq!(table.taken(1), Err(CursorError::Unknown));
        assert_eq!(table.cursors.cursors.len(), MAX_REMEMBERED + 1);
    }

    #[test]
    fn clear_returns_all_parked_streams_and_keeps_those_in_use() {
        let mut table = TestTable::new();
        table.begin(1, 1, "a").unwrap();
        table.begin(1, 2, "b").unwrap();
        let (reading, _) = table.take(1).unwrap();
        assert_eq!(table.cursors.clear(), ["b"]);
        assert_eq!(table.taken(1), Err(CursorError::InUse));
        table.cursors.close(&reading);
        table.expect_empty();
    }

    #[test]
    fn used_cursors_leave_nothing_behind() {
        let mut table = TestTable::new();
        table.begin(1, 0, "a").unwrap();
        for n in 0..1000 {
            let (reading, _) = table.take(n).unwrap();
            table.park(n + 1, &reading, "a").unwrap();
        }
        let CursorTable { cursors, parked, in_use, .. } = &table.cursors;
        assert_eq!([cursors.len(), parked.len(), in_use.len()], [1, 1, 0]);
        table.advance(60);
        table.expect_empty();
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
