//! The table of connections.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aaw_protocol::websocket::SharedFrame;
use aaw_protocol::{BROADCAST, Failure};
use dashmap::DashMap;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::address_limits::{Address, AddressPermit};
use crate::hub::client_holds::ClientHolds;
use crate::hub::delivery::Delivery;
use crate::hub::flusher::Flusher;
use crate::hub::mailbox::{Command, Mailbox, connection_ended};
use crate::hub::peer::Peer;
use crate::hub::push::push_frame;
use crate::hub::resumable::ResumableConnections;
use crate::hub::rooms::Rooms;
use crate::memory_budget::{ConnectionBudget, ProcessBudget};
use crate::request_info::KeptHandshake;
use crate::throttle::log_throttled;

/// The connections of a server, and their rooms.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    peers: DashMap<Uuid, Arc<Peer>>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) flusher: Arc<Flusher>,
    pub(crate) resumable: Arc<ResumableConnections>,
    pub(super) client_holds: ClientHolds,
    /// What all connections hold.
    memory: Arc<ProcessBudget>,
    /// Held while a push is appended for all connections, so that all receive such pushes in the same order.
    push_order: Mutex<()>,
    /// The number of connections, including those whose handshake is not complete and those that are closing: what the
    /// limit on connections counts.
    admitted: AtomicUsize,
    /// Notified when `admitted` becomes zero.
    emptied: Notify,
    /// The server is shutting down: connections accept no new calls.
    draining: AtomicBool,
    /// Whether connections drop the handlers that still run.
    stopped: watch::Sender<bool>,
}

/// The permit for one connection, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    hub: Arc<Hub>,
    /// Counts it for its address, if that is known and limited.
    address: Option<AddressPermit>,
}

impl ConnectionPermit {
    /// Counts the connection for its address, too.
    pub(crate) fn set_address(&mut self, address: AddressPermit) {
        self.address = Some(address);
    }

    /// Returns the address that the connection is counted for.
    pub(crate) fn address(&self) -> Option<&Arc<Address>> {
        self.address.as_ref().map(AddressPermit::address)
    }

    /// Completes when handlers that still run are dropped, see [`Hub::stop`].
    pub(crate) async fn stopped(&self) {
        // An error means that the hub is gone, which the permit prevents.
        let _ = self.hub.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if self.hub.admitted.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.hub.emptied.notify_waiters();
        }
    }
}

/// Keeps a connection in the table. Dropping it removes the connection and closes its mailbox and its session.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    pub(crate) peer: Arc<Peer>,
    /// `None` only while [`leave`](Self::leave) drops the guard.
    permit: Option<ConnectionPermit>,
    hub: Arc<Hub>,
}

impl ConnectionGuard {
    /// Returns a permit for a socket that is closed while its connection goes on.
    pub(crate) fn closing_permit(&self) -> Option<ConnectionPermit> {
        self.hub.admit(usize::MAX)
    }

    /// Returns the address that the connection is counted for.
    pub(crate) fn address(&self) -> Option<&Arc<Address>> {
        self.permit.as_ref().and_then(ConnectionPermit::address)
    }

    /// The connection has no socket: it does not count for its address any more, so that its client can connect again.
    pub(crate) fn leave_address(&mut self) {
        if let Some(permit) = &mut self.permit {
            permit.address = None;
        }
    }

    /// The connection goes on with the socket that had this permit, and counts for the address of that.
    pub(crate) fn take_address(&mut self, of_socket: Option<ConnectionPermit>) {
        if let (Some(permit), Some(mut of_socket)) = (&mut self.permit, of_socket) {
            permit.address = of_socket.address.take();
        }
    }

    /// Returns the connections that can be resumed.
    pub(crate) fn resumable(&self) -> &Arc<ResumableConnections> {
        &self.hub.resumable
    }

    /// Creates the budget of this connection.
    pub(crate) fn memory_budget(&self) -> Arc<ConnectionBudget> {
        self.hub.memory_budget(self.peer.context.address)
    }

    /// Removes the connection from the table and returns its permit, which counts until the socket is closed.
    pub(crate) fn leave(mut self) -> Option<ConnectionPermit> {
        self.permit.take()
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.hub.peers.remove(&self.peer.id());
        self.hub.rooms.leave_all(&self.peer);
        self.peer.mailbox.close();
        self.peer.context.session.close();
    }
}

