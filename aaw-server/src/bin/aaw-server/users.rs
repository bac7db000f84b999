//! `aaw-server user`: manages the users in the file of `--auth`.

use std::error::Error;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use aaw_server::auth::{Email, Password, SqliteStore};
use clap::{Args, Subcommand};

/// The default file of users and sessions, as in the original aaw.
pub(crate) const DEFAULT_STORE: &str = "aaw-auth.sqlite";

/// The maximum size of a password, which is that of the server's default configuration.
const MAX_PASSWORD_BYTES: usize = 1024;

/// The minimum length of a password, in characters, which is that of the server's default configuration.
const MIN_PASSWORD_CHARS: usize = 6;

#[derive(Debug, Args)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
    /// The file of users and sessions
    #[arg(long, global = true, value_name = "FILE", env = "AAW_AUTH", default_value = DEFAULT_STORE)]
    auth: PathBuf,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a user. The password is read from the variable AAW_PASSWORD, or from one line of standard input; it is not
    /// an argument, because other users of the machine can see arguments
    Add {
        /// The e-mail address
        email: String,
        /// Allow only the protected events that match this glob, for example 'auth/orders/*'; may be given several
        /// times [default: all protected events]
        #[arg(long, value_name = "GLOB")]
        allow: Vec<String>,
    },
    /// List the users, one per line: address, id, number of sessions, age in days, allowed events
    List,
    /// Set which protected events a user may call. A running server applies the change within about a second
    Allow {
        /// The e-mail address
        email: String,
        /// Allow the events that match one of these globs
        #[arg(required_unless_present_any = ["everything", "nothing"])]
        globs: Vec<String>,
        /// Allow all protected events
        #[arg(long, conflicts_with_all = ["globs", "nothing"])]
        everything: bool,
        /// Allow no protected events
        #[arg(long, conflicts_with = "globs")]
        nothing: bool,
    },
    /// Remove a user and end the user's sessions
    Remove {
        /// The e-mail address
        email: String,
    },
}

pub(crate) async fn run(args: UserArgs) -> Result<(), Box<dyn Error>> {
    let creates_file = matches!(args.command, UserCommand::Add { .. });
    if !creates_file && !args.auth.exists() {
        return Err(format!("{} does not exist; choose the file with --auth", args.auth.display()).into());
    }
    let store = SqliteStore::open(&args.auth).await?;
    let mut out = io::stdout().lock();
    match args.command {
        UserCommand::Add { email, allow } => {
            let email = Email::parse(&email)?;
            let allowed = (!allow.is_empty()).then_some(allow);
            let user = store.add_user(email, read_password()?, allowed).await?;
            writeln!(out, "added {} ({})", user.email, user.id)?;
        }
        UserCommand::List => {
            for user in store.users().await? {
                let allowed = match &user.identity.allowed {
                    None => "everything".to_owned(),
                    Some(globs) if globs.is_empty() => "nothing".to_owned(),
                    Some(globs) => globs.join(" "),
                };
                let since = user.created.duration_since(UNIX_EPOCH).unwrap_or_default();
                let days = SystemTime::now().duration_since(UNIX_EPOCH + since).unwrap_or_default().as_secs() / 86_400;
                writeln!(
                    out,
                    "{}\t{}\t{} sessions\t{days} days\t{allowed}",
                    user.identity.email, user.identity.id, user.sessions
                )?;
            }
        }
        UserCommand::Allow { email, globs, everything, nothing: _ } => {
            let email = Email::normalize(&email)?;
            check_exists(&email, store.allow(email.clone(), (!everything).then_some(globs)).await?)?;
            writeln!(out, "changed {email}")?;
        }
        UserCommand::Remove { email } => {
            let email = Email::normalize(&email)?;
            check_exists(&email, store.remove_user(email.clone()).await?)?;
            writeln!(out, "removed {email}")?;
        }
    }
    Ok(())
}

/// Checks that the existing file of a store does not lie in the folder whose files are served.
pub(crate) fn check_not_served(file: &Path, static_dir: &Path) -> Result<(), String> {
    match (file.canonicalize(), static_dir.canonicalize()) {
        (Ok(found), Ok(served)) if found.starts_with(&served) => Err(format!(
            "{} contains password hashes and lies in {}, whose files are public: choose another file with --auth",
            file.display(),
            static_dir.display()
        )),
        // Errors of the folder are reported when it is opened.
        _ => Ok(()),
    }
}

fn check_exists(email: &Email, exists: bool) -> Result<(), String> {
    if exists { Ok(()) } else { Err(format!("there is no user {email}")) }
}

/// Reads a password from the environment, or from a line of standard input.
fn read_password() -> Result<Password, Box<dyn Error>> {
    if let Ok(password) = std::env::var("AAW_PASSWORD") {
        return check_password(&password);
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let _ = writeln!(io::stderr(), "Password (it will be visible; use AAW_PASSWORD or a pipe to avoid that):");
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    check_password(line.trim_end_matches(['\r', '\n']))
}

fn check_password(password: &str) -> Result<Password, Box<dyn Error>> {
    match password.len() {
        0 => Err("a password is required, on standard input or in AAW_PASSWORD".into()),
        1..=MAX_PASSWORD_BYTES => match password.chars().count() {
            MIN_PASSWORD_CHARS.. => Ok(Password::new(password)),
            len => Err(format!("the password has {len} characters; at least {MIN_PASSWORD_CHARS} are required").into()),
        },
        len => Err(format!("the password has {len} bytes; the maximum is {MAX_PASSWORD_BYTES}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_in_the_static_folder_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let (pages, inside, beside) =
            (folder.path().join("pages"), folder.path().join("pages/deep/a.sqlite"), folder.path().join("a.sqlite"));
        std::fs::create_dir_all(pages.join("deep")).unwrap();
        for file in [&inside, &beside] {
            std::fs::write(file, "").unwrap();
        }
        assert!(check_not_served(&inside, &pages).unwrap_err().contains("choose another file"));
        assert!(check_not_served(&pages.join("deep/../../pages/deep/a.sqlite"), &pages).is_err());
        assert_eq!(check_not_served(&beside, &pages), Ok(()));
    }
}
