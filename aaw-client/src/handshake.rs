//! The client's WebSocket handshake (RFC 6455, section 4.1): the text of the request, and what a response must contain.
//!
//! tungstenite has a handshake too. It reports neither the headers of a response that it rejects nor the part of a body
//! that arrives after the head, it accepts extensions that were not offered, and it logs the whole request, with its
//! secrets.

use aaw_protocol::Shortened;
use aaw_protocol::dialect::{self, Dialect};
use http::header::{self, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The status of a response that accepts the handshake.
pub(crate) const SWITCHING_PROTOCOLS: u16 = 101;

/// The request of one attempt, which its response is checked against.
pub(crate) struct HandshakeRequest {
    key: String,
    /// The sub-protocols on offer, as the value of the header.
    offer: Option<String>,
}

/// Why a response with the status 101 does not complete the handshake.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HandshakeProblem {
    /// It selects none of the sub-protocols.
    NoSubProtocol,
    /// It is not the response that RFC 6455 requires.
    Invalid(String),
}

impl HandshakeRequest {
    /// A request that offers the sub-protocols of the list, if there is one.
    pub(crate) fn new(offer: Option<String>) -> Self {
        Self { key: generate_key(), offer }
    }

    /// The text of the request. `headers` are those of the [`Config`](crate::Config); a `Host` among them replaces that
    /// of the URL.
    pub(crate) fn encode(&self, uri: &Uri, headers: &HeaderMap) -> Vec<u8> {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let host = headers.get_all(header::HOST).iter().next_back().map_or(authority.as_bytes(), HeaderValue::as_bytes);
        // Its `Display` adds the slash that `ws://host?query` lacks.
        let path = uri.path_and_query().map_or_else(|| "/".to_owned(), PathAndQuery::to_string);
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: ").into_bytes();
        request.extend_from_slice(host);
        request.extend_from_slice(b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13");
        let mut add = |name: &str, value: &[u8]| {
            for part in [&b"\r\n"[..], name.as_bytes(), b": ", value] {
                request.extend_from_slice(part);
            }
        };
        add("Sec-WebSocket-Key", self.key.as_bytes());
        if let Some(offer) = &self.offer {
            add("Sec-WebSocket-Protocol", offer.as_bytes());
        }
        for (name, value) in headers.iter().filter(|(name, _)| **name != header::HOST) {
            // Names are not case-sensitive. Some servers believe otherwise, and expect this one in browsers' spelling.
            let name = if *name == header::ORIGIN { "Origin" } else { name.as_str() };
            add(name, value.as_bytes());
        }
        request.extend_from_slice(b"\r\n\r\n");
        request
    }

    /// Checks a response with the status 101, and returns the dialect of the connection.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<Dialect, HandshakeProblem> {
        let invalid = |problem: String| Err(HandshakeProblem::Invalid(problem));
        for (name, token) in [(header::UPGRADE, "websocket"), (header::CONNECTION, "upgrade")] {
            if !list(headers, name.clone()).any(|value| value.eq_ignore_ascii_case(token)) {
                return invalid(format!("its response has no header \"{name}: {token}\""));
            }
        }
        let accept = headers.get(header::SEC_WEBSOCKET_ACCEPT).map(|accept| accept.as_bytes().trim_ascii());
        if accept != Some(derive_accept_key(self.key.as_bytes()).as_bytes()) {
            return invalid("its response has no Sec-WebSocket-Accept for this request".into());
        }
        if let Some(extension) = list(headers, header::SEC_WEBSOCKET_EXTENSIONS).next() {
            return invalid(format!("it uses the extension {}, which was not offered", quoted(&extension)));
        }
        let mut chosen = list(headers, header::SEC_WEBSOCKET_PROTOCOL);
        let offered = |chosen: &str| self.offer.as_ref().is_some_and(|offer| offer.split(", ").any(|of| of == chosen));
        match (chosen.next(), chosen.next()) {
            (None, _) if self.offer.is_some() => Err(HandshakeProblem::NoSubProtocol),
            (None, _) => Ok(dialect::accepted(None)),
            (Some(chosen), None) if offered(&chosen) => Ok(dialect::accepted(Some(&chosen))),
            (Some(first), Some(second)) if offered(&first) => {
                invalid(format!("it selects the sub-protocol {} besides {}", quoted(&second), quoted(&first)))
            }
            (Some(chosen), _) => {
                invalid(format!("it selects the sub-protocol {}, which was not offered", quoted(&chosen)))
            }
        }
    }
}

