//! Rooms: who hears what is said to a name.
//!
//! A room is there while somebody is in it. What is said in it goes to each member's outbox under the room's lock, so that
//! all of them hear it in one order; nobody is waited for. A connection knows its rooms too, so that its end finds them.
//!
//! Locks are taken in this order: a connection's [`Joined`], a room's [`Members`], an outbox. A room that empties is
//! marked as gone under its lock and taken out of the table afterwards; who finds such a one in the table takes it out, and
//! looks again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aaw_protocol::{Code, Failure, codec};
use bytes::Bytes;
use dashmap::DashMap;
use uuid::Uuid;

use crate::dispatch::Asker;
use crate::hub::table::Peer;

/// Bytes that a room's name may have, as an event's.
pub(crate) const LONGEST_NAME: usize = 200;

/// All rooms of a server. Bounded by its connections and the rooms that each may be in.
#[derive(Debug)]
pub(crate) struct Rooms {
    rooms: DashMap<Arc<str>, Arc<Room>>,
    /// Rooms that one connection may be in.
    most: usize,
}

#[derive(Debug, Default)]
struct Room {
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    all: HashMap<Uuid, Member>,
    /// Nobody joins this one any more.
    gone: bool,
}

#[derive(Debug)]
struct Member {
    peer: Arc<Peer>,
    /// What the others were told of it: the member's JSON. Nothing without presence.
    announced: Option<Box<str>>,
}

/// The rooms that a connection is in.
#[derive(Debug, Default)]
pub(crate) struct Joined(Mutex<JoinedRooms>);

#[derive(Debug, Default)]
struct JoinedRooms {
    names: HashSet<Arc<str>>,
    /// The connection has ended.
    closed: bool,
}

impl Rooms {
    pub(crate) fn new(most: usize) -> Self {
        Self { rooms: DashMap::new(), most }
    }

    /// Puts a connection into a room; with presence the others are told, once.
    pub(crate) fn join(&self, peer: &Arc<Peer>, name: &str, presence: bool) -> Result<(), Failure> {
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(Failure::new(Code::BAD_BODY, format!("A room's name has 1 to {LONGEST_NAME} bytes")));
        }
        // Before any lock is held: what it asks may have locks of its own.
        let announced = presence.then(|| member_json(peer));
        let mut joined = lock(&peer.joined.0);
        if joined.closed {
            return Err(Failure::new(Code::NO_CONNECTION, "The connection has ended"));
        }
        let is_new = !joined.names.contains(name);
        if is_new && joined.names.len() >= self.most {
            let error = format!("This connection is in {} rooms, and may be in no more", self.most);
            return Err(Failure::new(Code::BUSY, error));
        }
        loop {
            let (key, room) = self.find_or_make(name);
            let mut members = lock(&room.members);
            if members.gone {
                drop(members);
                self.take_out(name, &room);
                continue;
            }
            let member =
                members.all.entry(peer.id).or_insert_with(|| Member { peer: Arc::clone(peer), announced: None });
            let told = match announced {
                Some(announced) if member.announced.is_none() => {
                    let frame = presence_frame("aaw/joined", name, &announced);
                    member.announced = Some(announced);
                    Some(frame)
                }
                _ => None,
            };
            if let Some(frame) = told {
                members.send(&frame, Some(peer.id));
            }
            drop(members);
            if is_new {
                joined.names.insert(key);
            }
            return Ok(());
        }
    }

    /// Takes a connection out of a room, if it is in it.
    pub(crate) fn leave(&self, peer: &Peer, name: &str) {
        let mut joined = lock(&peer.joined.0);
        if joined.names.remove(name) {
            self.remove(peer, name);
        }
    }

    /// Takes a connection out of all its rooms, for good: it has ended.
    pub(crate) fn end(&self, peer: &Peer) {
        let mut joined = lock(&peer.joined.0);
        joined.closed = true;
        for name in std::mem::take(&mut joined.names) {
            self.remove(peer, &name);
        }
    }

    /// Sends one buffer to all who are in a room, in one order for all of them, and says to how many.
    pub(crate) fn send(&self, name: &str, frame: &Bytes, except: Option<Uuid>) -> usize {
        self.find(name).map_or(0, |room| lock(&room.members).send(frame, except))
    }

    pub(crate) fn size(&self, name: &str) -> usize {
        self.find(name).map_or(0, |room| lock(&room.members).all.len())
    }

    /// Who is in a room, in no order.
    pub(crate) fn members(&self, name: &str) -> Vec<Arc<Peer>> {
        let all = |room: Arc<Room>| lock(&room.members).all.values().map(|member| Arc::clone(&member.peer)).collect();
        self.find(name).map_or_else(Vec::new, all)
    }

    fn remove(&self, peer: &Peer, name: &str) {
        let Some(room) = self.find(name) else { return };
        let mut members = lock(&room.members);
        let Some(member) = members.all.remove(&peer.id) else { return };
        if let Some(announced) = member.announced {
            members.send(&presence_frame("aaw/left", name, &announced), None);
        }
        members.gone = members.all.is_empty();
        let is_gone = members.gone;
        drop(members);
        if is_gone {
            self.take_out(name, &room);
        }
    }

    fn find(&self, name: &str) -> Option<Arc<Room>> {
        self.rooms.get(name).map(|room| Arc::clone(&room))
    }

    fn find_or_make(&self, name: &str) -> (Arc<str>, Arc<Room>) {
        if let Some(found) = self.rooms.get(name) {
            return (Arc::clone(found.key()), Arc::clone(&found));
        }
        let made = self.rooms.entry(name.into()).or_default();
        (Arc::clone(made.key()), Arc::clone(&made))
    }

    /// Another room of this name may be there already.
    fn take_out(&self, name: &str, gone: &Arc<Room>) {
        self.rooms.remove_if(name, |_, room| Arc::ptr_eq(room, gone));
    }
}

