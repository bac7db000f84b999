//! The stand-in for a language model's API, as a program of its own.
//!
//! Run:      cargo run -p aaw-example-tokens --bin aaw-example-stand-in
//! Then:     set the OPENAI_BASE_URL that it prints, and run the example, or any other client of such an API
//! Expect:   the client receives the answer of the stand-in
//!
//! | environment | default | |
//! |---|---|---|
//! | `PORT` | 0 | the port; 0 takes a free one |
//! | `STAND_IN_EVERY_MS` | 40 | the time between two tokens, in ms |

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
