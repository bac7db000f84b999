//! A handler's third argument.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aaw_protocol::{Code, Failure};
use futures_util::Stream;
use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use crate::handles::UploadHandle;
use crate::json::parse_item;

/// A buffer that has grown beyond this many bytes is freed instead of kept.
const MAX_KEPT_CAPACITY: usize = 64 * 1024;

/// The upload of a call: the stream of items that the caller sends after its body.
///
/// Taking items grants the caller credit for more. A caller may be at most one window ahead (64 items by default), so a
/// slow handler slows its caller down, and nothing else.
///
/// An item that does not fit `T` is an error with the code `bad_body`, whose message names the item and the field; `?`
/// passes it on to the caller. A handler that prefers to skip such an item may go on to the next one. When the caller
/// disconnects or cancels its upload, the next item is an error that states why, and the upload ends.
///
/// Dropping the upload at any time is allowed: the caller then gets no more credit. The upload may be moved into a task
/// and outlive the call. If the caller sends no upload, it is empty.
///
/// A test makes one with [`Upload::for_test`].
///
/// ```
/// use aaw_event::prelude::*;
///
/// // src/measure.rs: returns the mean of all numbers of the upload
/// pub async fn handler(_: Empty, _: Services, mut upload: Upload<f64>) -> Result<f64> {
///     let (mut sum, mut count) = (0.0, 0.0);
///     while let Some(number) = upload.next().await {
///         sum += number?;
///         count += 1.0;
///     }
///     Ok(sum / count)
/// }
/// ```
pub struct Upload<T> {
    /// `None` once the upload has ended, and when the caller sends none.
    source: Option<UploadHandle>,
    /// The number of items so far.
    taken: u64,
    /// The JSON of an item.
    buffer: Vec<u8>,
    item: PhantomData<fn() -> T>,
}

impl<T> Upload<T> {
    pub(crate) fn new(source: Option<UploadHandle>) -> Self {
        Self { source, taken: 0, buffer: Vec::new(), item: PhantomData }
    }
}

impl<T: DeserializeOwned> Upload<T> {
    /// The next item; `None` when the caller has sent all. Dropping the future loses no item.
    pub async fn next(&mut self) -> Option<Result<T>> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        self.buffer.clear();
        let Some(source) = &mut self.source else { return Poll::Ready(None) };
        let polled = ready!(source.poll(cx, &mut self.buffer));
        // Nothing follows an end or an error, so the source is released now rather than when the handler ends.
        if !matches!(polled, Some(Ok(()))) {
            self.source = None;
        }
        let Some(polled) = polled else { return Poll::Ready(None) };
        self.taken += 1;
        let item = polled.map_err(Error::from_failure).and_then(|()| self.parse());
        if self.buffer.capacity() > MAX_KEPT_CAPACITY {
            self.buffer = Vec::new();
        }
        Poll::Ready(Some(item))
    }

    fn parse(&self) -> Result<T> {
        // The host writes UTF-8.
        let internal = |_| Error::from_failure(Failure::internal(Code::INTERNAL));
        let json = std::str::from_utf8(&self.buffer).map_err(internal)?;
        parse_item(json, self.taken).map_err(Error::from_failure)
    }
}

/// Yields what [`Upload::next`] returns.
impl<T: DeserializeOwned> Stream for Upload<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_item(cx)
    }
}

impl<T> fmt::Debug for Upload<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("taken", &self.taken).finish_non_exhaustive()
    }
}
