//! `aaw-server user`: who may log in, from the command line.

use std::error::Error;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use aaw_server::auth::{Email, Password, SqliteStore};
use clap::{Args, Subcommand};

/// Where users and sessions are when nothing is said: as in the original.
pub(crate) const DEFAULT_STORE: &str = "aaw-auth.sqlite";

#[derive(Debug, Args)]
pub(crate) struct Users {
    #[command(subcommand)]
    command: Command,
    /// The file that users and sessions are kept in
    #[arg(long, global = true, value_name = "FILE", env = "AAW_AUTH", default_value = DEFAULT_STORE)]
    auth: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a user. The password is read from standard input (a line), or from AAW_PASSWORD: never from an argument, which
    /// others on the machine could see
    Add {
        email: String,
        /// What they may call of what needs a session: a glob over names of events, such as 'auth/teamplay/*'; can be
        /// given several times [default: everything]
        #[arg(long, value_name = "GLOB")]
        allow: Vec<String>,
    },
    /// List the users, one a line: address, id, sessions, and what they may call
    List,
    /// Say anew what a user may call. A running server follows within a second or so
    Allow {
        email: String,
        /// Globs over names of events
        #[arg(required_unless_present_any = ["everything", "nothing"])]
        globs: Vec<String>,
        /// Everything, as at first
        #[arg(long, conflicts_with_all = ["globs", "nothing"])]
        everything: bool,
        /// Nothing that needs a session
        #[arg(long, conflicts_with = "globs")]
        nothing: bool,
    },
    /// Remove a user and end their sessions
    Remove { email: String },
}

pub(crate) async fn run(users: Users) -> Result<(), Box<dyn Error>> {
    let adds = matches!(users.command, Command::Add { .. });
    if !adds && !users.auth.exists() {
        return Err(format!("there is no {}; name the file with --auth", users.auth.display()).into());
    }
    let store = SqliteStore::open(&users.auth).await?;
    match users.command {
        Command::Add { email, allow } => {
            let email = Email::parse(&email)?;
            let allowed = (!allow.is_empty()).then_some(allow);
            let user = store.add_user(email, password()?, allowed).await?;
            println!("added {} ({})", user.email, user.id);
        }
        Command::List => {
            for user in store.users().await? {
                let allowed = match &user.identity.allowed {
                    None => "everything".to_owned(),
                    Some(globs) if globs.is_empty() => "nothing".to_owned(),
                    Some(globs) => globs.join(" "),
                };
                let since = user.created.duration_since(UNIX_EPOCH).unwrap_or_default();
                let days = SystemTime::now().duration_since(UNIX_EPOCH + since).unwrap_or_default().as_secs() / 86_400;
                println!(
                    "{}\t{}\t{} sessions\t{days} days\t{allowed}",
                    user.identity.email, user.identity.id, user.sessions
                );
            }
        }
        Command::Allow { email, globs, everything, nothing: _ } => {
            let email = Email::normalise(&email)?;
            known(&email, store.allow(email.clone(), (!everything).then_some(globs)).await?)?;
            println!("changed {email}");
        }
        Command::Remove { email } => {
            let email = Email::normalise(&email)?;
            known(&email, store.remove_user(email.clone()).await?)?;
            println!("removed {email}");
        }
    }
    Ok(())
}

/// Sees that the store's file, which is there, is none of those that everybody can fetch.
pub(crate) fn not_served(file: &Path, static_dir: &Path) -> Result<(), String> {
    match (file.canonicalize(), static_dir.canonicalize()) {
        (Ok(found), Ok(served)) if found.starts_with(&served) => Err(format!(
            "{} holds hashes of passwords, and lies in {}, whose files everybody can fetch: put it elsewhere with --auth",
            file.display(),
            static_dir.display()
        )),
        // What is wrong with the folder is told when it is opened.
        _ => Ok(()),
    }
}

fn known(email: &Email, is_known: bool) -> Result<(), String> {
    if is_known { Ok(()) } else { Err(format!("there is no user {email}")) }
}

/// From the environment, or a line of standard input.
fn password() -> Result<Password, Box<dyn Error>> {
    if let Ok(password) = std::env::var("AAW_PASSWORD") {
        return checked(&password);
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        eprintln!("The password, on one line (it will be seen; AAW_PASSWORD or a pipe keep it from the screen):");
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    checked(line.trim_end_matches(['\r', '\n']))
}

fn checked(password: &str) -> Result<Password, Box<dyn Error>> {
    match password.len() {
        0 => Err("a password is required, on standard input or as AAW_PASSWORD".into()),
        1..=1024 => Ok(Password::new(password)),
        _ => Err("a password may have 1024 bytes".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_among_the_pages_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (pages, inside, beside) =
            (folder.path().join("pages"), folder.path().join("pages/deep/a.sqlite"), folder.path().join("a.sqlite"));
        std::fs::create_dir_all(pages.join("deep")).unwrap();
        for file in [&inside, &beside] {
            std::fs::write(file, "").unwrap();
        }
        assert!(not_served(&inside, &pages).unwrap_err().contains("put it elsewhere"));
        assert!(not_served(&pages.join("deep/../../pages/deep/a.sqlite"), &pages).is_err());
        assert_eq!(not_served(&beside, &pages), Ok(()));
    }
}
