//! A WebSocket client that sends and expects exact frames.

use std::net::{Ipv4Addr, SocketAddr};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderName;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::{truncated, within};

/// A WebSocket client. It responds to pings while it waits for something.
pub struct WireClient {
    socket: WebSocketStream<TcpStream>,
    /// The server's id of this connection, from the welcome; empty in the classic dialect.
    pub connection: String,
    /// The sub-protocol that the server chose.
    protocol: Option<String>,
    /// The id of the last v1 call; `None` in the classic dialect.
    last_id: Option<i64>,
    transcript: Transcript,
}

/// What was received so far, for failure messages.
#[derive(Default)]
struct Transcript {
    first: Vec<String>,
    omitted: usize,
}

impl Transcript {
    fn add(&mut self, text: &str) {
        if self.first.len() < 20 {
            self.first.push(truncated(text));
        } else {
            self.omitted += 1;
        }
    }

    fn summary(&self) -> String {
        let mut summary = self.first.join("\n");
        if self.omitted > 0 {
            summary.push_str(&format!("\nand {} more", self.omitted));
        }
        if summary.is_empty() { "nothing".to_owned() } else { summary }
    }
}

/// The response to a [`WireClient::call`], or its error, as JSON.
#[derive(Debug, PartialEq)]
pub struct CallResponse(pub String);

impl CallResponse {
    /// Checks that the response is this text, byte for byte.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn assert_eq(&self, expected: &str) {
        assert_eq!(truncated(&self.0), truncated(expected));
        assert!(self.0 == expected, "they differ after the part that is shown");
    }

    /// Returns the response as a JSON value.
    ///
    /// # Panics
    /// If it is not JSON.
    #[track_caller]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_else(|error| panic!("{error}: {}", truncated(&self.0)))
    }
}

