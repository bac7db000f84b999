//! How do I serve events from my own program, without loading a library?
//!
//! Run:      cargo run -p aaw-example-linked
//! Then:     cargo run -p aaw-cli -- call ws://localhost:1337 echo '{"hello":"you"}'
//! Expect:   the call prints its response, and this program prints a line for the call. Ctrl-C shuts it down
//!           gracefully.
//!
//! `PORT=0` in the environment takes a free port.

use std::io::Write as _;
use std::process::ExitCode;

use aaw_server::{Config, Server};

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
    let port = std::env::var("PORT").map_or(Ok(1337), |port| port.parse())?;
    let server = Server::new(Config { port, ..Config::default() })
        // Any number of events packages, as long as no two of them define the same event.
        .events(aaw_events::module())
        // Runs after each call. `println!` would panic if standard output is closed.
        .on_call(|call| {
            let mut out = std::io::stdout().lock();
            let _ = match call.result {
                Ok(result) => writeln!(out, "{} {} -> {}", call.event, call.body, result.unwrap_or("-")),
                Err(failure) => writeln!(out, "{} {} failed: {failure}", call.event, call.body),
            };
        })
        .bind()
        .await?;

    println!("listening on ws://{}", server.local_addr());
    server
        .serve(async {
            if let Err(error) = tokio::signal::ctrl_c().await {
                eprintln!("cannot wait for Ctrl-C: {error}");
            }
        })
        .await;
    Ok(())
}
