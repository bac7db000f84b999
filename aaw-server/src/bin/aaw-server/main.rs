//! The program `aaw-server`.

#![forbid(unsafe_code)]

mod cli;
mod init;
mod json_log;
mod log;
mod serve;
mod users;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, DEFAULT_EVENTS, ServerCommand};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aaw-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), Box<dyn Error>> {
    match cli.command {
        None => serve::serve(cli.serve).await,
        Some(ServerCommand::Init { dir }) => init_package(&dir),
        Some(ServerCommand::User(users)) => users::run(users).await,
        Some(ServerCommand::Completions { shell }) => Ok(cli::print_completions(shell)?),
        Some(ServerCommand::Man) => Ok(cli::print_man_page()?),
    }
}

fn init_package(dir: &Path) -> Result<(), Box<dyn Error>> {
    let package = init::init(dir)?;
    for file in &package.files {
        println!("wrote {}", file.display());
    }
    println!("{}", package.source.note());
    let argument = if dir == Path::new(DEFAULT_EVENTS) { String::new() } else { format!(" {}", dir.display()) };
    println!("serve it:  aaw-server{argument} --watch");
    Ok(())
}
