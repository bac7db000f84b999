//! The parts of a request that calls an event: the event's name, the query, the token and the body.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use aaw_protocol::Code;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, EXPECT};
use axum::http::{HeaderMap, StatusCode, Version};
use percent_encoding::percent_decode_str;

use super::arriving_body::ArrivingBody;
use super::cursors::Cursor;
use super::error::HttpError;
use crate::memory_budget::{CallBudget, ConnectionBudget, out_of_memory_budget};
use crate::net::message_check::elements;

/// The largest `?take=` of a polling request.
const MAX_TAKE: usize = 10_000;

/// What hyper and the task of a request hold while its body arrives over HTTP/1, in bytes. The requests of an HTTP/2 connection
/// share its buffers.
const BUFFERS: usize = 56 << 10;

/// Decodes an event's name from the path behind `/events/`.
pub(super) fn event_name(path: &str) -> Result<Cow<'_, str>, HttpError> {
    percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| HttpError::bad_request("The event's name is not valid UTF-8 once it is percent-decoded"))
}

/// The query of a request. Unknown keys are ignored.
#[derive(Debug, Default)]
pub(super) struct Query {
    /// The body of a GET request.
    pub(super) body: Option<String>,
    /// The stream is to be read by polling.
    pub(super) poll: Option<PollRequest>,
}

/// A request for the next items of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PollRequest {
    /// The number of items to return at most.
    pub(super) take: usize,
    /// The stream to continue; `None` begins a new one.
    pub(super) cursor: Option<Cursor>,
}

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, HttpError> {
        let (mut body, mut take, mut cursor) = (None, None, None);
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let field = match &*key {
                "body" => &mut body,
                "take" => &mut take,
                "cursor" => &mut cursor,
                _ => continue,
            };
            if field.replace(value.into_owned()).is_some() {
                return Err(HttpError::bad_request(format!("Duplicate ?{key}=: expected it at most once")));
            }
        }
        let poll = match (take, cursor) {
            (None, None) => None,
            (None, Some(_)) => {
                return Err(HttpError::bad_request("?cursor= needs ?take=, the number of items to return"));
            }
            (Some(take), cursor) => {
                let take = take.parse().ok().filter(|take| (1..=MAX_TAKE).contains(take)).ok_or_else(|| {
                    HttpError::bad_request(format!("Invalid ?take=: expected a number of items from 1 to {MAX_TAKE}"))
                })?;
                let cursor = cursor.map(|cursor| Cursor::parse(&cursor).ok_or_else(unknown_cursor)).transpose()?;
                Some(PollRequest { take, cursor })
            }
        };
        Ok(Self { body: body.map(without_byte_order_mark), poll })
    }
}

/// The error for every cursor without a stream. It is the same for each reason, so that guessing reveals nothing.
pub(super) fn unknown_cursor() -> HttpError {
    let error = "Unknown cursor: it has expired, was used before (each response names a new one), or was never issued. \
                 Begin again without ?cursor=";
    HttpError::new(StatusCode::NOT_FOUND, Code::new("unknown_cursor"), error)
}

/// The token of `Authorization: Bearer TOKEN`. Other schemes are ignored: `Basic`, for example, may be meant for a
/// proxy.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, HttpError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(HttpError::bad_request("Expected at most one Authorization header"));
    }
    let Ok(value) = value.to_str() else { return Ok(None) };
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    Ok(scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()))
}

/// Reads a body of up to `max` bytes, within `timeout`. What has arrived of it is counted in `memory` meanwhile, and then until
/// the second of what this returns is dropped.
pub(super) async fn read_body(
    version: Version,
    headers: &HeaderMap,
    body: Body,
    max: usize,
    timeout: Duration,
    memory: &Arc<ConnectionBudget>,
) -> Result<(String, CallBudget), HttpError> {
    // With `Expect: 100-continue` the client waits for consent before it sends the body. It is refused here without
    // reading: hyper consents once the body is polled.
    if headers.contains_key(EXPECT) {
        if body.size_hint().lower() > max as u64 {
            return Err(too_large(max));
        }
        check_not_encoded(headers)?;
    }
    let buffers = if version == Version::HTTP_2 { 0 } else { BUFFERS };
    let read = tokio::time::timeout(timeout, collect(body, max, buffers, memory)).await.map_err(|_| {
        let error = format!("The body did not arrive within {} s", timeout.as_secs_f64());
        HttpError::new(StatusCode::REQUEST_TIMEOUT, Code::TIMEOUT, error)
    })?;
    let (body, held) = read?;
    // Other clients send the body in any case, and could miss a response that arrives before they have.
    check_not_encoded(headers)?;
    let body = String::from_utf8(body)
        .map_err(|_| HttpError::new(StatusCode::BAD_REQUEST, Code::BAD_BODY, "The body is not valid UTF-8"))?;
    Ok((without_byte_order_mark(body), held))
}

