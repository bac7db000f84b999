//! Uploads: the caller's stream to the handler, its credit, its errors and its limits.

use aaw_client::CallError;
use aaw_test_events::_services::Counts;
use aaw_tests::{DEADLINE, TestServer, until, within};
use serde_json::{Value, json};

/// Skips credit and other frames, and returns the first frame with this end.
macro_rules! expect_kind {
    ($client:expr, $end:expr) => {
        $client.collect_until(|frame| frame.ends_with($end)).await.pop().unwrap()
    };
}

#[tokio::test]
async fn a_handler_reads_the_upload_of_its_caller() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.exchange(r#"["upload/sum",{},1,"call",{"in":true}]"#, r#"["upload/sum",64,1,"credit"]"#).await;
    client.send_all([r#"["upload/sum",1,1,"item"]"#, r#"["upload/sum",41,1,"item"]"#]).await;
    client.exchange(r#"["upload/sum",null,1,"end"]"#, r#"["upload/sum",42,1]"#).await;
}

#[tokio::test]
async fn a_call_without_an_upload_has_an_empty_one() {
    let server = TestServer::start().await;
    server.v1().await.call("upload/sum", "{}").await.assert_eq("0");
    server.classic().await.call("upload/sum", "{}").await.assert_eq("0");
}

#[tokio::test]
async fn an_upload_and_a_stream_run_concurrently() {
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
async fn credit_is_granted_as_the_handler_reads() {
    let server = TestServer::start_with(|config| config.upload_window = 4).await;
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
async fn an_item_without_credit_fails_the_call() {
    let server = TestServer::start_with(|config| config.upload_window = 2).await;
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
async fn items_without_an_upload_are_bad_frames() {
    let server = TestServer::start().await;
    let gate = server.app.gate("g");
    let mut client = server.v1().await;
    // A running call without an upload.
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
    // A finished call: the frames may have been sent before its end arrived.
    client.send(r#"["gate/hold",1,1,"item"]"#).await;
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    // An upload that has ended already.
    client.exchange(r#"["upload/slow",{"gate":"h"},3,"call",{"in":true}]"#, r#"["upload/slow",64,3,"credit"]"#).await;
    client.send(r#"["upload/slow",1,3,"item"]"#).await;
    client.send(r#"["upload/slow",null,3,"end"]"#).await;
    for kind in ["item", "end"] {
        client.send(&format!(r#"["upload/slow",1,3,"{kind}"]"#)).await;
        assert!(client.next().await.contains("bad_frame"));
    }
}

#[tokio::test]
async fn an_event_without_an_upload_rejects_one() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client
        .exchange(
            r#"["ping",null,1,"call",{"in":true}]"#,
            r#"["ping",{"error":"ping does not take an upload","code":"bad_body"},1,"error"]"#,
        )
        .await;
}

#[tokio::test]
async fn the_error_for_a_bad_item_contains_its_number() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.exchange(r#"["upload/sum",{},1,"call",{"in":true}]"#, r#"["upload/sum",64,1,"credit"]"#).await;
    client.send_all([r#"["upload/sum",1,1,"item"]"#, r#"["upload/sum","x",1,"item"]"#]).await;
    let failed = expect_kind!(client, r#"1,"error"]"#);
    assert!(failed.contains("Item 2 does not fit") && failed.contains("bad_body"), "{failed}");
}

#[tokio::test]
async fn a_disconnect_drops_the_handler() {
    let server = TestServer::start().await;
    let gate = server.app.gate("g");
    let mut client = server.v1().await;
    client.exchange(r#"["upload/slow",{"gate":"g"},1,"call",{"in":true}]"#, r#"["upload/slow",64,1,"credit"]"#).await;
    client.send(r#"["upload/slow",1,1,"item"]"#).await;
    gate.wait_for_arrivals(1).await;
    drop(client);
    gate.wait_for_ended(1).await;
}

/// The call no longer polls the upload, so its end has to wake the task.
#[tokio::test]
async fn the_end_of_a_call_ends_its_upload_in_a_task_that_outlives_it() {
    let server = TestServer::start().await;
    let gate = server.app.gate("g");
    let mut client = server.v1().await;
    // The call is cancelled, its connection closes, and it returns.
    for (id, waits) in [(1, true), (2, true), (3, false)] {
        let body = json!({ "gate": "g", "waits": waits });
        client.send(&format!(r#"["upload/outlives",{body},{id},"call",{{"in":true}}]"#)).await;
        let first = client.next().await;
        if waits {
            assert_eq!(first, format!(r#"["upload/outlives",64,{id},"credit"]"#));
            client.send(&format!(r#"["upload/outlives",7,{id},"item"]"#)).await;
            within("the item", || format!("{:?}", gate.counts()), gate.wait(items(id))).await;
        } else {
            assert_eq!(first, r#"["upload/outlives","returned",3]"#);
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
        within("the end of the task", || format!("{:?}", gate.counts()), gate.wait_for_ended(id)).await;
    }
}

fn items(items: u64) -> Counts {
    Counts { items, ..Counts::default() }
}

#[tokio::test]
async fn unread_items_are_limited_in_bytes() {
    let server = TestServer::start_with(|config| config.max_upload_bytes = 100_000).await;
    let gate = server.app.gate("g");
    let mut client = server.v1().await;
    client.exchange(r#"["upload/slow",{"gate":"g"},1,"call",{"in":true}]"#, r#"["upload/slow",64,1,"credit"]"#).await;
    let item = format!(r#"["upload/slow","{}",1,"item"]"#, "x".repeat(30_000));
    client.send_all(std::iter::repeat_n(item, 5)).await;
    let failed = client.next().await;
    assert!(failed.contains(r#""code":"too_large""#) && failed.contains("wait for their handlers"), "{failed}");
    gate.wait_for_ended(1).await;
    // The bytes of the failed upload no longer count.
    client.exchange(r#"["upload/sum",{},2,"call",{"in":true}]"#, r#"["upload/sum",64,2,"credit"]"#).await;
    client.send(r#"["upload/sum",7,2,"item"]"#).await;
    client.exchange(r#"["upload/sum",null,2,"end"]"#, r#"["upload/sum",7,2]"#).await;
}

// --- With aaw-client -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_client_uploads_and_reads_concurrently() {
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
async fn a_slow_handler_pauses_its_caller() {
    let server = TestServer::start_with(|config| config.upload_window = 4).await;
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
        within("credit", || format!("{:?}", gate.counts()), fifth).await.unwrap();
    }
    gate.release(100);
    up.close();
    within("the end", || format!("{:?}", gate.counts()), async { while down.next().await.is_some() {} }).await;
}

#[tokio::test]
async fn sending_fails_after_the_call_has_ended() {
    let server = TestServer::start().await;
    let client = aaw_client::connect(&server.url()).await.unwrap();
    let (mut up, mut down) = client.duplex::<u32, Value>("upload/ignores", json!({}));
    within("the response", || "nothing".into(), down.next()).await.unwrap().unwrap();
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
