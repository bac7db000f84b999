//! `aaw/describe` and `GET /events`: which events a caller may call, and what they take and return.

use aaw_server::Events;
use aaw_test_rooms::_services::{App, GuardBehaviour};
use aaw_tests::{HttpRequest, TestServer, WireClient};
use serde_json::{Map, Value, json};

async fn describe(client: &mut WireClient, body: &Value) -> Value {
    client.call("aaw/describe", &body.to_string()).await.value()
}

fn names(described: &Value) -> Vec<&str> {
    described["events"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn an_event_is_described_with_its_documentation_and_the_schemas_of_its_types() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let described = describe(&mut client, &json!({ "event": "typed/nested" })).await;
    let event = json!({
        "kind": "unary",
        "description": "Returns the person.",
        "body": { "$ref": "#/definitions/input/Person" },
        "output": { "$ref": "#/definitions/output/Person" },
    });
    assert_eq!(described["events"], json!({ "typed/nested": event }));
    let field = |side: &str| json!({ "type": "array", "items": { "$ref": format!("#/definitions/{side}/Person") } });
    let input = &described["definitions"]["input"]["Person"];
    assert_eq!(input["description"], "A person.");
    assert_eq!(input["properties"]["id"]["description"], "The number of the person.");
    assert_eq!(input["required"], json!(["id", "name"]), "a field with a default may be absent");
    assert_eq!(input["properties"]["friends"]["items"], field("input")["items"]);
    let output = &described["definitions"]["output"]["Person"];
    assert_eq!(output["required"], json!(["id", "name", "friends"]), "in a response it is always there");
    assert_eq!(described["definitions"].as_object().map(Map::len), Some(2));
}

#[tokio::test]
async fn a_type_without_schema_is_not_described() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let described = describe(&mut client, &json!({ "event": "typed" })).await;
    assert_eq!(
        described["events"]["typed"],
        json!({ "kind": "unary", "description": "Takes a body with typed fields." })
    );
    assert_eq!(described["definitions"], json!({}));
}

#[tokio::test]
async fn streams_and_uploads_are_described_by_their_items() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let event = describe(&mut client, &json!({ "event": "typed/stream" })).await["events"]["typed/stream"].take();
    assert_eq!(event["kind"], "streaming");
    assert_eq!(event["body"], json!({ "type": "null" }), "an ignored body");
    assert_eq!(event["output"], json!({ "type": "string" }));
    assert_eq!(event["uploadItem"], json!({ "type": "boolean" }));
    let later = describe(&mut client, &json!({ "event": "typed/later" })).await["events"]["typed/later"].take();
    assert_eq!((&later["kind"], &later["output"]), (&json!("streaming"), &json!({ "type": "string" })));
}

#[tokio::test]
async fn http_and_both_dialects_get_the_same_description() {
    let server = TestServer::start().await;
    let over_v1 = describe(&mut server.v1().await, &Value::Null).await;
    let over_classic = server.classic().await.call("aaw/describe", "null").await.value();
    let posted = HttpRequest::post(server.addr, "/events/aaw/describe", "").send().await.json();
    let listed = HttpRequest::get(server.addr, "/events").send().await.json();
    assert!(names(&over_v1).contains(&"ping"));
    assert_eq!([&over_classic, &posted, &listed], [&over_v1; 3]);
}

#[tokio::test]
async fn a_guarded_event_is_described_if_its_guards_pass() {
    let app = App::default();
    let events = vec![aaw_test_rooms::module_with(app.clone()).into()];
    let server = TestServer::start_with_events(events, |_| {}).await;
    let mut client = server.v1().await;
    let of = |described: &Value| ["guarded/get", "guarded/inner/get"].map(|name| names(described).contains(&name));
    assert_eq!(of(&describe(&mut client, &Value::Null).await), [true, true]);
    app.guard("guarded/inner", GuardBehaviour { refusal: Some("Members only"), ..GuardBehaviour::default() });
    assert_eq!(of(&describe(&mut client, &Value::Null).await), [true, false]);
    assert!(!app.ran().iter().any(|ran| ran == "guarded/get"), "no handler ran: {:?}", app.ran());
}

#[tokio::test]
async fn a_wrong_body_or_an_unknown_event_is_an_error() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let wrong = client.call("aaw/describe", r#"{"event":7}"#).await.value();
    assert_eq!(wrong["code"], "bad_body");
    let unknown = client.call("aaw/describe", r#"{"event":"pong"}"#).await.value();
    assert_eq!(unknown["code"], "unknown_event", "{unknown}");
}

#[tokio::test]
async fn the_hash_changes_with_the_types() {
    let hash = async |events| {
        let server = TestServer::start_with_events(events, |_| {}).await;
        describe(&mut server.v1().await, &Value::Null).await["hash"].take()
    };
    let one = hash(vec![aaw_test_events::module().into()]).await;
    assert_eq!(one, hash(vec![aaw_test_events::module().into()]).await);
    assert_eq!(one.as_str().map(str::len), Some(16));
    let more =
        vec![aaw_test_events::module().into(), Events::new(aaw_test_rooms::module_with(App::default())).under("more")];
    assert_ne!(one, hash(more).await);
}
