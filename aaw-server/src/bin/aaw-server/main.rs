//! The program: flags to a config, a log, and a server that stops in order.

#![forbid(unsafe_code)]

mod init;
mod json_log;
mod users;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aaw_server::auth::SqliteStore;
use aaw_server::config::{AllowedOrigin, HttpConfig};
use aaw_server::modules::{self, EventsAt, Watch};
use aaw_server::{CallRecord, Config, Handle, Server};
use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use tracing_subscriber::EnvFilter;

/// Where events are when nothing is said.
const DEFAULT_EVENTS: &str = "events";

/// Serves a folder of events over WebSockets and HTTP: each file is an event, and a program calls it and awaits the
/// answer.
#[derive(Debug, Parser)]
#[command(name = "aaw-server", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "EXAMPLES:
  aaw-server                     serve the events package in ./events
  aaw-server my-events --watch   serve another one, and again whenever a file is saved
  aaw-server --static public     serve the pages in ./public, too
  aaw-server --auth              let users register and log in, and events below auth/ be called by them
  aaw-server init                write a small events package to begin with, to ./events")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a small events package that builds and runs, with one test
    Init {
        /// The folder to write it to; made if it is not there
        #[arg(default_value = DEFAULT_EVENTS)]
        dir: PathBuf,
    },
    /// Add, list, change and remove the users of --auth
    User(users::Users),
}

#[derive(Debug, Args)]
struct Serve {
    /// An events package (a folder with a Cargo.toml), built on start; or a folder of ready libraries [default: events,
    /// or this folder if it is a package and has no events in it]
    #[arg(env = "AAW_EVENTS")]
    events: Option<PathBuf>,
    /// The port; 0 takes a free one
    #[arg(long, env = "AAW_PORT", default_value_t = Config::default().port)]
    port: u16,
    /// The address to listen on; 0.0.0.0 is every interface
    #[arg(long, env = "AAW_HOST", default_value_t = Config::default().host)]
    host: String,
    /// Let pages from this origin connect, such as https://app.example.com; can be given several times
    #[arg(long, value_name = "ORIGIN", env = "AAW_ALLOW_ORIGIN", value_delimiter = ',')]
    allow_origin: Vec<AllowedOrigin>,
    /// Serve the files of this folder at /; the page that lists the events is at /events then
    #[arg(long = "static", value_name = "DIR", env = "AAW_STATIC")]
    static_dir: Option<PathBuf>,
    /// Let users log in, and keep them and their sessions in this file [default: aaw-auth.sqlite]. Events below a folder
    /// called auth are for them; without this nobody can call those
    #[arg(long, value_name = "FILE", env = "AAW_AUTH", num_args = 0..=1, default_missing_value = users::DEFAULT_STORE)]
    auth: Option<PathBuf>,
    /// What is logged: for people, what the server does and what goes wrong in it; as JSON, one line a call on standard
    /// output; or only why it did not start
    #[arg(long, value_enum, env = "AAW_LOG", default_value_t = Log::Pretty)]
    log: Log,
    /// Build and serve the events again whenever a file is saved
    #[arg(long, env = "AAW_WATCH", value_parser = BoolishValueParser::new())]
    watch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Log {
    Pretty,
    Json,
    Off,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Init { dir }) => begin(&dir),
        Some(Command::User(users)) => users::run(users).await,
        None => serve(cli.serve).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aaw-server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a package, and says how to go on.
fn begin(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let written = init::init(dir)?;
    for file in &written.files {
        println!("wrote {}", file.display());
    }
    let argument = if dir == Path::new(DEFAULT_EVENTS) { String::new() } else { format!(" {}", dir.display()) };
    println!("serve it:  aaw-server{argument} --watch");
    Ok(())
}

/// What to serve when nothing was named: `events`, or, for somebody who stands in a package, that package.
fn default_events() -> PathBuf {
    let stands_in_a_package = !Path::new(DEFAULT_EVENTS).exists() && Path::new("Cargo.toml").exists();
    PathBuf::from(if stands_in_a_package { "." } else { DEFAULT_EVENTS })
}

async fn serve(flags: Serve) -> Result<(), Box<dyn std::error::Error>> {
    start_log(flags.log);
    // From here on a signal stops what goes on, be it the first build.
    let mut stop = std::pin::pin!(stop_signal()?);
    raise_file_limit();
    let at = EventsAt::find(&flags.events.unwrap_or_else(default_events))?;
    let config = Config {
        host: flags.host.clone(),
        port: flags.port,
        allow_origins: flags.allow_origin.clone(),
        http: HttpConfig { static_dir: flags.static_dir.clone(), ..HttpConfig::default() },
        ..Config::default()
    };
    // Before minutes are spent on a build.
    config.probe().await?;
    let store = match &flags.auth {
        Some(file) => {
            let store = SqliteStore::open(file).await?;
            flags.static_dir.as_deref().map_or(Ok(()), |dir| users::not_served(file, dir))?;
            Some(store)
        }
        None => None,
    };
    if let EventsAt::Package(path) = &at {
        tracing::info!("building the events in {}", path.display());
    }
    // What is saved from here on is noticed, also during the first build.
    let mut watch = flags.watch.then(|| Watch::new(at.clone())).transpose()?;
    let load = async {
        match &mut watch {
            Some(watch) => watch.load().await,
            None => modules::load(&at).await,
        }
    };
    let events = tokio::select! {
        events = load => events?,
        () = &mut stop => return Ok(()),
    };
    let mut server = events.into_iter().fold(Server::new(config), Server::events);
    if let Some(store) = store {
        server = server.auth(store);
    }
    let mut json_log = None;
    server = match flags.log {
        Log::Json => {
            let (log, writer) = json_log::start()?;
            json_log = Some(writer);
            server.on_call(move |call| log.write(call))
        }
        // A line a call costs more than the call, so people get it when they ask for it.
        Log::Pretty if tracing::enabled!(Level::DEBUG) => server.on_call(log_for_people),
        Log::Pretty | Log::Off => server,
    };
    let server = server.bind().await?;
    let address = server.local_addr();
    let name = if address.ip().is_loopback() { "localhost".to_owned() } else { flags.host };
    let (port, path) = (address.port(), if flags.static_dir.is_some() { "/events" } else { "/" });
    tracing::info!("listening on ws://{name}:{port} ({address})");
    tracing::info!("the events can be tried at http://{name}:{port}{path}");
    let watching = watch.map(|watch| tokio::spawn(swap(watch, server.handle())));
    server.serve(stop).await;
    if let Some(watching) = watching {
        watching.abort();
    }
    if let Some(writer) = json_log {
        writer.finish();
    }
    Ok(())
}

/// Puts the events in place whenever they have changed.
async fn swap(mut watch: Watch, server: Handle) {
    loop {
        match server.replace_events(watch.next().await).await {
            Ok(()) => {}
            Err(error) => {
                tracing::error!("the old events go on: {error}");
                watch.forget();
            }
        }
    }
}

/// Ready at the first SIGINT or SIGTERM. A second one ends the program at once.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        let mut either = async || {
            tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
            }
        };
        either().await;
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => std::process::exit(130),
                _ = terminate.recv() => std::process::exit(143),
            }
        });
    })
}