impl Hub {
    /// Creates a table whose connections may each join up to `max_rooms` rooms, and hold memory within this budget.
    pub(crate) fn new(max_rooms: usize, memory: Arc<ProcessBudget>) -> Self {
        let flusher = Arc::<Flusher>::default();
        Self { rooms: Arc::new(Rooms::new(max_rooms, Arc::clone(&flusher))), flusher, memory, ..Self::default() }
    }

    /// Admits one more connection, unless there are `max` already.
    pub(crate) fn admit(self: &Arc<Self>, max: usize) -> Option<ConnectionPermit> {
        let permit = ConnectionPermit { hub: Arc::clone(self), address: None };
        let before = self.admitted.fetch_add(1, Ordering::AcqRel);
        // Those that are away have a permit, but no socket.
        (before < max || before - self.resumable.away().min(before) < max).then_some(permit)
    }

    /// Returns how many more connections can be admitted, of `max`.
    pub(crate) fn free(&self, max: usize) -> usize {
        let admitted = self.admitted.load(Ordering::Acquire);
        max.saturating_sub(admitted.saturating_sub(self.resumable.away()))
    }

    /// Inserts a connection. From here on broadcasts reach it.
    pub(crate) fn insert_with_handshake(
        self: &Arc<Self>,
        permit: ConnectionPermit,
        client_key: Option<Box<str>>,
        address: Option<IpAddr>,
        handshake: Option<Box<KeptHandshake>>,
        mailbox: Mailbox,
    ) -> ConnectionGuard {
        let peer = Peer::with_handshake(client_key, address, handshake, mailbox);
        self.peers.insert(peer.id(), Arc::clone(&peer));
        // Inserted before `draining` is read: either `drain` finds the connection in the table, or it is seen here.
        if self.draining.load(Ordering::SeqCst) {
            peer.mailbox.post(Command::Drain);
        }
        ConnectionGuard { peer, permit: Some(permit), hub: Arc::clone(self) }
    }

    /// Inserts a connection whose handshake is not kept.
    #[cfg(test)]
    pub(crate) fn insert(
        self: &Arc<Self>,
        permit: ConnectionPermit,
        client_key: Option<Box<str>>,
        address: Option<IpAddr>,
        mailbox: Mailbox,
    ) -> ConnectionGuard {
        self.insert_with_handshake(permit, client_key, address, None, mailbox)
    }

