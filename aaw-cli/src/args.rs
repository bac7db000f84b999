//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use http::{HeaderName, HeaderValue};
use serde_json::value::RawValue;

/// The exit codes, for the `--help` of the program and of each command that calls a server.
macro_rules! exit_codes {
    () => {
        "\
Exit codes:
    0  success
    1  the server refused the call or the handler failed; standard error has the error, as one line of JSON
    2  the command line is invalid: an unknown option, a body that is not JSON, an invalid URL
    3  there is no connection; nothing was sent
    4  the call was sent, and there was no response within --timeout; it may have run
    5  the call was sent, and the connection ended before its response; it may have run or not.
       Also an invalid response, and an output that cannot be written
  130  interrupted by Ctrl-C
"
    };
}

/// Call the events of an aaw server.
#[derive(Debug, Parser)]
#[command(name = "aaw", version, max_term_width = 100, after_help = concat!(exit_codes!(), "
Examples:
  aaw call ws://localhost:1337 ping
  aaw call ws://localhost:1337 echo '{\"id\": 1}'
  echo '{\"id\": 1}' | aaw call ws://localhost:1337 echo -
  aaw stream ws://localhost:1337 count '{\"to\": 5}'
  aaw send ws://localhost:1337 announce '\"happy birthday\"'
  aaw listen ws://localhost:1337 broadcast | head -n 1
  aaw login ws://localhost:1337 --email ada@example.org --token-file ~/.aaw-token"))]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: CliCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CliCommand {
    /// Call an event and print its response as one line of JSON
    #[command(after_help = concat!("\
Notes:
  A streaming event responds with one array of all its items; `aaw stream` prints them as they arrive.
  Ctrl-C ends the program and with it the connection, which cancels the call.

", exit_codes!(), "
Examples:
  aaw call ws://localhost:1337 ping
  aaw call ws://localhost:1337 echo '{\"id\": 1}' --timeout 500ms
  aaw call wss://example.org users/get - --token-file token < body.json"))]
    Call(EventArgs),
    /// Call an event and print the items of its stream as they arrive, one line of JSON for each
    #[command(after_help = concat!("\
Notes:
  Runs until the stream ends, until Ctrl-C, or until its output is closed (as by `head`).
  The last two cancel the call.
  The handler yields items no faster than they are printed.
  --timeout applies to connecting only: there is no timeout for an item.

", exit_codes!(), "
Examples:
  aaw stream ws://localhost:1337 count '{\"to\": 5}'
  aaw stream ws://localhost:1337 count '{\"to\": 100, \"every_ms\": 1000}' | head -n 3"))]
    Stream(EventArgs),
    /// Send an event without waiting for a response
    #[command(after_help = concat!("\
Notes:
  Ends when the server has confirmed the close of the connection, which it does after it has received the event.
  If the server reports an error before that, such as an unknown event, the exit code is 1.
  --timeout applies to connecting only.

", exit_codes!(), "
Examples:
  aaw send ws://localhost:1337 announce '\"happy birthday\"'
  aaw send ws://localhost:1337 announce - < body.json"))]
    Send(EventArgs),
    /// Print the pushes of the server, one line of JSON for each: {"event":…,"data":…}
    #[command(after_help = concat!("\
Notes:
  Runs until Ctrl-C, or until its output is closed (as by `head`), and reconnects when the connection is lost.
  If only the socket broke, it resumes and prints what was pushed meanwhile; standard error tells that, and how many pushes
  the server has dropped.
  If pushes arrive faster than they are printed, the oldest are dropped, with a note on standard error.
  --timeout applies to connecting only.

", exit_codes!(), "
Examples:
  aaw listen ws://localhost:1337
  aaw listen ws://localhost:1337 broadcast notified
  aaw listen ws://localhost:1337 | jq .data"))]
    Listen {
        #[command(flatten)]
        connection: ConnectionArgs,
        /// The events to print [default: all]
        #[arg(value_name = "EVENT")]
        events: Vec<String>,
        #[command(flatten)]
        token: TokenArgs,
    },
    /// Log in, and print the token of the session or store it in a file
    #[command(after_help = concat!("\
Notes:
  The password is read from the environment variable AAW_PASSWORD if it is set; otherwise from the terminal, or
  from the first line of standard input if that is not a terminal. Neither the password nor the
  token is passed as an argument or in the URL, where other users of the machine, or logs, could see it.
  `aaw call URL aaw/logout` ends the session.

