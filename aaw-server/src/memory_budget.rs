//! The memory that clients make the server hold, counted while it grows: responses under construction, gathered arrays,
//! responses that wait for their connection, outgoing logs, messages and HTTP bodies that have not arrived whole, and calls that
//! run or wait, with their bodies, the items of their uploads, and responses that wait for credit.
//!
//! It is counted for each connection, for the connections of each client address and of each IPv6 site, and for all of them.
//!
//! - At a connection's limit its handlers are not polled and its calls do not start, until some of it was sent. One call at
//!   a time continues beyond the limit, so that a connection whose memory consists of unfinished responses still finishes
//!   them, and a single response of the largest size always fits. Not while the client does not read those that are
//!   finished: each would be followed by another one. What only handlers can free does not count here: calls, their bodies and
//!   uploads. It has limits of its own.
//! - At the limit of an address, of a site or of the process, the connections that hold most are *refused*: their running calls fail,
//!   and what they hold otherwise is freed, because its owner closes the connection. As many are refused as
//!   free a sixteenth of the limit. The one that holds least is not, so that one always continues, unless its uploads alone
//!   reach the limit.
//!
//! A connection's bytes count for its address, its site and the process in whole steps of [`STEP`]. So a call with a small
//! response touches no memory that other connections use, and connections that hold less are never searched nor refused:
//! they add at most a step each to the limits.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use aaw_protocol::{Code, Failure};

use crate::client_network::{ClientNetwork, site_limit};
use crate::throttle::Throttle;

#[cfg(test)]
mod tests;

/// The bytes in which a connection counts for its address and the process. With the default limit of connections, those
/// that hold less hold half of the default limit of the process.
pub(crate) const STEP: usize = 4 << 10;

/// Stands for no call: where a call is identified, the task that has the connection.
const OWNER: u64 = 0;

/// What a call that runs as a task takes, besides its entry among the calls of its connection, what the client has sent for it
/// and its response, in bytes: the task, its budget and its handler. Measured with a handler that waits for a timer.
pub(crate) const RUNNING_CALL: usize = 1000;

/// The part of a limit that is freed when it is reached, so that the search for the connections that hold most is rare.
const FREED_PART: usize = 16;

/// How much may be held, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldLimits {
    /// For each connection.
    pub(crate) connection: usize,
    /// For the connections of one address.
    pub(crate) address: usize,
    /// For all connections.
    pub(crate) total: usize,
}

impl HeldLimits {
    /// For an address or a site.
    fn of(&self, key: AddressKey) -> usize {
        match key {
            AddressKey::Address(_) => self.address,
            AddressKey::Site(_) => site_limit(self.address, self.total),
        }
    }
}

/// What all connections hold together.
#[derive(Debug)]
pub(crate) struct ProcessBudget {
    limits: HeldLimits,
    all: Group,
    /// The addresses that have connections, and their sites.
    addresses: Mutex<HashMap<AddressKey, Weak<AddressBudget>>>,
    /// The connections that hold a step or more, and some that have done so, by the address of their budget in memory.
    holders: Mutex<HashMap<usize, Weak<ConnectionBudget>>>,
}

/// What the connections of one address hold, or of one site, or a connection whose address is unknown.
#[derive(Debug)]
struct AddressBudget {
    process: Arc<ProcessBudget>,
    /// `None` if it is unknown; then there is no limit.
    key: Option<AddressKey>,
    /// The network of an IPv6 address has one.
    site: Option<Arc<AddressBudget>>,
    all: Group,
}

/// Identifies an address or a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum AddressKey {
    Address(ClientNetwork),
    Site(ClientNetwork),
}

/// What several connections hold.
#[derive(Debug)]
struct Group {
    /// In bytes, a multiple of [`STEP`]. What one thread has added another may subtract first, so it may be negative for
    /// a moment.
    held: AtomicIsize,
    /// What must be held for connections to be refused: the limit; and more while those that have been refused free what
    /// they hold.
    refuse_at: AtomicIsize,
}

