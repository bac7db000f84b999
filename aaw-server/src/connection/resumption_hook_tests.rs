//! `_away` and `_back`, when the socket that is to continue a connection is lost.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aaw_event::export::{AWAY, BACK, HandlerEntry, NoServices, PackageSymbol, no_services, sync_services};
use aaw_protocol::Dialect;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::resumption_state::AwaitedGrant;
use super::tests::{frame, new_socket, serve_with, text};
use crate::hub::{Command, Hub, Peer, ResumeRequest};
use crate::registry::Registry;

/// The hooks that have run, of all connections.
static RUN: LazyLock<watch::Sender<Vec<(String, String)>>> = LazyLock::new(watch::Sender::default);

/// The handlers, as an author writes them.
mod hooks {
    use aaw_event::prelude::*;

    pub(super) fn away(away: AwayInfo, services: Services) {
        super::RUN.send_modify(|all| all.push((services.ws.id(), format!("away: {}", away.reason))));
    }

    pub(super) fn back(_: BackInfo, services: Services) {
        super::RUN.send_modify(|all| all.push((services.ws.id(), "back".to_owned())));
    }
}

static MODULE: PackageSymbol<NoServices> = PackageSymbol::new(
    "resumption-hook-tests",
    true,
    sync_services(no_services),
    const { &[HandlerEntry::hook2(AWAY, hooks::away), HandlerEntry::hook2(BACK, hooks::back)] },
);

/// A connection that can be resumed.
struct Connection {
    hub: Arc<Hub>,
    peer: Arc<Peer>,
    _client: DuplexStream,
    _served: JoinHandle<()>,
}

impl Connection {
    async fn open() -> Self {
        let hub = Arc::<Hub>::default();
        let registry = Registry::for_test(MODULE.module()).await;
        let (server, mut client) = duplex(1 << 16);
        let served = serve_with(&hub, registry, Dialect::V1, server);
        let hello = r#"["aaw/hello",{"resumption":{"key":"0123456789abcdef0123456789abcdef"}}]"#;
        client.write_all(&text(hello)).await.expect("the server reads");
        let (_, welcome) = frame(&mut client).await;
        let welcome: serde_json::Value = serde_json::from_slice(&welcome).expect("JSON");
        let id = welcome[1]["connection"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        let peer = hub.peer(id).expect("it is open");
        Self { hub, peer, _client: client, _served: served }
    }

    /// Asks for another socket, as the task of a new one does.
    fn request(&self) -> AwaitedGrant {
        let (sender, reply) = oneshot::channel();
        let request =
            ResumeRequest { received: 0, attempt: None, token: None, info: None, hook_number: None, reply: sender };
        self.peer.mailbox.post(Command::Resume(Box::new(request)));
        AwaitedGrant { peer: Arc::clone(&self.peer), reply }
    }

    /// Continues the connection on another socket. Returns the client's end of it.
    async fn resume(&self) -> DuplexStream {
        let grant_number = (&mut self.request().reply).await.expect("an answer").expect("a grant");
        let (socket, mut client) = new_socket(grant_number);
        self.peer.mailbox.post(Command::TakeSocket(Box::new(socket)));
        assert!(String::from_utf8_lossy(&frame(&mut client).await.1).contains(r#""resumed":true"#));
        client
    }

    /// Returns the hooks that have run, once there are `least`.
    async fn run(&self, least: usize) -> Vec<String> {
        let id = self.peer.id().to_string();
        let of_this = |all: &Vec<(String, String)>| -> Vec<String> {
            all.iter().filter(|(of, _)| *of == id).map(|(_, hook)| hook.clone()).collect()
        };
        let mut all = RUN.subscribe();
        // The clock advances when nothing else happens.
        let run = tokio::time::timeout(Duration::from_secs(1), all.wait_for(|all| of_this(all).len() >= least));
        of_this(&run.await.expect("a hook runs").expect("the sender is static"))
    }
}

const LOST: &str = "away: the socket on which it was resumed has ended";

#[tokio::test(start_paused = true)]
async fn a_socket_that_replaces_another_and_does_not_come_leaves_the_connection_away() {
    let connection = Connection::open().await;
    let request = connection.request();
    // The answer is there, and is not received.
    while connection.hub.resumable.away() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(connection.run(0).await.is_empty());
    drop(request);
    assert_eq!(connection.run(1).await, [LOST]);
    let _client = connection.resume().await;
    assert_eq!(connection.run(2).await, [LOST, "back"]);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_has_gone_before_the_answer_leaves_the_connection_as_it_is() {
    let connection = Connection::open().await;
    drop(connection.request());
    let _client = connection.resume().await;
    assert!(connection.run(0).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_loss_of_a_grant_is_no_loss_of_a_later_socket() {
    let connection = Connection::open().await;
    let first = connection.request();
    while connection.hub.resumable.away() == 0 {
        tokio::task::yield_now().await;
    }
    let mut client = connection.resume().await;
    drop(first);
    client.write_all(&text(r#"["x",1,1]"#)).await.expect("the server reads");
    assert!(frame(&mut client).await.1.ends_with(br#"1,"error"]"#));
    assert!(connection.run(0).await.is_empty());
}
