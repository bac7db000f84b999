//! The programs `aaw-server` and `aaw` as processes: events are built, loaded and reloaded.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aaw_client::connect;
use aaw_tests::cargo::{artifacts, nested_target, workspace};
use aaw_tests::process::BUILD_DEADLINE;
use aaw_tests::{DEADLINE, HttpRequest, Process, RawConnection, TestServer, WireClient, until, within};
use serde_json::{Value, json};
use tokio::process::Command;

/// Starts a server with these events on a free port, and does not wait for it.
pub(crate) async fn start(events: &Path, flags: &[&str]) -> Process {
    let mut command = Command::new(&artifacts().await.server);
    command.arg(events).args(["--port", "0"]).args(flags);
    command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", nested_target());
    Process::start_building(command)
}

/// Waits until a server listens. Returns its URL, which it logs.
pub(crate) async fn listening(server: &Process) -> String {
    let line = server.stderr_line(&["listening on ws", "://localhost:"]).await;
    format!("ws://{}", line.split(['(', ')']).nth(1).expect("the address is in brackets"))
}

/// Starts a server with these events on a free port. Returns it with its URL.
pub(crate) async fn serve(events: &Path, flags: &[&str]) -> (Process, String) {
    let server = start(events, flags).await;
    let url = listening(&server).await;
    (server, url)
}

/// Starts a server, and checks that it exits with code 1 and that its output contains all of `words`.
async fn fails_to_serve(args: &[&str], words: &[&str]) {
    exits_with(1, args, words).await;
}

/// Starts a server, and checks its exit code and that its output contains all of `words`.
async fn exits_with(code: i32, args: &[&str], words: &[&str]) {
    let mut command = Command::new(&artifacts().await.server);
    command.args(args).env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", nested_target());
    let mut server = Process::start_building(command);
    let status = server.exited().await;
    let errors = server.stderr();
    assert_eq!(status.code(), Some(code), "{errors}");
    assert!(words.iter().all(|word| errors.contains(word)), "expected {words:?} in:\n{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

/// Runs `aaw`. Returns its standard output, its standard error and its exit code.
async fn aaw(args: &[&str], stdin: &str) -> (String, String, i32) {
    let mut command = Command::new(&artifacts().await.cli);
    command.args(args);
    let mut aaw = Process::start(command);
    if !stdin.is_empty() {
        aaw.write_line(stdin).await;
    }
    aaw.close_stdin();
    let code = aaw.exited().await.code().expect("no signal");
    (aaw.stdout(), aaw.stderr(), code)
}

/// Creates an events package outside of the workspace with `aaw-server init`.
pub(crate) async fn package(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let package = folder.path().join(name);
    let mut command = Command::new(&artifacts().await.server);
    command.arg("init").arg(&package);
    let mut init = Process::start(command);
    assert!(init.exited().await.success(), "{}", init.stderr());
    // The versions of the workspace, which are downloaded already: the build needs no network.
    std::fs::copy(workspace().join("Cargo.lock"), package.join("Cargo.lock")).expect("the workspace has a lock file");
    // The profile of the workspace, so that what both depend on is built once.
    let config = "[build]\nincremental = false\n[profile.dev]\ndebug = false\n";
    std::fs::create_dir(package.join(".cargo")).expect("a new folder");
    std::fs::write(package.join(".cargo/config.toml"), config).expect("the folder is writable");
    (folder, package)
}

/// Returns the library of the test events.
pub(crate) async fn events() -> &'static Path {
    &artifacts().await.events
}

/// Runs `aaw-server user`. Returns its standard output, its standard error and its exit code.
async fn user(store: &Path, args: &[&str], stdin: &str) -> (String, String, i32) {
    let mut command = Command::new(&artifacts().await.server);
    command.arg("user").args(args).arg("--auth").arg(store);
    let mut user = Process::start(command);
    if !stdin.is_empty() {
        user.write_line(stdin).await;
    }
    user.close_stdin();
    let code = user.exited().await.code().expect("no signal");
    (user.stdout(), user.stderr(), code)
}

#[tokio::test]
async fn with_registration_off_users_are_added_by_the_program_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("users.sqlite");
    let file = store.to_str().expect("UTF-8");
    let address = |url: &str| url.strip_prefix("ws://").expect("a URL").parse().expect("an address");
    let ada = r#"{"email":"ada@example.com","password":"correct horse"}"#;
    let closed = r#"{"error":"Registration is closed on this server","code":"registration_closed"}"#;
    let (server, url) = serve(events().await, &["--auth", file, "--registration", "off"]).await;
    let mut client = WireClient::connect_v1(address(&url)).await;
    client.call("aaw/register", ada).await.assert_eq(closed);
    let over_http = HttpRequest::post(address(&url), "/events/aaw/register", ada).send().await;
    assert_eq!(over_http.failure(), (403, "registration_closed".into()));
    assert_eq!(client.call("aaw/login", ada).await.value()["code"], "not_authenticated");
    assert!(!server.stderr().contains("registration is open"), "{}", server.stderr());
    let (_, errors, code) = user(&store, &["add", "ada@example.com"], "correct horse").await;
    assert_eq!(code, 0, "{errors}");
    assert_eq!(client.call("aaw/login", ada).await.value()["user"]["email"], "ada@example.com");
    drop(server);
    // The default.
    let (server, url) = serve(events().await, &["--auth", file]).await;
    let mut client = WireClient::connect_v1(address(&url)).await;
    let eve = r#"{"email":"eve@example.com","password":"correct horse"}"#;
    assert_eq!(client.call("aaw/register", eve).await.value()["user"]["email"], "eve@example.com");
    server.stderr_line(&["registration is open"]).await;
}

