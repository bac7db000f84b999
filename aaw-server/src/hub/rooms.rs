//! Rooms: named groups of connections.
//!
//! A room exists while it has members. A message to it is appended for each member under the room's lock, so
//! that all members receive the messages in the same order, and written after that; a member that does not read does not delay the others. A
//! connection also stores the names of its rooms, so that its end can leave them.
//!
//! A member is removed when it leaves, but the [notice](super::departures) of it may wait for those that leave at the same time. A
//! member that joins is added after the notices of those that left before it. A task announces what is due.
//!
//! Locks are taken in this order: a connection's joined rooms, a room's members, a mailbox or the rooms that wait. A room whose last member
//! leaves is marked as removed under its lock, and removed from the table afterwards. Whichever thread finds a room
//! with that mark in the table removes it and looks again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aaw_protocol::hello::{MEMBER_JOINED, MEMBER_LEFT};
use aaw_protocol::websocket::SharedFrame;
use aaw_protocol::{Code, Failure, codec};
use dashmap::DashMap;
use uuid::Uuid;

use crate::hub::delivery::Delivery;
use crate::hub::departures::{Departures, QUIET};
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
    waiting: Mutex<WaitingRooms>,
}

/// The rooms with departures that are announced later.
#[derive(Debug, Default)]
struct WaitingRooms {
    rooms: Vec<Arc<RoomState>>,
    /// The task runs that announces them. It ends when there are none.
    is_running: bool,
}

#[derive(Debug, Default)]
struct RoomState {
    members: Mutex<RoomMembers>,
}