/// What one connection holds.
#[derive(Debug)]
pub(crate) struct ConnectionBudget {
    address: Arc<AddressBudget>,
    used: AtomicUsize,
    /// What is held besides: what only handlers can free by running, so that it must not stop them. It counts
    /// for the address and the process, not for the connection's limit.
    unlimited: AtomicUsize,
    /// The call that may continue beyond the limit; 0 for none.
    exempt: AtomicU64,
    /// What waits until less is used, until the exempt call is over, or until the connection is refused: calls, and as
    /// [`OWNER`] whatever has the connection. A call that ends is removed, so that its task is not kept alive.
    /// Boxed, since most connections have none.
    waiters: Mutex<Option<Box<Waiters>>>,
    /// It is among the holders.
    is_listed: AtomicBool,
    is_refused: AtomicBool,
    /// The client does not read its responses as fast as they are finished.
    has_slow_client: AtomicBool,
}

type Waiters = Vec<(u64, Waker)>;

/// Whether a call may continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Its handler may be polled.
    Run,
    /// Not now. The task will be woken.
    Wait,
    /// The limit of the address or of the process is reached, and this connection is among those that hold most.
    Refuse,
}

impl ProcessBudget {
    pub(crate) fn new(limits: HeldLimits) -> Arc<Self> {
        Arc::new(Self { limits, all: Group::new(limits.total), addresses: Mutex::default(), holders: Mutex::default() })
    }

    /// Returns what all connections hold, in bytes.
    pub(crate) fn used(&self) -> usize {
        self.all.held()
    }

    /// Creates the budget of a connection from this address, if that is known.
    pub(crate) fn connection(self: &Arc<Self>, address: Option<IpAddr>) -> Arc<ConnectionBudget> {
        ConnectionBudget::new(self.address(address))
    }

    fn address(self: &Arc<Self>, address: Option<IpAddr>) -> Arc<AddressBudget> {
        let new = |key: Option<AddressKey>, site| {
            let limit = key.map_or(usize::MAX, |key| self.limits.of(key));
            Arc::new(AddressBudget { process: Arc::clone(self), key, site, all: Group::new(limit) })
        };
        let Some(address) = address else { return new(None, None) };
        let network = ClientNetwork::from(address);
        let mut addresses = lock(&self.addresses);
        let mut find = |key, site: Option<Arc<AddressBudget>>| {
            addresses.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
                let budget = new(Some(key), site);
                addresses.insert(key, Arc::downgrade(&budget));
                budget
            })
        };
        let site = network.site().map(|site| find(AddressKey::Site(site), None));
        // What is found already has the same site, which is dropped after the lock then.
        let unused = site.clone();
        let budget = find(AddressKey::Address(network), site);
        drop(addresses);
        drop(unused);
        budget
    }

    /// Adds a connection to the holders.
    fn list(&self, connection: &Arc<ConnectionBudget>) {
        // Dropped without the lock, which the drop of a connection takes.
        let mut kept = Vec::new();
        let mut holders = lock(&self.holders);
        if holders.len() == holders.capacity() {
            // Those that no longer hold anything are removed when the table would grow, not whenever one has sent its
            // response.
            holders.retain(|_, holder| {
                let Some(holder) = holder.upgrade() else { return false };
                holder.is_listed.store(false, Ordering::SeqCst);
                // Read after that: either this sees what another thread adds, or that thread lists the connection.
                let stays = holder.counted() > 0;
                holder.is_listed.fetch_or(stays, Ordering::SeqCst);
                kept.push(holder);
                stays
            });
            let len = holders.len();
            holders.shrink_to(len * 2);
            // So that the next search follows after as many insertions, however few were removed.
            holders.reserve(len.max(16));
        }
        holders.insert(connection.key(), Arc::downgrade(connection));
    }

    /// Refuses the connections that hold most, of one address or site, or of all, if the limit is reached.
    #[cold]
    fn refuse_greediest(&self, address: Option<&Arc<AddressBudget>>) {
        static REPORTS: Throttle = Throttle::new();
        let (group, limit) = address.map_or((&self.all, self.limits.total), |address| (&address.all, address.limit()));
        let is_member = |holder: &ConnectionBudget| {
            address.is_none_or(|address| holder.address.groups().any(|group| Arc::ptr_eq(address, group)))
        };
        let holders = lock(&self.holders);
        let held = group.held();
        if !group.is_reached(held) {
            // Another thread has done it.
            return;
        }
        // None is dropped before the lock is released.
        let holders_alive: Vec<_> = holders.values().filter_map(Weak::upgrade).collect();
        let mut leaving = 0;
        let mut candidates = Vec::new();
        for holder in holders_alive.iter().filter(|holder| is_member(holder)) {
            match holder.counted() {
                0 => {}
                held if holder.is_refused() => leaving += held,
                held => candidates.push((Reverse(held), holder)),
            }
        }
        candidates.sort_unstable_by_key(|(held, _)| *held);
        // The last one stays, since its own limit bounds it. Uploads have another one, which may be higher than this.
        candidates.pop_if(|(_, holder)| holder.unlimited.load(Ordering::Relaxed) < limit);
        let remaining = limit - limit / FREED_PART;
        let mut excess = held.saturating_sub(leaving + remaining);
        let count = candidates.iter().position(|(Reverse(held), _)| {
            let is_enough = excess == 0;
            excess = excess.saturating_sub(*held);
            is_enough
        });
        candidates.truncate(count.unwrap_or(candidates.len()));
        // Not again before those that remain hold as much as the limit.
        group.refuse_at.store(to_signed(held.saturating_add(limit / FREED_PART)), Ordering::Relaxed);
        drop(holders);
        let refused: usize = candidates.iter().map(|(Reverse(held), _)| held).sum();
        if refused > 0
            && let Some(suppressed) = REPORTS.pass()
        {
            let whose = match address.and_then(|address| address.key) {
                Some(AddressKey::Address(_)) => "an address",
                Some(AddressKey::Site(_)) => "a /48 network",
                None => "all connections",
            };
            let connections = candidates.len();
            tracing::warn!(
                suppressed,
                "the memory limit of {whose} is reached ({limit} bytes): refused the {connections} connections that hold most, {refused} bytes"
            );
        }
        for (_, holder) in candidates {
            holder.refuse();
        }
    }
}