impl WireClient {
    /// Connects, offering these sub-protocols.
    ///
    /// # Panics
    /// If the handshake fails.
    pub async fn connect(addr: SocketAddr, protocols: Option<&str>) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        Self::connect_over(stream, addr, protocols).await
    }

    /// [`connect`](Self::connect), over a TCP connection that exists already.
    ///
    /// # Panics
    /// If the handshake fails.
    pub async fn connect_over(stream: TcpStream, addr: SocketAddr, protocols: Option<&str>) -> Self {
        let headers: Vec<_> = protocols.map(|protocols| ("Sec-WebSocket-Protocol", protocols)).into_iter().collect();
        Self::connect_with(stream, &format!("ws://{addr}"), &headers).await
    }

    /// Connects to a URL with the v1 dialect and these headers. No hello is sent.
    ///
    /// # Panics
    /// If the handshake fails.
    pub async fn connect_to(addr: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        let headers = [&[("Sec-WebSocket-Protocol", "_key, aaw.v1")], headers].concat();
        Self::connect_with(stream, &format!("ws://{addr}{target}"), &headers).await
    }

    async fn connect_with(stream: TcpStream, url: &str, headers: &[(&str, &str)]) -> Self {
        let mut request = url.into_client_request().expect("the address makes a URL");
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("the name of a header");
            request.headers_mut().append(name, value.parse().expect("the text fits a header"));
        }
        stream.set_nodelay(true).expect("a socket");
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None).read_buffer_size(16 << 10);
        let handshake = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        let (socket, response) =
            within("the handshake", || "nothing".into(), handshake).await.expect("the server accepts the handshake");
        let protocol = response.headers().get("Sec-WebSocket-Protocol");
        let protocol = protocol.map(|value| value.to_str().expect("text").to_owned());
        Self { socket, connection: String::new(), protocol, last_id: None, transcript: Transcript::default() }
    }

    /// Connects with the v1 dialect, and waits for the welcome.
    ///
    /// # Panics
    /// If there is no welcome.
    pub async fn connect_v1(addr: SocketAddr) -> Self {
        Self::connect(addr, Some("_key, aaw.v1")).await.welcomed().await
    }

    /// [`connect_v1`](Self::connect_v1), from an address of this machine: `127.0.0.2` and so on are clients of their own.
    ///
    /// # Panics
    /// If there is no welcome.
    pub async fn connect_v1_from(from: Ipv4Addr, addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("an address of this machine");
        let stream = socket.connect(addr).await.expect("the server listens");
        Self::connect_over(stream, addr, Some("_key, aaw.v1")).await.welcomed().await
    }

    /// Sends the hello, and waits for the welcome.
    async fn welcomed(self) -> Self {
        let mut client = self;
        assert_eq!(client.protocol.as_deref(), Some("aaw.v1"));
        client.greet().await;
        client
    }

    /// Sends a hello, and waits for the welcome.
    ///
    /// # Panics
    /// If there is no welcome.
    pub async fn greet(&mut self) {
        self.send(r#"["aaw/hello",{}]"#).await;
        let welcome: Value = serde_json::from_str(&self.next().await).expect("the welcome is JSON");
        assert_eq!(welcome[0], "aaw/welcome", "{welcome}");
        self.connection = welcome[1]["connection"].as_str().expect("the welcome names the connection").to_owned();
        self.last_id = Some(0);
    }

    /// Sends a text frame.
    pub async fn send(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    /// Sends several text frames with a single flush.
    pub async fn send_all<T: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = T>) {
        let send = async {
            for text in texts {
                self.socket.feed(Message::text(text.as_ref())).await?;
            }
            self.socket.flush().await
        };
        within("to send", || "nothing was read meanwhile".into(), send).await.expect("the connection is open");
    }

    /// Sends any message.
    ///
    /// # Panics
    /// If the connection has ended.
    pub async fn send_message(&mut self, message: Message) {
        let sent = within("to send", || self.transcript.summary(), self.socket.send(message)).await;
        sent.unwrap_or_else(|error| panic!("cannot send: {error}. Received:\n{}", self.transcript.summary()));
    }

    /// Sends a message that may fail, because the server closes at the same time.
    pub async fn try_send(&mut self, message: Message) {
        let _ = within("to send", || self.transcript.summary(), self.socket.send(message)).await;
    }

    /// Returns the next text frame.
    ///
    /// # Panics
    /// If the connection ends instead.
    pub async fn next(&mut self) -> String {
        match self.message("a text frame").await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => self.unexpected("a text frame", &other),
        }
    }

    /// Checks that the next text frame is this one.
    ///
    /// # Panics
    /// If not.
    pub async fn expect(&mut self, expected: &str) {
        let received = self.next().await;
        if received != expected {
            let (received, expected) = (truncated(&received), truncated(expected));
            panic!("expected\n{expected}\nreceived\n{received}\nin total\n{}", self.transcript.summary());
        }
    }

    /// Sends a frame, and checks that the next one received is `expected`.
    pub async fn exchange(&mut self, sent: &str, expected: &str) {
        self.send(sent).await;
        self.expect(expected).await;
    }

    /// Calls an event, with the next id in v1 and without an id in classic, and returns the response or error.
    ///
    /// # Panics
    /// If the next frame is not the response.
    pub async fn call(&mut self, event: &str, body: &str) -> CallResponse {
        let name = Value::from(event);
        let end = self.start_call(event, body).await.map(|id| format!(",{id}]")).unwrap_or_else(|| "]".into());
        let received = self.next().await;
        let response = received
            .strip_prefix(&format!("[{name},"))
            .and_then(|rest| rest.strip_suffix(&end).or_else(|| rest.strip_suffix(&end.replace(']', ",\"error\"]"))));
        match response {
            Some(response) => CallResponse(response.to_owned()),
            None => panic!(
                "expected the response to {event} ({end}), received {}. In total:\n{}",
                truncated(&received),
                self.transcript.summary()
            ),
        }
    }

    /// Sends a call as [`call`](Self::call) does, without waiting for the response; returns its id.
    pub async fn start_call(&mut self, event: &str, body: &str) -> Option<i64> {
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

    /// Returns all text frames up to and including the first for which `is_last` returns true.
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

    /// Checks that no frame is on its way: the response to a ping that is sent now comes first.
    ///
    /// # Panics
    /// If another frame comes first.
    pub async fn expect_nothing(&mut self) {
        self.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    }

    /// Checks that the server sends a close frame with this code, then ends TCP. Returns the reason.
    ///
    /// # Panics
    /// If something else comes first.
    pub async fn expect_close(&mut self, code: u16) -> String {
        let reason = match self.message("a close frame").await {
            Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) == code => close.reason.to_string(),
            other => self.unexpected(&format!("a close frame with {code}"), &other),
        };
        self.expect_end().await;
        reason
    }

    /// Reads until the server sends a close frame with this code. Returns the text frames before it.
    ///
    /// # Panics
    /// If the connection ends differently.
    pub async fn drain_until_close(&mut self, code: u16) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            match self.message("a close frame").await {
                Some(Ok(Message::Text(text))) => texts.push(text.to_string()),
                Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) == code => {
                    self.expect_end().await;
                    return texts;
                }
                other => self.unexpected(&format!("a close frame with {code}"), &other),
            }
        }
    }

    async fn expect_end(&mut self) {
        match self.message("the end of the connection").await {
            None => {}
            other => self.unexpected("the end of the connection", &other),
        }
    }

    /// Sends a close frame, and waits until the server has returned one and closed TCP.
    ///
    /// # Panics
    /// If the closing handshake fails.
    pub async fn close(mut self) {
        self.send_message(Message::Close(None)).await;
        loop {
            match self.message("the end of the connection").await {
                None => return,
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("the closing handshake failed: {error}"),
            }
        }
    }

    /// Returns the next message that is neither a ping nor a pong, `None` at the end of the connection.
    async fn message(&mut self, what: &str) -> Option<Result<Message, Error>> {
        loop {
            let next = self.socket.next();
            let message = within(what, || self.transcript.summary(), next).await;
            match &message {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Text(text))) => self.transcript.add(text.as_str()),
                other => self.transcript.add(&format!("{other:?}")),
            }
            return message;
        }
    }

    fn unexpected(&self, expected: &str, received: &Option<Result<Message, Error>>) -> ! {
        panic!("expected {expected}, received {received:?}. In total:\n{}", self.transcript.summary());
    }
}
