//! A connection, as the rest of the server sees it.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use uuid::Uuid;

use crate::address_limits::PlaceHolder;
use crate::auth::{CallContext, Session, SessionObserver, SessionSlot};
use crate::hub::mailbox::{Command, Mailbox};
use crate::request_info::KeptHandshake;

/// A connection: its identity, the mailbox of the task that owns its socket, and the rooms that it has joined.
///
/// Handlers keep it beyond the connection's end; then its mailbox and its session are closed, and it can join no room.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) context: CallContext,
    pub(crate) mailbox: Mailbox,
    joined: Mutex<JoinedRooms>,
}

/// The rooms that a connection has joined.
#[derive(Debug, Default)]
pub(super) struct JoinedRooms {
    #[expect(clippy::box_collection, reason = "one pointer: most connections are in no room")]
    names: Option<Box<HashSet<Arc<str>>>>,
    /// The connection has ended, and joins no more rooms.
    pub(super) closed: bool,
}

impl JoinedRooms {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.names.as_ref().is_some_and(|names| names.contains(name))
    }

    pub(super) fn len(&self) -> usize {
        self.names.as_ref().map_or(0, |names| names.len())
    }

    pub(super) fn insert(&mut self, name: Arc<str>) {
        self.names.get_or_insert_default().insert(name);
    }

    /// Returns whether the connection was in the room.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let was_joined = self.names.as_mut().is_some_and(|names| names.remove(name));
        self.names.take_if(|names| names.is_empty());
        was_joined
    }

    pub(super) fn take(&mut self) -> impl Iterator<Item = Arc<str>> {
        self.names.take().into_iter().flat_map(|names| *names)
    }
}

impl Peer {
    #[cfg(test)]
    pub(super) fn new(client_key: Option<Box<str>>, address: Option<IpAddr>, mailbox: Mailbox) -> Arc<Self> {
        Self::with_handshake(client_key, address, None, mailbox)
    }

    pub(super) fn with_handshake(
        client_key: Option<Box<str>>,
        address: Option<IpAddr>,
        handshake: Option<Box<KeptHandshake>>,
        mailbox: Mailbox,
    ) -> Arc<Self> {
        Arc::new_cyclic(|weak: &Weak<Self>| {
            let observer: Weak<dyn SessionObserver> = weak.clone();
            let session = SessionSlot::for_connection(observer);
            let context = CallContext { id: Uuid::new_v4(), client_key, address, session, handshake };
            Self { context, mailbox, joined: Mutex::default() }
        })
    }

    pub(crate) fn id(&self) -> Uuid {
        self.context.id
    }

    /// Locks the connection's rooms. Taken before a room's lock, see `rooms`.
    pub(super) fn joined_rooms(&self) -> MutexGuard<'_, JoinedRooms> {
        // Nothing panics while it holds the lock.
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PlaceHolder for Peer {
    fn give_up_place(&self) {
        self.mailbox.post(Command::GiveUpPlace);
    }
}

impl SessionObserver for Peer {
    fn session_ended(&self, session: &Arc<Session>) {
        self.mailbox.post(Command::SessionEnded(Arc::clone(session)));
    }
}
