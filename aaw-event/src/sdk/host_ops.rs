//! Host operations, with typed arguments and results.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use super::response_future::ResponseFuture;
use crate::handles::CallerHandle;
use crate::json::{parse_response, with_json};

/// Performs an operation that does not wait.
pub(super) fn host_op<T: DeserializeOwned>(caller: &CallerHandle, op: &str, args: &impl Serialize) -> Result<T> {
    let json = with_json(args, |args| caller.host_op(op, args))?.map_err(Error::from_failure)?;
    parse_result(&json)
}

/// Begins an operation that is awaited; `parse` makes the result from its JSON.
pub(super) fn host_op_async<T>(
    caller: &CallerHandle,
    op: &str,
    args: &impl Serialize,
    parse: fn(&[u8]) -> Result<T>,
) -> ResponseFuture<T> {
    match with_json(args, |args| caller.host_op_async(op, args)) {
        Ok(Ok(op)) => ResponseFuture::new(op, parse),
        Ok(Err(failure)) => ResponseFuture::failed(Error::from_failure(failure), parse),
        Err(error) => ResponseFuture::failed(error.into(), parse),
    }
}

/// Parses the JSON of an operation's result.
pub(super) fn parse_result<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    // The host writes UTF-8.
    parse_response(&String::from_utf8_lossy(json)).map_err(Error::from_failure)
}

/// The arguments of an operation that has none.
#[derive(Serialize)]
pub(super) struct NoArgs {}

/// A timeout as an argument of an operation.
pub(super) fn to_millis(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)
}