#[derive(Debug, Default)]
struct RoomMembers {
    by_id: HashMap<Uuid, RoomMember>,
    departures: Departures,
    /// The room is among the [waiting rooms](WaitingRooms), or is about to be.
    is_waiting: bool,
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
        Self { rooms: DashMap::new(), max_joined, flusher, waiting: Mutex::default() }
    }

    /// Adds a connection to a room. With presence the other members are notified, once.
    ///
    /// # Errors
    /// `bad_body` for an invalid name, `busy` if the connection is in too many rooms, `no_connection` if it has ended.
    pub(super) fn join(
        &self,
        peer: &Arc<Peer>,
        name: &str,
        presence: bool,
        delivery: &mut Delivery,
    ) -> Result<(), Failure> {
        if name.is_empty() || name.len() > MAX_NAME_LEN {
            return Err(Failure::new(Code::BAD_BODY, format!("A room's name must have 1 to {MAX_NAME_LEN} bytes")));
        }
        // Before any lock is taken, since it locks the session.
        let announced = presence.then(|| member_json(peer));
        let mut joined = peer.joined_rooms();
        if joined.closed {
            return Err(connection_ended());
        }
        let is_new = !joined.contains(name);
        if is_new && joined.len() >= self.max_joined {
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
            members.announce_departures(delivery);
            let member = members
                .by_id
                .entry(peer.id())
                .or_insert_with(|| RoomMember { peer: Arc::clone(peer), announced: None });
            let notification = match announced {
                Some(announced) if member.announced.is_none() => {
                    let frame = SharedFrame::text(&presence_message(MEMBER_JOINED, name, &announced));
                    member.announced = Some(announced);
                    Some(frame)
                }
                _ => None,
            };
            if let Some(frame) = notification {
                members.push(&frame, Some(peer.id()), delivery);
            }
            drop(members);
            self.flusher.flush(delivery.take_unflushed());
            if is_new {
                joined.insert(key);
            }
            return Ok(());
        }
    }

    /// Removes a connection from a room, if it is a member.
    pub(crate) fn leave(self: &Arc<Self>, peer: &Peer, name: &str) {
        let mut joined = peer.joined_rooms();
        if joined.remove(name) {
            self.remove_member(peer, name, true);
        }
    }

    /// Removes a connection that has ended from all its rooms; it cannot join one again.
    pub(crate) fn leave_all(self: &Arc<Self>, peer: &Peer) {
        let mut joined = peer.joined_rooms();
        joined.closed = true;
        for name in joined.take() {
            self.remove_member(peer, &name, false);
        }
    }

    /// Pushes one buffer to the members of a room but `except`. Returns the number of members it was posted to.
    pub(super) fn push(&self, name: &str, frame: &SharedFrame, except: Option<Uuid>, delivery: &mut Delivery) -> usize {
        let Some(room) = self.find(name) else { return 0 };
        let mut members = room.lock();
        if members.departures.precede_messages() {
            members.announce_departures(delivery);
        }
        let count = members.push(frame, except, delivery);
        drop(members);
        // Outside of the room's lock.
        self.flusher.flush(delivery.take_unflushed());
        count
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

    fn remove_member(self: &Arc<Self>, peer: &Peer, name: &str, by_handler: bool) {
        let Some(room) = self.find(name) else { return };
        let mut members = room.lock();
        let Some(member) = members.by_id.remove(&peer.id()) else { return };
        members.removed = members.by_id.is_empty();
        if members.removed {
            // Nobody is left to be told.
            drop(members);
            self.remove_room(name, &room);
            return;
        }
        let Some(announced) = member.announced else { return };
        let now = now();
        members.departures.add(now, presence_message(MEMBER_LEFT, name, &announced), by_handler);
        let mut delivery = Delivery::default();
        // Without a runtime, as in unit tests, no task would announce it later.
        let can_wait = self.flusher.runtime().is_some() && members.departures.due() > Some(now);
        if !can_wait {
            members.announce_departures(&mut delivery);
        }
        let begins_to_wait = can_wait && !std::mem::replace(&mut members.is_waiting, can_wait);
        drop(members);
        self.flusher.flush(delivery.take_unflushed());
        if begins_to_wait {
            self.announce_later(vec![room]);
        }
    }

    /// Announces the departures that are due, of all rooms. Called by a task, and in intervals by a thread outside of the
    /// runtime: a worker that blocks may hold the task.
    pub(crate) fn announce_due(self: &Arc<Self>) {
        let rooms = std::mem::take(&mut self.lock_waiting().rooms);
        let (now, mut later) = (now(), Vec::new());
        for room in rooms {
            let mut members = room.lock();
            if members.departures.due() > Some(now) {
                drop(members);
                later.push(room);
                continue;
            }
            members.is_waiting = false;
            let mut delivery = Delivery::default();
            members.announce_departures(&mut delivery);
            drop(members);
            self.flusher.flush(delivery.take_unflushed());
        }
        if !later.is_empty() {
            self.announce_later(later);
        }
    }

    /// Has the departures of these rooms announced when they are due.
    fn announce_later(self: &Arc<Self>, mut rooms: Vec<Arc<RoomState>>) {
        let mut waiting = self.lock_waiting();
        waiting.rooms.append(&mut rooms);
        if !std::mem::replace(&mut waiting.is_running, true)
            && let Some(runtime) = self.flusher.runtime()
        {
            runtime.spawn(announce_when_due(Arc::clone(self)));
        }
    }

    /// Ends the task that announces departures, unless rooms wait.
    fn end_task(&self) -> bool {
        let mut waiting = self.lock_waiting();
        waiting.is_running = !waiting.rooms.is_empty();
        !waiting.is_running
    }

    fn lock_waiting(&self) -> MutexGuard<'_, WaitingRooms> {
        // Nothing panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Posts a push to the members but `except`, and returns the number of those that accepted it. The others are skipped: they
    /// have ended, or are being closed because they read too slowly. `delivery` is to be completed outside of the room's lock.
    fn push(&self, frame: &SharedFrame, except: Option<Uuid>, delivery: &mut Delivery) -> usize {
        delivery.reserve(self.by_id.len());
        let others = self.by_id.values().filter(|member| Some(member.peer.id()) != except);
        others.filter(|member| delivery.push(&member.peer, frame).is_ok()).count()
    }

    /// Posts the notices of departures that wait, to all members.
    fn announce_departures(&mut self, delivery: &mut Delivery) {
        if let Some(notices) = self.departures.take() {
            self.push(&notices, None, delivery);
        }
    }
}

