//! Who is connected.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(feature = "auth")]
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use aaw_event::host::Caller;
use aaw_protocol::{BROADCAST, Code, Failure, Shortened, codec, is_reserved};
use bytes::Bytes;
use dashmap::DashMap;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use uuid::Uuid;

#[cfg(feature = "auth")]
use crate::auth::Holder;
use crate::auth::{self, Held, Service, Session};
use crate::dispatch::Asker;
use crate::hub::host_ops::{AtHome, Behalf};
use crate::hub::mailbox::{Mail, NotTaken, Outbox};
use crate::hub::rooms::{Joined, Rooms};

/// The table of connections.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    peers: DashMap<Uuid, Arc<Peer>>,
    pub(crate) rooms: Rooms,
    /// Where the server runs: for what packages poll on their own threads.
    runtime: Option<Handle>,
    /// Connections and those about to be: what the bound on connections counts.
    admitted: AtomicUsize,
    /// Told when the last of them has gone.
    emptied: Notify,
    /// No new calls any more.
    draining: AtomicBool,
    /// Who is calling, if that is known at all.
    pub(crate) auth: Option<Arc<Service>>,
}

/// A connection as everybody else sees it: what handlers call `services.ws`.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: Uuid,
    /// By what the client tells itself apart; for the log, it proves nothing.
    pub(crate) client_key: Option<String>,
    pub(crate) outbox: Outbox,
    /// The rooms that it is in.
    pub(crate) joined: Joined,
    /// Where it comes from, if that is known.
    address: Option<IpAddr>,
    #[cfg(feature = "auth")]
    bond: Mutex<Bond>,
    /// How often handlers began to change whose it is.
    changes: AtomicUsize,
    max_message: usize,
    hub: Arc<Hub>,
}

/// Whose a connection is.
#[cfg(feature = "auth")]
#[derive(Debug)]
enum Bond {
    /// A session's, be it that it is over; or nobody's.
    To(Option<Arc<Held>>),
    /// Nobody's ever again: it has ended.
    Ended,
}

/// One of the connections that may exist at the same time.
#[derive(Debug)]
pub(crate) struct Place {
    hub: Arc<Hub>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.hub.admitted.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.hub.emptied.notify_waiters();
        }
    }
}

/// Keeps a connection in the table: it is there as long as this is.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) peer: Arc<Peer>,
    place: Option<Place>,
}

impl Seat {
    /// Takes the connection out of the table, and gives back its place: it counts until its socket is closed.
    pub(crate) fn leave(mut self) -> Option<Place> {
        self.place.take()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.peer.hub.peers.remove(&self.peer.id);
        self.peer.hub.rooms.end(&self.peer);
        self.peer.outbox.close();
        #[cfg(feature = "auth")]
        let _ = std::mem::replace(&mut *self.peer.bond(), Bond::Ended);
    }
}

impl Peer {
    /// Changes when a handler begins to change whose the connection is.
    pub(crate) fn changes_so_far(&self) -> usize {
        self.changes.load(Ordering::Relaxed)
    }

    /// What it has, if that is not over. Whoever keeps it sees to it that the connection learns of the end, also when it
    /// has another session by then.
    #[cfg(feature = "auth")]
    pub(crate) fn held(&self) -> Option<Arc<Held>> {
        match &*self.bond() {
            Bond::To(held) => held.clone().filter(|held| !held.is_over()),
            Bond::Ended => None,
        }
    }

    #[cfg(not(feature = "auth"))]
    pub(crate) fn held(&self) -> Option<Arc<Held>> {
        None
    }

    /// Gives up a session that is over, if the connection has it.
    #[cfg(feature = "auth")]
    pub(crate) fn gives_up(&self, session: &Arc<Session>) -> bool {
        self.release(session).is_some()
    }

    #[cfg(not(feature = "auth"))]
    pub(crate) fn gives_up(&self, _: &Arc<Session>) -> bool {
        false
    }

    #[cfg(feature = "auth")]
    fn bond(&self) -> MutexGuard<'_, Bond> {
        // Nothing panics while it holds the lock.
        self.bond.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "auth")]
impl Holder for Peer {
    fn session_ended(&self, session: &Arc<Session>) {
        self.outbox.post(Mail::SessionEnded(Arc::clone(session)));
    }
}

impl Hub {
    /// For a server that runs in the runtime of whoever calls this. A connection may be in so many rooms.
    pub(crate) fn new(max_rooms: usize, auth: Option<Arc<Service>>) -> Self {
        Self { rooms: Rooms::new(max_rooms), runtime: Handle::try_current().ok(), auth, ..Self::default() }
    }

    /// One more connection, unless there are `most` already.
    pub(crate) fn admit(self: &Arc<Self>, most: usize) -> Option<Place> {
        let place = Place { hub: Arc::clone(self) };
        let before = self.admitted.fetch_add(1, Ordering::AcqRel);
        (before < most).then_some(place)
    }

