//! How does the server call its clients, and wait for their responses?
//!
//! Run:      cargo run -p aaw-example-confirm
//! Then:     open http://localhost:1337 in two windows, and ask something in one of them
//! Expect:   both windows show the question and, once both have answered or after 20 s, the count of each answer. If
//!           you withdraw the question, or close the window that asked it, it disappears from the other. Or ask from a
//!           terminal:
//!
//! ```text
//! curl http://localhost:1337/events/ask -d '{"question": "Tea?"}'
//! ```
//!
//! | environment | default | |
//! |---|---|---|
//! | `PORT` | 1337 | the port; 0 takes a free one |
//! | `CONFIRM_MS` | 20000 | the time that a user has to answer, in ms |
//! | `RUST_LOG` | info | the log filter |

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use aaw_server::Server;
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
    // A graceful shutdown would wait for users to answer.
    let config = Config { port, http, shutdown_timeout: Duration::ZERO, ..Config::default() };
    let server = Server::new(config).events(aaw_example_confirm::module()).bind().await?;

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
