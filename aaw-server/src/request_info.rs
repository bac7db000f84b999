//! The HTTP request behind a connection or a call, as handlers see it.

use std::fmt;
use std::net::SocketAddr;

use aaw_event::Handshake;
use hyper::Uri;
use hyper::header::HeaderMap;

/// Where a request comes from: what the head of a request cannot be trusted to say about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RequestOrigin {
    /// The address of the client, if it is known.
    pub(crate) address: Option<SocketAddr>,
    /// Whether the client uses TLS.
    pub(crate) is_secure: bool,
}

/// Checks that a request is small enough to be kept for handlers.
///
/// # Errors
/// The text of a response, if the target and the headers have more than `max` bytes.
pub(crate) fn check_size(uri: &Uri, headers: &HeaderMap, max: usize) -> Result<(), String> {
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let len = uri.path().len() + uri.query().map_or(0, str::len) + fields.sum::<usize>();
    if len > max {
        return Err(format!("The target and the headers of the request have {len} bytes: at most {max} are accepted"));
    }
    Ok(())
}

/// Returns what handlers see of a request whose `Host` is `host`.
pub(crate) fn describe(origin: RequestOrigin, host: Option<&str>, uri: &Uri, headers: &HeaderMap) -> Handshake {
    let mut handshake = Handshake::new(uri.path()).with_secure(origin.is_secure);
    if let Some(address) = origin.address {
        handshake = handshake.with_peer_addr(address);
    }
    if let Some(host) = host {
        handshake = handshake.with_host(host);
    }
    if let Some(query) = uri.query() {
        handshake = handshake.with_query(query);
    }
    headers.iter().fold(handshake, |handshake, (name, value)| {
        handshake.with_header(name.as_str(), String::from_utf8_lossy(value.as_bytes()))
    })
}

/// The handshake of a caller, kept for its handlers, most of which never ask for it.
pub(crate) enum KeptHandshake {
    /// That of a connection: the JSON that handlers receive, which is its shortest form.
    Json(Box<str>),
    /// A single request, as it arrived: it becomes JSON when a handler asks for it.
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "there are no calls over HTTP"))]
    Request(Box<KeptRequest>),
}

/// The head of a request over HTTP.
pub(crate) struct KeptRequest {
    pub(crate) origin: RequestOrigin,
    pub(crate) host: Option<String>,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

impl KeptHandshake {
    /// Keeps the handshake of a connection.
    pub(crate) fn new(handshake: &Handshake) -> Self {
        Self::Json(to_json(handshake).into())
    }

    pub(crate) fn json(&self) -> String {
        match self {
            Self::Json(json) => json.to_string(),
            Self::Request(request) => {
                let KeptRequest { origin, host, uri, headers } = &**request;
                to_json(&describe(*origin, host.as_deref(), uri, headers))
            }
        }
    }

    /// Returns the bytes that a connection keeps. A request has a head of limited size, and ends with its call.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::Json(json) => json.len(),
            Self::Request(_) => 0,
        }
    }
}

fn to_json(handshake: &Handshake) -> String {
    // A handshake consists of texts, which always serialize.
    serde_json::to_string(handshake).unwrap_or_default()
}

/// Omits all of it: headers contain secrets.
impl fmt::Debug for KeptHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptHandshake").field("held_bytes", &self.held_bytes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{COOKIE, HeaderValue};

    use super::*;

    #[test]
    fn a_request_is_described_up_to_its_limit() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1"));
        headers.append(COOKIE, HeaderValue::from_bytes(b"b=\xff").unwrap());
        let uri: Uri = "/chat?x=1%202".parse().unwrap();
        let address = ([127, 0, 0, 1], 80).into();
        let origin = RequestOrigin { address: Some(address), is_secure: true };
        let len = "/chat".len() + "x=1%202".len() + 2 * ("cookie".len() + 3);
        assert_eq!(check_size(&uri, &headers, len), Ok(()));
        let described = describe(origin, Some("a.example"), &uri, &headers);
        assert_eq!((described.path(), described.query("x").as_deref()), ("/chat", Some("1 2")));
        assert_eq!((described.cookie("a"), described.cookie("b")), (Some("1"), Some("\u{fffd}")));
        assert_eq!((described.peer_addr(), described.is_secure()), (Some(address), true));
        assert_eq!(described.host(), Some("a.example"));
        let error = check_size(&uri, &headers, len - 1).unwrap_err();
        assert_eq!(
            error,
            format!("The target and the headers of the request have {len} bytes: at most {} are accepted", len - 1)
        );
        let kept = KeptHandshake::new(&described);
        let host = Some("a.example".into());
        let request = KeptHandshake::Request(Box::new(KeptRequest { origin, host, uri, headers }));
        assert_eq!(request.json(), kept.json());
        assert_eq!(kept.held_bytes(), kept.json().len());
        assert!(!format!("{kept:?} {request:?}").contains("a=1"));
    }
}
