//! What stands in the place of `service` without the feature `auth`: nobody has a session, and nothing gives one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use aaw_protocol::Failure;

use super::Identity;
use crate::dispatch::Asker;

/// There is none.
#[derive(Debug)]
pub(crate) enum Service {}

/// There is none.
#[derive(Debug)]
pub(crate) enum Session {}

/// There is none that anybody could have.
pub(crate) type Held = Session;

/// How one would have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ended {}

/// What would deliver the token of a reset.
pub(crate) type ResetHook = ();

/// What a built-in event would come to.
pub(crate) type Asked = Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>>;

impl Service {
    pub(crate) fn judge(&self, _session: Option<&Session>, _event: &str) -> Result<(), Failure> {
        match *self {}
    }

    pub(crate) async fn authenticate<C: Asker>(&self, _who: &Arc<C>, _user: Identity) -> Result<String, Failure> {
        match *self {}
    }

    pub(crate) async fn log_out<C: Asker>(&self, _who: &Arc<C>) -> Result<(), Failure> {
        match *self {}
    }

    pub(crate) fn answers(_name: &str) -> bool {
        false
    }

    pub(crate) fn ask<C: Asker>(
        &self,
        _name: &str,
        _body: &str,
        _who: &Arc<C>,
        _deliver: impl FnOnce() -> Option<ResetHook>,
    ) -> Option<Asked> {
        match *self {}
    }
}

impl Ended {
    pub(crate) fn as_str(self) -> &'static str {
        match self {}
    }
}

impl Session {
    pub(crate) fn identity(&self) -> Arc<Identity> {
        match *self {}
    }

    pub(crate) fn is_over(&self) -> bool {
        match *self {}
    }

    pub(crate) fn ended(&self) -> Option<Ended> {
        match *self {}
    }
}
