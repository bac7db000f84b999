//! A6 and the table of connections: who is told what.

use aaw_tests::raw::RawConnection;
use aaw_tests::{TestServer, WireClient, until};

#[tokio::test]
async fn everybody_else_is_told_in_either_dialect() {
    let server = TestServer::start().await;
    let (mut v1, mut classic, mut sender) = (server.v1().await, server.classic().await, server.v1().await);
    sender.send(r#"["broadcasts/others",{"m":[1,"ü"]}]"#).await;
    v1.expect(r#"["broadcast",{"m":[1,"ü"]}]"#).await;
    classic.expect(r#"["broadcast",{"m":[1,"ü"]}]"#).await;
    sender.expect_nothing().await;
    // From a classic one, and only once.
    classic.send(r#"["broadcasts/others",2]"#).await;
    v1.expect(r#"["broadcast",2]"#).await;
    sender.expect(r#"["broadcast",2]"#).await;
    for client in [&mut v1, &mut classic, &mut sender] {
        client.expect_nothing().await;
    }
}

#[tokio::test]
async fn the_sender_is_told_if_it_asks() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (server.v1().await, server.classic().await);
    a.send(r#"["broadcasts/all","x"]"#).await;
    a.expect(r#"["broadcast","x"]"#).await;
    b.expect(r#"["broadcast","x"]"#).await;
    a.expect_nothing().await;
}

#[tokio::test]
async fn a_missing_body_is_told_as_an_empty_object() {
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
async fn a_broadcast_may_come_after_the_call_that_began_it() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (server.v1().await, server.v1().await);
    a.call("gate/later", r#"{"gate":"x","all":true}"#).await.assert_eq("null");
    // Even after its connection has gone.
    a.close().await;
    b.send(r#"["gate/release",{"gate":"x"}]"#).await;
    b.expect(r#"["broadcast","later"]"#).await;
}

#[tokio::test]
async fn who_has_gone_is_told_nothing_and_is_in_no_table() {
    let server = TestServer::start().await;
    let mut stays = server.v1().await;
    server.classic().await.close().await;
    // One that goes without a word.
    drop(server.v1().await);
    let mut raw = RawConnection::websocket(server.addr, None).await;
    raw.finish().await;
    raw.expect_end().await;
    until("the others to go", || server.handle.connections() == 1).await;
    stays.send(r#"["broadcasts/all",1]"#).await;
    stays.expect(r#"["broadcast",1]"#).await;
}

#[tokio::test]
async fn a_client_that_has_said_no_hello_yet_hears_the_welcome_first() {
    let server = TestServer::start().await;
    let mut early = WireClient::connect(server.addr, Some("aaw.v1")).await;
    let mut sender = server.classic().await;
    sender.send(r#"["broadcasts/others","before the hello"]"#).await;
    sender.expect_nothing().await;
    early.send(r#"["aaw/hello",{}]"#).await;
    assert!(early.next().await.starts_with(r#"["aaw/welcome","#));
    early.expect(r#"["broadcast","before the hello"]"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_in_the_table_before_its_client_knows_that_it_is_open() {
    let server = TestServer::start().await;
    let mut sender = server.classic().await;
    for n in 0..200 {
        // Open: the handshake's answer has come, and nothing was sent since.
        let protocols = if n % 2 == 0 { None } else { Some("aaw.v1") };
        let mut client = WireClient::connect(server.addr, protocols).await;
        sender.send(&format!(r#"["broadcasts/others",{n}]"#)).await;
        if protocols.is_some() {
            client.send(r#"["aaw/hello",{}]"#).await;
            assert!(client.next().await.starts_with(r#"["aaw/welcome","#));
        }
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
