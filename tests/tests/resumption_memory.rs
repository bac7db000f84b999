//! Long streams through connections that are cut again and again are complete, and neither end keeps more for that than what
//! is unacknowledged. A program of its own, because an allocator counts everything in the process: the server, the client
//! and the proxy between them.

use aaw_client::{Client, connect_lazy_with};
use aaw_tests::counting_allocator::{CountingAllocator, most_allocated, reset_most_allocated};
use aaw_tests::fault_proxy::Direction::{self, ToClient, ToServer};
use aaw_tests::fault_proxy::{FaultPlan, FaultProxy};
use aaw_tests::resumption::{client_config, start_server};
use aaw_tests::{MostHeld, within};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

const ITEMS: u64 = 20_000;
const CUTS: u64 = 40;

/// The length of an item of the upload, in bytes: all of them together are ten times as long as what both ends may allocate.
const ITEM_BYTES: usize = 500;

/// What the process may allocate at any time beyond what it had before: queues that credit and logs bound. Without
/// resumption it is 0.3 MB.
const MAX_ALLOCATED: usize = 1 << 20;

/// What the server may hold for its clients at any time, of that.
const MAX_HELD: usize = 256 << 10;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Waits until no other test of this program runs.
async fn alone() -> MutexGuard<'static, ()> {
    static RUNNING: Mutex<()> = Mutex::const_new(());
    RUNNING.lock().await
}

/// Reads a stream, and checks each item.
async fn download(client: Client) {
    let mut stream = client.stream::<u64>("streams/count", json!({ "to": ITEMS }));
    for expected in 1..=ITEMS {
        let item = within("an item", || format!("{} items", expected - 1), stream.next()).await;
        assert_eq!(item.expect("the stream has not ended").expect("the stream has not failed"), expected);
    }
    assert!(stream.next().await.is_none(), "the stream has ended");
}

fn item(number: u64) -> String {
    format!("{number:0ITEM_BYTES$}")
}

/// Sends an upload, reads what the server returns, and checks each item.
async fn upload(client: Client) {
    let (mut sender, mut stream) = client.duplex::<String, String>("upload/echo", ());
    let send = async move {
        for number in 0..ITEMS {
            within("credit", || format!("{number} items were sent"), sender.send(item(number)))
                .await
                .expect("an upload");
        }
    };
    let receive = async {
        for expected in 0..ITEMS {
            let received = within("an item", || format!("{expected} items"), stream.next()).await;
            let received = received.expect("the stream has not ended").expect("the stream has not failed");
            assert!(received == item(expected), "item {expected} is {received}");
        }
        assert!(stream.next().await.is_none(), "the stream has ended");
    };
    tokio::join!(send, receive);
}

/// Runs a stream through a proxy with this plan. Checks what it took of the memory, and that each cut has occurred.
async fn check<F: Future<Output = ()>>(plan: FaultPlan, cuts: u64, stream: impl FnOnce(Client) -> F) {
    let _alone = alone().await;
    let server = start_server().await;
    let proxy = FaultProxy::start(server.addr, plan).await;
    let client = connect_lazy_with(&proxy.url(), client_config()).expect("the URL of the proxy");
    let held = MostHeld::of(&server);
    let before = reset_most_allocated();
    Box::pin(stream(client.clone())).await;
    let allocated = most_allocated() - before;
    let held = held.end().await;
    println!("{cuts} cuts: at most {allocated} bytes allocated, {held} of them held for the client");
    let stats = proxy.stats();
    assert_eq!((stats.connections, stats.closed), (cuts + 1, cuts), "{stats:?}");
    assert!(allocated <= MAX_ALLOCATED, "{allocated} bytes were allocated, at most");
    assert!(held <= MAX_HELD, "{held} bytes were held, at most");
    client.close().await;
}

/// Cuts connections by turns in these directions, each after about this many bytes.
fn cuts(points: &[(Direction, u64)]) -> FaultPlan {
    FaultPlan::cuts((0..CUTS).map(|n| {
        let (direction, mean) = points[n as usize % points.len()];
        (direction, mean / 2 + n * 7919 % mean)
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_complete_without_cuts() {
    check(FaultPlan::none(), 0, download).await;
    check(FaultPlan::none(), 0, upload).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_complete_after_many_cuts_and_neither_end_keeps_it() {
    // 640 KB in all.
    check(cuts(&[(ToClient, 10_000)]), CUTS, download).await;
    // To the server there are credit and acknowledgements alone: 30 KB in all. A handshake has 500 bytes.
    check(cuts(&[(ToServer, 1000), (ToClient, 5000)]), CUTS, download).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_complete_after_many_cuts_and_neither_end_keeps_it() {
    // 10 MB in each direction.
    for points in [&[(ToServer, 150_000)][..], &[(ToClient, 150_000)], &[(ToServer, 150_000), (ToClient, 150_000)]] {
        check(cuts(points), CUTS, upload).await;
    }
}