/// Announces departures until no room waits.
async fn announce_when_due(rooms: Arc<Rooms>) {
    while !rooms.end_task() {
        tokio::time::sleep(QUIET).await;
        rooms.announce_due();
    }
}

/// Returns the time of tokio's clock, which tests can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Returns a connection as handlers and members see it: `{"id", "identity"}`.
pub(super) fn member_json(peer: &Peer) -> Box<str> {
    let identity = peer.context.identity_json();
    format!(r#"{{"id":"{}","identity":{}}}"#, peer.id(), identity.as_deref().unwrap_or("null")).into()
}

fn presence_message(event: &str, room: &str, member: &str) -> Vec<u8> {
    let mut frame = Vec::with_capacity(event.len() + room.len() + member.len() + 40);
    codec::begin(&mut frame, &codec::event_json(event));
    frame.extend_from_slice(br#"{"room":"#);
    // A string always serializes.
    frame.extend_from_slice(&serde_json::to_vec(room).unwrap_or_default());
    frame.extend_from_slice(br#","member":"#);
    frame.extend_from_slice(member.as_bytes());
    frame.push(b'}');
    codec::end(&mut frame);
    frame
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use aaw_protocol::websocket::FrameBuffer;

    use super::*;
    use crate::hub::mailbox::{Command, Mailbox};

    fn connect() -> Arc<Peer> {
        Peer::new(None, None, Mailbox::for_test(1000))
    }

    fn disconnect(rooms: &Arc<Rooms>, peer: &Peer) {
        rooms.leave_all(peer);
        peer.mailbox.close();
    }

    fn take_pushes(peer: &Peer) -> Vec<String> {
        let mut commands = VecDeque::new();
        peer.mailbox.take(&mut commands);
        let mut frames = FrameBuffer::default();
        for command in commands {
            let Command::Push(frame) = command else { panic!("{command:?}") };
            frames.push(&frame);
        }
        frames.frames().map(|(_, payload)| String::from_utf8(payload).unwrap()).collect()
    }

    /// Returns a peer's id and its notice, as `take_pushes` returns it.
    fn notice(event: &str, peer: &Peer) -> String {
        format!(r#"["aaw/{event}",{{"room":"r","member":{{"id":"{}","identity":null}}}}]"#, peer.id())
    }

    #[test]
    fn a_push_to_a_room_reaches_all_members_but_the_excepted_one() {
        let rooms = Arc::<Rooms>::default();
        let (a, b, c) = (connect(), connect(), connect());
        for peer in [&a, &b] {
            rooms.join(peer, "r", false, &mut Delivery::default()).unwrap();
        }
        let frame = SharedFrame::text(b"x");
        assert_eq!(rooms.push("r", &frame, Some(a.id()), &mut Delivery::default()), 1);
        assert_eq!(rooms.push("r", &frame, Some(c.id()), &mut Delivery::default()), 2);
        assert_eq!((take_pushes(&a).len(), take_pushes(&b).len(), take_pushes(&c).len()), (1, 2, 0));
        assert_eq!((rooms.push("elsewhere", &frame, None, &mut Delivery::default()), rooms.size("elsewhere")), (0, 0));
    }

    #[test]
    fn a_room_is_removed_with_its_last_member() {
        let rooms = Arc::<Rooms>::default();
        let (a, b) = (connect(), connect());
        for name in ["r", "s"] {
            rooms.join(&a, name, false, &mut Delivery::default()).unwrap();
            rooms.join(&b, name, false, &mut Delivery::default()).unwrap();
        }
        rooms.leave(&a, "r");
        rooms.leave(&a, "r");
        assert_eq!((rooms.size("r"), rooms.size("s")), (1, 2));
        disconnect(&rooms, &a);
        disconnect(&rooms, &b);
        assert_eq!(rooms.len(), 0);
        assert_eq!(rooms.join(&b, "r", false, &mut Delivery::default()).unwrap_err().code, Code::NO_CONNECTION);
        assert_eq!(rooms.len(), 0, "a connection that has ended creates no room");
    }

    #[test]
    fn presence_notifies_the_other_members_once() {
        let rooms = Arc::<Rooms>::default();
        let (a, b) = (connect(), connect());
        rooms.join(&a, "r \"1\"", false, &mut Delivery::default()).unwrap();
        for presence in [false, true, true, false] {
            rooms.join(&b, "r \"1\"", presence, &mut Delivery::default()).unwrap();
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
        let rooms = Arc::<Rooms>::default();
        let (a, b) = (connect(), connect());
        rooms.join(&a, "r", false, &mut Delivery::default()).unwrap();
        rooms.join(&b, "r", false, &mut Delivery::default()).unwrap();
        disconnect(&rooms, &b);
        assert!(take_pushes(&a).is_empty());
    }

    #[test]
    fn the_number_of_joined_rooms_and_the_length_of_names_are_bounded() {
        let rooms = Arc::<Rooms>::default();
        let peer = connect();
        let join =
            |name: String| rooms.join(&peer, &name, false, &mut Delivery::default()).map_err(|failure| failure.code);
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

    /// Rooms whose departures wait for the task, with members that have presence in the room `r`.
    fn with_members(count: usize) -> (Arc<Rooms>, Vec<Arc<Peer>>) {
        let rooms = Arc::<Rooms>::default();
        rooms.flusher.set_runtime();
        let members: Vec<_> = (0..count).map(|_| Peer::new(None, None, Mailbox::for_test(1 << 30))).collect();
        for peer in &members {
            rooms.join(peer, "r", true, &mut Delivery::default()).unwrap();
        }
        members.iter().for_each(|peer| drop(take_pushes(peer)));
        (rooms, members)
    }

    #[tokio::test(start_paused = true)]
    async fn members_that_leave_together_are_announced_together_and_not_to_each_other() {
        let (rooms, members) = with_members(1000);
        let (leaving, staying) = members.split_at(500);
        for peer in leaving {
            disconnect(&rooms, peer);
        }
        assert_eq!(rooms.size("r"), 500, "they are no members any more");
        let expected: Vec<_> = leaving.iter().map(|peer| notice("left", peer)).collect();
        assert_eq!(take_pushes(&staying[0]), expected[..1], "the first is announced at once");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(take_pushes(&staying[0]), expected[1..]);
        for peer in &staying[1..] {
            let mut commands = VecDeque::new();
            peer.mailbox.take(&mut commands);
            assert_eq!(commands.len(), 2, "one push for the first, and one for the others");
        }
        assert!(rooms.waiting.lock().unwrap().rooms.is_empty() && rooms.end_task());
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_leaves_alone_is_announced_at_once() {
        let (rooms, members) = with_members(3);
        for peer in &members[1..] {
            disconnect(&rooms, peer);
            assert_eq!(take_pushes(&members[0]), [notice("left", peer)]);
            tokio::time::sleep(QUIET).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_a_departure_does_not_overtake_its_notice() {
        let (rooms, members) = with_members(5);
        let [a, b, c, d, e] = &members[..] else { panic!() };
        // The first is announced at once, the others wait.
        rooms.leave(b, "r");
        take_pushes(a);
        let message = SharedFrame::text(b"message");
        // The end of a connection happens at no certain time.
        disconnect(&rooms, c);
        assert_eq!(rooms.push("r", &message, None, &mut Delivery::default()), 3);
        assert_eq!(take_pushes(a), ["message"]);
        // A handler knows what it does first.
        rooms.leave(d, "r");
        assert_eq!(rooms.push("r", &message, None, &mut Delivery::default()), 2);
        assert_eq!(take_pushes(a), [notice("left", c), notice("left", d), "message".into()]);
        disconnect(&rooms, e);
        rooms.join(b, "r", true, &mut Delivery::default()).unwrap();
        assert_eq!(take_pushes(a), [notice("left", e), notice("joined", b)]);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert!(
            take_pushes(a).is_empty() && take_pushes(b).is_empty(),
            "each is announced once, and to the members before"
        );
    }

    #[test]
    fn departures_are_announced_although_no_worker_runs_the_task() {
        // Nothing drives this runtime.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let (rooms, members) = with_members(3);
        disconnect(&rooms, &members[1]);
        disconnect(&rooms, &members[2]);
        assert_eq!(take_pushes(&members[0]), [notice("left", &members[1])]);
        std::thread::sleep(QUIET);
        rooms.announce_due();
        assert_eq!(take_pushes(&members[0]), [notice("left", &members[2])]);
    }

    /// On several threads: each member that stays receives the same, and each departure behind its arrival.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn all_members_receive_arrivals_and_departures_once_and_in_the_same_order() {
        const THREADS: usize = 4;
        const TIMES: usize = 500;
        let (rooms, members) = with_members(3);
        let threads = (0..THREADS).map(|thread| {
            let rooms = Arc::clone(&rooms);
            std::thread::spawn(move || {
                for _ in 0..TIMES {
                    let peer = connect();
                    rooms.join(&peer, "r", true, &mut Delivery::default()).unwrap();
                    if thread.is_multiple_of(2) {
                        rooms.leave(&peer, "r");
                    }
                    disconnect(&rooms, &peer);
                }
            })
        });
        threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
        let mut received = vec![Vec::new(); members.len()];
        for (received, peer) in received.iter_mut().zip(&members) {
            let all = async {
                while received.len() < 2 * THREADS * TIMES {
                    tokio::task::yield_now().await;
                    received.extend(take_pushes(peer));
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(20), all).await.expect("all are announced");
        }
        assert!(received.iter().all(|each| *each == received[0]));
        let mut present = std::collections::HashSet::new();
        for text in &received[0] {
            let id = text.split('"').nth(11).unwrap();
            let is_expected = if text.contains("aaw/joined") { present.insert(id) } else { present.remove(id) };
            assert!(is_expected, "{text}");
        }
        assert!(present.is_empty());
    }

    #[test]
    fn pushes_of_several_threads_reach_all_members_in_the_same_order() {
        let rooms = Arc::<Rooms>::default();
        let members: Vec<_> = (0..8).map(|_| Peer::new(None, None, Mailbox::for_test(1 << 30))).collect();
        for peer in &members {
            rooms.join(peer, "r", false, &mut Delivery::default()).unwrap();
        }
        std::thread::scope(|scope| {
            for sender in 0..2 {
                let rooms = &rooms;
                scope.spawn(move || {
                    for number in 0..5_000 {
                        let frame = SharedFrame::text(format!("{sender} {number}").as_bytes());
                        rooms.push("r", &frame, None, &mut Delivery::default());
                    }
                });
            }
        });
        let first = take_pushes(&members[0]);
        assert_eq!(first.len(), 10_000);
        for peer in &members[1..] {
            assert!(take_pushes(peer) == first);
        }
    }

    #[test]
    fn concurrent_joins_and_leaves_lose_no_member() {
        let rooms = Arc::<Rooms>::default();
        let peer = connect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let peer = connect();
                    for _ in 0..2_000 {
                        rooms.join(&peer, "r", false, &mut Delivery::default()).unwrap();
                        assert!(rooms.size("r") > 0, "it is a member of the room in the table");
                        rooms.leave(&peer, "r");
                    }
                    disconnect(&rooms, &peer);
                });
            }
        });
        assert_eq!(rooms.len(), 0);
        rooms.join(&peer, "r", false, &mut Delivery::default()).unwrap();
        assert_eq!(rooms.size("r"), 1);
    }
}
