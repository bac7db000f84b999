//! Streams and uploads between the two sessions.

use super::*;
use aaw_protocol::client::StreamOptions;

/// So small that it is reached.
pub(super) const WINDOW: u64 = 4;

/// Who reads a stream.
pub(super) struct Reader {
    /// Whether it takes items by itself.
    reads: bool,
    waiting: VecDeque<String>,
    had: Vec<String>,
    told: u64,
}

/// Who sends an upload.
#[derive(Default)]
pub(super) struct Sender {
    pub(super) room: u64,
    items: VecDeque<String>,
    sent: u64,
    no_more: bool,
    end_said: bool,
}

impl Pair {
    /// Counts from 0 to the number before `to`.
    fn count(&mut self, to: u64) -> u64 {
        self.open("count", to, false)
    }

    /// Sends items, and has each back.
    fn mirror(&mut self) -> u64 {
        let call = self.open("mirror", 0, true);
        self.settle();
        call
    }

    fn open(&mut self, event: &str, body: u64, upload: bool) -> u64 {
        self.calls += 1;
        let draft = EncodedMessage::new(event, &body).expect("a number is JSON");
        let options = StreamOptions { window: WINDOW, upload };
        let reader = Reader { reads: true, waiting: VecDeque::new(), had: Vec::new(), told: WINDOW };
        self.readers.insert(self.calls, reader);
        if upload {
            self.senders.insert(self.calls, Sender::default());
        }
        self.client.stream(self.now, client::CallKey(self.calls), draft, options, None, self.calls);
        self.settle();
        self.calls
    }

    fn reads(&mut self, call: u64, reads: bool) {
        if let Some(reader) = self.readers.get_mut(&call) {
            reader.reads = reads;
        }
        self.settle();
    }

    /// Takes one item, if one is there.
    fn read_one(&mut self, call: u64) {
        if let Some(reader) = self.readers.get_mut(&call) {
            reader.take(&mut self.client, call);
        }
        self.settle();
    }

    fn send(&mut self, call: u64, item: u64) {
        if let Some(sender) = self.senders.get_mut(&call)
            && !sender.no_more
        {
            sender.items.push_back(item.to_string());
        }
        self.settle();
    }

    fn no_more(&mut self, call: u64) {
        if let Some(sender) = self.senders.get_mut(&call) {
            sender.no_more = true;
        }
        self.settle();
    }

    fn cancel(&mut self, call: u64) {
        self.client.cancel(self.now, client::CallKey(call));
        self.senders.remove(&call);
        self.settle();
    }

    fn had(&self, call: u64) -> &[String] {
        &self.readers[&call].had
    }

    pub(super) fn came(&mut self, call: u64, item: &str) {
        assert!(!self.ended.contains_key(&call), "an item after the end");
        let waiting = &mut self.readers.get_mut(&call).expect("a stream").waiting;
        waiting.push_back(item.to_owned());
        assert!(waiting.len() as u64 <= WINDOW, "{} items wait", waiting.len());
    }

    pub(super) fn readers_turn(&mut self) -> bool {
        let mut moved = false;
        for (call, reader) in &mut self.readers {
            while reader.reads && reader.take(&mut self.client, *call) {
                moved = true;
            }
        }
        moved
    }

    pub(super) fn senders_turn(&mut self) -> bool {
        let mut moved = false;
        for (call, sender) in &mut self.senders {
            let key = client::CallKey(*call);
            while sender.sent < sender.room
                && let Some(item) = sender.items.pop_front()
            {
                let draft = EncodedMessage::new("mirror", &item).expect("text is JSON");
                self.client.upload_item(key, draft).expect("there is room");
                sender.sent += 1;
                moved = true;
            }
            if sender.items.is_empty() && sender.no_more && !sender.end_said {
                self.client.upload_end(key);
                sender.end_said = true;
                moved = true;
            }
        }
        moved
    }
}

impl Reader {
    fn take(&mut self, client: &mut ClientConnection<u64>, call: u64) -> bool {
        let Some(item) = self.waiting.pop_front() else { return false };
        self.had.push(item);
        let room = self.had.len() as u64 + WINDOW;
        if room - self.told >= WINDOW / 2 {
            self.told = room;
            client.grant_credit(client::CallKey(call), room);
        }
        true
    }
}

