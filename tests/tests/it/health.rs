//! `/healthz` and `/readyz`.

use aaw_tests::http::HttpRequest;
use aaw_tests::{LogCapture, TestServer};

#[tokio::test]
async fn a_serving_server_is_alive_and_ready_whatever_the_host_and_the_origin() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    for (target, body) in [("/healthz", r#"{"status":"ok"}"#), ("/readyz", r#"{"status":"ready"}"#)] {
        let request = HttpRequest::get(server.addr, target);
        for request in [
            request.clone(),
            request.clone().replace("Host", "evil.example"),
            request.header("Origin", "https://evil.example").header("Sec-Fetch-Site", "cross-site"),
        ] {
            let response = request.send().await;
            assert_eq!((response.status, &*response.body), (200, body), "{request:?}");
            assert_eq!(
                (response.header("content-type"), response.header("cache-control")),
                (Some("application/json"), Some("no-store"))
            );
            // A page of another site can request it, and cannot read it.
            assert_eq!(response.header("access-control-allow-origin"), None);
        }
        let head = HttpRequest::new(server.addr, "HEAD", target).start().await.read_head().await;
        assert_eq!(head.status, 200, "{target}");
        let post = HttpRequest::post(server.addr, target, "").send().await;
        assert_eq!((post.failure(), post.header("allow")), ((405, "bad_method".into()), Some("get, head")), "{target}");
    }
    assert_eq!(server.calls.all().len(), 0);
    assert!(!log.text().contains("WARN"), "{}", log.text());
}

#[tokio::test]
async fn an_event_of_the_same_name_is_below_events() {
    let server = TestServer::start().await;
    for event in ["healthz", "readyz"] {
        let response = HttpRequest::post(server.addr, &format!("/events/{event}"), "").send().await;
        assert_eq!(response.failure(), (404, "unknown_event".into()), "it is looked up as an event");
    }
}
