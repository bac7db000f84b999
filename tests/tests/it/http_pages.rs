//! What browsers are served besides events: pages, scripts, files, CORS.

use std::path::Path;

use aaw_server::config::HttpConfig;
use aaw_server::{Config, Server, StartError};
use aaw_tests::{HttpRequest, HttpResponse, LogCapture, RawConnection, TestServer};

async fn get(server: &TestServer, target: &str) -> HttpResponse {
    HttpRequest::get(server.addr, target).send().await
}

fn allow(origins: &'static [&'static str]) -> impl FnOnce(&mut Config) {
    move |config| config.allow_origins = origins.iter().map(|origin| origin.parse().expect("an origin")).collect()
}

fn serve(dir: &Path) -> impl FnOnce(&mut Config) {
    let http = HttpConfig { static_dir: Some(dir.to_owned()), ..HttpConfig::default() };
    move |config| config.http = http
}

// --- Pages -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_page_is_one_file_that_loads_nothing_from_elsewhere() {
    let server = TestServer::start().await;
    let page = get(&server, "/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{policy}");
    for elsewhere in ["http://", "https://", "src=", "@import", " url("] {
        assert!(!page.body.contains(elsewhere), "{elsewhere}");
    }
    let head = HttpRequest::new(server.addr, "HEAD", "/").send().await;
    assert_eq!((head.status, head.header("content-length")), (200, page.header("content-length")));
    let post = HttpRequest::post(server.addr, "/", "{}").send().await;
    assert_eq!((post.status, post.header("allow")), (405, Some("get, head")));
}

#[tokio::test]
async fn the_events_are_listed_with_their_kinds() {
    let server = TestServer::start().await;
    for accept in ["application/json", "*/*"] {
        let list = HttpRequest::get(server.addr, "/events").accept(accept).send().await;
        assert_eq!(list.header("content-type"), Some("application/json"), "{accept}");
        let list = list.json();
        let events = list["events"].as_object().unwrap();
        for (name, kind) in [("ping", "unary"), ("note", "one_way"), ("streams/count", "streaming")] {
            assert_eq!(events[name]["kind"], kind, "{name}");
        }
        assert!(!events.contains_key("auth/secret") && !events.contains_key("_open"), "{events:?}");
    }
    let page = HttpRequest::get(server.addr, "/events").accept("text/html,*/*;q=0.8").send().await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
}