/// Lets a handler yield what it may. Whether it is done.
pub(super) fn go_on(server: &mut ServerConnection, key: server::CallKey, handler: &mut Handler) -> bool {
    let yields = |frame: &ItemFrame, at: u64, item: &str, server: &mut ServerConnection| {
        assert!(at < server.credit(key));
        let mut out = frame.begin();
        out.extend_from_slice(item.as_bytes());
        frame.end(&mut out);
        assert!(server.handle_item(key, out.into()), "somebody waits, or it would have been dropped");
    };
    match handler {
        Handler::Echo { .. } => false,
        Handler::Count { frame, next, to } => {
            while next < to && *next < server.credit(key) && server.may_stream() {
                yields(frame, *next, &next.to_string(), server);
                *next += 1;
            }
            next == to && server.complete(key, Vec::new(), Completion::StreamEnded)
        }
        Handler::Mirror { frame, came, yielded, all_came } => {
            while *yielded < server.credit(key)
                && server.may_stream()
                && let Some(item) = came.pop_front()
            {
                yields(frame, *yielded, &item, server);
                *yielded += 1;
                server.grant_upload_credit(key, *yielded + WINDOW);
            }
            *all_came && came.is_empty() && server.complete(key, Vec::new(), Completion::StreamEnded)
        }
    }
}

fn numbers(to: u64) -> Vec<String> {
    (0..to).map(|n| n.to_string()).collect()
}

/// As an upload has them: texts.
fn texts(items: &[u64]) -> Vec<String> {
    items.iter().map(|n| format!("\"{n}\"")).collect()
}

#[test]
fn a_stream_arrives_completely_and_in_order() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    let calls = [0, 1, 4, 5, 100].map(|to| (pair.count(to), to));
    pair.pass(60 * SECOND);
    for (call, to) in calls {
        assert_eq!(*pair.outcome(call), CallResult::StreamEnded, "{to}");
        assert_eq!(pair.had(call), numbers(to));
    }
}

#[test]
fn a_stopped_reader_stops_only_its_own_handler() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    let stalled = pair.count(100);
    pair.reads(stalled, false);
    let other = pair.count(100);
    let call = pair.call();
    pair.pass(60 * SECOND);
    let [(_, Handler::Count { next, .. })] = &pair.handlers[..] else { panic!("one runs") };
    assert_eq!(*next, WINDOW);
    assert_eq!(*pair.outcome(other), CallResult::StreamEnded);
    assert_eq!(*pair.outcome(call), answered(call));
    // Half of the room is free, and it goes on by that.
    for _ in 0..WINDOW / 2 {
        pair.read_one(stalled);
    }
    pair.pass(SECOND);
    let [(_, Handler::Count { next, .. })] = &pair.handlers[..] else { panic!("one runs") };
    assert_eq!(*next, WINDOW + WINDOW / 2);
    pair.reads(stalled, true);
    pair.pass(60 * SECOND);
    assert_eq!((pair.outcome(stalled), pair.had(stalled)), (&CallResult::StreamEnded, &numbers(100)[..]));
}

#[test]
fn a_cancelled_stream_drops_its_handler() {
    let mut pair = Pair::new(Dialect::V1, Limits { calls: 1, ..Limits::default() });
    // One waits in the server's line, and, once the client knows the limit, one in its own.
    let (running, waiting) = (pair.count(100), pair.count(100));
    pair.reads(running, false);
    pair.pass(SECOND);
    let unwritten = pair.count(100);
    assert_eq!((pair.handlers.len(), pair.client.in_flight()), (1, 2));
    for call in [unwritten, waiting, running] {
        pair.cancel(call);
    }
    pair.pass(SECOND);
    assert!(pair.handlers.is_empty());
    assert!(pair.ended.is_empty(), "nobody waits to hear of it");
}

#[test]
fn an_upload_arrives_in_order_and_no_faster_than_it_is_read() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    let call = pair.mirror();
    let items: Vec<_> = (0..100).collect();
    // Nobody takes what the handler yields, so it takes nothing.
    pair.reads(call, false);
    items.iter().for_each(|item| pair.send(call, *item));
    pair.pass(SECOND);
    assert_eq!(pair.senders[&call].sent, 2 * WINDOW, "as many as it yielded, and its window");
    pair.reads(call, true);
    pair.no_more(call);
    pair.pass(60 * SECOND);
    assert_eq!((pair.outcome(call), pair.had(call)), (&CallResult::StreamEnded, &texts(&items)[..]));
}

