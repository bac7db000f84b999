//! Counts the allocations of a call, in a thread that runs both the caller and the client's connection. A program of its own,
//! because the allocator is that of the process.

use std::task::Poll;

use aaw_client::{Client, DEFAULT_TIMEOUT};
use aaw_server::{Config, Server};
use aaw_tests::counting_allocator::{CountingAllocator, allocations_of_thread};

/// The calls that are in flight together.
const IN_FLIGHT: usize = 32;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Returns the average number of allocations of a call whose response needs no memory, without the boxes of this test.
async fn allocations_per_call(client: &Client, in_flight: usize) -> f64 {
    const ROUNDS: usize = 300;
    let body = [1, 2, 3];
    let echo = async || client.send_async::<[u8; 3]>("echo", body, DEFAULT_TIMEOUT).await;
    let before = allocations_of_thread();
    for _ in 0..ROUNDS {
        // One future polls all of them, so that no tasks are counted.
        let mut calls: [_; IN_FLIGHT] = std::array::from_fn(|_| Some(Box::pin(echo())));
        calls[in_flight..].iter_mut().for_each(|call| *call = None);
        std::future::poll_fn(|cx| {
            for call in &mut calls {
                if let Some(Poll::Ready(response)) = call.as_mut().map(|call| call.as_mut().poll(cx)) {
                    assert_eq!(response.expect("echo responds"), body);
                    *call = None;
                }
            }
            if calls.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    let boxes = ROUNDS * IN_FLIGHT;
    (allocations_of_thread() - before - boxes) as f64 / (ROUNDS * in_flight) as f64
}

#[test]
fn a_call_allocates_its_response_only() {
    let server_runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let server = Server::new(Config { port: 0, ..Config::default() }).events(aaw_events::module());
    let bound = server_runtime.block_on(server.bind()).expect("a free port");
    let url = format!("ws://{}", bound.local_addr());
    server_runtime.spawn(bound.serve(std::future::pending()));

    let client_runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (one, several) = client_runtime.block_on(async {
        let client = aaw_client::connect(&url).await.expect("the server listens");
        // What is allocated once is allocated now.
        allocations_per_call(&client, IN_FLIGHT).await;
        (allocations_per_call(&client, 1).await, allocations_per_call(&client, IN_FLIGHT).await)
    });
    println!("{one} allocations a call, and with {IN_FLIGHT} in flight {several}");
    // The text of the response. The rest are blocks, for frames of several calls and for what is read.
    assert!(one <= 1.1, "{one}");
    assert!(several <= 1.1, "{several}");
}
