//! The client for browsers, built into the program, so that a page needs no other source for it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::error::HttpError;

/// `/aaw.js`.
const ENTRY: &str = include_str!("../../../aaw-js/aaw.js");

macro_rules! modules {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../aaw-js/aaw/", $name)))),*]
    };
}

/// The modules that it imports, at `/aaw/NAME`: all files of that folder.
const MODULES: &[(&str, &str)] = &modules![
    "abort.js",
    "backoff.js",
    "bind_methods.js",
    "call_error.js",
    "call_table.js",
    "client.js",
    "client_calls.js",
    "close_event.js",
    "connection.js",
    "driver.js",
    "duplex.js",
    "emitter.js",
    "encoded_message.js",
    "fifo_matcher.js",
    "frame.js",
    "handler_registry.js",
    "heartbeat.js",
    "http.js",
    "item_queue.js",
    "json.js",
    "login_state.js",
    "options.js",
    "output_queue.js",
    "pending_call.js",
    "persistent_token.js",
    "platform.js",
    "sse.js",
    "sse_parser.js",
    "stream.js",
    "token_store.js",
    "upload_buffer.js",
    "url.js",
    "wait_queue.js",
    "websocket_compat.js",
    "welcome.js",
];

/// `GET /aaw.js`.
pub(super) async fn entry(request: Request) -> Response {
    script(ENTRY, request.headers())
}

/// `GET /aaw/NAME`.
pub(super) async fn module(Path(file): Path<String>, request: Request) -> Response {
    match MODULES.iter().find(|(name, _)| *name == file) {
        Some((_, text)) => script(text, request.headers()),
        None => HttpError::not_found().into_response(),
    }
}

fn script(text: &'static str, request: &HeaderMap) -> Response {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let etag = format!("\"{:016x}\"", hasher.finish());
    let is_cached = request.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).is_some_and(|tags| {
        tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == "*" || tag == etag)
    });
    let mut response = Response::new(if is_cached { Body::empty() } else { Body::from(text) });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    // Pages of every origin may read it: it is the same for all, and reveals nothing about this server.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    if is_cached {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../aaw-js/aaw");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<_> = files.filter(|name| name.ends_with(".js")).collect();
        files.sort();
        assert_eq!(MODULES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), files);
    }
}