/// The elements of a header whose value is a list (RFC 9110, section 5.6.1).
fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = String> + use<> {
    let mut elements = Vec::new();
    for value in headers.get_all(name) {
        let value = String::from_utf8_lossy(value.as_bytes());
        elements.extend(value.split(',').map(str::trim).filter(|element| !element.is_empty()).map(str::to_owned));
    }
    elements.into_iter()
}

fn quoted(text: &str) -> String {
    format!("{:?}", Shortened(text).to_string())
}

/// The head of an HTTP response.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Bytes of the head. What follows is the body, or the first frames.
    pub(crate) len: usize,
}

/// Parses the head of a response. Returns `None` if it is not complete.
pub(crate) fn parse_head(bytes: &[u8]) -> Result<Option<ResponseHead>, String> {
    const MAX_HEADERS: usize = 124;
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|error| format!("its response is not HTTP/1.1: {error}"))?;
    let httparse::Status::Complete(len) = parsed else { return Ok(None) };
    if response.version != Some(1) {
        return Err("its response is HTTP/1.0".into());
    }
    let mut map = HeaderMap::new();
    for header in response.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(header.value)) else {
            return Err(format!("its response has an invalid header {}", quoted(header.name)));
        };
        map.append(name, value);
    }
    Ok(Some(ResponseHead { status: response.code.unwrap_or_default(), headers: map, len }))
}

/// Where the body of a response ends, as its head states it (RFC 9112, section 6.3).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    Bytes(usize),
    Chunked,
    /// Where the server closes the connection.
    UntilClose,
}

impl ResponseHead {
    pub(crate) fn body_length(&self) -> BodyLength {
        if matches!(self.status, 204 | 304) {
            return BodyLength::Bytes(0);
        }
        if list(&self.headers, header::TRANSFER_ENCODING).any(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return BodyLength::Chunked;
        }
        let length = self.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        length.map_or(BodyLength::UntilClose, BodyLength::Bytes)
    }
}

