//! Client calls from a scripted server.

use std::sync::Arc;

use crate::scripted::{eager, pair, pair_with, soon};
use aaw_client::{Client, Config, HandlerError};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

#[tokio::test]
async fn a_handler_responds_to_a_client_call() {
    #[derive(Deserialize)]
    struct Confirm {
        text: String,
    }
    let (_server, client, mut connection) = pair().await;
    let _registration = client.handle("confirm", |body: Confirm| async move { Ok(format!("{}: yes", body.text)) });
    connection.send(r#"["confirm",{"text":"Really?"},-1]"#).await;
    assert_eq!(connection.read().await, r#"["confirm","Really?: yes",-1]"#);
}

#[tokio::test]
async fn a_failed_client_call_is_reported_with_its_code() {
    let (_server, client, mut connection) = pair().await;
    let _number = client.handle("number", |number: u8| async move { Ok(number) });
    let _refuse = client.handle("refuse", |_: Value| async move {
        Err::<(), _>(HandlerError::new("No").with_code("stubborn").with_data([1]))
    });
    let _convert = client.handle("convert", |text: String| async move { Ok(text.parse::<u8>()?) });
    let _panic = client.handle("panic", |flag: bool| {
        assert!(flag, "before the first await");
        async move {
            assert!(!flag, "after it");
            Ok(())
        }
    });
    for (at, (call, response)) in [
        (r#""missing",1"#, r#""missing",{"error":"Unknown event: missing","code":"unknown_event"}"#),
        (r#""refuse",1"#, r#""refuse",{"error":"No","code":"stubborn","data":[1]}"#),
        (r#""convert","x""#, r#""convert",{"error":"Internal error","code":"internal"}"#),
        (r#""panic",true"#, r#""panic",{"error":"Internal error","code":"panic"}"#),
        (r#""panic",false"#, r#""panic",{"error":"Internal error","code":"panic"}"#),
    ]
    .into_iter()
    .enumerate()
    {
        let id = -(at as i64) - 1;
        connection.send(&format!("[{call},{id}]")).await;
        assert_eq!(connection.read().await, format!(r#"[{response},{id},"error"]"#));
    }
    connection.send(r#"["number",256,-6]"#).await;
    let response = connection.read().await;
    assert!(response.contains("The body does not fit") && response.contains(r#""code":"bad_body""#), "{response}");
    // The client continues.
    connection.send(r#"["number",255,-7]"#).await;
    assert_eq!(connection.read().await, r#"["number",255,-7]"#);
}

#[tokio::test]
async fn a_null_body_is_read_as_an_empty_object_where_the_type_needs_one() {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        times: u8,
    }
    let (_server, client, mut connection) = pair().await;
    client.handle("object", |body: Body| async move { Ok(body.times) }).detach();
    client.handle("unit", |(): ()| async move { Ok("unit") }).detach();
    connection.send(r#"["object",null,-1]"#).await;
    assert_eq!(connection.read().await, r#"["object",0,-1]"#);
    connection.send(r#"["unit",null,-2]"#).await;
    assert_eq!(connection.read().await, r#"["unit","unit",-2]"#);
}

#[tokio::test]
async fn client_calls_run_concurrently_and_beside_calls() {
    let (_server, client, mut connection) = pair().await;
    let go = Arc::new(Notify::new());
    let waits = go.clone();
    let _registration = client.handle("slow", move |which: u8| {
        let waits = waits.clone();
        async move {
            if which == 1 {
                waits.notified().await;
            }
            Ok(which)
        }
    });
    connection.send(r#"["slow",1,-1]"#).await;
    connection.send(r#"["slow",2,-2]"#).await;
    assert_eq!(connection.read().await, r#"["slow",2,-2]"#);
    let script = async {
        assert_eq!(connection.read().await, r#"["e",null,1]"#);
        connection.send(r#"["e",3,1]"#).await;
    };
    let (called, ()) = tokio::join!(client.send_async::<u8>("e", (), aaw_client::DEFAULT_TIMEOUT), script);
    assert_eq!(called, Ok(3));
    go.notify_one();
    assert_eq!(connection.read().await, r#"["slow",1,-1]"#);
}

#[tokio::test]
async fn a_later_handler_replaces_the_former_and_dropping_it_removes_it() {
    let (_server, client, mut connection) = pair().await;
    let old = client.handle("e", |_: Value| async { Ok("old") });
    let new = client.clone().handle("e", |_: Value| async { Ok("new") });
    connection.send(r#"["e",1,-1]"#).await;
    assert_eq!(connection.read().await, r#"["e","new",-1]"#);
    drop(old);
    connection.send(r#"["e",1,-2]"#).await;
    assert_eq!(connection.read().await, r#"["e","new",-2]"#);
    drop(new);
    connection.send(r#"["e",1,-3]"#).await;
    assert!(connection.read().await.contains("unknown_event"));
}

/// Handles `e` and never responds. The receiver gets the body when the handler begins, and `None` when it is dropped.
fn endless(client: &Client) -> mpsc::UnboundedReceiver<Option<Value>> {
    struct Guard(mpsc::UnboundedSender<Option<Value>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.send(None);
        }
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    client
        .handle("e", move |body: Value| {
            let guard = Guard(sender.clone());
            async move {
                guard.0.send(Some(body)).unwrap();
                std::future::pending::<()>().await;
                drop(guard);
                Ok(())
            }
        })
        .detach();
    receiver
}

#[tokio::test]
async fn a_cancelled_client_call_drops_its_handler() {
    let (_server, client, mut connection) = pair().await;
    let mut seen = endless(&client);
    connection.send(r#"["e",7,-1]"#).await;
    assert_eq!(soon("the handler's start", seen.recv()).await, Some(Some(json!(7))));
    connection.send(r#"["e",null,-1,"cancel"]"#).await;
    assert_eq!(soon("the handler's drop", seen.recv()).await, Some(None));
    connection.send(r#"["missing",1,-2]"#).await;
    assert!(connection.read().await.contains("-2"), "the cancelled call gets no response");
}

#[tokio::test]
async fn a_client_call_ends_with_its_connection_and_handlers_stay() {
    let (server, client, mut connection) = pair().await;
    let mut seen = endless(&client);
    let _other = client.handle("other", |_: Value| async { Ok(1) });
    connection.send(r#"["e",7,-1]"#).await;
    assert_eq!(soon("the handler's start", seen.recv()).await, Some(Some(json!(7))));
    drop(connection);
    assert_eq!(soon("the handler's drop", seen.recv()).await, Some(None));
    let mut connection = server.accept().await;
    connection.send(r#"["other",null,-1]"#).await;
    assert_eq!(connection.read().await, r#"["other",1,-1]"#);
}

#[tokio::test]
async fn client_calls_beyond_the_limit_fail_as_busy() {
    let (_server, client, mut connection) = pair_with(Config { max_client_calls: 1, ..eager() }).await;
    let mut seen = endless(&client);
    connection.send(r#"["e",1,-1]"#).await;
    assert_eq!(soon("the handler's start", seen.recv()).await, Some(Some(json!(1))));
    connection.send(r#"["e",2,-2]"#).await;
    let response = connection.read().await;
    assert_eq!(response, r#"["e",{"error":"Too many client calls: 1 are running","code":"busy"},-2,"error"]"#);
}

#[tokio::test]
async fn a_prepared_client_handles_the_first_client_call() {
    let server = crate::scripted::ScriptedServer::start().await;
    let prepared = aaw_client::prepare(&server.url(), eager()).unwrap();
    let _registration = prepared.handle("e", |_: Value| async { Ok(1) });
    let script = async {
        let mut connection = server.accept().await;
        connection.send(r#"["e",null,-1]"#).await;
        assert_eq!(connection.read().await, r#"["e",1,-1]"#);
        connection
    };
    let (client, _peer) = tokio::join!(prepared.connect(), script);
    client.unwrap();
}

#[tokio::test]
async fn a_client_that_a_handler_owns_can_be_closed() {
    let (_server, client, mut connection) = pair().await;
    let owned = client.clone();
    client
        .handle("call-back", move |_: Value| {
            let client = owned.clone();
            async move { Ok(client.connection_id().map(|id| id.to_string())) }
        })
        .detach();
    connection.send(r#"["call-back",null,-1]"#).await;
    assert_eq!(connection.read().await, r#"["call-back","c1",-1]"#);
    let (code, ()) = tokio::join!(connection.closed(), client.close());
    assert_eq!(code, 1000);
}
