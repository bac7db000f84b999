//! The program `aaw-server`.

mod cli;
mod file_limit;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod heap_trim;
mod init;
mod json_log;
mod line_writer;
mod log;
mod serve;
mod served_folder;
mod settings;
mod signals;
#[cfg(unix)]
mod systemd;
mod tls;
mod users;

use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use aaw_server::PassedListener;
use clap::Parser as _;
use cli::{Cli, ServerCommand};
use line_writer::LineQueue;
use settings::{Program, Settings, SettingsError};

fn main() -> ExitCode {
    // Before there are threads.
    #[cfg(unix)]
    let passed = match systemd::passed_listeners() {
        Ok(passed) => passed,
        Err(error) => return failed(&format!("cannot use the sockets that LISTEN_FDS announces: {error}")),
    };
    #[cfg(not(unix))]
    let passed = Vec::new();
    let cli = Cli::parse();
    let (stderr, writer) = match log::stderr() {
        Ok(started) => started,
        Err(error) => return failed(&format!("cannot start to log to standard error: {error}")),
    };
    // The last message is written by the same thread: it follows the others, and a stuck standard error does not keep the
    // program from ending.
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start the runtime: {error}")),
    };
    let code = match runtime.block_on(run(cli, passed, &stderr)) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output wants no more of it, for example `head`.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            stderr.push(format!("aaw-server: {error}\n").into());
            // As for an invalid flag.
            if error.is::<SettingsError>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    };
    // Not waited for: a thread that reads a file or runs a handler may be blocked for good.
    runtime.shutdown_background();
    writer.finish();
    code
}

/// Writes why the program did not start.
fn failed(reason: &str) -> ExitCode {
    // Fails if standard error is closed; the exit code says it, too.
    let _ = writeln!(io::stderr(), "aaw-server: {reason}");
    ExitCode::FAILURE
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn run(cli: Cli, passed: Vec<PassedListener>, stderr: &LineQueue) -> Result<(), Box<dyn Error>> {
    match cli.command {
        None => {
            let settings = Settings::load(&cli.serve)?;
            let Program { log, log_level, .. } = &settings.values.program;
            let set_log_level = log::start(*log, log_level, stderr)?;
            serve::serve(cli.serve, settings, set_log_level, passed).await
        }
        Some(ServerCommand::Init { dir }) => init_package(&dir),
        Some(ServerCommand::User(users)) => users::run(users).await,
        Some(ServerCommand::Config(args)) => settings::run_config(&args, tls::check),
        Some(ServerCommand::Completions { shell }) => Ok(cli::print_completions(shell)?),
        Some(ServerCommand::Man) => Ok(cli::print_man_page()?),
    }
}

fn init_package(dir: &Path) -> Result<(), Box<dyn Error>> {
    let package = init::init(dir)?;
    let mut out = io::stdout().lock();
    for file in &package.files {
        writeln!(out, "wrote {}", file.display())?;
    }
    writeln!(out, "{}", package.source.note())?;
    writeln!(out, "serve it:  {}", init::serve_command(dir))?;
    Ok(())
}
