//! The hooks of resumption: `_away.rs` and `_back.rs` run when the socket of a connection is lost and when there is another
//! one, `_resume.rs` decides whether that one may continue the connection.

use std::time::Duration;

use aaw_server::{Config as ServerConfig, Events};
use aaw_test_hooks::_services::{App, OpenBehaviour, ResumeBehaviour};
use aaw_tests::fault_proxy::{ConnectionPlan, Fault, FaultPlan, FaultPoint, FaultProxy};
use aaw_tests::resumption::{KEY, client_config, hello, next_refusal, next_welcome, open, refused, resuming, welcomed};
use aaw_tests::{DEADLINE, TestServer, WireClient, until, within};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

async fn start(change: impl FnOnce(&mut ServerConfig)) -> (TestServer, App) {
    let app = App::default();
    (TestServer::start_with_events(vec![aaw_test_hooks::module_with(app.clone()).into()], change).await, app)
}

/// Waits until `_away` and `_back` have recorded `least` entries, and returns the names: those of hooks that have begun, and
/// `ended` for the end of one.
async fn away_hooks(app: &App, least: usize) -> Vec<&'static str> {
    let all = within("_away or _back", || "less".into(), app.away_hooks(least)).await;
    all.into_iter().map(|(name, _)| name).collect()
}

async fn closings(app: &App, least: usize) -> Vec<Value> {
    within("_close", || "less".into(), app.closings(least)).await
}

async fn resumptions(app: &App, least: usize) -> Vec<(String, Value)> {
    within("_resume", || "less".into(), app.resumptions(least)).await
}

/// Breaks the socket of a state. The client has received nothing that counts.
async fn lose(server: &TestServer, client: WireClient) {
    drop(client);
    until("the client to be away", || server.handle.away_connections() == 1).await;
}

/// Begins a state, and breaks its socket. Returns the id of the connection.
async fn broken(server: &TestServer) -> String {
    let (client, welcome) = open(server, &json!({ "key": KEY })).await;
    lose(server, client).await;
    welcome["connection"].as_str().unwrap().to_owned()
}

/// Opens a socket whose client has this key.
async fn connect(server: &TestServer, client_key: &str) -> WireClient {
    WireClient::connect(server.addr, Some(&format!("{client_key}, aaw.v1"))).await
}

// --- _away and _back -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn away_runs_without_a_socket_and_back_with_the_next_one() {
    let (server, app) = start(|_| {}).await;
    broken(&server).await;
    assert_eq!(away_hooks(&app, 2).await, ["away", "ended"]);
    let (mut client, welcome) = open(&server, &resuming(0)).await;
    assert_eq!(welcome["resumed"], true);
    client.expect(r#"["message","Welcome back"]"#).await;
    assert_eq!(away_hooks(&app, 4).await, ["away", "ended", "back", "ended"]);
    let told = app.away_hooks(4).await;
    assert_eq!(told[0].1, json!([{ "by": "client", "code": null, "reason": "" }, { "connected": false }]));
    assert!(told[2].1[0]["away_ms"].is_u64() && told[2].1[1] == json!({ "connected": true }), "{told:?}");
    client.close().await;
    assert_eq!(closings(&app, 1).await.len(), 1);
    // `_open` has run once, and nothing else has run.
    assert_eq!((app.openings(1).await.len(), away_hooks(&app, 4).await.len()), (1, 4));
}

#[tokio::test]
async fn a_client_that_announces_that_it_will_resume_is_away_and_one_that_closes_is_not() {
    let (server, app) = start(|_| {}).await;
    let (mut client, _) = open(&server, &json!({ "key": KEY })).await;
    let frame = CloseFrame { code: 4002.into(), reason: "soon".into() };
    client.send_message(Message::Close(Some(frame))).await;
    away_hooks(&app, 2).await;
    let info = json!({ "by": "client", "code": 4002, "reason": "soon" });
    assert_eq!(app.away_hooks(2).await[0].1[0], info);
    let (client, _) = open(&server, &resuming(0)).await;
    away_hooks(&app, 4).await;
    client.close().await;
    closings(&app, 1).await;
    assert_eq!(away_hooks(&app, 4).await, ["away", "ended", "back", "ended"]);
}