", exit_codes!(), "
Examples:
  aaw login ws://localhost:1337 --email ada@example.org --token-file ~/.aaw-token
  aaw call ws://localhost:1337 auth/whoami --token-file ~/.aaw-token
  export AAW_TOKEN=$(aaw login ws://localhost:1337 --email ada@example.org)
  aaw call ws://localhost:1337 aaw/logout"))]
    Login {
        #[command(flatten)]
        connection: ConnectionArgs,
        /// The e-mail address of the account
        #[arg(long, value_name = "ADDRESS", value_hint = ValueHint::EmailAddress)]
        email: String,
        /// Create the account first
        #[arg(long)]
        register: bool,
        /// Store the token in FILE, readable only by you, and print the user [default: print the token]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        token_file: Option<PathBuf>,
    },
    /// Print a script that completes commands and options in a shell
    #[command(after_help = "\
Examples:
  source <(aaw completions bash)
  aaw completions bash > ~/.local/share/bash-completion/completions/aaw
  aaw completions zsh > ~/.zfunc/_aaw
  aaw completions fish > ~/.config/fish/completions/aaw.fish")]
    Completions {
        /// The shell to print the script for
        shell: Shell,
    },
    /// Print a man page, in roff
    #[command(after_help = "\
Examples:
  aaw man | man -l -
  aaw man call | man -l -
  aaw man > /usr/local/share/man/man1/aaw.1")]
    Man {
        /// The command whose page to print, such as call [default: aaw itself]
        command: Option<String>,
    },
}

/// The arguments of a call or a one-way send.
#[derive(Debug, Args)]
pub(crate) struct EventArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// The event: its path below the events folder of the server, such as users/get
    pub(crate) event: String,
    /// The body, as JSON; - reads it from standard input [default: null]
    #[arg(allow_hyphen_values = true)]
    pub(crate) json: Option<String>,
    #[command(flatten)]
    pub(crate) token: TokenArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConnectionArgs {
    /// The URL of the server: ws://HOST:PORT, or wss://HOST with TLS
    #[arg(value_hint = ValueHint::Url)]
    pub(crate) url: String,
    /// Timeout for connecting, and again for the response, such as 500ms, 3s or 1m30s; a bare number is in milliseconds,
    /// and 0 counts as 1ms
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) timeout: Duration,
    /// A header of the handshake, as 'Name: value', for a proxy or for handlers that read the handshake; may be given several times
    /// [default: none]
    #[arg(long = "header", short = 'H', value_name = "HEADER", value_parser = header)]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Resume the session of the token in FILE [default: the token in AAW_TOKEN, if that is set]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,
}

impl Cli {
    /// Parses the arguments of this process. Prints an error, or the help that was asked for, and exits with 2 or 0.
    pub(crate) fn from_command_line() -> Self {
        Self::parse_args(std::env::args_os().collect()).unwrap_or_else(|error| error.exit())
    }

    fn parse_args(args: Vec<OsString>) -> Result<Self, clap::Error> {
        let parsed = Self::try_parse_from(&args);
        let may_be_typo = match &parsed {
            Ok(cli) => cli.command.body().is_some_and(is_option),
            Err(error) => error.kind() == ErrorKind::UnknownArgument,
        };
        if !may_be_typo {
            return parsed;
        }
        // An option with a typo was taken for the body. Parsed without hyphens in the body, it gets clap's error, which
        // suggests the option that was meant.
        let strict = Self::command().mut_subcommands(|command| {
            let has_body = command.get_arguments().any(|argument| argument.get_id() == "json");
            if has_body { command.mut_arg("json", |json| json.allow_hyphen_values(false)) } else { command }
        });
        let Err(error) = strict.try_get_matches_from(args) else { return parsed };
        match error.get(ContextKind::InvalidArg) {
            // A negative number, which only the first attempt has parsed.
            Some(ContextValue::String(argument)) if !is_option(argument) => parsed,
            _ => Err(error),
        }
    }
}

impl CliCommand {
    /// The body of a call or a one-way send, if it is on the command line.
    fn body(&self) -> Option<&str> {
        match self {
            Self::Call(args) | Self::Stream(args) | Self::Send(args) => args.json.as_deref(),
            Self::Listen { .. } | Self::Login { .. } | Self::Completions { .. } | Self::Man { .. } => None,
        }
    }
}

/// Whether an argument in the place of the body is an option: JSON begins with a hyphen only where it is a negative
/// number.
fn is_option(argument: &str) -> bool {
    argument.starts_with('-') && argument != "-" && serde_json::from_str::<&RawValue>(argument).is_err()
}

