//! What a connection stores about the session of its client.

use std::time::Instant;

use crate::{Dialect, Token};

/// The state of the client's session.
#[derive(Debug, Default)]
pub(super) struct LoginState {
    pub(super) stored: Option<StoredToken>,
    /// The call of `aaw/resume` on this connection that has no response yet.
    pub(super) resume: Option<PendingResume>,
    /// Whether the application logged out on this connection, so that the server's notification of it is not news.
    pub(super) logged_out: bool,
}

#[derive(Debug)]
pub(super) struct StoredToken {
    pub(super) token: Token,
    /// The dialect of the server that issued the token. `None` if the application set it.
    pub(super) issued_by: Option<Dialect>,
}

#[derive(Debug)]
pub(super) struct PendingResume {
    pub(super) id: i64,
    pub(super) token: Token,
    /// How long calls wait for the response. `None` once they no longer wait; the response is still handled.
    pub(super) deadline: Option<Instant>,
}

impl LoginState {
    /// Whether calls have to wait for the response of `aaw/resume`.
    pub(super) fn is_resuming(&self) -> bool {
        self.resume_deadline().is_some()
    }

    pub(super) fn resume_deadline(&self) -> Option<Instant> {
        self.resume.as_ref().and_then(|resume| resume.deadline)
    }

    pub(super) fn is_resume(&self, id: i64) -> bool {
        self.resume.as_ref().is_some_and(|resume| resume.id == id)
    }

    pub(super) fn handle_disconnected(&mut self) {
        self.resume = None;
        self.logged_out = false;
    }
}
