//! A server on a free port.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aaw_server::{Config, Events, Handle, Server};
use aaw_test_events::_services::App;
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::{WireClient, within};

/// A server in this process, with the test events unless a test passes others.
pub struct TestServer {
    /// The address that it listens on.
    pub addr: SocketAddr,
    /// The library's handle.
    pub handle: Handle,
    /// The records that the `on_call` hook has received.
    pub calls: Arc<CallRecords>,
    /// The services of the test events.
    pub app: App,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<()>>,
}

/// Returns the configuration of the tests: the defaults, on a free port, and connections can be resumed.
pub fn config() -> Config {
    Config { port: 0, resumption_window: Duration::from_secs(60), ..Config::default() }
}

impl TestServer {
    /// Starts with the default configuration.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts with the configuration that `change` has modified.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let app = App::default();
        let events = aaw_test_events::module_with(app.clone());
        Self { app, ..Self::start_with_events(vec![events.into()], change).await }
    }

    /// Starts with `events` instead of the test events.
    ///
    /// # Panics
    /// If the server cannot start.
    pub async fn start_with_events(events: Vec<Events>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        let calls = Arc::new(CallRecords::default());
        let records = Arc::clone(&calls);
        let mut server = Server::new(config).on_call(move |call| records.add(serde_json::to_value(call)));
        for events in events {
            server = server.events(events);
        }
        let bound = server.bind().await.unwrap_or_else(|error| panic!("the server cannot start: {error}"));
        let (addr, handle) = (bound.local_addr(), bound.handle());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(bound.serve(async {
            // A `TestServer` that is dropped without `stop` serves until its runtime ends.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        Self { addr, handle, calls, app: App::default(), stop: Some(stop), served: Some(served) }
    }

    /// Returns the URL that clients connect to.
    pub fn url(&self) -> String {
        format!("ws://{}", self.addr)
    }

    /// Connects a client that speaks the classic dialect, with the sub-protocol `_key`.
    pub async fn classic(&self) -> WireClient {
        WireClient::connect(self.addr, Some("_key")).await
    }

    /// Connects a client that speaks `aaw.v1`, and waits for the welcome.
    pub async fn v1(&self) -> WireClient {
        WireClient::connect_v1(self.addr).await
    }

    /// [`v1`](Self::v1), from the address `127.0.0.HOST`, which the limits take for another client.
    pub async fn v1_from(&self, host: u8) -> WireClient {
        WireClient::connect_v1_from(Ipv4Addr::new(127, 0, 0, host), self.addr).await
    }

    /// Starts the graceful shutdown, without waiting for its end.
    pub fn stop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    /// Waits until [`serve`](aaw_server::BoundServer::serve) has returned.
    ///
    /// # Panics
    /// If it panicked, or does not return.
    pub async fn stopped(&mut self) {
        if let Some(served) = self.served.take() {
            let connections = || format!("{} connections", self.handle.connections());
            within("serve() to return", connections, served).await.expect("serve() does not panic");
        }
    }

    /// Checks that the server still responds, to `other` and to a new connection.
    pub async fn expect_alive(&self, other: &mut WireClient) {
        other.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
        let mut new = self.classic().await;
        new.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
        new.close().await;
    }
}

/// The call records that the `on_call` hook has received, as JSON, in order.
#[derive(Debug, Default)]
pub struct CallRecords {
    records: watch::Sender<Vec<Value>>,
}

impl CallRecords {
    fn add(&self, record: serde_json::Result<Value>) {
        let record = record.unwrap_or_else(|error| Value::String(format!("a record that is not JSON: {error}")));
        self.records.send_modify(|records| records.push(record));
    }

    /// Returns all records so far.
    pub fn all(&self) -> Vec<Value> {
        self.records.borrow().clone()
    }

    /// Waits for the first record of `event`, and returns it.
    pub async fn first_of(&self, event: &str) -> Value {
        let first = |records: &[Value]| records.iter().find(|record| record["event"] == event).cloned();
        let mut records = self.records.subscribe();
        let find =
            async { records.wait_for(|records| first(records).is_some()).await.ok().and_then(|all| first(&all)) };
        let found = within(&format!("a record of {event}"), || format!("{:#?}", self.all()), find).await;
        found.expect("the sender of the records outlives this call")
    }
}