    /// Returns what a thread outside of the runtime is to do in short intervals: what waits for a task that a blocked worker
    /// may hold is done, or begun, elsewhere.
    pub(crate) fn check(&self) -> impl Fn() + Send + 'static {
        let (flusher, rooms) = (Arc::clone(&self.flusher), Arc::clone(&self.rooms));
        move || {
            flusher.check();
            rooms.announce_due();
        }
    }

    /// Returns the number of connections in the table.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Creates the budget of a connection from this address, if that is known.
    pub(crate) fn memory_budget(&self, address: Option<IpAddr>) -> Arc<ConnectionBudget> {
        self.memory.connection(address)
    }

    /// Returns what all connections hold, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.memory.used()
    }

    /// Makes every connection end the calls of generations of events that have ended.
    pub(crate) fn end_replaced(&self) {
        self.peers.iter().for_each(|peer| peer.mailbox.post(Command::EndReplaced));
    }

    /// Makes every connection, also those that are inserted later, refuse new calls and close when its running calls
    /// have completed.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.peers.iter().for_each(|peer| peer.mailbox.post(Command::Drain));
    }

    /// Makes every connection end its streams.
    pub(crate) fn end_streams(&self) {
        self.peers.iter().for_each(|peer| peer.mailbox.post(Command::EndStreams));
    }

    /// Makes every connection close now, and drop its handlers.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
        self.peers.iter().for_each(|peer| peer.mailbox.post(Command::Stop));
    }

    /// Completes when no connection is admitted.
    pub(crate) async fn wait_until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.admitted.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Pushes the event `broadcast` to all connections but `except`. `data` is JSON; if the frame is larger than
    /// `max_message` bytes, an error is logged and nothing is sent.
    pub(super) fn broadcast(&self, data: &str, max_message: usize, except: Option<Uuid>, delivery: &mut Delivery) {
        match push_frame(BROADCAST, data, max_message) {
            Ok(frame) => _ = self.push_to_all(&frame, except, delivery),
            Err(failure) => log_throttled!(error, "a broadcast was not sent: {failure}"),
        }
    }

    /// Pushes an event to all connections, and returns the number of those that it was posted to. `data` is JSON.
    pub(crate) fn emit(&self, event: &str, data: &str, max_message: usize) -> Result<usize, Failure> {
        Ok(self.push_to_all(&push_frame(event, data, max_message)?, None, &mut Delivery::default()))
    }

    /// Pushes an event to one connection. `data` is JSON.
    pub(crate) fn emit_to(&self, connection: Uuid, event: &str, data: &str, max_message: usize) -> Result<(), Failure> {
        let frame = push_frame(event, data, max_message)?;
        self.push_to(&self.peer(connection).ok_or_else(connection_ended)?, &frame, &mut Delivery::default())
    }

    /// Pushes a frame to one connection.
    pub(super) fn push_to(
        &self,
        peer: &Arc<Peer>,
        frame: &SharedFrame,
        delivery: &mut Delivery,
    ) -> Result<(), Failure> {
        let pushed = delivery.push(peer, frame);
        self.flusher.flush(delivery.take_unflushed());
        Ok(pushed?)
    }

    /// Returns the connection with this id.
    pub(crate) fn peer(&self, connection: Uuid) -> Option<Arc<Peer>> {
        self.peers.get(&connection).map(|peer| Arc::clone(&peer))
    }

    /// Appends one frame for all connections but `except`, and returns the number of those that accepted it. The others
    /// are not open yet, have ended, or are being closed because they read too slowly.
    fn push_to_all(&self, frame: &SharedFrame, except: Option<Uuid>, delivery: &mut Delivery) -> usize {
        delivery.reserve(self.peers.len());
        // Nothing panics while it holds the lock.
        let order = self.push_order.lock().unwrap_or_else(PoisonError::into_inner);
        let others = self.peers.iter().filter(|peer| Some(peer.id()) != except);
        let count = others.filter(|peer| delivery.push(peer, frame).is_ok()).count();
        drop(order);
        self.flusher.flush(delivery.take_unflushed());
        count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use aaw_protocol::Code;

    use super::*;

    fn connect(hub: &Arc<Hub>) -> ConnectionGuard {
        hub.insert(hub.admit(10).unwrap(), None, None, Mailbox::for_test(1000))
    }

    fn take_pushes(guard: &ConnectionGuard) -> Vec<SharedFrame> {
        let mut commands = VecDeque::new();
        guard.peer.mailbox.take(&mut commands);
        let frame = |command| if let Command::Push(frame) = command { Some(frame) } else { None };
        commands.into_iter().filter_map(frame).collect()
    }

    #[test]
    fn a_broadcast_reaches_all_connections_but_the_excepted_one() {
        let hub = Arc::new(Hub::default());
        let (a, b) = (connect(&hub), connect(&hub));
        hub.broadcast("1", 100, Some(a.peer.id()), &mut Delivery::default());
        assert_eq!((take_pushes(&a), take_pushes(&b)), (vec![], vec![SharedFrame::text(br#"["broadcast",1]"#)]));
        hub.broadcast("2", 100, None, &mut Delivery::default());
        assert_eq!((take_pushes(&a).len(), take_pushes(&b).len()), (1, 1));
    }

    #[test]
    fn a_broadcast_is_one_buffer_for_all_connections() {
        let hub = Arc::new(Hub::default());
        let (a, b) = (connect(&hub), connect(&hub));
        hub.broadcast("1", 100, None, &mut Delivery::default());
        assert_eq!(take_pushes(&a)[0].payload().as_ptr(), take_pushes(&b)[0].payload().as_ptr());
    }

    #[test]
    fn a_connection_that_has_ended_is_not_in_the_table() {
        let hub = Arc::new(Hub::default());
        let guard = connect(&hub);
        let id = guard.peer.id();
        drop(guard);
        assert_eq!(hub.len(), 0);
        assert_eq!(hub.emit_to(id, "e", "1", 100).unwrap_err().code, Code::NO_CONNECTION);
    }

    #[test]
    fn a_connection_that_is_inserted_while_the_server_drains_drains_too() {
        let hub = Arc::new(Hub::default());
        hub.drain();
        let guard = connect(&hub);
        let mut commands = VecDeque::new();
        guard.peer.mailbox.take(&mut commands);
        assert!(matches!(commands.pop_front(), Some(Command::Drain)));
    }

    #[test]
    fn admitted_connections_are_bounded_until_their_permits_are_dropped() {
        let hub = Arc::new(Hub::default());
        let permit = hub.admit(1).unwrap();
        assert!(hub.admit(1).is_none());
        drop(permit);
        assert!(hub.admit(1).is_some());
    }
}
