//! What a caller streams to its handler: credit in that direction, and everything that can be wrong with it.

use aaw_client::CallError;
use aaw_test_events::_services::Counts;
use aaw_tests::{DEADLINE, TestServer, until, within};
use serde_json::{Value, json};

/// Grants of the handler and other frames come as they come; the first of this kind.
macro_rules! expect_kind {
    ($client:expr, $end:expr) => {
        $client.collect_until(|frame| frame.ends_with($end)).await.pop().unwrap()
    };
}

#[tokio::test]
async fn a_handler_takes_its_callers_stream() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.exchange(r#"["upload/sum",{},1,"call",{"in":true}]"#, r#"["upload/sum",64,1,"credit"]"#).await;
    client.send_all([r#"["upload/sum",1,1,"item"]"#, r#"["upload/sum",41,1,"item"]"#]).await;
    client.exchange(r#"["upload/sum",null,1,"end"]"#, r#"["upload/sum",42,1]"#).await;
}

#[tokio::test]
async fn without_one_it_is_empty() {
    let server = TestServer::start().await;
    server.v1().await.call("upload/sum", "{}").await.assert_eq("0");
    server.classic().await.call("upload/sum", "{}").await.assert_eq("0");
}

#[tokio::test]
async fn both_directions_at_once() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["upload/echo",{},1,"call",{"in":true,"credit":64}]"#).await;
    client.expect(r#"["upload/echo",64,1,"credit"]"#).await;
    for item in ["1", r#"{"a":"ü"}"#, "null"] {
        client
            .exchange(&format!(r#"["upload/echo",{item},1,"item"]"#), &format!(r#"["upload/echo",{item},1,"item"]"#))
            .await;
    }
    client.exchange(r#"["upload/echo",null,1,"end"]"#, r#"["upload/echo",null,1,"end"]"#).await;
}

#[tokio::test]
async fn room_is_given_as_the_handler_takes() {
    let server = TestServer::start_with(|config| config.stream_window = 4).await;
    let gate = server.app.gate("g");
    let mut client = server.v1().await;
    client.exchange(r#"["upload/slow",{"gate":"g"},1,"call",{"in":true}]"#, r#"["upload/slow",4,1,"credit"]"#).await;
    client.send_all((0..4).map(|n| format!(r#"["upload/slow",{n},1,"item"]"#))).await;
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    gate.release(2);
    let credit = client.next().await;
    assert_eq!(credit, r#"["upload/slow",6,1,"credit"]"#);
}

#[tokio::test]
async fn an_item_without_room_for_it_fails_the_call() {
    let server = TestServer::start_with(|config| config.stream_window = 2).await;
    let gate = server.app.gate("g");
    let mut client = server.v1().await;
    client.exchange(r#"["upload/slow",{"gate":"g"},1,"call",{"in":true}]"#, r#"["upload/slow",2,1,"credit"]"#).await;
    client.send_all((0..3).map(|n| format!(r#"["upload/slow",{n},1,"item"]"#))).await;
    let failed = client.next().await;
    assert!(failed.contains(r#""code":"bad_frame""#) && failed.ends_with(r#",1,"error"]"#), "{failed}");
    gate.wait_for_ended(1).await;
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
}

#[tokio::test]
async fn items_that_do_not_belong_are_told_and_nothing_else_happens() {
    let server = TestServer::start().await;
    let gate = server.app.gate("g");
    let mut client = server.v1().await;
    // Never an upload: it runs.
    client.send(r#"["gate/hold",{"gate":"g"},1]"#).await;
    gate.wait_for_arrivals(1).await;
    for kind in ["item", "end"] {
        client.send(&format!(r#"["gate/hold",1,1,"{kind}"]"#)).await;
        assert!(client.next().await.contains("bad_frame"));
        client.send(&format!(r#"["gate/hold",1,9,"{kind}"]"#)).await;
        assert!(client.next().await.contains("bad_frame"));
    }
    gate.release(1);
    assert!(client.next().await.ends_with(",1]"));
    // Over: the frames may have crossed with its end.
    client.send(r#"["gate/hold",1,1,"item"]"#).await;
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    // Ended, and then not.
    client.exchange(r#"["upload/slow",{"gate":"h"},3,"call",{"in":true}]"#, r#"["upload/slow",64,3,"credit"]"#).await;
    client.send(r#"["upload/slow",1,3,"item"]"#).await;
    client.send(r#"["upload/slow",null,3,"end"]"#).await;
    for kind in ["item", "end"] {
        client.send(&format!(r#"["upload/slow",1,3,"{kind}"]"#)).await;
        assert!(client.next().await.contains("bad_frame"));
    }
}

#[tokio::test]
async fn an_event_that_takes_no_stream_refuses_one() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client
        .exchange(
            r#"["ping",null,1,"call",{"in":true}]"#,
            r#"["ping",{"error":"ping takes no stream from its caller","code":"bad_body"},1,"error"]"#,
        )
        .await;
}

#[tokio::test]
async fn an_item_that_does_not_fit_is_named() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.exchange(r#"["upload/sum",{},1,"call",{"in":true}]"#, r#"["upload/sum",64,1,"credit"]"#).await;
    client.send_all([r#"["upload/sum",1,1,"item"]"#, r#"["upload/sum","x",1,"item"]"#]).await;
    let failed = expect_kind!(client, r#"1,"error"]"#);
    assert!(failed.contains("Item 2 does not fit") && failed.contains("bad_body"), "{failed}");
}

#[tokio::test]
async fn a_caller_that_goes_takes_its_handler_along() {
    let server = TestServer::start().await;
    let gate = server.app.gate("g");
    let mut client = server.v1().await;
    client.exchange(r#"["upload/slow",{"gate":"g"},1,"call",{"in":true}]"#, r#"["upload/slow",64,1,"credit"]"#).await;
    client.send(r#"["upload/slow",1,1,"item"]"#).await;
    gate.wait_for_arrivals(1).await;
    drop(client);
    gate.wait_for_ended(1).await;
}

/// Nobody polls for it any more, so it has to be told.
#[tokio::test]
async fn a_task_that_outlives_its_call_learns_that_nothing_more_comes() {
    let server = TestServer::start().await;
    let gate = server.app.gate("g");
    let mut client = server.v1().await;
    // The call waits, goes away, and is answered.
    for (id, waits) in [(1, true), (2, true), (3, false)] {
        let body = json!({ "gate": "g", "waits": waits });
        client.send(&format!(r#"["upload/outlives",{body},{id},"call",{{"in":true}}]"#)).await;
        let first = client.next().await;
        if waits {
            assert_eq!(first, format!(r#"["upload/outlives",64,{id},"credit"]"#));
            client.send(&format!(r#"["upload/outlives",7,{id},"item"]"#)).await;
            within("the item", || format!("{:?}", gate.counts()), gate.wait(items(id))).await;
        } else {
            assert_eq!(first, r#"["upload/outlives","it goes on",3]"#);
        }
        match id {
            1 => client.send(r#"["upload/outlives",null,1,"cancel"]"#).await,
            2 => {
                drop(client);
                client = server.v1().await;
                client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
                client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
            }
            _ => {}
        }
        within("the task's end", || format!("{:?}", gate.counts()), gate.wait_for_ended(id)).await;
    }
}

fn items(items: u64) -> Counts {
    Counts { items, ..Counts::default() }
}

#[tokio::test]
async fn what_waits_for_handlers_is_bounded_in_bytes() {
    let server = TestServer::start_with(|config| config.max_uploads = 100_000).await;
    let gate = server.app.gate("g");
    let mut client = server.v1().await;
    client.exchange(r#"["upload/slow",{"gate":"g"},1,"call",{"in":true}]"#, r#"["upload/slow",64,1,"credit"]"#).await;
    let item = format!(r#"["upload/slow","{}",1,"item"]"#, "x".repeat(30_000));
    client.send_all(std::iter::repeat_n(item, 5)).await;
    let failed = client.next().await;
    assert!(failed.contains(r#""code":"too_large""#) && failed.contains("wait for their handlers"), "{failed}");
    gate.wait_for_ended(1).await;
    // What waited is gone, so the next has room.
    client.exchange(r#"["upload/sum",{},2,"call",{"in":true}]"#, r#"["upload/sum",64,2,"credit"]"#).await;
    client.send(r#"["upload/sum",7,2,"item"]"#).await;
    client.exchange(r#"["upload/sum",null,2,"end"]"#, r#"["upload/sum",7,2]"#).await;
}

// --- With the Rust client ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_client_streams_both_ways() {
    let server = TestServer::start().await;
    let client = aaw_client::connect(&server.url()).await.unwrap();
    let (mut up, mut down) = client.duplex::<u32, u32>("upload/echo", json!({}));
    let sending = async move {
        for n in 0..1000 {
            up.send(n).await.unwrap();
        }
        up.close();
    };
    let reading = async move {
        let mut next = 0;
        while let Some(item) = down.next().await {
            assert_eq!(item.unwrap(), next);
            next += 1;
        }
        next
    };
    let both = async { tokio::join!(sending, reading).1 };
    assert_eq!(within("a thousand items both ways", || "some".into(), both).await, 1000);
    let _: Value = client.send_async("ping", (), DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_slow_handler_holds_its_caller_back() {
    let server = TestServer::start_with(|config| config.stream_window = 4).await;
    let gate = server.app.gate("g");
    let client = aaw_client::connect(&server.url()).await.unwrap();
    let (mut up, mut down) = client.duplex::<u32, Value>("upload/slow", json!({ "gate": "g" }));
    for n in 0..4 {
        up.send(n).await.unwrap();
    }
    {
        let fifth = up.send(4);
        tokio::pin!(fifth);
        let _: Value = client.send_async("ping", (), DEADLINE).await.unwrap();
        assert!(futures_util::FutureExt::now_or_never(&mut fifth).is_none());
        gate.release(3);
        within("room", || format!("{:?}", gate.counts()), fifth).await.unwrap();
    }
    gate.release(100);
    up.close();
    within("the end", || format!("{:?}", gate.counts()), async { while down.next().await.is_some() {} }).await;
}

#[tokio::test]
async fn a_sink_learns_that_its_call_is_over() {
    let server = TestServer::start().await;
    let client = aaw_client::connect(&server.url()).await.unwrap();
    let (mut up, mut down) = client.duplex::<u32, Value>("upload/ignores", json!({}));
    within("the answer", || "nothing".into(), down.next()).await.unwrap().unwrap();
    assert!(down.next().await.is_none());
    let mut sent = Ok(());
    for n in 0..1000 {
        sent = within("an error", || "nothing".into(), up.send(n)).await;
        if sent.is_err() {
            break;
        }
    }
    assert!(sent.is_err());
    let (up, mut down) = client.duplex::<u32, Value>("ping", json!({}));
    assert!(matches!(down.next().await, Some(Err(CallError::Failed(_)))));
    drop(up);
    until("one connection", || server.handle.connections() == 1).await;
}
