//! The command `aaw`: calls the events of an [aaw](https://docs.rs/aaw-server) server from the command line.
//!
//! ```sh
//! cargo install aaw-cli
//! aaw call ws://localhost:1337 hello '{"name": "Ada"}'
//! # {"greeting":"Hello, Ada!"}
//! ```
//!
//! This crate is a program and has no library; [aaw-client](https://docs.rs/aaw-client) is the one that it uses.
//!
//! # Guide
//!
//! | to | command |
//! |---|---|
//! | call an event | `aaw call URL EVENT [JSON]` prints the response as one line of JSON; with `-` as JSON the body comes from standard input |
//! | read a stream | `aaw stream URL EVENT [JSON]` prints one item a line as they arrive; Ctrl-C, or the end of a reader such as `head`, cancels it |
//! | send without waiting | `aaw send URL EVENT [JSON]` |
//! | listen to pushes | `aaw listen URL [EVENT…]` prints `{"event":…,"data":…}` for each |
//! | log in | `aaw login URL --email ADDRESS --token-file FILE`; further commands take `--token-file FILE`, or `AAW_TOKEN` from the environment |
//!
//! `--timeout 500ms` limits connecting and waiting for the response (3 s by default), `--header 'Name: value'` adds a header
//! to the handshake. `aaw COMMAND --help` describes everything, `aaw completions SHELL` and `aaw man` print completions and a
//! man page.
//!
//! # Exit codes
//!
//! | code | meaning |
//! |---|---|
//! | 0 | success |
//! | 1 | the server refused the call or the handler failed; standard error has the error, as one line of JSON |
//! | 2 | the command line is invalid |
//! | 3 | there is no connection; nothing was sent |
//! | 4 | no response within the timeout; the call may have run |
//! | 5 | the connection ended before the response (the call may have run), the response was invalid, or the output cannot be written |
//! | 130 | interrupted by Ctrl-C |
//!
//! # Features
//!
//! None. `wss://` is always there, with rustls and the certificates that the system trusts.
//!
//! # Stability
//!
//! Scripts may rely on the commands, their options, the exit codes and the format of standard output: within 0.1 updates only
//! add to them. The texts on standard error may change. The command works with servers of any version that speaks the wire
//! protocol `aaw.v1`.

// The modules, each of which uses only those below it:
//
// - `run`: the commands.
// - `credentials`: the token from a file or the environment, and the password. `docs`: shell completions and man pages.
// - `args`: the command line. `exit`: errors and exit codes. `output`: lines on standard output, notes on standard error.
//   `input`: text from standard input and files.

#![forbid(unsafe_code)]

mod args;
mod credentials;
mod docs;
mod exit;
mod input;
mod output;
mod run;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = args::Cli::from_command_line();
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
