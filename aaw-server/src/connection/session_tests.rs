//! What the task of a connection does when the session or the generation of a running call ends.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aaw_event::OpenInfo;
use aaw_event::export::{HandlerEntry, NoServices, PackageSymbol, no_services, sync_services};
use aaw_protocol::Dialect;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::{ClientSocket, NewConnection};
use crate::auth::{Auth, Identity, NewSession, Service, StartedSession, Store, StoreFuture, TokenHash};
use crate::config::Config;
use crate::dispatch::Dispatch;
use crate::generation::Generation;
use crate::hub::{EventCaller, HostServices, Hub, Mailbox};
use crate::registry::Registry;

/// The handlers, as an author writes them.
mod events {
    use aaw_event::prelude::*;

    pub(super) async fn log_in(_: Empty, services: Services) -> Result<()> {
        services.authenticate(Identity::new("1", "a@b.c")).await?;
        Ok(())
    }

    /// Ends its generation in its first poll, and then streams without end.
    pub(super) fn stream_of_replaced(_: Empty, _: Services) -> impl Stream<Item = Result<u32>> {
        try_stream! {
            super::END_GENERATION.get().expect("it is set")();
            for number in 1.. {
                yield number;
            }
        }
    }

    /// Ends the session that authorized it in its first poll, and then streams without end.
    pub(super) fn stream_after_log_in(_: Empty, services: Services) -> impl Stream<Item = Result<u32>> {
        try_stream! {
            services.authenticate(Identity::new("1", "a@b.c")).await?;
            for number in 1.. {
                yield number;
            }
        }
    }
}

static MODULE: PackageSymbol<NoServices> = PackageSymbol::new(
    "session-tests",
    true,
    sync_services(no_services),
    const {
        &[
            HandlerEntry::unary2("log_in", events::log_in),
            HandlerEntry::streaming2("auth/stream", events::stream_after_log_in),
            HandlerEntry::streaming2("replaced", events::stream_of_replaced),
        ]
    },
);

/// Ends the generation of the events of the connection that calls `replaced`.
static END_GENERATION: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

/// Accepts every user, and ends the session before. Each operation completes in its first poll.
#[derive(Default)]
struct OneSessionStore(Mutex<Option<TokenHash>>);

impl Store for OneSessionStore {
    fn authenticate(&self, user: Identity, session: NewSession) -> StoreFuture<'_, StartedSession> {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(session.token);
        let mut started = StartedSession::new(user);
        started.ended = before.into_iter().collect();
        Box::pin(async { Ok(started) })
    }
}

async fn connect() -> DuplexStream {
    connect_in(Arc::default()).await.0
}

/// Serves the only connection of this hub. Returns the client's end, and the generation of the events.
async fn connect_in(hub: Arc<Hub>) -> (DuplexStream, Arc<Generation>) {
    let (server, client) = duplex(1 << 10);
    let config = Config::default();
    let registry = Registry::for_test(MODULE.module()).await;
    let generation = Arc::clone(&registry.generation);
    let auth = Some(Service::start(Auth::new(OneSessionStore::default())));
    let max_response = config.max_message_bytes;
    let dispatch = Arc::new(Dispatch::for_test(registry, auth.clone(), max_response));
    let guard = hub.insert(hub.admit(1).expect("it is the first"), None, None, Mailbox::for_test(1 << 20));
    let services = HostServices::new(hub, auth, max_response);
    let caller = EventCaller::for_connection(services, Arc::clone(&guard.peer));
    let protocol = Arc::new(config.protocol());
    let (dialect, open_info, config) = (Dialect::V1, OpenInfo::default(), Arc::new(config));
    let connection = NewConnection { dialect, guard, caller, origin: None, open_info, dispatch, config, protocol };
    tokio::spawn(connection.serve(ClientSocket::stream(server), Bytes::new()));
    (client, generation)
}

/// Sends a masked text frame; the mask is zero (RFC 6455, section 5.3).
async fn send(client: &mut DuplexStream, text: &str) {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).expect("a short text");
    let frame = [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat();
    client.write_all(&frame).await.expect("the server reads");
}

/// Reads a text frame.
async fn read(client: &mut DuplexStream) -> String {
    let frame = async {
        let mut head = [0; 2];
        client.read_exact(&mut head).await.expect("a frame");
        let length = match head[1] {
            126 => client.read_u16().await.expect("the length"),
            length => length.into(),
        };
        let mut payload = vec![0; length.into()];
        client.read_exact(&mut payload).await.expect("the payload");
        String::from_utf8(payload).expect("a text")
    };
    tokio::time::timeout(Duration::from_secs(5), frame).await.expect("the server sends a frame")
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_session_ends_in_its_first_poll_ends_too() {
    let mut client = connect().await;
    send(&mut client, r#"["aaw/hello",{}]"#).await;
    assert!(read(&mut client).await.starts_with(r#"["aaw/welcome","#));
    send(&mut client, r#"["log_in",{},1]"#).await;
    assert_eq!(read(&mut client).await, r#"["log_in",null,1]"#);
    send(&mut client, r#"["auth/stream",{},2,"call",{"credit":2}]"#).await;
    for expected in [
        r#"["auth/stream",1,2,"item"]"#,
        r#"["auth/stream",2,2,"item"]"#,
        r#"["auth/stream",{"error":"Not authenticated","code":"not_authenticated"},2,"error"]"#,
    ] {
        assert_eq!(read(&mut client).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_generation_ends_in_its_first_poll_ends_too() {
    let hub = Arc::new(Hub::default());
    let (mut client, generation) = connect_in(Arc::clone(&hub)).await;
    let end = move || {
        generation.end();
        hub.end_replaced();
    };
    assert!(END_GENERATION.set(Box::new(end)).is_ok(), "one test calls the event");
    send(&mut client, r#"["aaw/hello",{}]"#).await;
    assert!(read(&mut client).await.starts_with(r#"["aaw/welcome","#));
    send(&mut client, r#"["replaced",{},1,"call",{"credit":2}]"#).await;
    for expected in [
        r#"["replaced",1,1,"item"]"#,
        r#"["replaced",2,1,"item"]"#,
        r#"["replaced",{"error":"The events were replaced while this call ran: call again","code":"replaced"},1,"error"]"#,
    ] {
        assert_eq!(read(&mut client).await, expected);
    }
}
