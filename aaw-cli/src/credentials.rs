//! Tokens and passwords. They come from files, the environment, standard input or the terminal; never from an argument,
//! which other users of the machine can read, and never in a URL, which ends up in logs.

use std::env::{self, VarError};
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use aaw_client::{OnToken, Token};

use crate::args::TokenArgs;
use crate::exit::CliError;
use crate::input;
use crate::output::note;

/// The environment variable with the token, unless a file is given.
const TOKEN_VARIABLE: &str = "AAW_TOKEN";
/// The environment variable with the password.
const PASSWORD_VARIABLE: &str = "AAW_PASSWORD";

/// Bytes that are read of a token or a password; real ones are far shorter.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// The token of a session that was begun earlier.
pub(crate) struct SessionToken {
    pub(crate) token: Token,
    /// Stores the token that the server returns for it.
    pub(crate) on_token: Option<OnToken>,
    /// Where it was found, for errors: the variable or the file.
    pub(crate) source: String,
}

/// The token to resume a session by, if there is one.
pub(crate) fn token(args: TokenArgs) -> Result<Option<SessionToken>, CliError> {
    match args.token_file {
        Some(file) => {
            let (token, source) = (read_token(&file)?, file.display().to_string());
            Ok(Some(SessionToken { token, on_token: Some(store_in(file)), source }))
        }
        None => Ok(variable(TOKEN_VARIABLE)?.filter(|token| !token.trim().is_empty()).map(|token| SessionToken {
            token: Token::new(token.trim()),
            on_token: None,
            source: TOKEN_VARIABLE.into(),
        })),
    }
}

/// The value of an environment variable. An empty one is as if it was not set.
fn variable(name: &str) -> Result<Option<String>, CliError> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(not_utf8(name)),
    }
}

fn not_utf8(variable: &str) -> CliError {
    CliError::usage(format!("the environment variable {variable} is not valid UTF-8"))
}

fn read_token(file: &Path) -> Result<Token, CliError> {
    let fail = |problem: &dyn std::fmt::Display| {
        let file = file.display();
        CliError::usage(format!(
            "cannot read a token from {file}: {problem}\n`aaw login URL --email ADDRESS --token-file {file}` creates it."
        ))
    };
    let opened = fs::File::open(file).map_err(|error| fail(&error))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if opened.metadata().is_ok_and(|data| data.permissions().mode() & 0o077 != 0) {
            note(&format!("other users can read the token in {0}; `chmod 600 {0}` prevents that", file.display()));
        }
    }
    let text = input::read_text(opened, MAX_SECRET_BYTES).map_err(|error| fail(&error))?;
    match text.trim() {
        "" => Err(fail(&"the file is empty")),
        token => Ok(Token::new(token)),
    }
}

/// A resumption may return another token than the one that it was given.
fn store_in(file: PathBuf) -> OnToken {
    OnToken::new(move |token| {
        if let Some(token) = token
            && let Err(error) = write_token(&file, token)
        {
            note(&format!("cannot store the new token in {}: {error}", file.display()));
        }
    })
}

/// Writes the token to a file that only its owner can read, atomically: a concurrent reader gets the old token or the
/// new.
pub(crate) fn write_token(file: &Path, token: &Token) -> io::Result<()> {
    let mut name = file.file_name().ok_or_else(|| io::Error::other("the path does not name a file"))?.to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = file.with_file_name(name);
    let written = write_new(&temporary, token).and_then(|()| fs::rename(&temporary, file));
    if written.is_err() {
        // The error may be that it does not exist.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_new(file: &Path, token: &Token) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(file)?;
    writeln!(file, "{}", token.as_str())?;
    file.sync_all()
}

/// The password: from the environment, from the terminal without echo, or the first line of standard input.
pub(crate) fn password(email: &str) -> Result<String, CliError> {
    if let Some(password) = variable(PASSWORD_VARIABLE)? {
        return Ok(password);
    }
    let fail = |error: io::Error| CliError::usage(format!("cannot read the password: {error}"));
    if io::stdin().is_terminal() {
        return rpassword::prompt_password(format!("Password of {email}: ")).map_err(fail);
    }
    let mut line = String::new();
    io::stdin().lock().take(MAX_SECRET_BYTES).read_line(&mut line).map_err(fail)?;
    let line = input::without_bom(&line);
    let password = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
    if password.is_empty() {
        return Err(CliError::usage(format!(
            "no password: type it in a terminal, pass it as the first line of standard input, or set {PASSWORD_VARIABLE}"
        )));
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_token_is_private_and_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        for token in ["t1", "t2"] {
            write_token(&file, &Token::new(token)).unwrap();
            assert_eq!(read_token(&file).unwrap().as_str(), token);
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file remains");
        assert!(write_token(&folder.path().join("missing/token"), &Token::new("t")).is_err());
        fs::write(&file, " \n").unwrap();
        assert!(read_token(&file).unwrap_err().message.contains("the file is empty"));
        fs::write(&file, "\u{feff}t3\r\n").unwrap();
        assert_eq!(read_token(&file).unwrap().as_str(), "t3");
    }
}
