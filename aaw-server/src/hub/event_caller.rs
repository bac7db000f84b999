//! The caller of an event, as its handler uses it: a connection, or a single HTTP request.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use aaw_protocol::{Code, Failure};
use tokio::runtime::Handle;

use crate::auth::identity_change::HandlerPoll;
use crate::auth::{CallContext, IdentifiedCaller, Service, SessionScope};
use crate::client_turns::client;
use crate::hub::delivery::Delivery;
use crate::hub::hub::Hub;
use crate::hub::peer::Peer;
use crate::hub::reader_pace::HoldScope;
use crate::hub::sender_hold::{HeldSender, SenderHold};

/// What the host operations of a server need, shared by all its callers.
#[derive(Debug)]
pub(crate) struct HostServices {
    pub(crate) hub: Arc<Hub>,
    /// `None` if authentication is not enabled.
    pub(crate) auth: Option<Arc<Service>>,
    /// The server's runtime, for futures that a module polls on threads of its own.
    pub(super) runtime: Option<Handle>,
    /// The most bytes that a message may have.
    pub(super) max_message: usize,
    /// The most bytes that handlers push at the same time, each with one push in one poll.
    max_in_flight: usize,
}

impl HostServices {
    /// To be called within the server's runtime.
    pub(crate) fn new(hub: Arc<Hub>, auth: Option<Arc<Service>>, max_message: usize) -> Arc<Self> {
        let runtime = Handle::try_current().ok();
        let workers = runtime.as_ref().map_or(1, |runtime| runtime.metrics().num_workers());
        Arc::new(Self { hub, auth, runtime, max_message, max_in_flight: workers.saturating_mul(max_message) })
    }
}

/// The caller of an event. Handlers use it as `services.ws`, also after the call and the connection have ended.
#[derive(Debug)]
pub(crate) struct EventCaller {
    origin: CallOrigin,
    pub(super) services: Arc<HostServices>,
}

#[derive(Debug)]
enum CallOrigin {
    Connection(Arc<Peer>),
    /// A connection, as its `_open` hooks use it.
    Opening(Arc<Peer>),
    /// Nothing can be pushed to it, and it is a member of no room.
    /// Boxed, so that connections do not reserve the memory for it.
    Request(Box<HttpCaller>),
}

#[derive(Debug)]
struct HttpCaller {
    context: CallContext,
    /// The request is held up as a sender.
    hold: Mutex<Option<Arc<SenderHold>>>,
}

impl HttpCaller {
    /// As [`Mailbox::begin_hold`](crate::hub::mailbox::Mailbox::begin_hold).
    fn begin_hold(&self) -> HeldSender {
        // Nothing panics while it holds the lock.
        let mut hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = hold.as_ref().and_then(SenderHold::part) {
            return part;
        }
        let (begun, part) = SenderHold::begin();
        *hold = Some(begun);
        part
    }

    fn is_held(&self) -> bool {
        let hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        hold.as_ref().is_some_and(|hold| !hold.has_ended())
    }

    fn poll_held(&self, cx: &mut Context<'_>) -> Poll<()> {
        let hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        hold.as_ref().map_or(Poll::Ready(()), |hold| hold.poll_ended(cx))
    }
}

impl Drop for HttpCaller {
    /// Drops the tasks that wait: the request is over, and its readers may keep its hold for seconds.
    fn drop(&mut self) {
        let hold = self.hold.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(hold) = hold {
            hold.forget_waiting();
        }
    }
}

impl EventCaller {
    pub(crate) fn for_connection(services: Arc<HostServices>, peer: Arc<Peer>) -> Arc<Self> {
        Arc::new(Self { origin: CallOrigin::Connection(peer), services })
    }

    /// Returns the caller for the `_open` hooks of this caller's connection.
    pub(crate) fn opening(self: &Arc<Self>) -> Arc<Self> {
        match self.peer() {
            Ok(peer) => {
                let origin = CallOrigin::Opening(Arc::clone(peer));
                Arc::new(Self { origin, services: Arc::clone(&self.services) })
            }
            Err(_) => Arc::clone(self),
        }
    }

    /// Returns what a session that this caller's handler starts belongs to. `_open` runs for each connection: what it
    /// stored would remain for each of them.
    pub(super) fn session_scope(&self) -> SessionScope {
        if matches!(self.origin, CallOrigin::Opening(_)) { SessionScope::Connection } else { SessionScope::Store }
    }

