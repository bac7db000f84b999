//! The table of addresses, and what each of them has used.

use std::collections::HashMap;
use std::future::Future;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aaw_protocol::{Code, Failure};
use uuid::Uuid;

use super::bucket::{Bucket, CurrentRate, Rate};
use super::contention::{Contention, Share};
use super::silent::{OfferedPlace, PlaceHolder, SilentConnections};
use crate::client_network::{ADDRESSES_PER_SITE, ClientNetwork};

/// The seconds for which a full bucket lasts at its rate: of calls and bytes one, so that what an attacker does before it is
/// slowed down takes the server little time; of connections five, since the clients of an office come back together.
const BURST_SECONDS: u64 = 1;
const HANDSHAKE_BURST_SECONDS: u64 = 5;

/// How long a call may wait for its address's rate before it is refused.
pub(super) const MAX_CALL_WAIT: Duration = Duration::from_secs(1);

/// When a client may come back whose address has too many connections, in seconds: as when the server has too many.
const CONNECTIONS_RETRY: u64 = 5;

/// Over how many seconds clients spread that are told to come back, so that they do not all come at once.
const RETRY_SPREAD: u64 = 5;

/// The entries at which those that are not needed are removed for the first time.
pub(super) const FIRST_SWEEP: usize = 1024;

/// The entries without a connection that are kept because their buckets are not full, at most. With more, all of them are
/// forgotten: some MB of memory are worth more than the few seconds for which a bucket remembers.
const MAX_REMEMBERED: usize = 65_536;

/// How many open connections an address may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionLimit {
    /// As many as the server can still accept, without the one that is asked for.
    Free(usize),
    /// A number.
    Max(usize),
}

/// The rates of each address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AddressRates {
    /// Connections and handshakes a second.
    pub(crate) handshakes: u32,
    /// The cost of calls a second.
    pub(crate) calls: u32,
    /// Bytes a second.
    pub(crate) bytes: usize,
    /// The delay of tasks beyond which rates are limited.
    pub(crate) contention_delay: Duration,
}

impl AddressRates {
    fn bytes_per_second(&self) -> u64 {
        u64::try_from(self.bytes).unwrap_or(u64::MAX)
    }
}

/// The addresses that have connections, and those whose buckets are not full.
#[derive(Debug)]
pub(crate) struct AddressLimits {
    shared: Arc<Shared>,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    networks: HashMap<ClientNetwork, Arc<Address>>,
    sites: HashMap<ClientNetwork, Arc<Address>>,
    /// The number of entries at which those that are not needed are removed.
    sweep_at: usize,
}

/// What the addresses of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Times are counted from here.
    epoch: Instant,
    handshakes: CurrentRate,
    calls: CurrentRate,
    bytes: CurrentRate,
    pub(super) contention: Contention,
}

/// What one address has used, or one site.
#[derive(Debug)]
pub(crate) struct Address {
    shared: Arc<Shared>,
    /// The network of an IPv6 address has one.
    site: Option<Arc<Address>>,
    is_site: bool,
    connections: AtomicUsize,
    /// The connections, and the requests that count without one.
    active: AtomicUsize,
    /// The connections that were refused so far.
    refused: AtomicU64,
    handshakes: Bucket,
    calls: Bucket,
    bytes: Bucket,
    silent: Arc<SilentConnections>,
}

/// Counts a connection of an address until it is dropped.
#[derive(Debug)]
pub(crate) struct AddressPermit(Arc<Address>);

/// An address that has a request in progress, until it is dropped: it competes with others as one that has a connection.
#[derive(Debug)]
pub(crate) struct ActiveAddress(Arc<Address>);

/// Why an address may not open a connection now, and when it may try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressRefusal {
    /// The reason, for a person.
    pub(crate) error: &'static str,
    /// In seconds.
    pub(crate) retry_after: u64,
}