impl Group {
    fn new(limit: usize) -> Self {
        Self { held: AtomicIsize::new(0), refuse_at: AtomicIsize::new(to_signed(limit)) }
    }

    fn held(&self) -> usize {
        usize::try_from(self.held.load(Ordering::Relaxed)).unwrap_or(0)
    }

    fn is_reached(&self, held: usize) -> bool {
        to_signed(held) >= self.refuse_at.load(Ordering::Relaxed)
    }

    /// Adds to what is held. Returns whether connections are to be refused.
    fn add(&self, bytes: usize) -> bool {
        let held = self.held.fetch_add(to_signed(bytes), Ordering::Relaxed);
        self.is_reached(usize::try_from(held).unwrap_or(0) + bytes)
    }

    fn subtract(&self, bytes: usize, limit: usize) {
        let (bytes, limit) = (to_signed(bytes), to_signed(limit));
        let held = self.held.fetch_sub(bytes, Ordering::Relaxed);
        if held - bytes < limit && self.refuse_at.load(Ordering::Relaxed) != limit {
            self.refuse_at.store(limit, Ordering::Relaxed);
        }
    }
}

impl ConnectionBudget {
    fn new(address: Arc<AddressBudget>) -> Arc<Self> {
        Arc::new(Self {
            address,
            used: AtomicUsize::new(0),
            unlimited: AtomicUsize::new(0),
            exempt: AtomicU64::new(0),
            waiters: Mutex::default(),
            is_listed: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
            has_slow_client: AtomicBool::new(false),
        })
    }

    fn limit(&self) -> usize {
        self.address.process.limits.connection
    }

    /// Identifies the budget while it exists.
    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Returns what is counted of this connection for its address and the process.
    fn counted(&self) -> usize {
        whole_steps(self.used.load(Ordering::SeqCst)) + whole_steps(self.unlimited.load(Ordering::SeqCst))
    }

    /// Creates the budget of something that outlives this connection, with a limit of its own, for the same address.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "there are no HTTP requests"))]
    pub(crate) fn of_same_address(&self) -> Arc<Self> {
        Self::new(Arc::clone(&self.address))
    }

    /// Returns whether the limit is reached, or the connection is refused: then its calls do not start.
    pub(crate) fn is_used_up(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.limit() || self.is_refused()
    }

