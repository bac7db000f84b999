//! Serves events: builds and loads them, runs the server, reloads the events, and shuts down on a signal.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aaw_server::auth::{Auth, SqliteStore};
use aaw_server::config::ListenAddress;
use aaw_server::modules::{self, EventsAt, Watch};
use aaw_server::{BoundAddress, BoundServer, Config, Events, Handle, PassedListener, Server};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cli::DEFAULT_EVENTS;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use crate::heap_trim;
use crate::line_writer::LineWriter;
use crate::served_folder::check_not_served;
use crate::settings::{LogFormat, Passwords, Reloader, ServeArgs, SetLogLevel, Settings, Values, WatchMode};
#[cfg(unix)]
use crate::systemd;
use crate::{file_limit, json_log, signals, tls};

/// How often `--watch=poll` looks at the files.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long the end of the program waits until a reload is aborted. That takes no time, unless a file system is stuck.
const RELOAD_ABORT_TIMEOUT: Duration = Duration::from_millis(500);

/// Serves until a signal. The caller has started the log.
pub(crate) async fn serve(
    args: ServeArgs,
    settings: Settings,
    set_log_level: SetLogLevel,
    passed: Vec<PassedListener>,
) -> Result<(), Box<dyn Error>> {
    // Installed first, so that a signal also stops the first build, and services that never start.
    let shutdown_timeout = Arc::new(Mutex::new(settings.values.config.shutdown_timeout));
    let reload = settings.file.as_ref().map(|_| Arc::<Notify>::default());
    let mut shutdown = std::pin::pin!(signals::shutdown(Arc::clone(&shutdown_timeout), reload.clone())?);
    if let Some(file) = &settings.file {
        tracing::info!("settings are read from {}", file.display());
    }
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let started = tokio::select! {
        started = start(&settings, &passed) => started?,
        () = &mut shutdown => return Ok(()),
    };
    // The server has its own handles.
    drop(passed);
    let StartedServer { server, watch, json_writer } = started;
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if let Err(error) = heap_trim::start() {
        tracing::warn!("cannot start the thread that returns free memory to the system: {error}");
    }
    if let (Some(file), Some(reload)) = (settings.file.clone(), reload) {
        let server = server.handle();
        let check_files = tls::check;
        let reloader = Reloader { args, settings, server, set_log_level, check_files, shutdown_timeout };
        // Ends with the program.
        tokio::spawn(reloader.run(file, reload));
    }
    let reloading = watch.map(|watch| tokio::spawn(reload_on_change(watch, server.handle())));
    let abort = reloading.as_ref().map(JoinHandle::abort_handle);
    #[cfg(unix)]
    systemd::notify_ready();
    let stop = async {
        shutdown.await;
        #[cfg(unix)]
        systemd::notify_stopping();
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
async fn start(settings: &Settings, passed: &[PassedListener]) -> Result<StartedServer, Box<dyn Error>> {
    let Values { config, auth, passwords, program } = &settings.values;
    let mut config = config.clone();
    config.max_connections = file_limit::raise(config.max_connections);
    // Checked before a build that may take minutes.
    config.tls = tls::open(settings)?;
    let at = EventsAt::find(&program.events.clone().unwrap_or_else(default_events))?;
    if passed.is_empty() {
        config.probe().await?;
    } else if !config.listen.is_empty() {
        tracing::warn!("the service manager has passed {} sockets; --listen has no effect", passed.len());
    }
    if let Some(file) = &program.auth_file {
        let store = open_store(file, passwords, config.http.static_dir.as_deref()).await?;
        config.auth = Some(Auth { store: Arc::new(store), ..auth.clone() });
    } else if program.own_log_ins {
        // The settings of `auth` concern stored users.
        config.auth = Some(Auth::own_log_ins());
    }
    // Started before the first build, so that changes during the build are noticed.
    let mut watch = program.watch.map(|mode| start_watch(at.clone(), mode)).transpose()?;
    let mut events = load(&at, watch.as_mut()).await?;
    // The pretty log has the calls at the level `debug`, from the library: logging a call costs more than the call.
    let (json_log, json_writer) = match program.log {
        LogFormat::Json => json_log::start().map(|(log, writer)| (Some(log), Some(writer)))?,
        LogFormat::Pretty | LogFormat::Off => (None, None),
    };
    let server = loop {
        let mut server = events.into_iter().fold(Server::new(config.clone()), Server::events);
        for listener in passed {
            server = server.listener(listener.try_clone()?);
        }
        if let Some(log) = json_log.clone() {
            let limit = program.log_body_limit;
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
    log_addresses(&config, &server);
    tls::check_port(&program.tls, server.addresses());
    let is_public = |address: &BoundAddress| match address {
        BoundAddress::Tcp(address) => !address.ip().to_canonical().is_loopback(),
        _ => false,
    };
    let has_names = !config.allow_hosts.is_empty()
        || !config.allow_origins.is_empty()
        || config.tls.as_ref().is_some_and(|tls| !tls.names().is_empty())
        || server.addresses().iter().any(|address| is_name(host_of(&config, address)));
    if server.addresses().iter().any(is_public) && !has_names {
        tracing::info!(
            "requests must name the server by its IP address or localhost; allow a host name with --allow-host"
        );
    }
    Ok(StartedServer { server, watch, json_writer })
}

fn log_addresses(config: &Config, server: &BoundServer) {
    let s = if config.tls.is_some() { "s" } else { "" };
    let mut url = None;
    for bound in server.addresses() {
        let BoundAddress::Tcp(address) = bound else {
            tracing::info!("listening on {bound}");
            continue;
        };
        let host = host_of_url(address.ip(), host_of(config, bound));
        let (port, prefix) = (address.port(), config.path_prefix.as_str());
        tracing::info!("listening on ws{s}://{host}:{port}{prefix} ({address})");
        url.get_or_insert_with(|| format!("http{s}://{host}:{port}{prefix}"));
    }
    if let Some(url) = url {
        let path = if config.http.static_dir.is_some() { "/events" } else { "/" };
        tracing::info!("try the events at {url}{path}");
    }
}

/// The host as it was given, for an address that is listened on.
fn host_of<'a>(config: &'a Config, bound: &BoundAddress) -> &'a str {
    let mut hosts = config.listen.iter().filter_map(|address| match (address, bound) {
        (ListenAddress::Tcp { host, port }, BoundAddress::Tcp(bound)) => {
            (port.unwrap_or(config.port) == bound.port()).then_some(host.as_str())
        }
        _ => None,
    });
    hosts.next().unwrap_or(if config.listen.is_empty() { &config.host } else { "::" })
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
        _ if is_name(host) => host.to_owned(),
        // On many systems, `localhost` is only this one.
        IpAddr::V4(Ipv4Addr::LOCALHOST) => "localhost".to_owned(),
        _ if bound.is_unspecified() => "localhost".to_owned(),
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Returns whether the value of `--host` is a name, and not an address.
fn is_name(host: &str) -> bool {
    host.parse::<IpAddr>().is_err() && !host.starts_with('[')
}

/// The events to serve if none are given: `events`; or the current folder, if that is a package without such a
/// subfolder.
fn default_events() -> PathBuf {
    let is_in_package = !Path::new(DEFAULT_EVENTS).exists() && Path::new("Cargo.toml").exists();
    PathBuf::from(if is_in_package { "." } else { DEFAULT_EVENTS })
}

async fn open_store(
    file: &Path,
    passwords: &Passwords,
    static_dir: Option<&Path>,
) -> Result<SqliteStore, Box<dyn Error>> {
    let store = SqliteStore::open_with(file, passwords.hasher()?).await?;
    check_not_served(file, static_dir, "password hashes", "--auth")?;
    Ok(store)
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