impl AddressLimits {
    pub(crate) fn new(rates: &AddressRates) -> Self {
        let shared = Shared {
            epoch: Instant::now(),
            handshakes: CurrentRate::new(rates.handshakes.into(), HANDSHAKE_BURST_SECONDS),
            calls: CurrentRate::new(rates.calls.into(), BURST_SECONDS),
            bytes: CurrentRate::new(rates.bytes_per_second(), BURST_SECONDS),
            contention: Contention::new(rates.contention_delay),
        };
        let table = Table { networks: HashMap::new(), sites: HashMap::new(), sweep_at: FIRST_SWEEP };
        Self { shared: Arc::new(shared), table: Mutex::new(table) }
    }

    /// Changes the rates, for connections that are open as well. What an address has used it has to wait for as before.
    pub(crate) fn set_rates(&self, rates: &AddressRates) {
        let shared = &self.shared;
        shared.handshakes.set(rates.handshakes.into());
        shared.calls.set(rates.calls.into());
        shared.bytes.set(rates.bytes_per_second());
        shared.contention.set_max_delay(rates.contention_delay);
    }

    /// Admits a connection, and counts its handshake, unless its address has too many connections or makes them too fast.
    pub(crate) fn connect(
        &self,
        network: ClientNetwork,
        limit: ConnectionLimit,
        now: Instant,
    ) -> Result<AddressPermit, AddressRefusal> {
        let address = self.address(network, now);
        let is_full = || address.refusal("The limit of connections from your address is reached", CONNECTIONS_RETRY);
        let free = AddressPermit::new(&address, limit);
        let takes_place = free.is_none();
        let permit = free.or_else(|| AddressPermit::beside_silent(&address, limit, now)).ok_or_else(is_full)?;
        let share = address
            .take_handshake(now)
            .map_err(|wait| address.refusal("Too many new connections from your address", whole_seconds(wait)))?;
        // Last, so that a connection is closed only for one that is admitted. Another one may have taken its place just now.
        if takes_place && !address.silent.evict(now) {
            address.give_back_handshake(share);
            return Err(is_full());
        }
        Ok(permit)
    }

    /// Returns the entry of an address that has a request in progress which counts without a connection of its own, such as
    /// one that a proxy passes on with those of others over one connection.
    pub(crate) fn active_address(&self, network: ClientNetwork, now: Instant) -> ActiveAddress {
        let address = self.address(network, now);
        address.enter();
        ActiveAddress(address)
    }

    /// Returns the entry of an address.
    pub(super) fn address(&self, network: ClientNetwork, now: Instant) -> Arc<Address> {
        let now = self.shared.nanos(now);
        // Nothing panics while it holds the lock.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = table.networks.get(&network) {
            return Arc::clone(address);
        }
        if table.len() >= table.sweep_at {
            table.sweep(now);
        }
        let new = |site: Option<Arc<Address>>, is_site| {
            Arc::new(Address {
                shared: Arc::clone(&self.shared),
                site,
                is_site,
                connections: AtomicUsize::new(0),
                active: AtomicUsize::new(0),
                refused: AtomicU64::new(0),
                handshakes: Bucket::default(),
                calls: Bucket::default(),
                bytes: Bucket::default(),
                silent: Arc::default(),
            })
        };
        let site = network.site().map(|site| Arc::clone(table.sites.entry(site).or_insert_with(|| new(None, true))));
        let address = new(site, false);
        table.networks.insert(network, Arc::clone(&address));
        address
    }

    /// The number of entries.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.lock().unwrap().len()
    }

    /// Measures whether clients compete, as long as it is polled. To be a task of its own, which waits as long as those of
    /// connections do.
    pub(crate) fn watch_contention(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move { shared.contention.watch().await }
    }
}

impl Table {
    fn len(&self) -> usize {
        self.networks.len() + self.sites.len()
    }