    /// Returns whether the limit of the address or of the process was reached while this connection was among those that
    /// hold most. It is, until it holds less than a step.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Acquire)
    }

    /// Returns whether the address or the process holds as much as its limit.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "there are no mounted requests"))]
    pub(crate) fn is_group_full(&self) -> bool {
        let process = &self.address.process;
        self.address.groups().any(|group| group.all.held() >= group.limit()) || process.used() >= process.limits.total
    }

    fn refuse(&self) {
        self.is_refused.store(true, Ordering::SeqCst);
        if self.counted() == 0 {
            self.is_refused.store(false, Ordering::SeqCst);
        }
        self.wake_all();
    }

    /// Decides whether the handler of a call may be polled. `call` is not 0, and identifies the call. Only a call that
    /// `grows` a response while it runs may become exempt: another one might wait for something else, and would keep the
    /// exemption from those that need it. Returns as well whether the call's waker was registered.
    fn admit(&self, call: u64, grows: bool, cx: &mut Context<'_>) -> (Admission, bool) {
        let decide = || {
            if self.is_refused() {
                Admission::Refuse
            } else if !self.is_used_up()
                || (grows && !self.has_slow_client.load(Ordering::SeqCst) && self.is_exempt(call))
            {
                Admission::Run
            } else {
                Admission::Wait
            }
        };
        match decide() {
            Admission::Wait => {
                self.add_waiter(call, cx.waker());
                // Again, since it may have changed before the waker was registered.
                (decide(), true)
            }
            admission => (admission, false),
        }
    }

    /// Wakes the task that has the connection when less is used, or when the connection is refused.
    pub(crate) fn wake_on_change(&self, waker: &Waker) {
        self.add_waiter(OWNER, waker);
    }

    /// Wakes the task that has the connection when it is refused, if what the task holds is enough for that. If it is
    /// refused already, the task is woken at once.
    pub(crate) fn wake_if_refused(&self, held: usize, waker: &Waker) {
        if held >= STEP {
            self.add_waiter(OWNER, waker);
            if self.is_refused() {
                waker.wake_by_ref();
            }
        }
    }

    fn add_waiter(&self, call: u64, waker: &Waker) {
        let mut lock = lock(&self.waiters);
        let waiters = lock.get_or_insert_default();
        let former = match waiters.iter_mut().find(|(waiter, _)| *waiter == call) {
            Some((_, waiting)) if waiting.will_wake(waker) => None,
            Some((_, waiting)) => Some(std::mem::replace(waiting, waker.clone())),
            None => {
                waiters.push((call, waker.clone()));
                None
            }
        };
        // Dropped without the lock, since that may drop a task with a call of this connection.
        drop(lock);
        drop(former);
    }

    fn remove_waiter(&self, call: u64) {
        let mut lock = lock(&self.waiters);
        let former = lock.as_mut().and_then(|waiters| {
            let at = waiters.iter().position(|(waiter, _)| *waiter == call)?;
            Some(waiters.swap_remove(at))
        });
        lock.take_if(|waiters| waiters.is_empty());
        drop(lock);
        drop(former);
    }

    /// Notes whether so much is waiting for the client to read it that no call may continue beyond the limit.
    pub(crate) fn set_slow_client(&self, is_slow: bool) {
        if self.has_slow_client.load(Ordering::Relaxed) != is_slow {
            self.has_slow_client.store(is_slow, Ordering::SeqCst);
            if !is_slow {
                self.wake_all();
            }
        }
    }

    fn is_exempt(&self, call: u64) -> bool {
        match self.exempt.compare_exchange(0, call, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(exempt) => exempt == call,
        }
    }

    /// Completes when the connection is refused and its tasks have had a turn since, in which they may have freed what they
    /// hold. For the task that has the connection: what it is polled for may have changed at any poll.
    pub(crate) fn poll_refused(&self, has_had_turn: &mut bool, cx: &mut Context<'_>) -> Poll<()> {
        let held = self.counted();
        self.wake_if_refused(held, cx.waker());
        let had_turn = std::mem::replace(has_had_turn, held > 0 && self.is_refused());
        if had_turn && *has_had_turn { Poll::Ready(()) } else { Poll::Pending }
    }

    fn wake_all(&self) {
        let waiters = std::mem::take(&mut *lock(&self.waiters));
        waiters.into_iter().flat_map(|waiters| *waiters).for_each(|(_, waker)| waker.wake());
    }

    fn change(self: &Arc<Self>, from: usize, to: usize) {
        if to > from {
            let before = self.used.fetch_add(to - from, Ordering::SeqCst);
            let steps = whole_steps(before + (to - from)) - whole_steps(before);
            if steps > 0 {
                self.add(steps);
            }
        } else if from > to {
            let before = self.used.fetch_sub(from - to, Ordering::SeqCst);
            let after = before - (from - to);
            let steps = whole_steps(before) - whole_steps(after);
            if steps > 0 {
                self.subtract(steps);
            }
            let limit = self.limit();
            if before >= limit && after < limit {
                self.wake_all();
            }
        }
    }

    /// As [`change`](Self::change), for what does not count for the connection's limit.
    fn change_unlimited(self: &Arc<Self>, from: usize, to: usize) {
        if to > from {
            let before = self.unlimited.fetch_add(to - from, Ordering::SeqCst);
            let steps = whole_steps(before + (to - from)) - whole_steps(before);
            if steps > 0 {
                self.add(steps);
            }
        } else if from > to {
            let before = self.unlimited.fetch_sub(from - to, Ordering::SeqCst);
            let steps = whole_steps(before) - whole_steps(before - (from - to));
            if steps > 0 {
                self.subtract(steps);
            }
        }
    }

    /// As [`change_unlimited`](Self::change_unlimited), if nothing else changes it.
    fn set_unlimited(self: &Arc<Self>, bytes: usize) {
        self.change_unlimited(self.unlimited.load(Ordering::Relaxed), bytes);
    }

    /// Adds to what the address, its site and the process hold.
    fn add(self: &Arc<Self>, bytes: usize) {
        let process = &self.address.process;
        if !self.is_listed.load(Ordering::SeqCst) && !self.is_listed.swap(true, Ordering::SeqCst) {
            process.list(self);
        }
        for group in self.address.groups() {
            if group.all.add(bytes) && group.key.is_some() {
                process.refuse_greediest(Some(group));
            }
        }
        if process.all.add(bytes) {
            process.refuse_greediest(None);
        }
    }

    /// Subtracts from what the address, its site and the process hold.
    fn subtract(&self, bytes: usize) {
        let process = &self.address.process;
        self.address.groups().for_each(|group| group.all.subtract(bytes, group.limit()));
        process.all.subtract(bytes, process.limits.total);
        if self.counted() == 0 {
            self.is_refused.store(false, Ordering::SeqCst);
            // Those that wait for a refusal, too, so that a connection at rest keeps no list of them.
            self.wake_all();
        }
    }
}

