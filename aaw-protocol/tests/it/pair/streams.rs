//! Streams and uploads between both state machines.

use super::*;
use aaw_protocol::client::StreamOptions;

/// Low enough to be reached.
pub(super) const WINDOW: u64 = 4;

/// The reader of a stream.
pub(super) struct StreamReader {
    /// Whether it takes items as they arrive.
    is_reading: bool,
    waiting: VecDeque<String>,
    items: Vec<String>,
    granted: u64,
}

/// The sender of an upload.
#[derive(Default)]
pub(super) struct StreamSender {
    pub(super) credit: u64,
    items: VecDeque<String>,
    sent: u64,
    ended: bool,
    end_sent: bool,
}

impl Pair {
    /// Opens a stream of the numbers from 0 up to, but excluding, `to`.
    fn count(&mut self, to: u64) -> u64 {
        self.open("count", to, false)
    }

    /// Opens a stream that returns each uploaded item.
    fn mirror(&mut self) -> u64 {
        let call = self.open("mirror", 0, true);
        self.drain_outputs();
        call
    }

    fn open(&mut self, event: &str, body: u64, upload: bool) -> u64 {
        self.calls += 1;
        let message = EncodedMessage::new(event, &body).expect("a number is JSON");
        let options = StreamOptions { window: WINDOW, upload };
        let reader = StreamReader { is_reading: true, waiting: VecDeque::new(), items: Vec::new(), granted: WINDOW };
        self.readers.insert(self.calls, reader);
        if upload {
            self.senders.insert(self.calls, StreamSender::default());
        }
        self.client.stream(self.now, client::CallKey(self.calls), message, options, None, self.calls);
        self.drain_outputs();
        self.calls
    }

    fn is_reading(&mut self, call: u64, is_reading: bool) {
        if let Some(reader) = self.readers.get_mut(&call) {
            reader.is_reading = is_reading;
        }
        self.drain_outputs();
    }

    /// Takes one item, if there is one.
    fn read_one(&mut self, call: u64) {
        if let Some(reader) = self.readers.get_mut(&call) {
            reader.take(&mut self.client, call);
        }
        self.drain_outputs();
    }

    fn send(&mut self, call: u64, item: u64) {
        if let Some(sender) = self.senders.get_mut(&call)
            && !sender.ended
        {
            sender.items.push_back(item.to_string());
        }
        self.drain_outputs();
    }

    fn ended(&mut self, call: u64) {
        if let Some(sender) = self.senders.get_mut(&call) {
            sender.ended = true;
        }
        self.drain_outputs();
    }

    fn cancel(&mut self, call: u64) {
        self.client.cancel(self.now, client::CallKey(call));
        self.senders.remove(&call);
        self.drain_outputs();
    }

    fn items(&self, call: u64) -> &[String] {
        &self.readers[&call].items
    }

    pub(super) fn receive_item(&mut self, call: u64, item: &str) {
        assert!(!self.ended.contains_key(&call), "an item after the end");
        let waiting = &mut self.readers.get_mut(&call).expect("a stream").waiting;
        waiting.push_back(item.to_owned());
        assert!(waiting.len() as u64 <= WINDOW, "{} items wait", waiting.len());
    }

    pub(super) fn run_readers(&mut self) -> bool {
        let mut progressed = false;
        for (call, reader) in &mut self.readers {
            while reader.is_reading && reader.take(&mut self.client, *call) {
                progressed = true;
            }
        }
        progressed
    }

    pub(super) fn run_senders(&mut self) -> bool {
        let mut progressed = false;
        for (call, sender) in &mut self.senders {
            let key = client::CallKey(*call);
            while sender.sent < sender.credit
                && let Some(item) = sender.items.pop_front()
            {
                let message = EncodedMessage::new("mirror", &item).expect("a string");
                self.client.upload_item(key, message).expect("there is credit");
                sender.sent += 1;
                progressed = true;
            }
            if sender.items.is_empty() && sender.ended && !sender.end_sent {
                self.client.upload_end(key);
                sender.end_sent = true;
                progressed = true;
            }
        }
        progressed
    }
}

