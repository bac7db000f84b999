//! The commands.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use aaw_client::{
    CallError, Client, ClientWarning, Code, Config, ConnectionEvent, ConnectionEvents, DisconnectReason, ItemStream,
    PreparedClient, Push, redacted_url,
};
use futures_util::FutureExt as _;
use serde_json::value::RawValue;

use crate::args::{CliCommand, ConnectionArgs, EventArgs, TokenArgs};
use crate::credentials::{self, SessionToken};
use crate::docs;
use crate::exit::{CliError, ExitReason};
use crate::input;
use crate::output::{note, one_line, print};

pub(crate) async fn run(command: CliCommand) -> Result<ExitCode, CliError> {
    match command {
        CliCommand::Call(args) => call(args).await,
        CliCommand::Stream(args) => stream(args).await,
        CliCommand::Send(args) => send(args).await,
        CliCommand::Listen { connection, events, token } => listen(connection, events, token).await,
        CliCommand::Login { connection, email, register, token_file } => {
            login(connection, &email, register, token_file.as_deref()).await
        }
        CliCommand::Completions { shell } => print_document(&docs::completions(shell)),
        CliCommand::Man { command } => print_document(&docs::man_page(command.as_deref())?),
    }
}

async fn call(args: EventArgs) -> Result<ExitCode, CliError> {
    let EventArgs { connection, event, json, token } = args;
    let body = body(json.as_deref())?;
    let (url, timeout) = (redacted_url(&connection.url), connection.timeout);
    let client = connect(connection, token).await?;
    // `RawValue` keeps the text of the response: numbers of any size, and the order of keys.
    let result: Result<Box<RawValue>, CallError> = client.send_async(&event, &body, timeout).await;
    client.close().await;
    let response = result.map_err(|error| CliError::from_call(&error, &url, &event))?;
    print_unless_closed(&(one_line(response.get()) + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

async fn stream(args: EventArgs) -> Result<ExitCode, CliError> {
    let EventArgs { connection, event, json, token } = args;
    let body = body(json.as_deref())?;
    let url = redacted_url(&connection.url);
    let client = connect(connection, token).await?;
    let mut items = client.stream::<Box<RawValue>>(&event, &body);
    // Printing blocks on a thread of its own, so that Ctrl-C works while the output is full.
    let printed = tokio::select! {
        printed = print_items(&mut items) => Some(printed),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.map_err(CliError::system)?;
            None
        }
    };
    // Cancels the call if it has not ended.
    drop(items);
    client.close().await;
    match printed {
        None => Ok(ExitReason::Interrupted.into()),
        Some(Ok(())) => Ok(ExitCode::SUCCESS),
        Some(Err(PrintItemsError::Call(error))) => Err(CliError::from_call(&error, &url, &event)),
        // The reader of the output has closed it, as `head` does.
        Some(Err(PrintItemsError::Output(error))) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Some(Err(PrintItemsError::Output(error))) => Err(cannot_write(&error)),
    }
}

/// Why not all items were printed.
enum PrintItemsError {
    Call(CallError),
    Output(io::Error),
}

/// Prints items as they arrive. Those that have arrived already are printed together, with one system call.
async fn print_items(items: &mut ItemStream<Box<RawValue>>) -> Result<(), PrintItemsError> {
    /// Bytes that are printed together at most, apart from the last item.
    const MAX_BATCH: usize = 64 << 10;
    while let Some(item) = items.next().await {
        let mut lines = String::new();
        let mut next = Some(item);
        let error = loop {
            match next.take() {
                Some(Ok(item)) => {
                    lines.push_str(&one_line(item.get()));
                    lines.push('\n');
                }
                Some(Err(error)) => break Some(error),
                None => break None,
            }
            if lines.len() < MAX_BATCH {
                next = items.next().now_or_never().flatten();
            }
        };
        match tokio::task::spawn_blocking(move || print(&lines)).await {
            Ok(printed) => printed.map_err(PrintItemsError::Output)?,
            Err(error) => return Err(PrintItemsError::Output(io::Error::other(error))),
        }
        if let Some(error) = error {
            return Err(PrintItemsError::Call(error));
        }
    }
    Ok(())
}

async fn send(args: EventArgs) -> Result<ExitCode, CliError> {
    let EventArgs { connection, event, json, token } = args;
    let body = body(json.as_deref())?;
    let url = redacted_url(&connection.url);
    let client = connect(connection, token).await?;
    let mut connection_events = client.connection_events();
    client.send_event(&event, &body).await.map_err(|error| CliError::from_send(&error, &url, &event))?;
    // The server confirms the close after any error that it reports for the event, such as an unknown name.
    client.close().await;
    let mut interrupted = None;
    while let Some(connection_event) = connection_events.next().await {
        match connection_event {
            ConnectionEvent::Interrupted(reason) => interrupted = Some(reason),
            ConnectionEvent::Resumed => interrupted = None,
            ConnectionEvent::Error(ClientWarning::Reported(failure)) => {
                return Err(CliError::from_call(&CallError::Failed(failure), &url, &event));
            }
            ConnectionEvent::Close(reason) if reason != DisconnectReason::ClosedByUs => {
                return Err(CliError::from_call(&CallError::OutcomeUnknown(reason), &url, &event));
            }
            ConnectionEvent::Error(warning) => {
                return Err(CliError::system(format!("{event} on {url}: {warning}")));
            }
            _ => {}
        }
    }
    match interrupted {
        Some(reason) => Err(CliError::from_call(&CallError::OutcomeUnknown(reason), &url, &event)),
        None => Ok(ExitCode::SUCCESS),
    }
}

async fn listen(connection: ConnectionArgs, events: Vec<String>, token: TokenArgs) -> Result<ExitCode, CliError> {
    let url = redacted_url(&connection.url);
    let token = credentials::token(token)?;
    let token_source = token.as_ref().map(|token| token.source.clone());
    // Subscribe before connecting, so that pushes that the server sends at once are printed.
    let prepared = prepare(connection, token)?;
    let mut pushes = match &events[..] {
        [] => prepared.on_any(),
        // Other events then take no space in the buffer.
        events => prepared.on_any_of(events.iter().map(String::as_str)),
    };
    let (client, mut connection_events) = first_connection(prepared, token_source.as_deref()).await?;
    let mut dropped = 0;
    // One future for all turns of the loop: each registers for Ctrl-C at its first poll and misses earlier ones.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            push = pushes.next() => {
                let Some(push) = push else { return Ok(ExitCode::SUCCESS) };
                if pushes.dropped() > dropped {
                    note(&format!("{} pushes arrived faster than they were printed and were dropped", pushes.dropped() - dropped));
                    dropped = pushes.dropped();
                }
                if let Some(lost) = push.lost() {
                    let pushes = if lost == 1 { "push" } else { "pushes" };
                    note(&format!("the server has dropped {lost} {pushes} while there was no connection"));
                    continue;
                }
                if !print_unless_closed(&push_line(&push))? {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            event = connection_events.next() => match event {
                Some(ConnectionEvent::Open { .. }) => note(&format!("reconnected to {url}")),
                Some(ConnectionEvent::Close(reason)) => note(&format!("{reason}; reconnecting")),
                Some(ConnectionEvent::Interrupted(reason)) => note(&format!("{reason}; resuming")),
                Some(ConnectionEvent::Resumed) => note("resumed"),
                Some(ConnectionEvent::Unauthorized(failure)) => note_expired(&failure, token_source.as_deref()),
                Some(ConnectionEvent::Error(warning)) => note(&warning.to_string()),
                _ => {}
            },
            interrupted = &mut interrupted => {
                interrupted.map_err(CliError::system)?;
                client.close().await;
                return Ok(ExitReason::Interrupted.into());
            }
        }
    }
}

async fn login(
    connection: ConnectionArgs,
    email: &str,
    register: bool,
    token_file: Option<&Path>,
) -> Result<ExitCode, CliError> {
    let url = redacted_url(&connection.url);
    let event = if register { "aaw/register" } else { "aaw/login" };
    let password = credentials::password(email)?;
    let client = first_connection(prepare(connection, None)?, None).await?.0;
    let result = if register { client.register(email, &password).await } else { client.login(email, &password).await };
    client.close().await;
    if matches!(&result, Err(CallError::Failed(failure)) if failure.code == Code::UNKNOWN_EVENT) {
        note("the server has no log-ins; aaw-server has them with --auth");
    }
    let identity = result.map_err(|error| CliError::from_call(&error, &url, event))?;
    let no_token = || CliError::system(format!("{event} on {url}: the response contains no token"));
    let token = client.token().ok_or_else(no_token)?;
    let line = match token_file {
        Some(file) => {
            credentials::write_token(file, &token)
                .map_err(|error| CliError::system(format!("cannot store the token in {}: {error}", file.display())))?;
            serde_json::to_string(&identity).map_err(CliError::system)?
        }
        None => token.as_str().to_owned(),
    };
    // A closed output is an error here, because the token may be lost.
    print(&(line + "\n")).map_err(|error| cannot_write(&error))?;
    Ok(ExitCode::SUCCESS)
}

async fn connect(connection: ConnectionArgs, token: TokenArgs) -> Result<Client, CliError> {
    let token = credentials::token(token)?;
    let token_source = token.as_ref().map(|token| token.source.clone());
    Ok(first_connection(prepare(connection, token)?, token_source.as_deref()).await?.0)
}

fn prepare(connection: ConnectionArgs, token: Option<SessionToken>) -> Result<PreparedClient, CliError> {
    let timeout = connection.timeout.max(Duration::from_millis(1));
    let mut config = Config { connect_timeout: timeout, auth_timeout: timeout, ..Config::default() };
    if let Some(SessionToken { token, on_token, .. }) = token {
        config.token = Some(token);
        config.on_token = on_token;
    }
    for (name, value) in connection.headers {
        config.headers.append(name, value);
    }
    aaw_client::prepare(&connection.url, config).map_err(|error| CliError::from_connect(&error))
}

/// Connects, and notes if the session has expired. The command continues: its event may need no session.
async fn first_connection(
    prepared: PreparedClient,
    token_source: Option<&str>,
) -> Result<(Client, ConnectionEvents), CliError> {
    let mut connection_events = prepared.connection_events();
    let client = prepared.connect().await.map_err(|error| CliError::from_connect(&error))?;
    while let Some(Some(event)) = connection_events.next().now_or_never() {
        if let ConnectionEvent::Unauthorized(failure) = event {
            note_expired(&failure, token_source);
        }
    }
    Ok((client, connection_events))
}

fn note_expired(failure: &aaw_client::Failure, token_source: Option<&str>) {
    let token_source = token_source.map(|source| format!(" (the token in {source})")).unwrap_or_default();
    note(&format!("{failure}{token_source}; `aaw login` creates a new token"));
}

/// The body from the command line or from standard input: JSON, whose text is sent unchanged.
fn body(json: Option<&str>) -> Result<Box<RawValue>, CliError> {
    /// The largest message that the client sends.
    const MAX_BODY: u64 = 16 << 20;
    let (text, source) = match json {
        None => return Ok(RawValue::NULL.to_owned()),
        Some("-") => {
            let read = input::read_text(io::stdin().lock(), MAX_BODY);
            let text =
                read.map_err(|error| CliError::usage(format!("cannot read the body from standard input: {error}")))?;
            (text, "standard input")
        }
        Some(text) => (input::without_bom(text).to_owned(), "the body"),
    };
    if text.trim().is_empty() {
        return Err(CliError::usage(format!("{source} is empty; expected JSON, such as null")));
    }
    RawValue::from_string(text).map_err(|error| {
        CliError::usage(format!("{source} is not JSON: {error}\nA string needs double quotes, for example '\"text\"'."))
    })
}

fn push_line(push: &Push) -> String {
    let event = serde_json::to_string(push.event()).unwrap_or_default();
    format!("{{\"event\":{event},\"data\":{}}}\n", one_line(push.json()))
}

/// Prints whole lines. Returns `false` if the reader of the output has closed it, as `head` does: that is no error.
fn print_unless_closed(lines: &str) -> Result<bool, CliError> {
    match print(lines) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(cannot_write(&error)),
    }
}

fn print_document(text: &[u8]) -> Result<ExitCode, CliError> {
    print_unless_closed(&String::from_utf8_lossy(text))?;
    Ok(ExitCode::SUCCESS)
}

fn cannot_write(error: &io::Error) -> CliError {
    CliError::system(format!("cannot write to standard output: {error}"))
}
