//! A server that is scripted by the test, frame by frame. The tests of aaw-cli use it too.

// Each test that includes this file uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::future::Future;
use std::time::Duration;

use aaw_client::{Backoff, Client, Config};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// Waits for the future, and fails the test if it takes longer than 10 s.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(Duration::from_secs(10), future).await {
        Ok(done) => done,
        Err(_) => panic!("timed out waiting for {what}"),
    }
}

/// A config that reconnects without a noticeable wait.
pub fn eager() -> Config {
    Config { backoff: Backoff { min: Duration::from_millis(1), ..Backoff::default() }, ..Config::default() }
}

pub async fn pair() -> (ScriptedServer, Client, ScriptedConnection<TcpStream>) {
    pair_with(eager()).await
}

pub async fn pair_with(config: Config) -> (ScriptedServer, Client, ScriptedConnection<TcpStream>) {
    let server = ScriptedServer::start().await;
    let url = server.url();
    let (client, connection) = tokio::join!(aaw_client::connect_with(&url, config), server.accept());
    (server, client.unwrap(), connection)
}

pub async fn classic_pair() -> (ScriptedServer, Client, ScriptedConnection<TcpStream>) {
    let server = ScriptedServer::start().await;
    let url = server.url();
    let (client, connection) = tokio::join!(aaw_client::connect_with(&url, eager()), server.accept_classic());
    (server, client.unwrap(), connection)
}

pub struct ScriptedServer(TcpListener);

impl ScriptedServer {
    pub async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port())
    }

    pub async fn tcp(&self) -> TcpStream {
        soon("a connection", self.0.accept()).await.unwrap().0
    }

    /// Accepts a client as an aaw server without resumption does, and sends the welcome.
    pub async fn accept(&self) -> ScriptedConnection<TcpStream> {
        let mut connection = self.accept_without_welcome().await;
        connection.send(r#"["aaw/welcome",{"connection":"c1"}]"#).await;
        connection
    }

    /// As [`accept`](Self::accept), without the welcome.
    pub async fn accept_without_welcome(&self) -> ScriptedConnection<TcpStream> {
        let mut connection = ScriptedConnection::handshake(self.tcp().await, "aaw.v1").await;
        let hello = connection.read().await;
        assert!(hello.starts_with(r#"["aaw/hello",{"#), "{hello}");
        connection
    }

    /// Accepts a client as the original server does: it selects the first sub-protocol.
    pub async fn accept_classic(&self) -> ScriptedConnection<TcpStream> {
        ScriptedConnection::handshake(self.tcp().await, "first").await
    }
}

pub struct ScriptedConnection<S> {
    pub socket: WebSocketStream<S>,
    /// The client's handshake.
    pub request: Request,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ScriptedConnection<S> {
    /// Accepts a handshake. `choose` is the sub-protocol to select; "first" selects the first that is offered, "" none.
    pub async fn handshake(stream: S, choose: &str) -> Self {
        let mut seen = None;
        // The signature is tungstenite's.
        #[expect(clippy::result_large_err)]
        let callback = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            seen = Some(request.clone());
            let offered = request.headers().get("sec-websocket-protocol").map(|offer| offer.to_str().unwrap());
            let chosen = match choose {
                "first" => offered.and_then(|offer| offer.split(',').next()).map(str::trim),
                "" => None,
                other => Some(other),
            };
            if let Some(chosen) = chosen {
                response.headers_mut().insert("sec-websocket-protocol", chosen.parse().unwrap());
            }
            Ok(response)
        };
        let socket = soon("a handshake", accept_hdr_async(stream, callback)).await.unwrap();
        Self { socket, request: seen.unwrap() }
    }

    /// The next text message.
    pub async fn read(&mut self) -> String {
        loop {
            match self.message().await {
                Some(Message::Text(text)) => return text.to_string(),
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("expected text, found {other:?}"),
            }
        }
    }

    pub async fn message(&mut self) -> Option<Message> {
        soon("a message", self.socket.next()).await.transpose().ok().flatten()
    }

    pub async fn send(&mut self, text: &str) {
        soon("a write", self.socket.send(Message::text(text))).await.unwrap();
    }

    /// Closes the connection, and waits for the client to confirm it.
    pub async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        soon("a write", self.socket.send(Message::Close(Some(frame)))).await.unwrap();
        while self.message().await.is_some() {}
    }

    /// Waits for the client to close, and returns its code. Ignores messages before that.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.message().await {
                Some(Message::Close(frame)) => {
                    // Sends the close frame that tungstenite has queued in response.
                    while self.message().await.is_some() {}
                    return frame.map_or(1005, |frame| frame.code.into());
                }
                Some(_) => {}
                None => panic!("the client ended the connection without a close frame"),
            }
        }
    }
}