fn whole_steps(bytes: usize) -> usize {
    bytes - bytes % STEP
}

fn to_signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Without a limit.
impl Default for ProcessBudget {
    fn default() -> Self {
        let limits = HeldLimits { connection: usize::MAX, address: usize::MAX, total: usize::MAX };
        Self { limits, all: Group::new(limits.total), addresses: Mutex::default(), holders: Mutex::default() }
    }
}

impl Drop for ConnectionBudget {
    fn drop(&mut self) {
        if *self.is_listed.get_mut() {
            lock(&self.address.process.holders).remove(&self.key());
        }
    }
}

impl AddressBudget {
    fn limit(&self) -> usize {
        self.key.map_or(usize::MAX, |key| self.process.limits.of(key))
    }

    /// The address and its site.
    fn groups(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::once(self).chain(&self.site)
    }
}

impl Drop for AddressBudget {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut addresses = lock(&self.process.addresses);
        // A new connection may have created another entry meanwhile.
        if addresses.get(&key).is_some_and(|entry| entry.strong_count() == 0) {
            addresses.remove(&key);
            if addresses.len() < addresses.capacity() / 4 {
                let len = addresses.len();
                addresses.shrink_to(len * 2);
            }
        }
    }
}

/// Bytes that are held, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldBytes {
    budget: Arc<ConnectionBudget>,
    bytes: usize,
}