/// Removes the mark that some editors and tools put before UTF-8. JSON must not have it, and its readers may ignore it
/// (RFC 8259, 8.1).
fn without_byte_order_mark(mut text: String) -> String {
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    text
}

/// Refuses a body with a content coding, such as gzip (RFC 9110, 8.4 and 15.5.16). A body is small, and decoding would let
/// a client occupy many times the memory that it sends.
fn check_not_encoded(headers: &HeaderMap) -> Result<(), HttpError> {
    let mut codings = elements(headers, &CONTENT_ENCODING);
    if codings.all(|coding| coding.eq_ignore_ascii_case(b"identity")) { Ok(()) } else { Err(HttpError::encoded_body()) }
}

async fn collect(
    mut body: Body,
    max: usize,
    buffers: usize,
    memory: &Arc<ConnectionBudget>,
) -> Result<(Vec<u8>, CallBudget), HttpError> {
    let mut held = CallBudget::numbered(memory);
    let expected = body.size_hint().lower();
    let mut arriving = ArrivingBody::new(usize::try_from(expected).unwrap_or(usize::MAX).min(max));
    let mut is_too_large = expected > max as u64;
    if expected > max_discarded(max) {
        return Err(too_large(max));
    }
    let mut discarded = 0;
    while let Some(data) = next_data(&mut body, &mut held, arriving.memory() + buffers).await? {
        if is_too_large || arriving.len() + data.len() > max {
            // The rest is read and discarded, up to a limit: a client that is still sending when the connection closes
            // would not see the response.
            (is_too_large, arriving) = (true, ArrivingBody::default());
            discarded += data.len() as u64;
            if discarded > max_discarded(max) {
                break;
            }
        } else {
            arriving.append(&data);
        }
        let buffers = if arriving.is_complete() { 0 } else { buffers };
        held.set(arriving.memory() + buffers);
        if held.is_refused() {
            return Err(out_of_memory_budget(Code::BUSY).into());
        }
    }
    if is_too_large {
        return Err(too_large(max));
    }
    let body = arriving.join();
    held.set(body.capacity());
    Ok((body, held))
}

/// How many bytes of a body that is too large are read and discarded.
fn max_discarded(max: usize) -> u64 {
    16 * max as u64
}

fn too_large(max: usize) -> HttpError {
    let error = format!("The body exceeds the message limit of {max} bytes");
    HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TOO_LARGE, error)
}