    /// Removes the entries that nothing needs. It takes time proportional to the length, and the next one follows when as many
    /// entries have been added.
    fn sweep(&mut self, now: u64) {
        for forget in [false, true] {
            // The networks first: they refer to their sites.
            for entries in [&mut self.networks, &mut self.sites] {
                entries.retain(|_, address| Arc::strong_count(address) > 1 || !(forget || address.is_full(now)));
            }
            let remembered = |address: &&Arc<Address>| Arc::strong_count(address) == 1;
            if self.networks.values().filter(remembered).count() <= MAX_REMEMBERED {
                break;
            }
        }
        self.sweep_at = FIRST_SWEEP.max(self.len() * 2);
        self.networks.shrink_to(self.sweep_at);
        self.sites.shrink_to(FIRST_SWEEP);
    }
}

impl Shared {
    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Address {
    /// Returns the share of the rates that the address may use; `None` while no rate is limited.
    pub(super) fn share(&self) -> Option<Share> {
        self.shared.contention.share()
    }

    /// The rate of an entry: of a site, that of several addresses.
    fn rate(&self, rate: &CurrentRate) -> Rate {
        let rate = rate.load();
        if self.is_site { rate.times(ADDRESSES_PER_SITE as u64) } else { rate }
    }

    /// The address and its site.
    fn entries(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.site.as_deref())
    }

    /// Counts a handshake on a connection that was admitted without its address, such as one of a trusted proxy.
    pub(super) fn take_handshake(&self, now: Instant) -> Result<Option<Share>, Duration> {
        let Some(share) = self.share() else { return Ok(None) };
        let now = self.shared.nanos(now);
        let rate = |entry: &Self| entry.rate(&self.shared.handshakes);
        self.handshakes.try_take(now, rate(self), share)?;
        let Some(site) = &self.site else { return Ok(Some(share)) };
        let taken = site.handshakes.try_take(now, rate(site), share).inspect_err(|_| {
            // The address has opened no connection.
            self.handshakes.give_back(rate(self), share);
        });
        taken.map(|()| Some(share))
    }

    /// Gives back what [`take_handshake`](Self::take_handshake) has taken with this share: no connection was opened.
    fn give_back_handshake(&self, share: Option<Share>) {
        let Some(share) = share else { return };
        for entry in self.entries() {
            entry.handshakes.give_back(entry.rate(&self.shared.handshakes), share);
        }
    }

    /// Takes what a connection has used. Returns how long it must not read: the time until all of it would have been there.
    pub(super) fn take(&self, now: Instant, bytes: u32, calls: u32, share: Share) -> Duration {
        let now = self.shared.nanos(now);
        let waits = self.entries().flat_map(|entry| {
            let bytes = (bytes > 0).then(|| entry.bytes.take(now, bytes.into(), entry.rate(&self.shared.bytes), share));
            let calls = (calls > 0).then(|| entry.calls.take(now, calls.into(), entry.rate(&self.shared.calls), share));
            bytes.into_iter().chain(calls)
        });
        waits.max().unwrap_or_default()
    }

    /// Returns how long a call of the address would have to wait, if that is too long.
    pub(super) fn call_refusal(&self, now: Instant, share: Share) -> Option<Duration> {
        let now = self.shared.nanos(now);
        let waits = self.entries().map(|entry| entry.calls.wait(now, entry.rate(&self.shared.calls), share));
        waits.max().filter(|wait| *wait > MAX_CALL_WAIT)
    }

    /// The same for bytes.
    fn byte_refusal(&self, now: Instant, share: Share) -> Option<Duration> {
        let now = self.shared.nanos(now);
        let waits = self.entries().map(|entry| entry.bytes.wait(now, entry.rate(&self.shared.bytes), share));
        waits.max().filter(|wait| *wait > MAX_CALL_WAIT)
    }

    /// Counts a request over HTTP, or its body, and returns how long it has to wait before it is handled.
    ///
    /// # Errors
    /// If it would have to wait for too long. Nothing is counted.
    pub(crate) fn take_request(&self, now: Instant, bytes: usize, cost: u32) -> Result<Duration, Failure> {
        let Some(share) = self.share() else { return Ok(Duration::ZERO) };
        if let Some(wait) = self.call_refusal(now, share) {
            return Err(too_many_calls(wait));
        }
        if let Some(wait) = self.byte_refusal(now, share) {
            return Err(too_many("bytes", wait));
        }
        Ok(self.take(now, u32::try_from(bytes).unwrap_or(u32::MAX), cost, share))
    }

