//! The outgoing log on real sockets: several threads push, a flusher writes, and a task takes turns as that of a connection
//! does.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use aaw_protocol::server::ClientCallKey;
use aaw_protocol::websocket::{FrameBuffer, SharedFrame};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::mailbox::{
    ClientCallRequest, Command, MAX_SLICES, Mailbox, Opening, PushError, PushLimits, Pushed, SharedSocket, TurnEnd,
    WriteEnd, WriteProgress, try_write,
};

/// Far more than any step takes, even on a slow and busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// The sender of responses, which the task itself appends.
const TASK: u64 = u64::MAX;

fn unlimited() -> PushLimits {
    PushLimits { burst: usize::MAX / 2, sustained: usize::MAX / 2 }
}

/// Message `number` of a sender. Most are small, some are shared between logs, and a few exceed the buffer of the socket.
fn message(sender: u64, number: u64) -> String {
    let padding = match number {
        number if number.is_multiple_of(997) => 70_000,
        number if number.is_multiple_of(31) => 600 + number as usize % 5_000,
        number => number as usize % 200,
    };
    format!("{sender} {number} {}", "x".repeat(padding))
}

/// Returns the sender and the number of a message, and checks its length.
fn parse(message: &[u8]) -> (u64, u64) {
    let message_text = std::str::from_utf8(message).expect("text");
    let mut words = message_text.split(' ');
    let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
    let parsed = (number(), number());
    assert!(message == self::message(parsed.0, parsed.1).as_bytes(), "{parsed:?} has changed");
    parsed
}

/// Two ends of a connection over loopback. The server's end buffers little, so that it is full most of the time. A smaller
/// buffer for receiving would make loopback slow.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = TcpSocket::new_v4().expect("a socket");
    client.set_recv_buffer_size(64 << 10).expect("an option");
    let address = listener.local_addr().expect("an address");
    let (client, accepted) = tokio::join!(client.connect(address), listener.accept());
    let server = accepted.expect("a connection").0;
    socket2::SockRef::from(&server).set_send_buffer_size(8 << 10).expect("an option");
    server.writable().await.expect("it is connected");
    (server, client.expect("a connection"))
}

/// The task of a connection, reduced to its turns. A command to cancel a client call stands for a call: it is responded to.
struct Task {
    mailbox: Arc<Mailbox>,
    socket: SharedSocket,
    /// The socket accepts nothing at present.
    blocked: bool,
    stopping: bool,
}

impl Task {
    fn new(mailbox: &Arc<Mailbox>, socket: TcpStream) -> Self {
        let (read, write) = socket.into_split();
        // Nothing is read here.
        drop(read);
        let socket = Arc::new(write);
        mailbox.share_socket(Arc::clone(&socket));
        Self { mailbox: Arc::clone(mailbox), socket, blocked: false, stopping: false }
    }

