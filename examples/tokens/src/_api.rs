//! A language model behind an API like OpenAI's: one request, whose response is a stream of server-sent events.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aaw_event::prelude::*;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use rustls::{ClientConfig, RootCertStore};
use sse_stream::SseByteStream;

/// The time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The time limit between two reads. Long, because models take a while before the first token.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The maximum size of a response in bytes, with everything around the tokens. It bounds a response that never ends.
const MAX_RESPONSE_BYTES: usize = 8 << 20;

/// The maximum size of an error response, in bytes. The rest is not read.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// The maximum length of an error text that is passed on, in characters.
const MAX_ERROR_CHARS: usize = 300;

/// A message of the conversation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    role: Role,
    content: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    System,
    User,
    Assistant,
}

/// The address, the key and the model.
#[derive(Clone)]
pub struct Api {
    client: Client,
    url: Url,
    /// Sent in a header, never in the URL: URLs end up in logs.
    key: Option<HeaderValue>,
    model: String,
}

/// The fields of a server-sent event that are used here.
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
}

#[derive(Deserialize, Default)]
struct Delta {
    content: Option<String>,
}

impl Api {
    /// Returns the API at `base_url`, for example `https://api.openai.com/v1`.
    pub fn new(base_url: &str, key: Option<&str>, model: &str) -> Result<Self> {
        let invalid = || {
            Error::new("OPENAI_BASE_URL must be an http or https URL without user name, password, query or fragment")
        };
        let url = Url::parse(&format!("{}/chat/completions", base_url.trim_end_matches('/'))).map_err(|_| invalid())?;
        let has_more = !url.username().is_empty() || url.password().is_some() || url.query().is_some();
        if !matches!(url.scheme(), "http" | "https") || has_more || url.fragment().is_some() {
            return Err(invalid());
        }
        let key = key.map(|key| {
            let mut key = HeaderValue::try_from(format!("Bearer {key}"))?;
            // Omitted when headers are printed.
            key.set_sensitive(true);
            Ok::<_, reqwest::header::InvalidHeaderValue>(key)
        });
        let client = Client::builder()
            .tls_backend_preconfigured(tls()?)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            // A redirect would send the key to another server.
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Self { client, url, key: key.transpose()?, model: model.to_owned() })
    }

    /// Returns the name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Sends the conversation, and yields the tokens of the answer. Dropping the stream ends the request.
    pub fn complete(&self, messages: Vec<Message>) -> impl Stream<Item = Result<String>> + use<> {
        let request = json!({ "model": self.model, "stream": true, "messages": messages });
        let mut request = self.client.post(self.url.clone()).json(&request);
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, key);
        }
        try_stream! {
            let response = request.send().await.map_err(|error| unreachable(&error))?;
            if !response.status().is_success() {
                Err(refused(response).await)?;
            } else if !is_event_stream(&response) {
                Err(Error::new("The language model's API did not return an event stream"))?;
            } else {
                for await token in tokens(response.bytes_stream()) {
                    yield token?;
                }
            }
        }
    }
}

/// Yields the tokens in a stream of server-sent events.
fn tokens<E>(bytes: impl Stream<Item = Result<Bytes, E>>) -> impl Stream<Item = Result<String>>
where
    E: std::error::Error + Send + Sync + 'static,
{
    try_stream! {
        let mut size = 0;
        let bytes = bytes.take_while(move |bytes| {
            size += bytes.as_ref().map_or(0, Bytes::len);
            std::future::ready(size <= MAX_RESPONSE_BYTES)
        });
        for await event in SseByteStream::new(bytes) {
            let event = event.map_err(|error| {
                tracing::warn!(%error, "the response broke off");
                broke_off()
            })?;
            // Keep-alive events have no data.
            let Some(data) = event.data else { continue };
            if data == "[DONE]" {
                return;
            }
            let chunk = serde_json::from_str::<Chunk>(&data).map_err(|error| {
                tracing::warn!(%error, data, "invalid event");
                Error::new("The language model's API sent an invalid event")
            })?;
            if let Some(error) = chunk.error {
                Err(Error::new(format!("The language model failed: {}", error_text(&error))))?;
            }
            for token in chunk.choices.into_iter().filter_map(|choice| choice.delta.content) {
                // The first event has a role, but no text.
                if !token.is_empty() {
                    yield token;
                }
            }
        }
        // The stream ended without `[DONE]`.
        Err(broke_off())?;
    }
}

fn broke_off() -> Error {
    Error::new("The language model's answer broke off")
}

