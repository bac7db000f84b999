//! What happens at the same time, and the schedules.

use aaw_protocol::server::ClientCallKey;
use aaw_protocol::websocket::SharedFrame;
use shuttle::thread;

use crate::connection::{TASK, WELCOME, message, serve};
use crate::doubles::OwnedWriteHalf;
use crate::doubles::sync::Arc;
use crate::flusher::Flusher;
use crate::mailbox::{Command, Mailbox, Opening, PushError, PushLimits, Pushed};
use crate::peer::Peer;

/// The number of a sender's messages.
const EACH: u64 = 3;

/// The runs of each test, with each kind of schedule.
const RUNS: usize = 10_000;

/// The changes of priority in a schedule that finds a wrong order which needs so many.
const DEPTH: usize = 3;

struct Server {
    flusher: Arc<Flusher>,
    peer: Arc<Peer>,
    socket: Arc<OwnedWriteHalf>,
}

impl Server {
    /// A connection whose socket buffers `capacity` bytes. A frame has 5.
    fn new(capacity: usize) -> Self {
        let limits = PushLimits { burst: 1 << 20, sustained: 1 << 20 };
        let peer = Arc::new(Peer { mailbox: Mailbox::new(limits, Opening::Open) });
        let socket = OwnedWriteHalf::new(capacity);
        peer.mailbox.share_socket(Arc::clone(&socket));
        let flusher = Arc::<Flusher>::default();
        flusher.set_runtime();
        drop(shuttle::future::spawn(serve(Arc::clone(&peer), Arc::clone(&socket), None)));
        Self { flusher, peer, socket }
    }

    /// A connection that can be resumed on another socket, which is returned.
    fn resumable(capacity: usize) -> (Self, Arc<OwnedWriteHalf>) {
        let limits = PushLimits { burst: 1 << 20, sustained: 1 << 20 };
        let peer = Arc::new(Peer { mailbox: Mailbox::new(limits, Opening::Open) });
        let (socket, next) = (OwnedWriteHalf::new(capacity), OwnedWriteHalf::new(1 << 10));
        peer.mailbox.share_socket(Arc::clone(&socket));
        peer.mailbox.retain();
        let flusher = Arc::<Flusher>::default();
        flusher.set_runtime();
        drop(shuttle::future::spawn(serve(Arc::clone(&peer), Arc::clone(&socket), Some(Arc::clone(&next)))));
        (Self { flusher, peer, socket }, next)
    }

    /// Pushes in a thread, until the connection has ended. Returns how many were accepted.
    fn spawn_sender(&self, sender: u64) -> thread::JoinHandle<u64> {
        let (flusher, peer) = (Arc::clone(&self.flusher), Arc::clone(&self.peer));
        thread::spawn(move || {
            for number in 0..EACH {
                match peer.mailbox.push(&SharedFrame::text(&message(sender, number))) {
                    Ok(Pushed::Unflushed) => flusher.flush(vec![Arc::clone(&peer)]),
                    Ok(Pushed::Posted) => {}
                    Err(PushError::Ended) => return number,
                    Err(error) => panic!("{error:?}"),
                }
            }
            EACH
        })
    }

    /// Makes calls in a thread, and pushes between them: neither overtakes the other.
    fn spawn_caller(&self) -> thread::JoinHandle<u64> {
        let (flusher, peer) = (Arc::clone(&self.flusher), Arc::clone(&self.peer));
        thread::spawn(move || {
            for number in 0..EACH {
                if number.is_multiple_of(2) {
                    peer.mailbox.post(Command::CancelClientCall(ClientCallKey(number)));
                } else if peer.mailbox.push(&SharedFrame::text(&message(TASK, number))) == Ok(Pushed::Unflushed) {
                    flusher.flush(vec![Arc::clone(&peer)]);
                }
            }
            EACH
        })
    }
}

/// What a client has received.
#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    /// The messages of each sender.
    counts: [u64; 10],
}

