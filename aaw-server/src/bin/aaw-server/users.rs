//! `aaw-server user`: manages the users in the file of `--auth`.

use std::error::Error;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::time::SystemTime;

use aaw_server::auth::{Auth, Email, Password, SqliteStore, User};
use clap::{Args, Subcommand};

use crate::settings::{DEFAULT_STORE, Settings, UserFlags, Values};

#[derive(Debug, Args)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
    #[command(flatten)]
    flags: UserFlags,
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
    /// Set the password of a user and end the user's sessions. The password is read as by `add`
    Passwd {
        /// The e-mail address, or the id
        user: String,
    },
    /// List the users: address, id, number of sessions, age in days, allowed events. In a terminal the list has a header;
    /// in a pipe it has one user per line, with tabs between the fields
    List,
    /// Set which protected events a user may call. A running server applies the change within about a second
    Allow {
        /// The e-mail address, or the id
        user: String,
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
        /// The e-mail address, or the id
        user: String,
    },
}

pub(crate) async fn run(args: UserArgs) -> Result<(), Box<dyn Error>> {
    let Values { auth: Auth { min_password_chars, .. }, passwords, program, .. } =
        Settings::load_for_users(&args.flags)?.values;
    let file = program.auth_file.unwrap_or_else(|| DEFAULT_STORE.into());
    let creates_file = matches!(args.command, UserCommand::Add { .. });
    if !creates_file && !file.exists() {
        return Err(format!("{} does not exist; choose the file with --auth", file.display()).into());
    }
    // With the parameters of the server, which would otherwise replace the hash at the first log-in.
    let store = SqliteStore::open_with(&file, passwords.hasher()?).await?;
    let mut out = io::stdout().lock();
    match args.command {
        UserCommand::Add { email, allow } => {
            let email = Email::parse(&email)?;
            let allowed = (!allow.is_empty()).then_some(allow);
            let user = store.add_user(email, read_password(min_password_chars)?, allowed).await?;
            writeln!(out, "added {} ({})", user.email, user.id)?;
        }
        UserCommand::Passwd { user } => {
            let email = find(&store, &user).await?;
            check_exists(&email, store.change_password(email.clone(), read_password(min_password_chars)?).await?)?;
            writeln!(out, "changed the password of {email}")?;
        }
        UserCommand::List => {
            let users = store.users().await?;
            let list = if out.is_terminal() { table(&users) } else { lines(&users) };
            out.write_all(list.as_bytes())?;
        }
        UserCommand::Allow { user, globs, everything, nothing: _ } => {
            let email = find(&store, &user).await?;
            check_exists(&email, store.allow(email.clone(), (!everything).then_some(globs)).await?)?;
            writeln!(out, "changed {email}")?;
        }
        UserCommand::Remove { user } => {
            let email = find(&store, &user).await?;
            check_exists(&email, store.remove_user(email.clone()).await?)?;
            writeln!(out, "removed {email}")?;
        }
    }
    Ok(())
}

/// Returns the address of the user with this address or id, who exists.
async fn find(store: &SqliteStore, user: &str) -> Result<Email, Box<dyn Error>> {
    let users = store.users().await?;
    if let Some(by_id) = users.iter().find(|known| known.identity.id == user) {
        return Ok(Email::normalize(&by_id.identity.email)?);
    }
    let email = Email::normalize(user)?;
    let is_stored = |form: &str| users.iter().any(|known| known.identity.email == form);
    check_exists(&email, is_stored(email.as_str()) || is_stored(email.as_sent()))?;
    Ok(email)
}

/// The users for a program: one per line, with tabs between the fields.
fn lines(users: &[User]) -> String {
    let line = |user: &User| {
        let [email, id, sessions, days, allowed] = fields(user);
        format!("{email}\t{id}\t{sessions} sessions\t{days} days\t{allowed}\n")
    };
    users.iter().map(line).collect()
}

