//! A program's own axum routes in a server of aaw, and aaw in an axum application.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aaw_server::{Config, Handle, Server, StartError};
use aaw_test_events::_services::{App, Counts};
use aaw_tests::http::HttpResponse;
use aaw_tests::{HttpRequest, LogCapture, RawConnection, WireClient, http, until, within};
use axum::Router;
use axum::extract::{Path, Request as AxumRequest, State};
use axum::http::StatusCode;
use axum::routing::get;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A program that uses both aaw and axum.
struct Program {
    addr: SocketAddr,
    handle: Handle,
    app: App,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

fn server(app: &App) -> Server {
    let config = Config { port: 0, shutdown_timeout: Duration::from_secs(5), ..Config::default() };
    Server::new(config).events(aaw_test_events::module_with(app.clone()))
}

impl Program {
    /// Starts a server of aaw with additional routes.
    async fn merging(routes: Router) -> Self {
        let app = App::default();
        Self::serving(server(&app).merge(routes), app).await
    }

    async fn serving(server: Server, app: App) -> Self {
        let bound = server.bind().await.expect("it starts");
        let (addr, handle) = (bound.local_addr(), bound.handle());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(bound.serve(async { drop(stopped.await) }));
        Self { addr, handle, app, stop: Some(stop), served }
    }

    /// Starts an axum application that `build` makes from the routes of aaw.
    async fn mounting(build: impl FnOnce(Router) -> Router, change: impl FnOnce(&mut Config)) -> Self {
        let app = App::default();
        let mut config = Config { shutdown_timeout: Duration::from_secs(5), ..Config::default() };
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
        let response = HttpRequest::get(self.addr, target).send().await;
        (response.status, response.body)
    }

    fn post(&self, event: &str, body: &str) -> HttpRequest {
        HttpRequest::post(self.addr, &format!("/events/{event}"), body)
    }

