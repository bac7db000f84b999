//! axum: events over HTTP, as a careful user writes them.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::stream;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{BoxError, listen, run};

pub(crate) fn serve() -> Result<(), BoxError> {
    run(async {
        let listener = axum::serve::ListenerExt::tap_io(listen().await?, |socket| {
            let _ = socket.set_nodelay(true);
        });
        let app = Router::new().route("/events/echo", post(echo)).route("/events/count", post(count));
        Ok(axum::serve(listener, app).await?)
    })
}

/// Checks that the body is JSON, and returns it.
async fn echo(body: Bytes) -> Response {
    match serde_json::from_slice::<&RawValue>(&body) {
        Ok(_) => ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

#[derive(Deserialize)]
struct Count {
    to: u64,
}

/// Streams numbers, each in a chunk of its own.
async fn count(body: Bytes) -> Response {
    match serde_json::from_slice::<Count>(&body) {
        Ok(Count { to }) => {
            let items = stream::iter((1..=to).map(|number| Ok::<_, Infallible>(Bytes::from(format!("{number}\n")))));
            ([(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")], Body::from_stream(items))
                .into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}