    /// Enters a connection into the table. From here on broadcasts reach it.
    pub(crate) fn enter(
        self: &Arc<Self>,
        place: Place,
        client_key: Option<String>,
        address: Option<IpAddr>,
        outbox: Outbox,
        max_message: usize,
    ) -> Seat {
        let id = Uuid::new_v4();
        let peer = Arc::new(Peer {
            id,
            client_key,
            outbox,
            address,
            joined: Joined::default(),
            #[cfg(feature = "auth")]
            bond: Mutex::new(Bond::To(None)),
            changes: AtomicUsize::new(0),
            max_message,
            hub: Arc::clone(self),
        });
        self.peers.insert(id, Arc::clone(&peer));
        // In the table first, then this look: either `drain` finds it there, or it finds `drain`.
        if self.draining.load(Ordering::SeqCst) {
            peer.outbox.post(Mail::Drain);
        }
        Seat { peer, place: Some(place) }
    }

    /// How many are connected.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Tells every connection to take no new calls and end when the running ones are done.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.peers.iter().for_each(|peer| peer.outbox.post(Mail::Drain));
    }

    /// Tells every connection to end now.
    pub(crate) fn stop(&self) {
        self.peers.iter().for_each(|peer| peer.outbox.post(Mail::Stop));
    }

    /// Where the server runs.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "for callers without a connection"))]
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.runtime.clone()
    }

    /// Ready when there are no connections, nor any about to be.
    pub(crate) async fn wait_until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.admitted.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Sends the event `broadcast` to all but one. `data` is JSON; what is larger than `most` bytes is logged, and nobody
    /// gets it.
    pub(crate) fn broadcast(&self, data: &str, most: usize, except: Option<Uuid>) {
        match frame(BROADCAST, data, most) {
            Ok(frame) => drop(self.send(&frame, except)),
            Err(failure) => tracing::error!("a broadcast was not sent: {failure}"),
        }
    }

    /// Sends an event to all, and says to how many. `data` is JSON.
    pub(crate) fn emit(&self, event: &str, data: &str, most: usize) -> Result<usize, Failure> {
        Ok(self.send(&frame(event, data, most)?, None))
    }

    /// Sends an event to one. `data` is JSON.
    pub(crate) fn emit_to(&self, connection: Uuid, event: &str, data: &str, most: usize) -> Result<(), Failure> {
        let frame = frame(event, data, most)?;
        self.peer(connection).ok_or(NotTaken::Gone).and_then(|peer| peer.outbox.push(frame)).map_err(no_connection)
    }

    /// The connection of this id.
    pub(crate) fn peer(&self, connection: Uuid) -> Option<Arc<Peer>> {
        self.peers.get(&connection).map(|peer| Arc::clone(&peer))
    }

    /// Sends one buffer to all, and says to how many. Who cannot take it is not waited for.
    fn send(&self, frame: &Bytes, except: Option<Uuid>) -> usize {
        let mut reached = 0;
        for peer in &self.peers {
            // Full: that connection is being closed for it. Gone: it needs nothing any more.
            if Some(peer.id) != except && peer.outbox.push(frame.clone()).is_ok() {
                reached += 1;
            }
        }
        reached
    }
}

/// The frame of a push of somebody's; `data` is JSON.
pub(crate) fn frame(event: &str, data: &str, most: usize) -> Result<Bytes, Failure> {
    if is_reserved(event) {
        return Err(name_of_ours(event));
    }
    let mut frame = Vec::with_capacity(event.len() + data.len() + 8);
    codec::begin(&mut frame, &codec::event_json(event));
    frame.extend_from_slice(data.as_bytes());
    codec::end(&mut frame);
    if frame.len() > most {
        let error = format!("The data of {} is larger than a message may be ({most} bytes)", Shortened(event));
        return Err(Failure::new(Code::TOO_LARGE, error));
    }
    Ok(frame.into())
}

/// What a handler is told that would speak in aaw's name.
pub(crate) fn name_of_ours(event: &str) -> Failure {
    Failure::new(Code::NOT_ALLOWED, format!("{} is a name of aaw's own", Shortened(event)))
}

fn no_connection(not_taken: NotTaken) -> Failure {
    Failure::new(
        Code::NO_CONNECTION,
        match not_taken {
            NotTaken::Gone => "The connection has ended",
            NotTaken::Full => "The connection is being closed: its client reads too slowly",
        },
    )
}

impl Asker for Peer {
    fn uuid(&self) -> Uuid {
        self.id
    }

    fn client_key(&self) -> Option<&str> {
        self.client_key.as_deref()
    }

    fn address(&self) -> Option<IpAddr> {
        self.address
    }

