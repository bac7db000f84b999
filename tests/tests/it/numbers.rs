//! Numbers that JSON or a type cannot represent: errors, and never another number or `null`.

use std::time::Duration;

use aaw_client::{CallError, HandlerError, SendError, UploadError, connect};
use aaw_server::{ClientCallError, EmitError};
use aaw_tests::{DEADLINE, LogCapture, TestServer};
use serde_json::Value;

const INTERNAL: &str = r#"{"error":"Internal error","code":"internal"}"#;

#[tokio::test]
async fn a_nan_in_a_response_is_an_internal_error_and_the_log_names_its_place() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    server.v1().await.call("numbers/nan", "null").await.assert_eq(INTERNAL);
    server.classic().await.call("numbers/nan", "null").await.assert_eq(r#"{"error":"Internal error"}"#);
    log.expect_line(&["ERROR", "numbers/nan", "JSON cannot represent the number NaN (at list[2])"]);
}

#[tokio::test]
async fn an_infinity_in_an_item_ends_the_stream_with_an_internal_error() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["numbers/items",null,1,"call",{"credit":64}]"#).await;
    client.expect(r#"["numbers/items",1.5,1,"item"]"#).await;
    client.expect(&format!(r#"["numbers/items",{INTERNAL},1,"error"]"#)).await;
    log.expect_line(&["ERROR", "numbers/items", "JSON cannot represent the number inf"]);
}

#[tokio::test]
async fn a_handler_cannot_send_a_nan_in_any_way() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let [array, nested] = ["[0]", "data[0]"].map(|at| format!("JSON cannot represent the number NaN (at {at})"));
    // Nothing of it arrives: the next frame is the response.
    let expected = format!(r#"{{"error":"not sent","code":"handler","data":["{array}","{nested}","{nested}"]}}"#);
    client.call("numbers/sends", "null").await.assert_eq(&expected);
    log.expect_line(&["the data of a broadcast cannot be serialized as JSON", &array]);
    client.call("numbers/sends", r#"{"data":true}"#).await.assert_eq(r#"{"error":"no data","code":"handler"}"#);
    log.expect_line(&["the data of an error cannot be serialized as JSON", &array]);
}

#[tokio::test]
async fn the_server_cannot_send_a_nan_itself() {
    let server = TestServer::start().await;
    let client = server.v1().await;
    let id = client.connection.parse().unwrap();
    let nan = || [f64::NAN];
    assert!(matches!(server.handle.emit("push", nan()), Err(EmitError::Serialize(_))));
    assert!(matches!(server.handle.emit_to(id, "push", nan()), Err(EmitError::Serialize(_))));
    let called = server.handle.call_client::<()>(id, "ask", nan(), DEADLINE).await;
    let Err(ClientCallError::Serialize(error)) = called else { panic!("{called:?}") };
    assert_eq!(error.to_string(), "JSON cannot represent the number NaN (at [0])");
}

#[tokio::test]
async fn a_number_beyond_the_type_of_a_body_is_a_bad_body() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let at = |place: &str, reason: &str| {
        format!(r#"{{"error":"The body does not fit{place}: {reason}","code":"bad_body"}}"#)
    };
    let call = client.call("numbers/single", r#"{"value":1e39}"#).await;
    call.assert_eq(&at(" at value", "number out of range: 1e39, expected f32"));
    client.call("numbers/single", r#"{"value":1e400}"#).await.assert_eq(&at(" at value", "number out of range"));
    client.call("numbers/single", r#"{"value":3.5}"#).await.assert_eq("3.5");
    client.call("body", r#"{"a":[1e400]}"#).await.assert_eq(&at(" at a[0]", "number out of range"));
    // A raw value is not parsed.
    client.call("echo", "[1e400,18446744073709551616]").await.assert_eq("[1e400,18446744073709551616]");
    // Documented: as a `Value`, integers beyond u64 are floats.
    client
        .call("body", "[18446744073709551615,18446744073709551616]")
        .await
        .assert_eq("[18446744073709551615,1.8446744073709552e+19]");
}

#[tokio::test]
async fn the_client_does_not_send_a_nan() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    let client = connect(&server.url()).await.unwrap();
    let reason = "JSON cannot represent the number NaN (at [0])";
    let payload = || Err::<Value, _>(CallError::NotSent(SendError::Payload(reason.into())));
    assert_eq!(client.send_async::<Value>("echo", [f64::NAN], DEADLINE).await, payload());
    assert_eq!(client.stream::<Value>("echo", [f64::NAN]).next().await, Some(payload()));
    assert_eq!(client.send_event("note", [f32::NAN]).await, Err(SendError::Payload(reason.into())));
    let (mut upload, _items) = client.duplex::<[f64; 1], Value>("upload/echo", ());
    assert_eq!(upload.send([f64::NAN]).await, Err(UploadError::Payload(reason.into())));
    // A client call.
    let id = client.connection_id().unwrap().parse().unwrap();
    let _handling = client.handle("ask", |data: bool| async move {
        if data { Err(HandlerError::new("no").with_data([f64::NAN])) } else { Ok([f64::NAN]) }
    });
    let ask =
        async |data: bool| match server.handle.call_client::<Value>(id, "ask", data, Duration::from_secs(30)).await {
            Err(ClientCallError::Failed(failure)) => (failure.code.as_str().to_owned(), failure.data.is_some()),
            other => panic!("{other:?}"),
        };
    assert_eq!(ask(false).await, ("internal".into(), false));
    log.expect_line(&["ERROR", "the response cannot be serialized", reason]);
    assert_eq!(ask(true).await, ("handler".into(), false));
    log.expect_line(&["the data of a handler's error cannot be serialized", reason]);
}

#[tokio::test]
async fn a_response_beyond_the_type_of_the_reader_is_an_error() {
    let server = TestServer::start().await;
    let client = connect(&server.url()).await.unwrap();
    let response = client.send_async::<Vec<f32>>("echo", [1e39_f64], DEADLINE).await;
    let Err(CallError::BadResponse(error)) = response else { panic!("{response:?}") };
    assert_eq!((error.field.as_str(), error.problem.contains("number out of range: 1e39")), ("[0]", true));
}
