//! `aaw`: calls the events of a server from the command line.
//!
//! [`args`] says what can be asked, [`run`](mod@run) does it, [`session`] finds the token for it, [`exit`] says how it
//! ended.

#![forbid(unsafe_code)]

mod args;
mod exit;
mod run;
mod session;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = args::Args::parse();
    // A thread for the connection, beside this one: when whoever reads the output is slow, the oldest messages are
    // lost, and the connection lives on.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&exit::Failure::system(error)),
    };
    let code = match runtime.block_on(run::run(args)) {
        Ok(code) => code,
        Err(failure) => report(&failure),
    };
    // A thread may still be writing to an output that nobody reads. It is not waited for.
    runtime.shutdown_background();
    code
}

fn report(failure: &exit::Failure) -> ExitCode {
    // With standard error gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{}", failure.text);
    failure.code.into()
}