    #[cfg_attr(not(any(feature = "http", test)), expect(dead_code, reason = "there are no HTTP requests"))]
    pub(crate) fn for_request(services: Arc<HostServices>, context: CallContext) -> Arc<Self> {
        Arc::new(Self {
            origin: CallOrigin::Request(Box::new(HttpCaller { context, hold: Mutex::default() })),
            services,
        })
    }

    /// Returns the caller's connection, which may have ended.
    ///
    /// # Errors
    /// `no_connection` for an HTTP request.
    pub(crate) fn peer(&self) -> Result<&Arc<Peer>, Failure> {
        match &self.origin {
            CallOrigin::Connection(peer) | CallOrigin::Opening(peer) => Ok(peer),
            CallOrigin::Request(_) => Err(Failure::new(Code::NO_CONNECTION, "A call over HTTP has no connection")),
        }
    }

    /// Creates the delivery of a push by this caller, to be passed to [`wait_for_readers`](Self::wait_for_readers).
    pub(super) fn delivery(&self) -> Delivery {
        // What a handler pushes after its first push that holds it up is not in flight: it must not exceed the burst limit.
        Delivery::with_sender(if self.has_own_hold() { 0 } else { self.services.max_in_flight })
    }

    /// Holds up the caller until the readers of its push that are behind have read its part, or do not read. To be called without a
    /// lock. Only what a call of the caller pushes while it is polled holds up: nothing polls less often what a handler has spawned.
    /// Readers that are overrun hold up the caller's client as well.
    pub(super) fn wait_for_readers(&self, delivery: Delivery) {
        let readers = delivery.into_slow_readers();
        if readers.is_empty() || !HandlerPoll::is_of(self.context().id) {
            return;
        }
        let Some(part) = self.begin_hold() else { return };
        for reader in &readers {
            reader.peer.mailbox.hold_sender(reader.own, HoldScope::Caller, &part);
        }
        let Some(client) = client(self.context().address) else { return };
        let mut overrun = readers.iter().filter(|reader| reader.is_overrun).peekable();
        if overrun.peek().is_none() {
            return;
        }
        let part = self.services.hub.client_holds.begin(client);
        for reader in overrun {
            reader.peer.mailbox.hold_sender(reader.own, HoldScope::Client, &part);
        }
    }

    /// Begins a hold of the caller, or returns another part of the one that it has. `None` if it is not held up any more.
    fn begin_hold(&self) -> Option<HeldSender> {
        match &self.origin {
            CallOrigin::Connection(peer) | CallOrigin::Opening(peer) => peer.mailbox.begin_hold(),
            CallOrigin::Request(caller) => Some(caller.begin_hold()),
        }
    }

    /// Returns whether the caller is held up as a sender: its calls do not start.
    pub(crate) fn is_held(&self) -> bool {
        self.has_own_hold()
            || (self.services.hub.client_holds.has_any() && self.joins_hold_of_client() && self.has_own_hold())
    }

    fn has_own_hold(&self) -> bool {
        match &self.origin {
            CallOrigin::Connection(peer) | CallOrigin::Opening(peer) => peer.mailbox.is_held(),
            CallOrigin::Request(caller) => caller.is_held(),
        }
    }

    /// Completes when the caller is not held up as a sender. Until then its handlers are not to be polled, and its calls not to be
    /// started.
    #[inline]
    pub(crate) fn poll_held(&self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_own_hold(cx));
        if self.services.hub.client_holds.has_any() && self.joins_hold_of_client() {
            return self.poll_own_hold(cx);
        }
        Poll::Ready(())
    }

    fn poll_own_hold(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.origin {
            CallOrigin::Connection(peer) | CallOrigin::Opening(peer) => peer.mailbox.poll_held(cx),
            CallOrigin::Request(caller) => caller.poll_held(cx),
        }
    }

    /// Holds up the caller as long as its client is held up. Returns whether it is.
    #[cold]
    fn joins_hold_of_client(&self) -> bool {
        let hold = client(self.context().address).and_then(|client| self.services.hub.client_holds.find(client));
        let Some(hold) = hold else { return false };
        let Some(part) = self.begin_hold() else { return false };
        hold.add_sender(part);
        true
    }
}

impl IdentifiedCaller for EventCaller {
    fn context(&self) -> &CallContext {
        match &self.origin {
            CallOrigin::Connection(peer) | CallOrigin::Opening(peer) => &peer.context,
            CallOrigin::Request(caller) => &caller.context,
        }
    }
}
