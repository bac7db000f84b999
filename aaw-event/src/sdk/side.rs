//! Where `services` reach: the host, or a test.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{Error, Result};
use super::identity::Identity;
use super::response_future::ResponseFuture;
use super::ws::Sent;
use crate::module::{OwnedCaller, json, parse_answer};

/// One of the two.
#[derive(Debug, Clone)]
pub(super) enum Side {
    Host(OwnedCaller),
    Test(Arc<Stage>),
}

impl Side {
    /// Has the host do something at once.
    pub(super) fn host_op<T: DeserializeOwned>(caller: &OwnedCaller, op: &str, args: &impl Serialize) -> Result<T> {
        let said = json(args, |args| caller.host_op(op, args))?.map_err(Error::told)?;
        read(&said)
    }

    /// Has the host begin something; `read` makes of its JSON what is awaited.
    pub(super) fn host_op_async<T>(
        caller: &OwnedCaller,
        op: &str,
        args: &impl Serialize,
        read: fn(&[u8]) -> Result<T>,
    ) -> ResponseFuture<T> {
        match json(args, |args| caller.host_op_async(op, args)) {
            Ok(Ok(asking)) => ResponseFuture::by_host(asking, read),
            Ok(Err(failure)) => ResponseFuture::done(Err(Error::told(failure)), read),
            Err(error) => ResponseFuture::done(Err(error.into()), read),
        }
    }
}

/// From the host's JSON.
pub(super) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    // The host's texts were UTF-8 when they came.
    parse_answer(&String::from_utf8_lossy(json)).map_err(Error::told)
}

/// What a test has instead of a host.
#[derive(Debug, Default)]
pub(super) struct Stage {
    acts: Mutex<Acts>,
}

#[derive(Debug, Default)]
pub(super) struct Acts {
    pub(super) sent: Vec<Sent>,
    /// The rooms that the one connection is in.
    pub(super) rooms: BTreeSet<String>,
    pub(super) identity: Option<Identity>,
    /// By event.
    pub(super) answers: HashMap<String, Value>,
}

impl Stage {
    pub(super) fn acts(&self) -> MutexGuard<'_, Acts> {
        self.acts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id of a test's connection.
pub(super) const TEST_ID: &str = "test";