    /// Serves until a [`Command::Stop`], and then closes as a connection does.
    fn spawn(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            poll_fn(|cx| self.turn(cx)).await;
            let mut log = poll_fn(|cx| self.mailbox.poll_take_log(cx)).await;
            log.close(1000, "");
            poll_fn(|cx| {
                while !log.is_empty() {
                    std::task::ready!(self.poll_write(cx, &mut log));
                }
                Poll::Ready(())
            })
            .await;
        })
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.mailbox.register(cx.waker());
        let log = self.mailbox.begin_turn();
        assert!(log.error.is_none(), "{log:?}");
        self.blocked = log.blocked;
        let mut output = FrameBuffer::default();
        let mut has_rest = false;
        if self.blocked && self.poll_writable(cx).is_ready() && self.mailbox.resume_write(&mut output) {
            has_rest |= self.write(cx, &mut output);
        }
        loop {
            let mut commands = VecDeque::new();
            if self.mailbox.has_commands() {
                assert!(!self.mailbox.take(&mut commands), "no push exceeds the limit");
            }
            for command in commands {
                match command {
                    Command::Push(frame) => output.push(&frame),
                    Command::CancelClientCall(ClientCallKey(number)) => output.text(message(TASK, number).into()),
                    Command::Stop => self.stopping = true,
                    other => panic!("{other:?}"),
                }
            }
            match self.mailbox.end_turn(None, &mut output, true, has_rest) {
                TurnEnd::Commands => {}
                TurnEnd::Write => {
                    has_rest |= self.write(cx, &mut output);
                    break;
                }
                TurnEnd::Waits | TurnEnd::Written => break,
            }
        }
        assert!(output.is_empty(), "it is in the log");
        // Commands may be left over by a turn that had to end.
        let is_over = self.stopping && !self.mailbox.has_commands();
        if has_rest && !is_over {
            cx.waker().wake_by_ref();
        }
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Returns whether another turn must go on.
    fn write(&mut self, cx: &mut Context<'_>, output: &mut FrameBuffer) -> bool {
        for write in 1.. {
            let mut progress = WriteProgress::of(output);
            while !output.is_empty() && self.poll_write(cx, output).is_ready() {}
            progress.finish(output);
            self.blocked = !output.is_empty();
            match self.mailbox.finish_write(output, progress, write) {
                WriteEnd::More => {}
                WriteEnd::Rest => return true,
                WriteEnd::Done { .. } => break,
            }
        }
        false
    }

    fn poll_write(&self, cx: &mut Context<'_>, frames: &mut FrameBuffer) -> Poll<()> {
        loop {
            match try_write(&self.socket, frames) {
                Ok(len) => {
                    frames.advance(len);
                    return Poll::Ready(());
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::task::ready!(self.poll_writable(cx));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let socket: &TcpStream = (*self.socket).as_ref();
        socket.poll_write_ready(cx).map(|ready| ready.expect("it is open"))
    }
}

/// A thread that flushes what others have pushed, as the flusher does.
fn spawn_flusher() -> mpsc::Sender<Arc<Mailbox>> {
    let (sender, queue) = mpsc::channel::<Arc<Mailbox>>();
    thread::spawn(move || {
        for mailbox in queue {
            while mailbox.flush().has_rest {}
        }
    });
    sender
}

fn push(mailbox: &Arc<Mailbox>, flusher: &mpsc::Sender<Arc<Mailbox>>, text: &str) -> Result<(), PushError> {
    if mailbox.push(&SharedFrame::text(text.as_bytes()))? == Pushed::Unflushed {
        flusher.send(Arc::clone(mailbox)).expect("the flusher runs");
    }
    Ok(())
}

/// How a client reads.
#[derive(Debug, Clone, Copy)]
enum Reads {
    AtOnce,
    /// Few bytes at a time, with pauses.
    Slowly,
    /// Single bytes at first, then nothing for a while, then everything.
    ByteByByte,
}

struct Client {
    socket: TcpStream,
    reads: Reads,
    buffer: Vec<u8>,
    total: usize,
}

impl Client {
    fn new(socket: TcpStream, reads: Reads) -> Self {
        Self { socket, reads, buffer: Vec::new(), total: 0 }
    }

    /// Returns the first byte of the next frame, and its payload; `None` at the end. A frame that is cut is a panic.
    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let header = match self.take(2).await {
            Some(header) => header,
            None => {
                assert!(self.buffer.is_empty(), "the last frame is incomplete");
                return None;
            }
        };
        let len = match header[1] {
            126 => u64::from(u16::from_be_bytes(self.take(2).await?.try_into().ok()?)),
            127 => u64::from_be_bytes(self.take(8).await?.try_into().ok()?),
            len => len.into(),
        };
        let payload = self.take(len as usize).await.expect("the whole payload");
        assert!(header[0] == 0x81 || header[0] == 0x88, "{header:?} is the header of no frame");
        Some((header[0], payload))
    }

    async fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < len {
            let at_once = match self.reads {
                Reads::AtOnce => 64 << 10,
                Reads::Slowly => 1 + self.total % 4_000,
                Reads::ByteByByte if self.total < 20_000 => 1,
                Reads::ByteByByte => 64 << 10,
            };
            match self.reads {
                Reads::Slowly if self.total.is_multiple_of(37) => tokio::time::sleep(Duration::from_millis(1)).await,
                Reads::ByteByByte if self.total == 20_000 => tokio::time::sleep(Duration::from_millis(300)).await,
                _ => {}
            }
            let mut bytes = vec![0; at_once];
            let read = tokio::time::timeout(DEADLINE, self.socket.read(&mut bytes)).await;
            let read = read.expect("more arrives in time").expect("the connection is open");
            if read == 0 {
                return None;
            }
            self.total += read;
            self.buffer.extend_from_slice(&bytes[..read]);
        }
        let rest = self.buffer.split_off(len);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    /// Reads until every sender's messages, from 0 to its count, have arrived once and in order.
    async fn expect_all(&mut self, mut expected: Vec<(u64, u64)>) {
        let mut next: Vec<(u64, u64)> = expected.iter().map(|(sender, _)| (*sender, 0)).collect();
        expected.sort_unstable();
        next.sort_unstable();
        while next != expected {
            let (first, payload) = self.frame().await.expect("more messages");
            assert_eq!(first, 0x81);
            let (sender, number) = parse(&payload);
            let next = next.iter_mut().find(|(other, _)| *other == sender).expect("a sender");
            assert_eq!(number, next.1, "of {sender}");
            next.1 += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_once_whole_and_in_the_order_of_its_sender() {
    const PUSHES: u64 = 6_000;
    const CALLS: u64 = 2_000;
    let flusher = spawn_flusher();
    let mut clients = Vec::new();
    let mut mailboxes = Vec::new();
    let mut tasks = Vec::new();
    for reads in [Reads::AtOnce, Reads::Slowly, Reads::ByteByByte, Reads::AtOnce] {
        let (server, client) = pair().await;
        let mailbox = Arc::new(Mailbox::new(unlimited(), Opening::Open));
        tasks.push(Task::new(&mailbox, server).spawn());
        mailboxes.push(mailbox);
        let mut client = Client::new(client, reads);
        clients.push(tokio::spawn(async move {
            client.expect_all(vec![(0, PUSHES), (1, PUSHES), (2, PUSHES), (TASK, CALLS)]).await;
            client
        }));
    }
    let mut senders = Vec::new();
    for sender in 0..3 {
        let (mailboxes, flusher) = (mailboxes.clone(), flusher.clone());
        senders.push(thread::spawn(move || {
            for number in 0..PUSHES {
                let text = message(sender, number);
                mailboxes.iter().for_each(|mailbox| push(mailbox, &flusher, &text).expect("it is open"));
                // Some time without pushes, in which the logs become empty.
                if number.is_multiple_of(300) {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }));
    }
    for number in 0..CALLS {
        mailboxes.iter().for_each(|mailbox| mailbox.post(Command::CancelClientCall(ClientCallKey(number))));
        tokio::task::yield_now().await;
    }
    for client in clients {
        client.await.expect("everything arrives");
    }
    senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
    for mailbox in &mailboxes {
        let log = mailbox.log_state();
        assert_eq!((log.unsent, log.pushed, log.blocked), (0, 0, false));
        mailbox.post(Command::Stop);
    }
    for task in tasks {
        task.await.expect("no panic");
    }
}

/// No calls are made: a turn that another event begins would hide that a flush does not wake the task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_that_meets_a_full_socket_is_continued_by_the_task() {
    const PUSHES: u64 = 2_000;
    let flusher = spawn_flusher();
    for _ in 0..5 {
        let (server, client) = pair().await;
        let mailbox = Arc::new(Mailbox::new(unlimited(), Opening::Open));
        let task = Task::new(&mailbox, server).spawn();
        // Nothing is read while they push.
        let senders = [0, 1].map(|sender| {
            let (mailbox, flusher) = (Arc::clone(&mailbox), flusher.clone());
            thread::spawn(move || {
                for number in 0..PUSHES {
                    push(&mailbox, &flusher, &message(sender, number)).expect("it is open");
                }
            })
        });
        senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
        let mut client = Client::new(client, Reads::AtOnce);
        client.expect_all(vec![(0, PUSHES), (1, PUSHES)]).await;
        mailbox.post(Command::Stop);
        assert_eq!(client.frame().await.expect("a frame").0, 0x88);
        assert_eq!(client.frame().await, None);
        task.await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_while_others_push_and_flush_leaves_whole_frames_and_every_push_that_was_accepted() {
    let flusher = spawn_flusher();
    let mut closed_while_blocked = 0;
    for round in 0..60_u64 {
        let (server, client) = pair().await;
        let mailbox = Arc::new(Mailbox::new(unlimited(), Opening::Open));
        let task = Task::new(&mailbox, server).spawn();
        let senders = [0, 1].map(|sender| {
            let (mailbox, flusher) = (Arc::clone(&mailbox), flusher.clone());
            thread::spawn(move || {
                let mut accepted = 0;
                while accepted < 20_000 && push(&mailbox, &flusher, &message(sender, accepted)).is_ok() {
                    accepted += 1;
                }
                accepted
            })
        });
        let reads = if round.is_multiple_of(2) { Reads::AtOnce } else { Reads::Slowly };
        let mut client = Client::new(client, reads);
        let read = tokio::spawn(async move {
            let mut received = [0, 0];
            loop {
                match client.frame().await.expect("a close frame") {
                    (0x88, _) => break,
                    (_, payload) => {
                        let (sender, number) = parse(&payload);
                        assert_eq!(number, received[sender as usize], "of {sender}");
                        received[sender as usize] += 1;
                    }
                }
            }
            assert_eq!(client.frame().await, None, "the socket is closed, and nobody writes to it");
            received
        });
        tokio::time::sleep(Duration::from_micros(50 * (round % 20))).await;
        closed_while_blocked += u32::from(mailbox.log_state().blocked);
        mailbox.post(Command::Stop);
        task.await.expect("no panic");
        let accepted = senders.map(|sender| sender.join().expect("no panic"));
        let received = read.await.expect("whole frames");
        assert_eq!(received, accepted);
        assert_eq!(mailbox.push(&SharedFrame::text(b"late")), Err(PushError::Ended));
    }
    assert!(closed_while_blocked > 0, "some close while the log is full");
}

/// The flusher finds the error. Nobody else would: the client neither sends nor reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_task_learns_that_a_flush_has_failed() {
    let (server, client) = pair().await;
    let mailbox = Arc::new(Mailbox::new(unlimited(), Opening::Open));
    let (read, write) = server.into_split();
    let socket: SharedSocket = Arc::new(write);
    mailbox.share_socket(Arc::clone(&socket));
    let has_failed = Arc::<AtomicBool>::default();
    let (has_begun, begins) = oneshot::channel();
    let task = {
        let (mailbox, has_failed, mut has_begun) = (Arc::clone(&mailbox), Arc::clone(&has_failed), Some(has_begun));
        tokio::spawn(poll_fn(move |cx| {
            mailbox.register(cx.waker());
            if mailbox.begin_turn().error.is_some() {
                has_failed.store(true, Ordering::Release);
                return Poll::Ready(());
            }
            assert_ne!(mailbox.end_turn(None, &mut FrameBuffer::default(), false, false), TurnEnd::Write);
            has_begun.take().map(|begun| begun.send(()));
            Poll::Pending
        }))
    };
    // Its first turn would write what is pushed before.
    begins.await.expect("it runs");
    // Reset, as by a process that has ended.
    client.set_zero_linger().expect("an option");
    drop(client);
    let flusher = spawn_flusher();
    let mut pushes = 0;
    while !has_failed.load(Ordering::Acquire) {
        pushes += 1;
        assert!(pushes < 10_000, "the task is not woken");
        push(&mailbox, &flusher, "x").expect("it is open");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    task.await.expect("no panic");
    drop(read);
}

/// The socket accepts any number of bytes, so that it is full in the middle of each header, too. Others push meanwhile.
#[tokio::test]
async fn a_socket_that_is_full_after_any_byte_loses_and_reorders_nothing() {
    let (server, _client) = pair().await;
    let (_read, write) = server.into_split();
    let socket: SharedSocket = Arc::new(write);
    // Headers of 2, 4 and 4 bytes; the last text is shared and not copied.
    let texts = ["a".repeat(3), "b".repeat(130), "c".repeat(600)];
    let mut expected = Vec::new();
    for text in texts.iter().map(String::as_str).chain(["during", "blocked"]) {
        expected.extend(bytes_of(&SharedFrame::text(text.as_bytes())));
    }
    let total: usize = texts.iter().map(|text| SharedFrame::text(text.as_bytes()).frame_len()).sum();
    for accepted in 0..total {
        for closes in [false, true] {
            let mailbox = Mailbox::new(unlimited(), Opening::Open);
            mailbox.share_socket(Arc::clone(&socket));
            let push = |text: &str| mailbox.push(&SharedFrame::text(text.as_bytes())).expect("it is open");
            mailbox.begin_turn();
            let mut output = FrameBuffer::default();
            for text in &texts {
                output.push(&SharedFrame::text(text.as_bytes()));
            }
            assert_eq!(mailbox.end_turn(None, &mut output, false, false), TurnEnd::Write);
            let mut written = Vec::new();
            let mut progress = WriteProgress::of(&output);
            assert_eq!(push("during"), Pushed::Posted, "whoever writes sees to it");
            take_front(&mut output, accepted, &mut written);
            progress.finish(&output);
            assert_eq!(mailbox.finish_write(&mut output, progress, 1), WriteEnd::Done { task_waits: true });
            assert_eq!(push("blocked"), Pushed::Posted, "the task sees to it");
            assert_eq!(mailbox.flush().written, 0, "the socket is full");
            if closes {
                let cx = &mut Context::from_waker(Waker::noop());
                let Poll::Ready(log) = mailbox.poll_take_log(cx) else { panic!("nobody writes") };
                output = log;
            } else {
                assert!(mailbox.resume_write(&mut output));
            }
            let rest = output.len();
            take_front(&mut output, rest, &mut written);
            assert!(written == expected, "after {accepted} bytes, closes: {closes}");
        }
    }
}

fn bytes_of(frame: &SharedFrame) -> Vec<u8> {
    let mut buffer = FrameBuffer::default();
    buffer.push(frame);
    let (mut bytes, len) = (Vec::new(), buffer.len());
    take_front(&mut buffer, len, &mut bytes);
    bytes
}

/// Moves the first bytes of a buffer, as a socket that accepts so many.
fn take_front(buffer: &mut FrameBuffer, len: usize, into: &mut Vec<u8>) {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let count = buffer.slices(&mut slices);
    let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
    into.extend_from_slice(&all[..len]);
    buffer.advance(len);
}

#[derive(Default)]
struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn the_task_is_woken_whenever_pushes_begin_to_exceed_their_sustained_limit() {
    let (server, _client) = pair().await;
    let mailbox = Mailbox::new(PushLimits { burst: 10_000, sustained: 1_000 }, Opening::Open);
    let (_read, write) = server.into_split();
    mailbox.share_socket(Arc::new(write));
    let wakes = Arc::<CountWakes>::default();
    let waker = Waker::from(Arc::clone(&wakes));
    let woken = |mailbox: &Mailbox| {
        mailbox.register(&waker);
        wakes.0.swap(0, Ordering::SeqCst)
    };
    let push = |len: usize| {
        // Nobody flushes.
        mailbox.push(&SharedFrame::text(&vec![b'x'; len])).expect("it fits");
    };
    woken(&mailbox);
    push(400);
    assert_eq!(woken(&mailbox), 0);
    push(600);
    assert_eq!(woken(&mailbox), 1);
    push(1);
    assert_eq!(woken(&mailbox), 0, "it knows");
    // A client call counts until it is started, and what is freed then is exceeded again.
    let mailbox = {
        let (server, _client) = pair().await;
        let (_read, write) = server.into_split();
        let mailbox = Mailbox::new(PushLimits { burst: 10_000, sustained: 1_000 }, Opening::Open);
        mailbox.share_socket(Arc::new(write));
        mailbox
    };
    let (response, _response) = oneshot::channel();
    let (key, event, data) = (ClientCallKey(1), "e".into(), "1".repeat(900).into());
    mailbox.client_call(Box::new(ClientCallRequest { key, event, data, deadline: None, response })).expect("it fits");
    mailbox.begin_turn();
    let mut commands = VecDeque::new();
    mailbox.take(&mut commands);
    mailbox.end_turn(None, &mut FrameBuffer::default(), false, false);
    woken(&mailbox);
    let push = |len: usize| mailbox.push(&SharedFrame::text(&vec![b'x'; len])).expect("it fits");
    push(500);
    assert_eq!(woken(&mailbox), 1);
    let Some(Command::ClientCall(request)) = commands.pop_front() else { panic!("{commands:?}") };
    mailbox.release_client_call(&request);
    assert!(mailbox.log_state().pushed < 1_000);
    push(600);
    assert_eq!(woken(&mailbox), 1);
}
