//! Content that is built into the program: validators, content codings and caching.

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use sha2::{Digest as _, Sha256};

use super::negotiate::AcceptEncoding;

/// How a cache may use a stored response.
#[derive(Debug, Clone, Copy)]
pub(super) enum Caching {
    /// After validating it with the server, which responds 304 while it is current.
    Revalidate,
    /// Without asking the server: the URL contains the hash of the content.
    Immutable,
}

impl Caching {
    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Revalidate => "no-cache",
            Self::Immutable => "public, max-age=31536000, immutable",
        })
    }
}

/// Content that does not change while the program runs. It is hashed once.
#[derive(Debug)]
pub(super) struct Asset {
    content_type: &'static str,
    hash: String,
    /// The content itself, which every client can read.
    identity: Representation,
    /// In the order of the server's preference.
    encoded: Vec<Representation>,
}

#[derive(Debug)]
struct Representation {
    /// As `Accept-Encoding` and `Content-Encoding` name it.
    coding: &'static str,
    body: Bytes,
    /// A strong validator, so each coding has its own.
    etag: HeaderValue,
}

const IDENTITY: &str = "identity";

impl Asset {
    /// `encoded` is the same content in other codings, in the order of preference.
    pub(super) fn new(content_type: &'static str, body: Bytes, encoded: &[(&'static str, &'static [u8])]) -> Self {
        let digest = Sha256::digest(&body);
        let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let representation = |coding, tag: String, body| {
            let etag = HeaderValue::try_from(format!("\"{tag}\"")).expect("a hash and a coding are ASCII");
            Representation { coding, body, etag }
        };
        let encoded = encoded
            .iter()
            .map(|(coding, body)| representation(coding, format!("{hash}-{coding}"), Bytes::from_static(body)))
            .collect();
        Self { content_type, identity: representation(IDENTITY, hash.clone(), body), hash, encoded }
    }

    /// The start of the content's SHA-256, in hexadecimal.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    /// The response to a GET or HEAD. Ranges are not supported, so it is the whole content.
    pub(super) fn respond(&self, request: &HeaderMap, caching: Caching) -> Response {
        let representation = self.select(request);
        let is_current = is_listed(request, &representation.etag);
        let body = if is_current { Bytes::new() } else { representation.body.clone() };
        let mut response = Response::new(Body::from(body));
        let headers = response.headers_mut();
        headers.insert(ETAG, representation.etag.clone());
        headers.insert(CACHE_CONTROL, caching.header());
        if !self.encoded.is_empty() {
            headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        if is_current {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if representation.coding != IDENTITY {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(representation.coding));
        }
        response
    }

    /// The representation that the client prefers; of equal ones, the first. If it accepts none, the content itself
    /// (RFC 9110, 12.5.3).
    fn select(&self, request: &HeaderMap) -> &Representation {
        let accept = AcceptEncoding::parse(request.get_all(ACCEPT_ENCODING));
        // `max_by_key` returns the last of several equal ones, hence the reversed order.
        let best = self.encoded.iter().rev().max_by_key(|encoded| accept.quality(encoded.coding));
        best.filter(|best| accept.quality(best.coding) >= accept.quality(IDENTITY).max(1)).unwrap_or(&self.identity)
    }
}

/// Whether `If-None-Match` lists this validator, or any. The comparison is weak (RFC 9110, 13.1.2).
fn is_listed(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let lists = request.get_all(IF_NONE_MATCH).into_iter().filter_map(|list| list.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
}
