//! Events that were replaced: what still runs of them ends at a deadline, their services stop, and the log tells.

use std::time::Duration;

use aaw_server::Events;
use aaw_server::modules::{EventsAt, load};
use aaw_test_events::_services::{App, Counts};
use aaw_tests::http::HttpBody;
use aaw_tests::{HttpRequest, LogCapture, RawConnection, TestServer, WireClient, cargo, until, within};

/// Long enough for the calls of a test to begin, also on a busy machine.
const DEADLINE: Duration = Duration::from_millis(1500);

const REPLACED: &str = r#"{"error":"The events were replaced while this call ran: call again","code":"replaced"}"#;

async fn start(events: Vec<Events>, deadline: Duration) -> TestServer {
    TestServer::start_with_events(events, |config| config.replaced_events_timeout = deadline).await
}

/// Begins a stream that waits, a call that waits, and a stream over HTTP.
struct Running {
    client: WireClient,
    sse: HttpBody<RawConnection>,
}

impl Running {
    async fn begin(server: &TestServer) -> Self {
        let mut client = server.v1().await;
        client
            .send_all([
                r#"["streams/endless",{},1,"call",{"credit":2}]"#,
                r#"["gate/hold",{"gate":"never"},2]"#,
                r#"["streams/gated",{"gate":"never"},3,"call",{"credit":9}]"#,
            ])
            .await;
        client.expect(r#"["streams/endless",1,1,"item"]"#).await;
        client.expect(r#"["streams/endless",2,1,"item"]"#).await;
        let request = HttpRequest::post(server.addr, "/events/streams/gated", r#"{"gate":"never"}"#);
        let (_, sse) = request.accept("text/event-stream").open().await;
        Self { client, sse }
    }

    /// All of them fail, and tell the client to call again.
    async fn expect_replaced(mut self) {
        let mut frames = [self.client.next().await, self.client.next().await, self.client.next().await];
        frames.sort();
        let expected = [("gate/hold", 2), ("streams/endless", 1), ("streams/gated", 3)];
        let expected = expected.map(|(event, id)| format!(r#"["{event}",{REPLACED},{id},"error"]"#));
        assert_eq!(frames, expected);
        let rest = within("the end of the stream", || "more".into(), self.sse.rest()).await;
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.contains(REPLACED), "{rest}");
        // The connection goes on with the new events.
        self.client.exchange(r#"["ping",null,4]"#, r#"["ping",{"pong":true},4]"#).await;
    }
}

#[tokio::test]
async fn calls_of_replaced_events_end_at_the_deadline_and_later_ones_run_on() {
    let log = LogCapture::start();
    let server = start(vec![aaw_test_events::module().into()], DEADLINE).await;
    let running = Running::begin(&server).await;
    let app = App::default();
    server.handle.replace_events(vec![aaw_test_events::module_with(app.clone()).into()]).await.unwrap();
    let mut later = server.v1().await;
    later.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    within("the call", || "nothing".into(), app.gate("x").wait(Counts { came: 1, ..Counts::default() })).await;
    running.expect_replaced().await;
    until("the log", || log.text().contains("calls and streams that still ran")).await;
    log.expect_line(&["WARN", "ended 4 calls and streams", "their services have stopped"]);
    // The records of the calls say so, too.
    let replaced = || {
        let calls = server.calls.all().into_iter().filter(|call| call["error"]["code"] == "replaced");
        let mut events: Vec<_> = calls.map(|call| call["event"].as_str().expect("a name").to_owned()).collect();
        events.sort();
        events
    };
    let expected = ["gate/hold", "streams/endless", "streams/gated", "streams/gated"];
    until("the records", || replaced() == expected).await;
    later.send(r#"["gate/release",{"gate":"x"}]"#).await;
    later.expect(r#"["gate/hold",{"held":"x"},1]"#).await;
}

#[tokio::test]
async fn events_that_nothing_uses_any_more_are_not_waited_for() {
    let log = LogCapture::start();
    let server = start(vec![aaw_test_events::module().into()], Duration::ZERO).await;
    server.v1().await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    server.handle.replace_events(vec![aaw_test_events::module().into()]).await.unwrap();
    server.v1().await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    assert!(!log.text().contains("calls and streams"), "{}", log.text());
}

#[tokio::test]
async fn a_library_that_was_reloaded_stops_at_the_deadline() {
    let log = LogCapture::start();
    let at = EventsAt::find(&cargo::artifacts().await.events).expect("a library");
    let server = start(load(&at).await.expect("it opens"), DEADLINE).await;
    let running = Running::begin(&server).await;
    server.handle.replace_events(load(&at).await.expect("it opens again")).await.unwrap();
    running.expect_replaced().await;
    until("the log", || log.text().contains("calls and streams that still ran")).await;
    log.expect_line(&["WARN", "ended 4 calls and streams", "their services have stopped"]);
}

#[tokio::test]
async fn a_parked_stream_of_replaced_events_ends_at_the_deadline_before_its_client_asks_again() {
    let log = LogCapture::start();
    let server = start(vec![aaw_test_events::module().into()], DEADLINE).await;
    let path = "/events/streams/endless?take=1";
    let first = HttpRequest::post(server.addr, path, "{}").send().await.json();
    let cursor = first["cursor"].as_str().expect("a cursor");
    server.handle.replace_events(vec![aaw_test_events::module().into()]).await.unwrap();
    until("the log", || log.text().contains("calls and streams that still ran")).await;
    log.expect_line(&["WARN", "ended 1 calls and streams", "their services have stopped"]);
    let next = HttpRequest::post(server.addr, &format!("{path}&cursor={cursor}"), "").send().await;
    assert_eq!(next.json(), serde_json::from_str::<serde_json::Value>(REPLACED).unwrap(), "{next:?}");
}
