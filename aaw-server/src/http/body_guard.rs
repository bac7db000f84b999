//! A response body that keeps its request in progress until it has been sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use crate::net::http_connection::RequestGuard;

/// A body with the guard of its request, which is dropped with the body, whether or not the body was sent completely.
pub(super) struct GuardedBody {
    body: Body,
    _guard: Arc<RequestGuard>,
}

impl GuardedBody {
    pub(super) fn new(body: Body, guard: Arc<RequestGuard>) -> Self {
        Self { body, _guard: guard }
    }
}

impl HttpBody for GuardedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
