//! The programs as processes: `aaw-server` and `aaw`, with events that are built, loaded, swapped.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aaw_client::connect;
use aaw_tests::cargo::{self, artifacts, workspace};
use aaw_tests::{DEADLINE, HttpRequest, Process, TestServer, within};
use serde_json::{Value, json};
use tokio::process::Command;

/// A server that serves these events on a free port; and its URL, from what it says of itself.
async fn serve(events: &Path, flags: &[&str]) -> (Process, String) {
    let mut command = Command::new(&artifacts().await.server);
    command.arg(events).args(["--port", "0"]).args(flags);
    command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", target());
    let server = Process::start(command);
    let line = server.stderr_line(&["listening on ws://localhost:"]).await;
    let address = line.split(['(', ')']).nth(1).expect("the address is in brackets").to_owned();
    (server, format!("ws://{address}"))
}

/// A server that does not start: it ends with 1, and says this.
async fn fails_to_serve(args: &[&str], words: &[&str]) {
    let mut command = Command::new(&artifacts().await.server);
    command.args(args).env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", target());
    let mut server = Process::start(command);
    let status = server.exited().await;
    let errors = server.stderr();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(words.iter().all(|word| errors.contains(word)), "expected {words:?} in:\n{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

/// Where everything is built, so that what one test has built serves the others.
fn target() -> PathBuf {
    let from_env = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    from_env.unwrap_or_else(|| workspace().join("target"))
}

/// The command `aaw`; what it printed, and its exit code.
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

/// An events package outside of the workspace, as `aaw-server init` writes it.
async fn package(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let package = folder.path().join(name);
    let mut command = Command::new(&artifacts().await.server);
    command.arg("init").arg(&package);
    let mut init = Process::start(command);
    assert!(init.exited().await.success(), "{}", init.stderr());
    // What was fetched for us is enough, and nothing needs to be asked for.
    std::fs::copy(workspace().join("Cargo.lock"), package.join("Cargo.lock")).expect("the lock file is there");
    (folder, package)
}

fn events() -> PathBuf {
    workspace().join("tests/events")
}

/// `aaw-server user`: what it printed, and its exit code.
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
async fn users_are_added_listed_changed_and_removed_while_the_server_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("users.sqlite");
    let (_, errors, code) = user(&store, &["list"], "").await;
    assert!(code == 1 && errors.contains("there is no"), "{errors}");
    let (output, errors, code) = user(&store, &["add", "Ada@Example.com"], "correct horse").await;
    assert!(code == 0 && output.starts_with("added ada@example.com ("), "{output}{errors}");
    let (_, errors, code) = user(&store, &["add", "ada@example.com"], "x").await;
    assert!(code == 1 && errors.contains("Email already registered"), "{errors}");
    let (_, errors, code) = user(&store, &["add", "eve@example.com", "--allow", "auth/{"], "x").await;
    assert!(code == 1 && errors.contains("auth/{"), "{errors}");

    let (_server, url) = serve(&workspace().join("events"), &["--auth", store.to_str().expect("UTF-8")]).await;
    let client = connect(&url).await.expect("it lets us in");
    let call = async |event: &str, body: Value| client.send_async::<Value>(event, body, DEADLINE).await;
    assert!(call("auth/whoami", json!({})).await.is_err());
    let ada = json!({ "email": "ada@example.com", "password": "correct horse" });
    call("aaw/login", ada.clone()).await.expect("she logs in");
    assert_eq!(call("auth/whoami", json!({})).await.expect("she may")["email"], "ada@example.com");
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

// --- aaw-server -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_stock_events_are_built_listed_served_and_called() {
    let (server, url) = serve(&workspace().join("events"), &[]).await;
    for event in ["ping (answer)", "echo (answer)", "announce (plain)", "notify (plain)", "subdir/nested (answer)"] {
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
    server.stderr_line(&["the events can be tried at http://localhost:", "/events"]).await;
    let addr = url.strip_prefix("ws://").and_then(|addr| addr.parse().ok()).unwrap();
    assert_eq!(HttpRequest::get(addr, "/").send().await.body, "<h1>mine</h1>");
    assert_eq!(HttpRequest::post(addr, "/events/ping", "").send().await.body, r#"{"pong":true}"#);
    // Before anything is built.
    let missing = folder.path().join("missing");
    let missing = missing.to_str().unwrap();
    fails_to_serve(&["nothing/there", "--port", "0", "--static", missing], &["nothing/there"]).await;
    let events = workspace().join("events");
    let args = [events.to_str().unwrap(), "--port", "0", "--static", missing];
    fails_to_serve(&args, &["cannot serve the folder", missing]).await;
}

#[tokio::test]
async fn a_folder_of_libraries_is_served_with_its_folders_as_prefixes() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("shop/orders");
    std::fs::create_dir_all(&deep).unwrap();
    let library = |at: &Path| at.join(format!("any{}", std::env::consts::DLL_SUFFIX));
    std::fs::copy(&artifacts().await.events, library(&deep)).unwrap();
    std::fs::copy(&artifacts().await.events, library(folder.path())).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no library").unwrap();
    let (server, url) = serve(folder.path(), &[]).await;
    server.stderr_line(&["shop/orders/users/get (answer)"]).await;
    server.stderr_line(&["shop/orders/auth/secret", "unreachable"]).await;
    let client = connect(&url).await.unwrap();
    for event in ["users/get", "shop/orders/users/get"] {
        assert_eq!(client.send_async::<String>(event, (), DEADLINE).await.unwrap(), "users/get");
    }
}

#[tokio::test]
async fn two_libraries_with_one_name_stop_the_start_and_both_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        let library = folder.path().join(format!("{name}{}", std::env::consts::DLL_SUFFIX));
        std::fs::copy(&artifacts().await.events, library).unwrap();
    }
    let folder = folder.path().to_str().unwrap();
    fails_to_serve(&[folder, "--port", "0"], &["is there twice", "one.", "two."]).await;
}

