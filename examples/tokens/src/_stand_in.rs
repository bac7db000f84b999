//! A stand-in of a chat-completions API, so that the example runs without a key, and its tests without a network.
//!
//! It answers `POST /v1/chat/completions` as the real ones do, but always the same. The model decides how:
//!
//! | model | |
//! |---|---|
//! | `stand-in` | says something, token by token |
//! | `endless` | never ends |
//! | `breaks-off` | says something, and the connection breaks |
//! | `fails` | says something, then that it has failed |
//! | `refuses` | answers 401 |
//! | `busy` | answers 429 |
//! | whatever else | is unknown: 404 |
//!
//! `GET /requests` tells how many requests are open, finished, and aborted by who asked; `?finished=1` or `?aborted=1`
//! waits until there are so many.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use aaw_event::prelude::*;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// A stand-in that runs until this is dropped.
pub struct StandIn {
    address: SocketAddr,
    requests: watch::Sender<Requests>,
    server: AbortHandle,
}

/// How many requests there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requests {
    pub open: u64,
    pub finished: u64,
    pub aborted: u64,
}

#[derive(Clone)]
struct Shared {
    every: Duration,
    requests: watch::Sender<Requests>,
}

#[derive(Deserialize)]
struct Request {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

impl StandIn {
    /// Listens on a port of this machine; 0 takes a free one. A token comes `every` so often.
    pub async fn start(port: u16, every: Duration) -> io::Result<Self> {
        let requests = watch::Sender::new(Requests::default());
        let shared = Shared { every, requests: requests.clone() };
        let router = Router::new()
            .route("/v1/chat/completions", post(complete))
            .route("/requests", get(count))
            .with_state(shared);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Ok(Self { address, requests, server })
    }

    /// What to give to [`Api::new`](crate::_api::Api::new).
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Waits until so many requests, or more, are finished and aborted.
    pub async fn wait(&self, least: Requests) -> Requests {
        wait(&self.requests, least).await
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn wait(requests: &watch::Sender<Requests>, least: Requests) -> Requests {
    let mut requests = requests.subscribe();
    let there = requests.wait_for(|now| now.finished >= least.finished && now.aborted >= least.aborted).await;
    there.map_or(least, |now| *now)
}

async fn count(State(shared): State<Shared>, Query(least): Query<Requests>) -> Json<Requests> {
    Json(wait(&shared.requests, least).await)
}

async fn complete(State(shared): State<Shared>, Json(request): Json<Request>) -> Response {
    let refusal = |status: StatusCode, message: &str| {
        (status, Json(json!({ "error": { "message": message, "type": "invalid_request_error" } }))).into_response()
    };
    let model = request.model.as_str();
    match model {
        "stand-in" | "endless" | "breaks-off" | "fails" => {}
        "refuses" => return refusal(StatusCode::UNAUTHORIZED, "Incorrect API key provided: sk-…"),
        "busy" => return refusal(StatusCode::TOO_MANY_REQUESTS, "Rate limit reached"),
        _ => return refusal(StatusCode::NOT_FOUND, &format!("The model `{model}` does not exist")),
    }
    if !request.stream {
        return refusal(StatusCode::BAD_REQUEST, "The stand-in only streams");
    }
    let question = request.messages.last().map_or("", |message| message.content.as_str());
    let body = Body::from_stream(speak(shared, request.model, answer(question)));
    ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], body).into_response()
}

/// The bytes of an answer. Each event is cut in two, wherever that is: networks do so too.
fn speak(shared: Shared, model: String, answer: String) -> impl Stream<Item = io::Result<Bytes>> {
    try_stream! {
        let mut counted = Counted::new(shared.requests);
        for part in halves(": the answer follows\n\n") {
            yield part;
        }
        for part in halves(&event(&json!({ "role": "assistant", "content": "" }))) {
            yield part;
        }
        loop {
            for token in answer.split_inclusive(' ') {
                tokio::time::sleep(shared.every).await;
                for part in halves(&event(&json!({ "content": token }))) {
                    yield part;
                }
            }
            if model != "endless" {
                break;
            }
        }
        // What was said is on its way before anything breaks.
        tokio::time::sleep(shared.every).await;
        counted.is_finished = true;
        match model.as_str() {
            "breaks-off" => Err(io::Error::other("breaks off"))?,
            "fails" => yield Bytes::from_static(b"data: {\"error\":{\"message\":\"Overloaded\"}}\n\n"),
            _ => yield Bytes::from_static(b"data: [DONE]\n\n"),
        }
    }
}

fn event(delta: &Value) -> String {
    let chunk = json!({ "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": delta }] });
    format!("data: {chunk}\n\n")
}

fn halves(event: &str) -> [Bytes; 2] {
    let mut event = Bytes::copy_from_slice(event.as_bytes());
    let rest = event.split_off(event.len() / 2);
    [event, rest]
}

fn answer(question: &str) -> String {
    let question: String = question.trim().chars().take(200).collect();
    format!(
        "You said: “{question}” I am only a stand-in, so I say the same to everybody: a handler asked me over HTTP, I \
         answer token by token as server-sent events, and each token reaches your page as soon as I have said it. If \
         you press Stop, or close the page, the handler is dropped, and with it the request to me: I notice, and am \
         silent. Grüße, 你好, 👋!"
    )
}

/// One request, from its first token to its end.
struct Counted {
    requests: watch::Sender<Requests>,
    is_finished: bool,
}

impl Counted {
    fn new(requests: watch::Sender<Requests>) -> Self {
        requests.send_modify(|requests| requests.open += 1);
        Self { requests, is_finished: false }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.requests.send_modify(|requests| {
            requests.open -= 1;
            if self.is_finished {
                requests.finished += 1;
            } else {
                requests.aborted += 1;
            }
        });
    }
}
