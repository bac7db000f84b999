//! What a resumable connection stores: what it has sent, and counts.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::DisconnectReason;
use crate::resumption::{ReceivedMessages, ResumptionKey, ResumptionTerms};

/// The state of a resumable connection. It outlives its sockets.
#[derive(Debug)]
pub(super) struct Resumption {
    pub(super) key: ResumptionKey,
    /// The key of the next state, which the last hello has offered.
    pub(super) next: Option<ResumptionKey>,
    /// The number of hellos that were to resume the state.
    pub(super) attempts: u64,
    /// What the server has agreed to. `None` until its welcome.
    pub(super) terms: Option<ResumptionTerms>,
    pub(super) received: ReceivedMessages,
    pub(super) sent: SentLog,
    /// The socket is gone, or another one has brought nothing new yet: until when the client tries to resume, and why.
    pub(super) interrupted: Option<(Instant, DisconnectReason)>,
    /// The connection goes on over another socket, and `interrupted` counts only if that is lost before it brings anything.
    pub(super) resumed: bool,
    /// The server was pinged, because it is silent, and is silent since.
    pub(super) probed: Option<Instant>,
    /// How often in succession a socket was given up because the server was silent, and nothing new has arrived since. The pong
    /// may wait behind a message that takes long: each time, the server has twice the time.
    pub(super) silences: u32,
    /// The connection goes on over another socket, which has brought nothing new yet. If it breaks, the next one waits: a server
    /// may end each.
    pub(super) is_unproven: bool,
}

/// The messages that were sent and are not acknowledged, from the oldest on.
#[derive(Debug, Default)]
pub(super) struct SentLog {
    pub(super) messages: VecDeque<Bytes>,
    pub(super) bytes: usize,
    pub(super) acknowledged: u64,
}

impl SentLog {
    pub(super) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.messages.push_back(frame);
    }

    /// Forgets the messages up to this number. `false` if there is no such message.
    pub(super) fn acknowledge(&mut self, number: u64) -> bool {
        let count = number.saturating_sub(self.acknowledged);
        if count > self.messages.len() as u64 {
            return false;
        }
        self.acknowledged += count;
        for frame in self.messages.drain(..count as usize) {
            self.bytes -= frame.len();
        }
        if self.messages.is_empty() {
            /// The messages whose places are kept.
            const KEPT: usize = 128;
            self.messages.shrink_to(KEPT);
        }
        true
    }

    /// The number of the last message.
    pub(super) fn last(&self) -> u64 {
        self.acknowledged + self.messages.len() as u64
    }
}

impl Resumption {
    pub(super) fn new(key: ResumptionKey) -> Self {
        Self {
            key,
            next: None,
            attempts: 0,
            terms: None,
            received: ReceivedMessages::default(),
            sent: SentLog::default(),
            interrupted: None,
            resumed: false,
            probed: None,
            silences: 0,
            is_unproven: false,
        }
    }

    /// A socket has brought something new: the interruption before it is over.
    pub(super) fn note_progress(&mut self) {
        if self.resumed {
            self.resumed = false;
            self.interrupted = None;
        }
    }

    /// A message has arrived, or was acknowledged, for the first time.
    pub(super) fn note_news(&mut self) {
        self.silences = 0;
        self.is_unproven = false;
        self.note_progress();
    }

    /// The server has agreed to resumption.
    pub(super) fn is_active(&self) -> bool {
        self.terms.is_some()
    }
}