#[tokio::test]
async fn close_follows_away_when_the_client_does_not_come_back() {
    let (server, app) = start(|config| config.resumption_window = Duration::from_millis(50)).await;
    broken(&server).await;
    let closed = closings(&app, 1).await;
    assert_eq!((closed.len(), away_hooks(&app, 2).await), (1, vec!["away", "ended"]));
}

/// The server has not noticed that the old socket is of no use, so the client was never away.
#[tokio::test]
async fn a_socket_that_replaces_another_runs_neither_away_nor_back() {
    let (server, app) = start(|_| {}).await;
    let (mut first, _) = open(&server, &json!({ "key": KEY })).await;
    let (mut second, welcome) = open(&server, &resuming(0)).await;
    assert_eq!(welcome["resumed"], true);
    first.expect_close(4001).await;
    second.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
    second.close().await;
    closings(&app, 1).await;
    assert_eq!((app.away_hooks(0).await.len(), resumptions(&app, 1).await.len()), (0, 1));
}

#[tokio::test]
async fn hooks_of_a_client_whose_socket_breaks_again_and_again_run_by_turns_and_one_at_a_time() {
    let (server, app) = start(|_| {}).await;
    app.away_passes.forget_permits(usize::MAX);
    broken(&server).await;
    assert_eq!(away_hooks(&app, 1).await, ["away"]);
    // `_away` runs all the time.
    for _ in 0..20 {
        let (client, _) = open(&server, &resuming(0)).await;
        lose(&server, client).await;
    }
    let (mut client, _) = open(&server, &resuming(0)).await;
    client.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
    assert_eq!(away_hooks(&app, 1).await, ["away"]);
    app.away_passes.add_permits(1);
    assert_eq!(away_hooks(&app, 3).await, ["away", "ended", "back"]);
    // It is away again, and back, while `_back` runs.
    lose(&server, client).await;
    let (mut client, _) = open(&server, &resuming(1)).await;
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    app.away_passes.add_permits(1);
    client.expect(r#"["message","Welcome back"]"#).await;
    lose(&server, client).await;
    assert_eq!(away_hooks(&app, 5).await, ["away", "ended", "back", "ended", "away"]);
}

#[tokio::test]
async fn close_waits_for_away() {
    let (server, app) = start(|config| config.resumption_window = Duration::from_millis(50)).await;
    app.away_passes.forget_permits(usize::MAX);
    broken(&server).await;
    away_hooks(&app, 1).await;
    let mut other = server.v1().await;
    until("the state to be over", || server.handle.away_connections() == 0).await;
    // The hook of a connection that ends later is not held up by the first one.
    other.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
    other.close().await;
    assert_eq!(closings(&app, 1).await.len(), 1);
    app.away_passes.add_permits(1);
    closings(&app, 2).await;
    assert_eq!(away_hooks(&app, 2).await, ["away", "ended"]);
}

#[tokio::test]
async fn an_away_hook_that_hangs_is_dropped_and_back_follows() {
    let (server, app) = start(|config| config.linger_timeout = Duration::from_millis(100)).await;
    app.away_passes.forget_permits(usize::MAX);
    broken(&server).await;
    away_hooks(&app, 1).await;
    let (_client, _) = open(&server, &resuming(0)).await;
    assert_eq!(away_hooks(&app, 2).await, ["away", "back"]);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_an_away_hook_that_hangs() {
    let (mut server, app) = start(|_| {}).await;
    app.away_passes.forget_permits(usize::MAX);
    broken(&server).await;
    away_hooks(&app, 1).await;
    server.stop();
    within("the stop", || "nothing".into(), server.stopped()).await;
}

// --- _resume ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn resume_receives_the_new_handshake_and_the_id_of_the_connection() {
    let (server, app) = start(|_| {}).await;
    let connection = broken(&server).await;
    let mut client = connect(&server, "_other").await;
    assert_eq!(welcomed(&mut client, &resuming(0)).await["resumed"], true);
    let (id, opened) = resumptions(&app, 1).await.remove(0);
    assert_eq!((id, &opened["client_key"]), (connection, &json!("_other")));
    assert!(opened["address"].as_str().unwrap().starts_with("127.0.0.1"), "{opened}");
}

#[tokio::test]
async fn a_refusal_leaves_the_state_as_it_is() {
    let (server, app) = start(|_| {}).await;
    let (mut client, first) = open(&server, &json!({ "key": KEY })).await;
    client.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
    lose(&server, client).await;
    app.on_resume(ResumeBehaviour {
        refusal: Some("Not from there"),
        refused_key: Some("_stranger"),
        ..ResumeBehaviour::default()
    });
    let mut stranger = connect(&server, "_stranger").await;
    // It claims to have received what the client has not.
    let mut request = resuming(1);
    request["attempt"] = json!(1000);
    assert_eq!(refused(&mut stranger, &request).await, "Not from there");
    // It begins a new connection on the same socket, which `_open` decides about.
    let own = "5".repeat(32);
    let welcome = welcomed(&mut stranger, &json!({ "key": own })).await;
    assert_eq!((&welcome["resumed"], welcome["connection"] != first["connection"]), (&json!(false), true));
    assert_eq!(app.openings(2).await[1]["client_key"], "_stranger");
    stranger.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
    // The client gets what it has not received.
    let mut request = resuming(0);
    request["attempt"] = json!(1);
    let (mut client, welcome) = open(&server, &request).await;
    assert_eq!((&welcome["resumed"], &welcome["connection"]), (&json!(true), &first["connection"]));
    client.expect(r#"["ping",{"pong":true},1]"#).await;
}

#[tokio::test]
async fn a_refusal_leaves_the_old_socket_as_it_is() {
    let (server, app) = start(|_| {}).await;
    let (mut first, _) = open(&server, &json!({ "key": KEY })).await;
    app.on_resume(ResumeBehaviour { refusal: Some("No"), ..ResumeBehaviour::default() });
    let mut second = connect(&server, "_key").await;
    assert_eq!(refused(&mut second, &resuming(0)).await, "No");
    first.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
}

#[tokio::test]
async fn a_hook_that_panics_or_hangs_refuses_and_leaves_the_state_as_it_is() {
    let (server, app) = start(|config| config.handshake_timeout = Duration::from_secs(2)).await;
    broken(&server).await;
    app.on_resume(ResumeBehaviour { panics: true, ..ResumeBehaviour::default() });
    assert_eq!(refused(&mut connect(&server, "_key").await, &resuming(0)).await, "Internal error");
    app.on_resume(ResumeBehaviour::default());
    app.resume_passes.forget_permits(usize::MAX);
    let mut slow = connect(&server, "_slow").await;
    let error = refused(&mut slow, &resuming(0)).await;
    assert!(error.contains("took too long"), "{error}");
    within("the hook to be dropped", || "nothing".into(), app.dropped_resumptions(1)).await;
    // The time of the hook was not the client's: it may say another hello.
    assert_eq!(welcomed(&mut slow, &json!({ "key": "5".repeat(32) })).await["resumed"], false);
    assert_eq!(open(&server, &resuming(0)).await.1["resumed"], true);
}

#[tokio::test]
async fn the_connection_runs_on_while_the_hook_decides() {
    let (server, app) = start(|_| {}).await;
    app.resume_passes.forget_permits(usize::MAX);
    let (mut first, _) = open(&server, &json!({ "key": KEY })).await;
    let mut second = connect(&server, "_slow").await;
    second.send(&hello(&resuming(0))).await;
    resumptions(&app, 1).await;
    first.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
    first.send_all([r#"["aaw/ack",1]"#, r#"["aaw/ping"]"#]).await;
    first.expect(r#"["aaw/pong",null]"#).await;
    app.resume_passes.add_permits(1);
    // What the client of the first socket has received since cannot be taken back by the second.
    let error = next_refusal(&mut second).await;
    assert!(error.contains("less than the last acknowledged one"), "{error}");
    first.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
}

#[tokio::test]
async fn of_two_sockets_that_resume_at_once_the_later_one_continues_the_connection() {
    let (server, app) = start(|_| {}).await;
    app.resume_passes.forget_permits(usize::MAX);
    broken(&server).await;
    let mut first = connect(&server, "_slow").await;
    first.send(&hello(&resuming(0))).await;
    resumptions(&app, 1).await;
    let mut second = connect(&server, "_slow").await;
    second.send(&hello(&resuming(0))).await;
    resumptions(&app, 2).await;
    // The hooks pass in order: the second socket replaces the first one.
    app.resume_passes.add_permits(1);
    assert_eq!(next_welcome(&mut first).await["resumed"], true);
    app.resume_passes.add_permits(1);
    assert_eq!(next_welcome(&mut second).await["resumed"], true);
    // The push of `_back` may have been sent on the first one.
    let seen = first.drain_until_close(4001).await;
    assert!(seen.iter().all(|text| text.contains("Welcome back")), "{seen:?}");
    drop(second);
    until("the client to be away", || server.handle.away_connections() == 1).await;
    // The hook of an earlier socket passes after that of a later one.
    let mut early = connect(&server, "_slow").await;
    early.send(&hello(&resuming(0))).await;
    resumptions(&app, 3).await;
    let (mut late, welcome) = open(&server, &resuming(0)).await;
    assert_eq!(welcome["resumed"], true);
    app.resume_passes.add_permits(1);
    assert_eq!(next_refusal(&mut early).await, "another socket continues the connection");
    late.send(r#"["ping",null,1]"#).await;
    late.collect_until(|text| text.starts_with(r#"["ping""#)).await;
}

#[tokio::test]
async fn a_state_that_is_over_while_the_hook_runs_is_answered_at_once() {
    let (server, app) = start(|config| config.resumption_window = Duration::from_secs(1)).await;
    app.resume_passes.forget_permits(usize::MAX);
    let connection = broken(&server).await;
    let mut client = connect(&server, "_slow").await;
    client.send(&hello(&resuming(0))).await;
    resumptions(&app, 1).await;
    let welcome = next_welcome(&mut client).await;
    assert_eq!((&welcome["resumed"], welcome["connection"] != json!(connection)), (&json!(false), true));
    within("the hook to be dropped", || "nothing".into(), app.dropped_resumptions(1)).await;
    closings(&app, 1).await;
    client.send(r#"["ping",null,1]"#).await;
    client.collect_until(|text| text == r#"["ping",{"pong":true},1]"#).await;
}

#[tokio::test]
async fn a_refusal_of_one_package_decides() {
    let (first, second) = (App::default(), App::default());
    let events = |app: &App| Events::new(aaw_test_hooks::module_with(app.clone()));
    let sources = vec![events(&first), events(&second).under("second")];
    let server = TestServer::start_with_events(sources, |_| {}).await;
    broken(&server).await;
    away_hooks(&first, 2).await;
    away_hooks(&second, 2).await;
    second.on_resume(ResumeBehaviour { refusal: Some("No"), ..ResumeBehaviour::default() });
    assert_eq!(refused(&mut connect(&server, "_key").await, &resuming(0)).await, "No");
    assert_eq!((resumptions(&first, 1).await.len(), resumptions(&second, 1).await.len()), (1, 1));
}

#[tokio::test]
async fn open_decides_about_the_connection_that_follows_a_refusal() {
    let (server, app) = start(|_| {}).await;
    broken(&server).await;
    app.on_resume(ResumeBehaviour { refusal: Some("No"), ..ResumeBehaviour::default() });
    app.on_open(OpenBehaviour { refusal: Some("Members only".into()), ..OpenBehaviour::default() });
    let mut client = connect(&server, "_key").await;
    assert_eq!(refused(&mut client, &resuming(0)).await, "No");
    client.send(&hello(&json!({ "key": "5".repeat(32) }))).await;
    assert!(client.next().await.contains("Members only"));
    assert_eq!(client.expect_close(1008).await, "Members only");
}

/// A client of aaw that is refused begins a new connection.
#[tokio::test]
async fn a_client_that_is_refused_goes_on_with_a_new_connection() {
    let (server, app) = start(|_| {}).await;
    app.on_resume(ResumeBehaviour { refusal: Some("Not again"), ..ResumeBehaviour::default() });
    let fault = Some((FaultPoint::Time(Duration::from_millis(100)), Fault::Close));
    let plan = FaultPlan::Listed(vec![ConnectionPlan { fault, ..ConnectionPlan::default() }]);
    let proxy = FaultProxy::start(server.addr, plan).await;
    let client = aaw_client::connect_with(&proxy.url(), client_config()).await.unwrap();
    within("another _open", || format!("{:?}", proxy.stats()), app.openings(2)).await;
    let pong = client.send_async::<Value>("ping", (), DEADLINE).await;
    assert_eq!((pong, resumptions(&app, 1).await.len()), (Ok(json!({ "pong": true })), 1));
    client.close().await;
}