    /// Checks that calls and pushes work over a WebSocket. Returns a connected client.
    async fn check_websocket(&self) -> WireClient {
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

/// Without routes of the program's own, a plain POST of an event does not take the router. The responses are the same.
#[tokio::test]
async fn a_post_past_the_router_has_the_response_that_the_router_gives() {
    let app = App::default();
    let direct = Program::serving(server(&app), app).await;
    let routed = Program::merging(hello()).await;
    let mut seen = BTreeSet::new();
    for (event, headers, body) in [
        ("echo", &[][..], r#"{"a":1}"#),
        ("echo", &[("Accept", "application/x-ndjson")], "[1]"),
        ("echo", &[("Accept", "text/event-stream")], "[1]"),
        ("echo", &[("Accept", "image/png")], "[1]"),
        ("echo", &[("Content-Encoding", "gzip")], "[1]"),
        ("echo", &[("Host", "a b")], "[1]"),
        ("echo", &[("Origin", "http://example.org")], "[1]"),
        ("echo?take=1", &[], "[1]"),
        ("count", &[], r#"{"to":3}"#),
        ("count", &[("Accept", "application/x-ndjson")], r#"{"to":3}"#),
        ("users/get", &[], r#"{"id":"x"}"#),
        ("echo", &[], "{"),
        ("nothing/here", &[], "{}"),
        ("%ff", &[], "{}"),
        ("auth/secret", &[], "{}"),
    ] {
        let mut responses = Vec::new();
        for program in [&direct, &routed] {
            let mut request = HttpRequest::post(program.addr, &format!("/events/{event}"), body);
            for (name, value) in headers {
                request = request.replace(name, value);
            }
            responses.push(request.send().await);
        }
        // The order of headers has no meaning.
        let comparable = |response: &HttpResponse| {
            let head = response.head.lines().filter(|line| !line.starts_with("date:"));
            (head.map(str::to_owned).collect::<BTreeSet<_>>(), response.body.clone())
        };
        assert_eq!(comparable(&responses[0]), comparable(&responses[1]), "{event} {headers:?}");
        seen.insert(responses[0].status);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [200, 400, 403, 404, 406, 415]);
    routed.stopped().await;
    direct.stopped().await;
}

#[tokio::test]
async fn additional_routes_are_served_beside_those_of_aaw() {
    let program = Program::merging(hello()).await;
    assert_eq!(program.get("/hello/happy%20birthday").await, (200, "Hello happy birthday".into()));
    assert_eq!(program.post("ping", "").send().await.body, r#"{"pong":true}"#);
    assert_eq!(program.get("/healthz").await.0, 200);
    assert!(program.get("/").await.1.contains("<title>aaw"));
    assert_eq!(program.get("/nothing").await.0, 404);
    let client = program.check_websocket().await;
    drop(client);
    program.stopped().await;
}

#[tokio::test]
async fn an_additional_route_can_emit_to_all_connections() {
    // The handle exists only once the server is bound.
    let shared = Arc::new(OnceLock::<Handle>::new());
    let broadcast = |State(handle): State<Arc<OnceLock<Handle>>>, Path(message): Path<String>| async move {
        handle.get().unwrap().emit("message", &message).unwrap().to_string()
    };
    let routes = Router::new().route("/broadcast/{message}", get(broadcast)).with_state(shared.clone());
    let program = Program::merging(routes).await;
    shared.set(program.handle.clone()).unwrap();
    let mut client = WireClient::connect_v1(program.addr).await;
    assert_eq!(program.get("/broadcast/happy%20birthday").await, (200, "1".into()));
    client.expect(r#"["message","happy birthday"]"#).await;
}

#[tokio::test]
async fn a_route_for_the_root_replaces_the_page_and_a_route_can_receive_upgrades() {
    let mine = Router::new()
        .route("/", get(|| async { "mine" }))
        .route("/chat", get(|request: AxumRequest| async move { format!("{:?}", request.headers().get("upgrade")) }));
    let program = Program::merging(mine).await;
    assert_eq!(program.get("/").await, (200, "mine".into()));
    assert!(HttpRequest::get(program.addr, "/events").accept("text/html").send().await.body.contains("<title>aaw"));
    // A route of the program receives upgrade requests to its path.
    let upgrade = String::from_utf8(HttpRequest::handshake(program.addr).bytes()).unwrap();
    let mut raw = RawConnection::connect(program.addr).await;
    raw.send(upgrade.replacen(" / ", " /chat ", 1).as_bytes()).await;
    assert_eq!(raw.read_response().await.body, r#"Some("websocket")"#);
    let mut raw = RawConnection::connect(program.addr).await;
    raw.send(upgrade.replacen(" / ", " /ws ", 1).as_bytes()).await;
    assert_eq!(raw.read_response().await.status, 101);
}

#[tokio::test]
async fn the_bytes_of_a_protocol_to_which_an_additional_route_switches_are_not_changed() {
    // As hyper responds to a request that it cannot parse.
    const FIRST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let tunnel = get(async |mut request: AxumRequest| {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut socket = TokioIo::new(upgrade.await.expect("an upgrade"));
            socket.write_all(FIRST).await.expect("the client reads");
            socket.write_all(b"second").await.expect("the client reads");
            socket.shutdown().await.expect("the client reads");
        });
        (StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade"), ("upgrade", "tunnel")])
    });
    let program = Program::merging(Router::new().route("/tunnel", tunnel)).await;
    let request = HttpRequest::get(program.addr, "/tunnel").header("Connection", "Upgrade").header("Upgrade", "tunnel");
    let (response, mut raw) = request.open_websocket().await;
    assert_eq!((response.status, response.header("keep-alive")), (101, None));
    assert_eq!(raw.take(FIRST.len()).await.as_deref(), Some(FIRST));
    assert_eq!(raw.take(6).await.as_deref(), Some(&b"second"[..]));
    raw.expect_end().await;
    program.stopped().await;
}

#[tokio::test]
async fn a_foreign_host_is_refused_for_additional_routes_too() {
    let program = Program::merging(hello()).await;
    let request = || HttpRequest::get(program.addr, "/hello/x");
    let refused = request().replace("Host", "evil.example").send().await;
    assert_eq!(refused.failure(), (403, "not_allowed".into()));
    // Origins are not checked for the routes of the program.
    assert_eq!(request().header("Origin", "https://any.example").send().await.status, 200);
}

#[tokio::test]
async fn a_foreign_host_is_refused_in_an_application_too() {
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
async fn conflicting_routes_stop_the_start() {
    for path in ["/events", "/events/{*name}", "/healthz", "/readyz", "/aaw.js"] {
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
async fn everything_works_in_an_application() {
    let program = Program::mounting(|aaw| hello().merge(aaw), |_| {}).await;
    assert_eq!(program.get("/hello/you").await, (200, "Hello you".into()));
    assert_eq!(program.post("ping", "").send().await.body, r#"{"pong":true}"#);
    assert!(program.get("/").await.1.contains("<title>aaw"));
    assert_eq!(program.get("/healthz").await.0, 200);
    assert_eq!(program.get("/readyz").await, (200, r#"{"status":"ready"}"#.into()));
    assert_eq!(program.get("/nothing").await, (404, String::new()), "the application handles unknown paths");
    let mut client = program.check_websocket().await;
    until("the other connection to be removed", || program.handle.connections() == 1).await;
    // A disconnected caller drops its handler.
    let raw = program.post("gate/hold", r#"{"gate":"x"}"#).start().await;
    until("the handler to run", || program.app.gate("x").counts().came == 1).await;
    drop(raw);
    until("the handler to be dropped", || program.app.gate("x").counts().dropped == 1).await;
    let foreign = program.post("ping", "").replace("Host", "evil.example").send().await;
    assert_eq!(foreign.failure(), (403, "not_allowed".into()));
    // Graceful shutdown: running calls finish.
    let raw = program.post("gate/hold", r#"{"gate":"y"}"#).start().await;
    until("the handler to run", || program.app.gate("y").counts().came == 1).await;
    let (app, addr) = (program.app.clone(), program.addr);
    let stopped = tokio::spawn(program.stopped());
    client.expect_close(1001).await;
    let ready = HttpRequest::get(addr, "/readyz").send().await;
    assert_eq!((ready.status, &*ready.body), (503, r#"{"status":"not_ready","reasons":["stopping"]}"#));
    assert_eq!(HttpRequest::get(addr, "/healthz").send().await.status, 200, "it lives while it stops");
    let refused = HttpRequest::post(addr, "/events/ping", "").send().await;
    assert_eq!((refused.failure(), refused.header("retry-after")), ((503, "busy".into()), Some("5")));
    app.gate("y").release(1);
    let (head, mut body) = http::open_response(raw).await;
    assert_eq!((head.status, body.rest().await), (200, br#"{"held":"y"}"#.to_vec()));
    drop(body);
    stopped.await.unwrap();
}

#[tokio::test]
async fn aaw_can_be_nested_below_a_path() {
    let program = Program::mounting(|aaw| Router::new().nest("/api", aaw), |_| {}).await;
    let response = HttpRequest::post(program.addr, "/api/events/users/get", r#"{"id":1}"#).send().await;
    assert_eq!(response.status, 200, "{response:?}");
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
async fn in_an_application_connections_and_running_requests_share_one_limit() {
    let program = Program::mounting(|aaw| aaw, |config| config.max_connections = 2).await;
    let _client = WireClient::connect_v1(program.addr).await;
    let raw = program.post("streams/gated", r#"{"gate":"x"}"#).accept("text/event-stream").start().await;
    let gate = program.app.gate("x");
    within("the handler to run", String::new, gate.wait(Counts { came: 1, ..Counts::default() })).await;
    assert_eq!(program.post("ping", "").send().await.failure(), (503, "busy".into()));
    assert_eq!(HttpRequest::handshake(program.addr).send().await.status, 503);
    drop(raw);
    within("the stream to end", String::new, gate.wait(Counts { over: 1, ..Counts::default() })).await;
    until("the request to be finished", || program.handle.connections() == 1).await;
    while program.post("ping", "").send().await.status == 503 {}
}

/// A program that serves the routes of aaw with the addresses of its clients.
async fn serve_with_connect_info(change: impl FnOnce(&mut Config)) -> SocketAddr {
    let mut config = Config::default();
    change(&mut config);
    let server = Server::new(config).events(aaw_test_events::module_with(App::default())).merge(hello());
    let router = server.mount().await.expect("it starts").router();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let app = Router::new().nest("/app", router).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });
    addr
}

#[tokio::test]
async fn a_program_tells_the_address_of_a_client_by_its_connect_info() {
    let log = LogCapture::start();
    let addr = serve_with_connect_info(|_| {}).await;
    let foreign = |target| HttpRequest::get(addr, target).header("Origin", "https://evil.example");
    let with_headers = foreign("/app/events").header("X-Forwarded-For", "203.0.113.7");
    assert_eq!(with_headers.send().await.status, 403);
    log.expect_line(&["refused a request", "peer=127.0.0.1:"]);
    let mut raw = RawConnection::connect(addr).await;
    let handshake = HttpRequest::handshake(addr).bytes();
    let handshake = String::from_utf8(handshake).expect("text").replacen("GET / ", "GET /app ", 1);
    raw.send(handshake.as_bytes()).await;
    assert_eq!(raw.read_head().await.status, 101);
    log.expect_line(&["connected", "peer=127.0.0.1:"]);
}

/// Opens a WebSocket at the nested routes, from this address. Returns the response's head and the connection.
async fn open_nested(from: Ipv4Addr, addr: SocketAddr) -> (HttpResponse, RawConnection) {
    let handshake = String::from_utf8(HttpRequest::handshake(addr).bytes()).expect("text");
    let mut raw = RawConnection::connect_from(from, addr).await;
    raw.send(handshake.replacen("GET / ", "GET /app ", 1).as_bytes()).await;
    (raw.read_head().await, raw)
}

#[tokio::test]
async fn the_limits_of_an_address_are_those_of_the_connect_info() {
    const CLIENT: Ipv4Addr = Ipv4Addr::LOCALHOST;
    const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
    // Connections.
    let addr = serve_with_connect_info(|config| config.max_connections_per_address = Some(2)).await;
    let (first, _first) = open_nested(CLIENT, addr).await;
    let (second, _second) = open_nested(CLIENT, addr).await;
    let (third, _) = open_nested(CLIENT, addr).await;
    let (other, _other) = open_nested(OTHER, addr).await;
    assert_eq!([first, second, third, other].map(|response| response.status), [101, 101, 429, 101]);

    // Rates.
    let addr = serve_with_connect_info(|config| {
        config.contention_delay = Duration::ZERO;
        (config.handshake_rate_per_address, config.call_rate_per_address) = (1, 1);
    })
    .await;
    let mut handshakes = Vec::new();
    for _ in 0..10 {
        handshakes.push(open_nested(CLIENT, addr).await.0.status);
    }
    assert!(handshakes[..5] == [101; 5] && handshakes.contains(&429), "{handshakes:?}");
    assert_eq!(open_nested(OTHER, addr).await.0.status, 101);
    let ping = HttpRequest::post(addr, "/app/events/ping", "null");
    let responses = futures_util::future::join_all((0..12).map(|_| ping.send())).await;
    assert!(responses.iter().any(|response| response.status == 429), "{responses:?}");
    let mut other = RawConnection::connect_from(OTHER, addr).await;
    assert_eq!(ping.send_over(&mut other).await.status, 200);
}

#[tokio::test]
async fn a_program_behind_a_trusted_proxy_sees_the_clients_of_the_proxy() {
    let log = LogCapture::start();
    let trust = |config: &mut Config| config.trusted_proxies = vec!["127.0.0.1".parse().expect("a proxy")];
    // A server each: such lines are limited to one a second.
    for target in ["/app/events", "/app/hello/you"] {
        let addr = serve_with_connect_info(trust).await;
        let request = HttpRequest::get(addr, target)
            .header("Origin", "https://evil.example")
            .header("X-Forwarded-For", "203.0.113.7")
            .header("X-Forwarded-Host", "evil.example");
        assert_eq!(request.send().await.status, 403, "{target}");
    }
    assert_eq!(log.text().matches("peer=203.0.113.7").count(), 2, "{}", log.text());
}
