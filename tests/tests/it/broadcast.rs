//! Broadcasts: which connections receive them, and in which order.

use aaw_tests::raw::RawConnection;
use aaw_tests::{TestServer, WireClient, until};

#[tokio::test]
async fn a_broadcast_to_others_reaches_both_dialects_and_not_the_sender() {
    let server = TestServer::start().await;
    let (mut v1, mut classic, mut sender) = (server.v1().await, server.classic().await, server.v1().await);
    sender.send(r#"["broadcasts/others",{"m":[1,"ü"]}]"#).await;
    v1.expect(r#"["broadcast",{"m":[1,"ü"]}]"#).await;
    classic.expect(r#"["broadcast",{"m":[1,"ü"]}]"#).await;
    sender.expect_nothing().await;
    // From a classic connection, and each receives it once.
    classic.send(r#"["broadcasts/others",2]"#).await;
    v1.expect(r#"["broadcast",2]"#).await;
    sender.expect(r#"["broadcast",2]"#).await;
    for client in [&mut v1, &mut classic, &mut sender] {
        client.expect_nothing().await;
    }
}

#[tokio::test]
async fn a_broadcast_to_all_reaches_the_sender_too() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (server.v1().await, server.classic().await);
    a.send(r#"["broadcasts/all","x"]"#).await;
    a.expect(r#"["broadcast","x"]"#).await;
    b.expect(r#"["broadcast","x"]"#).await;
    a.expect_nothing().await;
}

#[tokio::test]
async fn a_missing_body_is_broadcast_as_an_empty_object() {
    let server = TestServer::start().await;
    let mut other = server.classic().await;
    server.classic().await.send(r#"["broadcasts/others",null]"#).await;
    other.expect(r#"["broadcast",{}]"#).await;
}

#[tokio::test]
async fn broadcasts_of_one_sender_arrive_in_order() {
    let server = TestServer::start().await;
    let (mut a, mut b, mut sender) = (server.v1().await, server.classic().await, server.v1().await);
    sender.send_all((0..1000).map(|n| format!(r#"["broadcasts/others",{n}]"#))).await;
    for n in 0..1000 {
        a.expect(&format!(r#"["broadcast",{n}]"#)).await;
        b.expect(&format!(r#"["broadcast",{n}]"#)).await;
    }
}

#[tokio::test]
async fn a_task_can_broadcast_after_its_call_has_ended() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (server.v1().await, server.v1().await);
    a.call("gate/later", r#"{"gate":"x","all":true}"#).await.assert_eq("null");
    // Even after the connection of the call has closed.
    a.close().await;
    b.send(r#"["gate/release",{"gate":"x"}]"#).await;
    b.expect(r#"["broadcast","later"]"#).await;
}

#[tokio::test]
async fn closed_connections_are_removed_however_they_end() {
    let server = TestServer::start().await;
    let mut remaining = server.v1().await;
    server.classic().await.close().await;
    // Without a closing handshake.
    drop(server.v1().await);
    let mut raw = RawConnection::websocket(server.addr, None).await;
    raw.finish().await;
    raw.expect_end().await;
    until("the other connections to be removed", || server.handle.connections() == 1).await;
    remaining.send(r#"["broadcasts/all",1]"#).await;
    remaining.expect(r#"["broadcast",1]"#).await;
}

#[tokio::test]
async fn a_broadcast_before_the_hello_is_not_kept() {
    let server = TestServer::start().await;
    let mut early = WireClient::connect(server.addr, Some("aaw.v1")).await;
    let mut sender = server.classic().await;
    sender.send(r#"["broadcasts/others","before the hello"]"#).await;
    sender.expect_nothing().await;
    early.send(r#"["aaw/hello",{}]"#).await;
    assert!(early.next().await.starts_with(r#"["aaw/welcome","#));
    sender.send(r#"["broadcasts/others","after the welcome"]"#).await;
    early.expect(r#"["broadcast","after the welcome"]"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_receives_broadcasts_from_the_end_of_its_handshake() {
    let server = TestServer::start().await;
    let mut sender = server.classic().await;
    for n in 0..200 {
        // A classic connection is open as soon as the handshake has completed, a v1 connection with the welcome.
        let protocols = if n % 2 == 0 { None } else { Some("aaw.v1") };
        let mut client = WireClient::connect(server.addr, protocols).await;
        if protocols.is_some() {
            client.send(r#"["aaw/hello",{}]"#).await;
            assert!(client.next().await.starts_with(r#"["aaw/welcome","#));
        }
        sender.send(&format!(r#"["broadcasts/others",{n}]"#)).await;
        client.expect(&format!(r#"["broadcast",{n}]"#)).await;
    }
}

#[tokio::test]
async fn a_broadcast_reaches_two_hundred_connections() {
    let server = TestServer::start().await;
    let mut clients = Vec::new();
    for n in 0..200 {
        clients.push(if n % 2 == 0 { server.v1().await } else { server.classic().await });
    }
    let text = "x".repeat(10_000);
    clients[0].send(&format!(r#"["broadcasts/all",{text:?}]"#)).await;
    for client in &mut clients {
        client.expect(&format!(r#"["broadcast",{text:?}]"#)).await;
    }
}
