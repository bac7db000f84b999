//! Routes of one's own beside aaw's, and aaw within an app of one's own.

use std::net::SocketAddr;
use std::time::Duration;

use aaw_server::{Config, Handle, Server, StartError};
use aaw_test_events::_services::{App, Counts};
use aaw_tests::http;
use aaw_tests::{HttpRequest, RawConnection, WireClient, until, within};
use axum::Router;
use axum::extract::{Path, Request as AxumRequest, State};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A program of somebody's.
struct Program {
    addr: SocketAddr,
    handle: Handle,
    app: App,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

fn server(app: &App) -> Server {
    let config = Config { port: 0, stop_timeout: Duration::from_secs(5), ..Config::default() };
    Server::new(config).events(aaw_test_events::module_with(app.clone()))
}

impl Program {
    /// With these routes beside aaw's.
    async fn merging(routes: Router) -> Self {
        let app = App::default();
        let bound = server(&app).merge(routes).bind().await.expect("it starts");
        let (addr, handle) = (bound.local_addr(), bound.handle());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(bound.serve(async { drop(stopped.await) }));
        Self { addr, handle, app, stop: Some(stop), served }
    }

    /// With aaw within an app that `build` makes.
    async fn mounting(build: impl FnOnce(Router) -> Router, change: impl FnOnce(&mut Config)) -> Self {
        let app = App::default();
        let mut config = Config { stop_timeout: Duration::from_secs(5), ..Config::default() };
        change(&mut config);
        let server = Server::new(config).events(aaw_test_events::module_with(app.clone()));
        let mounted = server.mount().await.expect("it starts");
        let handle = mounted.handle();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = axum::serve(listener, build(mounted.router())).with_graceful_shutdown(async move {
            drop(stopped.await);
            mounted.stop().await;
        });
        let served = tokio::spawn(async move { serving.await.expect("it serves") });
        Self { addr, handle, app, stop: Some(stop), served }
    }

    async fn get(&self, target: &str) -> (u16, String) {
        let answer = HttpRequest::get(self.addr, target).send().await;
        (answer.status, answer.body)
    }

    fn post(&self, event: &str, body: &str) -> Request {
        HttpRequest::post(self.addr, &format!("/events/{event}"), body)
    }

