//! Serves events: builds and loads them, runs the server, reloads the events, and shuts down on a signal.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aaw_server::auth::{Auth, SqliteStore};
use aaw_server::modules::{self, EventsAt, Watch};
use aaw_server::{BoundServer, Config, Events, Handle, Server};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cli::{DEFAULT_EVENTS, LogFormat, ServeArgs, WatchMode};
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use crate::heap_trim;
use crate::line_writer::LineWriter;
use crate::{json_log, signals, users};

/// How often `--watch=poll` looks at the files.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long the end of the program waits until a reload is aborted. That takes no time, unless a file system is stuck.
const RELOAD_ABORT_TIMEOUT: Duration = Duration::from_millis(500);

/// Serves until a signal. The caller has started the log.
pub(crate) async fn serve(args: ServeArgs) -> Result<(), Box<dyn Error>> {
    // Installed first, so that a signal also stops the first build, and services that never start.
    let mut shutdown = std::pin::pin!(signals::shutdown(args.config().shutdown_timeout)?);
    let started = tokio::select! {
        started = start(&args) => started?,
        () = &mut shutdown => return Ok(()),
    };
    let StartedServer { server, watch, json_writer } = started;
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if let Err(error) = heap_trim::start() {
        tracing::warn!("cannot start the thread that returns free memory to the system: {error}");
    }
    let reloading = watch.map(|watch| tokio::spawn(reload_on_change(watch, server.handle())));
    let abort = reloading.as_ref().map(JoinHandle::abort_handle);
    let stop = async {
        shutdown.await;
        if let Some(abort) = abort {
            abort.abort();
        }
    };
    server.serve(stop).await;
    if let Some(reloading) = reloading {
        // A running build is killed when the task is dropped.
        let _ = timeout(RELOAD_ABORT_TIMEOUT, reloading).await;
    }
    if let Some(writer) = json_writer {
        writer.finish();
    }
    Ok(())
}

struct StartedServer {
    server: BoundServer,
    watch: Option<Watch>,
    json_writer: Option<LineWriter>,
}

/// Builds and loads the events, and starts the server.
async fn start(args: &ServeArgs) -> Result<StartedServer, Box<dyn Error>> {
    raise_file_limit();
    let at = EventsAt::find(&args.events.clone().unwrap_or_else(default_events))?;
    let mut config = args.config();
    // Checked before a build that may take minutes.
    config.probe().await?;
    if let Some(store) = open_store(args).await? {
        config.auth = Some(Auth { min_password_chars: args.password_rules.min_length(), ..Auth::new(store) });
    }
    // Started before the first build, so that changes during the build are noticed.
    let mut watch = args.watch.map(|mode| start_watch(at.clone(), mode)).transpose()?;
    let mut events = load(&at, watch.as_mut()).await?;
    // The pretty log has the calls at the level `debug`, from the library: logging a call costs more than the call.
    let (json_log, json_writer) = match args.log {
        LogFormat::Json => json_log::start().map(|(log, writer)| (Some(log), Some(writer)))?,
        LogFormat::Pretty | LogFormat::Off => (None, None),
    };
    let server = loop {
        let mut server = events.into_iter().fold(Server::new(config.clone()), Server::events);
        if let Some(log) = json_log.clone() {
            let limit = args.log_body_limit;
            server = server.on_call(move |call| json_log::write(&log, call, limit));
        }
        tokio::select! {
            server = server.bind() => break server?,
            newer = next(watch.as_mut()) => {
                log_newer();
                events = newer;
            }
        }
    };
    let address = server.local_addr();
    let host = host_of_url(address.ip(), &args.host);
    let prefix = config.path_prefix.as_str();
    let (port, path) = (address.port(), if args.static_dir.is_some() { "/events" } else { "/" });
    tracing::info!("listening on ws://{host}:{port}{prefix} ({address})");
    tracing::info!("try the events at http://{host}:{port}{prefix}{path}");
    Ok(StartedServer { server, watch, json_writer })
}

