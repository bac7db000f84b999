//! How do I stream live numbers to a page, and let the user switch what is streamed?
//!
//! Run:      cargo run -p aaw-example-orders
//! Then:     open http://localhost:1337 and choose a category, in two windows
//! Expect:   its products with their totals at once, and about every 1.5 s a total that grows, the same in both
//!           windows. Choosing another category continues the same stream. After a restart of the program the page
//!           continues, with totals that start at 0.
//!
//! | environment | default | |
//! |---|---|---|
//! | `PORT` | 1337 | the port; 0 takes a free one |
//! | `ORDERS_EVERY_MS` | 1500 | the time between two orders, in ms |
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
    // The streams never end, so a graceful shutdown would wait for them in vain.
    let config = Config { port, http, shutdown_timeout: Duration::ZERO, ..Config::default() };
    let server = Server::new(config).events(aaw_example_orders::module()).bind().await?;

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