#[tokio::test]
async fn a_post_to_a_page_is_405() {
    let server = TestServer::start().await;
    for target in ["/events", "/aaw.js"] {
        let post = HttpRequest::post(server.addr, target, "").send().await;
        assert_eq!((post.failure(), post.header("allow")), ((405, "bad_method".into()), Some("get, head")), "{target}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_404_in_json() {
    let server = TestServer::start().await;
    for target in ["/nothing", "/events/", "/event/ping", "/index.html", "/../etc/passwd", "//"] {
        assert_eq!(get(&server, target).await.failure().0, 404, "{target}");
    }
}

// --- Files -----------------------------------------------------------------------------------------------------------

#[cfg(unix)]
#[tokio::test]
async fn a_folder_is_served_without_hidden_files_and_files_outside_of_it() {
    use std::os::unix::fs::symlink;

    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("public");
    std::fs::create_dir_all(dir.join("sub/.git")).unwrap();
    std::fs::create_dir_all(dir.join("linked")).unwrap();
    for (file, text) in [
        ("../secret.txt", "secret"),
        ("index.html", "<h1>mine</h1>"),
        ("a b.txt", "a"),
        ("sub/index.html", "sub"),
        ("sub/app.js", "1"),
        (".env", "secret"),
        ("sub/.git/config", "secret"),
    ] {
        std::fs::write(dir.join(file), text).unwrap();
    }
    symlink(outside.path().join("secret.txt"), dir.join("link.txt")).unwrap();
    symlink(outside.path(), dir.join("out")).unwrap();
    symlink(outside.path().join("secret.txt"), dir.join("linked/index.html")).unwrap();
    symlink(dir.join(".env"), dir.join("env.txt")).unwrap();
    symlink(dir.join("sub/app.js"), dir.join("inside.js")).unwrap();
    let server = TestServer::start_with(serve(&dir)).await;

    for (target, body, kind) in [
        ("/", "<h1>mine</h1>", "text/html"),
        ("/index.html", "<h1>mine</h1>", "text/html"),
        ("/a%20b.txt", "a", "text/plain"),
        ("/sub/", "sub", "text/html"),
        ("/sub/app.js?v=1", "1", "text/javascript"),
        ("/inside.js", "1", "text/javascript"),
    ] {
        let file = get(&server, target).await;
        assert_eq!((file.status, &*file.body), (200, body), "{target}");
        assert!(file.header("content-type").unwrap().starts_with(kind), "{target}: {file:?}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"), "{target}");
    }
    assert_eq!(get(&server, "/sub").await.header("location"), Some("./sub/"));
    for target in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/sub/../../secret.txt",
        "/..%2fsecret.txt",
        "/sub%2f..%2f..%2fsecret.txt",
        "/link.txt",
        "/out/secret.txt",
        "/linked/",
        "/.env",
        "/env.txt",
        "/sub/.git/config",
        "//secret.txt",
        "/nothing.txt",
        "/a%00b",
    ] {
        let refused = get(&server, target).await;
        assert_eq!(refused.failure().0, 404, "{target}: {refused:?}");
    }
    // The routes of aaw are still served, and its page while the folder has none.
    assert_eq!(get(&server, "/healthz").await.status, 200);
    assert!(HttpRequest::get(server.addr, "/events").accept("text/html").send().await.body.contains("<title>aaw"));
    assert_eq!(HttpRequest::post(server.addr, "/events/ping", "").send().await.status, 200);
    assert_eq!(HttpRequest::handshake(server.addr).send().await.status, 101);
    std::fs::remove_file(dir.join("index.html")).unwrap();
    assert!(get(&server, "/").await.body.contains("<title>aaw"));
    let post = HttpRequest::post(server.addr, "/sub/app.js", "").send().await;
    assert_eq!((post.failure(), post.header("allow")), ((405, "bad_method".into()), Some("get, head")));
    assert_eq!(HttpRequest::post(server.addr, "/nothing.txt", "").send().await.status, 404);
    let head = HttpRequest::new(server.addr, "HEAD", "/sub/app.js").send().await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("1")));
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_is_resolved_at_each_request() {
    use std::os::unix::fs::symlink;

    let releases = tempfile::tempdir().unwrap();
    for release in ["r1", "r2"] {
        std::fs::create_dir_all(releases.path().join(release).join("sub")).unwrap();
        std::fs::write(releases.path().join(release).join("index.html"), release).unwrap();
        std::fs::write(releases.path().join(release).join("sub/app.js"), release).unwrap();
        // A link within the folder, to what changes with it.
        symlink("sub/app.js", releases.path().join(release).join("main.js")).unwrap();
    }
    std::fs::write(releases.path().join("secret.txt"), "secret").unwrap();
    symlink("../secret.txt", releases.path().join("r2/secret.txt")).unwrap();
    let current = releases.path().join("current");
    let publish = |release: &str| {
        let new = releases.path().join("new");
        symlink(release, &new).unwrap();
        std::fs::rename(&new, &current).unwrap();
    };
    publish("r1");
    let server = TestServer::start_with(serve(&current)).await;
    let expect = async |release: &str| {
        for target in ["/", "/sub/app.js", "/main.js"] {
            let file = get(&server, target).await;
            assert_eq!((file.status, &*file.body), (200, release), "{target}");
        }
    };
    expect("r1").await;
    publish("r2");
    expect("r2").await;
    std::fs::remove_dir_all(releases.path().join("r1")).unwrap();
    expect("r2").await;
    // What leads out of the folder that is served now is not served.
    assert_eq!(get(&server, "/secret.txt").await.status, 404);
    std::fs::remove_file(&current).unwrap();
    assert_eq!(get(&server, "/sub/app.js").await.status, 404);
}

