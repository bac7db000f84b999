//! The client for browsers, built into the program, so that a page needs no other source for it.
//!
//! The files of `client_script/` are copies of the bundle that `npm run build` generates in `aaw-js`; a test of that
//! package compares them. They are in this folder because a published crate contains nothing else.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::http::HeaderValue;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_LOCATION};
use axum::response::{IntoResponse as _, Response};

use super::asset::{Asset, Caching};
use super::error::HttpError;

static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "text/javascript; charset=utf-8",
        Bytes::from_static(include_bytes!("client_script/aaw.js")),
        &[("br", include_bytes!("client_script/aaw.js.br")), ("gzip", include_bytes!("client_script/aaw.js.gz"))],
    )
});

/// The path of the script with its hash, which browsers cache for good.
pub(super) static HASHED_PATH: LazyLock<String> = LazyLock::new(|| format!("/aaw/{}.js", SCRIPT.hash()));

/// `GET /aaw.js`. `Content-Location` is the path with the hash, relative to this one.
pub(super) async fn current(request: Request) -> Response {
    let mut response = respond(&request, Caching::Revalidate);
    if let Ok(path) = HeaderValue::from_str(HASHED_PATH.trim_start_matches('/')) {
        response.headers_mut().insert(CONTENT_LOCATION, path);
    }
    response
}

/// `GET /aaw/HASH.js`.
pub(super) async fn hashed(file: Result<Path<String>, PathRejection>, request: Request) -> Response {
    // The path is rejected if it is not UTF-8.
    let file = file.map(|Path(file)| file).unwrap_or_default();
    match file.strip_suffix(".js") {
        Some(hash) if hash == SCRIPT.hash() => respond(&request, Caching::Immutable),
        // The page comes from a server with another version: several servers are being updated one after the other.
        Some(hash) if hash.len() == SCRIPT.hash().len() && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            respond(&request, Caching::Revalidate)
        }
        _ => HttpError::not_found().into_response(),
    }
}

fn respond(request: &Request, caching: Caching) -> Response {
    let mut response = SCRIPT.respond(request.headers(), caching);
    let headers = response.headers_mut();
    // Pages of every origin may read it: it is the same for all, and reveals nothing about this server.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}
