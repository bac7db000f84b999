//! How do I tell everybody who is connected, from an ordinary HTTP request?
//!
//! Run:      cargo run -p aaw-example-broadcast
//! Then:     open http://localhost:1337 in two windows, and http://localhost:1337/broadcast/happy%20birthday in a third
//! Expect:   a welcome in each window, how many are connected, and "happy birthday" in both as soon as the third opens;
//!           here a line for each that comes and goes. Or in a terminal:
//!
//! ```text
//! curl http://localhost:1337/broadcast/happy%20birthday
//! aaw listen ws://localhost:1337 message
//! ```
//!
//! | environment | default | |
//! |---|---|---|
//! | `PORT` | 1337 | 0 takes a free one |
//! | `RUST_LOG` | info | what is logged |

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
    tracing_subscriber::fmt().with_env_filter(log).with_writer(std::io::stderr).init();

    let port = std::env::var("PORT").map_or(Ok(1337), |port| port.parse())?;
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
    let http = HttpConfig { static_dir: Some(page.into()), ..HttpConfig::default() };
    // Nobody waits for the end of `online`, a stream that has none.
    let config = Config { http, stop_timeout: Duration::ZERO, ..Config::default() };
    let aaw = Server::new(config).events(aaw_example_broadcast::module()).mount().await?;

    // An ordinary axum program: its own routes, and those of aaw, for WebSockets and all.
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

/// Sends the event `message` to everybody who is connected, and answers what was sent.
async fn broadcast(State(server): State<Handle>, Path(message): Path<String>) -> (StatusCode, Json<Value>) {
    let message = json!({ "message": message });
    match server.emit("message", &message) {
        Ok(_reached) => (StatusCode::OK, Json(message)),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": error.to_string() }))),
    }
}