#[tokio::test]
async fn files_that_are_no_library_stop_the_start() {
    let whole = std::fs::read(&artifacts().await.events).unwrap();
    for (content, words) in [
        (&b"hello"[..], "the file is no library"),
        (b"", "the file is empty"),
        (&whole[..whole.len() / 2], "damaged or cut short"),
        (&whole[..100], "damaged or cut short"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join(format!("bad{}", std::env::consts::DLL_SUFFIX));
        std::fs::write(&library, content).unwrap();
        fails_to_serve(&[folder.path().to_str().unwrap(), "--port", "0"], &[library.to_str().unwrap(), words]).await;
    }
}

#[tokio::test]
async fn a_port_in_use() {
    let other = TestServer::start().await;
    let port = other.addr.port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join(format!("any{}", std::env::consts::DLL_SUFFIX));
    std::fs::copy(&artifacts().await.events, library).unwrap();
    let words = [&*format!("cannot listen on 127.0.0.1:{port}: the port is in use"), "--port"];
    fails_to_serve(&[folder.path().to_str().unwrap(), "--port", &port], &words).await;
}

#[tokio::test]
async fn events_that_are_missing_empty_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fails_to_serve(&[&at("missing")], &["there is no", "missing", "aaw-server init"]).await;
    std::fs::create_dir(at("empty")).unwrap();
    fails_to_serve(&[&at("empty")], &["empty holds no events", "aaw-server init"]).await;
    std::fs::write(at("file"), "").unwrap();
    fails_to_serve(&[&at("file")], &["file is a file"]).await;
}

#[tokio::test]
async fn flags_that_make_no_sense_are_clap_s_matter() {
    for args in [&["--port", "x"][..], &["--allow-origin", "example.com"], &["--log", "loud"], &["--nonsense"]] {
        let mut command = Command::new(&artifacts().await.server);
        command.args(args);
        let mut server = Process::start(command);
        assert_eq!(server.exited().await.code(), Some(2), "{args:?}");
        assert!(server.stderr().contains(args[0]), "{}", server.stderr());
    }
}

