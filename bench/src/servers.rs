//! The servers under comparison.

use std::path::Path;

use aaw_bench_waiting::Wait;
use aaw_server::auth::SqliteStore;
use aaw_server::modules::{self, EventsAt};
use aaw_server::{Config, Server};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::measurement::BoxError;

/// Runs one of the servers until the process is killed. The first line it prints is its address.
#[tokio::main]
pub(crate) async fn serve(kind: &str) -> Result<(), BoxError> {
    let config = Config { port: 0, ..Config::default() };
    match kind {
        "linked" => run(Server::new(config).events(aaw_events::module())).await,
        "waiting" => run(Server::new(config).events(aaw_bench_waiting::module_with(Wait::Timer))).await,
        "yielding" => run(Server::new(config).events(aaw_bench_waiting::module_with(Wait::Yield))).await,
        "presence" => run(Server::new(config).events(aaw_test_rooms::module())).await,
        "auth" => {
            let folder = tempfile::tempdir()?;
            let store = SqliteStore::open(folder.path().join("auth.sqlite")).await?;
            run(Server::new(config).events(aaw_events::module()).auth(store)).await
        }
        "library" => {
            let package = EventsAt::find(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../events"))?;
            let mut server = Server::new(config);
            for events in modules::load(&package).await? {
                server = server.events(events);
            }
            run(server).await
        }
        "echo" => echo(true).await,
        "default-echo" => echo(false).await,
        other => Err(format!(
            "expected compare, quick, streams, growth, departures, logins, budgets, load, linked, waiting, yielding, presence, auth, library, echo or default-echo; found {other:?}"
        )
        .into()),
    }
}

async fn run(server: Server) -> Result<(), BoxError> {
    let server = server.bind().await?;
    println!("{}", server.local_addr());
    server.serve(std::future::pending()).await;
    Ok(())
}

async fn echo(tuned: bool) -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(async move {
            // An error ends only its connection.
            let _ = if tuned { echo_batched(socket).await } else { echo_each(socket).await };
        });
    }
}

async fn echo_batched(socket: TcpStream) -> Result<(), BoxError> {
    let config = WebSocketConfig::default().read_buffer_size(4 << 10);
    let mut socket = tokio_tungstenite::accept_hdr_async_with_config(socket, choose, Some(config)).await?;
    while let Some(message) = socket.next().await {
        socket.feed(message?).await?;
        while let Some(Some(message)) = socket.next().now_or_never() {
            socket.feed(message?).await?;
        }
        socket.flush().await?;
    }
    Ok(())
}

async fn echo_each(socket: TcpStream) -> Result<(), BoxError> {
    let mut socket = tokio_tungstenite::accept_hdr_async(socket, choose).await?;
    while let Some(message) = socket.next().await {
        socket.send(message?).await?;
    }
    Ok(())
}

/// Accepts the sub-protocol that the generator offers.
#[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
fn choose(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    if let Some(offered) = request.headers().get("sec-websocket-protocol") {
        response.headers_mut().insert("sec-websocket-protocol", offered.clone());
    }
    Ok(response)
}
