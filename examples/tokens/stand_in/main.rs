//! The stand-in of a language model's API by itself.
//!
//! Run:      cargo run -p aaw-example-tokens --bin aaw-example-stand-in
//! Then:     set OPENAI_BASE_URL to what it prints, and run the example, or any program that speaks to such an API
//!
//! `PORT` (default 0, a free one) is its port, `STAND_IN_EVERY_MS` (default 40) the time between two tokens.

use std::process::ExitCode;
use std::time::Duration;

use aaw_example_tokens::_stand_in::StandIn;

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
    let port = std::env::var("PORT").map_or(Ok(0), |port| port.parse())?;
    let every = std::env::var("STAND_IN_EVERY_MS").map_or(Ok(40), |every| every.parse())?;
    let stand_in = StandIn::start(port, Duration::from_millis(every)).await?;
    println!("OPENAI_BASE_URL={}", stand_in.base_url());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
