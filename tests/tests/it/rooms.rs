//! Rooms: membership, emitting, presence, limits; and client calls made by handlers.

use aaw_server::Config;
use aaw_server::auth::{Auth, PasswordHasher, PasswordHasherConfig, SqliteStore};
use aaw_server::modules::{EventsAt, load};
use aaw_test_rooms::_services::App;
use aaw_tests::raw::RawConnection;
use aaw_tests::{HttpRequest, TestServer, WireClient};
use serde_json::{Value, json};

async fn start(change: impl FnOnce(&mut Config)) -> (TestServer, App) {
    let app = App::default();
    (TestServer::start_with_events(vec![aaw_test_rooms::module_with(app.clone()).into()], change).await, app)
}

/// Joins a room with a one-way send: the next call of this client already sees the membership.
async fn join(client: &mut WireClient, name: &str) {
    client.send(&json!(["room/join", { "name": name }]).to_string()).await;
}

async fn join_with_presence(client: &mut WireClient, name: &str) {
    client.send(&json!(["room/join", { "name": name, "presence": true }]).to_string()).await;
}

async fn size(client: &mut WireClient, name: &str) -> Value {
    client.call("room/size", &json!(name).to_string()).await.value()
}

async fn emit(client: &mut WireClient, body: Value) -> Value {
    client.call("room/emit", &body.to_string()).await.value()
}

/// Waits until a room has this many members.
async fn wait_for_size(client: &mut WireClient, name: &str, expected: usize) {
    for _ in 0..10_000 {
        if size(client, name).await == json!(expected) {
            return;
        }
    }
    panic!("{name} has {} members, not {expected}", size(client, name).await);
}