fn duration(text: &str) -> Result<Duration, String> {
    /// The longest text that is parsed. humantime 2.4 panics on some sums beyond `Duration::MAX`, all of them longer.
    const MAX_LEN: usize = 24;

    if let Ok(millis) = text.parse() {
        return Ok(Duration::from_millis(millis));
    }
    if text.len() > MAX_LEN {
        return Err(format!("longer than {MAX_LEN} characters; expected a duration such as 500ms, 3s or 1m30s"));
    }
    humantime::parse_duration(text).map_err(|error| {
        let problem = match error {
            humantime::DurationError::NumberOverflow => "the number is out of range; ",
            humantime::DurationError::UnknownUnit { .. } => "unknown unit; ",
            _ => "",
        };
        format!("{problem}expected a duration such as 500ms, 3s or 1m30s")
    })
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected 'Name: value', for example 'Authorization: Bearer …'")?;
    let name = name.trim().parse().map_err(|_| format!("{name:?} is not a valid header name"))?;
    let value =
        value.trim().parse().map_err(|_| "the value contains characters that a header cannot have".to_owned())?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_valid() {
        Cli::command().debug_assert();
    }

    fn parse(args: &[&str]) -> Result<Cli, String> {
        let args = ["aaw"].iter().chain(args).map(OsString::from).collect();
        Cli::parse_args(args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_body_can_be_a_negative_number() {
        for command in ["call", "stream", "send"] {
            for body in ["-5", "-0.5", "-1e3", "-1.5E-3", "-1e400", "-", "\"-5\"", " -5", "[-5]"] {
                for args in [
                    &[command, "ws://host", "e", body][..],
                    &[command, "ws://host", "e", body, "--timeout", "7s"],
                    &[command, "--timeout", "7s", "ws://host", "e", body],
                    &[command, "ws://host", "--timeout", "7s", "e", "--", body],
                ] {
                    let cli = parse(args).unwrap();
                    assert_eq!(cli.command.body(), Some(body), "{args:?}");
                }
            }
        }
        let cli = parse(&["call", "ws://host", "e", "--timeout", "7s"]).unwrap();
        assert_eq!(cli.command.body(), None, "an option is no body");
    }

    #[test]
    fn an_option_with_a_typo_is_no_body_and_gets_a_suggestion() {
        for (args, expected) in [
            (&["call", "ws://host", "e", "--timout", "7s"][..], "'--timeout'"),
            (&["call", "ws://host", "e", "1", "--timout", "7s"], "'--timeout'"),
            (&["send", "ws://host", "e", "--heder", "a: b"], "'--header'"),
            (&["stream", "ws://host", "e", "--token-fiel", "f"], "'--token-file'"),
            (&["call", "ws://host", "e", "-x"], "'-- -x'"),
            (&["call", "ws://host", "e", "-x", "7s"], "'-x'"),
            (&["call", "ws://host", "e", "-5", "more"], "unexpected argument 'more'"),
            (&["call", "ws://host", "e", "-1e-5", "--timout", "7s"], "'--timeout'"),
            (&["cal", "ws://host", "e"], "'call'"),
            (&["call", "ws://host", "e", "--timeout", "-1s"], "expected a duration"),
        ] {
            let error = parse(args).unwrap_err();
            assert!(error.contains(expected), "{args:?}: {error}");
        }
        // After `--` nothing is an option. That it is not JSON is reported later.
        assert_eq!(parse(&["call", "ws://host", "e", "--", "-x"]).unwrap().command.body(), Some("-x"));
    }

    #[test]
    fn a_duration_has_a_unit_or_is_in_milliseconds() {
        for (text, millis) in [
            ("250", 250),
            ("0", 0),
            ("500ms", 500),
            ("3s", 3000),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("1m 30s", 90_000),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in [
            "18446744073709551615s 1000ms",
            "",
            "s",
            "soon",
            "-1s",
            "3x",
            "99999999999999999999",
            "18446744073709551615m",
            "3é",
        ] {
            let error = duration(bad).unwrap_err();
            assert!(error.ends_with("expected a duration such as 500ms, 3s or 1m30s"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let (name, value) = header("Authorization: Bearer a:b").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("authorization", "Bearer a:b"));
        assert!(header("no colon").is_err() && header("a b: c").is_err() && header("a: \n").is_ok());
    }
}
