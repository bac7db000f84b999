//! Connection hooks: `_open.rs` runs when a connection opens, `_close.rs` after it has closed.

use std::time::Duration;

use aaw_client::{Config, ConnectError};
use aaw_server::{Config as ServerConfig, Events};
use aaw_test_hooks::_services::{App, OpenBehaviour};
use aaw_tests::{HttpRequest, TestServer, WireClient, until, within};
use serde_json::{Value, json};

async fn start(change: impl FnOnce(&mut ServerConfig)) -> (TestServer, App) {
    let app = App::default();
    (TestServer::start_with_events(vec![aaw_test_hooks::module_with(app.clone()).into()], change).await, app)
}

async fn closings(app: &App, least: usize) -> Vec<Value> {
    within("_close", || "less".into(), app.closings(least)).await
}

#[tokio::test]
async fn the_open_hook_runs_before_calls_and_its_pushes_arrive_first() {
    let (server, app) = start(|_| {}).await;
    app.on_open(OpenBehaviour { greeting: Some("Welcome".into()), ..OpenBehaviour::default() });
    let mut client = WireClient::connect(server.addr, Some("_key, aaw.v1")).await;
    // The client calls without waiting for the welcome.
    client.send_all([r#"["aaw/hello",{}]"#, r#"["ping",null,1]"#]).await;
    assert!(client.next().await.starts_with(r#"["aaw/welcome","#));
    client.expect(r#"["message",{"message":"Welcome"}]"#).await;
    client.expect(r#"["ping",{"pong":true},1]"#).await;
    let mut classic = server.classic().await;
    classic.exchange(r#"["ping",null]"#, r#"["message",{"message":"Welcome"}]"#).await;
    classic.expect(r#"["ping",{"pong":true}]"#).await;
}

#[tokio::test]
async fn calls_wait_for_the_open_hook() {
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
async fn the_open_hook_may_refuse_and_the_client_receives_the_reason() {
    let (server, app) = start(|_| {}).await;
    app.on_open(OpenBehaviour { refusal: Some("Members only".into()), ..OpenBehaviour::default() });
    let mut client = WireClient::connect(server.addr, Some("_key, aaw.v1")).await;
    client.send_all([r#"["aaw/hello",{}]"#, r#"["note",1]"#, r#"["ping",null,1]"#]).await;
    let error = client.next().await;
    assert!(error.starts_with(r#"["aaw/error",{"error":"Members only","#), "{error}");
    assert_eq!(client.expect_close(1008).await, "Members only");
    assert_eq!(server.classic().await.expect_close(1008).await, "Members only");
    match aaw_client::connect_with(&server.url(), Config::default()).await {
        Err(ConnectError::Disconnected { reason: why, .. }) => {
            assert!(why.to_string().contains("Members only"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    // `_close` does not run for a refused connection, and neither do its calls.
    app.on_open(OpenBehaviour::default());
    server.v1().await.close().await;
    assert_eq!(closings(&app, 1).await.len(), 1);
    assert_eq!(app.notes(), [] as [Value; 0]);
}

#[tokio::test]
async fn a_panic_of_the_open_hook_refuses_the_connection_as_an_internal_error() {
    let (server, app) = start(|_| {}).await;
    app.on_open(OpenBehaviour { panics: true, ..OpenBehaviour::default() });
    assert_eq!(server.classic().await.expect_close(1008).await, "Internal error");
    app.on_open(OpenBehaviour::default());
    server.v1().await.close().await;
}

#[tokio::test]
async fn an_open_hook_that_takes_too_long_refuses_the_connection() {
    let (server, app) = start(|config| config.handshake_timeout = Duration::from_millis(100)).await;
    app.passes.forget_permits(usize::MAX);
    server.classic().await.expect_close(1008).await;
}

#[tokio::test]
async fn a_reason_is_truncated_to_the_size_of_a_close_frame() {
    let (server, app) = start(|_| {}).await;
    app.on_open(OpenBehaviour { refusal: Some("ü".repeat(200)), ..OpenBehaviour::default() });
    let reason = server.classic().await.expect_close(1008).await;
    assert!(reason.len() <= 123 && reason.len() > 115 && reason.starts_with("üü"), "{}", reason.len());
}

#[tokio::test]
async fn the_close_hook_runs_once_and_receives_the_cause() {
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
async fn the_close_hook_can_broadcast() {
    let (server, app) = start(|_| {}).await;
    let mut other = server.v1().await;
    server.v1().await.close().await;
    closings(&app, 1).await;
    other.expect(r#"["broadcast","a client left"]"#).await;
}

#[tokio::test]
async fn a_shutdown_runs_the_close_hook() {
    let (mut server, app) = start(|_| {}).await;
    let mut client = server.v1().await;
    server.stop();
    client.drain_until_close(1001).await;
    server.stopped().await;
    let closed = closings(&app, 1).await;
    assert_eq!((closed.len(), &closed[0]["by"], &closed[0]["code"]), (1, &json!("server"), &json!(1001)));
}

#[tokio::test]
async fn the_open_hook_receives_the_address_and_the_client_key() {
    let (server, app) = start(|_| {}).await;
    let client = server.v1().await;
    let opened = app.openings(1).await;
    assert_eq!(opened[0]["client_key"], "_key");
    assert!(opened[0]["address"].as_str().unwrap().starts_with("127.0.0.1"), "{opened:?}");
    client.close().await;
}

#[tokio::test]
async fn no_hook_runs_for_a_v1_connection_without_a_hello() {
    let (server, app) = start(|_| {}).await;
    WireClient::connect(server.addr, Some("_key, aaw.v1")).await.close().await;
    server.v1().await.close().await;
    assert_eq!(closings(&app, 1).await.len(), 1);
    assert_eq!(app.openings(1).await.len(), 1);
}

/// An HTTP request opens no connection. Checks for every call belong in guards or handlers.
#[tokio::test]
async fn a_call_over_http_runs_no_hook() {
    let (server, app) = start(|_| {}).await;
    app.on_open(OpenBehaviour { refusal: Some("Members only".into()), ..OpenBehaviour::default() });
    assert_eq!(HttpRequest::post(server.addr, "/events/ping", "").send().await.status, 200);
    assert!(app.openings(0).await.is_empty());
}

#[tokio::test]
async fn the_close_hooks_run_of_those_packages_whose_open_hooks_have_run() {
    let (first, second) = (App::default(), App::default());
    let events = |app: &App| Events::new(aaw_test_hooks::module_with(app.clone()));
    let sources = vec![events(&first), events(&second).under("second")];
    let server =
        TestServer::start_with_events(sources, |config| config.handshake_timeout = Duration::from_millis(200)).await;
    second.on_open(OpenBehaviour { refusal: Some("No".into()), ..OpenBehaviour::default() });
    server.classic().await.expect_close(1008).await;
    let closed = closings(&first, 1).await;
    assert_eq!((&closed[0]["by"], &closed[0]["code"]), (&json!("server"), &json!(1008)));
    // The same if the second hook takes too long, and if the client disconnects meanwhile.
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
