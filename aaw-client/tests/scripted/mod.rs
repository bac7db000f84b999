//! A server that does what the test says, frame by frame. The command line's tests use it too.

// Each test that includes this uses a part of it.
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

/// No test waits longer than this for anything.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(Duration::from_secs(10), future).await {
        Ok(done) => done,
        Err(_) => panic!("this never happened: {what}"),
    }
}

/// Attempts follow each other at once.
pub fn eager() -> Config {
    Config { backoff: Backoff { min: Duration::from_millis(1), ..Backoff::default() }, ..Config::default() }
}

pub async fn pair() -> (Server, Client, Peer<TcpStream>) {
    pair_with(eager()).await
}

pub async fn pair_with(config: Config) -> (Server, Client, Peer<TcpStream>) {
    let server = Server::start().await;
    let url = server.url();
    let (client, peer) = tokio::join!(aaw_client::connect_with(&url, config), server.accept());
    (server, client.unwrap(), peer)
}

pub async fn classic_pair() -> (Server, Client, Peer<TcpStream>) {
    let server = Server::start().await;
    let url = server.url();
    let (client, peer) = tokio::join!(aaw_client::connect_with(&url, eager()), server.accept_classic());
    (server, client.unwrap(), peer)
}

pub struct Server(TcpListener);

impl Server {
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

    /// Accepts a client as our server does, up to the welcome.
    pub async fn accept(&self) -> Peer<TcpStream> {
        let mut peer = self.accept_silently().await;
        peer.send(r#"["aaw/welcome",{"connection":"c1"}]"#).await;
        peer
    }

    /// The same, but for the welcome.
    pub async fn accept_silently(&self) -> Peer<TcpStream> {
        let mut peer = Peer::shake_hands(self.tcp().await, "aaw.v1").await;
        assert_eq!(peer.read().await, r#"["aaw/hello",{}]"#);
        peer
    }

    /// Accepts a client as the original server does: it echoes the first sub-protocol.
    pub async fn accept_classic(&self) -> Peer<TcpStream> {
        Peer::shake_hands(self.tcp().await, "first").await
    }
}

pub struct Peer<S> {
    pub socket: WebSocketStream<S>,
    /// What the client sent with its handshake.
    pub request: Request,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// `choose`: the sub-protocol to choose, "first" for the first that is offered, "" for none.
    pub async fn shake_hands(stream: S, choose: &str) -> Self {
        let mut asked = None;
        // The signature is tungstenite's.
        #[expect(clippy::result_large_err)]
        let callback = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            asked = Some(request.clone());
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
        Self { socket, request: asked.unwrap() }
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

    /// Closes, and waits for the client's part of it.
    pub async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        soon("a write", self.socket.send(Message::Close(Some(frame)))).await.unwrap();
        while self.message().await.is_some() {}
    }

    /// Waits for the client to close, and gives back its code. Answers nothing before that.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.message().await {
                Some(Message::Close(frame)) => {
                    // Sends tungstenite's answer.
                    while self.message().await.is_some() {}
                    return frame.map_or(1005, |frame| frame.code.into());
                }
                Some(_) => {}
                None => panic!("the client hung up without closing"),
            }
        }
    }
}
