//! Counts the memory of messages that wait in a client for their connection. A program of its own, because the allocator is
//! that of the process.

use std::time::{Duration, Instant};

use aaw_protocol::client::{CallKey, CallResult, ClientConfig, ClientConnection, EncodedMessage, Output};
use aaw_tests::counting_allocator::{CountingAllocator, allocated};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The memory of a waiting call, besides its message: its places in the queue and in the tables.
const MAX_PER_CALL: usize = 600;

#[test]
fn waiting_calls_hold_their_messages_only() {
    const CALLS: u64 = 5000;
    let now = Instant::now();
    let mut offline = ClientConnection::new(ClientConfig::default(), 1);
    let before = allocated();
    for call in 0..CALLS {
        let message = EncodedMessage::new("echo", &call).expect("a number");
        offline.call(now, CallKey(call), message, Some(now + Duration::from_secs(3)), ());
        // The messages of another client of this thread, which are sent at once.
        (0..200).for_each(|_| drop(EncodedMessage::new("echo", "0123456789")));
    }
    let held = allocated() - before;
    assert!(held < CALLS as usize * MAX_PER_CALL, "{} bytes for each call", held / CALLS as usize);

    // All but one expire.
    offline.call(now, CallKey(CALLS), EncodedMessage::new("echo", &()).expect("a unit"), None, ());
    offline.handle_timeout(now + Duration::from_secs(4));
    let mut expired = 0;
    while let Some(output) = offline.poll_output() {
        expired +=
            u64::from(matches!(output, Output::CallDone { result: CallResult::TimedOut { sent: false, .. }, .. }));
    }
    assert_eq!(expired, CALLS);
    let held = allocated() - before;
    assert!(held < 500_000, "{held} bytes for one call");
}
