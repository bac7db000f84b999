//! A connection that uses up its turns takes turns with others that do.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use aaw_protocol::clock;

use crate::busy_turns::{BusyTask, BusyTurns, TaskKind};
use crate::client_turns::Client;

/// How long a connection counts as busy after it has used up a turn. One that sends more than the server handles, in bursts,
/// is idle between them: without this time, hundreds of them would be ready at the same moment again and again.
const CALM_TIME: Duration = Duration::from_secs(1);

/// A connection that has used up a turn in the last [`CALM_TIME`].
#[derive(Debug)]
pub(super) struct BusyConnection {
    task: BusyTask,
    last_used_up: Instant,
}

impl BusyConnection {
    pub(super) fn new(turns: &Arc<BusyTurns>, client: Client, now: Instant) -> Self {
        Self { task: turns.add_busy(client, TaskKind::Connection), last_used_up: now }
    }

    /// Completes when the connection may continue.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.task.poll_turn(cx)
    }

    /// Notes that it has used up another turn.
    pub(super) fn use_up(&mut self, now: Instant) {
        self.last_used_up = now;
    }

    /// Returns when it does not count any more.
    pub(super) fn due(&self) -> Instant {
        clock::after(self.last_used_up, CALM_TIME)
    }
}
