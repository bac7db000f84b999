//! A scripted server asks.

// Test code: a panic is how it says no.
#![allow(clippy::unwrap_used)]

mod scripted;

use std::sync::Arc;

use aaw_client::{Client, Config, HandlerError};
use scripted::{eager, pair, pair_with, soon};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

#[tokio::test]
async fn a_handler_answers_what_the_server_asks() {
    #[derive(Deserialize)]
    struct Question {
        text: String,
    }
    let (_server, client, mut peer) = pair().await;
    let _handling = client.handle("confirm", |question: Question| async move { Ok(format!("{}: yes", question.text)) });
    peer.send(r#"["confirm",{"text":"Really?"},-1]"#).await;
    assert_eq!(peer.read().await, r#"["confirm","Really?: yes",-1]"#);
}

#[tokio::test]
async fn what_goes_wrong_is_told() {
    let (_server, client, mut peer) = pair().await;
    let _number = client.handle("number", |number: u8| async move { Ok(number) });
    let _refuse = client
        .handle("refuse", |_: Value| async move { Err::<(), _>(HandlerError::new("No").code("stubborn").data(&[1])) });
    let _convert = client.handle("convert", |text: String| async move { Ok(text.parse::<u8>()?) });
    let _panic = client.handle("panic", |flag: bool| {
        assert!(flag, "before the first await");
        async move {
            assert!(!flag, "after it");
            Ok(())
        }
    });
    for (at, (asked, answered)) in [
        (r#""nobody",1"#, r#""nobody",{"error":"Unknown event: nobody","code":"unknown_event"}"#),
        (r#""refuse",1"#, r#""refuse",{"error":"No","code":"stubborn","data":[1]}"#),
        (r#""convert","x""#, r#""convert",{"error":"Internal error","code":"handler"}"#),
        (r#""panic",true"#, r#""panic",{"error":"Internal error","code":"panic"}"#),
        (r#""panic",false"#, r#""panic",{"error":"Internal error","code":"panic"}"#),
    ]
    .into_iter()
    .enumerate()
    {
        let id = -(at as i64) - 1;
        peer.send(&format!("[{asked},{id}]")).await;
        assert_eq!(peer.read().await, format!(r#"[{answered},{id},"error"]"#));
    }
    peer.send(r#"["number",256,-6]"#).await;
    let answer = peer.read().await;
    assert!(answer.contains("The body does not fit") && answer.contains(r#""code":"bad_body""#), "{answer}");
    // The client goes on.
    peer.send(r#"["number",255,-7]"#).await;
    assert_eq!(peer.read().await, r#"["number",255,-7]"#);
}

#[tokio::test]
async fn nothing_is_as_good_as_an_empty_object() {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        times: u8,
    }
    let (_server, client, mut peer) = pair().await;
    client.handle("object", |body: Body| async move { Ok(body.times) }).detach();
    client.handle("unit", |(): ()| async move { Ok("unit") }).detach();
    peer.send(r#"["object",null,-1]"#).await;
    assert_eq!(peer.read().await, r#"["object",0,-1]"#);
    peer.send(r#"["unit",null,-2]"#).await;
    assert_eq!(peer.read().await, r#"["unit","unit",-2]"#);
}

#[tokio::test]
async fn questions_run_side_by_side_and_beside_calls() {
    let (_server, client, mut peer) = pair().await;
    let go = Arc::new(Notify::new());
    let waits = go.clone();
    let _handling = client.handle("slow", move |which: u8| {
        let waits = waits.clone();
        async move {
            if which == 1 {
                waits.notified().await;
            }
            Ok(which)
        }
    });
    peer.send(r#"["slow",1,-1]"#).await;
    peer.send(r#"["slow",2,-2]"#).await;
    assert_eq!(peer.read().await, r#"["slow",2,-2]"#);
    let script = async {
        assert_eq!(peer.read().await, r#"["e",null,1]"#);
        peer.send(r#"["e",3,1]"#).await;
    };
    let (called, ()) = tokio::join!(client.send_async::<u8>("e", (), aaw_client::DEFAULT_TIMEOUT), script);
    assert_eq!(called, Ok(3));
    go.notify_one();
    assert_eq!(peer.read().await, r#"["slow",1,-1]"#);
}

#[tokio::test]
async fn the_newest_handler_is_the_one_and_a_dropped_one_is_none() {
    let (_server, client, mut peer) = pair().await;
    let old = client.handle("e", |_: Value| async { Ok("old") });
    let new = client.clone().handle("e", |_: Value| async { Ok("new") });
    peer.send(r#"["e",1,-1]"#).await;
    assert_eq!(peer.read().await, r#"["e","new",-1]"#);
    drop(old);
    peer.send(r#"["e",1,-2]"#).await;
    assert_eq!(peer.read().await, r#"["e","new",-2]"#);
    drop(new);
    peer.send(r#"["e",1,-3]"#).await;
    assert!(peer.read().await.contains("unknown_event"));
}

/// Handles `e` by never answering; says when it began and, by `None`, when it was dropped.
fn endless(client: &Client) -> mpsc::UnboundedReceiver<Option<Value>> {
    struct Guard(mpsc::UnboundedSender<Option<Value>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.send(None);
        }
    }
    let (tell, told) = mpsc::unbounded_channel();
    client
        .handle("e", move |body: Value| {
            let guard = Guard(tell.clone());
            async move {
                guard.0.send(Some(body)).unwrap();
                std::future::pending::<()>().await;
                drop(guard);
                Ok(())
            }
        })
        .detach();
    told
}

#[tokio::test]
async fn what_the_server_takes_back_is_dropped() {
    let (_server, client, mut peer) = pair().await;
    let mut told = endless(&client);
    peer.send(r#"["e",7,-1]"#).await;
    assert_eq!(soon("it begins", told.recv()).await, Some(Some(json!(7))));
    peer.send(r#"["e",null,-1,"cancel"]"#).await;
    assert_eq!(soon("it is dropped", told.recv()).await, Some(None));
    peer.send(r#"["nobody",1,-2]"#).await;
    assert!(peer.read().await.contains("-2"), "nothing is said of the other");
}

#[tokio::test]
async fn what_is_asked_ends_with_its_connection_and_handlers_stay() {
    let (server, client, mut peer) = pair().await;
    let mut told = endless(&client);
    let _other = client.handle("other", |_: Value| async { Ok(1) });
    peer.send(r#"["e",7,-1]"#).await;
    assert_eq!(soon("it begins", told.recv()).await, Some(Some(json!(7))));
    drop(peer);
    assert_eq!(soon("it is dropped", told.recv()).await, Some(None));
    let mut peer = server.accept().await;
    peer.send(r#"["other",null,-1]"#).await;
    assert_eq!(peer.read().await, r#"["other",1,-1]"#);
}

#[tokio::test]
async fn too_many_questions_are_refused() {
    let (_server, client, mut peer) = pair_with(Config { max_asked: 1, ..eager() }).await;
    let mut told = endless(&client);
    peer.send(r#"["e",1,-1]"#).await;
    assert_eq!(soon("it begins", told.recv()).await, Some(Some(json!(1))));
    peer.send(r#"["e",2,-2]"#).await;
    assert_eq!(peer.read().await, r#"["e",{"error":"1 questions are unanswered already","code":"busy"},-2,"error"]"#);
}

#[tokio::test]
async fn who_prepares_is_asked_from_the_first_word_on() {
    let server = scripted::Server::start().await;
    let prepared = aaw_client::prepare(&server.url(), eager()).unwrap();
    let _handling = prepared.handle("e", |_: Value| async { Ok(1) });
    let script = async {
        let mut peer = server.accept().await;
        peer.send(r#"["e",null,-1]"#).await;
        assert_eq!(peer.read().await, r#"["e",1,-1]"#);
        peer
    };
    let (client, _peer) = tokio::join!(prepared.connect(), script);
    client.unwrap();
}

#[tokio::test]
async fn a_client_that_a_handler_holds_can_be_closed() {
    let (_server, client, mut peer) = pair().await;
    let held = client.clone();
    client
        .handle("ask-back", move |_: Value| {
            let client = held.clone();
            async move { Ok(client.connection_id().map(|id| id.to_string())) }
        })
        .detach();
    peer.send(r#"["ask-back",null,-1]"#).await;
    assert_eq!(peer.read().await, r#"["ask-back","c1",-1]"#);
    let (code, ()) = tokio::join!(peer.closed(), client.close());
    assert_eq!(code, 1000);
}