impl Received {
    /// Checks that whole frames arrive, and those of each sender in order.
    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        while self.bytes.len() >= 5 {
            let frame: Vec<u8> = self.bytes.drain(..5).collect();
            assert_eq!((frame[..2].to_vec(), frame[3]), (vec![0x81, 3], b':'), "{frame:?}");
            let count = &mut self.counts[usize::from(frame[2] - b'0')];
            assert_eq!(u64::from(frame[4] - b'0'), *count, "of {}", frame[2] as char);
            *count += 1;
        }
    }
}

fn check(run: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(run.clone(), RUNS);
    shuttle::check_pct(run, RUNS, DEPTH);
}

/// The client waits for everything before anything else happens: what is left in the log stays there.
fn everything_arrives(capacity: usize, senders: &[u64], calls: bool) {
    let server = Server::new(capacity);
    let mut threads: Vec<_> = senders.iter().map(|sender| server.spawn_sender(*sender)).collect();
    if calls {
        threads.push(server.spawn_caller());
    }
    let expected = threads.len() as u64 * EACH;
    let mut received = Received::default();
    while received.counts.iter().sum::<u64>() < expected {
        received.add(&server.socket.read());
    }
    for thread in threads {
        assert_eq!(thread.join().expect("no panic"), EACH);
    }
    server.peer.mailbox.post(Command::Stop);
    assert!(server.socket.read().is_empty(), "everything has arrived, once");
    let log = server.peer.mailbox.log_state();
    assert_eq!((log.unsent, log.pushed), (0, 0));
}

#[test]
fn pushes_and_responses_arrive_once_in_order() {
    check(|| everything_arrives(1 << 10, &[0, 1], true));
}

#[test]
fn pushes_arrive_although_the_socket_is_full_in_the_middle_of_frames() {
    check(|| everything_arrives(3, &[0, 1], false));
}

#[test]
fn pushes_and_responses_arrive_although_the_socket_is_full() {
    check(|| everything_arrives(7, &[0, 1], true));
}

#[test]
fn a_connection_that_ends_has_sent_every_push_that_was_accepted() {
    check(|| {
        let server = Server::new(7);
        let senders = [0, 1].map(|sender| server.spawn_sender(sender));
        let stops = {
            let peer = Arc::clone(&server.peer);
            thread::spawn(move || peer.mailbox.post(Command::Stop))
        };
        let mut received = Received::default();
        loop {
            let bytes = server.socket.read();
            if bytes.is_empty() {
                break;
            }
            received.add(&bytes);
        }
        stops.join().expect("no panic");
        let accepted = senders.map(|sender| sender.join().expect("no panic"));
        assert!(received.bytes.is_empty(), "a frame is cut");
        assert_eq!(received.counts[..2], accepted);
    });
}

/// The client has acknowledged nothing: all that was sent before the socket broke is sent again, and what follows once.
#[test]
fn everything_arrives_in_order_on_the_next_socket() {
    for capacity in [3, 1 << 10] {
        check(move || {
            let (server, next) = Server::resumable(capacity);
            let mut threads: Vec<_> = [0, 1].iter().map(|sender| server.spawn_sender(*sender)).collect();
            threads.push(server.spawn_caller());
            let peer = Arc::clone(&server.peer);
            let breaks = thread::spawn(move || peer.mailbox.post(Command::DropAway));
            let expected = threads.len() as u64 * EACH;
            let mut received = Received::default();
            while received.counts[0] + received.counts[1] + received.counts[TASK as usize] < expected {
                received.add(&next.read());
            }
            assert_eq!(received.counts[WELCOME as usize], 1);
            for thread in threads {
                assert_eq!(thread.join().expect("no panic"), EACH);
            }
            breaks.join().expect("no panic");
            server.peer.mailbox.post(Command::Stop);
            assert!(next.read().is_empty(), "everything has arrived, once");
            let log = server.peer.mailbox.log_state();
            assert_eq!((log.unsent, log.pushed, log.unacknowledged_messages as u64), (0, 0, expected));
        });
    }
}
