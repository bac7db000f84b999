//! A server on a free port.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use aaw_server::{Config, Events, Handle, Server};
use aaw_test_events::_services::App;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::{Client, within};

/// A server that serves the test events, unless it is told others.
pub struct TestServer {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The library's handle.
    pub handle: Handle,
    /// What the hook was told.
    pub calls: Arc<Calls>,
    /// The services of the linked events.
    pub app: App,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<()>>,
}

/// The config of the tests: the defaults, on a free port.
pub fn config() -> Config {
    Config { port: 0, ..Config::default() }
}

impl TestServer {
    /// With the defaults.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With a config that is changed.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let app = App::default();
        let events = aaw_test_events::module_with(app.clone());
        Self { app, ..Self::serving(vec![events.into()], change).await }
    }

    /// With other events than the linked ones.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn serving(events: Vec<Events>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        let calls = Arc::new(Calls::default());
        let told = Arc::clone(&calls);
        let mut server = Server::new(config).on_call(move |call| told.add(serde_json::to_value(call)));
        for events in events {
            server = server.events(events);
        }
        let bound = server.bind().await.unwrap_or_else(|error| panic!("the server does not start: {error}"));
        let (addr, handle) = (bound.local_addr(), bound.handle());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(bound.serve(async {
            // A server that is dropped ends with its runtime.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        Self { addr, handle, calls, app: App::default(), stop: Some(stop), served: Some(served) }
    }

    /// Where clients connect to.
    pub fn url(&self) -> String {
        format!("ws://{}", self.addr)
    }

    /// A client that speaks the original's dialect, as `_key`.
    pub async fn classic(&self) -> Client {
        Client::offering(self.addr, Some("_key")).await
    }

    /// A client that speaks `aaw.v1`, and has been welcomed.
    pub async fn v1(&self) -> Client {
        Client::v1(self.addr).await
    }

    /// Tells it to stop. It is not waited for.
    pub fn stop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    /// Waits until [`serve`](aaw_server::BoundServer::serve) has returned.
    ///
    /// # Panics
    /// When it panicked, or does not return.
    pub async fn stopped(&mut self) {
        if let Some(served) = self.served.take() {
            let connections = || format!("{} connections", self.handle.connections());
            within("serve() to return", connections, served).await.expect("serve() does not panic");
        }
    }

    /// The server and everybody else go on: `other` is answered, and so is one that comes now.
    pub async fn goes_on(&self, other: &mut Client) {
        other.asks("ping", "null").await.is(r#"{"pong":true}"#);
        let mut new = self.classic().await;
        new.asks("ping", "null").await.is(r#"{"pong":true}"#);
        new.close().await;
    }
}

/// What the hook was told, as JSON, in order.
#[derive(Debug, Default)]
pub struct Calls {
    all: Mutex<Vec<Value>>,
    more: Notify,
}

impl Calls {
    fn add(&self, call: serde_json::Result<Value>) {
        let call = call.unwrap_or_else(|error| Value::String(format!("a record that is no JSON: {error}")));
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        self.more.notify_waiters();
    }

    /// All so far.
    pub fn all(&self) -> Vec<Value> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first of this event, once it is there.
    pub async fn of(&self, event: &str) -> Value {
        let find = async {
            loop {
                let more = self.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if let Some(found) = self.all().into_iter().find(|call| call["event"] == event) {
                    return found;
                }
                more.await;
            }
        };
        within(&format!("a record of {event}"), || format!("{:#?}", self.all()), find).await
    }
}
