//! `_open.rs` and `_close.rs`: the application's own code at the beginning and the end of a connection.

use std::time::Duration;

use aaw_client::{Config, ConnectError};
use aaw_server::{Config as ServerConfig, Events};
use aaw_test_hooks::_services::{App, OpenBehaviour};
use aaw_tests::http::HttpRequest;
use aaw_tests::{TestServer, WireClient, until, within};
use serde_json::{Value, json};

async fn start(change: impl FnOnce(&mut ServerConfig)) -> (TestServer, App) {
    let app = App::default();
    (TestServer::start_with_events(vec![aaw_test_hooks::module_with(app.clone()).into()], change).await, app)
}

async fn closings(app: &App, least: usize) -> Vec<Value> {
    within("_close", || "less".into(), app.closings(least)).await
}

#[tokio::test]
async fn it_runs_before_anything_else_and_greets_first() {
    let (server, app) = start(|_| {}).await;
    app.on_open(OpenBehaviour { greeting: Some("Welcome".into()), ..OpenBehaviour::default() });
    let mut client = WireClient::connect(server.addr, Some("_key, aaw.v1")).await;
    // The call does not wait for the welcome.
    client.send_all([r#"["aaw/hello",{}]"#, r#"["ping",null,1]"#]).await;
    assert!(client.next().await.starts_with(r#"["aaw/welcome","#));
    client.expect(r#"["message",{"message":"Welcome"}]"#).await;
    client.expect(r#"["ping",{"pong":true},1]"#).await;
    let mut classic = server.classic().await;
    classic.exchange(r#"["ping",null]"#, r#"["message",{"message":"Welcome"}]"#).await;
    classic.expect(r#"["ping",{"pong":true}]"#).await;
}

#[tokio::test]
async fn what_comes_while_it_runs_waits_for_it() {
    let (server, app) = start(|_| {}).await;
    app.passes.forget_permits(usize::MAX);
    let mut client = WireClient::connect(server.addr, Some("_key, aaw.v1")).await;
    client.send_all([r#"["aaw/hello",{}]"#, r#"["note",1]"#, r#"["ping",null,1]"#]).await;
    let mut classic = server.classic().await;
    classic.send(r#"["note",2,"x"]"#).await;
    app.openings(2).await;
    server.handle.emit("news", 1).unwrap();
    assert_eq!(app.notes(), [] as [Value; 0]);
    app.passes.add_permits(2);
    assert!(client.next().await.starts_with(r#"["aaw/welcome","#));
    let mut frames = [client.next().await, client.next().await];
    frames.sort();
    assert_eq!(frames, [r#"["news",1]"#, r#"["ping",{"pong":true},1]"#]);
    let mut frames = [classic.next().await, classic.next().await];
    frames.sort();
    assert_eq!(frames, [r#"["news",1]"#, r#"["note",null,"x"]"#]);
}

#[tokio::test]
async fn it_may_refuse_and_the_client_is_told_why() {
    let (server, app) = start(|_| {}).await;
    app.on_open(OpenBehaviour { refusal: Some("Members only".into()), ..OpenBehaviour::default() });
    let mut client = WireClient::connect(server.addr, Some("_key, aaw.v1")).await;
    client.send_all([r#"["aaw/hello",{}]"#, r#"["note",1]"#, r#"["ping",null,1]"#]).await;
    let said = client.next().await;
    assert!(said.starts_with(r#"["aaw/error",{"error":"Members only","#), "{said}");
    assert_eq!(client.expect_close(1008).await, "Members only");
    assert_eq!(server.classic().await.expect_close(1008).await, "Members only");
    match aaw_client::connect_with(&server.url(), Config::default()).await {
        Err(ConnectError::DisconnectReason { why, .. }) => assert!(why.to_string().contains("Members only"), "{why}"),
        other => panic!("{other:?}"),
    }
    // Who is not let in does not leave, and runs nothing.
    app.on_open(OpenBehaviour::default());
    server.v1().await.close().await;
    assert_eq!(closings(&app, 1).await.len(), 1);
    assert_eq!(app.notes(), [] as [Value; 0]);
}

#[tokio::test]
async fn one_that_panics_lets_nobody_in_and_says_nothing_of_it() {
    let (server, app) = start(|_| {}).await;
    app.on_open(OpenBehaviour { panics: true, ..OpenBehaviour::default() });
    assert_eq!(server.classic().await.expect_close(1008).await, "Internal error");
    app.on_open(OpenBehaviour::default());
    server.v1().await.close().await;
}

#[tokio::test]
async fn one_that_takes_too_long_lets_nobody_in() {
    let (server, app) = start(|config| config.handshake_timeout = Duration::from_millis(100)).await;
    app.passes.forget_permits(usize::MAX);
    server.classic().await.expect_close(1008).await;
}

#[tokio::test]
async fn a_reason_is_cut_to_what_a_close_frame_holds() {
    let (server, app) = start(|_| {}).await;
    app.on_open(OpenBehaviour { refusal: Some("ü".repeat(200)), ..OpenBehaviour::default() });
    let reason = server.classic().await.expect_close(1008).await;
    assert!(reason.len() <= 123 && reason.len() > 115 && reason.starts_with("üü"), "{}", reason.len());
}

#[tokio::test]
async fn the_end_is_told_once_with_its_reason() {
    let (server, app) = start(|_| {}).await;
    server.v1().await.close().await;
    assert_eq!(closings(&app, 1).await[0]["by"], "client");
    drop(server.classic().await);
    closings(&app, 2).await;
    let mut client = server.v1().await;
    client.send(&format!(r#"["note","{}",1]"#, "x".repeat(2 << 20))).await;
    client.drain_until_close(1009).await;
    let all = closings(&app, 3).await;
    assert_eq!((all.len(), &all[2]["by"]), (3, &json!("broken")));
    until("no connections", || server.handle.connections() == 0).await;
}

#[tokio::test]
async fn others_are_told_by_it() {
    let (server, app) = start(|_| {}).await;
    let mut other = server.v1().await;
    server.v1().await.close().await;
    closings(&app, 1).await;
    other.expect(r#"["broadcast","a client left"]"#).await;
}

#[tokio::test]
async fn a_stop_is_an_end_too() {
    let (mut server, app) = start(|_| {}).await;
    let mut client = server.v1().await;
    server.stop();
    client.drain_until_close(1001).await;
    server.stopped().await;
    let closed = closings(&app, 1).await;
    assert_eq!((closed.len(), &closed[0]["by"], &closed[0]["code"]), (1, &json!("server"), &json!(1001)));
}

#[tokio::test]
async fn it_is_told_where_the_client_comes_from() {
    let (server, app) = start(|_| {}).await;
    let client = server.v1().await;
    let opened = app.openings(1).await;
    assert_eq!(opened[0]["client_key"], "_key");
    assert!(opened[0]["address"].as_str().unwrap().starts_with("127.0.0.1"), "{opened:?}");
    client.close().await;
}

#[tokio::test]
async fn who_never_says_hello_was_never_there() {
    let (server, app) = start(|_| {}).await;
    WireClient::connect(server.addr, Some("_key, aaw.v1")).await.close().await;
    server.v1().await.close().await;
    assert_eq!(closings(&app, 1).await.len(), 1);
    assert_eq!(app.openings(1).await.len(), 1);
}

/// There is no connection that could be opened: what holds for every call is for the handlers.
#[tokio::test]
async fn a_call_over_http_does_not_pass_it() {
    let (server, app) = start(|_| {}).await;
    app.on_open(OpenBehaviour { refusal: Some("Members only".into()), ..OpenBehaviour::default() });
    assert_eq!(HttpRequest::post(server.addr, "/events/ping", "").send().await.status, 200);
    assert!(app.openings(0).await.is_empty());
}

#[tokio::test]
async fn of_several_packages_those_that_let_a_client_in_learn_that_it_left() {
    let (first, second) = (App::default(), App::default());
    let events = |app: &App| Events::new(aaw_test_hooks::module_with(app.clone()));
    let sources = vec![events(&first), events(&second).under("second")];
    let server =
        TestServer::start_with_events(sources, |config| config.handshake_timeout = Duration::from_millis(200)).await;
    second.on_open(OpenBehaviour { refusal: Some("No".into()), ..OpenBehaviour::default() });
    server.classic().await.expect_close(1008).await;
    let closed = closings(&first, 1).await;
    assert_eq!((&closed[0]["by"], &closed[0]["code"]), (&json!("server"), &json!(1008)));
    // One that takes too long, and one whose client does not wait for it.
    second.on_open(OpenBehaviour::default());
    second.passes.forget_permits(usize::MAX);
    server.classic().await.expect_close(1008).await;
    closings(&first, 2).await;
    let client = server.classic().await;
    second.openings(3).await;
    drop(client);
    closings(&first, 3).await;
    second.passes.add_permits(1);
    server.classic().await.close().await;
    assert_eq!((closings(&first, 4).await.len(), closings(&second, 1).await.len()), (4, 1));
}
