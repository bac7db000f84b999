//! The command line: its flags and subcommands, and the configuration that the flags result in.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use aaw_server::Config;
use aaw_server::config::{
    AllowedOrigin, ForwardedHeader, HttpConfig, InvalidOrigin, InvalidTrustedProxy, PathPrefix, TrustedProxy,
};
use clap::builder::BoolishValueParser;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::users::{DEFAULT_STORE, PasswordRules, UserArgs};

/// The folder of the events if none is given.
pub(crate) const DEFAULT_EVENTS: &str = "events";

/// What `--watch` means without a value.
pub(crate) const WATCH: &str = "auto";

/// Serve a folder of events over WebSockets and HTTP. Each file is an event, which clients call by its path.
#[derive(Debug, Parser)]
#[command(name = "aaw-server", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "EXAMPLES:
  aaw-server                     serve the events package in ./events
  aaw-server my-events --watch   serve another package, and reload it when a file is saved
  aaw-server --static public     also serve the files in ./public
  aaw-server --auth              let users register and log in, and call the events below auth/
  aaw-server init                create a small events package in ./events")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<ServerCommand>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Create a small events package that builds and runs, with tests
    Init {
        /// The folder to write to, which is created if it does not exist
        #[arg(default_value = DEFAULT_EVENTS)]
        dir: PathBuf,
    },
    /// Add, list, change and remove the users in the file of --auth
    User(UserArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the man page
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The events to serve: an events package (a folder with a Cargo.toml), which is built first, or a folder of built
    /// libraries [default: events, or the current folder if that is a package without an events folder]
    #[arg(env = "AAW_EVENTS")]
    pub(crate) events: Option<PathBuf>,
    /// The TCP port to listen on; 0 selects a free one
    #[arg(long, env = "AAW_PORT", default_value_t = Config::default().port)]
    port: u16,
    /// The address to listen on; the default is reachable from this machine only, 0.0.0.0 is every interface
    #[arg(long, env = "AAW_HOST", default_value_t = Config::default().host)]
    pub(crate) host: String,
    /// Let pages of this origin connect, for example https://app.example.com; null or file:// for pages opened as files, *
    /// for all; may be given several times [default: only pages of this server and, if it is reached as localhost, of this
    /// machine]
    #[arg(long, value_name = "ORIGIN", env = "AAW_ALLOW_ORIGIN", value_delimiter = ',', value_parser = parse_origin)]
    allow_origin: Vec<AllowedOrigin>,
    /// Believe what this proxy in front of the server states about its clients: an address, a network such as 10.0.0.0/8, or
    /// unix for Unix sockets; may be given several times. Limits and the log then have the client's address [default: none]
    #[arg(long, value_name = "CIDR", env = "AAW_TRUSTED_PROXY", value_delimiter = ',', value_parser = parse_proxy)]
    trusted_proxy: Vec<TrustedProxy>,
    /// The header in which trusted proxies state the client: x-forwarded-for, with X-Forwarded-Proto and X-Forwarded-Host; or
    /// forwarded. The other one is not read
    #[arg(long, value_name = "HEADER", env = "AAW_FORWARDED_HEADER", default_value_t = ForwardedHeader::default())]
    forwarded_header: ForwardedHeader,
    /// Expect a header of the PROXY protocol, version 1 or 2, at the beginning of each connection, and accept connections of
    /// trusted proxies only
    #[arg(long, env = "AAW_PROXY_PROTOCOL", value_parser = BoolishValueParser::new())]
    proxy_protocol: bool,
    /// The path below which the server is reached, for example /app, if a proxy passes it on [default: /]
    #[arg(long, value_name = "PATH", env = "AAW_PATH_PREFIX")]
    pub(crate) path_prefix: Option<PathPrefix>,
    /// The maximum number of open connections; further ones are refused with status 503
    #[arg(long, value_name = "COUNT", env = "AAW_MAX_CONNECTIONS", default_value_t = Config::default().max_connections)]
    max_connections: usize,
    /// The maximum number of connections whose client is away, and may resume them; beyond it, the client address that has
    /// the most of them loses one
    #[arg(
        long,
        value_name = "COUNT",
        env = "AAW_MAX_AWAY_CONNECTIONS",
        default_value_t = Config::default().max_away_connections
    )]
    max_away_connections: usize,
    /// The same of one client address, which loses its oldest one; behind a proxy, see --trusted-proxy
    #[arg(
        long,
        value_name = "COUNT",
        env = "AAW_MAX_AWAY_CONNECTIONS_PER_ADDRESS",
        default_value_t = Config::default().max_away_connections_per_address
    )]
    max_away_connections_per_address: usize,
    /// The memory in bytes that the connections of one client address may make the server hold; at the limit those that
    /// hold most are refused; behind a proxy, see --trusted-proxy
    #[arg(long, value_name = "BYTES", env = "AAW_MAX_HELD_BYTES_PER_ADDRESS", default_value_t = Config::default().max_held_bytes_per_address)]
    max_held_bytes_per_address: usize,
    /// How long an HTTP connection is kept open between two requests; longer than the idle timeout of a proxy in front of
    /// the server; 0s closes it after each response [default: 75s]
    #[arg(long, value_name = "TIME", env = "AAW_KEEP_ALIVE_TIMEOUT", value_parser = parse_duration)]
    keep_alive_timeout: Option<Duration>,
    /// How long the state of a connection is kept when its socket has broken, for a client that resumes it; with 0s, a
    /// connection ends with its socket [default: 60s]
    #[arg(long, value_name = "TIME", env = "AAW_RESUMPTION_WINDOW", value_parser = parse_duration)]
    resumption_window: Option<Duration>,
    /// How long a call may run, unless its event sets another time or its caller reads a stream; then it fails with the
    /// code timeout [default: 60s]
    #[arg(long, value_name = "TIME", env = "AAW_MAX_CALL_TIME", value_parser = parse_duration)]
    max_call_time: Option<Duration>,
    /// Serve the files in this folder at /; the page that lists the events moves to /events [default: none]
    #[arg(long = "static", value_name = "DIR", env = "AAW_STATIC")]
    pub(crate) static_dir: Option<PathBuf>,
    /// Let users log in, and store users and sessions in this file; without a file name, in aaw-auth.sqlite [default:
    /// off, and events below a folder called auth cannot be called]
    #[arg(long, value_name = "FILE", env = "AAW_AUTH", num_args = 0..=1, default_missing_value = DEFAULT_STORE)]
    pub(crate) auth: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) password_rules: PasswordRules,
    /// What to log, and in which format
    #[arg(long, value_enum, env = "AAW_LOG", default_value_t = LogFormat::Pretty)]
    pub(crate) log: LogFormat,
    /// Cut bodies and results longer than this in the lines of --log json, in bytes; 0 leaves them out [default: no limit]
    #[arg(long, value_name = "BYTES", env = "AAW_LOG_BODY_LIMIT")]
    pub(crate) log_body_limit: Option<usize>,
    /// Rebuild and reload the events whenever a file is saved; with =poll, files are looked at once a second, for file
    /// systems that report no changes, such as some mounts of containers [default: off]
    #[arg(long, value_name = "HOW", env = "AAW_WATCH", num_args = 0..=1, require_equals = true, default_missing_value = WATCH)]
    pub(crate) watch: Option<WatchMode>,
    /// How long running streams may continue when the server stops [default: 2s]
    #[arg(long, value_name = "TIME", env = "AAW_STREAM_SHUTDOWN_TIMEOUT", value_parser = parse_duration)]
    stream_shutdown_timeout: Option<Duration>,
    /// How long stopping the server may take in all; running calls may finish until 3 s before its end [default: 8s]
    #[arg(long, value_name = "TIME", env = "AAW_SHUTDOWN_TIMEOUT", value_parser = parse_duration)]
    shutdown_timeout: Option<Duration>,
}