impl HeldBytes {
    pub(crate) fn new(budget: &Arc<ConnectionBudget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    pub(crate) fn set(&mut self, bytes: usize) {
        self.budget.change(self.bytes, bytes);
        self.bytes = bytes;
    }

    /// Returns whether the connection is refused.
    pub(crate) fn is_refused(&self) -> bool {
        self.budget.is_refused()
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.budget.change(self.bytes, 0);
    }
}

/// What the handler of a call over HTTP holds besides its response, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldByHandler {
    budget: Arc<ConnectionBudget>,
    bytes: usize,
}

impl HeldByHandler {
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "there are no calls over HTTP"))]
    pub(crate) fn new(budget: &Arc<ConnectionBudget>, bytes: usize) -> Self {
        budget.change_unlimited(0, bytes);
        Self { budget: Arc::clone(budget), bytes }
    }
}

impl Drop for HeldByHandler {
    fn drop(&mut self) {
        self.budget.change_unlimited(self.bytes, 0);
    }
}

/// What the task of a WebSocket holds, counted until this is dropped. Each has one, and a budget that it shares with no calls
/// over HTTP.
#[derive(Debug)]
pub(crate) struct ConnectionHeld(HeldBytes);

impl ConnectionHeld {
    pub(crate) fn new(budget: &Arc<ConnectionBudget>) -> Self {
        Self(HeldBytes::new(budget))
    }

    /// Counts what the connection holds now: what its client can free, and what only its handlers can.
    pub(crate) fn set(&mut self, limited: usize, unlimited: usize) {
        self.0.set(limited);
        self.0.budget.set_unlimited(unlimited);
    }

    /// Returns what counts the first of both. The second is counted until `self` is dropped.
    pub(crate) fn take_limited(&mut self) -> HeldBytes {
        let none = HeldBytes::new(&self.0.budget);
        std::mem::replace(&mut self.0, none)
    }
}

impl Drop for ConnectionHeld {
    fn drop(&mut self) {
        self.0.budget.set_unlimited(0);
    }
}

/// The part of a budget that belongs to a running call: what it holds, and whether it is exempt from the limit.
#[derive(Debug)]
pub(crate) struct CallBudget {
    held: HeldBytes,
    call: u64,
    /// It may be among the waiters.
    has_waited: bool,
}

impl CallBudget {
    /// `call` is not 0, and identifies the call within its connection.
    pub(crate) fn new(budget: &Arc<ConnectionBudget>, call: u64) -> Self {
        Self { held: HeldBytes::new(budget), call, has_waited: false }
    }

    /// As [`new`](Self::new), for a connection that does not number its calls: HTTP/2 carries many at a time.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "there are no calls over HTTP"))]
    pub(crate) fn numbered(budget: &Arc<ConnectionBudget>) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self::new(budget, LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Decides whether the call's handler may be polled. One that `grows` its response may continue beyond the limit.
    pub(crate) fn admit(&mut self, grows: bool, cx: &mut Context<'_>) -> Admission {
        let (admission, is_waiter) = self.held.budget.admit(self.call, grows, cx);
        self.has_waited |= is_waiter;
        admission
    }

    /// Counts what the call holds now.
    pub(crate) fn set(&mut self, bytes: usize) {
        self.held.set(bytes);
    }

    /// Returns whether the connection is refused.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "there are no HTTP requests"))]
    pub(crate) fn is_refused(&self) -> bool {
        self.held.is_refused()
    }

    /// Counts what the call holds while it waits, and wakes it if the connection is refused.
    pub(crate) fn set_pending(&mut self, bytes: usize, cx: &mut Context<'_>) {
        self.set(bytes);
        if bytes >= STEP {
            self.has_waited = true;
            self.held.budget.add_waiter(self.call, cx.waker());
            if self.held.budget.is_refused() {
                cx.waker().wake_by_ref();
            }
        }
    }
}

impl Drop for CallBudget {
    fn drop(&mut self) {
        let budget = &self.held.budget;
        if self.has_waited {
            budget.remove_waiter(self.call);
        }
        if budget.exempt.compare_exchange(self.call, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            budget.wake_all();
        }
    }
}

/// The failure of a call because the address or the process is at its limit: `too_large` for a running call that is dropped,
/// `busy` for one that was not run.
pub(crate) fn out_of_memory_budget(code: Code) -> Failure {
    let error = "The memory limit of this client's address or of the server is reached, and this connection is among those \
                 that hold most";
    Failure::new(code, error)
}
