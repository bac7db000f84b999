//! What a request for an event says: which one, with what, and how it is to be read.

use std::borrow::Cow;
use std::time::Duration;

use aaw_protocol::Code;
use axum::body::{Body, Bytes, HttpBody as _};
#[cfg(feature = "auth")]
use axum::http::header::AUTHORIZATION;
use axum::http::header::EXPECT;
use axum::http::{HeaderMap, StatusCode};
use percent_encoding::percent_decode_str;
use std::future::poll_fn;
use std::pin::Pin;

use super::cursors::Cursor;
use super::failed::Failed;

/// Items that one polling request may ask for at most.
const MOST_ITEMS: usize = 10_000;

/// An event's name, from the path behind `/events/`.
pub(super) fn event_name(path: &str) -> Result<Cow<'_, str>, Failed> {
    percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| Failed::bad_request("The event's name is no UTF-8 behind its percent signs"))
}

/// What stands behind the question mark. Keys that are not ours are left alone.
#[derive(Debug, Default)]
pub(super) struct Query {
    /// The body of a GET.
    pub(super) body: Option<String>,
    /// The stream is read by polling.
    pub(super) poll: Option<Poll>,
}

/// A polling request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Poll {
    /// Items that it wants at most.
    pub(super) take: usize,
    /// The stream that it goes on with; a new one without.
    pub(super) cursor: Option<Cursor>,
}

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Failed> {
        let (mut body, mut take, mut cursor) = (None, None, None);
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let place = match &*key {
                "body" => &mut body,
                "take" => &mut take,
                "cursor" => &mut cursor,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(Failed::bad_request(format!("?{key}= is there twice")));
            }
        }
        let poll = match (take, cursor) {
            (None, None) => None,
            (None, Some(_)) => return Err(Failed::bad_request("A cursor goes with ?take=, how many items to answer")),
            (Some(take), cursor) => {
                let many = take.parse().ok().filter(|many| (1..=MOST_ITEMS).contains(many));
                let take = many.ok_or_else(|| {
                    Failed::bad_request(format!("?take= is a number of items from 1 to {MOST_ITEMS}"))
                })?;
                let cursor = cursor.map(|cursor| Cursor::parse(&cursor).ok_or_else(unknown_cursor)).transpose()?;
                Some(Poll { take, cursor })
            }
        };
        Ok(Self { body, poll })
    }
}

/// For every cursor that finds nothing, whatever the reason: who guesses learns nothing.
pub(super) fn unknown_cursor() -> Failed {
    let error = "There is no such cursor: it has expired, was used before (each answer names a new one), or never was. \
                 Begin again without it";
    Failed::new(StatusCode::NOT_FOUND, Code::new("unknown_cursor"), error)
}

/// The token of `Authorization: Bearer TOKEN`. What is meant for somebody else (`Basic`, for a proxy) says nothing to us.
#[cfg(feature = "auth")]
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Failed> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Failed::bad_request("A request has at most one Authorization"));
    }
    let Ok(value) = value.to_str() else { return Ok(None) };
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    Ok(scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()))
}

/// Reads a body of up to `most` bytes, within `timeout`.
pub(super) async fn read_body(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    timeout: Duration,
) -> Result<String, Failed> {
    let timeout = timeout.min(crate::net::accept::FOREVER);
    // A client that asks before it sends (`Expect: 100-continue`) is answered before it does: hyper lets it go on only
    // once its body is polled.
    if headers.contains_key(EXPECT) && body.size_hint().lower() > most as u64 {
        return Err(too_large(most));
    }
    let read = tokio::time::timeout(timeout, collect(body, most)).await.map_err(|_| {
        let error = format!("The body did not arrive within {} s", timeout.as_secs_f64());
        Failed::new(StatusCode::REQUEST_TIMEOUT, Code::TIMEOUT, error)
    })?;
    String::from_utf8(read?).map_err(|_| Failed::new(StatusCode::BAD_REQUEST, Code::BAD_BODY, "The body is no UTF-8"))
}

async fn collect(mut body: Body, most: usize) -> Result<Vec<u8>, Failed> {
    let expected = body.size_hint().lower();
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0).min(most).min(64 << 10));
    let mut is_too_large = expected > most as u64;
    if expected > discardable(most) {
        return Err(too_large(most));
    }
    let mut discarded = 0;
    while let Some(data) = next(&mut body).await? {
        if is_too_large || bytes.len() + data.len() > most {
            // The rest is read, within reason: who still writes when the connection closes never sees the answer.
            (is_too_large, bytes) = (true, Vec::new());
            discarded += data.len() as u64;
            if discarded > discardable(most) {
                break;
            }
        } else {
            bytes.extend_from_slice(&data);
        }
    }
    if is_too_large { Err(too_large(most)) } else { Ok(bytes) }
}

/// Bytes of a body that is too large that are read all the same.
fn discardable(most: usize) -> u64 {
    16 * most as u64
}

fn too_large(most: usize) -> Failed {
    let error = format!("The body is larger than a message may be ({most} bytes)");
    Failed::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TOO_LARGE, error)
}

/// The next bytes of a body.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Failed> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            // Trailers say nothing to us.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => return Err(Failed::bad_request(format!("The body broke off: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    fn poll(query: &str) -> Option<Poll> {
        Query::parse(Some(query)).unwrap().poll
    }

    fn status(query: &str) -> u16 {
        Query::parse(Some(query)).unwrap_err().into_response().status().as_u16()
    }

    #[test]
    fn a_query_as_browsers_and_people_write_it() {
        let query = Query::parse(Some("body=%7B%22to%22%3A+5%7D&_=123&take=10")).unwrap();
        assert_eq!(query.body.as_deref(), Some(r#"{"to": 5}"#));
        assert_eq!(query.poll, Some(Poll { take: 10, cursor: None }));
        assert_eq!(Query::parse(Some(r#"body={"to":5}"#)).unwrap().body.as_deref(), Some(r#"{"to":5}"#));
        assert!(Query::parse(None).unwrap().poll.is_none());
        let cursor = Cursor::random().unwrap();
        assert_eq!(poll(&format!("cursor={cursor}&take=1")), Some(Poll { take: 1, cursor: Some(cursor) }));
    }

    #[test]
    fn a_take_that_makes_no_sense_is_400_and_a_cursor_that_is_none_404() {
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
    fn names_are_decoded() {
        assert_eq!(event_name("users/get").unwrap(), "users/get");
        assert_eq!(event_name("b%C3%BCcher/a%20b%2Fc").unwrap(), "bücher/a b/c");
        assert!(event_name("%ff").is_err());
    }
}