/// How `--watch` notices changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WatchMode {
    /// The system reports changes
    Auto,
    /// Files are looked at once a second
    Poll,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    /// The longest text that is parsed. humantime 2.4 panics on some sums beyond `Duration::MAX`, all of them longer.
    const MAX_LEN: usize = 24;

    let parsed = Some(text).filter(|text| text.len() <= MAX_LEN).map(humantime::parse_duration);
    parsed.and_then(Result::ok).ok_or_else(|| "expected a duration with a unit, such as 500ms, 8s or 1m30s".to_owned())
}

/// Lists in the environment may have spaces after their commas.
fn parse_origin(text: &str) -> Result<AllowedOrigin, InvalidOrigin> {
    text.trim().parse()
}

fn parse_proxy(text: &str) -> Result<TrustedProxy, InvalidTrustedProxy> {
    text.trim().parse()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Messages for people, to standard error
    Pretty,
    /// Messages as JSON to standard error, and one line of JSON per finished call to standard output
    Json,
    /// Only cargo's output, and why the server did not start
    Off,
}

impl ServeArgs {
    /// The configuration that these flags result in, except for the store of `--auth`, which has to be opened first.
    pub(crate) fn config(&self) -> Config {
        let defaults = Config::default();
        Config {
            host: self.host.clone(),
            port: self.port,
            allow_origins: self.allow_origin.clone(),
            trusted_proxies: self.trusted_proxy.clone(),
            forwarded_header: self.forwarded_header,
            proxy_protocol: self.proxy_protocol,
            path_prefix: self.path_prefix.clone().unwrap_or_default(),
            max_connections: self.max_connections,
            max_away_connections: self.max_away_connections,
            max_away_connections_per_address: self.max_away_connections_per_address,
            max_held_bytes_per_address: self.max_held_bytes_per_address,
            keep_alive_timeout: self.keep_alive_timeout.unwrap_or(defaults.keep_alive_timeout),
            resumption_window: self.resumption_window.unwrap_or(defaults.resumption_window),
            max_call_time: self.max_call_time.unwrap_or(defaults.max_call_time),
            stream_shutdown_timeout: self.stream_shutdown_timeout.unwrap_or(defaults.stream_shutdown_timeout),
            shutdown_timeout: self.shutdown_timeout.unwrap_or(defaults.shutdown_timeout),
            http: HttpConfig { static_dir: self.static_dir.clone(), ..HttpConfig::default() },
            ..defaults
        }
    }
}

