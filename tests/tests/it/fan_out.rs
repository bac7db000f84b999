//! Messages to many connections at once, on several threads: order, whole frames, and who waits for whom.

use std::time::{Duration, Instant};

use aaw_tests::TestServer;

/// The handler blocks the worker on which what it has pushed is to be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_pushes_and_then_blocks_its_thread_does_not_delay_the_members() {
    let server = TestServer::start().await;
    let mut members = Vec::new();
    for _ in 0..4 {
        members.push(server.v1().await);
    }
    let mut sender = server.v1().await;
    let started = Instant::now();
    sender.send(r#"["blocks/broadcast",3000,1]"#).await;
    for member in &mut members {
        member.expect(r#"["broadcast","before"]"#).await;
    }
    // Others can push meanwhile, too.
    server.handle.emit("news", 1).unwrap();
    for member in &mut members {
        member.expect(r#"["news",1]"#).await;
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    for expected in [r#"["news",1]"#, r#"["blocks/broadcast",true,1]"#] {
        sender.expect(expected).await;
    }
}
