//! Logging in, and the token: from a file or the environment, never from an argument, which everybody on the machine can
//! read, nor in a URL, which ends up in logs.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use aaw_client::{OnToken, Token};

use crate::args::Session;
use crate::exit::Failure;
use crate::run::note;

/// Where a token can be, if no file is named.
const TOKEN: &str = "AAW_TOKEN";
/// Where a password can be.
const PASSWORD: &str = "AAW_PASSWORD";

/// Bytes of the longest token, and of the longest password, by far.
const LONGEST: u64 = 64 << 10;

/// The token to show to the server, if there is one, and who keeps the one that it gives instead.
pub(crate) fn token(session: Session) -> Result<(Option<Token>, Option<OnToken>), Failure> {
    match session.token_file {
        Some(file) => {
            let token = read(&file)?;
            Ok((Some(token), Some(keep_in(file))))
        }
        None => match std::env::var(TOKEN) {
            Ok(token) if !token.trim().is_empty() => Ok((Some(Token::new(token.trim())), None)),
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok((None, None)),
            Err(std::env::VarError::NotUnicode(_)) => Err(Failure::usage(format!("{TOKEN} is not text"))),
        },
    }
}

fn read(file: &Path) -> Result<Token, Failure> {
    let cannot = |problem: &dyn std::fmt::Display| {
        let file = file.display();
        Failure::usage(format!(
            "cannot read a token from {file}: {problem}\n`aaw login URL --token-file {file}` makes it."
        ))
    };
    let mut text = String::new();
    let opened = fs::File::open(file).map_err(|error| cannot(&error))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if opened.metadata().is_ok_and(|data| data.permissions().mode() & 0o077 != 0) {
            note(&format!("others can read the token in {0}; `chmod 600 {0}` keeps it from them", file.display()));
        }
    }
    opened.take(LONGEST).read_to_string(&mut text).map_err(|error| cannot(&error))?;
    match text.trim() {
        "" => Err(cannot(&"it is empty")),
        token => Ok(Token::new(token)),
    }
}

/// The server may give another token for the one that it is shown.
fn keep_in(file: PathBuf) -> OnToken {
    OnToken::new(move |token| {
        if let Some(token) = token
            && let Err(error) = write(&file, token)
        {
            note(&format!("cannot keep the new token in {}: {error}", file.display()));
        }
    })
}

/// Writes the token where its owner alone can read it, in one step: whoever reads the file meanwhile finds the old one.
pub(crate) fn write(file: &Path, token: &Token) -> io::Result<()> {
    let mut name = file.file_name().ok_or_else(|| io::Error::other("it is no file's name"))?.to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = file.with_file_name(name);
    let written = write_new(&beside, token).and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        // It may not even be there.
        let _ = fs::remove_file(&beside);
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

/// The password: from the environment, from the terminal without showing it, or as the first line of standard input.
pub(crate) fn password(email: &str) -> Result<String, Failure> {
    match std::env::var(PASSWORD) {
        Ok(password) => return Ok(password),
        Err(std::env::VarError::NotPresent) => {}
        Err(std::env::VarError::NotUnicode(_)) => return Err(Failure::usage(format!("{PASSWORD} is not text"))),
    }
    let cannot = |error: io::Error| Failure::usage(format!("cannot read the password: {error}"));
    if io::stdin().is_terminal() {
        return rpassword::prompt_password(format!("Password of {email}: ")).map_err(cannot);
    }
    let mut line = String::new();
    io::stdin().lock().take(LONGEST).read_line(&mut line).map_err(cannot)?;
    let password = line.strip_suffix('\n').map_or(&*line, |line| line.strip_suffix('\r').unwrap_or(line));
    if password.is_empty() {
        return Err(Failure::usage(format!(
            "no password: type it in a terminal, or give it as a line of standard input, or in {PASSWORD}"
        )));
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_written_for_its_owner_alone_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        for token in ["t1", "t2"] {
            write(&file, &Token::new(token)).unwrap();
            assert_eq!(read(&file).unwrap().as_str(), token);
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        assert!(write(&folder.path().join("nowhere/token"), &Token::new("t")).is_err());
        fs::write(&file, " \n").unwrap();
        assert!(read(&file).unwrap_err().text.contains("it is empty"));
    }
}
