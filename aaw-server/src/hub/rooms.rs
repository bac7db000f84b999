//! Rooms: named groups of connections.
//!
//! A room exists while it has members. A message to it is appended for each member under the room's lock, so
//! that all members receive the messages in the same order, and written after that; a member that does not read does not delay the others. A
//! connection also stores the names of its rooms, so that its end can leave them.
//!
//! Locks are taken in this order: a connection's joined rooms, a room's members, a mailbox. A room whose last member
//! leaves is marked as removed under its lock, and removed from the table afterwards. Whichever thread finds a room
//! with that mark in the table removes it and looks again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aaw_protocol::hello::{MEMBER_JOINED, MEMBER_LEFT};
use aaw_protocol::websocket::SharedFrame;
use aaw_protocol::{Code, Failure, codec};
use dashmap::DashMap;
use uuid::Uuid;

use crate::hub::flusher::Flusher;
use crate::hub::mailbox::connection_ended;
use crate::hub::peer::Peer;

/// The most bytes that the name of a room may have, as for the name of an event.
const MAX_NAME_LEN: usize = 200;

/// All rooms of a server. Bounded by its connections and the number of rooms that each may join.
#[derive(Debug)]
pub(crate) struct Rooms {
    rooms: DashMap<Arc<str>, Arc<RoomState>>,
    /// The number of rooms that one connection may be in.
    max_joined: usize,
    flusher: Arc<Flusher>,
}

#[derive(Debug, Default)]
struct RoomState {
    members: Mutex<RoomMembers>,
}

#[derive(Debug, Default)]
struct RoomMembers {
    by_id: HashMap<Uuid, RoomMember>,
    /// The last member has left. No connection may join this room any more; a new room of the same name replaces it.
    removed: bool,
}

#[derive(Debug)]
struct RoomMember {
    peer: Arc<Peer>,
    /// The member's JSON as the others received it; `None` without presence.
    announced: Option<Box<str>>,
}

impl Rooms {
    pub(crate) fn new(max_joined: usize, flusher: Arc<Flusher>) -> Self {
        Self { rooms: DashMap::new(), max_joined, flusher }
    }

    /// Adds a connection to a room. With presence the other members are notified, once.
    ///
    /// # Errors
    /// `bad_body` for an invalid name, `busy` if the connection is in too many rooms, `no_connection` if it has ended.
    pub(crate) fn join(&self, peer: &Arc<Peer>, name: &str, presence: bool) -> Result<(), Failure> {
        if name.is_empty() || name.len() > MAX_NAME_LEN {
            return Err(Failure::new(Code::BAD_BODY, format!("A room's name must have 1 to {MAX_NAME_LEN} bytes")));
        }
        // Before any lock is taken, since it locks the session.
        let announced = presence.then(|| member_json(peer));
        let mut joined = peer.joined_rooms();
        if joined.closed {
            return Err(connection_ended());
        }
        let is_new = !joined.names.contains(name);
        if is_new && joined.names.len() >= self.max_joined {
            let error = format!("This connection is in {} rooms, which is the limit", self.max_joined);
            return Err(Failure::new(Code::BUSY, error));
        }
        loop {
            let (key, room) = self.find_or_insert(name);
            let mut members = room.lock();
            if members.removed {
                drop(members);
                self.remove_room(name, &room);
                continue;
            }
            let member = members
                .by_id
                .entry(peer.id())
                .or_insert_with(|| RoomMember { peer: Arc::clone(peer), announced: None });
            let notification = match announced {
                Some(announced) if member.announced.is_none() => {
                    let frame = presence_frame(MEMBER_JOINED, name, &announced);
                    member.announced = Some(announced);
                    Some(frame)
                }
                _ => None,
            };
            let pushed = notification.map(|frame| members.push(&frame, Some(peer.id())));
            drop(members);
            self.flush(pushed);
            if is_new {
                joined.names.insert(key);
            }
            return Ok(());
        }
    }

    /// Removes a connection from a room, if it is a member.
    pub(crate) fn leave(&self, peer: &Peer, name: &str) {
        let mut joined = peer.joined_rooms();
        if joined.names.remove(name) {
            self.remove_member(peer, name);
        }
    }

    /// Removes a connection that has ended from all its rooms; it cannot join one again.
    pub(crate) fn leave_all(&self, peer: &Peer) {
        let mut joined = peer.joined_rooms();
        joined.closed = true;
        for name in std::mem::take(&mut joined.names) {
            self.remove_member(peer, &name);
        }
    }