    /// A WebSocket works, both ways.
    async fn talks(&self) -> WireClient {
        let mut client = WireClient::connect_v1(self.addr).await;
        client.call("users/get", r#"{"id":1}"#).await;
        let mut other = WireClient::connect_v1(self.addr).await;
        other.call("broadcasts/others", r#"{"n":1}"#).await;
        assert!(client.next().await.starts_with(r#"["broadcast","#));
        client
    }

    async fn stopped(mut self) {
        drop(self.stop.take());
        within("the program to end", String::new, self.served).await.expect("it does not panic");
    }
}

fn hello() -> Router {
    Router::new().route("/hello/{name}", get(|Path(name): Path<String>| async move { format!("Hello {name}") }))
}

#[tokio::test]
async fn routes_of_ones_own_stand_beside_ours() {
    let program = Program::merging(hello()).await;
    assert_eq!(program.get("/hello/happy%20birthday").await, (200, "Hello happy birthday".into()));
    assert_eq!(program.post("ping", "").send().await.body, r#"{"pong":true}"#);
    assert_eq!(program.get("/healthz").await.0, 200);
    assert!(program.get("/").await.1.contains("<title>aaw"));
    assert_eq!(program.get("/nothing").await.0, 404);
    let client = program.talks().await;
    drop(client);
    program.stopped().await;
}

#[tokio::test]
async fn what_routes_of_ones_own_emit_reaches_every_connection() {
    // `GET /broadcast/:message`, with the server's handle, which is there once it is bound.
    let place = std::sync::Arc::new(std::sync::OnceLock::<Handle>::new());
    let say = |State(handle): State<std::sync::Arc<std::sync::OnceLock<Handle>>>, Path(message): Path<String>| async move {
        handle.get().unwrap().emit("message", &message).unwrap().to_string()
    };
    let routes = Router::new().route("/broadcast/{message}", get(say)).with_state(place.clone());
    let program = Program::merging(routes).await;
    place.set(program.handle.clone()).unwrap();
    let mut client = WireClient::connect_v1(program.addr).await;
    assert_eq!(program.get("/broadcast/happy%20birthday").await, (200, "1".into()));
    client.expect(r#"["message","happy birthday"]"#).await;
}

#[tokio::test]
async fn a_route_for_the_root_takes_the_place_of_our_page_and_websockets_go_where_they_are_routed() {
    let mine = Router::new()
        .route("/", get(|| async { "mine" }))
        .route("/chat", get(|request: AxumRequest| async move { format!("{:?}", request.headers().get("upgrade")) }));
    let program = Program::merging(mine).await;
    assert_eq!(program.get("/").await, (200, "mine".into()));
    assert!(HttpRequest::get(program.addr, "/events").accept("text/html").send().await.body.contains("<title>aaw"));
    // A route of one's own may take WebSockets of its own.
    let upgrade = String::from_utf8(HttpRequest::handshake(program.addr).bytes()).unwrap();
    let mut raw = RawConnection::connect(program.addr).await;
    raw.send(upgrade.replacen(" / ", " /chat ", 1).as_bytes()).await;
    assert_eq!(raw.read_response().await.body, r#"Some("websocket")"#);
    let mut raw = RawConnection::connect(program.addr).await;
    raw.send(upgrade.replacen(" / ", " /ws ", 1).as_bytes()).await;
    assert_eq!(raw.read_response().await.status, 101);
}

#[tokio::test]
async fn a_foreign_name_reaches_routes_of_ones_own_no_more_than_ours() {
    let program = Program::merging(hello()).await;
    let ask = || HttpRequest::get(program.addr, "/hello/x");
    let refused = ask().replace("Host", "evil.example").send().await;
    assert_eq!(refused.failure(), (403, "not_allowed".into()));
    // Which pages may ask is theirs to say.
    assert_eq!(ask().header("Origin", "https://any.example").send().await.status, 200);
}

#[tokio::test]
async fn nor_does_it_within_an_app_of_ones_own() {
    let server = server(&App::default()).merge(hello());
    let mounted = server.mount().await.expect("it starts");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(axum::serve(listener, mounted.router()).into_future());
    for path in ["/hello/x", "/events"] {
        let refused = HttpRequest::get(addr, path).replace("Host", "evil.example").send().await;
        assert_eq!(refused.failure(), (403, "not_allowed".into()), "{path}");
        assert_eq!(HttpRequest::get(addr, path).send().await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn routes_that_do_not_go_together_stop_the_start() {
    for path in ["/events", "/events/{*name}", "/healthz", "/aaw.js"] {
        let mine = Router::new().route(path, get(|| async { "mine" }));
        let error = server(&App::default()).merge(mine).bind().await.unwrap_err();
        assert!(matches!(error, StartError::Routes(_)), "{path}: {error}");
    }
    let error = server(&App::default()).merge(hello()).merge(hello()).bind().await.unwrap_err();
    assert!(error.to_string().contains("/hello/{name}"), "{error}");
    let fallback = Router::new().fallback(|| async { "mine" });
    assert!(matches!(server(&App::default()).merge(fallback).bind().await, Err(StartError::Routes(_))));
}

#[tokio::test]
async fn within_an_app_of_ones_own_everything_works() {
    let program = Program::mounting(|aaw| hello().merge(aaw), |_| {}).await;
    assert_eq!(program.get("/hello/you").await, (200, "Hello you".into()));
    assert_eq!(program.post("ping", "").send().await.body, r#"{"pong":true}"#);
    assert!(program.get("/").await.1.contains("<title>aaw"));
    assert_eq!(program.get("/healthz").await.0, 200);
    assert_eq!(program.get("/nothing").await, (404, String::new()), "that is the app's own to say");
    let mut client = program.talks().await;
    until("the other to be gone", || program.handle.connections() == 1).await;
    // Who hangs up takes its handler along.
    let raw = program.post("gate/hold", r#"{"gate":"x"}"#).start().await;
    until("it to run", || program.app.gate("x").counts().came == 1).await;
    drop(raw);
    until("it to be dropped", || program.app.gate("x").counts().dropped == 1).await;
    let foreign = program.post("ping", "").replace("Host", "evil.example").send().await;
    assert_eq!(foreign.failure(), (403, "not_allowed".into()));
    // The end, in order: what runs is answered.
    let raw = program.post("gate/hold", r#"{"gate":"y"}"#).start().await;
    until("it to run", || program.app.gate("y").counts().came == 1).await;
    let (app, addr) = (program.app.clone(), program.addr);
    let stopped = tokio::spawn(program.stopped());
    client.expect_close(1001).await;
    let health = HttpRequest::get(addr, "/healthz").send().await;
    assert_eq!((health.status, &*health.body), (503, r#"{"status":"stopping"}"#));
    let refused = HttpRequest::post(addr, "/events/ping", "").send().await;
    assert_eq!((refused.failure(), refused.header("retry-after")), ((503, "busy".into()), Some("5")));
    app.gate("y").release(1);
    let (head, mut body) = http::open_response(raw).await;
    assert_eq!((head.status, body.rest().await), (200, br#"{"held":"y"}"#.to_vec()));
    drop(body);
    stopped.await.unwrap();
}

#[tokio::test]
async fn nested_below_a_path_it_answers_there() {
    let program = Program::mounting(|aaw| Router::new().nest("/api", aaw), |_| {}).await;
    let answer = HttpRequest::post(program.addr, "/api/events/users/get", r#"{"id":1}"#).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(program.get("/api").await.1.contains("<title>aaw"));
    assert_eq!(program.get("/api/aaw.js").await.0, 200);
    let upgrade = String::from_utf8(HttpRequest::handshake(program.addr).bytes()).unwrap();
    let mut raw = RawConnection::connect(program.addr).await;
    raw.send(upgrade.replacen(" / ", " /api ", 1).as_bytes()).await;
    assert_eq!(raw.read_response().await.status, 101);
    raw.send_text(r#"["echo",1,1]"#).await;
    raw.expect_text(r#"["echo",1,1]"#).await;
}

#[tokio::test]
async fn within_an_app_connections_and_running_requests_are_bounded_together() {
    let program = Program::mounting(|aaw| aaw, |config| config.max_connections = 2).await;
    let _client = WireClient::connect_v1(program.addr).await;
    let raw = program.post("streams/gated", r#"{"gate":"x"}"#).accept("text/event-stream").start().await;
    let gate = program.app.gate("x");
    within("it to run", String::new, gate.wait(Counts { came: 1, ..Counts::default() })).await;
    assert_eq!(program.post("ping", "").send().await.failure(), (503, "busy".into()));
    assert_eq!(HttpRequest::handshake(program.addr).send().await.status, 503);
    drop(raw);
    within("it to end", String::new, gate.wait(Counts { over: 1, ..Counts::default() })).await;
    until("room", || program.handle.connections() == 1).await;
    while program.post("ping", "").send().await.status == 503 {}
}