/// With room for 1024 rooms a connection, as [`Config`](crate::Config) has it.
impl Default for Rooms {
    fn default() -> Self {
        Self::new(1024)
    }
}

impl Members {
    /// Who cannot take it is not waited for: full, it is being closed for it; gone, it needs nothing any more.
    fn send(&self, frame: &Bytes, except: Option<Uuid>) -> usize {
        let others = self.all.values().filter(|member| Some(member.peer.id) != except);
        others.filter(|member| member.peer.outbox.push(frame.clone()).is_ok()).count()
    }
}

/// `{"id", "identity"}`.
pub(crate) fn member_json(peer: &Peer) -> Box<str> {
    let identity = peer.identity_json();
    format!(r#"{{"id":"{}","identity":{}}}"#, peer.id, identity.as_deref().unwrap_or("null")).into()
}

fn presence_frame(event: &str, room: &str, member: &str) -> Bytes {
    let mut frame = Vec::with_capacity(event.len() + room.len() + member.len() + 40);
    codec::begin(&mut frame, &codec::event_json(event));
    frame.extend_from_slice(br#"{"room":"#);
    // A text can always be JSON.
    frame.extend_from_slice(&serde_json::to_vec(room).unwrap_or_default());
    frame.extend_from_slice(br#","member":"#);
    frame.extend_from_slice(member.as_bytes());
    frame.push(b'}');
    codec::end(&mut frame);
    frame.into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::hub::mailbox::{Mail, Outbox};
    use crate::hub::table::{Hub, Seat};

    fn enter(hub: &Arc<Hub>) -> Seat {
        hub.enter(hub.admit(1000).unwrap(), None, None, Outbox::new(1000), 100)
    }

    fn mail(seat: &Seat) -> Vec<String> {
        let mut mail = VecDeque::new();
        seat.peer.outbox.take(&mut mail);
        let text =
            |mail| if let Mail::Push(frame) = mail { Some(String::from_utf8(frame.to_vec()).unwrap()) } else { None };
        mail.into_iter().filter_map(text).collect()
    }

    #[test]
    fn what_is_said_reaches_the_members_but_one_in_one_buffer() {
        let hub = Arc::new(Hub::default());
        let (a, b, c) = (enter(&hub), enter(&hub), enter(&hub));
        for seat in [&a, &b] {
            hub.rooms.join(&seat.peer, "r", false).unwrap();
        }
        let frame = Bytes::from_static(b"x");
        assert_eq!(hub.rooms.send("r", &frame, Some(a.peer.id)), 1);
        assert_eq!(hub.rooms.send("r", &frame, Some(c.peer.id)), 2);
        assert_eq!((mail(&a).len(), mail(&b).len(), mail(&c).len()), (1, 2, 0));
        assert_eq!((hub.rooms.send("elsewhere", &frame, None), hub.rooms.size("elsewhere")), (0, 0));
    }

    #[test]
    fn a_room_vanishes_with_its_last_member() {
        let hub = Arc::new(Hub::default());
        let (a, b) = (enter(&hub), enter(&hub));
        for name in ["r", "s"] {
            hub.rooms.join(&a.peer, name, false).unwrap();
            hub.rooms.join(&b.peer, name, false).unwrap();
        }
        hub.rooms.leave(&a.peer, "r");
        hub.rooms.leave(&a.peer, "r");
        assert_eq!((hub.rooms.size("r"), hub.rooms.size("s")), (1, 2));
        let peer = Arc::clone(&b.peer);
        drop((a, b));
        assert!(hub.rooms.rooms.is_empty());
        assert_eq!(hub.rooms.join(&peer, "r", false).unwrap_err().code, Code::NO_CONNECTION);
        assert!(hub.rooms.rooms.is_empty(), "who has gone makes no room");
    }

    #[test]
    fn presence_is_told_once_on_each_side() {
        let hub = Arc::new(Hub::default());
        let (a, b) = (enter(&hub), enter(&hub));
        hub.rooms.join(&a.peer, "r \"1\"", false).unwrap();
        for presence in [false, true, true, false] {
            hub.rooms.join(&b.peer, "r \"1\"", presence).unwrap();
        }
        let id = b.peer.id;
        let member = format!(r#"{{"room":"r \"1\"","member":{{"id":"{id}","identity":null}}}}"#);
        assert_eq!(mail(&a), [format!(r#"["aaw/joined",{member}]"#)]);
        assert!(mail(&b).is_empty(), "it knows of itself");
        hub.rooms.leave(&b.peer, "r \"1\"");
        drop(b);
        assert_eq!(mail(&a), [format!(r#"["aaw/left",{member}]"#)]);
        // Who joined without is not spoken of.
        let c = enter(&hub);
        hub.rooms.join(&c.peer, "r \"1\"", false).unwrap();
        drop(c);
        assert!(mail(&a).is_empty());
    }

    #[test]
    fn rooms_and_their_names_are_bounded() {
        let hub = Arc::new(Hub::default());
        let a = enter(&hub);
        let joined = |name: String| hub.rooms.join(&a.peer, &name, false).map_err(|failure| failure.code);
        for number in 0..1024 {
            joined(number.to_string()).unwrap();
        }
        for number in 1024..100_000 {
            assert_eq!(joined(number.to_string()), Err(Code::BUSY));
        }
        assert_eq!(hub.rooms.rooms.len(), 1024);
        assert_eq!(joined("7".into()), Ok(()), "it is in this one");
        hub.rooms.leave(&a.peer, "7");
        assert_eq!(joined("x".repeat(201)), Err(Code::BAD_BODY));
        assert_eq!(joined(String::new()), Err(Code::BAD_BODY));
        assert_eq!(joined("x".repeat(200)), Ok(()));
    }

    #[test]
    fn coming_and_going_at_once_loses_nobody() {
        let hub = Arc::new(Hub::default());
        let stays = enter(&hub);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let seat = enter(&hub);
                    for _ in 0..2_000 {
                        hub.rooms.join(&seat.peer, "r", false).unwrap();
                        assert!(hub.rooms.size("r") > 0, "it is in the room that is in the table");
                        hub.rooms.leave(&seat.peer, "r");
                    }
                });
            }
        });
        assert!(hub.rooms.rooms.is_empty());
        hub.rooms.join(&stays.peer, "r", false).unwrap();
        assert_eq!(hub.rooms.size("r"), 1);
    }
}