    /// Offers the place of a connection that has not responded to a ping, from the time `due` on.
    pub(super) fn offer_place(&self, id: Uuid, due: Instant, connection: Arc<dyn PlaceHolder>) -> OfferedPlace {
        self.silent.offer(id, due, connection)
    }

    fn is_full(&self, now: u64) -> bool {
        [&self.handshakes, &self.calls, &self.bytes].into_iter().all(|bucket| bucket.is_full(now))
    }

    fn refusal(&self, error: &'static str, retry_after: u64) -> AddressRefusal {
        let spread = self.refused.fetch_add(1, Ordering::Relaxed) % RETRY_SPREAD;
        AddressRefusal { error, retry_after: retry_after.saturating_add(spread) }
    }

    /// Counts one more connection, unless there are as many as allowed.
    fn add_connection(&self, limit: ConnectionLimit) -> bool {
        let limit = match limit {
            ConnectionLimit::Free(free) => free,
            ConnectionLimit::Max(max) if self.is_site => max.saturating_mul(ADDRESSES_PER_SITE),
            ConnectionLimit::Max(max) => max,
        };
        let before = self.connections.fetch_add(1, Ordering::SeqCst);
        if before >= limit {
            self.connections.fetch_sub(1, Ordering::SeqCst);
            return false;
        }
        self.enter();
        true
    }

    fn remove_connection(&self) {
        self.connections.fetch_sub(1, Ordering::SeqCst);
        self.leave();
    }

    fn enter(&self) {
        if self.active.fetch_add(1, Ordering::SeqCst) == 0 && !self.is_site {
            self.shared.contention.add_address();
        }
    }

    fn leave(&self) {
        if self.active.fetch_sub(1, Ordering::SeqCst) == 1 && !self.is_site {
            self.shared.contention.remove_address();
        }
    }
}

impl AddressPermit {
    fn new(address: &Arc<Address>, limit: ConnectionLimit) -> Option<Self> {
        Self::in_site(address, limit, limit)
    }

    /// The permit of a connection that takes the place of one that has not responded to a ping, and is to be closed. Until that
    /// is done, both count, so the address may have twice as many for a short time.
    fn beside_silent(address: &Arc<Address>, limit: ConnectionLimit, now: Instant) -> Option<Self> {
        let ConnectionLimit::Max(max) = limit else { return None };
        if !address.silent.has_due(now) {
            return None;
        }
        Self::in_site(address, limit, ConnectionLimit::Max(max.saturating_mul(2)))
    }

    fn in_site(address: &Arc<Address>, of_site: ConnectionLimit, limit: ConnectionLimit) -> Option<Self> {
        if let Some(site) = &address.site
            && !site.add_connection(of_site)
        {
            return None;
        }
        if !address.add_connection(limit) {
            if let Some(site) = &address.site {
                site.remove_connection();
            }
            return None;
        }
        Some(Self(Arc::clone(address)))
    }

    pub(crate) fn address(&self) -> &Arc<Address> {
        &self.0
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        self.0.entries().for_each(Address::remove_connection);
    }
}

impl Deref for ActiveAddress {
    type Target = Address;

    fn deref(&self) -> &Address {
        &self.0
    }
}

impl Drop for ActiveAddress {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// The failure of a call beyond its address's rate.
pub(super) fn too_many_calls(wait: Duration) -> Failure {
    too_many("calls", wait)
}

fn too_many(what: &str, wait: Duration) -> Failure {
    let seconds = whole_seconds(wait);
    let data = serde_json::value::to_raw_value(&serde_json::json!({ "retry_after": seconds })).ok();
    Failure { data, ..Failure::new(Code::BUSY, format!("Too many {what} from your address; try again in {seconds} s")) }
}

/// Rounds up, to 1 at least.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}
