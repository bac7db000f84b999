//! A client that sends and expects exact frames.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::{shortened, within};

/// A WebSocket client. It answers pings whenever it waits for something.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    /// The sub-protocol that the server chose.
    pub protocol: Option<String>,
    /// The server's id of this connection, from the welcome; empty in the classic dialect.
    pub connection: String,
    /// Of the v1 call made last.
    last_id: Option<i64>,
    seen: Seen,
}

/// What came so far, for failures.
#[derive(Default)]
struct Seen {
    first: Vec<String>,
    more: usize,
}

impl Seen {
    fn add(&mut self, text: impl AsRef<str>) {
        if self.first.len() < 20 {
            self.first.push(shortened(text.as_ref()));
        } else {
            self.more += 1;
        }
    }

    fn tell(&self) -> String {
        let mut told = self.first.join("\n");
        if self.more > 0 {
            told.push_str(&format!("\nand {} more", self.more));
        }
        if told.is_empty() { "nothing".to_owned() } else { told }
    }
}

/// A result or error of [`Client::asks`], as JSON.
#[derive(Debug, PartialEq)]
pub struct Answer(pub String);

impl Answer {
    /// It is this text.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn is(&self, expected: &str) {
        assert_eq!(shortened(&self.0), shortened(expected));
        assert!(self.0 == expected, "they differ past the beginning");
    }

    /// It is no error; as a value.
    ///
    /// # Panics
    /// If it is no JSON.
    #[track_caller]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_else(|error| panic!("{error}: {}", shortened(&self.0)))
    }
}