/// The data of a chunked body, as far as it has arrived, and whether it is complete (RFC 9112, section 7.1).
pub(crate) fn unchunk(mut body: &[u8]) -> (Vec<u8>, bool) {
    let mut data = Vec::new();
    while let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(body) {
        if size == 0 {
            return (data, true);
        }
        let rest = &body[start..];
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        data.extend_from_slice(&rest[..size.min(rest.len())]);
        // The line break after the chunk is no part of it.
        match rest.get(size.saturating_add(2)..) {
            Some(next) => body = next,
            None => break,
        }
    }
    (data, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(offer: Option<&str>) -> HandshakeRequest {
        HandshakeRequest { key: "dGhlIHNhbXBsZSBub25jZQ==".into(), offer: offer.map(Into::into) }
    }

    fn checked(offer: Option<&str>, further: &str) -> Result<Dialect, HandshakeProblem> {
        // The key and its accept value are those of RFC 6455, section 1.3.
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{further}\r\n"
        );
        request(offer).check(&parse_head(response.as_bytes()).unwrap().unwrap().headers)
    }

    fn invalid(problem: &str) -> Result<Dialect, HandshakeProblem> {
        Err(HandshakeProblem::Invalid(problem.into()))
    }

    #[test]
    fn the_request_has_the_headers_of_the_handshake_and_of_the_config() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_bytes(b"\xe9").unwrap());
        headers.append(header::ORIGIN, HeaderValue::from_static("https://a"));
        let sent = request(Some("k, aaw.v1")).encode(&Uri::from_static("ws://host:7?token=x"), &headers);
        let expected = b"GET /?token=x HTTP/1.1\r\nHost: host:7\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Sec-WebSocket-Protocol: k, aaw.v1\r\nx-a: 1\r\nx-a: \xe9\r\nOrigin: https://a\r\n\r\n";
        assert_eq!(sent, expected, "{}", String::from_utf8_lossy(&sent));
        headers.append(header::HOST, HeaderValue::from_static("other"));
        let sent =
            String::from_utf8_lossy(&request(None).encode(&Uri::from_static("ws://host:7/a"), &headers)).into_owned();
        assert!(sent.starts_with("GET /a HTTP/1.1\r\nHost: other\r\n") && !sent.contains("Protocol"), "{sent}");
    }

    #[test]
    fn the_selected_sub_protocol_decides_the_dialect() {
        let offer = Some("_k, aaw.v1");
        assert_eq!(checked(offer, "Sec-WebSocket-Protocol: aaw.v1\r\n"), Ok(Dialect::V1));
        assert_eq!(checked(offer, "Sec-WebSocket-Protocol: _k\r\n"), Ok(Dialect::Classic));
        assert_eq!(checked(offer, ""), Err(HandshakeProblem::NoSubProtocol));
        assert_eq!(checked(None, ""), Ok(Dialect::Classic));
    }

    #[test]
    fn a_sub_protocol_or_an_extension_that_was_not_offered_is_named() {
        let offer = Some("_k, aaw.v1");
        for offer in [offer, None] {
            assert_eq!(
                checked(offer, "Sec-WebSocket-Protocol: mqtt\r\n"),
                invalid("it selects the sub-protocol \"mqtt\", which was not offered")
            );
        }
        assert_eq!(
            checked(offer, "Sec-WebSocket-Protocol: aaw.v1, mqtt\r\n"),
            invalid("it selects the sub-protocol \"mqtt\" besides \"aaw.v1\"")
        );
        assert_eq!(
            checked(offer, "Sec-WebSocket-Protocol: aaw.v1\r\nSec-WebSocket-Extensions: permessage-deflate; x=1\r\n"),
            invalid("it uses the extension \"permessage-deflate; x=1\", which was not offered")
        );
        // An empty list names no extension.
        assert_eq!(checked(offer, "Sec-WebSocket-Protocol: aaw.v1\r\nSec-WebSocket-Extensions: \r\n"), Ok(Dialect::V1));
    }

    #[test]
    fn a_response_without_the_headers_of_the_handshake_is_invalid() {
        for (head, expected) in [
            ("Connection: upgrade\r\n", "upgrade: websocket"),
            ("Upgrade: h2c\r\nConnection: upgrade\r\n", "upgrade: websocket"),
            ("Upgrade: websocket\r\n", "connection: upgrade"),
            ("Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n", "Sec-WebSocket-Accept"),
        ] {
            let head = parse_head(format!("HTTP/1.1 101 x\r\n{head}\r\n").as_bytes()).unwrap().unwrap();
            let Err(HandshakeProblem::Invalid(problem)) = request(None).check(&head.headers) else {
                panic!("{head:?}")
            };
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn a_head_is_parsed_when_it_is_complete() {
        let whole = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
        for end in 0..whole.len() - 2 {
            assert!(parse_head(&whole[..end]).unwrap().is_none(), "{end}");
        }
        let head = parse_head(whole).unwrap().unwrap();
        assert_eq!((head.status, head.len, head.body_length()), (403, whole.len() - 2, BodyLength::Bytes(2)));
        for bad in ["SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.0 101 x\r\n\r\n", "HTTP/1.1 101\r\nno header\r\n\r\n"] {
            assert!(parse_head(bad.as_bytes()).unwrap_err().starts_with("its response"), "{bad}");
        }
        let many = format!("HTTP/1.1 101 x\r\n{}\r\n", "a: b\r\n".repeat(200));
        assert!(parse_head(many.as_bytes()).unwrap_err().contains("too many headers"));
    }

    #[test]
    fn a_chunked_body_is_decoded_as_far_as_it_has_arrived() {
        let whole = b"4;x=y\r\nWiki\r\n6\r\npedia \r\n0\r\n\r\n";
        assert_eq!(unchunk(whole), (b"Wikipedia ".to_vec(), true));
        for end in 0..whole.len() - 5 {
            let (data, complete) = unchunk(&whole[..end]);
            assert!(b"Wikipedia ".starts_with(&data) && !complete, "{end}");
        }
        assert_eq!(unchunk(b"ffffffffffffffff\r\nab"), (b"ab".to_vec(), false));
        assert_eq!(unchunk(b"x\r\n"), (vec![], false));
    }
}
