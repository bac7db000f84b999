//! How do I send a message to all connected clients from an ordinary HTTP request?
//!
//! Run:      cargo run -p aaw-example-broadcast
//! Then:     open http://localhost:1337 in two windows, and http://localhost:1337/broadcast/happy%20birthday in a third
//! Expect:   each window shows a welcome and the number of connections. Opening the third address shows "happy
//!           birthday" in both. The program logs a line for each connection that opens or closes. Or in a terminal:
//!
//! ```text
//! curl http://localhost:1337/broadcast/happy%20birthday
//! aaw listen ws://localhost:1337 message
//! ```
//!
//! | environment | default | |
//! |---|---|---|
//! | `PORT` | 1337 | the port; 0 takes a free one |
//! | `RUST_LOG` | info | the log filter |

use std::io::IsTerminal as _;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use aaw_server::config::{Config, HttpConfig};
use aaw_server::{Handle, Server};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let log = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
    // Colours are for terminals. A full disk or a closed pipe must not end the program.
    tracing_subscriber::fmt()
        .with_env_filter(log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false)
        .init();

    let port = std::env::var("PORT").map_or(Ok(1337), |port| port.parse())?;
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
    let http = HttpConfig { static_dir: Some(page.into()), ..HttpConfig::default() };
    // The stream `online` never ends, so a graceful shutdown would wait for it in vain.
    let config = Config { http, shutdown_timeout: Duration::ZERO, ..Config::default() };
    let aaw = Server::new(config).events(aaw_example_broadcast::module()).mount().await?;

    // An axum application with a route of its own, merged with the routes of aaw, which include the WebSocket upgrade.
    let app = Router::new().route("/broadcast/{message}", get(broadcast)).with_state(aaw.handle()).merge(aaw.router());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("open http://localhost:{}", listener.local_addr()?.port());
    axum::serve(listener, app)
        .with_graceful_shutdown(async {
            if let Err(error) = tokio::signal::ctrl_c().await {
                eprintln!("cannot wait for Ctrl-C: {error}");
            }
            aaw.stop().await;
        })
        .await?;
    Ok(())
}

/// Sends the event `message` to all connected clients, and returns what was sent.
async fn broadcast(State(server): State<Handle>, Path(message): Path<String>) -> (StatusCode, Json<Value>) {
    let message = json!({ "message": message });
    match server.emit("message", &message) {
        Ok(_reached) => (StatusCode::OK, Json(message)),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": error.to_string() }))),
    }
}
