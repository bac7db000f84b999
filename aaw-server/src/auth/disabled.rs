//! Sessions without the feature `auth`: the types have no values.

use std::sync::Arc;

use aaw_event::Identity;

#[derive(Debug)]
pub(crate) enum Session {}

#[derive(Debug, Clone, Copy)]
pub(crate) enum EndReason {}

#[derive(Debug)]
pub(crate) enum SessionGuard {}

#[allow(dead_code, reason = "the other features decide which of these are used")]
impl Session {
    pub(crate) fn identity(&self) -> Arc<Identity> {
        match *self {}
    }

    pub(crate) fn ended(&self) -> Option<EndReason> {
        match *self {}
    }

    pub(crate) async fn wait_until_ended(self: Arc<Self>) {
        match *self {}
    }
}

impl EndReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {}
    }
}

impl SessionGuard {
    pub(crate) fn session(&self) -> &Arc<Session> {
        match *self {}
    }

    pub(crate) fn has_token(&self, _token: &str) -> bool {
        match *self {}
    }

    pub(crate) fn is_over(&self) -> bool {
        match *self {}
    }

    pub(crate) fn identity_json(&self) -> String {
        match *self {}
    }
}