impl Client {
    /// Connects, offering these sub-protocols.
    ///
    /// # Panics
    /// When it is not let in.
    pub async fn offering(addr: SocketAddr, protocols: Option<&str>) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        Self::over(stream, addr, protocols).await
    }

    /// The same over a TCP connection that exists.
    ///
    /// # Panics
    /// When it is not let in.
    pub async fn over(stream: TcpStream, addr: SocketAddr, protocols: Option<&str>) -> Self {
        let mut request = format!("ws://{addr}").into_client_request().expect("the address makes a URL");
        if let Some(protocols) = protocols {
            let protocols = protocols.parse().expect("protocols fit a header");
            request.headers_mut().insert("Sec-WebSocket-Protocol", protocols);
        }
        stream.set_nodelay(true).expect("a socket");
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None).read_buffer_size(16 << 10);
        let handshake = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        let (socket, response) =
            within("the handshake", || "nothing".into(), handshake).await.expect("the server lets us in");
        let protocol = response.headers().get("Sec-WebSocket-Protocol");
        let protocol = protocol.map(|value| value.to_str().expect("text").to_owned());
        Self { socket, protocol, connection: String::new(), last_id: None, seen: Seen::default() }
    }

    /// Speaks v1, and has been welcomed.
    ///
    /// # Panics
    /// When there is no welcome.
    pub async fn v1(addr: SocketAddr) -> Self {
        let mut client = Self::offering(addr, Some("_key, aaw.v1")).await;
        assert_eq!(client.protocol.as_deref(), Some("aaw.v1"));
        client.send(r#"["aaw/hello",{}]"#).await;
        let welcome: Value = serde_json::from_str(&client.next().await).expect("the welcome is JSON");
        assert_eq!(welcome[0], "aaw/welcome", "{welcome}");
        client.connection = welcome[1]["connection"].as_str().expect("the welcome names the connection").to_owned();
        client.last_id = Some(0);
        client
    }

    /// Sends a text frame.
    pub async fn send(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    /// Sends many text frames in one go.
    pub async fn send_all<T: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = T>) {
        let send = async {
            for text in texts {
                self.socket.feed(Message::text(text.as_ref())).await?;
            }
            self.socket.flush().await
        };
        within("to send", || "nothing of it was waited for".into(), send).await.expect("the server takes it");
    }

    /// Sends any message.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub async fn send_message(&mut self, message: Message) {
        let sent = within("to send", || self.seen.tell(), self.socket.send(message)).await;
        sent.unwrap_or_else(|error| panic!("the server takes no message: {error}. Seen:\n{}", self.seen.tell()));
    }

    /// Sends a message, be it that the server closes meanwhile.
    pub async fn try_send(&mut self, message: Message) {
        let _ = within("to send", || self.seen.tell(), self.socket.send(message)).await;
    }

    /// The next text frame.
    ///
    /// # Panics
    /// When the connection ends instead.
    pub async fn next(&mut self) -> String {
        match self.message("a text frame").await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("expected a text frame, got {other:?}. Before it:\n{}", self.seen.tell()),
        }
    }

    /// The next text frame is this one.
    ///
    /// # Panics
    /// If not.
    pub async fn expect(&mut self, expected: &str) {
        let got = self.next().await;
        if got != expected {
            let (got, expected) = (shortened(&got), shortened(expected));
            panic!("expected\n{expected}\ngot\n{got}\nAll that came:\n{}", self.seen.tell());
        }
    }

    /// Sends a frame, and the next one that comes is this.
    pub async fn says(&mut self, question: &str, answer: &str) {
        self.send(question).await;
        self.expect(answer).await;
    }

    /// Calls an event: with the next id in v1, without one in classic. The next frame has to be its answer.
    ///
    /// # Panics
    /// If it is not.
    pub async fn asks(&mut self, event: &str, body: &str) -> Answer {
        let name = Value::from(event);
        let end = self.ask(event, body).await.map(|id| format!(",{id}]")).unwrap_or_else(|| "]".into());
        let got = self.next().await;
        let answer = got
            .strip_prefix(&format!("[{name},"))
            .and_then(|rest| rest.strip_suffix(&end).or_else(|| rest.strip_suffix(&end.replace(']', ",\"error\"]"))));
        match answer {
            Some(answer) => Answer(answer.to_owned()),
            None => panic!("no answer to {event} ({end}): {}\nAll that came:\n{}", shortened(&got), self.seen.tell()),
        }
    }

    /// Sends a call as [`asks`](Self::asks) does, and waits for nothing; gives its id.
    pub async fn ask(&mut self, event: &str, body: &str) -> Option<i64> {
        let name = Value::from(event);
        match &mut self.last_id {
            None => {
                self.send(&format!("[{name},{body}]")).await;
                None
            }
            Some(last) => {
                *last += 1;
                let id = *last;
                self.send(&format!("[{name},{body},{id}]")).await;
                Some(id)
            }
        }
    }

    /// Text frames until one that this holds for, which is given too.
    pub async fn collect_until(&mut self, mut is_last: impl FnMut(&str) -> bool) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let text = self.next().await;
            let done = is_last(&text);
            all.push(text);
            if done {
                return all;
            }
        }
    }

    /// Nothing more is on its way: a ping through the whole server comes back first.
    ///
    /// # Panics
    /// When something comes.
    pub async fn expect_nothing(&mut self) {
        self.asks("ping", "null").await.is(r#"{"pong":true}"#);
    }

    /// The server says goodbye with this code, then TCP ends. Gives the reason.
    ///
    /// # Panics
    /// When something else comes first.
    pub async fn expect_close(&mut self, code: u16) -> String {
        let reason = match self.message("a close frame").await {
            Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) == code => close.reason.to_string(),
            other => panic!("expected a close frame with {code}, got {other:?}. Before it:\n{}", self.seen.tell()),
        };
        self.expect_end().await;
        reason
    }

    /// Whatever comes until the server says goodbye with this code.
    ///
    /// # Panics
    /// When it ends differently.
    pub async fn drain_until_close(&mut self, code: u16) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            match self.message("a close frame").await {
                Some(Ok(Message::Text(text))) => texts.push(text.to_string()),
                Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) == code => {
                    self.expect_end().await;
                    return texts;
                }
                other => panic!("expected a close frame with {code}, got {other:?}. Before it:\n{}", self.seen.tell()),
            }
        }
    }

    async fn expect_end(&mut self) {
        match self.message("the end of the connection").await {
            None => {}
            other => panic!("expected the end, got {other:?}"),
        }
    }

    /// Says goodbye, and waits until the server has answered and closed TCP.
    ///
    /// # Panics
    /// When it does not.
    pub async fn close(mut self) {
        self.send_message(Message::Close(None)).await;
        loop {
            match self.message("the end of the connection").await {
                None => return,
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("expected an orderly end: {error}"),
            }
        }
    }

    /// The next message that is no ping nor pong; nothing at the end.
    async fn message(&mut self, what: &str) -> Option<Result<Message, Error>> {
        loop {
            let next = self.socket.next();
            let message = within(what, || self.seen.tell(), next).await;
            match &message {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Text(text))) => self.seen.add(text.as_str()),
                other => self.seen.add(format!("{other:?}")),
            }
            return message;
        }
    }
}