    /// Pushes one buffer to the members of a room but `except`. Returns the number of members it was posted to.
    pub(crate) fn push(&self, name: &str, frame: &SharedFrame, except: Option<Uuid>) -> usize {
        let Some(room) = self.find(name) else { return 0 };
        let pushed = room.lock().push(frame, except);
        let count = pushed.count;
        self.flush(Some(pushed));
        count
    }

    /// Has a push written that was appended. Outside of the room's lock.
    fn flush(&self, pushed: Option<PushedToMembers>) {
        if let Some(pushed) = pushed {
            self.flusher.flush(pushed.unflushed);
        }
    }

    /// Returns the number of members; 0 if there is no such room.
    pub(crate) fn size(&self, name: &str) -> usize {
        self.find(name).map_or(0, |room| room.lock().by_id.len())
    }

    /// Returns the members of a room, in no particular order.
    pub(crate) fn members(&self, name: &str) -> Vec<Arc<Peer>> {
        let members =
            |room: Arc<RoomState>| room.lock().by_id.values().map(|member| Arc::clone(&member.peer)).collect();
        self.find(name).map_or_else(Vec::new, members)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.rooms.len()
    }

    fn remove_member(&self, peer: &Peer, name: &str) {
        let Some(room) = self.find(name) else { return };
        let mut members = room.lock();
        let Some(member) = members.by_id.remove(&peer.id()) else { return };
        let announced = member.announced.map(|announced| presence_frame(MEMBER_LEFT, name, &announced));
        let pushed = announced.map(|frame| members.push(&frame, None));
        members.removed = members.by_id.is_empty();
        let removed = members.removed;
        drop(members);
        self.flush(pushed);
        if removed {
            self.remove_room(name, &room);
        }
    }

    fn find(&self, name: &str) -> Option<Arc<RoomState>> {
        self.rooms.get(name).map(|room| Arc::clone(&room))
    }

    fn find_or_insert(&self, name: &str) -> (Arc<str>, Arc<RoomState>) {
        if let Some(found) = self.rooms.get(name) {
            return (Arc::clone(found.key()), Arc::clone(&found));
        }
        let inserted = self.rooms.entry(name.into()).or_default();
        (Arc::clone(inserted.key()), Arc::clone(&inserted))
    }

    /// Removes this room from the table, and not another one that has taken its name.
    fn remove_room(&self, name: &str, removed: &Arc<RoomState>) {
        self.rooms.remove_if(name, |_, room| Arc::ptr_eq(room, removed));
    }
}

/// Rooms with the default bound of [`Config::max_rooms`](crate::Config::max_rooms).
impl Default for Rooms {
    fn default() -> Self {
        Self::new(1024, Arc::default())
    }
}

impl RoomState {
    fn lock(&self) -> MutexGuard<'_, RoomMembers> {
        // Nothing panics while it holds the lock.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RoomMembers {
    /// Posts a push to the members but `except`. Members that do not accept it are skipped: they have ended, or are
    /// being closed because they read too slowly.
    fn push(&self, frame: &SharedFrame, except: Option<Uuid>) -> PushedToMembers {
        let mut unflushed = Vec::with_capacity(self.by_id.len());
        let others = self.by_id.values().filter(|member| Some(member.peer.id()) != except);
        let count = others.filter(|member| member.peer.push(frame, &mut unflushed).is_ok()).count();
        PushedToMembers { count, unflushed }
    }
}

/// The result of a push to the members of a room.
struct PushedToMembers {
    /// The number of members that accepted it.
    count: usize,
    unflushed: Vec<Arc<Peer>>,
}