#[tokio::test]
async fn users_are_added_listed_changed_and_removed_while_the_server_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("users.sqlite");
    let (_, errors, code) = user(&store, &["list"], "").await;
    assert!(code == 1 && errors.contains("does not exist"), "{errors}");
    let (output, errors, code) = user(&store, &["add", "Ada@Example.com"], "correct horse").await;
    assert!(code == 0 && output.starts_with("added ada@example.com ("), "{output}{errors}");
    let (_, errors, code) = user(&store, &["add", "ada@example.com"], "xxxxxx").await;
    assert!(code == 1 && errors.contains("Email already registered"), "{errors}");
    let (_, errors, code) = user(&store, &["add", "eve@example.com", "--allow", "auth/{"], "xxxxxx").await;
    assert!(code == 1 && errors.contains("auth/{"), "{errors}");

    let (_server, url) = serve(&workspace().join("events"), &["--auth", store.to_str().expect("UTF-8")]).await;
    let client = connect(&url).await.expect("the server accepts the connection");
    let call = async |event: &str, body: Value| client.send_async::<Value>(event, body, DEADLINE).await;
    assert!(call("auth/whoami", json!({})).await.is_err());
    let ada = json!({ "email": "ada@example.com", "password": "correct horse" });
    call("aaw/login", ada.clone()).await.expect("the log-in succeeds");
    assert_eq!(call("auth/whoami", json!({})).await.expect("the call is authorized")["email"], "ada@example.com");
    let (output, ..) = user(&store, &["list"], "").await;
    assert!(
        output.starts_with("ada@example.com\t") && output.contains("1 sessions") && output.ends_with("everything"),
        "{output}"
    );
    let (_, errors, code) = user(&store, &["allow", "ada@example.com", "auth/orders/*"], "").await;
    assert_eq!(code, 0, "{errors}");
    let refused = async { while call("auth/whoami", json!({})).await.is_ok() {} };
    within("the change to arrive", || "nothing".into(), refused).await;
    let (output, ..) = user(&store, &["list"], "").await;
    assert!(output.ends_with("auth/orders/*"), "{output}");
    let (_, errors, code) = user(&store, &["remove", "ADA@example.com"], "").await;
    assert_eq!(code, 0, "{errors}");
    assert!(call("aaw/login", ada).await.is_err());
    let (_, errors, code) = user(&store, &["remove", "ada@example.com"], "").await;
    assert!(code == 1 && errors.contains("there is no user ada@example.com"), "{errors}");
}