#[tokio::test]
async fn emit_reaches_all_members_of_a_room() {
    let (server, _) = start(|_| {}).await;
    let (mut a, mut b, mut c) = (server.v1().await, server.v1().await, server.classic().await);
    for client in [&mut a, &mut b, &mut c] {
        join(client, "tea").await;
    }
    let mut outside = server.v1().await;
    wait_for_size(&mut outside, "tea", 3).await;
    let reached = emit(&mut outside, json!({ "name": "tea", "data": { "text": "milk?" } })).await;
    assert_eq!(reached, 3);
    for client in [&mut a, &mut b, &mut c] {
        client.expect(r#"["said",{"text":"milk?"}]"#).await;
    }
    let except = a.connection.clone();
    assert_eq!(emit(&mut outside, json!({ "name": "tea", "data": 2, "except": except })).await, 2);
    b.expect(r#"["said",2]"#).await;
    a.expect_nothing().await;
    outside.expect_nothing().await;
}

#[tokio::test]
async fn the_stock_events_behave_like_the_original() {
    let server = TestServer::start_with_events(vec![aaw_events_module()], |_| {}).await;
    let (mut a, mut b) = (server.classic().await, server.v1().await);
    // Without waiting between the events.
    a.send_all([r#"["room/join",{"name":"tea"}]"#, r#"["room/size",{"name":"tea"}]"#]).await;
    a.expect(r#"["room/size",{"size":1}]"#).await;
    b.send_all([r#"["room/join",{"name":"tea"}]"#, r#"["room/say",{"name":"tea","text":"milk?"}]"#]).await;
    a.expect(r#"["said",{"text":"milk?"}]"#).await;
    b.send_all([r#"["room/leave",{"name":"tea"}]"#, r#"["room/size",{"name":"tea"},1]"#]).await;
    b.expect(r#"["room/size",{"size":1},1]"#).await;
    b.exchange(r#"["room/size",{"name":"unheard of"},2]"#, r#"["room/size",{"size":0},2]"#).await;
    b.exchange(
        r#"["auth/whoami",null,3]"#,
        r#"["auth/whoami",{"error":"Authentication is not enabled — auth/whoami is unreachable","code":"unreachable"},3,"error"]"#,
    )
    .await;
}

fn aaw_events_module() -> aaw_server::Events {
    aaw_events::module().into()
}

#[tokio::test]
async fn the_next_call_sees_a_join_without_waiting() {
    let (server, _) = start(|_| {}).await;
    let mut client = server.v1().await;
    let frames = (0..100).flat_map(|number| {
        [
            json!(["room/join", { "name": format!("room {number}") }]).to_string(),
            json!(["room/size", format!("room {number}"), 2 * number + 1]).to_string(),
            json!(["room/leave", format!("room {number}")]).to_string(),
            json!(["room/size", format!("room {number}"), 2 * number + 2]).to_string(),
        ]
    });
    client.send_all(frames).await;
    for number in 0..100 {
        client.expect(&json!(["room/size", 1, 2 * number + 1]).to_string()).await;
        client.expect(&json!(["room/size", 0, 2 * number + 2]).to_string()).await;
    }
}

#[tokio::test]
async fn a_disconnect_ends_the_membership() {
    let (server, _) = start(|_| {}).await;
    let (mut remaining, mut closing) = (server.v1().await, server.v1().await);
    let mut aborted = RawConnection::websocket(server.addr, Some("_key")).await;
    join(&mut remaining, "tea").await;
    join(&mut closing, "tea").await;
    aborted.send_text(r#"["room/join",{"name":"tea"}]"#).await;
    wait_for_size(&mut remaining, "tea", 3).await;
    closing.close().await;
    drop(aborted);
    wait_for_size(&mut remaining, "tea", 1).await;
    let except = remaining.connection.clone();
    assert_eq!(emit(&mut remaining, json!({ "name": "tea", "except": except })).await, 0);
}

#[tokio::test]
async fn an_unknown_room_is_empty() {
    let (server, _) = start(|_| {}).await;
    let mut client = server.v1().await;
    assert_eq!(size(&mut client, "empty").await, 0);
    assert_eq!(client.call("room/members", "\"empty\"").await.value(), json!([]));
    assert_eq!(emit(&mut client, json!({ "name": "empty", "data": 1 })).await, 0);
    client.send(r#"["room/leave","empty"]"#).await;
    client.expect_nothing().await;
    assert_eq!(size(&mut client, &"x".repeat(10_000)).await, 0);
}

#[tokio::test]
async fn a_task_can_emit_after_its_call_and_its_connection_have_ended() {
    let (server, app) = start(|_| {}).await;
    let (mut caller, mut listener) = (server.v1().await, server.v1().await);
    join(&mut listener, "tea").await;
    assert_eq!(size(&mut listener, "tea").await, 1);
    for data in [1, 2] {
        assert_eq!(emit(&mut caller, json!({ "name": "tea", "data": data, "later": true })).await, 0);
    }
    app.passes.add_permits(1);
    listener.expect(r#"["said",1]"#).await;
    app.wait_for("joined Ok(())").await;
    assert_eq!(size(&mut listener, "late").await, 1);
    caller.close().await;
    wait_for_size(&mut listener, "late", 0).await;
    app.passes.add_permits(1);
    listener.expect(r#"["said",2]"#).await;
    // A closed connection cannot join.
    app.wait_for(r#"joined Err("no_connection")"#).await;
    assert_eq!(size(&mut listener, "late").await, 0);
}

#[tokio::test]
async fn the_number_of_rooms_of_a_connection_is_limited() {
    let (server, _) = start(|config| config.max_rooms = 3).await;
    let mut client = server.v1().await;
    for name in ["a", "b", "c", "d", "e", "a"] {
        join(&mut client, name).await;
    }
    // A failed one-way send has no response, so the size of the room shows whether the client has joined.
    for (name, expected) in [("a", 1), ("c", 1), ("d", 0), ("e", 0)] {
        assert_eq!(size(&mut client, name).await, expected, "{name}");
    }
    client.send(r#"["room/leave","a"]"#).await;
    join(&mut client, "d").await;
    join(&mut client, "e").await;
    assert_eq!((size(&mut client, "d").await, size(&mut client, "e").await), (json!(1), json!(0)));
    // The length of names is limited too.
    let (longest, longer) = ("ü".repeat(100), "ü".repeat(101));
    client.send(r#"["room/leave","d"]"#).await;
    join(&mut client, &longest).await;
    client.send(&json!(["room/leave", "b"]).to_string()).await;
    join(&mut client, &longer).await;
    join(&mut client, "").await;
    assert_eq!((size(&mut client, &longest).await, size(&mut client, &longer).await), (json!(1), json!(0)));
    assert_eq!(size(&mut client, "").await, 0);
}

#[tokio::test]
async fn joins_above_the_limit_fail() {
    let (server, _) = start(|_| {}).await;
    let (mut client, mut other) = (server.v1().await, server.v1().await);
    let joins = (0..5_000).map(|number| json!(["room/join", { "name": format!("room {number}") }]).to_string());
    // One-way sends have no responses that the client would have to read.
    client.send_all(joins).await;
    assert_eq!(size(&mut client, "room 1023").await, 1);
    assert_eq!(size(&mut client, "room 1024").await, 0);
    assert_eq!(size(&mut client, "room 4999").await, 0);
    other.expect_nothing().await;
    client.close().await;
    wait_for_size(&mut other, "room 0", 0).await;
}

#[tokio::test]
async fn presence_notifies_the_other_members_exactly_once() {
    let (server, _) = start(|_| {}).await;
    let (mut a, mut b, mut c) = (server.v1().await, server.v1().await, server.v1().await);
    let notification = |event: &str, client: &WireClient| {
        let id = &client.connection;
        format!(r#"["aaw/{event}",{{"room":"tea","member":{{"id":"{id}","identity":null}}}}]"#)
    };
    let (b_joined, b_left) = (notification("joined", &b), notification("left", &b));
    let (c_joined, c_left) = (notification("joined", &c), notification("left", &c));
    join(&mut a, "tea").await;
    assert_eq!(size(&mut a, "tea").await, 1);
    join_with_presence(&mut b, "tea").await;
    a.expect(&b_joined).await;
    for _ in 0..3 {
        join_with_presence(&mut b, "tea").await;
        join(&mut b, "tea").await;
    }
    b.expect_nothing().await;
    join_with_presence(&mut c, "tea").await;
    a.expect(&c_joined).await;
    b.expect(&c_joined).await;
    let mut members = c.call("room/members", r#""tea""#).await.value();
    let mut expected: Vec<_> = [&a, &b, &c].map(|client| json!({ "id": client.connection, "identity": null })).into();
    expected.sort_by_key(Value::to_string);
    members.as_array_mut().unwrap().sort_by_key(Value::to_string);
    assert_eq!(members, json!(expected));
    // One notification for leaving, none for the disconnect after it, and one for a disconnect without leaving.
    b.send(r#"["room/leave","tea"]"#).await;
    a.expect(&b_left).await;
    c.expect(&b_left).await;
    b.close().await;
    drop(c);
    a.expect(&c_left).await;
    a.expect_nothing().await;
}

/// Opens classic connections that join a room with presence, and waits until they are members.
async fn members_of(server: &TestServer, name: &str, count: usize) -> Vec<RawConnection> {
    let mut members = Vec::new();
    for _ in 0..count {
        let mut member = RawConnection::websocket(server.addr, Some("_key")).await;
        member.send_text(&json!(["room/join", { "name": name, "presence": true }]).to_string()).await;
        members.push(member);
    }
    wait_for_size(&mut server.v1().await, name, count).await;
    members
}

/// Reads all connections to their ends. Returns how many departures they have received in all.
async fn count_departures(members: &mut [RawConnection]) -> usize {
    let mut count = 0;
    for member in members {
        while member.take_until(b"aaw/left").await.is_some() {
            count += 1;
        }
    }
    count
}

/// A message from each to each that has not left yet would be 4950. Few are expected, but a busy machine may pause meanwhile.
const FEW: usize = 1500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_disconnect_together_are_announced_to_those_that_stay_and_hardly_to_each_other() {
    let (server, _) = start(|_| {}).await;
    let mut members = members_of(&server, "tea", 100).await;
    let mut stays = server.v1().await;
    join(&mut stays, "tea").await;
    stays.expect_nothing().await;
    for member in &mut members {
        member.finish().await;
    }
    let mut left = std::collections::HashSet::new();
    while left.len() < members.len() {
        let text = stays.next().await;
        assert!(text.starts_with(r#"["aaw/left",{"room":"tea","member":{"id":""#), "{text}");
        assert!(left.insert(text), "it is announced once");
    }
    stays.expect_nothing().await;
    let notices = count_departures(&mut members).await;
    assert!(notices < FEW, "{notices}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_announces_hardly_any_departures() {
    let (mut server, _) = start(|_| {}).await;
    let mut members = members_of(&server, "tea", 100).await;
    server.stop();
    let mut notices = 0;
    for member in &mut members {
        let before = member.take_until(&1001_u16.to_be_bytes()).await.expect("a close frame");
        notices += String::from_utf8_lossy(&before).matches("aaw/left").count();
        member.finish().await;
    }
    assert!(notices < FEW, "{notices}");
    server.stopped().await;
}

#[tokio::test]
async fn all_members_receive_the_same_order() {
    let (server, _) = start(|_| {}).await;
    let (mut a, mut b) = (server.v1().await, server.v1().await);
    join(&mut a, "tea").await;
    join(&mut b, "tea").await;
    wait_for_size(&mut a, "tea", 2).await;
    const EACH: usize = 200;
    let speakers = (0..4).map(|speaker| {
        let addr = server.addr;
        tokio::spawn(async move {
            let mut client = WireClient::connect_v1(addr).await;
            for number in 0..EACH {
                emit(&mut client, json!({ "name": "tea", "data": [speaker, number] })).await;
            }
        })
    });
    let speakers: Vec<_> = speakers.collect();
    let mut received = [Vec::new(), Vec::new()];
    for (client, received) in [&mut a, &mut b].into_iter().zip(&mut received) {
        for _ in 0..4 * EACH {
            received.push(client.next().await);
        }
    }
    for speaker in speakers {
        speaker.await.unwrap();
    }
    assert_eq!(received[0], received[1]);
}

#[tokio::test]
async fn a_member_that_does_not_read_does_not_delay_the_others() {
    let (server, _) = start(|config| config.max_push_burst_bytes = 1 << 20).await;
    let mut unread = RawConnection::websocket(server.addr, Some("_key")).await;
    unread.send_text(r#"["room/join",{"name":"tea"}]"#).await;
    let (mut speaker, mut listener) = (server.v1().await, server.v1().await);
    join(&mut listener, "tea").await;
    wait_for_size(&mut listener, "tea", 2).await;
    // Until the server closes the member that does not read; the other one receives everything meanwhile.
    let mut emitted = 0;
    loop {
        emitted += 1;
        assert!(emitted < 2_000, "the member that does not read is not closed");
        let reached = emit(&mut speaker, json!({ "name": "tea", "bytes": 64 << 10 })).await;
        assert!(listener.next().await.starts_with(r#"["said","xxx"#));
        if reached == json!(1) {
            break;
        }
    }
    wait_for_size(&mut listener, "tea", 1).await;
}

#[tokio::test]
async fn emitting_an_invalid_event_fails() {
    let (server, _) = start(|config| config.max_message_bytes = 10_000).await;
    let mut client = server.v1().await;
    join(&mut client, "tea").await;
    let large = client.call("room/emit", r#"{"name":"tea","bytes":10000}"#).await.value();
    assert_eq!(large["code"], "too_large", "{large}");
    let reserved = client.call("room/emit", r#"{"name":"tea","event":"aaw/joined"}"#).await.value();
    assert_eq!(reserved["code"], "not_allowed", "{reserved}");
    client.expect_nothing().await;
}

#[tokio::test]
async fn over_http_a_handler_can_emit_to_a_room_but_not_join() {
    let (server, _) = start(|_| {}).await;
    let mut client = server.v1().await;
    join(&mut client, "tea").await;
    assert_eq!(size(&mut client, "tea").await, 1);
    let post = |event: &str, body: Value| HttpRequest::post(server.addr, &format!("/events/{event}"), body.to_string());
    let emitted = post("room/emit", json!({ "name": "tea", "data": 7 })).send().await;
    assert_eq!((emitted.status, emitted.body.as_str()), (200, "1"));
    client.expect(r#"["said",7]"#).await;
    assert_eq!(post("room/size", json!("tea")).send().await.body, "1");
    let joined = post("room/join", json!({ "name": "tea" })).send().await;
    assert_ne!(joined.status, 200, "{joined:?}");
    assert!(joined.body.contains("no_connection"), "{joined:?}");
    assert_eq!(post("whoami", Value::Null).send().await.body, "null");
    // A client call that fails is no failure of this call's caller, unless the handler says so.
    let internal = post("ask", json!({ "event": "confirm", "timeout_ms": 1000, "forwards": false })).send().await;
    assert_eq!((internal.status, &*internal.body), (500, r#"{"error":"Internal error","code":"internal"}"#));
    let client_call = post("ask", json!({ "event": "confirm", "timeout_ms": 1000 })).send().await;
    assert!(client_call.body.contains("no_connection"), "{client_call:?}");
}

// --- Client calls made by handlers -----------------------------------------------------------------------------------

#[tokio::test]
async fn a_handler_can_call_its_client_and_other_clients() {
    let (server, _) = start(|_| {}).await;
    let (mut a, mut b) = (server.v1().await, server.v1().await);
    a.send(r#"["ask",{"event":"confirm","data":[1],"timeout_ms":30000},1]"#).await;
    a.expect(r#"["confirm",[1],-1]"#).await;
    // Other calls of the same client run meanwhile.
    a.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    a.send(r#"["confirm",{"yes":true},-1]"#).await;
    a.expect(r#"["ask",{"yes":true},1]"#).await;
    let to = json!({ "event": "confirm", "to": b.connection, "timeout_ms": 30_000 });
    a.send(&json!(["ask", to, 3]).to_string()).await;
    b.expect(r#"["confirm",null,-1]"#).await;
    b.send(r#"["confirm",{"error":"No time","code":"handler"},-1,"error"]"#).await;
    a.expect(r#"["ask",{"error":"No time","code":"handler"},3,"error"]"#).await;
    // An unknown connection id, and an invalid one.
    for (id, to) in [(4, "00000000-0000-4000-8000-000000000000"), (5, "x")] {
        a.send(&json!(["ask", { "event": "confirm", "to": to, "timeout_ms": 30_000 }, id]).to_string()).await;
        let response: Value = serde_json::from_str(&a.next().await).unwrap();
        assert_eq!(response[1]["code"], "no_connection", "{response}");
    }
    a.send(r#"["ask",{"event":"aaw/session","timeout_ms":1000},6]"#).await;
    let response: Value = serde_json::from_str(&a.next().await).unwrap();
    assert_eq!(response[1]["code"], "not_allowed", "{response}");
}

#[tokio::test]
async fn cancelling_a_call_cancels_its_client_calls() {
    let (server, _) = start(|_| {}).await;
    let (mut a, mut b) = (server.v1().await, server.v1().await);
    let to = json!({ "event": "confirm", "to": b.connection, "timeout_ms": 30_000 });
    a.send(&json!(["ask", to, 1]).to_string()).await;
    b.expect(r#"["confirm",null,-1]"#).await;
    a.send(r#"["ask",null,1,"cancel"]"#).await;
    b.expect(r#"["confirm",null,-1,"cancel"]"#).await;
}

#[tokio::test]
async fn a_client_call_to_a_room_collects_the_responses() {
    let (server, _) = start(|_| {}).await;
    let (mut caller, mut yes, mut no) = (server.v1().await, server.v1().await, server.v1().await);
    let (mut silent, mut closing, mut classic) = (server.v1().await, server.v1().await, server.classic().await);
    let mut forging = server.v1().await;
    for client in [&mut caller, &mut yes, &mut no, &mut silent, &mut closing, &mut classic, &mut forging] {
        join(client, "tea").await;
    }
    wait_for_size(&mut caller, "tea", 7).await;
    let body =
        json!({ "name": "tea", "event": "confirm", "data": "?", "timeout_ms": 400, "except": caller.connection });
    caller.start_call("room/ask", &body.to_string()).await;
    for client in [&mut yes, &mut no, &mut silent, &mut closing, &mut forging] {
        client.expect(r#"["confirm","?",-1]"#).await;
    }
    yes.send(r#"["confirm",true,-1]"#).await;
    no.send(r#"["confirm",{"error":"No","code":"unknown_event"},-1,"error"]"#).await;
    forging.send(&format!(r#"["confirm",1}},{{"id":"{}","result":"forged",-1]"#, silent.connection)).await;
    let closed = closing.connection.clone();
    drop(closing);
    let responses: Value = serde_json::from_str(&caller.next().await).unwrap();
    let responses = &responses[1];
    assert_eq!(responses[&yes.connection], true, "{responses}");
    assert_eq!(responses[&no.connection], "failed: unknown_event", "{responses}");
    assert_eq!(responses[&silent.connection], "failed: timeout", "{responses}");
    assert_eq!(responses[&closed], "failed: no_connection", "{responses}");
    assert!(!responses.to_string().contains("forged"), "{responses}");
    assert_eq!(responses.as_object().unwrap().len(), 6, "the classic client has an entry: {responses}");
    assert_eq!(
        responses.as_object().unwrap().values().filter(|&response| response == "failed: unreachable").count(),
        1
    );
    // An empty room is not an error.
    let body = json!({ "name": "empty", "event": "confirm", "timeout_ms": 400 });
    caller.call("room/ask", &body.to_string()).await.assert_eq("{}");
}

// --- Rooms and sessions ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn presence_contains_the_identity() {
    let folder = tempfile::tempdir().unwrap();
    let cheap = PasswordHasherConfig { memory_kib: 64, iterations: 1, threads: 1, max_queued_hashes: 100 };
    let passwords = PasswordHasher::new(&cheap).unwrap();
    let store = SqliteStore::open_with(folder.path().join("auth.sqlite"), passwords).await.unwrap();
    let (server, app) = start(|config| config.auth = Some(Auth::new(store))).await;
    let (mut ada, mut other) = (server.v1().await, server.v1().await);
    join(&mut other, "tea").await;
    assert_eq!(size(&mut other, "tea").await, 1);
    let register = r#"["aaw/register",{"email":"ada@example.com","password":"correct horse"},1]"#;
    // Later calls wait for the allow_registration: the join and the guard already have the identity.
    ada.send_all([register, r#"["room/join",{"name":"tea","presence":true}]"#, r#"["guarded/get",7,2]"#]).await;
    let registered: Value = serde_json::from_str(&ada.next().await).unwrap();
    let user = &registered[1]["user"];
    ada.expect(r#"["guarded/get",7,2]"#).await;
    assert_eq!(app.ran()[0], "guard of guarded before guarded/get for ada@example.com");
    let member = json!({ "id": ada.connection, "identity": user });
    let expect_notification = async |client: &mut WireClient, event: &str| {
        let notification: Value = serde_json::from_str(&client.next().await).unwrap();
        assert_eq!(notification, json!([event, { "room": "tea", "member": member }]));
    };
    expect_notification(&mut other, "aaw/joined").await;
    let members = other.call("room/members", r#""tea""#).await.value();
    assert!(members.as_array().unwrap().contains(&member), "{members}");
    ada.send(r#"["whoami",null,3]"#).await;
    assert_eq!(serde_json::from_str::<Value>(&ada.next().await).unwrap(), json!(["whoami", user, 3]));
    // `aaw/left` has the identity at the time of joining, even after a log-out.
    ada.exchange(r#"["aaw/logout",null,4]"#, r#"["aaw/logout",{"ok":true},4]"#).await;
    ada.close().await;
    expect_notification(&mut other, "aaw/left").await;
}

// --- Loaded as a library ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn rooms_and_client_calls_work_in_a_library() {
    let at = EventsAt::find(&aaw_tests::cargo::artifacts().await.rooms).unwrap();
    let server = TestServer::start_with_events(load(&at).await.unwrap(), |_| {}).await;
    let (mut a, mut b) = (server.v1().await, server.v1().await);
    a.send_all([r#"["room/join",{"name":"tea"}]"#, r#"["room/size","tea",1]"#]).await;
    a.expect(r#"["room/size",1,1]"#).await;
    // A task in the runtime of the library emits after its call has ended.
    b.exchange(r#"["room/emit",{"name":"tea","data":1,"later":true},1]"#, r#"["room/emit",0,1]"#).await;
    b.send(r#"["release",null]"#).await;
    a.expect(r#"["said",1]"#).await;
    // Client calls to the caller, and to a room.
    b.send(r#"["ask",{"event":"confirm","data":"?","timeout_ms":30000},2]"#).await;
    b.expect(r#"["confirm","?",-1]"#).await;
    b.send(r#"["confirm","yes",-1]"#).await;
    b.expect(r#"["ask","yes",2]"#).await;
    b.send(r#"["ask",{"event":"confirm","timeout_ms":20},3]"#).await;
    b.expect(r#"["confirm",null,-2]"#).await;
    b.expect(r#"["confirm",null,-2,"cancel"]"#).await;
    let late: Value = serde_json::from_str(&b.next().await).unwrap();
    assert_eq!(late[1]["code"], "timeout", "{late}");
    b.send(r#"["room/ask",{"name":"tea","event":"confirm","timeout_ms":30000},4]"#).await;
    a.expect(r#"["confirm",null,-1]"#).await;
    a.send(r#"["confirm",[2],-1]"#).await;
    b.expect(&json!(["room/ask", { a.connection.clone(): [2] }, 4]).to_string()).await;
    // Cancelling the call cancels the client calls.
    b.send(r#"["room/ask",{"name":"tea","event":"confirm","timeout_ms":30000},5]"#).await;
    a.expect(r#"["confirm",null,-2]"#).await;
    b.send(r#"["room/ask",null,5,"cancel"]"#).await;
    a.expect(r#"["confirm",null,-2,"cancel"]"#).await;
    // Guards, one of which uses a timer of the library.
    b.exchange(r#"["guarded/inner/get",8,6]"#, r#"["guarded/inner/get",8,6]"#).await;
    let never = r#"{"error":"guarded/never/get is always refused","code":"not_allowed"}"#;
    b.exchange(r#"["guarded/never/get",8,7]"#, &format!(r#"["guarded/never/get",{never},7,"error"]"#)).await;
}