    #[cfg(not(feature = "auth"))]
    fn session(&self) -> Option<Arc<Session>> {
        None
    }

    #[cfg(feature = "auth")]
    fn session(&self) -> Option<Arc<Session>> {
        self.held().map(|held| Arc::clone(&held.session))
    }

    fn changes(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    #[cfg(feature = "auth")]
    fn holder(self: &Arc<Self>) -> Option<Weak<dyn Holder>> {
        let weak: Weak<Self> = Arc::downgrade(self);
        Some(weak)
    }

    #[cfg(feature = "auth")]
    fn hold(&self, held: Held) -> Option<Arc<Held>> {
        let held = Arc::new(held);
        match &mut *self.bond() {
            Bond::To(before) => before.replace(held),
            Bond::Ended => Some(held),
        }
    }

    #[cfg(feature = "auth")]
    fn release(&self, session: &Arc<Session>) -> Option<Arc<Held>> {
        match &mut *self.bond() {
            Bond::To(held) => held.take_if(|held| Arc::ptr_eq(&held.session, session)),
            Bond::Ended => None,
        }
    }
}

impl Caller for Peer {
    fn id(&self) -> String {
        self.id.to_string()
    }

    fn send_event(&self, event: &str, data: &str) -> Result<(), Failure> {
        self.outbox.push(frame(event, data, self.max_message)?).map_err(no_connection)
    }

    fn broadcast(&self, data: &str, include_self: bool) {
        self.hub.broadcast(data, self.max_message, (!include_self).then_some(self.id));
    }

    fn host_op(&self, op: &str, args: &str) -> Result<String, Failure> {
        if op == "identity" {
            return Ok(self.identity_json().unwrap_or_else(|| "null".into()));
        }
        self.behalf().host_op(op, args)
    }

    fn host_op_async(self: Arc<Self>, op: String, args: String) -> Answering {
        let runtime = self.hub.runtime.clone();
        match auth::host_op_async(self.hub.auth.as_ref(), &self, &op, &args) {
            Some(asked) => Box::pin(AtHome::new(runtime, asked)),
            None => Box::pin(AtHome::new(runtime, async move { self.behalf().host_op_async(&op, &args).await })),
        }
    }
}

impl Peer {
    fn behalf(&self) -> Behalf<'_> {
        Behalf { hub: &self.hub, connection: Some(self.id), most: self.max_message }
    }
}

/// What a handler awaits of us.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    fn enter(hub: &Arc<Hub>) -> Seat {
        hub.enter(hub.admit(10).unwrap(), None, None, Outbox::new(1000), 100)
    }

    fn mail(seat: &Seat) -> Vec<Bytes> {
        let mut mail = VecDeque::new();
        seat.peer.outbox.take(&mut mail);
        mail.into_iter().filter_map(|mail| if let Mail::Push(frame) = mail { Some(frame) } else { None }).collect()
    }

    #[test]
    fn a_broadcast_reaches_all_and_the_sender_if_it_asks() {
        let hub = Arc::new(Hub::default());
        let (a, b) = (enter(&hub), enter(&hub));
        a.peer.broadcast("1", false);
        assert_eq!((mail(&a), mail(&b)), (vec![], vec![Bytes::from(r#"["broadcast",1]"#)]));
        a.peer.broadcast("2", true);
        assert_eq!((mail(&a).len(), mail(&b).len()), (1, 1));
    }

    #[test]
    fn a_broadcast_is_one_buffer() {
        let hub = Arc::new(Hub::default());
        let (a, b) = (enter(&hub), enter(&hub));
        a.peer.broadcast("1", true);
        assert_eq!(mail(&a)[0].as_ptr(), mail(&b)[0].as_ptr());
    }

    #[test]
    fn who_has_gone_is_in_no_table() {
        let hub = Arc::new(Hub::default());
        let seat = enter(&hub);
        let peer = Arc::clone(&seat.peer);
        drop(seat);
        assert_eq!(hub.len(), 0);
        assert_eq!(peer.send_event("e", "1").unwrap_err().code, Code::NO_CONNECTION);
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let hub = Arc::new(Hub::default());
        let place = hub.admit(1).unwrap();
        assert!(hub.admit(1).is_none());
        drop(place);
        assert!(hub.admit(1).is_some());
    }

    #[test]
    fn what_is_too_large_or_reserved_is_refused() {
        let hub = Arc::new(Hub::default());
        let seat = enter(&hub);
        let large = format!("{:?}", "x".repeat(200));
        assert_eq!(seat.peer.send_event("e", &large).unwrap_err().code, Code::TOO_LARGE);
        assert_eq!(seat.peer.send_event("aaw/welcome", "1").unwrap_err().code, Code::NOT_ALLOWED);
        assert!(mail(&seat).is_empty());
    }
}