/// The next bytes of a body. While they do not arrive, `held` counts `memory` bytes, and the request fails if it is refused.
async fn next_data(body: &mut Body, held: &mut CallBudget, memory: usize) -> Result<Option<Bytes>, HttpError> {
    loop {
        let next = poll_fn(|cx| {
            let polled = Pin::new(&mut *body).poll_frame(cx);
            if polled.is_pending() {
                held.set_pending(memory, cx);
                if held.is_refused() {
                    return Poll::Ready(Err(out_of_memory_budget(Code::BUSY)));
                }
            }
            polled.map(Ok)
        });
        match next.await? {
            None => return Ok(None),
            // Trailers are ignored.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => return Err(HttpError::bad_request(format!("Receiving the body failed: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use axum::response::IntoResponse as _;
    use futures_util::{StreamExt as _, stream};

    use super::*;
    use crate::memory_budget::{HeldLimits, ProcessBudget};

    fn poll(query: &str) -> Option<PollRequest> {
        Query::parse(Some(query)).unwrap().poll
    }

    fn status(query: &str) -> u16 {
        Query::parse(Some(query)).unwrap_err().into_response().status().as_u16()
    }

    #[test]
    fn a_query_is_parsed_with_and_without_percent_encoding() {
        let query = Query::parse(Some("body=%7B%22to%22%3A+5%7D&_=123&take=10")).unwrap();
        assert_eq!(query.body.as_deref(), Some(r#"{"to": 5}"#));
        assert_eq!(query.poll, Some(PollRequest { take: 10, cursor: None }));
        assert_eq!(Query::parse(Some(r#"body={"to":5}"#)).unwrap().body.as_deref(), Some(r#"{"to":5}"#));
        assert_eq!(Query::parse(Some("body=%EF%BB%BF%5B1%5D")).unwrap().body.as_deref(), Some("[1]"));
        assert!(Query::parse(None).unwrap().poll.is_none());
        let cursor = Cursor::random().unwrap();
        assert_eq!(poll(&format!("cursor={cursor}&take=1")), Some(PollRequest { take: 1, cursor: Some(cursor) }));
    }

    #[test]
    fn an_invalid_take_is_400_and_an_invalid_cursor_is_404() {
        for bad in ["take=0", "take=-1", "take=10001", "take=x", "take=", "take=1.5", "take=99999999999999999999999"] {
            assert_eq!(status(bad), 400, "{bad}");
        }
        assert_eq!(status("take=1&take=2"), 400);
        assert_eq!(status("cursor=0"), 400);
        for bad in ["take=1&cursor=", "take=1&cursor=x", "take=1&cursor=null"] {
            assert_eq!(status(bad), 404, "{bad}");
        }
        assert_eq!(poll("take=10000").unwrap().take, 10_000);
    }

    #[test]
    fn event_names_are_percent_decoded() {
        assert_eq!(event_name("users/get").unwrap(), "users/get");
        assert_eq!(event_name("b%C3%BCcher/a%20b%2Fc").unwrap(), "bücher/a b/c");
        assert!(event_name("%ff").is_err());
    }

    fn poll_once<T>(reading: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        reading.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_body_is_counted_while_it_arrives_and_until_its_call_begins() {
        let process = Arc::<ProcessBudget>::default();
        let memory = process.connection(None);
        let first = || stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b'1'; 100_000]))]);
        let headers = HeaderMap::new();
        let read = |body| read_body(Version::HTTP_2, &headers, body, 1 << 20, Duration::from_secs(60), &memory);
        let mut reading = Box::pin(read(Body::from_stream(first().chain(stream::pending()))));
        assert!(poll_once(reading.as_mut()).is_pending());
        assert!(process.used() >= 98_304, "{} bytes", process.used());
        drop(reading);
        assert_eq!(process.used(), 0);
        let (body, held) = read(Body::from_stream(first())).await.ok().unwrap();
        assert_eq!(body.len(), 100_000);
        assert!(process.used() >= 98_304, "{} bytes", process.used());
        drop(held);
        assert_eq!(process.used(), 0);
    }

    #[tokio::test]
    async fn a_request_whose_body_does_not_arrive_is_counted_and_fails_when_it_is_refused() {
        let limits = HeldLimits { connection: usize::MAX, address: usize::MAX, total: 3 * BUFFERS };
        let process = ProcessBudget::new(limits);
        let (memory, other) = (process.connection(None), process.connection(None));
        let headers = HeaderMap::new();
        let read = |memory| {
            let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
            read_body(Version::HTTP_11, &headers, body, 1 << 20, Duration::from_secs(60), memory)
        };
        let mut pair = [Box::pin(read(&memory)), Box::pin(read(&memory))];
        for reading in &mut pair {
            assert!(poll_once(reading.as_mut()).is_pending());
        }
        assert!(process.used() >= 2 * (BUFFERS - (4 << 10)), "{} bytes", process.used());
        let mut last = Box::pin(read(&other));
        assert!(poll_once(last.as_mut()).is_pending());
        for reading in &mut pair {
            assert!(matches!(poll_once(reading.as_mut()), Poll::Ready(Err(_))));
        }
        assert!(poll_once(last.as_mut()).is_pending());
    }
}
