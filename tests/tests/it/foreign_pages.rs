//! Calls over HTTP that a page of another site could make its visitor's browser send, without an `Origin`.

use aaw_tests::TestServer;
use aaw_tests::http::HttpRequest;

/// A GET that starts a stream.
fn read(server: &TestServer) -> HttpRequest {
    HttpRequest::get(server.addr, "/events/streams/count?body={%22to%22:1,%22gate%22:%22x%22}")
}

fn items(server: &TestServer) -> u64 {
    server.app.gate("x").counts().items
}

#[tokio::test]
async fn an_image_of_a_page_on_plain_http_starts_no_stream() {
    let server = TestServer::start().await;
    let image = read(&server).accept("image/avif,image/webp,*/*;q=0.8").header("Referer", "http://evil.example/");
    for request in [
        image.clone(),
        image.clone().method("HEAD"),
        read(&server),
        // `fetch` in the mode `no-cors`, which may set this header.
        read(&server).accept("text/event-stream"),
        // An image of a page in an app, and one whose password the browser remembers.
        image.clone().header("X-Requested-With", "org.example.app"),
        image.clone().header("Authorization", "Basic dTpw"),
        HttpRequest::get(server.addr, "/events/streams/count?body={%22to%22:1,%22gate%22:%22x%22}&take=1"),
    ] {
        let mut raw = request.start().await;
        let refused = raw.read_head().await;
        assert_eq!(refused.status, 403, "{request:?}: {refused:?}");
    }
    let refused = read(&server).send().await;
    assert_eq!(refused.failure(), (403, "not_allowed".into()));
    assert!(refused.body.contains("POST") && refused.body.contains("EVENT_SOURCE"), "{}", refused.body);
    assert_eq!(items(&server), 0);
    assert_eq!(server.calls.all().len(), 0);
}

/// An `EventSource` of an old browser, or of any browser at an address with plain `http`, sends nothing that tells its page.
#[tokio::test]
async fn an_event_source_without_headers_of_its_page_reads_only_what_is_declared_for_it() {
    let server = TestServer::start().await;
    let read = |event: &str| {
        let target = format!("/events/streams/{event}?body={{%22to%22:1,%22gate%22:%22x%22}}");
        HttpRequest::get(server.addr, &target).accept("text/event-stream").header("Referer", "http://evil.example/")
    };
    assert_eq!(read("count").send().await.failure(), (403, "not_allowed".into()));
    assert_eq!(items(&server), 0);
    let response = read("declared").send().await;
    assert_eq!(response.status, 200, "{response:?}");
    assert!(response.body.contains("data: 1\n"), "{response:?}");
    assert_eq!(items(&server), 1);
    assert_eq!(read("declared").method("HEAD").start().await.read_head().await.status, 200);
    // It still needs an allowed origin, if the browser tells it.
    assert_eq!(read("declared").header("Origin", "http://evil.example").send().await.status, 403);
    assert_eq!(read("declared").header("Sec-Fetch-Site", "cross-site").send().await.status, 403);
    assert_eq!(items(&server), 1);
}

#[tokio::test]
async fn a_get_that_no_foreign_page_can_send_reads_the_stream() {
    let server = TestServer::start_with(|config| {
        config.allow_origins = vec!["https://app.example".parse().unwrap()];
    })
    .await;
    for (name, value) in [
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Site", "none"),
        ("Authorization", "Bearer abc"),
        ("X-Requested-With", "XMLHttpRequest"),
        ("Origin", "https://app.example"),
    ] {
        let before = items(&server);
        let response = read(&server).header(name, value).send().await;
        assert_eq!((response.status, &*response.body), (200, "[1]"), "{name}: {response:?}");
        assert_eq!(items(&server), before + 1, "{name}");
    }
}

#[tokio::test]
async fn a_post_from_another_site_needs_an_allowed_origin() {
    let server = TestServer::start_with(|config| {
        config.allow_origins = vec!["https://app.example".parse().unwrap()];
    })
    .await;
    let post = |site: &str| HttpRequest::post(server.addr, "/events/note", "1").header("Sec-Fetch-Site", site);
    for site in ["cross-site", "same-site"] {
        let refused = post(site).send().await;
        assert_eq!(refused.failure(), (403, "not_allowed".into()), "{site}");
        assert!(refused.body.contains("--allow-origin"), "{}", refused.body);
        assert_eq!(post(site).header("Origin", "https://evil.example").send().await.status, 403, "{site}");
    }
    assert!(server.app.notes.lock().unwrap().is_empty());
    assert_eq!(post("cross-site").header("Origin", "https://app.example").send().await.status, 204);
    for site in ["same-origin", "none"] {
        assert_eq!(post(site).send().await.status, 204, "{site}");
    }
    assert_eq!(server.app.notes.lock().unwrap().len(), 3);
}
