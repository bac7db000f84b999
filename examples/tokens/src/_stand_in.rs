//! A stand-in for a chat-completions API, so that the example runs without a key, and its tests without a network.
//!
//! It responds to `POST /v1/chat/completions` as the real APIs do, but always with the same text. The model selects
//! the kind of response:
//!
//! | model | |
//! |---|---|
//! | `stand-in` | a text, token by token |
//! | `endless` | a text that never ends |
//! | `breaks-off` | a text, after which the connection breaks |
//! | `fails` | a text, and then an error |
//! | `refuses` | status 401 |
//! | `busy` | status 429 |
//! | any other | status 404: unknown model |
//!
//! `GET /requests` returns how many requests are open, finished, and aborted by the client; `?finished=1` or
//! `?aborted=1` waits for that many.

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

/// A running stand-in. Dropping this stops it.
pub struct StandIn {
    address: SocketAddr,
    requests: watch::Sender<RequestCounts>,
    server: AbortHandle,
}

/// The number of requests so far, by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestCounts {
    pub open: u64,
    pub finished: u64,
    pub aborted: u64,
}

#[derive(Clone)]
struct StandInState {
    every: Duration,
    requests: watch::Sender<RequestCounts>,
}

#[derive(Deserialize)]
struct CompletionRequest {
    model: String,
    messages: Vec<RequestMessage>,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct RequestMessage {
    content: String,
}

impl StandIn {
    /// Listens on a port of the loopback interface; 0 takes a free one. Sends a token after each `every`.
    pub async fn start(port: u16, every: Duration) -> io::Result<Self> {
        let requests = watch::Sender::new(RequestCounts::default());
        let state = StandInState { every, requests: requests.clone() };
        let router = Router::new()
            .route("/v1/chat/completions", post(complete))
            .route("/requests", get(count))
            .with_state(state);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Ok(Self { address, requests, server })
    }

    /// Returns the address to pass to [`Api::new`](crate::_api::Api::new).
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Waits until at least this many requests are finished and aborted. Returns the counts at that time.
    pub async fn wait(&self, least: RequestCounts) -> RequestCounts {
        wait(&self.requests, least).await
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn wait(requests: &watch::Sender<RequestCounts>, least: RequestCounts) -> RequestCounts {
    let mut requests = requests.subscribe();
    let reached = requests.wait_for(|now| now.finished >= least.finished && now.aborted >= least.aborted).await;
    reached.map_or(least, |now| *now)
}

async fn count(State(state): State<StandInState>, Query(least): Query<RequestCounts>) -> Json<RequestCounts> {
    Json(wait(&state.requests, least).await)
}

async fn complete(State(state): State<StandInState>, Json(request): Json<CompletionRequest>) -> Response {
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
    let body = Body::from_stream(stream_events(state, request.model, answer(question)));
    ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], body).into_response()
}

/// Returns the body of a response. Each event is sent in two halves, as networks also split the bytes anywhere.
fn stream_events(state: StandInState, model: String, answer: String) -> impl Stream<Item = io::Result<Bytes>> {
    try_stream! {
        let mut guard = RequestGuard::new(state.requests);
        for part in halves(": the text follows\n\n") {
            yield part;
        }
        for part in halves(&event(&json!({ "role": "assistant", "content": "" }))) {
            yield part;
        }
        loop {
            for token in answer.split_inclusive(' ') {
                tokio::time::sleep(state.every).await;
                for part in halves(&event(&json!({ "content": token }))) {
                    yield part;
                }
            }
            if model != "endless" {
                break;
            }
        }
        // Everything before has been sent by the time the connection breaks.
        tokio::time::sleep(state.every).await;
        guard.is_finished = true;
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
        "You said: “{question}” I am only a stand-in, so every answer is the same: a handler sent me a request over \
         HTTP, I return server-sent events, token by token, and each token reaches your page as soon as I have sent \
         it. If you press Stop, or close the page, the handler is dropped, which ends the request, and I stop. Grüße, \
         你好, 👋!"
    )
}

/// Counts a request as open, and with its drop as finished or aborted.
struct RequestGuard {
    requests: watch::Sender<RequestCounts>,
    is_finished: bool,
}

impl RequestGuard {
    fn new(requests: watch::Sender<RequestCounts>) -> Self {
        requests.send_modify(|requests| requests.open += 1);
        Self { requests, is_finished: false }
    }
}

impl Drop for RequestGuard {
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
