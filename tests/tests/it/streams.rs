//! Streams over a WebSocket, in both dialects: items and errors, credit, cancellation, back-pressure.

use std::time::{Duration, Instant};

use aaw_client::{CallError, Config};
use aaw_tests::{DEADLINE, TestServer, WireClient, until, within};
use serde_json::{Value, json};

/// Calls a streaming event with this credit, and returns its frames, including the last.
async fn read(client: &mut WireClient, event: &str, body: &str, credit: u64) -> Vec<String> {
    client.send(&format!(r#"["{event}",{body},1,"call",{{"credit":{credit}}}]"#)).await;
    client.collect_until(|frame| frame.ends_with(r#",1,"end"]"#) || frame.ends_with(r#",1,"error"]"#)).await
}

// --- Items, and the end ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn each_item_is_a_frame_and_the_end_follows() {
    let server = TestServer::start().await;
    let frames = read(&mut server.v1().await, "streams/count", r#"{"to":3}"#, 64).await;
    let expected = [
        r#"["streams/count",1,1,"item"]"#,
        r#"["streams/count",2,1,"item"]"#,
        r#"["streams/count",3,1,"item"]"#,
        r#"["streams/count",null,1,"end"]"#,
    ];
    assert_eq!(frames, expected);
}

#[tokio::test]
async fn an_empty_stream_has_only_an_end() {
    let server = TestServer::start().await;
    let frames = read(&mut server.v1().await, "streams/count", r#"{"to":0}"#, 64).await;
    assert_eq!(frames, [r#"["streams/count",null,1,"end"]"#]);
}

#[tokio::test]
async fn without_credit_the_items_are_returned_as_an_array() {
    let server = TestServer::start().await;
    server.v1().await.call("streams/count", r#"{"to":3}"#).await.assert_eq("[1,2,3]");
    server.v1().await.call("streams/count", r#"{"to":0}"#).await.assert_eq("[]");
    server.classic().await.exchange(r#"["streams/count",{"to":3},"x"]"#, r#"["streams/count",[1,2,3],"x"]"#).await;
}

#[tokio::test]
async fn without_an_id_each_item_is_a_push_to_a_classic_client() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    client.send(r#"["streams/count",{"to":2}]"#).await;
    client.expect(r#"["streams/count",1]"#).await;
    client.expect(r#"["streams/count",2]"#).await;
    client.expect_nothing().await;
    client.send(r#"["streams/fails_after",{"items":1,"text":"no more"}]"#).await;
    client.expect(r#"["streams/fails_after",1]"#).await;
    client.expect(r#"["streams/fails_after",{"error":"no more"}]"#).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn without_an_id_a_v1_stream_ends_at_its_first_item_and_sends_nothing() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["streams/count",{"to":3}]"#).await;
    client.expect_nothing().await;
    let call = server.calls.first_of("streams/count").await;
    assert_eq!((&call["kind"], &call["result"]), (&json!("streaming"), &json!({ "items": 1 })));
}

#[tokio::test]
async fn too_many_items_for_one_response_fail_only_that_call() {
    let server = TestServer::start_with(|config| config.max_message_bytes = 4096).await;
    let mut client = server.v1().await;
    client.call("streams/endless", "{}").await.assert_eq(
        r#"{"error":"The items exceed the message limit of 4096 bytes; read them as a stream","code":"too_large"}"#,
    );
    client.expect_nothing().await;
}

#[tokio::test]
async fn an_item_larger_than_a_message_fails_the_stream() {
    let server = TestServer::start_with(|config| config.max_message_bytes = 4096).await;
    let mut client = server.v1().await;
    let frames = read(&mut client, "streams/large", r#"{"items":2,"bytes":5000}"#, 64).await;
    assert_eq!(frames.len(), 1, "{frames:?}");
    assert!(frames[0].contains(r#""code":"too_large""#) && frames[0].contains("5002 bytes"), "{frames:?}");
}

#[tokio::test]
async fn an_error_after_items_comes_after_them() {
    let server = TestServer::start().await;
    let frames = read(&mut server.v1().await, "streams/fails_after", r#"{"items":2,"text":"no more"}"#, 64).await;
    assert_eq!(frames.len(), 3);
    assert_eq!(frames[2], r#"["streams/fails_after",{"error":"no more","code":"handler"},1,"error"]"#);
    // Without credit the call fails as a whole.
    let mut client = server.v1().await;
    client
        .call("streams/fails_after", r#"{"items":2,"text":"no more"}"#)
        .await
        .assert_eq(r#"{"error":"no more","code":"handler"}"#);
}

#[tokio::test]
async fn a_panic_after_items_fails_only_that_stream() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let frames = read(&mut client, "streams/panics_after", r#"{"items":2}"#, 64).await;
    assert_eq!(frames.len(), 3, "{frames:?}");
    assert_eq!(frames[2], r#"["streams/panics_after",{"error":"Internal error","code":"panic"},1,"error"]"#);
    let mut other = server.v1().await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn an_item_that_cannot_be_serialized_is_an_internal_error() {
    let server = TestServer::start().await;
    let frames = read(&mut server.v1().await, "streams/no_json", "{}", 64).await;
    assert!(frames.last().unwrap().contains(r#""error":"Internal error""#), "{frames:?}");
}

#[tokio::test]
async fn a_bad_body_fails_the_call_once_it_has_credit() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    for credit in [0, 64] {
        let id = if credit == 0 { 1 } else { 2 };
        client.send(&format!(r#"["streams/count",{{"to":"x"}},{id},"call",{{"credit":{credit}}}]"#)).await;
        if credit == 0 {
            // Without credit the handler does not run, so the body is parsed only now.
            client.send(r#"["streams/count",1,1,"credit"]"#).await;
        }
        let frame = client.next().await;
        assert!(frame.contains(r#""code":"bad_body""#) && frame.contains("at to"), "{frame}");
    }
}

#[tokio::test]
async fn a_stream_has_one_record_with_the_number_of_its_items() {
    let server = TestServer::start().await;
    read(&mut server.v1().await, "streams/fails_after", r#"{"items":2,"text":"no more"}"#, 64).await;
    read(&mut server.v1().await, "streams/count", r#"{"to":5}"#, 64).await;
    let call = server.calls.first_of("streams/count").await;
    assert_eq!((&call["kind"], &call["result"]), (&json!("streaming"), &json!({ "items": 5 })));
    let call = server.calls.first_of("streams/fails_after").await;
    assert_eq!(call["error"], json!({ "error": "no more", "code": "handler" }));
    assert_eq!(server.calls.all().len(), 2);
}

// --- Credit ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn no_more_items_are_sent_than_there_is_credit() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["streams/count",{"to":5},1,"call",{"credit":2}]"#).await;
    client.expect(r#"["streams/count",1,1,"item"]"#).await;
    client.expect(r#"["streams/count",2,1,"item"]"#).await;
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    // Credit is absolute: the number of items in total. A lower number has no effect.
    client.send(r#"["streams/count",1,1,"credit"]"#).await;
    client.send(r#"["streams/count",3,1,"credit"]"#).await;
    client.expect(r#"["streams/count",3,1,"item"]"#).await;
    client.exchange(r#"["ping",null,3]"#, r#"["ping",{"pong":true},3]"#).await;
    client.send(r#"["streams/count",64,1,"credit"]"#).await;
    client.expect(r#"["streams/count",4,1,"item"]"#).await;
    client.expect(r#"["streams/count",5,1,"item"]"#).await;
    client.expect(r#"["streams/count",null,1,"end"]"#).await;
}

#[tokio::test]
async fn without_credit_a_handler_is_not_polled() {
    let server = TestServer::start().await;
    let gate = server.app.gate("g");
    gate.release(10);
    let mut client = server.v1().await;
    client.send(r#"["streams/gated",{"gate":"g"},1,"call",{"credit":0}]"#).await;
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    assert_eq!(gate.counts().came, 0);
    client.send(r#"["streams/gated",2,1,"credit"]"#).await;
    let first = client.next().await;
    assert!(first.ends_with(r#",1,"item"]"#), "{first}");
    client.next().await;
    client.exchange(r#"["ping",null,3]"#, r#"["ping",{"pong":true},3]"#).await;
    assert!(gate.counts().through <= 2, "{:?}", gate.counts());
}

#[tokio::test]
async fn a_bad_body_is_reported_without_credit() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["streams/count",{"to":"ten"},1,"call",{"credit":0}]"#).await;
    let error = client.next().await;
    assert!(error.starts_with(r#"["streams/count",{"error":"The body does not fit at to: "#), "{error}");
    assert!(error.ends_with(r#""code":"bad_body"},1,"error"]"#), "{error}");
    client.send(r#"["streams/count",{"to":ten},2,"call",{"credit":0}]"#).await;
    let error = client.next().await;
    assert!(error.starts_with(r#"["aaw/error",{"error":"not JSON: "#), "{error}");
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
}

#[tokio::test]
async fn a_unary_response_waits_for_credit_too() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["ping",null,1,"call",{"credit":0}]"#).await;
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    client.exchange(r#"["ping",1,1,"credit"]"#, r#"["ping",{"pong":true},1,"item"]"#).await;
    client.expect(r#"["ping",null,1,"end"]"#).await;
}

#[tokio::test]
async fn invalid_credit_is_a_bad_frame_and_changes_nothing() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["streams/count",{"to":2},1,"call",{"credit":1}]"#).await;
    client.expect(r#"["streams/count",1,1,"item"]"#).await;
    for bad in ["-1", "1.5", r#""2""#, "null", "{}", "1e99", "99999999999999999999"] {
        client.send(&format!(r#"["streams/count",{bad},1,"credit"]"#)).await;
        let error = client.next().await;
        assert!(error.starts_with(r#"["aaw/error",{"#) && error.contains("bad_frame"), "{bad}: {error}");
    }
    // For a call that was never made, and for a unary call that has returned.
    client.send(r#"["x",9,7,"credit"]"#).await;
    assert!(client.next().await.contains("bad_frame"));
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    client.send(r#"["ping",9,2,"credit"]"#).await;
    client.exchange(r#"["streams/count",9007199254740991,1,"credit"]"#, r#"["streams/count",2,1,"item"]"#).await;
    client.expect(r#"["streams/count",null,1,"end"]"#).await;
    client.send(r#"["streams/count",9,1,"credit"]"#).await;
    client.exchange(r#"["ping",null,3]"#, r#"["ping",{"pong":true},3]"#).await;
}

// --- Cancel ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_cancel_drops_the_stream_at_once() {
    let server = TestServer::start().await;
    let gate = server.app.gate("g");
    gate.release(1);
    let mut client = server.v1().await;
    client.send(r#"["streams/gated",{"gate":"g"},1,"call",{"credit":64}]"#).await;
    client.next().await;
    client.send(r#"["streams/gated",null,1,"cancel"]"#).await;
    client.send(r#"["streams/gated",null,1,"cancel"]"#).await;
    gate.wait_for_ended(1).await;
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    let call = server.calls.first_of("streams/gated").await;
    assert_eq!(call["error"]["code"], "cancelled");
}

#[tokio::test]
async fn a_disconnect_drops_the_stream_with_or_without_credit() {
    let server = TestServer::start().await;
    for credit in [1, 64] {
        let name = format!("g{credit}");
        let gate = server.app.gate(&name);
        gate.release(1);
        let mut client = server.v1().await;
        client.send(&format!(r#"["streams/gated",{{"gate":"{name}"}},1,"call",{{"credit":{credit}}}]"#)).await;
        client.next().await;
        drop(client);
        gate.wait_for_ended(1).await;
    }
}

#[tokio::test]
async fn a_stream_times_out_with_an_error() {
    let server = TestServer::start().await;
    let gate = server.app.gate("g");
    gate.release(1);
    let mut client = server.v1().await;
    client.send(r#"["streams/gated",{"gate":"g"},1,"call",{"credit":64,"timeout":50}]"#).await;
    client.next().await;
    let end = client.next().await;
    assert!(end.contains(r#""code":"timeout""#) && end.ends_with(r#",1,"error"]"#), "{end}");
    gate.wait_for_ended(1).await;
}

#[tokio::test]
async fn a_stream_is_dropped_at_the_deadline_of_the_shutdown() {
    let mut server = TestServer::start_with(|config| config.shutdown_timeout = Duration::from_millis(50)).await;
    let gate = server.app.gate("g");
    let mut client = server.v1().await;
    client.send(r#"["streams/gated",{"gate":"g"},1,"call",{"credit":64}]"#).await;
    gate.wait_for_arrivals(1).await;
    server.stop();
    client.drain_until_close(1001).await;
    server.stopped().await;
    gate.wait_for_ended(1).await;
}

// --- Concurrent streams, and clients that do not read ----------------------------------------------------------------

#[tokio::test]
async fn a_stalled_stream_delays_neither_another_nor_a_call() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["streams/endless",{},1,"call",{"credit":8}]"#).await;
    for _ in 0..8 {
        client.next().await;
    }
    client.send(r#"["streams/count",{"to":1000},2,"call",{"credit":1001}]"#).await;
    let frames = client.collect_until(|frame| frame.ends_with(r#",2,"end"]"#)).await;
    assert_eq!(frames.len(), 1001);
    for id in 3..1003 {
        client.exchange(&format!(r#"["ping",null,{id}]"#), &format!(r#"["ping",{{"pong":true}},{id}]"#)).await;
    }
    client.send(r#"["streams/endless",9,1,"credit"]"#).await;
    assert!(client.next().await.ends_with(r#",1,"item"]"#));
}

#[tokio::test]
async fn a_stream_that_is_always_ready_does_not_starve_others() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["streams/endless",{},1,"call",{"credit":9007199254740991}]"#).await;
    client.send(r#"["ping",null,2]"#).await;
    client.collect_until(|frame| frame == r#"["ping",{"pong":true},2]"#).await;
    server.v1().await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    client.send(r#"["streams/endless",null,1,"cancel"]"#).await;
    client.send(r#"["ping",null,3]"#).await;
    client.collect_until(|frame| frame == r#"["ping",{"pong":true},3]"#).await;
}

#[tokio::test]
async fn a_client_that_stops_reading_pauses_the_handler_and_is_closed() {
    let server = TestServer::start_with(|config| {
        config.max_unsent_response_bytes = 64 << 10;
        config.write_timeout = Duration::from_millis(300);
    })
    .await;
    let gate = server.app.gate("large");
    let mut client = server.v1().await;
    client
        .send(
            r#"["streams/large",{"items":1000000,"bytes":10000,"gate":"large"},1,"call",{"credit":9007199254740991}]"#,
        )
        .await;
    // The client reads nothing from here on. The handler is dropped when the server closes the connection.
    gate.wait_for_ended(1).await;
    let sent = gate.counts().items * 10_000;
    assert!(sent < 32 << 20, "{sent} bytes were produced for a client that reads none");
    drop(client);
}

/// The limit of unsent bytes also pauses streams that have not sent an item yet.
#[tokio::test]
async fn many_streams_pause_when_their_client_stops_reading() {
    let server = TestServer::start().await;
    let gate = server.app.gate("large");
    let (mut client, mut other) = (server.v1().await, server.v1().await);
    let stream = r#""streams/large",{"items":1000000,"bytes":10000,"gate":"large"}"#;
    client.send_all((1..=200).map(|id| format!(r#"[{stream},{id},"call",{{"credit":9007199254740991}}]"#))).await;
    // The client reads a few items now and then, so that queued calls start; otherwise all streams are paused.
    for read in 0..20_u64 {
        let mut before = u64::MAX;
        while before != gate.counts().items {
            before = gate.counts().items;
            let unread = (before - 10 * read) * 10_000;
            assert!(unread < 32 << 20, "{unread} bytes were produced for a client that reads few");
            for _ in 0..20 {
                other.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
            }
        }
        for _ in 0..10 {
            client.next().await;
        }
    }
}

#[tokio::test]
async fn items_of_many_concurrent_streams_arrive_in_order() {
    let server = TestServer::start().await;
    let client = aaw_client::connect(&server.url()).await.unwrap();
    let read = |to: u64| {
        let client = client.clone();
        async move {
            let mut items = client.stream::<u64>("streams/count", json!({ "to": to }));
            let mut last = 0;
            while let Some(item) = items.next().await {
                last += 1;
                assert_eq!(item.unwrap(), last);
            }
            assert_eq!(last, to);
        }
    };
    let all = futures_util::future::join_all((0..40).map(|n| read(n * 50)));
    within("all streams", || "some".into(), all).await;
}

// --- With aaw-client -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_client_reads_streams_and_other_kinds_as_streams() {
    let server = TestServer::start().await;
    let client = aaw_client::connect(&server.url()).await.unwrap();
    let mut items = client.stream::<u32>("streams/count", json!({ "to": 300 }));
    let mut sum = 0;
    while let Some(item) = items.next().await {
        sum += item.unwrap();
    }
    assert_eq!(sum, 300 * 301 / 2);
    let all: Vec<u32> = client.send_async("streams/count", json!({ "to": 3 }), DEADLINE).await.unwrap();
    assert_eq!(all, [1, 2, 3]);
    let unary: Vec<Value> = collect(&client, "ping", Value::Null).await.unwrap();
    assert_eq!(unary, [json!({ "pong": true })]);
    let one_way: Vec<Value> = collect(&client, "note", json!(1)).await.unwrap();
    assert!(one_way.is_empty());
    match collect::<u32>(&client, "streams/fails_after", json!({ "items": 2, "text": "no more" })).await {
        Err(CallError::Failed(failure)) => assert_eq!(failure.error, "no more"),
        other => panic!("{other:?}"),
    }
}

async fn collect<T: serde::de::DeserializeOwned>(
    client: &aaw_client::Client,
    event: &str,
    body: Value,
) -> Result<Vec<T>, CallError> {
    let mut items = client.stream::<T>(event, body);
    let mut all = Vec::new();
    while let Some(item) = items.next().await {
        all.push(item?);
    }
    Ok(all)
}

#[tokio::test]
async fn a_stream_that_is_not_read_stops_the_handler_at_the_window() {
    let server = TestServer::start().await;
    let gate = server.app.gate("g");
    gate.release(1000);
    let config = Config { stream_window: 16, ..Config::default() };
    let client = aaw_client::connect_with(&server.url(), config).await.unwrap();
    let mut items = client.stream::<Value>("streams/gated", json!({ "gate": "g" }));
    within("16 items", || format!("{:?}", gate.counts()), async {
        until("16 items", || gate.counts().through >= 16).await;
    })
    .await;
    for _ in 0..50 {
        let _: Value = client.send_async("ping", (), DEADLINE).await.unwrap();
    }
    assert_eq!(gate.counts().through, 16);
    for _ in 0..8 {
        items.next().await.unwrap().unwrap();
    }
    until("8 more", || gate.counts().through >= 24).await;
    drop(items);
    gate.wait_for_ended(1).await;
}

#[tokio::test]
async fn a_shutdown_fails_the_stream() {
    let mut server = TestServer::start_with(|config| config.shutdown_timeout = Duration::from_millis(50)).await;
    let gate = server.app.gate("g");
    gate.release(1);
    let client = aaw_client::connect(&server.url()).await.unwrap();
    let mut items = client.stream::<Value>("streams/gated", json!({ "gate": "g" }));
    items.next().await.unwrap().unwrap();
    server.stop();
    match within("the end", || "nothing".into(), items.next()).await {
        Some(Err(CallError::OutcomeUnknown(_) | CallError::Failed(_))) => {}
        other => panic!("{other:?}"),
    }
    assert!(items.next().await.is_none());
}

// --- Speed -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_long_stream_finishes_within_the_deadline() {
    let server = TestServer::start().await;
    let client = aaw_client::connect(&server.url()).await.unwrap();
    let started = Instant::now();
    let items: Vec<u64> = collect(&client, "streams/count", json!({ "to": 100_000 })).await.unwrap();
    assert_eq!(items.len(), 100_000);
    assert!(started.elapsed() < DEADLINE, "{:?}", started.elapsed());
}
