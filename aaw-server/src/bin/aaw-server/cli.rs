//! The command line: its subcommands. `settings` has the flags of a server.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::settings::{ConfigArgs, ServeArgs};
use crate::users::UserArgs;

/// The folder of the events if none is given.
pub(crate) const DEFAULT_EVENTS: &str = "events";

/// Serve a folder of events over WebSockets and HTTP. Each file is an event, which clients call by its path.
#[derive(Debug, Parser)]
#[command(name = "aaw-server", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "EXAMPLES:
  aaw-server                     serve the events package in ./events
  aaw-server my-events --watch   serve another package, and reload it when a file is saved
  aaw-server --static public     also serve the files in ./public
  aaw-server --auth              let users register and log in, and call the events below auth/
  aaw-server --config aaw.toml   read settings from a file; `aaw-server config` prints all of them
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
    /// Print the effective settings as a settings file, with their documentation and where each is from
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the man page
    Man,
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
        let parse = |args: &[&str]| Cli::try_parse_from([&["aaw-server"], args].concat());
        for command in [&["init"][..], &["user", "list"], &["config", "--check"], &["completions", "bash"], &["man"]] {
            assert!(parse(command).unwrap().command.is_some(), "{command:?}");
        }
        for valid in [&["--watch", "my-events"][..], &["--watch=poll"], &["--auth"], &["--auth", "users.sqlite"]] {
            assert!(parse(valid).is_ok(), "{valid:?}");
        }
        for invalid in [
            &["--shutdown-timeout", "8"][..],
            &["--port", "70000"],
            &["--allow-origin", "example.com"],
            &["--watch=sometimes"],
            &["--max-connections", "0"],
        ] {
            assert!(parse(invalid).is_err(), "{invalid:?}");
        }
    }
}