/// Each connection is a file. The soft limit is often 1024, for programs that cannot bear more; this one can.
fn raise_file_limit() {
    let wanted = Config::default().max_connections as u64;
    match rlimit::increase_nofile_limit(wanted + 1024) {
        // Who needs more than some thousand connections knows of this limit; who has less should.
        Ok(limit) if limit >= wanted.min(4096) => {}
        Ok(limit) => tracing::warn!(limit, "fewer files can be open than connections are allowed (ulimit -n)"),
        Err(error) => tracing::warn!("the number of open files cannot be raised: {error}"),
    }
}

fn start_log(log: Log) {
    let filter = || EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let diagnostics = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(filter());
    match log {
        Log::Pretty => {
            let colours = io::IsTerminal::is_terminal(&io::stderr());
            diagnostics.with_target(false).with_ansi(colours).init();
        }
        Log::Json => diagnostics.json().flatten_event(true).init(),
        Log::Off => {}
    }
}

fn log_for_people(call: &CallRecord<'_>) {
    let ms = call.elapsed.as_secs_f64() * 1e3;
    // An event that is not there has any name, line breaks and all, and its failure repeats it.
    let on_one_line = |text: &str| text.replace(char::is_control, " ");
    let event = on_one_line(call.event);
    match call.result {
        Ok(_) => tracing::debug!(connection = %call.connection, "{event} {ms:.1} ms"),
        Err(failure) => {
            let failure = on_one_line(&failure.to_string());
            tracing::debug!(connection = %call.connection, "{event} {ms:.1} ms: {failure}");
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_flag_without_a_value_is_set_and_a_command_is_no_folder() {
        assert!(Cli::try_parse_from(["aaw-server", "--watch", "my-events"]).unwrap().serve.watch);
        assert!(Cli::try_parse_from(["aaw-server", "init"]).unwrap().command.is_some());
        assert!(Cli::try_parse_from(["aaw-server", "user", "list"]).unwrap().command.is_some());
        let auth = |args: &[&str]| Cli::try_parse_from([&["aaw-server"], args].concat()).unwrap().serve.auth;
        assert_eq!((auth(&[]), auth(&["--auth"])), (None, Some("aaw-auth.sqlite".into())));
        assert_eq!(auth(&["--auth", "users.sqlite"]), Some("users.sqlite".into()));
        assert!(Cli::try_parse_from(["aaw-server", "--port", "70000"]).is_err());
        assert!(Cli::try_parse_from(["aaw-server", "--allow-origin", "example.com"]).is_err());
    }
}