#[tokio::test]
async fn each_flag_is_an_environment_variable_too() {
    let mut command = Command::new(&artifacts().await.server);
    command.env("AAW_EVENTS", events()).env("AAW_PORT", "0").env("AAW_HOST", "localhost").env("AAW_LOG", "json");
    command.env("AAW_ALLOW_ORIGIN", "https://a.example,https://b.example").env("AAW_WATCH", "1");
    command.env("CARGO_TARGET_DIR", target());
    let mut server = Process::start(command);
    let line = server.stderr_line(&["listening on ws://localhost:"]).await;
    let line: Value = serde_json::from_str(&line).expect("the log is JSON too");
    let message = line["message"].as_str().unwrap();
    let address = message.split(['(', ')']).nth(1).unwrap().parse().unwrap();
    for origin in ["https://a.example", "https://b.example"] {
        let handshake = aaw_tests::HttpRequest::handshake(address).header("Origin", origin);
        assert_eq!(handshake.send().await.status, 101);
    }
    aaw_tests::WireClient::connect_v1(address).await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    assert_eq!(server.json().await["event"], "ping");
}

#[tokio::test]
async fn the_log_as_json_is_one_line_a_call_with_exactly_these_fields() {
    let (mut server, url) = serve(&events(), &["--log", "json"]).await;
    let address = url.strip_prefix("ws://").unwrap().parse().unwrap();
    let mut client = aaw_tests::WireClient::connect_v1(address).await;
    client.call("echo", "{\"a\":\n[1]}").await.assert_eq("{\"a\":\n[1]}");
    let line = server.line().await;
    let beginning = format!(
        r#"{{"event":"echo","connection":"{}","client_key":"_key","kind":"answer","body":{{"a":[1]}},"result":{{"a":[1]}},"ms":"#,
        client.connection
    );
    let ms = line.strip_prefix(&beginning).unwrap_or_else(|| panic!("{line}"));
    assert!(ms.strip_suffix('}').unwrap().parse::<f64>().unwrap() >= 0.0);
    client.call("fails/with", r#"{"error":"no","data":7}"#).await;
    let failed = server.json().await;
    assert_eq!(failed["error"], json!({"error": "no", "code": "handler", "data": 7}));
    let fields: Vec<_> = failed.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["body", "client_key", "connection", "error", "event", "kind", "ms"]);
    client.send(r#"["note","plain"]"#).await;
    let plain = server.json().await;
    assert_eq!((&plain["kind"], &plain["result"], &plain["body"]), (&json!("plain"), &json!(null), &json!("plain")));
    client.call("aaw/login", r#"{"email":"a@b","password":"hunter2","token":"hunter2"}"#).await;
    let login = server.line().await;
    assert!(login.contains("[redacted]") && !login.contains("hunter2"), "{login}");
    // Written at once, while another call still runs; and that one when it is cancelled.
    client.send(r#"["gate/hold",{"gate":"x"},4]"#).await;
    client.exchange(r#"["ping",null,5]"#, r#"["ping",{"pong":true},5]"#).await;
    assert_eq!(server.json().await["event"], "ping");
    client.send(r#"["gate/hold",null,4,"cancel"]"#).await;
    assert_eq!(server.json().await["error"]["code"], "cancelled");
}

#[tokio::test]
async fn sigterm_and_sigint_stop_in_order() {
    for signal in ["TERM", "INT"] {
        let (mut server, url) = serve(&events(), &[]).await;
        let address = url.strip_prefix("ws://").unwrap().parse().unwrap();
        let mut client = aaw_tests::WireClient::connect_v1(address).await;
        let mut idle = aaw_tests::WireClient::connect_v1(address).await;
        client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
        idle.call("gate/wait", r#"{"gate":"x","came":1}"#).await;
        server.signal(signal).await;
        idle.expect_close(1001).await;
        // What runs finishes; here, by its caller's wish.
        client
            .exchange(r#"["ping",null,2]"#, r#"["ping",{"error":"The server is stopping","code":"busy"},2,"error"]"#)
            .await;
        client.send(r#"["gate/hold",null,1,"cancel"]"#).await;
        client.expect_close(1001).await;
        assert_eq!(server.exited().await.code(), Some(0), "{}", server.stderr());
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (mut server, url) = serve(&events(), &[]).await;
    let address = url.strip_prefix("ws://").unwrap().parse().unwrap();
    let mut client = aaw_tests::WireClient::connect_v1(address).await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    server.signal("TERM").await;
    server.stderr_line(&["stopping"]).await;
    client
        .exchange(r#"["ping",null,2]"#, r#"["ping",{"error":"The server is stopping","code":"busy"},2,"error"]"#)
        .await;
    server.signal("TERM").await;
    assert_eq!(server.exited().await.code(), Some(143));
}

// --- init, watch ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_package_that_init_has_written_passes_its_test_and_is_served() {
    let (_folder, package) = package("aaw-test-init").await;
    let mut test = cargo::cargo();
    test.current_dir(&package).args(["test", "--offline"]).env("CARGO_TARGET_DIR", target());
    let mut test = Process::start(test);
    assert!(test.exited().await.success(), "{}", test.stderr());
    assert!(test.stdout().contains("test result: ok. 2 passed"), "{}", test.stdout());
    let (_server, url) = serve(&package, &[]).await;
    let answer = aaw(&["call", &url, "hello", r#"{"name":"Ada"}"#], "").await;
    assert_eq!(answer, (r#"{"greeting":"Hello, Ada!"}"#.into(), String::new(), 0));
    // Never over what is there.
    let mut again = Command::new(&artifacts().await.server);
    again.arg("init").arg(&package);
    let mut again = Process::start(again);
    assert_eq!(again.exited().await.code(), Some(1));
    assert!(again.stderr().contains("nothing was written"), "{}", again.stderr());
}

#[tokio::test]
async fn a_package_that_does_not_compile_stops_the_start_and_cargo_says_why() {
    let (_folder, package) = package("aaw-test-broken").await;
    let path = package.to_str().unwrap().to_owned();
    std::fs::write(package.join("src/ping.rs"), "pub async fn handler() -> bool { 7 }").unwrap();
    fails_to_serve(&[&path, "--port", "0"], &["src/ping.rs:1", "mismatched types", "was not built"]).await;
    // A signature that no handler has, a name that no event can have.
    std::fs::write(package.join("src/ping.rs"), "pub fn handler() -> bool { true }").unwrap();
    fails_to_serve(&[&path, "--port", "0"], &["src/ping.rs", "was not built"]).await;
    std::fs::write(package.join("src/ping.rs"), "pub async fn handler() {}").unwrap();
    std::fs::write(package.join("src/a b.rs"), "pub async fn handler() {}").unwrap();
    fails_to_serve(&[&path, "--port", "0"], &["a b.rs", "was not built"]).await;
}

#[tokio::test]
async fn a_saved_file_is_served_without_losing_a_call() {
    let (_folder, package) = package("aaw-test-watch").await;
    let ping = package.join("src/ping.rs");
    let answers = |n: i32| format!("pub async fn handler() -> i32 {{ {n} }}");
    std::fs::write(&ping, answers(1)).unwrap();
    let (server, url) = serve(&package, &["--watch"]).await;

    // Callers that never stop; each call is answered, by the old or by the new.
    let (news, mut seen) = tokio::sync::watch::channel(0);
    let mut callers = Vec::new();
    for _ in 0..4 {
        let client = connect(&url).await.unwrap();
        let news = news.clone();
        callers.push(tokio::spawn(async move {
            let mut last = 0;
            while last < 3 {
                let answer = client.send_async::<i32>("ping", (), DEADLINE).await.expect("no call is lost");
                assert!(answer >= last, "the old events came back");
                last = answer;
                news.send_if_modified(|latest| last > std::mem::replace(latest, last.max(*latest)));
            }
        }));
    }
    let mut served = async |expected: i32| {
        let waiting = seen.wait_for(|latest| *latest == expected);
        tokio::time::timeout(SLOWLY, waiting).await.map(|_| ())
    };
    served(1).await.expect("the first");
    std::fs::write(&ping, answers(2)).unwrap();
    served(2).await.unwrap_or_else(|_| panic!("not served anew:\n{}", server.stderr()));

    // One that does not compile is shown, and the old ones go on.
    std::fs::write(&ping, "pub async fn handler() -> i32 { nonsense }").unwrap();
    server.stderr_line(&["the old events go on"]).await;
    server.stderr_line(&["src/ping.rs"]).await;
    let client = connect(&url).await.unwrap();
    assert_eq!(client.send_async::<i32>("ping", (), DEADLINE).await.unwrap(), 2);

    // A new file is a new event, also in a new folder; and a removed one is none.
    std::fs::create_dir(package.join("src/deep")).unwrap();
    std::fs::write(package.join("src/deep/new.rs"), answers(7)).unwrap();
    std::fs::remove_file(package.join("src/hello.rs")).unwrap();
    std::fs::write(&ping, answers(3)).unwrap();
    served(3).await.unwrap_or_else(|_| panic!("not served anew:\n{}", server.stderr()));
    for caller in callers {
        within("the callers to end", || "nothing".into(), caller).await.expect("no call is lost");
    }
    assert_eq!(client.send_async::<i32>("deep/new", (), DEADLINE).await.unwrap(), 7);
    assert!(client.send_async::<Value>("hello", (), DEADLINE).await.is_err());
}

/// Cargo may have to build something, on a machine that has other work.
const SLOWLY: Duration = Duration::from_secs(300);

// --- aaw --------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn exit_codes_tell_a_refusal_from_a_failed_connection_from_a_time_out() {
    let mut server = TestServer::start().await;
    let url = server.url();
    assert_eq!(aaw(&["call", &url, "echo", "7"], "").await, ("7".into(), String::new(), 0));
    let (out, error, code) = aaw(&["call", &url, "nope"], "").await;
    assert_eq!((out.as_str(), code), ("", 1));
    let refusal = json!({"error": "Unknown event: nope", "code": "unknown_event"});
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
async fn a_body_can_come_from_standard_input() {
    let server = TestServer::start().await;
    let (out, error, code) = aaw(&["call", &server.url(), "echo", "-"], r#"{"a":"ü"}"#).await;
    assert_eq!((out.as_str(), error.as_str(), code), (r#"{"a":"ü"}"#, "", 0));
}

#[tokio::test]
async fn what_is_sent_has_arrived_when_the_command_ends() {
    let server = TestServer::start().await;
    assert_eq!(aaw(&["send", &server.url(), "note", "7"], "").await, (String::new(), String::new(), 0));
    server.v1().await.call("notes", "{}").await.assert_eq("[7]");
}

#[tokio::test]
async fn listening_prints_one_line_of_json_a_push() {
    let server = TestServer::start().await;
    let mut command = Command::new(&artifacts().await.cli);
    command.args(["listen", &server.url(), "broadcast"]);
    let mut listener = Process::start(command);
    aaw_tests::until("it to be connected", || server.handle.connections() == 1).await;
    let mut sender = server.v1().await;
    // What it hears of once it is welcome, and nothing of other events.
    sender.send(r#"["broadcasts/others",{"m":"ü"}]"#).await;
    assert_eq!(listener.line().await, r#"{"event":"broadcast","data":{"m":"ü"}}"#);
    sender.send(r#"["broadcasts/others",2]"#).await;
    assert_eq!(listener.json().await, json!({"event": "broadcast", "data": 2}));
    listener.signal("INT").await;
    assert_eq!(listener.exited().await.code(), Some(130));
}
