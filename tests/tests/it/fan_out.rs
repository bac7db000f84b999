//! Messages to many connections at once, on several threads: order, whole frames, and who waits for whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aaw_server::Handle;
use aaw_tests::raw::{CLOSE, TEXT};
use aaw_tests::{RawConnection, TestServer, WireClient};
use serde_json::json;
use tokio::task::{block_in_place, spawn_blocking};

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

/// Pushes `news` with the sender and a number to all connections, until it is told to stop or has sent so many.
fn send_news(handle: &Handle, sender: usize, count: usize, stop: &Arc<AtomicBool>) -> thread::JoinHandle<usize> {
    let (handle, stop) = (handle.clone(), Arc::clone(stop));
    thread::spawn(move || {
        let mut sent = 0;
        while sent < count && !stop.load(Ordering::Relaxed) {
            handle.emit("news", json!([sender, sent, "x".repeat(sent % 700)])).expect("it fits");
            sent += 1;
            if count == usize::MAX && sent.is_multiple_of(10) {
                // Not faster than a client reads in a debug build.
                thread::sleep(Duration::from_millis(1));
            }
        }
        sent
    })
}

/// Checks that the news of each sender follow each other. Returns false if it is another text.
fn check_news(next: &mut [Option<usize>], text: &str) -> bool {
    let Some(news) = text.strip_prefix(r#"["news",["#) else { return false };
    let mut numbers = news.split(',').map(|number| number.parse::<usize>());
    let (Some(Ok(sender)), Some(Ok(number))) = (numbers.next(), numbers.next()) else { panic!("{text}") };
    assert_eq!(text, json!(["news", [sender, number, "x".repeat(number % 700)]]).to_string());
    let next = &mut next[sender];
    assert_eq!(number, next.unwrap_or(number), "of {sender}");
    *next = Some(number + 1);
    true
}

/// Several threads push to all, and several connections, whose handlers run on several workers, to a room. Some members
/// call meanwhile; one reads nothing until the end and never calls, so that only its socket can wake its task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_members_see_one_order_of_a_room_and_of_broadcasts() {
    const NEWS: usize = 2000;
    const SAID: usize = 300;
    const ALL: usize = 2 * NEWS + 2 * SAID;
    let events = vec![aaw_test_rooms::module().into()];
    let server = TestServer::start_with_events(events, |config| {
        // More than the buffers of the system, so that the socket of the one that reads nothing is full.
        (config.max_push_backlog_bytes, config.max_push_burst_bytes) = (64 << 20, 64 << 20);
    })
    .await;
    let mut stopped = RawConnection::websocket(server.addr, Some("_key")).await;
    stopped.send_text(r#"["room/join",{"name":"tea"}]"#).await;
    let mut members = Vec::new();
    for calls in [true, true, false, false] {
        let mut member = server.v1().await;
        member.send(r#"["room/join",{"name":"tea"}]"#).await;
        member.expect_nothing().await;
        members.push((member, calls));
    }
    while server.v1().await.call("room/size", r#""tea""#).await.0 != "5" {}
    let mut readers = Vec::new();
    for (mut member, calls) in members {
        readers.push(tokio::spawn(async move {
            let mut received = Vec::new();
            while received.len() < ALL {
                if calls {
                    let id = member.start_call("ping", "null").await.expect("v1 has ids");
                    let response = format!(r#"["ping",{{"pong":true}},{id}]"#);
                    received.extend(member.collect_until(|text| text == response).await);
                    received.pop();
                } else {
                    received.push(member.next().await);
                }
            }
            received
        }));
    }
    let stop = Arc::default();
    let senders = [0, 1].map(|sender| send_news(&server.handle, sender, NEWS, &stop));
    let speakers = [0, 1].map(|speaker| {
        let addr = server.addr;
        tokio::spawn(async move {
            let mut speaker_client = WireClient::connect(addr, Some("_key")).await;
            for first in (0..SAID).step_by(50) {
                let emit = |number| {
                    let data = json!([speaker, number, "x".repeat(20_000)]);
                    json!(["room/emit", { "name": "tea", "data": data }]).to_string()
                };
                speaker_client.send_all((first..first + 50).map(emit)).await;
                for _ in 0..50 {
                    // Its own response, and news.
                    speaker_client.collect_until(|text| text.starts_with(r#"["room/emit","#)).await;
                }
            }
        })
    });
    for speaker in speakers {
        speaker.await.expect("no panic");
    }
    for sender in senders {
        sender.join().expect("no panic");
    }
    let mut all = Vec::new();
    for reader in readers {
        all.push(reader.await.expect("everything arrives"));
    }
    let (mut late, started) = (Vec::new(), Instant::now());
    while late.len() < ALL {
        late.push(String::from_utf8(stopped.read_frame().await.payload).expect("text"));
    }
    // The first ping is sent after 20 s: it would begin a turn, too.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    all.push(late);
    let is_news = |text: &&String| text.starts_with(r#"["news","#);
    for received in &all {
        let mut next = [Some(0), Some(0)];
        assert_eq!(received.iter().filter(|text| check_news(&mut next, text)).count(), 2 * NEWS);
        let news = |received: &[String]| received.iter().filter(is_news).cloned().collect::<Vec<_>>();
        assert!(news(received) == news(&all[0]), "one order of broadcasts");
        let said = |received: &[String]| received.iter().filter(|text| !is_news(text)).cloned().collect::<Vec<_>>();
        assert!(said(received) == said(&all[0]), "one order of the room");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_handler_pushes_to_itself_precedes_its_response_while_others_push_too() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let stop = Arc::<AtomicBool>::default();
    let senders = [0, 1].map(|sender| send_news(&server.handle, sender, usize::MAX, &stop));
    let mut next = [None, None];
    for round in 0..300 {
        let body = json!({ "late": round % 2 == 0 }).to_string();
        let id = client.start_call("pushes/answering", &body).await.expect("v1 has ids");
        let response = format!(r#"["pushes/answering",3,{id}]"#);
        let mut received = client.collect_until(|text| text == response).await;
        received.retain(|text| !check_news(&mut next, text));
        assert_eq!(received, [r#"["step",1]"#, r#"["step",2]"#, &response]);
    }
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| assert!(sender.join().expect("no panic") > 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_push_while_a_handler_blocks_its_thread_arrives_once_in_order_and_before_the_response() {
    let server = TestServer::start().await;
    let (mut blocked, mut other) = (server.v1().await, server.v1().await);
    blocked.send(r#"["blocks/broadcast",2000,1]"#).await;
    // Then it blocks its thread.
    other.expect(r#"["broadcast","before"]"#).await;
    let stop = Arc::default();
    let senders = [0, 1].map(|sender| send_news(&server.handle, sender, 500, &stop));
    let mut next = [Some(0), Some(0)];
    while next != [Some(500), Some(500)] {
        assert!(check_news(&mut next, &other.next().await), "only news");
    }
    senders.into_iter().for_each(|sender| assert_eq!(sender.join().expect("no panic"), 500));
    let mut next = [Some(0), Some(0)];
    while next != [Some(500), Some(500)] {
        let text = blocked.next().await;
        assert!(check_news(&mut next, &text), "{text}");
    }
    blocked.expect(r#"["blocks/broadcast",true,1]"#).await;
}

/// The connection's task has a turn on this thread when other connections have theirs, of another server and of the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_may_serve_other_connections_on_its_thread() {
    let server = TestServer::start().await;
    let addr = server.addr;
    let is_set = server.app.blocking.set(Box::new(move || {
        block_in_place(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let nested = TestServer::start().await;
                for mut client in [nested.v1().await, nested.v1().await, WireClient::connect_v1(addr).await] {
                    let text = json!("x".repeat(100_000)).to_string();
                    client.call("echo", &text).await.assert_eq(&text);
                    client.exchange(r#"["pushes/answering",null,2]"#, r#"["step",1]"#).await;
                    client.expect(r#"["step",2]"#).await;
                    client.expect(r#"["pushes/answering",3,2]"#).await;
                }
            });
        });
    }));
    assert!(is_set.is_ok());
    let mut client = server.v1().await;
    // In one write, so that all of them are handled in one turn.
    client.send_all([r#"["ping",null,1]"#, r#"["blocks/run",null,2]"#, r#"["ping",null,3]"#]).await;
    client.expect(r#"["ping",{"pong":true},1]"#).await;
    client.expect(r#"["step",1]"#).await;
    client.expect(r#"["step",2]"#).await;
    client.expect(r#"["blocks/run",true,2]"#).await;
    client.expect(r#"["ping",{"pong":true},3]"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_closes_between_responses_and_pushes_ends_with_a_whole_frame() {
    let server = TestServer::start().await;
    let stop = Arc::<AtomicBool>::default();
    let senders = [0, 1].map(|sender| send_news(&server.handle, sender, usize::MAX, &stop));
    for round in 0..60_usize {
        let mut client = RawConnection::websocket(server.addr, Some("_key")).await;
        for number in 0..20 {
            client.send_text(&format!(r#"["echo",[{number},"{}"],{number}]"#, "x".repeat(round * 30))).await;
        }
        let closes = round.is_multiple_of(2);
        if closes {
            client.send_frame(CLOSE, &1000_u16.to_be_bytes()).await;
        } else {
            client.finish().await;
        }
        let (mut next, mut responses) = ([None, None], 0);
        let mut is_closed = false;
        while let Some(frame) = client.try_read_frame().await {
            assert!(!is_closed, "nothing follows a close frame");
            is_closed = frame.first == CLOSE;
            if is_closed {
                continue;
            }
            assert_eq!(frame.first, TEXT);
            let text = String::from_utf8(frame.payload).expect("text");
            if !check_news(&mut next, &text) {
                assert_eq!(text, format!(r#"["echo",[{responses},"{}"],{responses}]"#, "x".repeat(round * 30)));
                responses += 1;
            }
        }
        assert_eq!((is_closed, responses), (closes, 20));
        client.expect_end().await;
    }
    stop.store(true, Ordering::Relaxed);
    let joined = spawn_blocking(move || senders.into_iter().all(|sender| sender.join().is_ok()));
    assert!(joined.await.expect("no panic"));
}