#[cfg(unix)]
#[tokio::test]
async fn only_regular_files_are_served() {
    use std::os::unix::net::UnixListener;

    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.txt");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::os::unix::fs::symlink(&pipe, dir.path().join("sub/index.html")).unwrap();
    let _socket = UnixListener::bind(dir.path().join("socket.txt")).unwrap();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let server = TestServer::start_with(serve(dir.path())).await;
    // More requests than threads that could wait for the pipe.
    let request = HttpRequest::get(server.addr, "/pipe.txt");
    for response in aaw_tests::http::send_all(&vec![request; 600]).await {
        assert_eq!(response.status, 404);
    }
    for target in ["/sub/", "/sub", "/socket.txt", "/empty", "/empty/"] {
        assert_eq!(get(&server, target).await.failure().0, 404, "{target}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn files_have_the_type_of_the_name_that_was_requested_and_text_is_utf_8() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join(".well-known/acme-challenge")).unwrap();
    std::fs::create_dir(dir.path().join("v1.2")).unwrap();
    for file in [
        "a.html",
        "a.css",
        "a.js",
        "a.txt",
        "a.json",
        "a.svg",
        "blob",
        ".well-known/acme-challenge/x",
        ".well-known/.env",
        "v1.2/index.html",
    ] {
        std::fs::write(dir.path().join(file), "ü").unwrap();
    }
    std::os::unix::fs::symlink("blob", dir.path().join("linked.css")).unwrap();
    let server = TestServer::start_with(serve(dir.path())).await;
    for (target, kind) in [
        ("/a.html", "text/html; charset=utf-8"),
        ("/a.css", "text/css; charset=utf-8"),
        ("/a.js", "text/javascript; charset=utf-8"),
        ("/a.txt", "text/plain; charset=utf-8"),
        ("/a.json", "application/json"),
        ("/a.svg", "image/svg+xml"),
        ("/linked.css", "text/css; charset=utf-8"),
        ("/blob", "application/octet-stream"),
        ("/v1.2/", "text/html; charset=utf-8"),
        ("/.well-known/acme-challenge/x", "application/octet-stream"),
    ] {
        let file = get(&server, target).await;
        assert_eq!((file.status, file.header("content-type"), &*file.body), (200, Some(kind), "ü"), "{target}");
    }
    assert_eq!(get(&server, "/.well-known/.env").await.status, 404);
    // A part of a file, and one that has not changed.
    let range = HttpRequest::get(server.addr, "/a.txt").header("Range", "bytes=0-1").send().await;
    assert_eq!((range.status, range.header("content-range")), (206, Some("bytes 0-1/2")));
    let billionth_second = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    std::fs::File::open(dir.path().join("a.txt")).unwrap().set_modified(billionth_second).unwrap();
    for (date, status) in [("Sun, 09 Sep 2001 01:46:40 GMT", 304), ("Sun, 09 Sep 2001 01:46:39 GMT", 200)] {
        let file = HttpRequest::get(server.addr, "/a.txt").header("If-Modified-Since", date).send().await;
        assert_eq!(file.status, status, "{date}");
    }
}

#[tokio::test]
async fn a_missing_folder_stops_the_start() {
    let mut config = Config { port: 0, ..Config::default() };
    for path in ["/nothing/there", file!()] {
        config.http.static_dir = Some(path.into());
        let error = Server::new(config.clone()).bind().await.unwrap_err();
        assert!(matches!(error, StartError::Static { .. }), "{error}");
        assert!(error.to_string().contains(path), "{error}");
    }
}

// --- Origins ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_foreign_origin_is_refused_on_every_path_and_the_error_names_the_flag() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    for (method, target) in
        [("POST", "/events/ping"), ("GET", "/events"), ("GET", "/"), ("GET", "/x"), ("OPTIONS", "/events/ping")]
    {
        let request = || HttpRequest::new(server.addr, method, target);
        let refused = request().header("Origin", "https://evil.example").send().await;
        assert_eq!(refused.failure(), (403, "not_allowed".into()), "{target}");
        assert!(refused.body.contains("--allow-origin https://evil.example"), "{}", refused.body);
        assert_eq!(refused.header("access-control-allow-origin"), None, "{target}");
        let renamed = request().replace("Host", "evil.example").send().await;
        assert_eq!(renamed.failure(), (403, "not_allowed".into()), "{target}");
        assert_eq!(request().header("Origin", "null").send().await.status, 403, "{target}");
        assert_eq!(request().header("Host", "evil.example").send().await.status, 400, "{target}");
    }
    log.expect_line(&["WARN", "--allow-origin https://evil.example"]);
}

#[tokio::test]
async fn an_allowed_origin_gets_cors_headers() {
    let server = TestServer::start_with(allow(&["https://app.example"])).await;
    for (event, status) in [("ping", 200), ("nothing/here", 404), ("note", 204)] {
        let request =
            HttpRequest::post(server.addr, &format!("/events/{event}"), "").header("Origin", "https://app.example");
        let response = request.send().await;
        assert_eq!(response.status, status);
        assert_eq!(response.header("access-control-allow-origin"), Some("https://app.example"), "{event}");
        assert_eq!(response.header("vary"), Some("origin"), "{event}");
    }
    let preflight = HttpRequest::new(server.addr, "OPTIONS", "/events/ping")
        .header("Origin", "https://app.example")
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "content-type");
    let response = preflight.send().await;
    assert_eq!(response.status, 204);
    assert_eq!(response.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(response.header("access-control-allow-methods"), Some("get, post"));
    assert_eq!(response.header("access-control-allow-headers"), Some("content-type"));
    assert_eq!(response.header("access-control-max-age"), Some("600"));
    assert_eq!(response.headers("vary"), ["origin", "access-control-request-headers"]);
    // Without a method to be allowed, OPTIONS is an ordinary request.
    let options = HttpRequest::new(server.addr, "OPTIONS", "/events/ping").header("Origin", "https://app.example");
    let response = options.send().await;
    assert_eq!(response.status, 405);
    assert_eq!(response.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(response.headers("vary"), ["origin"]);
    assert!(server.calls.all().iter().all(|call| call["event"] != "OPTIONS"));
    // A request without an origin gets no CORS headers.
    let program = HttpRequest::post(server.addr, "/events/ping", "").send().await;
    assert_eq!((program.header("access-control-allow-origin"), program.header("vary")), (None, Some("origin")));
}

#[tokio::test]
async fn an_upgrade_is_recognized_on_every_path() {
    let server = TestServer::start().await;
    for target in ["/", "/events", "/events/ping", "/healthz", "/aaw.js", "/nothing"] {
        let mut raw = RawConnection::connect(server.addr).await;
        let request = String::from_utf8(HttpRequest::handshake(server.addr).bytes()).unwrap();
        raw.send(request.replacen(" / ", &format!(" {target} "), 1).as_bytes()).await;
        assert_eq!(raw.read_response().await.status, 101, "{target}");
        raw.send_text(r#"["echo",1,1]"#).await;
        raw.expect_text(r#"["echo",1,1]"#).await;
    }
    let refused = HttpRequest::handshake(server.addr).header("Origin", "https://evil.example").send().await;
    assert_eq!((refused.status, refused.header("content-type")), (403, Some("text/plain; charset=utf-8")));
}

#[tokio::test]
async fn the_host_of_an_absolute_target_is_checked() {
    let server = TestServer::start().await;
    let foreign = HttpRequest::get(server.addr, "http://evil.example/events").send().await;
    assert_eq!(foreign.failure(), (403, "not_allowed".into()));
    let own = format!("http://{}/events", server.addr);
    assert_eq!(HttpRequest::get(server.addr, &own).send().await.status, 200);
}
