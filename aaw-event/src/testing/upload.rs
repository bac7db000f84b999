//! The upload of a handler in a test.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use aaw_protocol::{Failure, json};
use serde::Serialize;

use crate::handles::UploadHandle;
use crate::host::{UploadSource, UploadStep};
use crate::sdk::{Error, Upload};

/// An upload whose items are known in advance, as JSON.
struct TestUpload {
    items: Mutex<VecDeque<Result<String, Failure>>>,
}

impl UploadSource for TestUpload {
    fn poll_next(&self, _: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<UploadStep> {
        let item = self.items.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        Poll::Ready(match item {
            Some(Ok(json)) => {
                out.extend_from_slice(json.as_bytes());
                UploadStep::Item
            }
            Some(Err(failure)) => UploadStep::Failed(failure),
            None => UploadStep::End,
        })
    }
}

impl<T> Upload<T> {
    /// Makes an upload of these items, to call a handler from a test.
    ///
    /// The items are serialized as a caller would send them, so they need not be of the handler's own type: an item
    /// that does not fit shows how the handler treats it. An item that cannot be serialized interrupts the upload.
    ///
    /// ```
    /// # use aaw_event::prelude::*;
    /// # let _ = async {
    /// let mut upload: Upload<u8> = Upload::for_test([json!(1), json!(2), json!("three")]);
    /// assert_eq!(upload.next().await.unwrap().unwrap(), 1);
    /// # };
    /// ```
    pub fn for_test(items: impl IntoIterator<Item: Serialize>) -> Self {
        let json = |item| json::to_string(&item).map_err(|error| Error::from(error).into_failure());
        let items = Mutex::new(items.into_iter().map(json).collect());
        Self::new(Some(UploadHandle::new(&Arc::new(TestUpload { items }))))
    }
}
