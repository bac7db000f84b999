//! `aaw`: calls the events of an aaw server from the command line.
//!
//! The modules, each of which uses only those below it:
//!
//! - `run`: the commands.
//! - `credentials`: the token from a file or the environment, and the password. `docs`: shell completions and man
//!   pages.
//! - `args`: the command line. `exit`: errors and exit codes. `output`: lines on standard output, notes on standard
//!   error.

#![forbid(unsafe_code)]

mod args;
mod credentials;
mod docs;
mod exit;
mod output;
mod run;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    // One worker for the connection, besides this thread. While printing blocks this thread on a slow reader, the
    // connection is served, and the listener's queue drops its oldest pushes.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&exit::CliError::system(error)),
    };
    let code = match runtime.block_on(run::run(cli.command)) {
        Ok(code) => code,
        Err(error) => report(&error),
    };
    // Does not wait for a thread that is blocked on writing to an output without a reader.
    runtime.shutdown_background();
    code
}

fn report(error: &exit::CliError) -> ExitCode {
    output::print_error(&error.message);
    error.reason.into()
}
