//! Doing it.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use aaw_client::{
    CallError, Client, ClientWarning, Config, ConnectionEvent, ConnectionEvents, DisconnectReason, ItemStream,
    PreparedClient, Push,
};
use futures_util::FutureExt as _;
use serde_json::value::RawValue;

use crate::args::{Args, Command, Connection, Session, What};
use crate::exit::{Code, Failure};
use crate::session;

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Call { what, session, connection } => call(what, session, connection).await,
        Command::Stream { what, session, connection } => stream(what, session, connection).await,
        Command::Send { what, session, connection } => send(what, session, connection).await,
        Command::Listen { url, event, session, connection } => listen(&url, event, session, connection).await,
        Command::Login { url, email, register, token_file, connection } => {
            login(&url, &email, register, token_file.as_deref(), connection).await
        }
    }
}

async fn call(what: What, session: Session, connection: Connection) -> Result<ExitCode, Failure> {
    let body = body(what.json.as_deref())?;
    let timeout = connection.timeout;
    let client = connect(&what.url, config(session, connection)?).await?;
    // As it came: numbers of any size, keys in their order.
    let called: Result<Box<RawValue>, CallError> = client.send_async(&what.event, &body, timeout).await;
    client.close().await;
    let answer = called.map_err(|error| Failure::of_call(&error, &what.url, &what.event))?;
    match print(&(one_line(answer.get()) + "\n")) {
        // Nobody reads the answer. The call was made all the same.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::system(format!("cannot write the answer: {error}"))),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

async fn stream(what: What, session: Session, connection: Connection) -> Result<ExitCode, Failure> {
    let body = body(what.json.as_deref())?;
    let client = connect(&what.url, config(session, connection)?).await?;
    let mut items = client.stream::<Box<RawValue>>(&what.event, &body);
    // Printing happens beside this, so that an interruption is heard while nobody reads the output.
    let printed = tokio::select! {
        printed = print_items(&mut items) => Some(printed),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.map_err(Failure::system)?;
            None
        }
    };
    // Cancels the call, if it is not over.
    drop(items);
    client.close().await;
    match printed {
        None => Ok(Code::Interrupted.into()),
        Some(Ok(())) => Ok(ExitCode::SUCCESS),
        Some(Err(Unprinted::Call(error))) => Err(Failure::of_call(&error, &what.url, &what.event)),
        // `| head` has had enough.
        Some(Err(Unprinted::Output(error))) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Some(Err(Unprinted::Output(error))) => Err(Failure::system(format!("cannot write: {error}"))),
    }
}

/// Why not all items were printed.
enum Unprinted {
    Call(CallError),
    Output(io::Error),
}

/// Prints items as they come: those that are there already at once, so that many cost no system call each.
async fn print_items(items: &mut ItemStream<Box<RawValue>>) -> Result<(), Unprinted> {
    /// Bytes, after which what is there is printed though there is more.
    const MUCH: usize = 64 << 10;
    while let Some(item) = items.next().await {
        let mut lines = String::new();
        let mut last = Some(item);
        let failed = loop {
            match last.take() {
                Some(Ok(item)) => {
                    lines.push_str(&one_line(item.get()));
                    lines.push('\n');
                }
                Some(Err(error)) => break Some(error),
                None => break None,
            }
            if lines.len() < MUCH {
                last = items.next().now_or_never().flatten();
            }
        };
        match tokio::task::spawn_blocking(move || print(&lines)).await {
            Ok(printed) => printed.map_err(Unprinted::Output)?,
            Err(error) => return Err(Unprinted::Output(io::Error::other(error))),
        }
        if let Some(error) = failed {
            return Err(Unprinted::Call(error));
        }
    }
    Ok(())
}

async fn send(what: What, session: Session, connection: Connection) -> Result<ExitCode, Failure> {
    let body = body(what.json.as_deref())?;
    let client = connect(&what.url, config(session, connection)?).await?;
    let mut changes = client.connection_events();
    client.send_event(&what.event, &body).await.map_err(|error| Failure::of_send(&error, &what.url, &what.event))?;
    // The server answers the close behind what it has to say about what was sent: that there is no such event, say.
    client.close().await;
    while let Some(change) = changes.next().await {
        match change {
            ConnectionEvent::Error(ClientWarning::Reported(failure)) => {
                return Err(Failure::of_call(&CallError::Failed(failure), &what.url, &what.event));
            }
            ConnectionEvent::Close(why) if why != DisconnectReason::ClosedByUs => {
                return Err(Failure::of_call(&CallError::OutcomeUnknown(why), &what.url, &what.event));
            }
            ConnectionEvent::Error(trouble) => {
                return Err(Failure::system(format!("{} on {}: {trouble}", what.event, what.url)));
            }
            _ => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn listen(url: &str, events: Vec<String>, session: Session, connection: Connection) -> Result<ExitCode, Failure> {
    // Listening comes first, so that a greeting is not missed.
    let prepared =
        aaw_client::prepare(url, config(session, connection)?).map_err(|error| Failure::of_connect(&error))?;
    let mut pushes = match &events[..] {
        [] => prepared.on_any(),
        // Nothing else takes a place among what waits to be printed.
        events => prepared.on_any_of(events.iter().map(String::as_str)),
    };
    let (client, mut changes) = first_connection(prepared).await?;
    let mut lost = 0;
    // One for all turns of the loop: each hears only what comes after it was asked first.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            push = pushes.next() => {
                let Some(push) = push else { return Ok(ExitCode::SUCCESS) };
                if pushes.lost() > lost {
                    note(&format!("{} messages came faster than they were read, and are lost", pushes.lost() - lost));
                    lost = pushes.lost();
                }
                match print(&line(&push)) {
                    // `| head` has had enough.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                    Err(error) => return Err(Failure::system(format!("cannot write: {error}"))),
                    Ok(()) => {}
                }
            }
            change = changes.next() => match change {
                Some(ConnectionEvent::Open { .. }) => note(&format!("connected to {url} again")),
                Some(ConnectionEvent::Close(why)) => note(&format!("{why}; connecting again")),
                Some(ConnectionEvent::Unauthorized(why)) => expired(&why),
                Some(ConnectionEvent::Error(trouble)) => note(&trouble.to_string()),
                _ => {}
            },
            interrupted = &mut interrupted => {
                interrupted.map_err(Failure::system)?;
                client.close().await;
                return Ok(Code::Interrupted.into());
            }
        }
    }
}

async fn login(
    url: &str,
    email: &str,
    register: bool,
    token_file: Option<&Path>,
    connection: Connection,
) -> Result<ExitCode, Failure> {
    let event = if register { "aaw/register" } else { "aaw/login" };
    let password = session::password(email)?;
    let client = connect(url, config_without_session(connection)).await?;
    let entered = if register { client.register(email, &password).await } else { client.login(email, &password).await };
    client.close().await;
    let identity = entered.map_err(|error| Failure::of_call(&error, url, event))?;
    let no_token = || Failure::system(format!("{event} on {url}: the server gave no token"));
    let token = client.token().ok_or_else(no_token)?;
    let line = match token_file {
        Some(file) => {
            session::write(file, &token)
                .map_err(|error| Failure::system(format!("cannot keep the token in {}: {error}", file.display())))?;
            serde_json::to_string(&identity).map_err(Failure::system)?
        }
        None => token.as_str().to_owned(),
    };
    print(&(line + "\n")).map_err(|error| Failure::system(format!("cannot write: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

async fn connect(url: &str, config: Config) -> Result<Client, Failure> {
    let prepared = aaw_client::prepare(url, config).map_err(|error| Failure::of_connect(&error))?;
    Ok(first_connection(prepared).await?.0)
}

/// Connects, and says if the server does not know the token any more. Then what needs none still works.
async fn first_connection(prepared: PreparedClient) -> Result<(Client, ConnectionEvents), Failure> {
    let mut changes = prepared.connection_events();
    let client = prepared.connect().await.map_err(|error| Failure::of_connect(&error))?;
    while let Some(Some(change)) = changes.next().now_or_never() {
        if let ConnectionEvent::Unauthorized(why) = change {
            expired(&why);
        }
    }
    Ok((client, changes))
}

fn expired(why: &aaw_client::Failure) {
    note(&format!("{why}; `aaw login` makes a new token"));
}

fn config(session: Session, connection: Connection) -> Result<Config, Failure> {
    let (token, on_token) = session::token(session)?;
    Ok(Config { token, on_token, ..config_without_session(connection) })
}

fn config_without_session(connection: Connection) -> Config {
    let timeout = connection.timeout.max(Duration::from_millis(1));
    let mut config = Config { connect_timeout: timeout, auth_timeout: timeout, ..Config::default() };
    for (name, value) in connection.header {
        config.headers.append(name, value);
    }
    config
}

/// The body of the command line, or of standard input: JSON, as it stands.
fn body(json: Option<&str>) -> Result<Box<RawValue>, Failure> {
    let (text, source) = match json {
        None => return Ok(RawValue::NULL.to_owned()),
        Some("-") => {
            let mut text = String::new();
            io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Failure::usage(format!("cannot read the body from standard input: {error}")))?;
            (text, "standard input")
        }
        Some(text) => (text.to_owned(), "the body"),
    };
    RawValue::from_string(text).map_err(|error| {
        Failure::usage(format!(
            "{source} is not JSON: {error}\nText stands in double quotes: '\"text\"'; see aaw --help."
        ))
    })
}

fn line(push: &Push) -> String {
    let event = serde_json::to_string(push.event()).unwrap_or_default();
    format!("{{\"event\":{event},\"data\":{}}}\n", one_line(push.json()))
}

/// JSON without line breaks. They can only stand between its tokens, where a space says the same.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

/// Prints whole lines.
fn print(lines: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    out.flush()
}

pub(crate) fn note(text: &str) {
    // With standard error gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "aaw: {text}");
}
