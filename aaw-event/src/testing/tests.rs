//! Tests of the test connection, through the services that handlers use.

use std::collections::HashMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::Stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Recipient, SentMessage};
use crate::sdk::{Identity, Presence, Services, Upload};

const SECOND: Duration = Duration::from_secs(1);

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future is pending"),
    }
}

#[test]
fn names_that_a_server_refuses_are_refused() {
    let services = Services::for_test(());
    assert_eq!(services.ws.send_event("aaw/welcome", 1).unwrap_err().code(), "not_allowed");
    for name in ["", &"x".repeat(201)] {
        assert_eq!(services.room.join(name).unwrap_err().code(), "bad_body");
    }
    assert!(services.sent().is_empty());
}

#[test]
fn sent_messages_are_recorded_in_order() {
    let services = Services::for_test(());
    services.ws.send_event("seen", json!({ "id": 1 })).unwrap();
    services.ws.broadcast("all", true);
    services.clone().ws.broadcast("others", false);
    let expected = [
        SentMessage::new(Recipient::Caller, "seen", json!({ "id": 1 })),
        SentMessage::new(Recipient::Everyone, "broadcast", "all"),
        SentMessage::new(Recipient::Others, "broadcast", "others"),
    ];
    assert_eq!(services.sent(), expected);
}

#[test]
fn data_that_cannot_be_serialized_is_not_sent() {
    let services = Services::for_test(());
    let not_json = HashMap::from([(vec![1], 2)]);
    services.ws.broadcast(&not_json, true);
    assert_eq!(services.ws.send_event("x", &not_json).unwrap_err().message(), "Internal error");
    assert_eq!(now(services.ws.send_async::<u8>("x", &not_json, SECOND)).unwrap_err().message(), "Internal error");
    assert_eq!(services.sent(), []);
}

#[test]
fn client_calls_return_the_responses_of_the_test() {
    let services = Services::for_test(()).with_response("confirm", true);
    let ws = &services.ws;
    assert!(now(ws.send_async::<bool>("confirm", "sure?", SECOND)).unwrap());
    let error = now(ws.send_async::<u8>("confirm", (), SECOND)).unwrap_err();
    assert_eq!(
        (error.message(), error.code()),
        ("The response does not fit: invalid type: boolean `true`, expected u8", "bad_body")
    );
    assert_eq!(now(ws.send_async_to::<bool>("7", "other", (), SECOND)).unwrap_err().code(), "unknown_event");
    drop(ws.send_async::<bool>("confirm", "never polled", SECOND));
    let expected = [
        SentMessage::new(Recipient::Caller, "confirm", "sure?"),
        SentMessage::new(Recipient::Caller, "confirm", Value::Null),
        SentMessage::new(Recipient::Connection("7".to_owned()), "other", Value::Null),
    ];
    assert_eq!(services.sent(), expected);
}

#[test]
fn a_session_starts_and_ends() {
    let ada = Identity::new("1", "ada@example.org");
    let services = Services::for_test(());
    assert_eq!(services.identity(), None);
    assert_eq!(now(services.authenticate(ada.clone())).unwrap().user, ada);
    assert_eq!(services.identity(), Some(ada.clone()));
    now(services.logout()).unwrap();
    assert_eq!(services.identity(), None);
    assert_eq!(Services::for_test(()).with_identity(ada.clone()).identity(), Some(ada));
}

#[test]
fn a_room_has_the_one_connection_as_its_member() {
    let ada = Identity::new("1", "ada@example.org");
    let services = Services::for_test(()).with_identity(ada.clone());
    let room = &services.room;
    assert_eq!((room.size("a"), room.members("a")), (0, vec![]));
    room.join("a").unwrap();
    room.join_with("a", Presence).unwrap();
    assert_eq!(room.size("a"), 1);
    assert_eq!((room.members("a")[0].id.as_str(), room.members("a")[0].identity.as_ref()), ("test", Some(&ada)));
    assert_eq!(room.emit("a", "said", 1, None).unwrap(), 1);
    assert_eq!(room.emit("a", "said", 2, Some(&services.ws.id())).unwrap(), 0);
    room.leave("a");
    assert_eq!((room.size("a"), room.emit("a", "said", 3, None).unwrap()), (0, 0));
    let said = |n: u8| SentMessage::new(Recipient::Room("a".to_owned()), "said", n);
    assert_eq!(services.sent(), [said(1), said(2), said(3)]);
}

#[test]
fn calls_to_a_room_return_the_response_of_its_member() {
    let services = Services::for_test(()).with_response("confirm", json!({ "yes": true }));
    let call = |event: &str| now(services.room.send_async::<Value>("a", event, (), SECOND, None));
    assert!(call("confirm").unwrap().is_empty());
    services.room.join("a").unwrap();
    assert_eq!(call("confirm").unwrap()[0].1.as_ref().unwrap(), &json!({ "yes": true }));
    assert_eq!(call("other").unwrap()[0].1.as_ref().unwrap_err().code(), "unknown_event");
    assert_eq!(services.sent().len(), 3);
}

#[derive(Debug, Deserialize, PartialEq)]
struct Point {
    x: u8,
}

fn poll_item<T: DeserializeOwned>(upload: &mut Upload<T>) -> Poll<Option<Result<T, String>>> {
    let polled = pin!(upload).poll_next(&mut Context::from_waker(Waker::noop()));
    polled.map(|item| item.map(|item| item.map_err(|error| format!("{}: {}", error.code(), error.message()))))
}

/// All items; an error as its code and message.
fn all<T: DeserializeOwned>(mut upload: Upload<T>) -> Vec<Result<T, String>> {
    let mut all = Vec::new();
    while let Poll::Ready(Some(item)) = poll_item(&mut upload) {
        all.push(item);
    }
    all
}

#[test]
fn an_upload_item_that_does_not_fit_is_named_and_the_next_one_follows() {
    let items = [json!({ "x": 1 }), json!({ "x": 256 }), json!(null), json!({ "x": 4 })];
    let expected = [
        Ok(Point { x: 1 }),
        Err("bad_body: Item 2 does not fit at x: invalid value: integer `256`, expected u8".to_owned()),
        Err("bad_body: Item 3 does not fit: invalid type: null, expected struct Point".to_owned()),
        Ok(Point { x: 4 }),
    ];
    assert_eq!(all(Upload::<Point>::for_test(items)), expected);
}

#[test]
fn an_upload_item_that_cannot_be_serialized_interrupts_the_upload() {
    let items = [HashMap::new(), HashMap::from([(vec![1], 2)]), HashMap::new()];
    let expected = [Ok(json!({})), Err("internal: Internal error".to_owned())];
    assert_eq!(all(Upload::<Value>::for_test(items)), expected);
}

#[test]
fn nothing_follows_the_end_of_an_upload() {
    let mut upload = Upload::<u8>::for_test([1]);
    let polls = [poll_item(&mut upload), poll_item(&mut upload), poll_item(&mut upload)];
    assert_eq!(polls, [Poll::Ready(Some(Ok(1))), Poll::Ready(None), Poll::Ready(None)]);
    assert_eq!(all(Upload::<u8>::new(None)), []);
}

#[test]
fn an_upload_is_send_whatever_its_items_are() {
    fn assert_shared<T: Send + Sync + Unpin>() {}
    assert_shared::<Upload<std::rc::Rc<u8>>>();
}
