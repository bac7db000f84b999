//! The open file that a listener keeps for the time when the process may open no more.
//!
//! A connection that cannot be accepted would wait, and its client would not learn why. With the spare file closed, it can be
//! accepted, refused and closed, and the file is opened again.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use futures_util::FutureExt as _;

use crate::net::admission::Refusal;
use crate::net::listener::Listener;
use crate::net::refuse::respond_at_once;

/// The error numbers of too many open files of the process, and of the system: the same on all Unix systems.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// A file that stays open to be closed.
#[derive(Debug)]
pub(super) struct SpareFile(Option<OwnedFd>);

impl SpareFile {
    /// Opens one. Without one, connections wait that cannot be accepted.
    pub(super) fn open(listener: &Listener) -> Self {
        // Another descriptor of the same socket needs no path, which a sandbox may not have.
        Self(listener.as_fd().try_clone_to_owned().ok())
    }

    /// Refuses the connection that could not be accepted because of this error. `can_respond` is false if its client would not
    /// understand a response, as before a TLS handshake. Returns whether that was possible.
    pub(super) fn refuse_next(&mut self, error: &io::Error, listener: &Listener, can_respond: bool) -> bool {
        if !matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) {
            return false;
        }
        if self.0.take().is_none() {
            *self = Self::open(listener);
            return self.0.is_some();
        }
        // Not waited for: its client may have left.
        let accepted = listener.accept().now_or_never();
        if let Some(Ok(accepted)) = accepted
            && can_respond
        {
            respond_at_once(accepted, &Refusal::full());
        }
        *self = Self::open(listener);
        true
    }
}
