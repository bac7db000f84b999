//! The settings file of a running server: what changes with it, and what needs a restart.

use std::net::SocketAddr;
use std::path::PathBuf;

use aaw_server::Config;
use aaw_tests::cargo::artifacts;
use aaw_tests::tls::Authority;
use aaw_tests::{HttpRequest, Process, TestServer, WireClient};
use tokio::process::Command;

use crate::binary::{events, listening};
use crate::tls::status_of;

/// A running server with a settings file.
struct Served {
    server: Process,
    address: SocketAddr,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Served {
    async fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("aaw.toml");
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new(&artifacts().await.server);
        command.arg(events().await).args(["--port", "0", "--config"]).arg(&file);
        let server = Process::start(command);
        let address = listening(&server).await.strip_prefix("ws://").unwrap().parse().unwrap();
        Self { server, address, file, _folder: folder }
    }

    /// Writes the file beside its place first, so that no part of it is read.
    fn write(&self, settings: &str) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, settings).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }

    async fn handshake(&self, origin: &str) -> u16 {
        HttpRequest::handshake(self.address).header("Origin", origin).send().await.status
    }
}

const ORIGIN: &str = "https://app.example";

#[tokio::test]
async fn sighup_applies_what_can_change_and_names_what_cannot() {
    let served = Served::start("max_connections = 100\nmax_message_bytes = '1 MiB'\nport = 1").await;
    let Served { server, .. } = &served;
    let mut before = WireClient::connect_v1(served.address).await;
    assert_eq!(served.handshake(ORIGIN).await, 403);
    // The flag --port has precedence, so its change is none.
    served.write(&format!(
        "max_connections = 200\nmax_message_bytes = '2 MiB'\nport = 2\nallow_origins = ['{ORIGIN}']\nlog_level = 'debug'"
    ));
    server.signal("HUP").await;
    let file = served.file.display();
    server.stderr_line(&[r#"changed the setting max_connections from "100" to "200""#, &format!("{file}:1:19")]).await;
    server.stderr_line(&["restart is needed", r#"max_message_bytes from "1 MiB" to "2 MiB""#, ":2:21"]).await;
    server.stderr_line(&["reloaded the settings from", &file.to_string()]).await;
    assert!(!server.stderr().contains("the setting port"), "{}", server.stderr());
    assert_eq!(served.handshake(ORIGIN).await, 101);
    server.stderr_line(&["DEBUG", "connected"]).await;
    before.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);

    // A broken file changes nothing, not even what is valid in it.
    served.write("allow_origins = []\nmax_connections = 'many'");
    server.signal("HUP").await;
    server.stderr_line(&["ERROR", "keeping the previous settings", ":2:19: max_connections"]).await;
    assert_eq!(served.handshake(ORIGIN).await, 101);

    // What can change may contradict what cannot.
    served.write("max_unsent_response_bytes = '8 MiB'\nmax_held_bytes = '16 MiB'\nallow_origins = []");
    server.signal("HUP").await;
    server
        .stderr_line(&[
            "keeping the previous settings",
            "max_held_bytes is 4 MiB",
            "max_unsent_response_bytes is 8 MiB",
        ])
        .await;
    assert_eq!(served.handshake(ORIGIN).await, 101);
}

#[tokio::test]
async fn sighup_applies_the_rates_of_addresses_and_the_limits_of_log_ins() {
    let users = tempfile::tempdir().unwrap();
    let auth = |rest: &str| format!("[auth]\nfile = '{}'\n{rest}", users.path().join("users.sqlite").display());
    // Hashes that take next to no time.
    let cheap = "password_memory_kib = 64\npassword_iterations = 1\n";
    let served = Served::start(&auth(cheap)).await;
    served.server.stderr_line(&["WARN", "the passwords of stolen hashes are easy to guess", "memory_kib is 64"]).await;
    let mut client = WireClient::connect_v1(served.address).await;
    let body = |name: &str, password: &str| format!(r#"{{"email":"{name}@example.org","password":"{password}"}}"#);
    let registered = client.call("aaw/register", &body("ada", "correct horse")).await.value();
    assert_eq!(registered["user"]["email"], "ada@example.org");
    for _ in 0..4 {
        let failed = client.call("aaw/login", &body("ada", "wrong horse")).await.value();
        assert_eq!(failed["code"], "not_authenticated");
    }

    let rates = "contention_delay = '0s'\ncall_rate_per_address = 10\n";
    let limits = "allow_registration = false\nfailed_logins_per_email_and_ip = '5 then 1 per 1h'\n";
    served.write(&format!("{rates}{}", auth(&format!("{limits}password_memory_kib = 128\npassword_iterations = 1\n"))));
    served.server.signal("HUP").await;
    for key in ["contention_delay", "call_rate_per_address", "auth.allow_registration"] {
        served.server.stderr_line(&["changed the setting", key]).await;
    }
    served.server.stderr_line(&["restart is needed", "auth.password_memory_kib from \"64\" to \"128\""]).await;
    served.server.stderr_line(&["reloaded the settings"]).await;
    let closed = client.call("aaw/register", &body("eve", "correct horse")).await.value();
    assert_eq!(closed["code"], "registration_closed");
    // One of five may still fail, although the connection is older than the limit.
    for expected in ["not_authenticated", "busy"] {
        assert_eq!(client.call("aaw/login", &body("ada", "wrong horse")).await.value()["code"], expected);
    }
    let ping = HttpRequest::post(served.address, "/events/ping", "null");
    let responses = futures_util::future::join_all((0..40).map(|_| ping.send())).await;
    assert!(responses.iter().any(|response| response.status == 429), "{responses:?}");

    // And back.
    served.write(&auth(cheap));
    served.server.signal("HUP").await;
    served.server.stderr_line(&["changed the setting auth.allow_registration from \"off\" to \"open\""]).await;
    let responses = futures_util::future::join_all((0..40).map(|_| ping.send())).await;
    assert!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    let logged_in = client.call("aaw/login", &body("ada", "correct horse")).await.value();
    assert_eq!(logged_in["user"]["email"], "ada@example.org");
    assert!(client.call("aaw/register", &body("eve", "correct horse")).await.value()["user"].is_object());
}

#[tokio::test]
async fn passwords_are_hashed_with_the_parameters_of_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("users.sqlite");
    let auth = format!("[auth]\nfile = '{}'\npassword_memory_kib = 96\npassword_iterations = 3\n", store.display());
    let served = Served::start(&auth).await;
    let mut client = WireClient::connect_v1(served.address).await;
    let ada = r#"{"email":"ada@example.org","password":"correct horse"}"#;
    assert!(client.call("aaw/register", ada).await.value()["user"].is_object());
    let mut add = Command::new(&artifacts().await.server);
    add.args(["user", "add", "eve@example.org", "--config"]).arg(&served.file).env("AAW_PASSWORD", "correct horse");
    assert!(Process::start(add).exited().await.success());
    // Beside the file is its log, until SQLite has written it back.
    let mut stored = String::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        stored.push_str(&String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()));
    }
    assert!(stored.matches("$argon2id$v=19$m=96,t=3,p=1$").count() >= 2, "the hashes of both users");
    assert!(!stored.contains("m=19456"));
}

#[tokio::test]
async fn a_reload_keeps_the_names_of_the_certificate_and_checks_that_of_the_next_start() {
    let authority = Authority::new();
    authority.write(&["localhost", "api.example"]);
    let (cert, key) = (authority.certificate(), authority.key());
    let settings = |rest: &str| format!("[tls]\ncert = '{}'\nkey = '{}'\n{rest}", cert.display(), key.display());
    let served = Served::start(&settings("")).await;
    assert_eq!(status_of(&authority, served.address, "api.example").await, "200");
    served.write(&format!("allow_hosts = ['other.example']\n{}", settings("")));
    served.server.signal("HUP").await;
    served.server.stderr_line(&["changed the setting allow_hosts"]).await;
    for host in ["api.example", "other.example"] {
        assert_eq!(status_of(&authority, served.address, host).await, "200", "{host}");
    }

    served.write("allow_hosts = []\n[tls]\ncert = '/nonexistent/cert.pem'\nkey = '/nonexistent/key.pem'");
    served.server.signal("HUP").await;
    served
        .server
        .stderr_line(&["keeping the previous settings", "aaw.toml:3:8: tls.cert: cannot read /nonexistent"])
        .await;
    assert_eq!(status_of(&authority, served.address, "other.example").await, "200");
}

#[tokio::test]
async fn a_changed_file_is_applied_without_a_signal() {
    let served = Served::start("").await;
    assert_eq!(served.handshake(ORIGIN).await, 403);
    served.write(&format!("allow_origins = ['{ORIGIN}']"));
    served.server.stderr_line(&["changed the setting allow_origins"]).await;
    assert_eq!(served.handshake(ORIGIN).await, 101);
    std::fs::remove_file(&served.file).unwrap();
    served.server.stderr_line(&["keeping the previous settings: cannot read the settings file"]).await;
    assert_eq!(served.handshake(ORIGIN).await, 101);
}

#[tokio::test]
async fn a_shutdown_has_the_changed_time() {
    let mut served = Served::start("shutdown_timeout = '1h'\nstream_shutdown_timeout = '30m'").await;
    let mut client = WireClient::connect_v1(served.address).await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    served.write("shutdown_timeout = '1s'\nstream_shutdown_timeout = '0s'");
    served.server.signal("HUP").await;
    served.server.stderr_line(&["reloaded the settings"]).await;
    served.server.signal("TERM").await;
    // Within the deadline of the tests, which is far below an hour.
    served.server.exited().await;
}

#[tokio::test]
async fn without_a_file_sighup_ends_the_program_as_when_its_terminal_closes() {
    let mut command = Command::new(&artifacts().await.server);
    command.arg(events().await).args(["--port", "0"]);
    let mut server = Process::start(command);
    listening(&server).await;
    server.signal("HUP").await;
    assert_eq!(server.exited().await.code(), None, "ended by the signal");
}

// --- The library -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn connections_that_open_after_an_update_have_the_new_limits() {
    let server = TestServer::start().await;
    let config = || Config { port: 0, ..Config::default() };
    let mut before = server.v1().await;
    let update = server.handle.update_config(Config { max_client_calls: 7, max_connections: 1, ..config() });
    assert_eq!(update.applied, ["max_connections", "max_client_calls"]);
    assert_eq!((server.handle.config().max_connections, server.handle.config().max_client_calls), (1, 7));
    assert_eq!(HttpRequest::handshake(server.addr).send().await.status, 503);
    before.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);

    // The origin of a page is checked with the origins of this moment, also on a connection that is open.
    let update = server.handle.update_config(Config { allow_origins: vec![ORIGIN.parse().unwrap()], ..config() });
    assert_eq!(update.applied, ["allow_origins", "max_connections", "max_client_calls"]);
    assert_eq!(HttpRequest::handshake(server.addr).header("Origin", ORIGIN).send().await.status, 101);
}
