//! How do I build a chat with log-in and rooms?
//!
//! Run:      cargo run -p aaw-example-chat Then:     open http://localhost:1337 in two windows, register an account in
//! each (any address and password), and chat Expect:   both windows show each message, who is in the room, and who is
//! typing. After reloading a page, or
//!           restarting the program, you are still logged in and see the last 50 messages.
//!
//! Each window has its own account: the page keeps its session until the window is closed.
//!
//! | environment | default | |
//! |---|---|---|
//! | `PORT` | 1337 | the port; 0 takes a free one |
//! | `CHAT_DATA` | beside the program | the folder of the two databases: accounts, and messages |
//! | `RUST_LOG` | info | the log filter |

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use aaw_server::Server;
use aaw_server::auth::SqliteStore;
use aaw_server::config::{Config, HttpConfig};

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
    let config = Config { port, http, shutdown_timeout: Duration::from_secs(2), ..Config::default() };
    let users = SqliteStore::open(aaw_example_chat::data()?.join("aaw-example-chat-users.sqlite")).await?;
    let server = Server::new(config).events(aaw_example_chat::module()).auth(users).bind().await?;

    println!("open http://localhost:{}", server.local_addr().port());
    server
        .serve(async {
            if let Err(error) = tokio::signal::ctrl_c().await {
                eprintln!("cannot wait for Ctrl-C: {error}");
            }
        })
        .await;
    Ok(())
}