impl StreamReader {
    fn take(&mut self, client: &mut ClientConnection<u64>, call: u64) -> bool {
        let Some(item) = self.waiting.pop_front() else { return false };
        self.items.push(item);
        let credit = self.items.len() as u64 + WINDOW;
        if credit - self.granted >= WINDOW / 2 {
            self.granted = credit;
            client.grant_credit(client::CallKey(call), credit);
        }
        true
    }
}

/// Lets a handler yield items while it may. Returns whether it is done.
pub(super) fn advance(server: &mut ServerConnection, key: server::CallKey, handler: &mut PairHandler) -> bool {
    let yield_item = |frame: &ItemFrame, at: u64, item: &str, server: &mut ServerConnection| {
        assert!(at < server.credit(key));
        let mut out = frame.begin();
        out.extend_from_slice(item.as_bytes());
        frame.end(&mut out);
        assert!(server.handle_item(key, out.into()), "the call is open, or its handler would have been dropped");
    };
    match handler {
        PairHandler::Echo { .. } => false,
        PairHandler::Count { frame, next, to } => {
            while next < to && *next < server.credit(key) && server.may_stream() {
                yield_item(frame, *next, &next.to_string(), server);
                *next += 1;
            }
            next == to && server.complete(key, Vec::new(), Completion::StreamEnded)
        }
        PairHandler::Mirror { frame, received, yielded, upload_ended } => {
            while *yielded < server.credit(key)
                && server.may_stream()
                && let Some(item) = received.pop_front()
            {
                yield_item(frame, *yielded, &item, server);
                *yielded += 1;
                server.grant_upload_credit(key, *yielded + WINDOW);
            }
            *upload_ended && received.is_empty() && server.complete(key, Vec::new(), Completion::StreamEnded)
        }
    }
}

fn numbers(to: u64) -> Vec<String> {
    (0..to).map(|n| n.to_string()).collect()
}

/// The items of an upload, which are strings.
fn texts(items: &[u64]) -> Vec<String> {
    items.iter().map(|n| format!("\"{n}\"")).collect()
}

#[test]
fn a_stream_arrives_completely_and_in_order() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    let calls = [0, 1, 4, 5, 100].map(|to| (pair.count(to), to));
    pair.pass(60 * SECOND);
    for (call, to) in calls {
        assert_eq!(*pair.result(call), CallResult::StreamEnded, "{to}");
        assert_eq!(pair.items(call), numbers(to));
    }
}

#[test]
fn a_stopped_reader_stops_only_its_own_handler() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    let stalled = pair.count(100);
    pair.is_reading(stalled, false);
    let other = pair.count(100);
    let call = pair.call();
    pair.pass(60 * SECOND);
    let [(_, PairHandler::Count { next, .. })] = &pair.handlers[..] else { panic!("one runs") };
    assert_eq!(*next, WINDOW);
    assert_eq!(*pair.result(other), CallResult::StreamEnded);
    assert_eq!(*pair.result(call), response(call));
    // Half of the window is free, so the stream continues by that.
    for _ in 0..WINDOW / 2 {
        pair.read_one(stalled);
    }
    pair.pass(SECOND);
    let [(_, PairHandler::Count { next, .. })] = &pair.handlers[..] else { panic!("one runs") };
    assert_eq!(*next, WINDOW + WINDOW / 2);
    pair.is_reading(stalled, true);
    pair.pass(60 * SECOND);
    assert_eq!((pair.result(stalled), pair.items(stalled)), (&CallResult::StreamEnded, &numbers(100)[..]));
}

#[test]
fn a_cancelled_stream_drops_its_handler() {
    let mut pair = Pair::new(Dialect::V1, Limits { calls: 1, ..Limits::default() });
    // One call waits in the server's wait queue. The next one waits in the client's write queue, because the client has
    // received the limit by then.
    let (running, waiting) = (pair.count(100), pair.count(100));
    pair.is_reading(running, false);
    pair.pass(SECOND);
    let unwritten = pair.count(100);
    assert_eq!((pair.handlers.len(), pair.client.in_flight()), (1, 2));
    for call in [unwritten, waiting, running] {
        pair.cancel(call);
    }
    pair.pass(SECOND);
    assert!(pair.handlers.is_empty());
    assert!(pair.ended.is_empty(), "cancelled calls have no result");
}