fn unreachable(error: &reqwest::Error) -> Error {
    tracing::warn!(error = error as &dyn std::error::Error, "cannot reach the language model");
    Error::new(if error.is_timeout() {
        "The language model does not respond"
    } else {
        "The language model cannot be reached"
    })
}

/// Returns the error for a response that is not a success.
async fn refused(response: Response) -> Error {
    let status = response.status();
    let mut body = Vec::new();
    let mut bytes = Box::pin(response.bytes_stream());
    while let Some(Ok(bytes)) = bytes.next().await {
        body.extend_from_slice(&bytes);
        if body.len() > MAX_ERROR_BYTES {
            break;
        }
    }
    let text = serde_json::from_slice::<Value>(&body).map(|body| error_text(&body["error"])).unwrap_or_default();
    tracing::warn!(%status, text, "the language model's API refused the request");
    match status {
        // The text may contain the key, so it is only logged.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Error::new("The language model's API does not accept the key in OPENAI_API_KEY")
        }
        StatusCode::TOO_MANY_REQUESTS => Error::new("The language model is busy; try again later").with_code("busy"),
        _ if text.is_empty() => Error::new(format!("The language model's API answered {status}")),
        _ => Error::new(format!("The language model's API answered {status}: {text}")),
    }
}

/// Returns the text of an error, which is `{"message": "…"}` or a string.
fn error_text(error: &Value) -> String {
    let text = error["message"].as_str().or(error.as_str()).unwrap_or_default();
    text.chars().take(MAX_ERROR_CHARS).collect()
}

fn is_event_stream(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Trusts the certificates of the system. Having none is not an error: the stand-in uses no TLS.
fn tls() -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("url", &self.url.as_str()).field("model", &self.model).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use aaw_event::prelude::*;
    use bytes::Bytes;

    use super::{Api, tokens};

    /// Returns the tokens in these chunks, and the error that they end with.
    async fn read(chunks: Vec<Vec<u8>>) -> (Vec<String>, Option<String>) {
        let (mut texts, mut failure) = (Vec::new(), None);
        let chunks = chunks.into_iter().map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk)));
        let mut tokens = std::pin::pin!(tokens(futures_util::stream::iter(chunks)));
        while let Some(token) = tokens.next().await {
            match token {
                Ok(token) => texts.push(token),
                Err(error) => failure = Some(error.message().to_owned()),
            }
        }
        (texts, failure)
    }

    const SAMPLE: &str = "\u{feff}: hello\r\n\r\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\r\n\r\n\
        event: x\rdata: {\"choices\":[{\"delta\":{\"content\":\"Grüß\"}}]}\r\r\
        data: {\"choices\":\ndata: [{\"delta\":{\"content\":\" 👋\"}}]}\n\nid: 1\n\n\
        data:{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

    #[tokio::test]
    async fn tokens_are_complete_wherever_the_chunks_are_cut() {
        let sample = SAMPLE.as_bytes();
        for cut in 0..sample.len() {
            let (one, other) = sample.split_at(cut);
            let (texts, failure) = read(vec![one.to_vec(), other.to_vec()]).await;
            assert_eq!((texts, failure), (vec!["Grüß".to_owned(), " 👋".to_owned()], None), "cut at {cut}");
        }
        let bytes = sample.iter().map(|byte| vec![*byte]).collect();
        assert_eq!(read(bytes).await.0, ["Grüß", " 👋"]);
    }

    #[tokio::test]
    async fn a_response_without_the_end_mark_has_broken_off() {
        let cut = SAMPLE.len() - "data: [DONE]\n\n".len();
        let (texts, failure) = read(vec![SAMPLE.as_bytes()[..cut].to_vec()]).await;
        assert_eq!(texts, ["Grüß", " 👋"]);
        assert_eq!(failure.as_deref(), Some("The language model's answer broke off"));
    }

    #[tokio::test]
    async fn the_size_of_a_response_is_limited() {
        let comment = vec![b':'; 1 << 20];
        let (_, failure) = read(vec![comment; 9]).await;
        assert_eq!(failure.as_deref(), Some("The language model's answer broke off"));
    }

    #[test]
    fn a_key_in_the_url_is_rejected_and_a_key_is_never_printed() {
        for wrong in ["https://me:secret@example.org/v1", "https://example.org/v1?key=secret", "ftp://x", "nonsense"] {
            Api::new(wrong, None, "m").unwrap_err();
        }
        let api = Api::new("https://example.org/v1/", Some("secret"), "m").unwrap();
        assert_eq!(api.url.as_str(), "https://example.org/v1/chat/completions");
        assert!(!format!("{api:?} {:?}", api.key).contains("secret"));
    }
}