#[test]
fn an_upload_may_end_before_its_call_runs() {
    // In the client's line if the client knows the limit, in the server's otherwise.
    for greeted in [true, false] {
        let mut pair = Pair::new(Dialect::V1, Limits { calls: 1, ..Limits::default() });
        if greeted {
            pair.pass(SECOND);
        }
        let first = pair.count(100);
        pair.reads(first, false);
        let call = pair.mirror();
        pair.no_more(call);
        pair.pass(SECOND);
        assert!(!pair.ended.contains_key(&call));
        pair.reads(first, true);
        pair.pass(60 * SECOND);
        assert_eq!((pair.outcome(call), pair.had(call).len()), (&CallResult::StreamEnded, 0));
    }
}

#[test]
fn a_cut_ends_streams_after_the_received_items() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    let (count, mirror) = (pair.count(100), pair.mirror());
    pair.pass(Duration::from_millis(20));
    pair.cut();
    for call in [count, mirror] {
        assert_eq!(*pair.outcome(call), CallResult::Unknown(DisconnectReason::Broken("cut".into())));
    }
    assert_eq!(pair.had(count), numbers(WINDOW));
    let again = pair.count(10);
    pair.pass(60 * SECOND);
    assert_eq!((pair.outcome(again), pair.had(again)), (&CallResult::StreamEnded, &numbers(10)[..]));
}

#[derive(Debug, Clone)]
enum Step {
    Call,
    Count(u64),
    Mirror,
    Send(u64),
    NoMore(u64),
    Read(u64),
    Reads(u64, bool),
    Cancel(u64),
    Finish,
    Cut,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let call = || 1u64..12;
    prop_oneof![
        2 => Just(Step::Call),
        4 => (0u64..20).prop_map(Step::Count),
        4 => Just(Step::Mirror),
        16 => call().prop_map(Step::Send),
        3 => call().prop_map(Step::NoMore),
        8 => call().prop_map(Step::Read),
        5 => (call(), any::<bool>()).prop_map(|(call, reads)| Step::Reads(call, reads)),
        2 => call().prop_map(Step::Cancel),
        2 => Just(Step::Finish),
        1 => Just(Step::Cut),
        12 => (1u64..60).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens, each stream that was not cancelled ends exactly once; what came is a beginning of what was
    /// yielded, all of it if the stream ended well; no more than a window ever waits; and neither side ever says
    /// something that makes no sense to the other.
    #[test]
    fn each_stream_ends_once_with_its_own_items(steps in prop::collection::vec(step(), 1..120)) {
        let mut pair = Pair::new(Dialect::V1, Limits { calls: 4, ..Limits::default() });
        pair.prompt = false;
        let (mut cancelled, mut wanted) = (Vec::new(), BTreeMap::new());
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Call => drop(pair.call()),
                Step::Count(to) => drop(wanted.insert(pair.count(to), numbers(to))),
                Step::Mirror => drop(wanted.insert(pair.mirror(), Vec::new())),
                Step::Send(call) => {
                    if pair.senders.get(&call).is_some_and(|sender| !sender.no_more)
                        && let Some(items) = wanted.get_mut(&call)
                    {
                        items.extend(texts(&[at as u64]));
                    }
                    pair.send(call, at as u64);
                }
                Step::NoMore(call) => pair.no_more(call),
                Step::Read(call) => pair.read_one(call),
                Step::Reads(call, reads) => pair.reads(call, reads),
                Step::Cancel(call) => {
                    cancelled.push(call);
                    pair.cancel(call);
                }
                Step::Finish => pair.complete(true),
                Step::Cut => pair.cut(),
                Step::Pass(ms) => pair.pass(Duration::from_millis(ms)),
            }
        }
        for call in 1..=pair.calls {
            pair.reads(call, true);
            pair.no_more(call);
        }
        pair.pass(60 * SECOND);
        for (call, wanted) in wanted {
            let had = pair.had(call);
            prop_assert!(wanted.starts_with(had), "{:?} of {:?}", had, wanted);
            match pair.ended.get(&call) {
                None => prop_assert!(cancelled.contains(&call), "stream {} never ended", call),
                Some(CallResult::StreamEnded) => prop_assert_eq!(had, wanted),
                Some(CallResult::Unknown(_)) => {}
                Some(other) => prop_assert!(false, "stream {} ended as {:?}", call, other),
            }
        }
        prop_assert_eq!(pair.client.in_flight(), 0);
        prop_assert!(pair.handlers.is_empty());
    }
}
