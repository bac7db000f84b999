//! Guards: `_guard.rs` runs before the events of its folder, and may refuse a call.

use aaw_server::Events;
use aaw_test_rooms::_services::{App, GuardBehaviour};
use aaw_tests::{HttpRequest, TestServer};

async fn start() -> (TestServer, App) {
    let app = App::default();
    (TestServer::start_with_events(vec![aaw_test_rooms::module_with(app.clone()).into()], |_| {}).await, app)
}

fn refuses() -> GuardBehaviour {
    GuardBehaviour { refusal: Some("Members only"), ..GuardBehaviour::default() }
}

fn waits() -> GuardBehaviour {
    GuardBehaviour { waits: true, ..GuardBehaviour::default() }
}

#[tokio::test]
async fn guards_run_before_the_events_of_their_folders_outermost_first() {
    let (server, app) = start().await;
    let mut client = server.v1().await;
    client.call("guarded/inner/get", "1").await.assert_eq("1");
    let expected = [
        "guard of guarded before guarded/inner/get",
        "guard of guarded/inner before guarded/inner/get",
        "guarded/inner/get",
    ];
    assert_eq!(app.ran(), expected);
    client.call("guarded/get", "2").await.assert_eq("2");
    assert_eq!(app.ran()[3..], ["guard of guarded before guarded/get", "guarded/get"]);
    // No guard runs for events outside of the folder.
    client.call("guarded", "null").await.assert_eq(r#""outside of the folder""#);
    client.call("room/size", r#""x""#).await.assert_eq("0");
    assert_eq!(app.ran().len(), 5);
}

#[tokio::test]
async fn a_refused_call_runs_neither_inner_guards_nor_the_handler() {
    let (server, app) = start().await;
    app.guard("guarded", refuses());
    let (mut v1, mut classic) = (server.v1().await, server.classic().await);
    v1.call("guarded/inner/get", "1").await.assert_eq(r#"{"error":"Members only","code":"not_allowed"}"#);
    classic.call("guarded/inner/get", "1").await.assert_eq(r#"{"error":"Members only"}"#);
    assert_eq!(app.ran(), ["guard of guarded before guarded/inner/get"; 2]);
    let call = server.calls.first_of("guarded/inner/get").await;
    assert_eq!(call["error"]["code"], "not_allowed", "{call}");
    // The inner guard alone refuses only the events of its folder.
    app.guard("guarded", GuardBehaviour::default());
    app.guard("guarded/inner", GuardBehaviour { code: Some("no_member"), ..refuses() });
    v1.call("guarded/inner/get", "1").await.assert_eq(r#"{"error":"Members only","code":"no_member"}"#);
    v1.call("guarded/get", "1").await.assert_eq("1");
    assert!(!app.ran().contains(&"guarded/inner/get".to_owned()));
}

#[tokio::test]
async fn a_guard_that_fails_or_panics_refuses_the_call() {
    let (server, app) = start().await;
    let mut client = server.v1().await;
    app.guard("guarded", GuardBehaviour { panics: true, ..GuardBehaviour::default() });
    client.call("guarded/get", "1").await.assert_eq(r#"{"error":"Internal error","code":"panic"}"#);
    app.guard("guarded", GuardBehaviour { fails: true, ..GuardBehaviour::default() });
    client.call("guarded/get", "1").await.assert_eq(r#"{"error":"Internal error","code":"internal"}"#);
    app.guard("guarded", GuardBehaviour { fails: true, ..waits() });
    app.passes.add_permits(1);
    client.call("guarded/get", "1").await.assert_eq(r#"{"error":"Internal error","code":"internal"}"#);
    assert!(!app.ran().contains(&"guarded/get".to_owned()));
}

#[tokio::test]
async fn a_guard_may_wait_and_delays_only_its_call() {
    let (server, app) = start().await;
    let mut client = server.v1().await;
    app.guard("guarded", waits());
    app.guard("guarded/inner", waits());
    client.send(r#"["guarded/inner/get",1,1]"#).await;
    app.wait_for("guard of guarded before guarded/inner/get").await;
    // Other calls run meanwhile.
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    app.passes.add_permits(1);
    app.wait_for("guard of guarded/inner before guarded/inner/get").await;
    app.passes.add_permits(1);
    client.expect(r#"["guarded/inner/get",1,1]"#).await;
    // A guard may refuse after it has waited.
    app.guard("guarded", GuardBehaviour { refusal: Some("Too late"), ..waits() });
    app.passes.add_permits(1);
    client
        .exchange(r#"["guarded/get",1,3]"#, r#"["guarded/get",{"error":"Too late","code":"not_allowed"},3,"error"]"#)
        .await;
    assert!(!app.ran().contains(&"guarded/get".to_owned()));
}

#[tokio::test]
async fn a_guard_that_does_not_decide_in_time_refuses_the_call() {
    let app = App::default();
    let events = vec![aaw_test_rooms::module_with(app.clone()).into()];
    let server =
        TestServer::start_with_events(events, |config| config.guard_timeout = std::time::Duration::from_millis(20))
            .await;
    app.guard("guarded", waits());
    let mut client = server.v1().await;
    let failure =
        r#"{"error":"The guard of guarded/get did not decide within the server's limit of 20ms","code":"timeout"}"#;
    client.call("guarded/get", "1").await.assert_eq(failure);
    app.wait_for("guard of guarded stopped waiting").await;
    let response = HttpRequest::post(server.addr, "/events/guarded/get", "1").send().await;
    assert_eq!((response.status, response.body.as_str()), (504, failure));
    assert!(!app.ran().contains(&"guarded/get".to_owned()));
}

#[tokio::test]
async fn cancelling_a_call_drops_its_waiting_guard() {
    let (server, app) = start().await;
    app.guard("guarded", waits());
    let mut client = server.v1().await;
    client.send(r#"["guarded/get",1,1]"#).await;
    app.wait_for("guard of guarded before guarded/get").await;
    client.send(r#"["guarded/get",null,1,"cancel"]"#).await;
    app.wait_for("guard of guarded stopped waiting").await;
    app.passes.add_permits(1);
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    assert!(!app.ran().contains(&"guarded/get".to_owned()));
}

#[tokio::test]
async fn later_calls_wait_for_a_join_behind_a_waiting_guard() {
    let (server, app) = start().await;
    app.guard("guarded", waits());
    let mut client = server.v1().await;
    client.send_all([r#"["guarded/join","tea"]"#, r#"["room/size","tea",1]"#]).await;
    app.wait_for("guard of guarded before guarded/join").await;
    app.passes.add_permits(1);
    client.expect(r#"["room/size",1,1]"#).await;
    // The same for a call with an id.
    client.send_all([r#"["guarded/join","milk",2]"#, r#"["room/size","milk",3]"#]).await;
    app.passes.add_permits(1);
    client.expect(r#"["guarded/join",null,2]"#).await;
    client.expect(r#"["room/size",1,3]"#).await;
}

#[tokio::test]
async fn streams_and_uploads_are_guarded() {
    let (server, app) = start().await;
    let mut client = server.v1().await;
    for behaviour in [GuardBehaviour::default(), waits()] {
        app.guard("guarded", behaviour);
        app.passes.add_permits(3);
        let mut client = server.v1().await;
        client.send(r#"["guarded/count",2,1,"call",{"credit":10}]"#).await;
        client.expect(r#"["guarded/count",1,1,"item"]"#).await;
        client.expect(r#"["guarded/count",2,1,"item"]"#).await;
        client.expect(r#"["guarded/count",null,1,"end"]"#).await;
        client.exchange(r#"["guarded/count",3,2]"#, r#"["guarded/count",[1,2,3],2]"#).await;
        client.send(r#"["guarded/sum",null,3,"call",{"in":true}]"#).await;
        client.expect(r#"["guarded/sum",64,3,"credit"]"#).await;
        client.send_all([r#"["guarded/sum",4,3,"item"]"#, r#"["guarded/sum",5,3,"item"]"#]).await;
        client.send(r#"["guarded/sum",null,3,"end"]"#).await;
        client.expect(r#"["guarded/sum",9,3]"#).await;
        app.passes.forget_permits(3);
    }
    let ran = app.ran().len();
    for (id, behaviour) in [(1, refuses()), (4, GuardBehaviour { refusal: Some("Members only"), ..waits() })] {
        app.guard("guarded", behaviour);
        app.passes.add_permits(3);
        let failed = r#"{"error":"Members only","code":"not_allowed"}"#;
        client.send(&format!(r#"["guarded/count",2,{id},"call",{{"credit":10}}]"#)).await;
        client.expect(&format!(r#"["guarded/count",{failed},{id},"error"]"#)).await;
        let id = id + 1;
        client
            .exchange(&format!(r#"["guarded/count",3,{id}]"#), &format!(r#"["guarded/count",{failed},{id},"error"]"#))
            .await;
        let id = id + 1;
        client.send(&format!(r#"["guarded/sum",null,{id},"call",{{"in":true}}]"#)).await;
        let mut received = client.next().await;
        if received.ends_with(r#""credit"]"#) {
            received = client.next().await;
        }
        assert_eq!(received, format!(r#"["guarded/sum",{failed},{id},"error"]"#));
    }
    let handlers = app.ran().split_off(ran);
    assert!(handlers.iter().all(|ran| ran.starts_with("guard of ")), "{handlers:?}");
}

#[tokio::test]
async fn calls_over_http_are_guarded() {
    let (server, app) = start().await;
    let post = |event: &str, body: &'static str| HttpRequest::post(server.addr, &format!("/events/{event}"), body);
    for behaviour in [GuardBehaviour::default(), waits()] {
        app.guard("guarded", behaviour);
        app.passes.add_permits(2);
        assert_eq!(post("guarded/get", "[1]").send().await.body, "[1]");
        let lines = post("guarded/count", "2").header("Accept", "application/x-ndjson").send().await;
        assert_eq!(lines.body, "1\n2\n");
        app.passes.forget_permits(2);
    }
    app.guard("guarded", refuses());
    let refused = post("guarded/get", "1").send().await;
    assert_eq!(refused.failure(), (403, "not_allowed".into()), "{refused:?}");
    let refused = post("guarded/count", "1").header("Accept", "text/event-stream").send().await;
    assert!(refused.body.contains("Members only"), "{refused:?}");
}

#[tokio::test]
async fn a_bad_frame_runs_no_guard() {
    let (server, app) = start().await;
    let mut client = server.v1().await;
    client.send(r#"["guarded/get",{"a":},1]"#).await;
    assert!(client.next().await.contains("bad_frame"));
    assert_eq!(app.ran(), [""; 0]);
    // The id has not been used up.
    client.exchange(r#"["guarded/get",7,1]"#, r#"["guarded/get",7,1]"#).await;
}

#[tokio::test]
async fn a_prefix_applies_to_guards_too() {
    let app = App::default();
    let events = Events::new(aaw_test_rooms::module_with(app.clone())).under("shop");
    let server =
        TestServer::start_with_events(vec![events, aaw_test_rooms::module_with(app.clone()).into()], |_| {}).await;
    let mut client = server.v1().await;
    client.call("shop/guarded/get", "1").await.assert_eq("1");
    assert_eq!(app.ran(), ["guard of guarded before shop/guarded/get", "guarded/get"]);
}