/// The users for a person: a header, and columns.
fn table(users: &[User]) -> String {
    let header = ["EMAIL", "ID", "SESSIONS", "DAYS", "ALLOWED"].map(String::from);
    let rows: Vec<_> = [header].into_iter().chain(users.iter().map(fields)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 4] = std::array::from_fn(width);
    let mut table = String::new();
    for [columns @ .., last] in &rows {
        for (text, width) in columns.iter().zip(widths) {
            table.push_str(&format!("{text:width$}  "));
        }
        table.push_str(last);
        table.push('\n');
    }
    table
}

/// The address, the id, the number of sessions, the age in days, and the allowed events.
fn fields(user: &User) -> [String; 5] {
    let User { identity, created, sessions, .. } = user;
    let allowed = match &identity.allowed {
        None => "everything".to_owned(),
        Some(globs) if globs.is_empty() => "nothing".to_owned(),
        Some(globs) => globs.join(" "),
    };
    let days = SystemTime::now().duration_since(*created).unwrap_or_default().as_secs() / 86_400;
    [identity.email.clone(), identity.id.clone(), sessions.to_string(), days.to_string(), allowed]
}

fn check_exists(email: &Email, exists: bool) -> Result<(), String> {
    if exists { Ok(()) } else { Err(format!("there is no user {email}")) }
}

/// Reads a new password from the environment, or from a line of standard input.
fn read_password(min_chars: usize) -> Result<Password, Box<dyn Error>> {
    if let Ok(password) = std::env::var("AAW_PASSWORD") {
        return check_password(&password, min_chars);
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let _ = writeln!(io::stderr(), "Password (it will be visible; use AAW_PASSWORD or a pipe to avoid that):");
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    check_password(line.trim_end_matches(['\r', '\n']), min_chars)
}

fn check_password(text: &str, min_chars: usize) -> Result<Password, Box<dyn Error>> {
    const MAX: usize = Auth::DEFAULT_MAX_PASSWORD_BYTES;
    match text.len() {
        0 => Err("a password is required, on standard input or in AAW_PASSWORD".into()),
        1..=MAX => {
            let password = Password::new(text);
            password.check_new(min_chars)?;
            Ok(password)
        }
        len => Err(format!("the password has {len} bytes; the maximum is {MAX}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn users_are_listed_as_lines_for_programs_and_as_a_table_for_people() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("a.sqlite")).await.unwrap();
        let add = async |email: &str, allowed: Option<Vec<String>>| {
            store.add_user(Email::parse(email).unwrap(), Password::new("correct horse"), allowed).await.unwrap().id
        };
        let ada = add("ada@example.org", Some(vec!["auth/a".into(), "auth/b".into()])).await;
        let asa = add("åsa@ex.org", None).await;
        let users = store.users().await.unwrap();
        assert_eq!(
            lines(&users),
            format!(
                "ada@example.org\t{ada}\t0 sessions\t0 days\tauth/a auth/b\nåsa@ex.org\t{asa}\t0 sessions\t0 days\teverything\n"
            )
        );
        let pad = " ".repeat(ada.len() - 2);
        assert_eq!(
            table(&users),
            format!(
                "EMAIL            ID{pad}  SESSIONS  DAYS  ALLOWED\n\
                 ada@example.org  {ada}  0         0     auth/a auth/b\n\
                 åsa@ex.org       {asa}  0         0     everything\n"
            )
        );
        assert_eq!(table(&[]).lines().count(), 1, "the header alone");
    }

    #[test]
    fn a_new_password_has_the_minimum_length() {
        let check =
            |text: &str, min_chars: usize| check_password(text, min_chars).map(drop).map_err(|error| error.to_string());
        assert_eq!(check("correct", 6), Ok(()));
        let short = "The password has 7 characters; at least 15 are required";
        assert_eq!(check("correct", 15), Err(short.to_owned()));
        assert!(check("", 6).unwrap_err().contains("AAW_PASSWORD"));
        assert!(check(&"x".repeat(1025), 6).unwrap_err().contains("1024"));
    }
}