fn start_watch(at: EventsAt, mode: WatchMode) -> Result<Watch, modules::WatchError> {
    match mode {
        WatchMode::Auto => Watch::new(at),
        WatchMode::Poll => Watch::polling(at, POLL_INTERVAL),
    }
}

/// Returns the host for URLs at which a client on this machine reaches the server.
fn host_of_url(bound: IpAddr, host: &str) -> String {
    match bound {
        // Names a machine in the network, if the flag is a name.
        _ if host.parse::<IpAddr>().is_err() && !host.starts_with('[') => host.to_owned(),
        // On many systems, `localhost` is only this one.
        IpAddr::V4(Ipv4Addr::LOCALHOST) => "localhost".to_owned(),
        _ if bound.is_unspecified() => "localhost".to_owned(),
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The events to serve if none are given: `events`; or the current folder, if that is a package without such a
/// subfolder.
fn default_events() -> PathBuf {
    let is_in_package = !Path::new(DEFAULT_EVENTS).exists() && Path::new("Cargo.toml").exists();
    PathBuf::from(if is_in_package { "." } else { DEFAULT_EVENTS })
}

async fn open_store(args: &ServeArgs) -> Result<Option<SqliteStore>, Box<dyn Error>> {
    let Some(file) = &args.auth else { return Ok(None) };
    let store = SqliteStore::open(file).await?;
    if let Some(static_dir) = &args.static_dir {
        users::check_not_served(file, static_dir)?;
    }
    Ok(Some(store))
}

async fn load(at: &EventsAt, watch: Option<&mut Watch>) -> Result<Vec<Events>, modules::LoadError> {
    if let EventsAt::Package(path) = at {
        tracing::info!("building the events in {}", path.display());
    }
    match watch {
        Some(watch) => watch.load().await,
        None => modules::load(at).await,
    }
}

/// The next events of a watch; never without one.
async fn next(watch: Option<&mut Watch>) -> Vec<Events> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

fn log_newer() {
    tracing::info!("a file was saved: starting its events instead of those whose services were starting");
}

/// Replaces the server's events whenever they have changed. New events while others are starting abort that start.
async fn reload_on_change(mut watch: Watch, server: Handle) {
    let mut events = watch.next().await;
    loop {
        let replaced = tokio::select! {
            replaced = server.replace_events(events) => replaced,
            newer = watch.next() => {
                log_newer();
                events = newer;
                continue;
            }
        };
        if let Err(error) = replaced {
            // Cargo's texts have several lines.
            for line in format!("keeping the previous events: {error}").lines() {
                tracing::error!("{line}");
            }
            watch.forget();
        }
        events = watch.next().await;
    }
}

/// Raises the soft limit of open files, since each connection takes one. The limit is often 1024, for programs that use
/// `select`, which this one does not.
fn raise_file_limit() {
    let max_connections = Config::default().max_connections as u64;
    match rlimit::increase_nofile_limit(max_connections + 1024) {
        // Some thousand connections suffice for most servers, so only a lower limit is worth a warning.
        Ok(limit) if limit >= max_connections.min(4096) => {}
        Ok(limit) => tracing::warn!(
            limit,
            max_connections,
            "the open-file limit is below max_connections; raise it with `ulimit -n`"
        ),
        Err(error) => tracing::warn!("cannot raise the open-file limit: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_url_leads_to_the_server() {
        for (bound, host, expected) in [
            ("127.0.0.1", "127.0.0.1", "localhost"),
            ("127.0.0.1", "localhost", "localhost"),
            ("127.0.0.2", "127.0.0.2", "127.0.0.2"),
            ("0.0.0.0", "0.0.0.0", "localhost"),
            ("::", "::", "localhost"),
            ("::", "[::]", "localhost"),
            ("::1", "::1", "[::1]"),
            ("::1", "[::1]", "[::1]"),
            ("fd00::7", "fd00::7", "[fd00::7]"),
            ("10.1.2.3", "server.example", "server.example"),
        ] {
            assert_eq!(host_of_url(bound.parse().unwrap(), host), expected, "{bound} {host}");
        }
    }
}
