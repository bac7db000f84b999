//! What can be asked.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
use http::{HeaderName, HeaderValue};

/// Call the events of an aaw server.
#[derive(Debug, Parser)]
#[command(name = "aaw", version, max_term_width = 100, after_help = concat!("Examples:
  aaw call ws://localhost:1337 ping
  aaw call ws://localhost:1337 echo '{\"id\": 1}'
  echo '{\"id\": 1}' | aaw call ws://localhost:1337 echo -
  aaw stream ws://localhost:1337 count '{\"to\": 5}'
  aaw send ws://localhost:1337 announce '\"happy birthday\"'
  aaw listen ws://localhost:1337 broadcast | head -n 1
  aaw login ws://localhost:1337 --email ada@example.org --token-file ~/.aaw-token

", exit_codes!()))]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The end of every `--help`.
macro_rules! exit_codes {
    () => {
        "Exit codes:
  0  done
  1  the server refused or failed the call; its error is on standard error, as one line of JSON
  2  the command line makes no sense: an unknown option, a body that is not JSON, a URL that is none
  3  no connection, and nothing was sent
  4  no answer in time
  5  the outcome is unknown: the connection broke, or the answer makes no sense
  130  interrupted"
    };
}
use exit_codes;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Call an event and print its answer, as one line of JSON
    #[command(after_help = concat!("Examples:
  aaw call ws://localhost:1337 ping
  aaw call ws://localhost:1337 echo '{\"id\": 1}' --timeout 500ms
  aaw call wss://example.org users/get - --header 'Authorization: Bearer …' < body.json

", exit_codes!()))]
    Call {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        session: Session,
        #[command(flatten)]
        connection: Connection,
    },
    /// Call an event and print what it answers item by item, one JSON a line, as they come
    #[command(after_help = concat!("Examples:
  aaw stream ws://localhost:1337 count '{\"to\": 5}'
  aaw stream ws://localhost:1337 count '{\"to\": 100, \"every_ms\": 1000}' | head -n 3

It runs until the stream ends, until it is interrupted, or until nobody reads its output; the last two cancel the call.
The event yields no faster than its items are printed. They may be as late as they like: --timeout is for the connection.

", exit_codes!()))]
    Stream {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        session: Session,
        #[command(flatten)]
        connection: Connection,
    },
    /// Send something that nobody answers
    #[command(after_help = concat!("Examples:
  aaw send ws://localhost:1337 announce '\"happy birthday\"'

It ends when the server has agreed to close the connection, so what was sent before has arrived there.

", exit_codes!()))]
    Send {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        session: Session,
        #[command(flatten)]
        connection: Connection,
    },
    /// Print what the server sends unasked, one JSON a line: {"event":…,"data":…}
    #[command(after_help = concat!("Examples:
  aaw listen ws://localhost:1337
  aaw listen ws://localhost:1337 broadcast notified
  aaw listen ws://localhost:1337 | jq .data

It runs until it is interrupted, or until nobody reads its output, and connects again when the connection is lost.

", exit_codes!()))]
    Listen {
        /// Where the server is: ws://HOST:PORT or wss://…
        url: String,
        /// Only these events. Without any, all of them
        event: Vec<String>,
        #[command(flatten)]
        session: Session,
        #[command(flatten)]
        connection: Connection,
    },
    /// Log in, and keep the token of the session, or print it
    #[command(after_help = concat!("Examples:
  aaw login ws://localhost:1337 --email ada@example.org --token-file ~/.aaw-token
  aaw call ws://localhost:1337 auth/whoami --token-file ~/.aaw-token
  export AAW_TOKEN=$(aaw login ws://localhost:1337 --email ada@example.org)
  aaw call ws://localhost:1337 aaw/logout

The password is asked for in the terminal. A script gives it as a line of standard input, or in AAW_PASSWORD. Neither it
nor the token is ever an argument or a part of the URL: others could read them there.

", exit_codes!()))]
    Login {
        /// Where the server is: ws://HOST:PORT or wss://…
        url: String,
        /// The address by which the user is known
        #[arg(long, value_name = "ADDRESS")]
        email: String,
        /// Make an account of it first
        #[arg(long)]
        register: bool,
        /// Put the token into this file, which only its owner can read, and print who it is for. Without it, the token is
        /// printed
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Session {
    /// Log in by the token in this file, which `aaw login` writes. Without it, by that of the environment's AAW_TOKEN, if
    /// there is one
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct What {
    /// Where the server is: ws://HOST:PORT or wss://…
    pub(crate) url: String,
    /// The event: its path below the server's events folder
    pub(crate) event: String,
    /// The body, as JSON; - reads it from standard input. Without it, null
    pub(crate) json: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Connection {
    /// How long to wait for the connection, and then for the answer: 500ms, 3s, 2m; a bare number is milliseconds
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = time)]
    pub(crate) timeout: Duration,
    /// A header of the handshake, 'Name: value'. Can be given several times
    #[arg(long, short = 'H', value_name = "HEADER", value_parser = header)]
    pub(crate) header: Vec<(HeaderName, HeaderValue)>,
}

fn time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| EXPECTED.to_owned())?;
    const EXPECTED: &str = "expected a whole number and a unit: 500ms, 3s, 2m";
    match &text[digits.len()..] {
        "" | "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs).ok_or_else(|| EXPECTED.to_owned()),
        _ => Err(EXPECTED.into()),
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected 'Name: value'")?;
    let name = name.trim().parse().map_err(|_| format!("{name:?} cannot be the name of a header"))?;
    let value = value.trim().parse().map_err(|_| "the value holds characters that a header cannot".to_owned())?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        for (text, millis) in [("250", 250), ("500ms", 500), ("3s", 3000), ("2m", 120_000), ("0", 0)] {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "-1s", "1.5s", "3 s", "3h", "99999999999999999999", "18446744073709551615m", "3é"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_are_a_name_and_a_value() {
        let (name, value) = header("Authorization: Bearer a:b").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("authorization", "Bearer a:b"));
        assert!(header("no colon").is_err() && header("a b: c").is_err() && header("a: \n").is_ok());
    }
}
