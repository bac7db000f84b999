//! How do I stream the answer of a language model, token by token, from its API to a browser?
//!
//! Run:      cargo run -p aaw-example-tokens
//! Then:     open http://localhost:1337 and write a message
//! Expect:   an answer that grows word by word. Pressing Stop, or closing the page, also ends the request to the model.
//!
//! By default a stand-in within this program answers. Any API that is compatible with OpenAI's chat completions can
//! take its place:
//!
//! ```text
//! OPENAI_BASE_URL=https://api.openai.com/v1 OPENAI_API_KEY=… cargo run -p aaw-example-tokens
//! OPENAI_BASE_URL=http://localhost:11434/v1 OPENAI_MODEL=llama3.2 cargo run -p aaw-example-tokens
//! ```
//!
//! In a terminal, as server-sent events:
//!
//! ```text
//! curl -N -H 'accept: text/event-stream' http://localhost:1337/events/chat \
//!     -d '{"messages":[{"role":"user","content":"Hi"}]}'
//! ```
//!
//! | environment | default | |
//! |---|---|---|
//! | `PORT` | 1337 | the port; 0 takes a free one |
//! | `OPENAI_BASE_URL` | the stand-in | the API's address, up to `/chat/completions` |
//! | `OPENAI_API_KEY` | none | the key, sent to the API in a header |
//! | `OPENAI_MODEL` | gpt-4o-mini | the model, if `OPENAI_BASE_URL` is set |
//! | `RUST_LOG` | info | the log filter |

use std::io::IsTerminal as _;
use std::process::ExitCode;

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
    let server =
        Server::new(Config { port, http, ..Config::default() }).events(aaw_example_tokens::module()).bind().await?;

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
