//! How do I stream a result that does not fit into memory, and let each caller choose how to read it?
//!
//! Run:      cargo run -p aaw-example-users
//! Then:     open http://localhost:1337, press a button, press Stop
//! Expect:   rows as the database returns them, and their number. "One array" fails with an error, because the array
//!           exceeds the size limit of a message; "With a damaged row" shows the rows before it, and then the error.
//!
//! The first start writes a million rows to a file beside the program, which takes a few seconds. In a terminal:
//!
//! ```text
//! curl -N -H 'accept: application/x-ndjson' -X POST http://localhost:1337/events/users/all | head -3
//! curl 'http://localhost:1337/events/users/all?take=3'
//! ```
//!
//! | environment | default | |
//! |---|---|---|
//! | `PORT` | 1337 | the port; 0 takes a free one |
//! | `USERS_ROWS` | 1000000 | the number of rows |
//! | `USERS_DB` | beside the program | the database file |
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
    // Clients can read the table again, so a shutdown need not wait for their streams.
    let config = Config { port, http, shutdown_timeout: Duration::ZERO, ..Config::default() };
    let server = Server::new(config).events(aaw_example_users::module()).bind().await?;

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
