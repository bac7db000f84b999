//! A server below a path, whether its proxy passes the path on or removes it.

use aaw_server::{Config, Server};
use aaw_test_events::_services::App;
use aaw_tests::{HttpRequest, TestServer};
use axum::Router;
use axum::routing::get;

fn at_app(config: &mut Config) {
    config.path_prefix = "/app".parse().unwrap();
}

async fn status(server: &TestServer, target: &str) -> u16 {
    // With the header, a stream can be read with GET.
    HttpRequest::get(server.addr, target).header("X-Requested-With", "XMLHttpRequest").send().await.status
}

/// A handshake at this path.
async fn handshake(server: &TestServer, target: &str) -> u16 {
    let handshake = HttpRequest::get(server.addr, target)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    handshake.send().await.status
}

#[tokio::test]
async fn everything_is_below_the_prefix_and_nothing_elsewhere() {
    let server = TestServer::start_with(at_app).await;
    for target in ["/app", "/app/", "/app/any/path"] {
        assert_eq!(handshake(&server, target).await, 101, "{target}");
    }
    for target in ["/", "/apple", "/any"] {
        assert_eq!(handshake(&server, target).await, 404, "{target}");
    }
    let client = aaw_client::connect(&format!("ws://{}/app", server.addr)).await.unwrap();
    let pong: serde_json::Value = client.send_async("ping", (), aaw_tests::DEADLINE).await.unwrap();
    assert_eq!(pong["pong"], true);
    for target in [
        "/app/",
        "/app/events",
        "/app/aaw.js",
        "/app/healthz",
        "/healthz",
        "/app/events/streams/count?body=%7B%22to%22:2%7D",
    ] {
        assert_eq!(status(&server, target).await, 200, "{target}");
    }
    for target in ["/", "/events", "/aaw.js", "/app/app/", "/events/streams/count?body=%7B%22to%22:2%7D"] {
        assert_eq!(status(&server, target).await, 404, "{target}");
    }
    let script = HttpRequest::get(server.addr, "/app/aaw.js").send().await;
    let hashed = script.header("content-location").unwrap();
    assert_eq!(status(&server, &format!("/app/{hashed}")).await, 200);
    let post = |target| HttpRequest::post(server.addr, target, "[1]");
    assert_eq!(post("/app/events/echo").send().await.body, "[1]");
    let lines = post("/app/events/echo").accept("application/x-ndjson").send().await;
    assert_eq!((lines.status, lines.body.as_str()), (200, "[1]\n"));
    let elsewhere = post("/events/echo").send().await;
    assert!(elsewhere.status == 404 && elsewhere.body.contains("This server is at /app/"), "{elsewhere:?}");
}

#[tokio::test]
async fn a_path_without_its_slash_is_redirected_relative_to_what_the_client_has_requested() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("a:b")).unwrap();
    for file in ["index.html", "a:b/index.html"] {
        std::fs::write(folder.path().join(file), "<title>own</title>").unwrap();
    }
    let server = TestServer::start_with(|config| {
        at_app(config);
        config.http.static_dir = Some(folder.path().into());
    })
    .await;
    for (target, location) in
        [("/app", "./app/"), ("/app?x=1", "./app/?x=1"), ("/app/a:b", "./a:b/"), ("/app/a:b?x=1", "./a:b/?x=1")]
    {
        let response = HttpRequest::get(server.addr, target).send().await;
        assert_eq!((response.status, response.header("location")), (307, Some(location)), "{target}");
    }
    for target in ["/app/", "/app/a:b/", "/app/index.html"] {
        let response = HttpRequest::get(server.addr, target).send().await;
        assert!(response.status == 200 && response.body.contains("own"), "{target}: {response:?}");
    }
    assert_eq!(HttpRequest::post(server.addr, "/app", "").send().await.status, 405);
}

#[tokio::test]
async fn a_programs_own_routes_are_below_the_prefix_as_well() {
    let mut config = Config { port: 0, ..Config::default() };
    at_app(&mut config);
    let routes = Router::new().route("/hello", get(|| async { "Hello" }));
    let server = Server::new(config).events(aaw_test_events::module_with(App::default())).merge(routes);
    let bound = server.bind().await.unwrap();
    let addr = bound.local_addr();
    let serving = tokio::spawn(bound.serve(std::future::pending()));
    assert_eq!(HttpRequest::get(addr, "/app/hello").send().await.body, "Hello");
    assert_eq!(HttpRequest::get(addr, "/hello").send().await.status, 404);
    assert_eq!(HttpRequest::post(addr, "/app/events/echo", "1").send().await.body, "1");
    serving.abort();
}
