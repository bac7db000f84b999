//! A handler's third argument.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aaw_protocol::{Code, Failure};
use futures_util::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use crate::module::{OwnedUpload, parse_item};

/// A buffer that a large item has blown up is given back to the allocator.
const KEPT: usize = 64 * 1024;

/// What the caller sends after its body, item by item: a stream in the other direction.
///
/// Taking an item makes room for another one at the caller, which waits when a window of them (64, as a rule) has not
/// been taken yet. So a handler that takes its time slows its caller down, and nothing else.
///
/// An item that does not fit `T` is an error with the code `bad_body`, which says which item it was and where it does
/// not fit; `?` passes these words on to the caller. A handler that would rather leave such an item out goes on: the
/// next one is there to be taken. When the caller has gone or breaks off, its stream fails with what is known of that,
/// and ends.
///
/// Dropping it, at any time, is no error: the caller gets no more room. It may be moved into a task and outlive the
/// call; where a caller sends no stream, it is empty.
///
/// ```
/// use aaw_event::prelude::*;
///
/// // src/measure.rs: answers the mean of all the numbers that its caller sends
/// pub async fn handler(_: Empty, _: Services, mut incoming: Upload<f64>) -> Result<f64> {
///     let (mut sum, mut count) = (0.0, 0.0);
///     while let Some(number) = incoming.next().await {
///         sum += number?;
///         count += 1.0;
///     }
///     Ok(sum / count)
/// }
/// ```
pub struct Upload<T> {
    from: Side,
    /// How many items there were so far.
    taken: u64,
    /// The JSON of an item.
    buffer: Vec<u8>,
    item: PhantomData<fn() -> T>,
}

enum Side {
    Host(OwnedUpload),
    /// JSON, as it would come from the host.
    Test(VecDeque<Result<Vec<u8>>>),
    Over,
}

impl<T> Upload<T> {
    /// `None` where the caller sends nothing.
    pub(crate) fn of(from: Option<OwnedUpload>) -> Self {
        Self::new(from.map_or(Side::Over, Side::Host))
    }

    fn new(from: Side) -> Self {
        Self { from, taken: 0, buffer: Vec::new(), item: PhantomData }
    }

    /// These items, without a caller: to call a handler from a test.
    ///
    /// They are taken as the JSON that a caller would send, so they need not be of the handler's own type, and one that
    /// does not fit shows what the handler makes of it.
    ///
    /// ```
    /// # use aaw_event::prelude::*;
    /// # let _ = async {
    /// let mut incoming: Upload<u8> = Upload::for_test([json!(1), json!(2), json!("three")]);
    /// assert_eq!(incoming.next().await.unwrap().unwrap(), 1);
    /// # };
    /// ```
    pub fn for_test(items: impl IntoIterator<Item: Serialize>) -> Self {
        let json = |item| serde_json::to_vec(&item).map_err(Error::from);
        Self::new(Side::Test(items.into_iter().map(json).collect()))
    }
}

impl<T: DeserializeOwned> Upload<T> {
    /// The next item; `None` when the caller has sent all. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<T>> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        self.buffer.clear();
        let found = match &mut self.from {
            Side::Over => return Poll::Ready(None),
            Side::Host(from) => ready!(from.poll(cx, &mut self.buffer)).map(|item| item.map_err(Error::told)),
            Side::Test(items) => items.pop_front().map(|item| item.map(|json| self.buffer = json)),
        };
        // Let go at once, rather than when the handler ends: nothing more comes.
        if !matches!(found, Some(Ok(()))) {
            self.from = Side::Over;
        }
        let Some(found) = found else { return Poll::Ready(None) };
        self.taken += 1;
        let item = found.and_then(|()| self.parse());
        if self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
        Poll::Ready(Some(item))
    }

    fn parse(&self) -> Result<T> {
        // The host's items were text when they came.
        let json = std::str::from_utf8(&self.buffer).map_err(|_| Error::told(Failure::internal(Code::HANDLER)))?;
        parse_item(json, self.taken).map_err(Error::told)
    }
}

/// As [`Upload::next`] gives them.
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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Point {
        x: u8,
    }

    /// What comes, an error as its code and words.
    fn all<T: DeserializeOwned>(mut incoming: Upload<T>) -> Vec<Result<T, String>> {
        let mut all = Vec::new();
        while let Poll::Ready(Some(item)) = incoming.poll_item(&mut Context::from_waker(Waker::noop())) {
            all.push(item.map_err(|error| format!("{}: {}", error.code(), error.message())));
        }
        all
    }

    #[test]
    fn an_item_that_does_not_fit_is_named_and_the_next_one_is_there() {
        let items = [json!({ "x": 1 }), json!({ "x": 256 }), json!(null), json!({ "x": 4 })];
        let expected = [
            Ok(Point { x: 1 }),
            Err("bad_body: Item 2 does not fit at x: invalid value: integer `256`, expected u8".to_owned()),
            Err("bad_body: Item 3 does not fit: invalid type: null, expected struct Point".to_owned()),
            Ok(Point { x: 4 }),
        ];
        assert_eq!(all(Upload::<Point>::for_test(items)), expected);
    }

    #[test]
    fn nothing_comes_after_the_end() {
        let mut incoming = Upload::<u8>::for_test([1]);
        let mut poll =
            || incoming.poll_item(&mut Context::from_waker(Waker::noop())).map(|item| item.map(|item| item.ok()));
        assert_eq!([poll(), poll(), poll()], [Poll::Ready(Some(Some(1))), Poll::Ready(None), Poll::Ready(None)]);
        assert_eq!(all(Upload::<u8>::of(None)), []);
    }

    #[test]
    fn it_can_be_moved_wherever_its_items_can_not() {
        fn moved<T: Send + Sync + Unpin>() {}
        moved::<Upload<std::rc::Rc<u8>>>();
    }
}