/// Returns a connection as handlers and members see it: `{"id", "identity"}`.
pub(super) fn member_json(peer: &Peer) -> Box<str> {
    let identity = peer.context.identity_json();
    format!(r#"{{"id":"{}","identity":{}}}"#, peer.id(), identity.as_deref().unwrap_or("null")).into()
}

fn presence_frame(event: &str, room: &str, member: &str) -> SharedFrame {
    let mut frame = Vec::with_capacity(event.len() + room.len() + member.len() + 40);
    codec::begin(&mut frame, &codec::event_json(event));
    frame.extend_from_slice(br#"{"room":"#);
    // A string always serializes.
    frame.extend_from_slice(&serde_json::to_vec(room).unwrap_or_default());
    frame.extend_from_slice(br#","member":"#);
    frame.extend_from_slice(member.as_bytes());
    frame.push(b'}');
    codec::end(&mut frame);
    SharedFrame::text(&frame)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::hub::mailbox::{Command, Mailbox};

    fn connect() -> Arc<Peer> {
        Peer::new(None, None, Mailbox::for_test(1000))
    }

    fn disconnect(rooms: &Rooms, peer: &Peer) {
        rooms.leave_all(peer);
        peer.mailbox.close();
    }

    fn take_pushes(peer: &Peer) -> Vec<String> {
        let mut commands = VecDeque::new();
        peer.mailbox.take(&mut commands);
        let text = |command| match command {
            Command::Push(frame) => Some(String::from_utf8(frame.payload().to_vec()).unwrap()),
            _ => None,
        };
        commands.into_iter().filter_map(text).collect()
    }

    #[test]
    fn a_push_to_a_room_reaches_all_members_but_the_excepted_one() {
        let rooms = Rooms::default();
        let (a, b, c) = (connect(), connect(), connect());
        for peer in [&a, &b] {
            rooms.join(peer, "r", false).unwrap();
        }
        let frame = SharedFrame::text(b"x");
        assert_eq!(rooms.push("r", &frame, Some(a.id())), 1);
        assert_eq!(rooms.push("r", &frame, Some(c.id())), 2);
        assert_eq!((take_pushes(&a).len(), take_pushes(&b).len(), take_pushes(&c).len()), (1, 2, 0));
        assert_eq!((rooms.push("elsewhere", &frame, None), rooms.size("elsewhere")), (0, 0));
    }

    #[test]
    fn a_room_is_removed_with_its_last_member() {
        let rooms = Rooms::default();
        let (a, b) = (connect(), connect());
        for name in ["r", "s"] {
            rooms.join(&a, name, false).unwrap();
            rooms.join(&b, name, false).unwrap();
        }
        rooms.leave(&a, "r");
        rooms.leave(&a, "r");
        assert_eq!((rooms.size("r"), rooms.size("s")), (1, 2));
        disconnect(&rooms, &a);
        disconnect(&rooms, &b);
        assert_eq!(rooms.len(), 0);
        assert_eq!(rooms.join(&b, "r", false).unwrap_err().code, Code::NO_CONNECTION);
        assert_eq!(rooms.len(), 0, "a connection that has ended creates no room");
    }

    #[test]
    fn presence_notifies_the_other_members_once() {
        let rooms = Rooms::default();
        let (a, b) = (connect(), connect());
        rooms.join(&a, "r \"1\"", false).unwrap();
        for presence in [false, true, true, false] {
            rooms.join(&b, "r \"1\"", presence).unwrap();
        }
        let id = b.id();
        let member = format!(r#"{{"room":"r \"1\"","member":{{"id":"{id}","identity":null}}}}"#);
        assert_eq!(take_pushes(&a), [format!(r#"["aaw/joined",{member}]"#)]);
        assert!(take_pushes(&b).is_empty(), "the member itself is not notified");
        rooms.leave(&b, "r \"1\"");
        disconnect(&rooms, &b);
        assert_eq!(take_pushes(&a), [format!(r#"["aaw/left",{member}]"#)]);
    }

    #[test]
    fn a_member_without_presence_is_not_announced() {
        let rooms = Rooms::default();
        let (a, b) = (connect(), connect());
        rooms.join(&a, "r", false).unwrap();
        rooms.join(&b, "r", false).unwrap();
        disconnect(&rooms, &b);
        assert!(take_pushes(&a).is_empty());
    }

    #[test]
    fn the_number_of_joined_rooms_and_the_length_of_names_are_bounded() {
        let rooms = Rooms::default();
        let peer = connect();
        let join = |name: String| rooms.join(&peer, &name, false).map_err(|failure| failure.code);
        for number in 0..1024 {
            join(number.to_string()).unwrap();
        }
        for number in 1024..100_000 {
            assert_eq!(join(number.to_string()), Err(Code::BUSY));
        }
        assert_eq!(rooms.len(), 1024);
        assert_eq!(join("7".into()), Ok(()), "it is a member already");
        rooms.leave(&peer, "7");
        assert_eq!(join("x".repeat(201)), Err(Code::BAD_BODY));
        assert_eq!(join(String::new()), Err(Code::BAD_BODY));
        assert_eq!(join("x".repeat(200)), Ok(()));
    }

    #[test]
    fn concurrent_joins_and_leaves_lose_no_member() {
        let rooms = Rooms::default();
        let peer = connect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let peer = connect();
                    for _ in 0..2_000 {
                        rooms.join(&peer, "r", false).unwrap();
                        assert!(rooms.size("r") > 0, "it is a member of the room in the table");
                        rooms.leave(&peer, "r");
                    }
                    disconnect(&rooms, &peer);
                });
            }
        });
        assert_eq!(rooms.len(), 0);
        rooms.join(&peer, "r", false).unwrap();
        assert_eq!(rooms.size("r"), 1);
    }
}
