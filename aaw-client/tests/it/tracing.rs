//! What the client gives to `tracing`, against a scripted server.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::sync::Once;
use std::time::Duration;

use aaw_client::{ConnectionEvent, HandlerError};
use serde_json::Value;
use tracing::Level;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::scripted::{ScriptedServer, eager, pair, soon};

const LONG: Duration = Duration::from_secs(10);

thread_local! {
    /// What this thread logs, up to the level. `None` while no [`Captured`] lives on it.
    static LOGGED: RefCell<Option<(Level, Vec<u8>)>> = const { RefCell::new(None) };
}

struct ThreadLogWriter;

impl io::Write for ThreadLogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.as_mut().map(|(_, text)| text.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Captures what is logged on this thread, which is all logging in a test with a current-thread runtime.
///
/// All tests share one subscriber: tracing caches for the whole process which call sites are enabled, and loses lines
/// while subscribers are added and removed in parallel.
struct Captured(PhantomData<*const ()>);

impl Captured {
    /// Captures until the returned value is dropped.
    fn start(level: Level) -> Self {
        static SUBSCRIBE: Once = Once::new();
        SUBSCRIBE.call_once(|| {
            let level = || LOGGED.try_with(|logged| logged.borrow().as_ref().map(|(level, _)| *level)).ok().flatten();
            let filter = dynamic_filter_fn(move |of, _| level().is_some_and(|level| *of.level() <= level));
            let lines = fmt::layer().with_ansi(false).without_time().with_writer(|| ThreadLogWriter);
            tracing_subscriber::registry().with(filter).with(lines).init();
        });
        LOGGED.set(Some((level, Vec::new())));
        Self(PhantomData)
    }

    fn text(&self) -> String {
        LOGGED.with_borrow(|logged| String::from_utf8(logged.as_ref().unwrap().1.clone()).unwrap())
    }

    /// The first line that contains all of `words`.
    #[track_caller]
    fn line(&self, words: &[&str]) -> String {
        let text = self.text();
        let line = text.lines().find(|line| words.iter().all(|word| line.contains(word)));
        line.unwrap_or_else(|| panic!("no {words:?} in:\n{text}")).to_owned()
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        LOGGED.set(None);
    }
}

#[tokio::test]
async fn the_frames_of_a_connection_are_in_its_span_and_without_secrets() {
    let log = Captured::start(Level::TRACE);
    let (server, client, mut connection) = pair().await;
    let script = async {
        connection.read().await;
        connection.send(r#"["echo",{"a":1},1]"#).await;
        connection.read().await;
        connection.send(r#"["aaw/login",{"token":"t1-secret","user":{"id":7,"email":"ada@example.org"}},2]"#).await;
    };
    let calls = async {
        client.send_async::<Value>("echo", 7, LONG).await.unwrap();
        client.login("ada@example.org", "p-secret").await.unwrap();
    };
    tokio::join!(calls, script);
    let of_connection = format!(
        "connection{{server.address=\"127.0.0.1\" server.port={} network.protocol.name=\"websocket\"",
        server.port()
    );
    for words in [
        // The hello precedes the server's id of the connection.
        &["TRACE", "aaw_client::frames: sent [\"aaw/hello\",{\"resumption\":{\"key\":\"[redacted]\"}}] bytes=71"][..],
        &["TRACE", "aaw.connection.id=c1}: aaw_client::frames: sent [\"echo\",7,1] bytes=12"],
        &["TRACE", "aaw.connection.id=c1}: aaw_client::frames: received [\"echo\",{\"a\":1},1] bytes=18"],
        &["sent [\"aaw/login\",", "ada@example.org", "[redacted]"],
        &["received [\"aaw/login\",", "ada@example.org", "[redacted]"],
        &["DEBUG", "aaw.connection.id=c1}", "open"],
    ] {
        assert!(log.line(words).contains(&of_connection));
    }
    assert!(!log.text().contains("-secret"), "{}", log.text());
    connection.close(4000, "enough").await;
    // The next connection has a span of its own.
    let _next = server.accept().await;
    log.line(&["DEBUG", &of_connection, "aaw.connection.id=c1}", "close", "enough"]);
}

#[tokio::test]
async fn the_end_of_each_call_is_logged_in_the_span_of_its_caller() {
    let log = Captured::start(Level::DEBUG);
    let (_server, client, mut connection) = pair().await;
    let script = async {
        connection.read().await;
        connection.send(r#"["e",1,1]"#).await;
        connection.read().await;
        connection.send(r#"["e",{"error":"no","code":"mine"},2,"error"]"#).await;
        connection.read().await;
        connection.send(r#"["count",1,3,"item"]"#).await;
        connection.send(r#"["count",null,3,"end"]"#).await;
        connection.read().await
    };
    let calls = async {
        let caller = tracing::info_span!("caller");
        tracing::Instrument::instrument(client.send_async::<u8>("e", (), LONG), caller).await.unwrap();
        client.send_async::<u8>("e", (), LONG).await.unwrap_err();
        let mut items = client.stream::<u8>("count", ());
        while items.next().await.is_some() {}
        client.send_event("announce", ()).await.unwrap();
        drop(client.stream::<u8>("dropped", ()));
    };
    tokio::join!(calls, script);
    log.line(&["DEBUG caller: aaw_client::call: completed", "rpc.method=\"e\"", "ms="]);
    log.line(&["DEBUG aaw_client::call: failed: ", "no", "rpc.method=\"e\""]);
    log.line(&["DEBUG aaw_client::call: completed", "rpc.method=\"count\""]);
    log.line(&["DEBUG aaw_client::call: sent without a response", "rpc.method=\"announce\""]);
    log.line(&["DEBUG aaw_client::call: cancelled", "rpc.method=\"dropped\""]);
    assert_eq!(log.text().lines().filter(|line| line.contains("aaw_client::call:")).count(), 5, "{}", log.text());
}

#[tokio::test]
async fn the_handler_of_a_client_call_runs_in_a_span() {
    let log = Captured::start(Level::DEBUG);
    let (_server, client, mut connection) = pair().await;
    let _registration = client.handle("confirm", |_: Value| async {
        tokio::task::yield_now().await;
        tracing::info!("asked");
        Ok::<_, HandlerError>(true)
    });
    connection.send(r#"["confirm",{},-1]"#).await;
    assert_eq!(connection.read().await, r#"["confirm",true,-1]"#);
    let line = log.line(&["asked"]);
    assert!(line.contains("aaw.connection.id=c1}:call{otel.kind=\"server\" otel.name=\"confirm\""), "{line}");
}

#[tokio::test]
async fn attempts_that_fail_alike_are_one_warning_without_the_token_of_the_url() {
    let log = Captured::start(Level::TRACE);
    let url = format!("{}/?token=hunter2", ScriptedServer::start().await.url());
    let client = aaw_client::connect_lazy_with(&url, eager()).unwrap();
    let mut events = client.connection_events();
    for _ in 0..3 {
        assert!(matches!(soon("a failed attempt", events.next()).await, Some(ConnectionEvent::Error(_))));
    }
    let lines = |level: &str| {
        log.text().lines().filter(|line| line.contains(level) && line.contains("cannot reach ws://")).count()
    };
    assert!(lines("WARN") == 1 && lines("DEBUG") >= 2, "{}", log.text());
    let server = ScriptedServer::start().await;
    let url = format!("{}/?token=hunter2", server.url());
    let (client, connection) = tokio::join!(aaw_client::connect_with(&url, eager()), server.accept());
    drop((connection, server));
    let mut events = client.unwrap().connection_events();
    while soon("the end", events.next()).await.is_some() {}
    assert!(log.text().contains("/?token=[redacted]") && !log.text().contains("hunter2"), "{}", log.text());
}