#[test]
fn an_upload_arrives_in_order_and_no_faster_than_it_is_read() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    let call = pair.mirror();
    let items: Vec<_> = (0..100).collect();
    // The reader takes no items, so the handler stops taking items of the upload.
    pair.is_reading(call, false);
    items.iter().for_each(|item| pair.send(call, *item));
    pair.pass(SECOND);
    assert_eq!(pair.senders[&call].sent, 2 * WINDOW, "the items yielded, plus the window");
    pair.is_reading(call, true);
    pair.ended(call);
    pair.pass(60 * SECOND);
    assert_eq!((pair.result(call), pair.items(call)), (&CallResult::StreamEnded, &texts(&items)[..]));
}

#[test]
fn an_upload_may_end_before_its_call_runs() {
    // The call waits in the client's write queue if the client has received the limit, otherwise in the server's wait
    // queue.
    for welcomed in [true, false] {
        let mut pair = Pair::new(Dialect::V1, Limits { calls: 1, ..Limits::default() });
        if welcomed {
            pair.pass(SECOND);
        }
        let first = pair.count(100);
        pair.is_reading(first, false);
        let call = pair.mirror();
        pair.ended(call);
        pair.pass(SECOND);
        assert!(!pair.ended.contains_key(&call));
        pair.is_reading(first, true);
        pair.pass(60 * SECOND);
        assert_eq!((pair.result(call), pair.items(call).len()), (&CallResult::StreamEnded, 0));
    }
}

#[test]
fn a_cut_ends_streams_after_the_received_items() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    let (count, mirror) = (pair.count(100), pair.mirror());
    pair.pass(Duration::from_millis(20));
    pair.cut();
    for call in [count, mirror] {
        assert_eq!(*pair.result(call), CallResult::Unknown(DisconnectReason::Broken("cut".into())));
    }
    assert_eq!(pair.items(count), numbers(WINDOW));
    let again = pair.count(10);
    pair.pass(60 * SECOND);
    assert_eq!((pair.result(again), pair.items(again)), (&CallResult::StreamEnded, &numbers(10)[..]));
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
        5 => (call(), any::<bool>()).prop_map(|(call, is_reading)| Step::Reads(call, is_reading)),
        2 => call().prop_map(Step::Cancel),
        2 => Just(Step::Finish),
        1 => Just(Step::Cut),
        12 => (1u64..60).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Each stream that was not cancelled ends exactly once. The received items are a prefix of the yielded ones, and
    /// all of them if the stream succeeded. No more than a window of items waits. Neither side sends a bad frame.
    #[test]
    fn each_stream_ends_once_with_its_own_items(steps in prop::collection::vec(step(), 1..120)) {
        let mut pair = Pair::new(Dialect::V1, Limits { calls: 4, ..Limits::default() });
        pair.respond_at_once = false;
        let (mut cancelled, mut wanted) = (Vec::new(), BTreeMap::new());
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Call => drop(pair.call()),
                Step::Count(to) => drop(wanted.insert(pair.count(to), numbers(to))),
                Step::Mirror => drop(wanted.insert(pair.mirror(), Vec::new())),
                Step::Send(call) => {
                    if pair.senders.get(&call).is_some_and(|sender| !sender.ended)
                        && let Some(items) = wanted.get_mut(&call)
                    {
                        items.extend(texts(&[at as u64]));
                    }
                    pair.send(call, at as u64);
                }
                Step::NoMore(call) => pair.ended(call),
                Step::Read(call) => pair.read_one(call),
                Step::Reads(call, is_reading) => pair.is_reading(call, is_reading),
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
            pair.is_reading(call, true);
            pair.ended(call);
        }
        pair.pass(60 * SECOND);
        for (call, wanted) in wanted {
            let items = pair.items(call);
            prop_assert!(wanted.starts_with(items), "{:?} of {:?}", items, wanted);
            match pair.ended.get(&call) {
                None => prop_assert!(cancelled.contains(&call), "stream {} never ended", call),
                Some(CallResult::StreamEnded) => prop_assert_eq!(items, wanted),
                Some(CallResult::Unknown(_)) => {}
                Some(other) => prop_assert!(false, "stream {} ended as {:?}", call, other),
            }
        }
        prop_assert_eq!(pair.client.in_flight(), 0);
        prop_assert!(pair.handlers.is_empty());
    }
}