// --- aaw-server ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_stock_events_are_built_listed_and_served() {
    let (server, url) = serve(&workspace().join("events"), &[]).await;
    for event in ["ping (unary)", "echo (unary)", "announce (one_way)", "notify (one_way)", "subdir/nested (unary)"] {
        server.stderr_line(&[event]).await;
    }
    let call = async |args: &[&str]| {
        let all: Vec<&str> = ["call", &url].into_iter().chain(args.iter().copied()).collect();
        aaw(&all, "").await
    };
    assert_eq!(call(&["ping"]).await, (r#"{"pong":true}"#.into(), String::new(), 0));
    assert_eq!(call(&["echo", r#"{"a":[1,"ü"]}"#]).await, (r#"{"a":[1,"ü"]}"#.into(), String::new(), 0));
    assert_eq!(call(&["subdir/nested"]).await.2, 0);
    let (out, error, code) = call(&["explode"]).await;
    assert_eq!((out.as_str(), code), ("", 1));
    assert_eq!(
        serde_json::from_str::<Value>(&error).unwrap(),
        json!({"error": "Something went wrong", "code": "handler"})
    );
    let now = call(&["time"]).await.0;
    assert!(now.starts_with(r#"{"now":"20"#) && now.ends_with("Z\"}"), "{now}");
}

#[tokio::test]
async fn a_folder_of_pages_is_served_beside_the_events() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "<h1>mine</h1>").unwrap();
    let path = folder.path().to_str().unwrap();
    let (server, url) = serve(&workspace().join("events"), &["--static", path]).await;
    server.stderr_line(&["try the events at http://localhost:", "/events"]).await;
    let addr = url.strip_prefix("ws://").and_then(|addr| addr.parse().ok()).unwrap();
    assert_eq!(HttpRequest::get(addr, "/").send().await.body, "<h1>mine</h1>");
    assert_eq!(HttpRequest::post(addr, "/events/ping", "").send().await.body, r#"{"pong":true}"#);
    // Each of the two folders is checked before anything is built.
    let missing = folder.path().join("missing");
    let missing = missing.to_str().unwrap();
    fails_to_serve(&["nothing/there", "--port", "0", "--static", missing], &["nothing/there"]).await;
    let events = workspace().join("events");
    let args = [events.to_str().unwrap(), "--port", "0", "--static", missing];
    fails_to_serve(&args, &["cannot serve the folder", missing]).await;
}

#[tokio::test]
async fn subfolders_of_a_folder_of_libraries_are_prefixes_of_event_names() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("shop/orders");
    std::fs::create_dir_all(&deep).unwrap();
    let library = |at: &Path| at.join(format!("any{}", std::env::consts::DLL_SUFFIX));
    std::fs::copy(&artifacts().await.events, library(&deep)).unwrap();
    std::fs::copy(&artifacts().await.events, library(folder.path())).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not a library").unwrap();
    let (server, url) = serve(folder.path(), &[]).await;
    server.stderr_line(&["shop/orders/users/get (unary)"]).await;
    server.stderr_line(&["shop/orders/auth/secret", "unreachable"]).await;
    let client = connect(&url).await.unwrap();
    for event in ["users/get", "shop/orders/users/get"] {
        assert_eq!(client.send_async::<String>(event, (), DEADLINE).await.unwrap(), "users/get");
    }
}

#[tokio::test]
async fn two_libraries_that_define_one_event_stop_the_start_and_are_both_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        let library = folder.path().join(format!("{name}{}", std::env::consts::DLL_SUFFIX));
        std::fs::copy(&artifacts().await.events, library).unwrap();
    }
    let folder = folder.path().to_str().unwrap();
    fails_to_serve(&[folder, "--port", "0"], &["duplicate event", "one.", "two."]).await;
}

#[tokio::test]
async fn an_invalid_library_stops_the_start() {
    let whole = std::fs::read(&artifacts().await.events).unwrap();
    for (content, words) in [
        (&b"hello"[..], "the file is not a library"),
        (b"", "the file is empty"),
        (&whole[..whole.len() / 2], "damaged or truncated"),
        (&whole[..100], "damaged or truncated"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join(format!("bad{}", std::env::consts::DLL_SUFFIX));
        std::fs::write(&library, content).unwrap();
        fails_to_serve(&[folder.path().to_str().unwrap(), "--port", "0"], &[library.to_str().unwrap(), words]).await;
    }
}

#[tokio::test]
async fn a_port_in_use_stops_the_start() {
    let other = TestServer::start().await;
    let port = other.addr.port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join(format!("any{}", std::env::consts::DLL_SUFFIX));
    std::fs::copy(&artifacts().await.events, library).unwrap();
    let words = [&*format!("cannot listen on 127.0.0.1:{port}: the port is in use"), "--port"];
    fails_to_serve(&[folder.path().to_str().unwrap(), "--port", &port], &words).await;
}

#[tokio::test]
async fn an_events_folder_that_is_missing_or_empty_or_a_file_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fails_to_serve(&[&at("missing")], &["does not exist", "missing", "aaw-server init"]).await;
    std::fs::create_dir(at("empty")).unwrap();
    fails_to_serve(&[&at("empty")], &["empty contains no events", "aaw-server init"]).await;
    std::fs::write(at("file"), "").unwrap();
    fails_to_serve(&[&at("file")], &["file is a file"]).await;
}

#[tokio::test]
async fn invalid_flags_exit_with_code_2_and_name_the_flag() {
    for args in [&["--port", "x"][..], &["--allow-origin", "example.com"], &["--log", "loud"], &["--nonsense"]] {
        let mut command = Command::new(&artifacts().await.server);
        command.args(args);
        let mut server = Process::start(command);
        assert_eq!(server.exited().await.code(), Some(2), "{args:?}");
        assert!(server.stderr().contains(args[0]), "{}", server.stderr());
    }
}

#[tokio::test]
async fn an_ipv6_address_is_listened_on_with_and_without_brackets() {
    for host in ["::1", "[::1]"] {
        let mut command = Command::new(&artifacts().await.server);
        command.arg(events().await).args(["--port", "0", "--host", host]);
        let server = Process::start(command);
        let line = server.stderr_line(&["listening on ws://[::1]:"]).await;
        let url = line.split_whitespace().find(|word| word.starts_with("ws://")).expect("a URL");
        connect(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }
}

#[tokio::test]
async fn connections_above_the_maximum_are_refused() {
    let (_server, url) = serve(events().await, &["--max-connections", "1"]).await;
    let _first = connect(&url).await.unwrap();
    let refused = connect(&url).await.unwrap_err().to_string();
    assert!(refused.contains("503"), "{refused}");
}

/// The address of a server with this URL.
fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("ws://").parse().expect("an address")
}

/// One address took every file that the server may open, and others were not even refused.
#[cfg(unix)]
#[tokio::test]
async fn connections_are_limited_by_the_open_files_and_shared_among_addresses() {
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n 200; exec "$0" "$@""#]).arg(&artifacts().await.server);
    command.arg(events().await).args(["--port", "0"]);
    let server = Process::start(command);
    server.stderr_line(&["WARN", "connections=136", "`ulimit -n`"]).await;
    let addr = address(&listening(&server).await);
    let mut open = Vec::new();
    let refused = loop {
        assert!(open.len() < 200, "none is refused");
        let (response, socket) = HttpRequest::handshake(addr).open_websocket().await;
        if response.status != 101 {
            break response;
        }
        open.push(socket);
    };
    assert_eq!((refused.failure(), open.len()), ((429, "busy".into()), 68));
    let mut other = RawConnection::connect_from([127, 0, 0, 2].into(), addr).await;
    assert_eq!(HttpRequest::handshake(addr).send_over(&mut other).await.status, 101);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_is_told_when_no_more_files_can_be_opened() {
    let (server, url) = serve(events().await, &[]).await;
    let addr = address(&url);
    let highest = || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", server.id())).expect("its open files");
        let numbers = files.filter_map(|file| file.ok()?.file_name().to_str()?.parse::<u64>().ok());
        // What the test itself was started with may have high numbers.
        numbers.filter(|number| *number < 100).max().expect("an open file")
    };
    // Below it are the files that are open, and a few more.
    let files = highest() + 6;
    rlimit::prlimit(server.id().cast_signed(), rlimit::Resource::NOFILE, Some((files, files)), None)
        .expect("its limit");
    let request = HttpRequest::get(addr, "/healthz");
    let mut open = Vec::new();
    let refused = loop {
        assert!(open.len() < 200, "more connections than files");
        let mut raw = RawConnection::connect(addr).await;
        let response = request.send_over(&mut raw).await;
        if response.status != 200 {
            break response;
        }
        open.push(raw);
    };
    assert_eq!((refused.failure(), refused.header("Retry-After")), ((503, "busy".into()), Some("5")));
    for _ in 0..100 {
        assert_eq!(request.send().await.status, 503);
    }
    server.stderr_line(&["WARN", "accepting a connection failed: Too many open files"]).await;
    drop(open);
    while request.send().await.status != 200 {}
}

#[tokio::test]
async fn flags_limit_what_one_address_may_do() {
    let flags = ["--contention-delay", "0s", "--handshake-rate-per-address", "1"];
    let (_server, url) = serve(events().await, &flags).await;
    let mut refused = None;
    // Five at once, and one a second.
    while refused.is_none() {
        refused = connect(&url).await.err();
    }
    let refused = refused.unwrap().to_string();
    assert!(refused.contains("429") && refused.contains("Too many new connections from your address"), "{refused}");
    let (_server, url) = serve(events().await, &["--max-connections-per-address", "1"]).await;
    let _first = connect(&url).await.unwrap();
    assert!(connect(&url).await.unwrap_err().to_string().contains("429"));
}

#[tokio::test]
async fn every_flag_can_be_set_by_an_environment_variable() {
    let mut command = Command::new(&artifacts().await.server);
    command.env("AAW_EVENTS", events().await).env("AAW_PORT", "0").env("AAW_HOST", "localhost").env("AAW_LOG", "json");
    command.env("AAW_ALLOW_ORIGIN", "https://a.example,https://b.example").env("AAW_WATCH", "1");
    let mut server = Process::start(command);
    let line = server.stderr_line(&["listening on ws://localhost:"]).await;
    let line: Value = serde_json::from_str(&line).expect("the log of the server is JSON too");
    let message = line["message"].as_str().unwrap();
    let address = message.split(['(', ')']).nth(1).unwrap().parse().unwrap();
    for origin in ["https://a.example", "https://b.example"] {
        let handshake = HttpRequest::handshake(address).header("Origin", origin);
        assert_eq!(handshake.send().await.status, 101);
    }
    WireClient::connect_v1(address).await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    assert_eq!(server.json().await["event"], "ping");
}

#[tokio::test]
async fn a_server_behind_a_proxy_is_below_a_path_and_reads_the_header_of_the_proxy() {
    let flags =
        ["--proxy-protocol", "--trusted-proxy", "127.0.0.1", "--trusted-proxy", "unix", "--path-prefix", "/app/"];
    let (server, url) = serve(events().await, &flags).await;
    assert!(server.stderr().contains("/app (127.0.0.1:"), "{}", server.stderr());
    let address = url.strip_prefix("ws://").unwrap().parse().unwrap();
    let request = |target| HttpRequest::post(address, target, "").header("Origin", "https://evil.example");
    let mut raw = RawConnection::connect(address).await;
    raw.send(b"PROXY TCP4 203.0.113.7 127.0.0.1 56324 1337\r\n").await;
    assert_eq!(request("/app/events/ping").send_over(&mut raw).await.status, 403);
    server.stderr_line(&["refused a request", "203.0.113.7:56324"]).await;
    assert_eq!(request("/events/ping").send_over(&mut raw).await.status, 404);
    let contradiction = "trusted_proxies is none (default): the PROXY protocol needs a trusted proxy";
    exits_with(2, &["--proxy-protocol"], &[contradiction]).await;
}

#[tokio::test]
async fn the_json_log_has_one_line_for_each_call_with_fixed_fields() {
    let (mut server, url) = serve(events().await, &["--log", "json"]).await;
    let address = url.strip_prefix("ws://").unwrap().parse().unwrap();
    let mut client = WireClient::connect_v1(address).await;
    client.call("echo", "{\"a\":\n[1]}").await.assert_eq("{\"a\":\n[1]}");
    let line = server.line().await;
    let (timestamp, rest) = line.split_once(r#"","event":"#).unwrap_or_else(|| panic!("{line}"));
    assert!(timestamp.starts_with(r#"{"timestamp":"20"#) && timestamp.ends_with('Z'), "{line}");
    let line = format!(r#"{{"event":{rest}"#);
    let beginning = format!(
        r#"{{"event":"echo","connection":"{}","client_key":"_key","kind":"unary","body":{{"a":[1]}},"result":{{"a":[1]}},"ms":"#,
        client.connection
    );
    let ms = line.strip_prefix(&beginning).unwrap_or_else(|| panic!("{line}"));
    assert!(ms.strip_suffix('}').unwrap().parse::<f64>().unwrap() >= 0.0);
    client.call("fails/with", r#"{"error":"no","data":7}"#).await;
    let failed = server.json().await;
    assert_eq!(failed["error"], json!({"error": "no", "code": "handler", "data": 7}));
    let fields: Vec<_> = failed.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["body", "client_key", "connection", "error", "event", "kind", "ms", "timestamp"]);
    client.send(r#"["note","plain"]"#).await;
    let plain = server.json().await;
    assert_eq!((&plain["kind"], &plain["result"], &plain["body"]), (&json!("one_way"), &json!(null), &json!("plain")));
    client.call("aaw/login", r#"{"email":"a@b","password":"hunter2","token":"hunter2"}"#).await;
    let login = server.line().await;
    assert!(login.contains("[redacted]") && !login.contains("hunter2"), "{login}");
    // A call is logged as soon as it ends, while another one still runs; a cancelled call is logged too.
    client.send(r#"["gate/hold",{"gate":"x"},4]"#).await;
    client.exchange(r#"["ping",null,5]"#, r#"["ping",{"pong":true},5]"#).await;
    assert_eq!(server.json().await["event"], "ping");
    client.send(r#"["gate/hold",null,4,"cancel"]"#).await;
    assert_eq!(server.json().await["error"]["code"], "cancelled");
}

#[tokio::test]
async fn sigterm_and_sigint_shut_down_gracefully() {
    for signal in ["TERM", "INT"] {
        let (mut server, url) = serve(events().await, &[]).await;
        let address = url.strip_prefix("ws://").unwrap().parse().unwrap();
        let mut client = WireClient::connect_v1(address).await;
        let mut idle = WireClient::connect_v1(address).await;
        client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
        idle.call("gate/wait", r#"{"gate":"x","came":1}"#).await;
        server.signal(signal).await;
        idle.expect_close(1001).await;
        // Running calls continue, new ones fail. The running call ends here because its caller cancels it.
        client
            .exchange(r#"["ping",null,2]"#, r#"["ping",{"error":"The server is stopping","code":"busy"},2,"error"]"#)
            .await;
        client.send(r#"["gate/hold",null,1,"cancel"]"#).await;
        client.expect_close(1001).await;
        assert_eq!(server.exited().await.code(), Some(0), "{}", server.stderr());
    }
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let (mut server, url) = serve(events().await, &[]).await;
    let address = url.strip_prefix("ws://").unwrap().parse().unwrap();
    let mut client = WireClient::connect_v1(address).await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    server.signal("TERM").await;
    server.stderr_line(&["stopping"]).await;
    client
        .exchange(r#"["ping",null,2]"#, r#"["ping",{"error":"The server is stopping","code":"busy"},2,"error"]"#)
        .await;
    server.signal("TERM").await;
    assert_eq!(server.exited().await.code(), Some(143));
}

// --- init, watch -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_package_from_init_is_served() {
    let (_folder, package) = package("aaw-test-init").await;
    let (_server, url) = serve(&package, &[]).await;
    let output = aaw(&["call", &url, "hello", r#"{"name":"Ada"}"#], "").await;
    assert_eq!(output, (r#"{"greeting":"Hello, Ada!"}"#.into(), String::new(), 0));
    // An existing package is not overwritten.
    let mut again = Command::new(&artifacts().await.server);
    again.arg("init").arg(&package);
    let mut again = Process::start(again);
    assert_eq!(again.exited().await.code(), Some(1));
    assert!(again.stderr().contains("nothing was written"), "{}", again.stderr());
}

#[tokio::test]
async fn a_package_that_does_not_compile_stops_the_start_with_the_error_of_the_compiler() {
    let (_folder, package) = package("aaw-test-broken").await;
    let path = package.to_str().unwrap().to_owned();
    std::fs::write(package.join("src/ping.rs"), "pub async fn handler() -> bool { 7 }").unwrap();
    fails_to_serve(&[&path, "--port", "0"], &["src/ping.rs:1", "mismatched types", "see cargo's messages above"]).await;
    // An invalid signature of a handler, and an invalid name of an event.
    std::fs::write(package.join("src/ping.rs"), "pub fn handler() -> bool { true }").unwrap();
    fails_to_serve(&[&path, "--port", "0"], &["src/ping.rs", "see cargo's messages above"]).await;
    std::fs::write(package.join("src/ping.rs"), "pub async fn handler() {}").unwrap();
    std::fs::write(package.join("src/a b.rs"), "pub async fn handler() {}").unwrap();
    fails_to_serve(&[&path, "--port", "0"], &["a b.rs", "see cargo's messages above"]).await;
}

#[tokio::test]
async fn a_saved_file_is_reloaded_without_failing_a_call() {
    let (_folder, package) = package("aaw-test-watch").await;
    let ping = package.join("src/ping.rs");
    let returning = |n: i32| format!("pub async fn handler() -> i32 {{ {n} }}");
    std::fs::write(&ping, returning(1)).unwrap();
    let (server, url) = serve(&package, &["--watch"]).await;

    // Clients that call without pause. No call may fail, whether the old or the new events handle it.
    let (results, mut seen) = tokio::sync::watch::channel(0);
    let mut callers = Vec::new();
    for _ in 0..4 {
        let client = connect(&url).await.unwrap();
        let results = results.clone();
        callers.push(tokio::spawn(async move {
            let mut last = 0;
            while last < 3 {
                let result = client.send_async::<i32>("ping", (), DEADLINE).await.expect("no call is lost");
                assert!(result >= last, "the old events came back");
                last = result;
                results.send_if_modified(|latest| last > std::mem::replace(latest, last.max(*latest)));
            }
        }));
    }
    let mut served = async |expected: i32| {
        let reached = seen.wait_for(|latest| *latest == expected);
        tokio::time::timeout(BUILD_DEADLINE, reached).await.map(|_| ())
    };
    served(1).await.expect("the first version is served");
    std::fs::write(&ping, returning(2)).unwrap();
    served(2).await.unwrap_or_else(|_| panic!("the new events are not served:\n{}", server.stderr()));

    // An error of the compiler is logged, and the old events stay.
    std::fs::write(&ping, "pub async fn handler() -> i32 { nonsense }").unwrap();
    server.stderr_line(&["keeping the previous events"]).await;
    server.stderr_line(&["src/ping.rs"]).await;
    let client = connect(&url).await.unwrap();
    assert_eq!(client.send_async::<i32>("ping", (), DEADLINE).await.unwrap(), 2);

    // A new file in a new folder becomes an event, and the event of a removed file disappears.
    std::fs::create_dir(package.join("src/deep")).unwrap();
    std::fs::write(package.join("src/deep/new.rs"), returning(7)).unwrap();
    std::fs::remove_file(package.join("src/hello.rs")).unwrap();
    std::fs::write(&ping, returning(3)).unwrap();
    served(3).await.unwrap_or_else(|_| panic!("the new events are not served:\n{}", server.stderr()));
    for caller in callers {
        within("the callers to end", || "nothing".into(), caller).await.expect("no call is lost");
    }
    assert_eq!(client.send_async::<i32>("deep/new", (), DEADLINE).await.unwrap(), 7);
    assert!(client.send_async::<Value>("hello", (), DEADLINE).await.is_err());
}

// --- aaw -------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn exit_codes_distinguish_a_failed_call_a_failed_connection_and_a_timeout() {
    let mut server = TestServer::start().await;
    let url = server.url();
    assert_eq!(aaw(&["call", &url, "echo", "7"], "").await, ("7".into(), String::new(), 0));
    let (out, error, code) = aaw(&["call", &url, "unknown"], "").await;
    assert_eq!((out.as_str(), code), ("", 1));
    let refusal = json!({"error": "Unknown event: unknown", "code": "unknown_event"});
    assert_eq!(serde_json::from_str::<Value>(&error).unwrap(), refusal);
    assert_eq!(aaw(&["call", &url, "echo", "{no json"], "").await.2, 2);
    assert_eq!(aaw(&["call", "http://localhost", "echo"], "").await.2, 2);
    let (_, error, code) = aaw(&["call", &url, "gate/hold", r#"{"gate":"x"}"#, "--timeout", "2s"], "").await;
    assert!(code == 4 || (code == 1 && error.contains("timeout")), "{code}: {error}");
    let (_, error, code) = aaw(&["call", &url, "echo", "--header", "Origin: https://evil.example"], "").await;
    assert_eq!(code, 3);
    assert!(error.contains("403") && error.contains("--allow-origin https://evil.example"), "{error}");
    server.stop();
    server.stopped().await;
    let (_, error, code) = aaw(&["call", &url, "ping"], "").await;
    assert_eq!(code, 3);
    assert!(error.contains("cannot reach"), "{error}");
}

#[tokio::test]
async fn a_body_can_be_read_from_standard_input() {
    let server = TestServer::start().await;
    let (out, error, code) = aaw(&["call", &server.url(), "echo", "-"], r#"{"a":"ü"}"#).await;
    assert_eq!((out.as_str(), error.as_str(), code), (r#"{"a":"ü"}"#, "", 0));
}

#[tokio::test]
async fn a_sent_event_has_arrived_when_the_command_exits() {
    let server = TestServer::start().await;
    assert_eq!(aaw(&["send", &server.url(), "note", "7"], "").await, (String::new(), String::new(), 0));
    server.v1().await.call("notes", "{}").await.assert_eq("[7]");
}

#[tokio::test]
async fn listen_prints_one_line_of_json_for_each_push() {
    let server = TestServer::start().await;
    let mut command = Command::new(&artifacts().await.cli);
    command.args(["listen", &server.url(), "broadcast"]);
    let mut listener = Process::start(command);
    // Before its hello a connection accepts no pushes.
    until("the listener to be open", || server.handle.emit("other", 1).is_ok_and(|accepted| accepted == 1)).await;
    let mut sender = server.v1().await;
    // It prints the pushes of its event, and no others.
    sender.send(r#"["broadcasts/others",{"m":"ü"}]"#).await;
    assert_eq!(listener.line().await, r#"{"event":"broadcast","data":{"m":"ü"}}"#);
    sender.send(r#"["broadcasts/others",2]"#).await;
    assert_eq!(listener.json().await, json!({"event": "broadcast", "data": 2}));
    listener.signal("INT").await;
    assert_eq!(listener.exited().await.code(), Some(130));
}