/// Prints the completion script of a shell to standard output.
pub(crate) fn print_completions(shell: Shell) -> io::Result<()> {
    // Generated into a buffer first: the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "aaw-server", &mut script);
    io::stdout().write_all(&script)
}

/// Prints the man page to standard output.
pub(crate) fn print_man_page() -> io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    io::stdout().write_all(&page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_are_parsed() {
        let watch = |args: &[&str]| Cli::try_parse_from([&["aaw-server"], args].concat()).unwrap().serve.watch;
        assert_eq!((watch(&[]), watch(&["--watch", "my-events"])), (None, Some(WatchMode::Auto)));
        assert_eq!(watch(&["--watch=poll"]), Some(WatchMode::Poll));
        assert!(Cli::try_parse_from(["aaw-server", "--shutdown-timeout", "8"]).is_err(), "no unit");
        for command in [&["init"][..], &["user", "list"], &["completions", "bash"], &["man"]] {
            let cli = Cli::try_parse_from([&["aaw-server"], command].concat()).unwrap();
            assert!(cli.command.is_some(), "{command:?}");
        }
        let auth = |args: &[&str]| Cli::try_parse_from([&["aaw-server"], args].concat()).unwrap().serve.auth;
        assert_eq!((auth(&[]), auth(&["--auth"])), (None, Some("aaw-auth.sqlite".into())));
        assert_eq!(auth(&["--auth", "users.sqlite"]), Some("users.sqlite".into()));
        let origins = Cli::try_parse_from(["aaw-server", "--allow-origin", "https://a.example, https://b.example"]);
        assert_eq!(origins.unwrap().serve.allow_origin.len(), 2);
        assert!(Cli::try_parse_from(["aaw-server", "--port", "70000"]).is_err());
        let proxies =
            Cli::try_parse_from(["aaw-server", "--trusted-proxy", "10.0.0.0/8, fd00::1", "--trusted-proxy", "unix"]);
        assert_eq!(proxies.unwrap().serve.trusted_proxy.len(), 3);
        for bad in
            [&["--trusted-proxy", "proxy.example"][..], &["--forwarded-header", "x-real-ip"], &["--path-prefix", "app"]]
        {
            assert!(Cli::try_parse_from([&["aaw-server"], bad].concat()).is_err(), "{bad:?}");
        }
        assert!(Cli::try_parse_from(["aaw-server", "--allow-origin", "example.com"]).is_err());
    }

    #[test]
    fn flags_become_the_config_and_the_rest_has_its_defaults() {
        let flags = "--port 0 --host :: --allow-origin https://a.example --static pages --max-connections 100 --shutdown-timeout 1m --keep-alive-timeout 620s --max-call-time 5m --trusted-proxy 10.0.0.0/8 --forwarded-header Forwarded --proxy-protocol --path-prefix /app --max-held-bytes-per-address 5000000";
        let config = Cli::try_parse_from(["aaw-server"].into_iter().chain(flags.split(' '))).unwrap().serve.config();
        assert_eq!((config.port, config.host.as_str(), config.allow_origins.len()), (0, "::", 1));
        assert_eq!(config.http.static_dir, Some("pages".into()));
        assert_eq!(config.max_connections, 100);
        assert_eq!(config.trusted_proxies, ["10.0.0.0/8".parse().unwrap()]);
        assert_eq!((config.forwarded_header, config.proxy_protocol), (ForwardedHeader::Forwarded, true));
        assert_eq!(config.path_prefix.as_str(), "/app");
        assert_eq!(config.shutdown_timeout, Duration::from_secs(60));
        assert_eq!(config.keep_alive_timeout, Duration::from_secs(620));
        assert_eq!(config.max_call_time, Duration::from_secs(300));
        assert_eq!(config.max_held_bytes_per_address, 5_000_000);
        assert_eq!(config.stream_shutdown_timeout, Config::default().stream_shutdown_timeout);
    }
}
